"""Lesson 05: values computed by hand, what the statements promise, and the odds that a right answer is condemned."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from course_lib import exercises
from course_lib.decoder import DecoderConfig
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.lesson05 import run as run_side
from course_lib.exercises.running import draw
from course_lib.exercises.shortcuts import find_shortcut
from course_lib.masks import create_bidirectional_mask, create_causal_mask, create_sliding_window_mask

LESSON = exercises.lesson("05")
LEAK, COPY, REPAIR = LESSON


def reads(*pairs: tuple[int, int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A model whose logits at i hold token j, for the pairs (i, j), and what it has read so far."""

    def model(ids: torch.Tensor) -> torch.Tensor:
        logits = F.one_hot(ids, 7).float().cumsum(1)
        for i, j in pairs:
            logits[:, i] += F.one_hot(ids[:, j], 7) / 8
        return logits

    return model


IDS = torch.tensor([[0, 3, 6, 3], [5, 5, 1, 0]])
BY_HAND = [
    ((), [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    (((0, 1),), [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    (((0, 1), (1, 2), (2, 3)), [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]),
    (((0, 3), (3, 0), (2, 2)), [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    (((0, 2), (1, 2)), [[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
]


@pytest.mark.parametrize(("pairs", "expected"), BY_HAND)
def test_a_leak_is_where_a_pencil_finds_it(pairs: tuple[tuple[int, int], ...], expected: list[list[int]]):
    for right in (LEAK.reference, *LEAK.alternatives):
        found = right(reads(*pairs), IDS.clone(), 7)
        assert found.dtype == torch.bool
        assert found.int().tolist() == expected, right.__name__


# Each row is one token, so that nothing but the drawn one is unlike the others.
ROWS = torch.tensor([[3], [8], [5]]).repeat(1, 5)
COPIED = [
    ([[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]], 1.0),
    ([[0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]], 0.0),
    ([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], 3 / 12),
    ([[0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]], 2 / 12),
]


@pytest.mark.parametrize(("copies", "expected"), COPIED)
def test_the_share_is_what_a_pencil_gives(copies: list[list[int]], expected: float):
    def model(ids: torch.Tensor) -> torch.Tensor:
        rows = torch.stack([torch.tensor(copies)[(ROWS[:, 0] == first).nonzero()[0, 0]] for first in ids[:, 0]])
        return F.one_hot((ids.roll(-1, dims=1) + 1 - rows) % 11, 11).float()

    for right in (COPY.reference, *COPY.alternatives):
        rate = right(model, ROWS.clone(), 11, generator=torch.Generator().manual_seed(1))
        assert type(rate) is float
        assert rate == pytest.approx(expected), right.__name__


def test_one_token_a_row_is_an_error_for_each_right_answer():
    for right in (COPY.reference, *COPY.alternatives):
        with pytest.raises(ValueError, match=r"\w"):
            right(reads(), torch.tensor([[3], [4]]), 7)


def _config(mask: Callable[..., torch.Tensor]) -> DecoderConfig:
    return DecoderConfig(vocab_size=7, d_model=6, num_layers=1, num_heads=2, d_ff=5, dropout=0.3, mask=mask)


def test_a_repaired_configuration_is_what_a_pencil_gives():
    window = partial(create_sliding_window_mask, window=2)
    for right in (REPAIR.reference, *REPAIR.alternatives):
        repaired, kept = right(_config(create_bidirectional_mask)), right(_config(window))
        assert repaired.mask(3).int().tolist() == [[[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]]
        assert kept.mask(3).int().tolist() == [[[[1, 0, 0], [1, 1, 0], [0, 1, 1]]]]
        assert repaired.dropout == kept.dropout == 0.3


def _tail(n: int, chance: float, counts: range) -> float:
    """The exact probability that one of these counts comes up."""
    logs = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in counts)
    chances = (k * math.log(chance) + (n - k) * math.log1p(-chance) for k in counts)
    return sum(math.exp(ways + log) for ways, log in zip(logs, chances, strict=True))


def test_a_right_answer_is_condemned_for_its_draws_less_than_once_in_a_billion_times():
    """Each of eleven ids must be drawn a tenth of the time, if rounded: more than 1 in 20, less than 3 in 20."""
    n, others = 6 * run_side.ROWS, run_side.DRAWS_VOCAB - 1
    seldom, often = range(math.floor(n / 20) + 1), range(math.ceil(3 * n / 20), n // 3)
    assert others * (_tail(n, 1 / others, seldom) + _tail(n, 1 / others, often)) < 1e-9


def test_a_token_that_shows_as_one_id_alone_does_so_as_no_obvious_one(seed: int):
    """Neighbours, the ends of the vocabulary, its middle and the mirror image find none of the rare leaks."""
    cases = draw(LEAK.side, seed)
    rare = next(case for case in cases if "feels one id alone" in case.shown)
    model, ids, vocab = rare.args
    before = model(ids)
    for j in range(1, ids.shape[1]):
        old = int(ids[0, j])
        for new in {0, vocab - 1, (old + 1) % vocab, (old - 1) % vocab, (old + vocab // 2) % vocab, vocab - 1 - old}:
            changed = ids.clone()
            changed[:, j] = new
            assert torch.equal(model(changed)[:, :j], before[:, :j])


def test_one_model_feels_how_large_the_batch_is_and_no_other(seed: int):
    """Whoever compares answers to batches of two sizes is told so; whoever compares like with like finds the same."""
    feels = []
    for exercise in (LEAK, COPY):
        for case in draw(exercise.side, seed):
            model, ids, _ = case.args
            whole = model(ids.repeat(5, 1))
            rows = zip(whole[: len(ids)].unbind(), ids.unbind(), strict=True)
            if any(((one != model(row[None])[0]) & ~one.isnan()).any() for one, row in rows):
                feels.append(case.shown)
    assert len(feels) == 1
    assert "other last bits if the number of rows is another" in feels[0]


def test_how_a_right_answer_draws_does_not_matter():
    answers = [COPY.reference, *COPY.alternatives]
    assert len({str(_rows_asked(answer)) for answer in answers}) > 3
    for answer in answers:
        assert COPY.grade(answer, 4).passed


def _rows_asked(student: Callable[..., Any]) -> list[Any]:
    rows = []
    student(lambda ids: rows.append(ids.tolist()) or reads()(ids), IDS, 7, torch.Generator().manual_seed(1))
    return rows


OWN = """from dataclasses import replace
from course_lib.decoder import DecoderConfig
from course_lib.masks import create_causal_mask
def repair(config: DecoderConfig) -> DecoderConfig:
    return replace(config, mask=create_causal_mask)"""
THE_COURSES = """from course_lib import cheating
def find_leak(model, ids, vocab_size):
    return cheating.find_leak(model, ids, vocab_size)"""
LESSON_01S = """from course_lib.leaks import leaks_future
def find_leak(model, ids, vocab_size):
    return leaks_future(model, ids)"""


def shortcut(exercise: Exercise, source: str) -> str | None:
    return find_shortcut([source], exercise.side.name, exercise.forbidden, exercise.allowed)


def test_the_courses_own_answers_are_refused_and_masks_are_not():
    assert shortcut(REPAIR, OWN) is None
    assert "uses course_lib" in shortcut(REPAIR, OWN.replace("course_lib.masks", "course_lib.cheating"))
    assert "uses course_lib" in shortcut(LEAK, THE_COURSES)
    assert "uses course_lib" in shortcut(LEAK, LESSON_01S)


def test_more_questions_than_needed_are_no_fault():
    def asks_twice(
        model: Callable[..., torch.Tensor], ids: torch.Tensor, vocab_size: int, generator: torch.Generator | None = None
    ) -> float:
        def twice(rows: torch.Tensor) -> torch.Tensor:
            model(rows.clone())
            return model(rows)

        model(ids.clone())
        return COPY.alternatives[0](twice, ids, vocab_size, generator)

    assert COPY.grade(asks_twice).passed


def test_any_function_that_makes_the_causal_mask_will_do_and_what_the_old_mask_leaves_will_not(seed: int):
    """The statement asks for create_causal_mask in the place of a mask that looks ahead; its like is as good."""
    causal = {case.shown: create_causal_mask for case in draw(REPAIR.side, seed) if "stays" not in case.group}
    shown = [
        case.shown
        for case in draw(REPAIR.side, seed)
        for n in run_side.LENGTHS
        if case.shown in causal and not torch.equal(case.args[0].mask(n) & create_causal_mask(n), create_causal_mask(n))
    ]
    assert len(set(shown)) == 1
    assert "and nothing before it" in shown[0]
