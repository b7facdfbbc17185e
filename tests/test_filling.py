"""Masks are filled in the rounds asked for, the surest first, and nothing else is touched."""

import pytest
import torch

from course_lib.filling import fill_masks
from course_lib.worlds.special_tokens import FIRST_ORDINARY, MASK, PAD

VOCAB = FIRST_ORDINARY + 5
A, B = FIRST_ORDINARY, FIRST_ORDINARY + 3


def everything(ids):
    return torch.ones(len(ids), 1, 1, ids.shape[1], dtype=torch.bool)


def peaked(*tokens, heights=None):
    """A model that knows one token for each place, more or less surely."""
    logits = torch.zeros(1, len(tokens), VOCAB)
    for place, token in enumerate(tokens):
        logits[0, place, token] = 1e4 if heights is None else heights[place]
    return lambda ids, mask: logits.expand(len(ids), -1, -1)


def test_only_masks_are_filled_and_the_ids_given_stay():
    ids = torch.tensor([[A, MASK, PAD], [MASK, B, MASK]])
    before = ids.clone()
    written = fill_masks(peaked(B, B, B), ids, everything(ids), steps=1)
    assert written.tolist() == [[A, B, PAD], [B, B, B]]
    assert torch.equal(ids, before)


@pytest.mark.parametrize(("steps", "left"), [(1, [4, 0]), (2, [4, 2, 0]), (3, [4, 2, 1, 0]), (4, [4, 3, 2, 1, 0])])
def test_each_round_fills_its_share(steps, left):
    seen = []

    def watching(ids, mask):
        seen.append(int((ids == MASK).sum()))
        return torch.zeros(1, 4, VOCAB)

    ids = torch.full((1, 4), MASK)
    written = fill_masks(watching, ids, everything(ids), steps, torch.Generator().manual_seed(0))
    assert [*seen, int((written == MASK).sum())] == left


def test_the_surest_place_comes_first_and_later_ones_can_read_it():
    """Place 2 is sure of B; the other places say B only once they see it."""

    def model(ids, mask):
        token = torch.where((ids == B).any(-1), B, A)
        logits = torch.zeros(1, 3, VOCAB)
        logits[0, :2, token] = 8.0
        logits[0, 2, B] = 1e4
        return logits

    ids = torch.full((1, 3), MASK)
    generator = torch.Generator().manual_seed(0)
    assert fill_masks(model, ids, everything(ids), 3, generator).tolist() == [[B, B, B]]
    assert fill_masks(model, ids, everything(ids), 1, generator).tolist() == [[A, A, B]]


def test_special_tokens_are_never_drawn_and_draws_follow_the_model():
    ids = torch.full((4000, 1), MASK)
    logits = torch.full((4000, 1, VOCAB), -torch.inf)
    logits[..., [PAD, A, B]] = torch.tensor([50.0, 0.0, 3.0**0.5])
    written = fill_masks(lambda ids, mask: logits, ids, everything(ids), 1, torch.Generator().manual_seed(1))
    assert set(written.flatten().tolist()) == {A, B}
    chance = torch.tensor([0.0, 3.0**0.5]).softmax(0)[1].item()
    assert (written == B).double().mean().item() == pytest.approx(chance, abs=4 * (chance * (1 - chance) / 4000) ** 0.5)


def test_the_same_seed_writes_the_same_and_a_round_is_needed():
    ids = torch.full((2, 5), MASK)
    flat = torch.zeros(2, 5, VOCAB)
    one, other = (
        fill_masks(lambda ids, mask: flat, ids, everything(ids), 2, torch.Generator().manual_seed(4)) for _ in range(2)
    )
    assert torch.equal(one, other)
    with pytest.raises(ValueError, match="steps"):
        fill_masks(lambda ids, mask: flat, ids, everything(ids), 0)
