"""What every exercise owes a learner: right answers pass, luck earns nothing, and the bank is complete."""

import ast
import re
from collections.abc import Callable
from functools import cache
from inspect import getsourcefile, unwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from course_lib import exercises
from course_lib.errors import CourseError
from course_lib.exercises.evidence import pack, unpack
from course_lib.exercises.exercise import Exercise, run_mistake
from course_lib.exercises.judging import Equality
from course_lib.exercises.running import Observation, draw, run
from course_lib.exercises.shortcuts import imports_of

ALL = exercises.all()
every_exercise = pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)


def _raises(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("nothing works")


# What a stub, a guess or an escape may give back; none of it knows anything about the inputs.
GUESSES: dict[str, Callable[..., Any]] = {
    "True": lambda *args, **kwargs: True,
    "False": lambda *args, **kwargs: False,
    "None": lambda *args, **kwargs: None,
    "0": lambda *args, **kwargs: 0,
    "a tensor of one True": lambda *args, **kwargs: torch.tensor(True),
    "an empty tensor": lambda *args, **kwargs: torch.empty(0),
    "the first argument": lambda *args, **kwargs: args[0],
    "an exception": _raises,
}


def _module(run_side: Path) -> ast.Module:
    return ast.parse(run_side.read_text(encoding="utf-8"))


@cache
def _expected(exercise: Exercise) -> list[Observation]:
    return run(exercise.side, exercise.reference, draw(exercise.side, 3), 3)


def _findings(exercise: Exercise, seen: list[Observation]) -> list[tuple[str, str, str | None]]:
    """Judge observations made with seed 3: (group, key, sentence of the failure)."""
    findings = exercise.judge.findings(seen, draw(exercise.side, 3), _expected(exercise))
    return [(finding.group, finding.key, finding.failure and finding.failure.sentence) for finding in findings]


@every_exercise
def test_right_answers_earn_everything(exercise: Exercise, seed: int):
    for right in (exercise.reference, *exercise.alternatives):
        verdict = exercise.grade(right, seed)
        assert verdict.passed, f"{right.__name__}\n{verdict.message}"
        assert verdict.points == exercise.points
        assert verdict.misconception is None


@every_exercise
@pytest.mark.parametrize("guess", GUESSES.values(), ids=GUESSES.keys())
def test_a_guess_earns_nothing(exercise: Exercise, guess: Callable[..., Any]):
    for seed in (0, 3):
        verdict = exercise.grade(guess, seed)
        assert verdict.status == "failed"
        assert verdict.points == 0


@every_exercise
def test_evidence_carries_the_verdict(exercise: Exercise):
    right = [exercise.reference, *exercise.alternatives]
    runs = [run(exercise.side, student, draw(exercise.side, 3), 3) for student in right]
    for seen in [*runs, *(run_mistake(exercise, wrong, 3) for _, wrong in exercise.mistakes())]:
        assert _findings(exercise, unpack(pack(seen))) == _findings(exercise, seen)


@every_exercise
def test_the_bank_is_large_enough(exercise: Exercise):
    assert len(exercise.misconceptions) >= 6
    assert len(exercise.alternatives) >= 4
    assert len(exercise.hints) == 3
    assert set(exercise.variants) <= set(exercise.misconceptions)
    hints = [misconception.hint for misconception in exercise.misconceptions.values()]
    assert len(set(hints)) == len(hints)
    for text in (*hints, *exercise.hints, exercise.side.todo):
        assert text.endswith((".", "?"))
        assert not re.search(r"(?<!\w)\*\w[\w ]*\*", text), "a card is plain text and shows its asterisks"
    assert 1 <= exercise.difficulty <= 5
    assert exercise.minutes >= 1


@every_exercise
def test_the_reference_has_the_name_of_the_exercise(exercise: Exercise):
    lesson, _, name = exercise.id.partition(".")
    assert exercise.reference.__name__ == name == exercise.side.name
    assert lesson.isdigit()
    assert exercise.side.todo.startswith(f"{name} is not written yet: ")
    assert exercises.get(exercise.id) is exercise


@every_exercise
def test_every_group_has_cases_and_points(exercise: Exercise):
    right = run(exercise.side, exercise.reference, draw(exercise.side, 3), 3)
    decided = {finding[0] for finding in _findings(exercise, right)}
    assert decided == set(exercise.groups)
    assert all(points > 0 for points in exercise.groups.values())
    cased = {case.group for case in draw(exercise.side, 0)}
    if isinstance(exercise.judge, Equality):
        assert decided - cased == {exercise.judge.untouched} - {None} - cased


@every_exercise
def test_cases_depend_on_the_seed_and_on_nothing_else(exercise: Exercise):
    torch.manual_seed(1)
    first = run(exercise.side, exercise.reference, draw(exercise.side, 4), 4)
    torch.manual_seed(2)
    again = run(exercise.side, exercise.reference, draw(exercise.side, 4), 4)
    assert exercise.decide(again, 4).passed
    assert pack(first) == pack(again)
    shown = {tuple(case.shown for case in draw(exercise.side, seed)) for seed in range(20)}
    assert len(shown) > 1


@every_exercise
def test_drawing_leaves_the_global_generator_alone(exercise: Exercise):
    before = torch.random.get_rng_state()
    exercise.grade(exercise.reference, 0)
    assert torch.equal(before, torch.random.get_rng_state())


@every_exercise
def test_the_run_side_knows_no_answers(exercise: Exercise):
    """It imports what learners of this lesson may use as well, and nothing else of the course."""
    source = Path(getsourcefile(unwrap(exercise.side.cases)))
    assert source.name == "run.py"
    number = exercise.id.partition(".")[0]
    own = [f"course_lib.exercises.{name}" for name in ("running", f"lesson{number}.models")]
    harmless = [*own, *(module for other in exercises.lesson(number) for module in other.allowed)]
    beside = [path for path in (source, source.with_name("models.py")) if path.exists()]
    for node in (node for path in beside for node in ast.walk(_module(path))):
        for origin in imports_of(node).values():
            known = any(f"{origin}.".startswith(f"{module}.") for module in harmless)
            assert known or not origin.startswith("course_lib"), f"{source} imports {origin}"


def test_exercises_are_found_by_name():
    assert len({exercise.id for exercise in ALL}) == len(ALL) >= 5
    assert exercises.lesson("99") == ()
    with pytest.raises(CourseError, match=r"no exercise '01\.nothing'; the names are 01\.create_causal_mask"):
        exercises.get("01.nothing")
