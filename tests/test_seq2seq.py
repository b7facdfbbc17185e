"""The encoder-decoder: the target is written causally, the whole source is read, its padding never."""

import pytest
import torch

from course_lib.cache import KVCache
from course_lib.masks import create_padding_mask
from course_lib.positions import LearnedPositions, RelativePositions, RotaryPositions
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from tests.models import BATCH, DTYPES, PARTS, SEQ, SIZES, VOCAB, assert_same, drawn, ids, other

TARGET = 7
every_kind = pytest.mark.parametrize("kind", PARTS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def make(kind: str = "gpt-2", dtype: torch.dtype = torch.float32, **more) -> EncoderDecoder:
    config = EncoderDecoderConfig(**SIZES | PARTS[kind] | {"num_decoder_layers": 3} | more)
    return drawn(EncoderDecoder(config), dtype=dtype)


def source_mask() -> torch.Tensor:
    return create_padding_mask(torch.tensor([SEQ, 6, 2]), SEQ)


def target() -> torch.Tensor:
    return ids(seq=TARGET, seed=1)


@every_kind
@every_dtype
def test_a_changed_future_target_leaves_earlier_logits_bit_equal(kind, dtype):
    model = make(kind, dtype)
    before = model(ids(), target(), source_mask())
    for position in range(1, TARGET):
        changed = target()
        changed[:, position] = other(changed[:, position])
        after = model(ids(), changed, source_mask())
        assert torch.equal(before[:, :position], after[:, :position])
        if dtype != torch.bfloat16:  # where a small change can be rounded away
            assert (before[:, position:] != after[:, position:]).any(-1).all()


@every_kind
@every_dtype
def test_every_real_token_of_the_source_moves_every_logit_and_padding_none(kind, dtype):
    model = make(kind, dtype)
    before = model(ids(), target(), source_mask())
    for position in range(SEQ):
        changed = ids()
        changed[:, position] = other(changed[:, position])
        moved = (before != model(changed, target(), source_mask())).any(-1)
        real = source_mask()[:, 0, 0, position]
        assert not moved[~real].any()
        if dtype != torch.bfloat16:
            assert moved[real].all()


@every_kind
@every_dtype
@pytest.mark.parametrize("size", [1, 2, TARGET])
def test_cached_equals_uncached(kind, dtype, size):
    model = make(kind, dtype)
    whole = model(ids(), target(), source_mask()).detach()
    with torch.no_grad():
        memory = model.encode(ids(), source_mask())
        caches = [KVCache(TARGET) for _ in model.decoder.blocks]
        parts = [model.head(model.hidden(part, memory, caches=caches)) for part in target().split(size, dim=1)]
    assert_same(torch.cat(parts, dim=1), whole)


@every_kind
def test_padding_of_the_target_changes_nothing_on_either_side(kind):
    model = make(kind, torch.float64)
    for flip in (False, True):
        mask = create_padding_mask(torch.tensor([TARGET, 5, 1]), TARGET)
        mask = mask.flip(-1) if flip else mask
        logits = model(ids(), target(), None, mask)
        for row, length in enumerate((TARGET, 5, 1)):
            real = mask[row, 0, 0]
            alone = model(ids()[row][None], target()[row, real][None])
            assert_same(logits[row, real], alone[0])
            assert real.sum() == length


@every_kind
def test_padding_of_the_source_changes_nothing_on_either_side(kind):
    model = make(kind, torch.float64)
    for mask in (source_mask(), source_mask().flip(-1)):
        logits = model(ids(), target(), mask)
        for row in range(BATCH):
            alone = model(ids()[row, mask[row, 0, 0]][None], target()[row][None])
            assert_same(logits[row], alone[0])


def test_an_empty_source_gives_finite_numbers_and_gradients():
    model = make()
    empty = create_padding_mask(torch.tensor([0, SEQ, 0]), SEQ)
    logits = model(ids(), target(), empty)
    assert logits.isfinite().all()
    assert torch.equal(logits[0], model(other(ids()), target(), empty)[0])
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name


def test_gradients_reach_every_parameter_of_both_sides():
    model = make("t5")
    model(ids(), target(), source_mask()).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_the_keys_and_values_of_the_source_are_computed_once(monkeypatch):
    model, asked = make(), []
    for block in model.decoder.blocks:
        layer = block.cross_attention.layer
        monkeypatch.setattr(layer, "keys_values", lambda x, f=layer.keys_values: asked.append(1) or f(x))
    memory = model.encode(ids(), source_mask())
    for step in range(3):
        model.hidden(target()[:, : step + 1], memory)
    assert len(asked) == 3  # one for each layer, whatever is written


def test_the_two_stacks_may_have_different_depths():
    model = make()
    assert (len(model.encoder.blocks), len(model.decoder.blocks)) == (2, 3)
    assert EncoderDecoderConfig(**SIZES).decoder_side.num_layers == 2
    assert model(ids(), target()).shape == (BATCH, TARGET, VOCAB)
    with pytest.raises(ValueError, match=r"^num_decoder_layers must be at least 1, got 0$"):
        EncoderDecoderConfig(**SIZES, num_decoder_layers=0)


def test_weights_are_shared_where_they_should_be_and_drawn_from_the_generator():
    tied, untied = (EncoderDecoder(EncoderDecoderConfig(**SIZES, tied=t), seeded()) for t in (True, False))
    assert tied.head.weight is tied.embedding.weight
    assert untied.head.weight is not untied.embedding.weight
    assert torch.equal(tied.embedding.weight, untied.embedding.weight)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def test_parts_of_the_decoder_are_those_that_were_asked_for():
    model = make(position=RotaryPositions, decoder_position=LearnedPositions)
    assert (type(model.encoder.position), type(model.decoder.position)) == (RotaryPositions, LearnedPositions)
    assert type(make("t5").decoder.position) is RelativePositions
    for bias in (True, False):
        cross = make(bias=bias).decoder.blocks[0].cross_attention.layer
        assert all((getattr(cross, f"W_{name}").bias is not None) == bias for name in "qkvo")


def test_everything_is_made_where_the_tokens_are():
    """With another default device, whatever is made without saying where would be elsewhere."""
    for kind in PARTS:
        model, sources, targets, mask = make(kind), ids(), target(), source_mask()
        expected = model(sources, targets, mask)
        with torch.device("meta"):
            assert torch.equal(model(sources, targets, mask), expected)
