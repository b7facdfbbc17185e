"""A bare model does what the model does, on its very weights, and leaves the model as it was."""

import pytest
import torch
from torch import nn

from course_lib.bare import bare
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.heads import MaskedLM
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from tests.models import DECODER_PARTS, PARTS, SIZES, drawn, ids


def decoder(kind: str = "gpt-2", **more) -> Decoder:
    return drawn(Decoder(DecoderConfig(**SIZES | DECODER_PARTS[kind] | more)))


@pytest.mark.parametrize("kind", DECODER_PARTS)
def test_a_bare_decoder_gives_the_same_logits(kind):
    model = decoder(kind)
    plain = bare(model)
    assert torch.equal(plain(ids()), model(ids()))
    assert torch.equal(plain.head(plain.hidden(ids())), model(ids()))


@pytest.mark.parametrize("kind", PARTS)
def test_other_models_too(kind):
    encoder = drawn(MaskedLM(Encoder(EncoderConfig(**SIZES | PARTS[kind]))))
    assert torch.equal(bare(encoder)(ids()), encoder(ids()))
    both = drawn(EncoderDecoder(EncoderDecoderConfig(**SIZES | PARTS[kind])))
    assert torch.equal(bare(both)(ids(), ids(seq=5)), both(ids(), ids(seq=5)))


def test_it_is_still_what_it_was_for_whoever_asks():
    assert isinstance(bare(decoder()), Decoder)
    assert isinstance(bare(decoder()).stack.blocks[0].self_attention.norm, nn.LayerNorm)


def test_the_weights_are_the_very_same():
    model = decoder()
    plain = bare(model)
    before = plain(ids())
    with torch.no_grad():
        model.embedding.weight.mul_(2)
    assert plain.embedding.weight is model.embedding.weight
    assert not torch.equal(plain(ids()), before)
    assert torch.equal(plain(ids()), model(ids()))


def test_dropout_is_off_and_the_model_goes_on_learning():
    model = decoder(dropout=0.5)
    expected = model(ids())
    model.train()
    assert torch.equal(bare(model)(ids()), expected)
    assert all(module.training for module in model.modules())
    assert not torch.equal(model(ids()), model(ids()))


def test_nothing_is_added_to_the_model():
    model = decoder()
    names, attributes = sorted(model.state_dict()), sorted(vars(model))
    bare(model)(ids())
    assert (sorted(model.state_dict()), sorted(vars(model))) == (names, attributes)
    assert type(model) is Decoder


@pytest.mark.parametrize("where", ["", "stack.blocks.1", "stack.blocks.0.self_attention.layer.W_qkv", "stack.dropout"])
def test_hooks_still_run(where):
    model, seen = decoder(), []
    module = model.get_submodule(where)
    module.register_forward_hook(lambda module, given, output: seen.append(output))
    module.register_forward_pre_hook(lambda module, given: seen.append(given))
    bare(model)(ids())
    assert len(seen) == 2
    seen.clear()
    module.register_forward_hook(lambda module, given, output: output * 0)
    assert torch.equal(bare(model)(ids()), model(ids()))


def test_a_forward_of_its_own_is_respected():
    model = decoder()
    model.stack.blocks[0].feed_forward.forward = lambda x: x + 1
    assert torch.equal(bare(model)(ids()), model(ids()))


def test_buffers_sequences_and_missing_parts():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("shift", torch.tensor(3.0))
            self.register_parameter("scale", None)
            self.nothing = None
            self.add_module("missing", None)
            self.parts = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9), nn.GELU())

        def forward(self, x):
            assert self.scale is None
            assert self.nothing is None
            assert self.missing is None
            return self.parts(x) + self.shift

    model = Odd().eval()
    x = torch.ones(1, 2)
    expected = model(x)
    assert torch.equal(bare(model.train())(x), expected)
