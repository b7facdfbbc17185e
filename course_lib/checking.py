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
from course_lib.errors import CourseError
from course_lib.exercises.card import Verdict, colour, to_html, wrap
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.shortcuts import find_shortcut

__all__ = ["CheckFailed", "UnknownExercise", "check", "hint", "progress"]

FIRST_SEED = 0
PASSED, PASSED_ONCE = "passed", "passed once"  # what the lab book says of a solved exercise
NOT_WRITTEN = "not written"
IS_REFERENCE = "{name} is now the course's own: run your cell that defines it again, then this check."
NOT_CALLABLE = "check needs the function itself, {name}, and got {kind}: leave out the brackets behind its name."
NOTHING = (
    "check needs the function itself and got None. Run the cell with `def {name}` first, then hand over the name "
    "alone, without brackets: a call gives what the function returns, and one not written yet returns None."
)

_hints_given: Counter[str] = Counter()


class CheckFailed(Exception):
    """An answer that is not right yet; what Jupyter shows for it is the verdict card, and nothing else."""

    def __init__(self, card: str) -> None:
        super().__init__(card.partition("\n")[0])
        self.card = card

    def _render_traceback_(self) -> list[str]:
        return colour(self.card).split("\n")


class UnknownExercise(CourseError):
    """A name that no exercise has; Jupyter shows the one sentence that lists them."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def check(exercise_id: Any, student: Any) -> None:
    """Check your function or class, and show the verdict card.

    Right answers are looked at twice, the second time on inputs drawn anew. Nothing is returned. An optional exercise
    that is not written yet stops nobody who runs all cells.
    Raises CheckFailed, which shows as the card, if the answer is not right yet; UnknownExercise for an unknown name.
    """
    exercise = _find(exercise_id)
    verdict = _verdict(exercise, student)
    _note(verdict)
    if verdict.passed or (exercise.optional and verdict.status == NOT_WRITTEN):
        _show(verdict.message)
        return
    advice = ""
    if verdict.status == "failed":
        advice = f'\n\nFor a step towards it, run  hint("{exercise_id}")  in a new cell.'
    raise CheckFailed(verdict.message + advice)


def hint(exercise_id: Any) -> None:
    """Show the next hint of an exercise: from a nudge to nearly the answer, then from the start again.

    Raises UnknownExercise for an unknown name.
    """
    hints = _find(exercise_id).hints
    given = _hints_given[exercise_id]
    _hints_given[exercise_id] += 1
    stage = given % len(hints)
    again = "That was the last hint; from the start again.\n\n" if given and not stage else ""
    lines = wrap(f"{again}Hint {stage + 1} of {len(hints)} · {exercise_id}\n\n{hints[stage]}")
    _show("\n".join(lines))


def progress() -> None:
    """Show what you have solved so far."""
    rows, solved = [], []
    for exercise in exercises.all():
        done = labbook.recall(f"check {exercise.id}", default=None)
        if done in (PASSED, PASSED_ONCE):
            solved.append(exercise)
        state = "✓" if exercise in solved else "○" if done in (None, NOT_WRITTEN) else "✗"
        once = " (solved once; the last check failed)" if done == PASSED_ONCE else ""
        worth = " optional " if exercise.optional else f"{exercise.points:>3g} points"
        rows.append(f"{state} {exercise.id:<32} {worth}  {exercise.title}{once}")
    graded = [exercise for exercise in exercises.all() if not exercise.optional]
    solved = [exercise for exercise in graded if exercise in solved]
    points, all_points = (sum(exercise.points for exercise in some) for some in (solved, graded))
    _show("\n".join([*rows, "", f"Solved: {len(solved)} of {len(graded)}, {points:g} of {all_points:g} points"]))


def _find(exercise_id: Any) -> Exercise:
    try:
        return exercises.get(exercise_id)
    except CourseError as error:
        raise UnknownExercise(str(error)) from None


def _verdict(exercise: Exercise, student: Any) -> Verdict:
    name = exercise.side.name
    if student is exercise.reference or str(getattr(student, "__module__", "")).startswith("course_lib."):
        return exercise.refuse("forbidden", IS_REFERENCE.format(name=name))
    if student is None:
        return exercise.refuse("failed", NOTHING.format(name=name))
    if not callable(student):
        return exercise.refuse("failed", NOT_CALLABLE.format(name=name, kind=type(student).__name__))
    own_name = getattr(student, "__name__", "")  # of a lambda it is no name
    name = own_name if own_name.isidentifier() else name
    shortcut = find_shortcut(_sources(student), name, exercise.forbidden, exercise.allowed)
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
        key = f"check {verdict.exercise}"
        once = not verdict.passed and labbook.recall(key, default=None) in (PASSED, PASSED_ONCE)
        labbook.record(key, PASSED_ONCE if once else verdict.status)
    except OSError:
        return


def _show(text: str) -> None:
    display({"text/plain": text, "text/html": to_html(text)}, metadata={"course": "card"}, raw=True)


