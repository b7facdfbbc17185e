"""Attention maps are the weights the model really used, and looking changes nothing."""

import pytest
import torch
from torch import nn

from course_lib.attention import attention
from course_lib.attention_maps import attention_maps
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.heads import TokenClassifier
from course_lib.masks import create_causal_mask, create_padding_mask
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from tests.models import BATCH, DECODER_PARTS, PARTS, SEQ, SIZES, drawn, ids


@pytest.mark.parametrize("kind", DECODER_PARTS)
def test_every_layer_of_a_decoder_shows_weights_that_keep_to_its_mask(kind):
    model = drawn(Decoder(DecoderConfig(**SIZES | DECODER_PARTS[kind])))
    maps = attention_maps(model, ids())
    assert list(maps) == ["stack.blocks.0.self_attention.layer", "stack.blocks.1.self_attention.layer"]
    allowed = model.config.mask(SEQ).expand(BATCH, 4, SEQ, SEQ)
    for weights in maps.values():
        assert weights.shape == (BATCH, 4, SEQ, SEQ)
        assert (weights[~allowed] == 0).all()
        assert (weights[allowed] > 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, 4, SEQ), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", PARTS)
def test_an_encoder_decoder_shows_all_three_kinds(kind):
    model = drawn(EncoderDecoder(EncoderDecoderConfig(**SIZES | PARTS[kind])))
    mask = create_padding_mask(torch.tensor([SEQ, 4, 0]), SEQ)
    maps = attention_maps(model, ids(), ids(seq=5), mask)
    assert [name.split(".", 1)[0] for name in maps] == ["encoder"] * 2 + ["decoder"] * 4
    cross = maps["decoder.blocks.1.cross_attention.layer"]
    assert cross.shape == (BATCH, 4, 5, SEQ)
    assert (cross[1, ..., 4:] == 0).all()
    torch.testing.assert_close(cross.sum(-1)[:, 0, 0], torch.tensor([1.0, 1.0, 0.0]))


def test_the_weights_are_those_of_the_layer():
    """Values of the second layer, weighted by the map, are what that layer attends to."""
    model, seen = drawn(Encoder(EncoderConfig(**SIZES, num_kv_heads=2))), []
    layer = model.stack.blocks[1].self_attention.layer
    layer.attention = lambda q, k, v, *rest, **options: seen.append((q, k, v)) or attention(q, k, v, *rest, **options)
    weights = attention_maps(model, ids(), create_causal_mask(SEQ))["stack.blocks.1.self_attention.layer"]
    q, k, v = seen[0]
    expected = attention(q, k, v, create_causal_mask(SEQ), fused=True)
    torch.testing.assert_close(weights @ v.repeat_interleave(2, dim=1), expected, rtol=0, atol=1e-5)


def test_looking_changes_neither_the_output_nor_the_model():
    model = drawn(TokenClassifier(Encoder(EncoderConfig(**SIZES)), 5))
    before, attributes = model(ids()), [sorted(vars(module)) for module in model.modules()]
    maps = attention_maps(model, ids())
    assert next(iter(maps)) == "body.stack.blocks.0.self_attention.layer"
    assert not any(weights.requires_grad for weights in maps.values())
    assert [sorted(vars(module)) for module in model.modules()] == attributes
    assert torch.equal(model(ids()), before)


def test_a_model_that_fails_is_left_as_it_was():
    model = drawn(Encoder(EncoderConfig(**SIZES)))
    with pytest.raises(ValueError, match="max_len"):
        attention_maps(model, ids(seq=99))
    assert all(block.self_attention.layer.attention is attention for block in model.stack.blocks)


class EveryoneAlike(nn.Module):
    def forward(self, q, k, v, mask=None, bias=None, fused=False):
        return v.mean(2, keepdim=True).expand(*q.shape[:3], -1)


@pytest.mark.parametrize("everyone_alike", [EveryoneAlike(), EveryoneAlike().forward], ids=["module", "function"])
def test_an_attention_of_ones_own_is_used_and_kept(everyone_alike):
    model = drawn(Encoder(EncoderConfig(**SIZES)))
    ours = model(ids())
    for block in model.stack.blocks:
        block.self_attention.layer.attention = everyone_alike
    theirs = model(ids())
    assert not torch.allclose(theirs, ours, atol=0.1)
    attention_maps(model, ids())
    assert torch.equal(model(ids()), theirs)
