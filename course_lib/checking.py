"""The learner's side of an exercise: check an answer, ask for a hint, see how far you are."""

import inspect
import os
import secrets
from collections import Counter
from collections.abc import Iterable
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from course_lib import exercises, labbook
from course_lib.exercises.card import colour, to_html
from course_lib.exercises.exercise import Exercise, Verdict
from course_lib.exercises.shortcuts import find_shortcut

__all__ = ["CheckFailed", "check", "hint", "progress"]

FIRST_SEED = 0
IS_REFERENCE = "{name} is now the course's own: run your cell that defines it again, then this check."
NOT_CALLABLE = "check needs the function itself, {name}, and got {kind}: leave out the brackets."

_hints_given: Counter[str] = Counter()


class CheckFailed(Exception):
    """An answer that is not right yet; what Jupyter shows for it is the verdict card, and nothing else."""

    def __init__(self, card: str) -> None:
        super().__init__(card.partition("\n")[0])
        self.card = card

    def _render_traceback_(self) -> list[str]:
        return colour(self.card).split("\n")


def check(exercise_id: str, student: Any) -> None:
    """Check your function or class, and show the verdict card.

    Right answers are looked at twice, the second time on inputs drawn anew. Nothing is returned.
    Raises CheckFailed, which shows as the card, if the answer is not right yet.
    """
    exercise = exercises.get(exercise_id)
    verdict = _verdict(exercise, student)
    _note(verdict)
    if verdict.passed:
        _show(verdict.message)
        return
    advice = ""
    if verdict.status == "failed":
        advice = f'\n\nFor a step towards it, run  hint("{exercise_id}")  in a new cell.'
    raise CheckFailed(verdict.message + advice)


def hint(exercise_id: str) -> None:
    """Show the next hint of an exercise: from a nudge to nearly the answer, then from the start again."""
    hints = exercises.get(exercise_id).hints
    stage = _hints_given[exercise_id] % len(hints)
    _hints_given[exercise_id] += 1
    _show(f"Hint {stage + 1} of {len(hints)} · {exercise_id}\n\n{hints[stage]}")


def progress() -> None:
    """Show what you have solved so far."""
    rows = []
    for exercise in exercises.all():
        done = labbook.recall(f"check {exercise.id}", default=None)
        state = "✓" if done == "passed" else "✗" if done else "○"
        rows.append(f"{state} {exercise.id:<32} {exercise.points:>3g} points  {exercise.title}")
    _show("\n".join(rows))


def _verdict(exercise: Exercise, student: Any) -> Verdict:
    name = exercise.side.name
    if student is exercise.reference or str(getattr(student, "__module__", "")).startswith("course_lib."):
        return exercise.refuse("forbidden", IS_REFERENCE.format(name=name))
    if not callable(student):
        return exercise.refuse("failed", NOT_CALLABLE.format(name=name, kind=type(student).__name__))
    own_name = getattr(student, "__name__", "")  # of a lambda it is no name
    shortcut = find_shortcut(_sources(student), own_name if own_name.isidentifier() else name, exercise.forbidden)
    if shortcut is not None:
        return exercise.refuse("forbidden", shortcut)
    verdict = exercise.grade(student, FIRST_SEED)
    return exercise.grade(student, secrets.randbelow(2**31)) if verdict.passed else verdict


def _sources(student: Any) -> Iterable[str]:
    """Give the code cells run so far in a notebook; elsewhere the source of the function alone."""
    shell = get_ipython()
    if shell is not None:
        return shell.user_ns.get("In", [])
    try:
        return [inspect.cleandoc(inspect.getsource(student))]
    except (OSError, TypeError):
        return []


def _note(verdict: Verdict) -> None:
    """Keep the result for `progress`; a check must work where the lab book cannot be written."""
    if os.environ.get("NBGRADER_EXECUTION") or verdict.status == "checker failed":
        return
    try:
        if labbook.recall(f"check {verdict.exercise}", default=None) != "passed":
            labbook.record(f"check {verdict.exercise}", verdict.status)
    except OSError:
        return


def _show(text: str) -> None:
    display({"text/plain": text, "text/html": to_html(text)}, raw=True)


