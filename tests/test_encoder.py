"""The encoder: every token informs every other, padding informs none."""

import pytest
import torch

from course_lib.encoder import Encoder, EncoderConfig
from course_lib.masks import create_bidirectional_mask, create_causal_mask, create_padding_mask
from course_lib.positions import Positions
from tests.models import (
    DTYPES,
    PARTS,
    SEQ,
    SIZES,
    assert_padding_does_not_count,
    assert_same,
    drawn,
    ids,
    other,
    padding,
)

every_kind = pytest.mark.parametrize("kind", PARTS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def make(kind: str = "gpt-2", dtype: torch.dtype = torch.float32, **more) -> Encoder:
    return drawn(Encoder(EncoderConfig(**SIZES | PARTS[kind] | more)), dtype=dtype)


@every_kind
def test_a_changed_token_moves_every_output(kind):
    model, tokens = make(kind), ids()
    before = model(tokens)
    for position in range(SEQ):
        changed = tokens.clone()
        changed[:, position] = other(tokens[:, position])
        assert (before != model(changed)).any(-1).all()


@every_kind
@every_dtype
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing_on_either_side(kind, dtype, side):
    assert_padding_does_not_count(make(kind, dtype), side)


@every_dtype
def test_no_mask_is_the_mask_that_allows_all(dtype):
    model, tokens = make(dtype=dtype), ids()
    assert_same(model(tokens), model(tokens, create_bidirectional_mask(SEQ)))


def test_a_sequence_of_padding_alone_gives_finite_numbers_and_gradients():
    model = make()
    hidden = model(ids(), create_padding_mask(torch.tensor([SEQ, 0, 3]), SEQ))
    assert hidden.isfinite().all()
    hidden.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


def test_without_positions_the_order_of_the_tokens_does_not_count():
    model, tokens = make(position=Positions), ids()
    order = torch.randperm(SEQ, generator=torch.Generator().manual_seed(0))
    assert_same(model(tokens[:, order]), model(tokens)[:, order])
    assert not torch.allclose(make()(tokens[:, order]), make()(tokens)[:, order], atol=0.1)


@every_kind
def test_each_way_of_telling_positions_makes_the_order_count(kind):
    model, tokens = make(kind), ids()
    assert not torch.allclose(model(tokens.flip(1)), model(tokens).flip(1), atol=0.1)


def test_the_same_word_is_another_vector_in_another_context_and_under_a_causal_mask_only_after_the_clue():
    model, tokens = make(), ids(batch=1)
    clue_after = tokens.clone()
    clue_after[0, 8] = other(tokens[0, 8])
    causal = create_causal_mask(SEQ)
    assert (model(tokens)[0, 3] != model(clue_after)[0, 3]).any()
    assert torch.equal(model(tokens, causal)[0, 3], model(clue_after, causal)[0, 3])
    assert (model(tokens, causal)[0, 9] != model(clue_after, causal)[0, 9]).any()


def test_dropout_acts_while_training_alone():
    model, tokens = make(dropout=0.5), ids()
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))


def test_positions_can_be_given_and_a_generator_decides_the_weights():
    model, tokens = make(), ids()
    assert torch.equal(model(tokens, positions=torch.arange(SEQ)[None]), model(tokens))
    assert not torch.equal(model(tokens, positions=torch.arange(SEQ)[None] + 1), model(tokens))
    first, second = (Encoder(EncoderConfig(**SIZES), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first(tokens), second(tokens))


def test_everything_is_made_where_the_tokens_are():
    """With another default device, whatever is made without saying where would be elsewhere."""
    for kind in PARTS:
        model, tokens = make(kind), ids()
        expected = model(tokens, padding("right"))
        mask = padding("right")
        with torch.device("meta"):
            assert torch.equal(model(tokens, mask), expected)
            assert torch.equal(model(tokens), model(tokens))
