"""A model that cheats: the leak is found where the mask lets it through, copies are counted, and the repair holds."""

import dataclasses
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from course_lib.cheating import copy_rate, find_leak, repair
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.masks import (
    create_bidirectional_mask,
    create_causal_mask,
    create_prefix_mask,
    create_sliding_window_mask,
)

VOCAB, SEQ = 11, 5
SIZES = {"vocab_size": VOCAB, "d_model": 12, "num_layers": 2, "num_heads": 3, "d_ff": 7, "max_len": 32}


def off_by_one(seq_len, device=None):
    return create_bidirectional_mask(seq_len, device).tril(1)


def first_two(seq_len, device=None):
    return create_prefix_mask(min(2, seq_len), seq_len, device)


def leaks_when_long(seq_len, device=None):
    return (create_causal_mask if seq_len < 9 else off_by_one)(seq_len, device)


HONEST = {"causal": create_causal_mask, "window": partial(create_sliding_window_mask, window=2)}
CHEATING = {"bidirectional": create_bidirectional_mask, "off by one": off_by_one, "prefix": first_two}


def decoder(mask, layers=1, seed=0):
    config = DecoderConfig(**SIZES | {"num_layers": layers}, mask=mask)
    return Decoder(config, torch.Generator().manual_seed(seed)).eval().requires_grad_(False)


def some_ids(batch=3, seq=SEQ, seed=1):
    return torch.randint(VOCAB, (batch, seq), generator=torch.Generator().manual_seed(seed))


def says(choose):
    """A model that is sure of the token that `choose` gives for each position."""
    return lambda ids: F.one_hot(choose(ids) % VOCAB, VOCAB).float()


@pytest.mark.parametrize("mask", [*HONEST.values(), *CHEATING.values()], ids=[*HONEST, *CHEATING])
@pytest.mark.parametrize("seed", range(3))
def test_one_layer_leaks_exactly_where_its_mask_looks_ahead(mask, seed):
    found = find_leak(decoder(mask, seed=seed), some_ids(seed=seed), VOCAB)
    torch.testing.assert_close(found, mask(SEQ)[0, 0].triu(1))


def test_two_layers_hand_a_leak_on():
    """With a mask that is off by one, position 0 reads token 1, and through what position 1 has read, token 2."""
    found = find_leak(decoder(off_by_one, layers=2), some_ids(), VOCAB)
    torch.testing.assert_close(found, torch.ones(SEQ, SEQ, dtype=torch.bool).triu(1).tril(2))


def test_a_leak_by_hand():
    """Position 0 feels token 2 alone, and only as token 7; nan and minus infinity stay what they are."""

    def model(ids):
        logits = torch.zeros(*ids.shape, VOCAB)
        logits[..., 0], logits[..., 1] = torch.nan, -torch.inf
        logits[:, 0, 4] += 1e-6 * (ids[:, 2] == 7)
        return logits + ids.cumsum(1)[..., None]

    expected = torch.zeros(SEQ, SEQ, dtype=torch.bool)
    expected[0, 2] = True
    ids = torch.tensor([[3, 1, 5, 0, 2], [4, 4, 1, 9, 9]])
    torch.testing.assert_close(find_leak(model, ids, VOCAB), expected)


def test_a_model_may_write_into_what_it_gets():
    def model(ids):
        ids += 1
        return ids[..., None].float().cumsum(1)

    ids = some_ids()
    assert not find_leak(model, ids, VOCAB).any()
    torch.testing.assert_close(ids, some_ids())


def test_a_single_token_cannot_leak():
    assert find_leak(decoder(create_bidirectional_mask), some_ids(seq=1), VOCAB).tolist() == [[False]]


SAID = {
    "the next token": (lambda ids: ids.roll(-1, dims=1), 1.0),
    "the token just read": (lambda ids: ids, 0.0),
    "the one after the next": (lambda ids: ids.roll(-1, dims=1) + 1, 0.0),
    "the token after next": (lambda ids: ids.roll(-2, dims=1), 0.0),
    "the next token in the first row": (lambda ids: ids.roll(-1, dims=1) + torch.tensor([[0], [1], [1]]), 1 / 3),
    "the next token at position 1": (lambda ids: ids.roll(-1, dims=1) + torch.tensor([1, 0, 1, 1, 1]), 1 / 4),
}


@pytest.mark.parametrize(("choose", "expected"), SAID.values(), ids=SAID.keys())
def test_copies_are_counted(choose, expected):
    ids = torch.tensor([[3], [8], [5]]).repeat(1, SEQ)
    rate = copy_rate(says(choose), ids, VOCAB, torch.Generator().manual_seed(2))
    assert type(rate) is float
    assert rate == pytest.approx(expected)
    assert ids.unique(dim=1).shape == (3, 1)


def test_who_knows_the_text_by_heart_copies_nothing():
    ids = some_ids(batch=200)
    assert copy_rate(says(lambda _: ids.roll(-1, dims=1)), ids, VOCAB) == 0


def test_an_honest_model_copies_by_chance_alone():
    model, ids = decoder(create_causal_mask, layers=2), some_ids(batch=2000)
    rate = copy_rate(model, ids, VOCAB, torch.Generator().manual_seed(3))
    assert 0 <= rate < 1 / (VOCAB - 1) + 0.02  # six standard errors


def test_questions_are_drawn_from_the_generator():
    def asked(seed):
        rows = []
        copy_rate(lambda ids: rows.append(ids.clone()) or says(lambda i: i)(ids), some_ids(), VOCAB, seed)
        return torch.stack(rows)

    one, other, third = (asked(torch.Generator().manual_seed(seed)) for seed in (4, 4, 5))
    torch.testing.assert_close(one, other)
    assert not torch.equal(one, third)
    assert (one != some_ids()).sum((1, 2)).tolist() == [3] * (SEQ - 1)


def test_nothing_to_predict_or_to_draw_is_an_error():
    with pytest.raises(ValueError, match="nothing is predicted in a sequence of 1 tokens"):
        copy_rate(says(lambda ids: ids), some_ids(seq=1), VOCAB)
    with pytest.raises(ValueError, match="another id"):
        copy_rate(says(lambda ids: ids), torch.zeros(1, 3, dtype=torch.long), 1)


@pytest.mark.parametrize("mask", [*CHEATING.values(), leaks_when_long], ids=[*CHEATING, "when long"])
def test_a_mask_that_looks_ahead_is_replaced_and_nothing_else(mask):
    config = DecoderConfig(**SIZES, mask=mask, dropout=0.2, tied=False)
    repaired = repair(config)
    assert repaired == dataclasses.replace(config, mask=create_causal_mask)
    assert config.mask is mask
    assert not find_leak(Decoder(repaired).eval(), some_ids(seq=10, batch=1), VOCAB).any()


@pytest.mark.parametrize("mask", HONEST.values(), ids=HONEST.keys())
def test_a_mask_that_never_looks_ahead_stays(mask):
    config = DecoderConfig(**SIZES, mask=mask)
    assert repair(config) == config
