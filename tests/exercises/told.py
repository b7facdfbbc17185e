"""Tests of what a learner's code is told, made from rows: the right name, or none and the counterexample; never a
wrong one."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from course_lib.exercises.exercise import Exercise

__all__ = ["gets_its_name", "passes", "reads_on_the_card"]

Student = Callable[..., Any]
LONGEST_CARD = 40  # lines: a screen


def gets_its_name(rows: Sequence[tuple[Exercise, Student, str | None, float]]) -> Callable[..., None]:
    """Test that each row's code fails, under this name (None: under none) and with these points, whatever is drawn."""

    @pytest.mark.parametrize(
        ("exercise", "student", "name", "points"), rows, ids=[f"{row[0].side.name}-{row[2]}" for row in rows]
    )
    def test(exercise: Exercise, student: Student, name: str | None, points: float, seeds: range) -> None:
        for seed in seeds:
            verdict = exercise.grade(student, seed)
            assert verdict.status == "failed"
            assert (verdict.misconception, verdict.points) == (name, points), verdict.message
            assert next(result.failure for result in verdict.groups if result.failure).sentence

    return test


def passes(rows: Sequence[tuple[Exercise, Student]]) -> Callable[..., None]:
    """Test that each row's code, however unusual, earns all points."""

    @pytest.mark.parametrize(
        ("exercise", "student"), rows, ids=[f"{exercise.side.name}-{student.__name__}" for exercise, student in rows]
    )
    def test(exercise: Exercise, student: Student, seeds: range) -> None:
        for seed in seeds:
            verdict = exercise.grade(student, seed)
            assert verdict.passed, verdict.message

    return test


def reads_on_the_card(rows: Sequence[tuple[Exercise, Student, str]]) -> Callable[..., None]:
    """Test that the card of each row's code says this, and fits on a screen."""

    @pytest.mark.parametrize(("exercise", "student", "said"), rows, ids=[row[2][:40] for row in rows])
    def test(exercise: Exercise, student: Student, said: str) -> None:
        verdict = exercise.grade(student, 0)
        assert said in " ".join(verdict.message.split()), verdict.message
        assert len(verdict.message.split("\n")) <= LONGEST_CARD

    return test
