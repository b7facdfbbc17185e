"""The `check` of the grading build: it runs the learner's code and hands out what came back, without any verdict.

This file takes the place of course_lib/checking.py inside the sandbox, where no judge exists.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from IPython.display import publish_display_data

from course_lib.exercises.evidence import MIME, pack
from course_lib.exercises.running import draw, run

__all__ = ["CheckFailed", "check", "evidence_check", "hint", "progress"]


class CheckFailed(Exception):
    """Never raised here; a notebook may name it."""


def check(exercise_id: str, student: Any) -> None:
    """Do nothing: work is judged by the grade cells alone."""


def hint(exercise_id: str) -> None:
    """Do nothing while grading."""


def progress() -> None:
    """Do nothing while grading."""


def evidence_check(exercise_id: str, seed: int, token: str) -> Callable[[str, Any], None]:
    """Give the `check` for one grade cell: it publishes the evidence for `exercise_id` on the cases of `seed`, once.

    token: what the evidence is marked with, so that other evidence is known for what it is.
    """
    calls = iter(range(1))

    def check(_: str, student: Any) -> None:
        if next(calls, None) is None:  # a copy of the cell further down, or a call from within
            return
        sides = import_module(f"course_lib.exercises.lesson{exercise_id[:2]}.run").RUN_SIDES
        side = next(side for side in sides if side.id == exercise_id)
        publish_display_data({f"{MIME}.{token}+json": pack(run(side, student, draw(side, seed), seed))})

    return check
