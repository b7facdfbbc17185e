"""The decoder: nothing leaks from the future, padding moves nothing, a cache changes nothing, in three dtypes."""

from functools import partial
from inspect import unwrap

import pytest
import torch

from course_lib.beam import beam_search
from course_lib.blocks import TransformerConfig
from course_lib.cache import KVCache
from course_lib.decoder import Decoder, DecoderConfig, last_rows
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.generation import generate
from course_lib.masks import (
    create_bidirectional_mask,
    create_causal_mask,
    create_padding_mask,
    create_prefix_mask,
    create_sliding_window_mask,
)
from tests.models import (
    BATCH,
    DECODER_PARTS,
    DTYPES,
    SEQ,
    SIZES,
    VOCAB,
    assert_padding_does_not_count,
    assert_same,
    drawn,
    ids,
    other,
    padding,
)


def make(kind: str = "gpt-2", dtype: torch.dtype = torch.float32, **more) -> Decoder:
    return drawn(Decoder(DecoderConfig(**SIZES | DECODER_PARTS[kind] | more)), dtype=dtype)


every_kind = pytest.mark.parametrize("kind", DECODER_PARTS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def in_chunks(model: Decoder, tokens: torch.Tensor, size: int, mask: torch.Tensor | None = None) -> torch.Tensor:
    caches = [KVCache(tokens.shape[1]) for _ in model.stack.blocks]
    logits = []
    with torch.no_grad():
        for start in range(0, tokens.shape[1], size):
            end = min(start + size, tokens.shape[1])
            seen = None if mask is None else mask[..., :end]
            logits.append(model(tokens[:, start:end], mask=seen, caches=caches))
    return torch.cat(logits, dim=1)


@every_kind
@every_dtype
def test_a_changed_future_token_leaves_earlier_logits_bit_equal(kind, dtype):
    model, tokens = make(kind, dtype), ids()
    before = model(tokens)
    for position in range(1, SEQ):
        changed = tokens.clone()
        changed[:, position:] = other(tokens[:, position:])
        after = model(changed)
        assert torch.equal(before[:, :position], after[:, :position])
        assert (before[:, position:] != after[:, position:]).any(-1).all()


@every_kind
@every_dtype
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing_on_either_side(kind, dtype, side):
    assert_padding_does_not_count(make(kind, dtype), side)


@every_kind
@every_dtype
@pytest.mark.parametrize("size", [1, 2, SEQ])
def test_cached_equals_uncached(kind, dtype, size):
    model, tokens = make(kind, dtype), ids()
    assert_same(in_chunks(model, tokens, size), model(tokens).detach())


@every_kind
@every_dtype
@pytest.mark.parametrize("size", [1, 2, 5])
def test_cached_equals_uncached_with_padding_on_the_left(kind, dtype, size):
    model, tokens = make(kind, dtype), ids()
    mask = padding("left")
    real = mask[:, 0, 0]
    assert_same(in_chunks(model, tokens, size, mask)[real], model(tokens, mask)[real].detach())


@every_dtype
def test_the_ends_of_a_prefix_are_causal_and_bidirectional_bit_for_bit(dtype):
    def prefix(length, seq_len, device=None):
        return create_prefix_mask(min(length, seq_len), seq_len, device)

    tokens = ids()
    causal, everything = make(dtype=dtype), make(dtype=dtype, mask=create_bidirectional_mask)
    assert torch.equal(make(dtype=dtype, mask=partial(prefix, 0))(tokens), causal(tokens))
    assert torch.equal(make(dtype=dtype, mask=partial(prefix, SEQ))(tokens), everything(tokens))
    between = make(dtype=dtype, mask=partial(prefix, 5))(tokens)
    assert not torch.equal(between, causal(tokens))
    assert not torch.equal(between, everything(tokens))


def test_a_decoder_is_an_encoder_under_a_causal_mask():
    decoder, encoder = make(), Encoder(EncoderConfig(**SIZES)).eval()
    weights = {name: tensor for name, tensor in decoder.state_dict().items() if name != "head.weight"}
    encoder.load_state_dict(weights)
    tokens = ids()
    assert torch.equal(encoder(tokens, create_causal_mask(SEQ)), decoder.hidden(tokens))
    assert torch.equal(encoder(tokens, create_bidirectional_mask(SEQ)),
                       make(mask=create_bidirectional_mask).hidden(tokens))


def test_under_a_window_a_token_reaches_back_one_window_a_layer():
    model, tokens = make("window"), ids()
    reach = SIZES["num_layers"] * (3 - 1)
    changed = tokens.clone()
    changed[:, 0] = other(tokens[:, 0])
    moved = (model(tokens) != model(changed)).any(-1)
    assert moved[:, : reach + 1].all()
    assert not moved[:, reach + 1 :].any()


def test_the_head_is_the_embedding_where_it_is_tied_and_not_where_it_is_not():
    tied, untied = (Decoder(DecoderConfig(**SIZES, tied=tied)) for tied in (True, False))
    assert tied.head.weight is tied.embedding.weight
    assert untied.head.weight is not untied.embedding.weight
    assert sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in tied.parameters()) == VOCAB * 24


def test_positions_can_be_given():
    model, tokens = make(), ids()
    assert torch.equal(model(tokens, positions=torch.arange(SEQ)[None]), model(tokens))
    assert not torch.equal(model(tokens, positions=torch.arange(SEQ)[None] + 1), model(tokens))


def test_rotary_and_relative_positions_know_distances_alone():
    for kind in ("llama", "t5"):
        model, tokens = make(kind), ids()
        assert_same(model(tokens, positions=torch.arange(SEQ)[None] + 9), model(tokens))


def test_a_generator_decides_the_weights_whatever_the_global_seed_is():
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(Decoder(DecoderConfig(**SIZES), torch.Generator().manual_seed(5)))
    first, second = (model.state_dict() for model in made)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert 0.015 < first["embedding.weight"].std() < 0.025


def test_gradients_reach_every_parameter():
    model = make("llama")
    model(ids()).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_caches_are_as_many_as_blocks():
    with pytest.raises(ValueError, match=r"^caches must be one for each of 2 blocks, got 3$"):
        make()(ids(), caches=[KVCache(SEQ) for _ in range(3)])


def test_a_sequence_beyond_the_positions_is_refused():
    with pytest.raises(ValueError, match=r"^the sequence must not be longer than max_len, got 24 and 23$"):
        make()(ids(seq=24))
    caches = [KVCache(40) for _ in range(2)]
    model = make()
    with torch.no_grad():
        model(ids(seq=20), caches=caches)
        with pytest.raises(ValueError, match="got 24 and 23"):
            model(ids(seq=4), caches=caches)
    assert make("llama")(ids(seq=24)).shape == (BATCH, 24, VOCAB)


@pytest.mark.parametrize("create", [create_causal_mask, create_bidirectional_mask,
                                    partial(create_sliding_window_mask, window=2)])
def test_last_rows_are_cut_from_the_bottom_right(create):
    whole = create(5)
    for q_len in range(1, 6):
        rows = last_rows(create, q_len, 5)
        expected = whole[..., 5 - q_len :, :]
        assert expected.all() if rows is None else torch.equal(rows, expected)


def test_last_rows_keep_padding_out():
    padding = create_padding_mask(torch.tensor([4, 2]), 4).flip(-1)
    assert torch.equal(last_rows(create_causal_mask, 1, 4, padding), padding)
    assert torch.equal(last_rows(create_causal_mask, 4, 4, padding), create_causal_mask(4) & padding)


@pytest.mark.parametrize(("changes", "message"), [
    ({"d_model": 10, "num_heads": 3}, "d_model must be divisible by num_heads, got 10 and 3"),
    ({"num_kv_heads": 3}, "num_heads must be divisible by num_kv_heads, got 4 and 3"),
    ({"num_kv_heads": 0}, "num_kv_heads must be at least 1, got 0"),
    ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
    ({"vocab_size": 0}, "vocab_size must be at least 1, got 0"),
    ({"head_dim": 0}, "head_dim must be at least 1, got 0"),
    ({"dropout": 1.0}, r"dropout must be at least 0 and below 1, got 1\.0"),
])  # fmt: skip
def test_sizes_that_cannot_be_are_refused_with_both_numbers(changes, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        DecoderConfig(**SIZES | changes)
    with pytest.raises(ValueError, match=f"^{message}$"):
        TransformerConfig(**SIZES | changes)


def test_everything_is_made_where_the_tokens_are():
    """With another default device, whatever is made without saying where would be elsewhere."""
    for kind in DECODER_PARTS:
        model, tokens = make(kind), ids()
        mask = padding("left")
        expected, writing = model(tokens, mask), generate(model, tokens, 4, mask=mask)
        best = beam_search(model, tokens, 4, mask=mask)[0]
        with torch.device("meta"):
            assert torch.equal(model(tokens, mask), expected)
            assert torch.equal(generate(model, tokens, 4, mask=mask), writing)
            assert torch.equal(beam_search(model, tokens, 4, mask=mask)[0], best)


def test_a_tied_weight_is_drawn_once():
    """So the same seed gives the same embedding, tied or not, and to an encoder too."""
    made = [
        Decoder(DecoderConfig(**SIZES), torch.Generator().manual_seed(0)),
        Decoder(DecoderConfig(**SIZES, tied=False), torch.Generator().manual_seed(0)),
        Encoder(EncoderConfig(**SIZES), torch.Generator().manual_seed(0)),
    ]
    assert all(torch.equal(model.embedding.weight, made[0].embedding.weight) for model in made)


def test_dropout_stands_at_the_embedding_and_after_each_layer_and_nowhere_else():
    model = make(dropout=0.25)
    where = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    layers = [f"stack.blocks.{i}.{part}.dropout" for i in (0, 1) for part in ("self_attention", "feed_forward")]
    assert where == dict.fromkeys(["stack.dropout", *layers], 0.25)


@pytest.mark.parametrize("changes", [{"d_ff": 37.5}, {"num_layers": True}, {"num_heads": "4"}, {"head_dim": 5.0}])
def test_sizes_are_whole_numbers(changes):
    name, value = next(iter(changes.items()))
    with pytest.raises(TypeError, match=rf"^{name} must be a whole number, got {value!r}$"):
        unwrap(DecoderConfig.__init__)(DecoderConfig.__new__(DecoderConfig), **SIZES | changes)


def test_without_biases_there_are_none():
    model = make("llama")
    assert [name for name, _ in model.named_parameters() if name.endswith("bias")] == []
