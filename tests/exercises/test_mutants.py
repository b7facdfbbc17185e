"""Every slip of the hand in a right answer is caught, unless it changes nothing on a larger grid of inputs."""

from collections.abc import Callable
from functools import cache
from inspect import unwrap
from itertools import product
from typing import Any

import pytest
import torch

from course_lib import exercises
from course_lib.exercises.comparing import compare
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality
from course_lib.exercises.running import Case, Observation, draw, run
from tests.exercises.mutants import mutants

CHECKED = (0, 1)  # a learner's check looks at two seeds


def _padding_grid() -> list[Case]:
    several = [list(lengths) for lengths in product(range(5), repeat=2)] + [[n] for n in range(5)] + [[4, 0, 2, 1]]
    elsewhere = Case("on the device of lengths", "", (torch.tensor([2, 0, 4]), 4))
    return [Case("", "", (torch.tensor(lengths), 4)) for lengths in several] + [elsewhere]


def _combine_grid() -> list[Case]:
    generator = torch.Generator().manual_seed(99)
    shapes = [(1, 1, 4, 4), (3, 1, 1, 4), (3, 2, 4, 4), (1, 2, 4, 1), (4,), (4, 4)]
    cases = [Case("", "", (torch.rand(s, generator=generator) < 0.5,)) for s in shapes]
    for count in (2, 3, 4):
        for chosen in product(shapes, repeat=count) if count == 2 else [shapes[:count], shapes[-count:], shapes[1:5]]:
            cases.append(Case("", "", tuple(torch.rand(s, generator=generator) < 0.5 for s in chosen)))
    return cases


def _ahead(x: torch.Tensor, steps: int) -> torch.Tensor:
    return torch.cat((x[:, steps:], x[:, :steps] * 0), dim=1)


# Models written without the generator of the exercise: sums from left to right, copies and shifts.
MODELS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "identity": lambda x: x * 1,
    "sums so far": lambda x: x.cumsum(1),
    "largest so far": lambda x: x.cummax(1).values,
    "first token": lambda x: x[:, :1] + x * 0,
    "one behind": lambda x: torch.cat((x[:, :1] * 0, x[:, :-1]), dim=1),
    "constant": lambda x: x * 0 + 3,
    "one ahead": lambda x: x + _ahead(x, 1),
    "two ahead": lambda x: x * 2 + _ahead(x, 2),
    "only the last": lambda x: x[:, -1:] + x * 0,
    "sums from the end": lambda x: x.flip(1).cumsum(1).flip(1),
    "faint": lambda x: x + 100 + 1e-3 * _ahead(x, 1),
    "shut above": lambda x: x - torch.relu(_ahead(x, 1) - 0.5),
    "shut below": lambda x: x - torch.relu(-0.5 - _ahead(x, 1)),
    "first feature alone": lambda x: x + _ahead(x, 1)[..., :1],
    "last feature alone": lambda x: x + _ahead(x, 1)[..., -1:],
    "where the first token is positive": lambda x: x + _ahead(x, 1) * torch.relu(x[:, :1, :1]),
    "where the first token is negative": lambda x: x + _ahead(x, 1) * torch.relu(-x[:, :1, :1]),
}


def _leak_grid() -> list[Case]:
    generator = torch.Generator().manual_seed(99)
    inputs = [torch.randn(shape, generator=generator) for shape in ((2, 1, 3), (1, 2, 2), (3, 4, 2), (2, 6, 3))]
    return [Case("", "", (fn, x.clone())) for fn in MODELS.values() for x in [*inputs, torch.zeros(2, 3, 2)]]


GRIDS: dict[str, Callable[[], list[Case]]] = {
    "01.create_causal_mask": lambda: [Case("", "", (n,), {"device": d}) for n in range(1, 10) for d in (None, "meta")],
    "01.create_padding_mask": _padding_grid,
    "01.combine_masks": _combine_grid,
    "01.create_prefix_mask": lambda: [Case("", "", (p, n)) for n in range(1, 9) for p in range(n + 1)],
    "01.leaks_future": _leak_grid,
}


def _grid(exercise: Exercise) -> list[Case]:
    """Give inputs drawn apart from the exercise's own; where none are written, those of other seeds, of which a few
    will do where each case holds thousands of draws."""
    if exercise.id in GRIDS:
        return GRIDS[exercise.id]()
    count = 20 if isinstance(exercise.judge, Equality) else 3
    return [case for seed in range(1000, 1000 + count) for case in draw(exercise.side, seed)]


def _same(exercise: Exercise, a: list[Observation], b: list[Observation]) -> bool:
    """Whether two answers did the same on the grid; where chance is at work, whether the judge can tell them apart.

    They are compared as closely as the exercise does: near 800 two right answers are no closer than that.
    """
    if not isinstance(exercise.judge, Equality):
        return not exercise.judge.pattern(a, _grid(exercise), b)
    return all(
        compare(one, other, 1e-5, max(1e-6, exercise.judge.atols.get(case.group, 0))) is None
        for one, other, case in zip(a, b, _grid(exercise), strict=True)
    )


@cache
def _expected(exercise: Exercise, seed: int) -> list[Observation]:
    return run(exercise.side, exercise.reference, draw(exercise.side, seed), seed)


def _is_rejected(exercise: Exercise, student: Callable[..., Any]) -> bool:
    """Look at one case after the other, and stop at the first that is judged wrong."""
    for seed in CHECKED:
        for case, want in zip(draw(exercise.side, seed), _expected(exercise, seed), strict=True):
            seen = run(exercise.side, student, [case], seed)
            if exercise.judge.pattern(seen, [case], [want]):
                return True
    return False


def survey(exercise: Exercise, function: Callable[..., Any]) -> tuple[int, int, list[str]]:
    """Count mutants of a right answer: how many were made, how many rejected, and which slipped through."""
    expected = run(exercise.side, function, _grid(exercise), 0)
    made = rejected = 0
    missed = []
    for change, mutant in mutants(function):
        made += 1
        if _is_rejected(exercise, mutant):
            rejected += 1
        elif not _same(exercise, run(exercise.side, mutant, _grid(exercise), 0), expected):
            missed.append(change)
    return made, rejected, missed


# What is drawn by chance has no one answer to compare with; a lesson with such an exercise has its own test.
EQUAL = [ex for ex in exercises.all() if isinstance(ex.judge, Equality)]
ANSWERS = [(ex, answer) for ex in EQUAL for answer in (unwrap(ex.reference), *ex.alternatives)]


@pytest.mark.parametrize(
    ("exercise", "answer"), ANSWERS, ids=[f"{ex.id}-{answer.__name__}" for ex, answer in ANSWERS]
)
def test_every_mutant_that_behaves_differently_is_rejected(exercise: Exercise, answer: Callable[..., Any]):
    seen, expected = (run(exercise.side, own, _grid(exercise), 0) for own in (answer, exercise.reference))
    assert _same(exercise, seen, expected)
    made, rejected, missed = survey(exercise, answer)
    assert missed == []
    assert rejected >= made / 2
