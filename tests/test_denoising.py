"""Denoising: lengths by T5's rule, what is cut and put back, and how the spans and sentences fall."""

import math
import re
from collections import Counter
from inspect import unwrap
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from course_lib.denoising import (
    join_spans,
    permute_sentences,
    raw_length_for,
    span_corrupt,
    span_corruption_lengths,
    text_infilling,
)

EOS, MASK, STOP, COMMA = 1, 2, 3, 4
SENTINELS = range(32099, 31999, -1)  # T5's hundred, the first the highest
UL2 = [(3, 0.15), (8, 0.15), (math.inf, 0.25), (3, 0.5), (8, 0.5), (64, 0.15), (64, 0.5)]  # mean span, density
LENGTHS = (2, 3, 5, 7, 11, 31, 101, 199)
SEEDS = range(20)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def text(n: int) -> Tensor:
    """Make n tokens that are all different and none special, so that it shows where each one went."""
    return torch.arange(100, 100 + n)


def corrupt(n: int, seed: int = 0, mean_span: float = 3, density: float = 0.15) -> tuple[list[int], list[int]]:
    return tuple(
        side.tolist() for side in span_corrupt(text(n), SENTINELS, EOS, density, mean_span, generator=seeded(seed))
    )


def span_lengths(targets: list[int]) -> list[int]:
    """Give the length of the span behind each sentinel."""
    starts = [i for i, token in enumerate(targets) if token in SENTINELS]
    return [end - start - 1 for start, end in pairwise([*starts, len(targets) - 1])]


def within_five_sigma(count: float, trials: float, p: float) -> bool:
    """Compare with a binomial distribution: a right count falls outside for one seed in 1.7 million."""
    return abs(count - trials * p) <= 5 * math.sqrt(trials * p * (1 - p))


# lengths


@pytest.mark.parametrize(
    ("raw", "density", "mean_span", "expected"),
    [
        (568, 0.15, 3, (512, 114)),
        (141, 0.15, 3, (128, 29)),
        (70, 0.15, 3, (64, 14)),  # 10.5 noise tokens are 10, the even number
        (50, 0.15, 3, (46, 12)),  # 7.5 are 8, in 2.67 = 3 spans
        (2, 0.15, 3, (3, 3)),  # 0.3 noise tokens are 1 all the same, in 1 span
        (2, 0.99, 3, (3, 3)),  # and 2 are 1: a token is kept
        (100, 0.5, 20, (53, 53)),  # 50 in 2.5 = 2 spans
        (100, 0.25, math.inf, (77, 27)),
        (7, 0.8, 1, (3, 8)),  # 6 noise tokens, and as many spans as kept tokens: 1
    ],
)
def test_lengths_by_hand(raw, density, mean_span, expected):
    assert span_corruption_lengths(raw, density, mean_span) == expected


@pytest.mark.parametrize(("inputs", "expected"), [(512, (568, 114)), (128, (141, 29)), (64, (70, 14)), (3, (2, 3))])
def test_raw_length_by_hand(inputs, expected):
    assert raw_length_for(inputs) == expected


@pytest.mark.parametrize(("mean_span", "density"), [*UL2, (1, 0.01), (1, 0.9), (2, 0.99)])
def test_raw_length_is_the_largest_that_fits(mean_span, density):
    lengths = {raw: span_corruption_lengths(raw, density, mean_span) for raw in range(2, 3500)}
    for inputs in (3, 4, 5, 7, 13, 31):
        largest = max(raw for raw, (needed, _) in lengths.items() if needed <= inputs)
        assert raw_length_for(inputs, density, mean_span) == (largest, lengths[largest][1])


def test_every_raw_token_is_an_input_or_a_target():
    for raw in range(2, 700):
        inputs, targets = span_corruption_lengths(raw)
        assert (inputs + targets - raw) % 2 == 0  # each span's sentinel and the end token stand on both sides


# span_corrupt and join_spans


def test_corruption_by_hand():
    # 3 noise tokens in 3 spans between 3 kept tokens: there is one way.
    inputs, targets = span_corrupt(torch.tensor([10, 11, 12, 13, 14, 15]), (99, 98, 97, 96), EOS, 0.5, 1)
    assert inputs.tolist() == [10, 99, 12, 98, 14, 97, EOS]
    assert targets.tolist() == [99, 11, 98, 13, 97, 15, EOS]


def test_one_span_leaves_a_prefix_by_hand():
    inputs, targets = span_corrupt(torch.tensor([10, 11, 12, 13, 14, 15, 16, 17]), (99,), EOS, 0.25, math.inf)
    assert inputs.tolist() == [10, 11, 12, 13, 14, 15, 99, EOS]
    assert targets.tolist() == [99, 16, 17, EOS]


def test_t5_lengths_come_out():
    inputs, targets = corrupt(568)
    assert (len(inputs), len(targets)) == (512, 114)
    lengths = span_lengths(targets)
    assert (sum(lengths), len(lengths)) == (85, 28)  # mean span 3.04, density 14.96 %


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize(("mean_span", "density"), [*UL2, (1, 0.9)])
def test_laws_of_corruption(n, mean_span, density):
    for seed in SEEDS:
        inputs, targets = corrupt(n, seed, mean_span, density)
        assert (len(inputs), len(targets)) == span_corruption_lengths(n, density, mean_span)
        # A fresh sentinel for each span, in order, the same on both sides, and the end token last.
        used = [token for token in inputs if token in SENTINELS]
        assert used == list(SENTINELS[: len(used)]) == [token for token in targets if token in SENTINELS]
        assert inputs[-1] == targets[-1] == EOS
        # Kept text first, spans apart from one another, noise last; no span is empty.
        assert inputs[0] not in SENTINELS
        assert all(not (a in SENTINELS and b in SENTINELS) for a, b in pairwise(inputs))
        assert inputs[-2] == used[-1]
        assert min(span_lengths(targets)) >= 1
        # No token is lost, doubled or moved.
        assert join_spans(torch.tensor(inputs), torch.tensor(targets), SENTINELS, EOS).tolist() == text(n).tolist()


def test_all_ways_to_cut_are_equally_likely():
    # 7 tokens, 3 of them noise in 2 spans: 4 kept tokens part in 3 ways, the noise in 2.
    draws, generator, seen = 1200, seeded(), Counter()
    for _ in range(draws):
        inputs, targets = span_corrupt(text(7), SENTINELS, EOS, 3 / 7, 1.5, generator=generator)
        seen[(inputs.tolist().index(SENTINELS[0]), *span_lengths(targets.tolist()))] += 1
    assert set(seen) == {(kept, *noise) for kept in (1, 2, 3) for noise in ((1, 2), (2, 1))}
    assert all(within_five_sigma(count, draws, 1 / 6) for count in seen.values())


def test_span_lengths_vary():
    lengths = Counter(length for seed in SEEDS for length in span_lengths(corrupt(568, seed)[1]))
    # Each of the 84 gaps between noise tokens is one of the 27 cuts equally often: then the span before it is over.
    assert within_five_sigma(lengths[1], lengths.total(), 27 / 84)
    assert max(lengths) > 6


def test_join_takes_what_corruption_gives_and_no_other():
    inputs, targets = torch.tensor([10, 99, 12, 98, EOS]), torch.tensor([99, 11, 98, 13, EOS])
    assert join_spans(inputs, targets, (99, 98), EOS).tolist() == [10, 11, 12, 13]
    bare = torch.tensor([10, 11, EOS])
    assert join_spans(bare, bare[-1:], (99, 98), EOS).tolist() == [10, 11]
    # A model may leave a span empty; it is then put back as nothing.
    assert join_spans(inputs, torch.tensor([99, 98, 13, EOS]), (99, 98), EOS).tolist() == [10, 12, 13]


# text_infilling


def gaps(inputs: list[int], n: int) -> list[tuple[int, int]]:
    """Give (tokens missing, masks) for the gap before each kept token and for the one at the end."""
    found, masks, last = [], 0, 99
    for token in [*inputs, 100 + n]:
        if token == MASK:
            masks += 1
        else:
            found.append((token - last - 1, masks))
            masks, last = 0, token
    return found


def test_infilling_by_hand():
    # 2 of 5 tokens in one span, since spans are long: it can begin in 4 places.
    seen = {tuple(text_infilling(text(5), MASK, 0.4, 1000, generator=seeded(seed)).tolist()) for seed in range(60)}
    expected = [(MASK, 102, 103, 104), (100, MASK, 103, 104), (100, 101, MASK, 104), (100, 101, 102, MASK)]
    assert seen == set(expected)


def test_a_short_text_stays_whole():
    assert text_infilling(text(1), MASK).tolist() == [100]
    assert text_infilling(text(0), MASK).tolist() == []


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize(("density", "mean_span"), [(0.3, 3), (0.15, 1), (0.9, 3), (0.5, math.inf)])
def test_laws_of_infilling(n, density, mean_span):
    for seed in SEEDS:
        inputs = text_infilling(text(n), MASK, density, mean_span, generator=seeded(seed)).tolist()
        kept = [token for token in inputs if token != MASK]
        assert len(kept) == n - round(n * density)
        assert kept == sorted(set(kept))
        assert set(kept) <= set(text(n).tolist())
        assert all(masks >= 1 for missing, masks in gaps(inputs, n) if missing)


def test_spans_are_as_many_as_poisson_lengths_cover():
    n, noise, mean = 1009, 303, 3
    counts = [
        text_infilling(text(n), MASK, 0.3, mean, generator=seeded(seed)).eq(MASK).sum().item() for seed in range(199)
    ]
    # Renewal theory: the last span reaches mean / 2 beyond the noise on average, before it is cut; the number of
    # spans has variance noise / mean². Without spans of length 0 there would be 5 % fewer, 12 standard errors.
    expected, sigma = (noise + mean / 2) / mean, math.sqrt(noise) / mean
    assert abs(sum(counts) / len(counts) - expected) <= 5 * sigma / math.sqrt(len(counts))


def test_spans_of_length_zero_insert_a_mask():
    # A gap with one mask and nothing missing is a span of length 0; e⁻³ of all spans are.
    n, alone = 307, Counter()
    for seed in range(199):
        inputs = text_infilling(text(n), MASK, generator=seeded(seed)).tolist()
        alone.update(missing for missing, masks in gaps(inputs, n) if masks == 1)
    assert within_five_sigma(alone[0], alone.total(), math.exp(-3))


def test_every_place_is_equally_likely():
    draws, generator = 1200, seeded()
    starts = Counter(
        text_infilling(text(7), MASK, 2 / 7, 1000, generator=generator).tolist().index(MASK) for _ in range(draws)
    )
    assert set(starts) == set(range(6))
    assert all(within_five_sigma(count, draws, 1 / 6) for count in starts.values())


# permute_sentences


def test_permuted_sentences_by_hand_in_every_order():
    ids = torch.tensor([5, 6, STOP, 7, STOP, 8])
    draws, generator = 1200, seeded()
    seen = Counter(tuple(permute_sentences(ids, (STOP,), generator).tolist()) for _ in range(draws))
    first, second, third = (5, 6, STOP), (7, STOP), (8,)
    assert set(seen) == {
        first + second + third,
        first + third + second,
        second + first + third,
        second + third + first,
        third + first + second,
        third + second + first,
    }
    assert all(within_five_sigma(count, draws, 1 / 6) for count in seen.values())


def test_two_marks_end_sentences_and_one_sentence_stays():
    ids = torch.tensor([5, STOP, 6, COMMA])
    seen = {tuple(permute_sentences(ids, {STOP, COMMA}, seeded(seed)).tolist()) for seed in SEEDS}
    assert seen == {(5, STOP, 6, COMMA), (6, COMMA, 5, STOP)}
    for end_ids in ((), (COMMA,), (99,)):
        assert torch.equal(permute_sentences(ids, end_ids), ids)
    assert permute_sentences(ids[:0], (STOP,)).tolist() == []


@pytest.mark.parametrize("seed", SEEDS)
def test_laws_of_permutation(seed):
    ids = torch.randint(STOP, 11, (101,), generator=seeded(seed))
    ids[-1] = STOP
    moved = permute_sentences(ids, (STOP,), generator=seeded(seed + 100))

    def sentences(tokens: Tensor) -> list[str]:
        return sorted("".join(chr(token) for token in tokens).split(chr(STOP)))

    assert sentences(moved) == sentences(ids)
    assert not torch.equal(moved, ids)


# all of them

DRAWS = {
    "span_corrupt": lambda ids, generator: span_corrupt(ids, SENTINELS, EOS, generator=generator),
    "text_infilling": lambda ids, generator: (text_infilling(ids, MASK, generator=generator),),
    "permute_sentences": lambda ids, generator: (permute_sentences(ids, range(100, 201, 10), generator=generator),),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_chance_comes_from_the_generator_alone(draw):
    ids = text(101)
    kept = ids.clone()
    results = []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            state = torch.get_rng_state()
            results.append(draw(ids, seeded(5)))
            assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(5)
        results.append(draw(ids, None))  # without a generator, the default one
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))
    generator = seeded(5)
    assert torch.equal(draw(ids, generator)[0], results[0][0])
    assert not torch.equal(draw(ids, generator)[0], results[0][0])
    assert torch.equal(ids, kept)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_each_says_on_which_device_it_draws(draw):
    ids, generator = text(101), seeded(5)
    with torch.device("meta"):  # whatever is made without a device has no values now, and cannot be mixed with ids
        results = draw(ids, generator)
    assert all(torch.equal(a, b) for a, b in zip(results, draw(ids, seeded(5)), strict=True))


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_dtype_is_kept(draw):
    for wide, narrow in zip(draw(text(101), seeded(5)), draw(text(101).int(), seeded(5)), strict=True):
        assert narrow.dtype == torch.int32
        assert torch.equal(wide, narrow.long())


def join(inputs: list[int], targets: list[int]) -> Tensor:
    return join_spans(torch.tensor(inputs, dtype=torch.long), torch.tensor(targets), (99, 98), EOS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: span_corruption_lengths(1), "raw length must be at least 2, got 1"),
        (lambda: span_corruption_lengths(7, density=0), "density must be above 0 and below 1, got 0"),
        (lambda: span_corruption_lengths(7, density=1.0), "density must be above 0 and below 1, got 1.0"),
        (lambda: span_corruption_lengths(7, mean_span=0.5), "mean_span must be at least 1, got 0.5"),
        (lambda: span_corruption_lengths(7, mean_span=math.nan), "mean_span must be at least 1, got nan"),
        (lambda: raw_length_for(2), "input_length must be at least 3, got 2"),
        (lambda: raw_length_for(7, density=1), "density must be above 0 and below 1, got 1"),
        (lambda: span_corrupt(text(1), SENTINELS, EOS), "raw length must be at least 2, got 1"),
        (
            lambda: span_corrupt(text(101), (99, 98), EOS),
            "sentinel_ids must hold at least 5 ids, one for each span, got 2",
        ),
        (
            lambda: span_corrupt(text(7), (99, 98, 99), EOS),
            "sentinel_ids and eos_id must all differ, got [99, 98, 99] and 1",
        ),
        (lambda: span_corrupt(text(7), (99, EOS), EOS), "sentinel_ids and eos_id must all differ, got [99, 1] and 1"),
        (lambda: span_corrupt(text(7), (99, 103), EOS), "ids must not hold a sentinel, got 103"),
        (lambda: join([10, 99], [99, 11, EOS]), "inputs must end in eos_id 1, got [99]"),
        (lambda: join([10, 99, EOS], [99, 11, 98]), "targets must end in eos_id 1, got [98]"),
        (lambda: join([], [99, EOS]), "inputs must end in eos_id 1, got []"),
        (lambda: join([10, 98, EOS], [99, 11, EOS]), "inputs must hold the sentinels [99] in this order, got [98]"),
        (
            lambda: join([10, 98, 12, 99, EOS], [98, 11, 99, 13, EOS]),
            "inputs must hold the sentinels [99, 98] in this order, got [98, 99]",
        ),
        (
            lambda: join([10, 99, 12, 98, EOS], [99, 11, 99, 13, EOS]),
            "targets must hold the sentinels [99, 98] in this order, got [99, 99]",
        ),
        (
            lambda: join([10, 99, EOS], [99, 11, 98, EOS]),
            "inputs and targets must hold equally many sentinels, got 1 and 2",
        ),
        (lambda: join([10, 99, EOS], [11, 99, EOS]), "targets must begin with a sentinel, got 11"),
        (lambda: text_infilling(text(7), MASK, density=0), "density must be above 0 and below 1, got 0"),
        (lambda: text_infilling(text(7), MASK, mean_span=0.9), "mean_span must be at least 1, got 0.9"),
        (lambda: text_infilling(text(7), 103), "ids must not hold mask_id, got 103"),
    ],
)
def test_wrong_values_are_refused_with_the_numbers(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_a_batch_is_refused():
    batch = torch.arange(40).view(2, 20)
    for damage in (
        lambda: span_corrupt(batch, (99, 98), 1),
        lambda: text_infilling(batch, 99),
        lambda: permute_sentences(batch, (3,)),
    ):
        with pytest.raises((ValueError, TypeError)):  # with shapes checked, the type comes first
            damage()
    with pytest.raises(ValueError, match=r"^ids must be one sequence of shape \(n,\), got \(2, 20\)"):
        unwrap(text_infilling)(batch, 99)
