"""Every exercise of the course, by its public name."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from course_lib.errors import CourseError
from course_lib.exercises.card import Verdict
from course_lib.exercises.exercise import Exercise

__all__ = ["Exercise", "Verdict", "all", "get", "lesson"]


@cache
def lesson(number: str) -> tuple[Exercise, ...]:
    """Give the exercises of one lesson ("01"), in the order they are met; none if the lesson has no exercises."""
    name = f"lesson{number}"
    if name not in {module.name for module in iter_modules(__path__)}:
        return ()
    return import_module(f"{__name__}.{name}.bank").EXERCISES


def all() -> list[Exercise]:
    """Give all exercises in the order they are met."""
    names = sorted(module.name for module in iter_modules(__path__) if module.name.startswith("lesson"))
    return [exercise for name in names for exercise in lesson(name.removeprefix("lesson"))]


def get(exercise_id: Any) -> Exercise:
    """Find an exercise by its public name, "01.create_causal_mask".

    Raises CourseError if there is none of that name.
    """
    for exercise in lesson(exercise_id.partition(".")[0]) if isinstance(exercise_id, str) else ():
        if exercise.id == exercise_id:
            return exercise
    raise CourseError(f"There is no exercise {exercise_id!r}; the names are {', '.join(ex.id for ex in all())}.")
