"""Masking for a masked language model: by hand, what it does to 100,000 tokens, and where its chance comes from."""

import math
import re
from inspect import unwrap

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.objectives import IGNORE, mask_tokens, masked_lm_loss

BATCH, N, VOCAB = 3, 31, 13
START, END, PAD, MASK = 1, 2, 0, 3
SPECIAL = (START, END, PAD)
MANY = (101, 997)  # enough tokens for frequencies


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_ids(*shape: int, low: int = 4, seed: int = 0) -> Tensor:
    """Draw ids, by default none of the special ones."""
    return torch.randint(low, VOCAB, shape, generator=seeded(seed))


def within_five_sigma(count: float, trials: float, p: float) -> bool:
    """Compare with a binomial distribution: a right count falls outside for one seed in 1.7 million."""
    return abs(count - trials * p) <= 5 * math.sqrt(trials * p * (1 - p))


def test_masking_every_ordinary_token_by_hand():
    ids = torch.tensor([[START, 10, 11, 12, END, PAD], [START, 7, MASK, END, PAD, PAD]])
    inputs, labels = mask_tokens(ids, MASK, VOCAB, SPECIAL, rate=1, mask_share=1, random_share=0)
    assert inputs.tolist() == [[START, MASK, MASK, MASK, END, PAD], [START, MASK, MASK, END, PAD, PAD]]
    assert labels.tolist() == [[IGNORE, 10, 11, 12, IGNORE, IGNORE], [IGNORE, 7, IGNORE, IGNORE, IGNORE, IGNORE]]


def test_random_replacement_by_hand():
    # Of a vocabulary of 5 only 4 is not special: it is all that can be drawn.
    inputs, labels = mask_tokens(torch.full((2, 3), 4), MASK, 5, SPECIAL, rate=1, mask_share=0, random_share=1)
    assert (inputs == 4).all()
    assert (labels == 4).all()


def test_kept_tokens_by_hand():
    ids = torch.tensor([[START, 10, 11, END]])
    inputs, labels = mask_tokens(ids, MASK, VOCAB, SPECIAL, rate=1, mask_share=0, random_share=0)
    assert torch.equal(inputs, ids)
    assert labels.tolist() == [[IGNORE, 10, 11, IGNORE]]


@pytest.mark.parametrize(("rate", "mask_share", "random_share"), [(0.15, 0.8, 0.1), (0.4, 0.5, 0.3)])
def test_frequencies(rate, mask_share, random_share):
    ids = draw_ids(*MANY)
    inputs, labels = mask_tokens(ids, MASK, VOCAB, SPECIAL, rate, mask_share, random_share, generator=seeded(1))
    selected = labels != IGNORE
    count = selected.sum().item()
    assert within_five_sigma(count, ids.numel(), rate)
    assert within_five_sigma((inputs[selected] == MASK).sum().item(), count, mask_share)
    # One random draw of the 9 ordinary ids is the token that was there.
    changed = (inputs[selected] != MASK) & (inputs[selected] != ids[selected])
    assert within_five_sigma(changed.sum().item(), count, random_share * 8 / 9)


def test_every_position_is_selected_alike_and_neighbours_independently():
    draws, n = 2003, 7
    _, labels = mask_tokens(torch.full((draws, n), 5), MASK, VOCAB, generator=seeded())
    selected = labels != IGNORE
    assert all(within_five_sigma(count, draws, 0.15) for count in selected.sum(0).tolist())
    both = (selected[:, 1:] & selected[:, :-1]).sum(0).tolist()
    assert all(within_five_sigma(count, draws, 0.15**2) for count in both)


def test_random_tokens_are_drawn_evenly_from_the_ordinary_ids():
    ids = draw_ids(*MANY)
    inputs, _ = mask_tokens(ids, MASK, VOCAB, SPECIAL, rate=1, mask_share=0, random_share=1, generator=seeded(1))
    counts = inputs.flatten().bincount(minlength=VOCAB).tolist()
    assert counts[:4] == [0, 0, 0, 0]
    assert all(within_five_sigma(count, ids.numel(), 1 / 9) for count in counts[4:])


@pytest.mark.parametrize("seed", range(20))
def test_laws_of_masking(seed):
    ids = draw_ids(BATCH, N, low=0, seed=seed)
    kept = ids.clone()
    inputs, labels = mask_tokens(ids, MASK, VOCAB, SPECIAL, rate=0.5, generator=seeded(seed))
    special = ids <= MASK
    selected = labels != IGNORE
    assert torch.equal(ids, kept)
    assert inputs.data_ptr() != ids.data_ptr()
    assert not (selected & special).any()
    assert torch.equal(labels[selected], ids[selected])
    assert torch.equal(inputs[~selected], ids[~selected])
    assert (inputs[selected] >= MASK).all()


def test_each_call_masks_anew_and_the_same_generator_state_masks_alike():
    ids = draw_ids(BATCH, N)
    generator = seeded(5)
    first = mask_tokens(ids, MASK, VOCAB, generator=generator)
    second = mask_tokens(ids, MASK, VOCAB, generator=generator)
    again = mask_tokens(ids, MASK, VOCAB, generator=seeded(5))
    assert not torch.equal(first[1], second[1])
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_masking_neither_reads_nor_moves_the_global_seed():
    ids = draw_ids(BATCH, N)
    results = []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            state = torch.get_rng_state()
            results.append(mask_tokens(ids, MASK, VOCAB, generator=seeded(5))[0])
            assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*results)


def test_masking_without_a_generator_follows_the_default_one():
    ids = draw_ids(BATCH, N)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        inputs, _ = mask_tokens(ids, MASK, VOCAB)
    assert torch.equal(inputs, mask_tokens(ids, MASK, VOCAB, generator=seeded(5))[0])


def test_masking_says_on_which_device_it_draws():
    ids, generator = draw_ids(BATCH, N), seeded(5)
    with torch.device("meta"):  # whatever is made without a device has no values now, and cannot be mixed with ids
        inputs, _ = mask_tokens(ids, MASK, VOCAB, SPECIAL, generator=generator)
    assert torch.equal(inputs, mask_tokens(ids, MASK, VOCAB, SPECIAL, generator=seeded(5))[0])


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32])
def test_masking_keeps_the_dtype(dtype):
    ids = draw_ids(BATCH, N)
    for wide, narrow in zip(
        mask_tokens(ids, MASK, VOCAB, generator=seeded()),
        mask_tokens(ids.to(dtype), MASK, VOCAB, generator=seeded()),
        strict=True,
    ):
        assert narrow.dtype == dtype
        assert torch.equal(wide, narrow.long())


def test_masking_nothing_gives_nothing():
    inputs, labels = mask_tokens(draw_ids(0, N), MASK, VOCAB)
    assert inputs.shape == labels.shape == (0, N)


def test_the_loss_of_masked_tokens_is_the_loss_of_the_selected_positions():
    ids, logits = draw_ids(BATCH, N), torch.randn(BATCH, N, VOCAB, generator=seeded(1))
    _, labels = mask_tokens(ids, MASK, VOCAB, SPECIAL, generator=seeded())
    selected = labels != IGNORE
    assert 0 < selected.sum() < selected.numel()
    expected = F.cross_entropy(logits[selected], ids[selected])
    torch.testing.assert_close(masked_lm_loss(logits, labels), expected, rtol=0, atol=1e-6)


IDS = torch.tensor([[4, 5, 6]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mask_tokens(IDS, 3, 7, rate=0), "rate must be above 0 and at most 1, got 0"),
        (lambda: mask_tokens(IDS, 3, 7, rate=1.5), "rate must be above 0 and at most 1, got 1.5"),
        (lambda: mask_tokens(IDS, 3, 7, rate=math.nan), "rate must be above 0 and at most 1, got nan"),
        (lambda: mask_tokens(IDS, 3, 7, mask_share=1.1), "mask_share must be between 0 and 1, got 1.1"),
        (lambda: mask_tokens(IDS, 3, 7, random_share=-0.5), "random_share must be between 0 and 1, got -0.5"),
        (
            lambda: mask_tokens(IDS, 3, 7, random_share=0.3),
            "mask_share + random_share must be at most 1, got 0.8 and 0.3",
        ),
        (lambda: mask_tokens(IDS, 7, 7), "mask_id must be between 0 and 6, got 7"),
        (lambda: mask_tokens(IDS, 3, 7, special_ids=(-1,)), "special_ids must be between 0 and 6, got -1"),
        (lambda: mask_tokens(IDS, 3, 6), "ids must be between 0 and 5, got 6"),
        (lambda: mask_tokens(IDS - 5, 3, 6), "ids must be between 0 and 5, got -1"),
        (
            lambda: mask_tokens(IDS[:, :1], 4, 5, special_ids=range(4)),
            "vocab_size must be above the number of special ids, got 5 and 5",
        ),
    ],
)
def test_wrong_numbers_are_refused_with_the_numbers(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_bytes_can_be_masked():
    ids = torch.full((3, 50), 200, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    _, labels = unwrap(mask_tokens)(ids, mask_id=0, vocab_size=256, rate=0.5, generator=generator)
    assert set(labels.unique().tolist()) == {-100, 200}
