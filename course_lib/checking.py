"""The learner's side of an exercise: check an answer, ask for a hint, see how far you are."""

import ast
import inspect
import os
import secrets
from collections import Counter
from collections.abc import Iterable
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from course_lib import exercises, labbook
from course_lib.errors import CourseError
from course_lib.exercises.card import Verdict, colour, to_html, wrap
from course_lib.exercises.compiling import not_compiled
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.running import Case, Observation, RunSide, run
from course_lib.exercises.shortcuts import find_shortcut
from course_lib.exercises.stopping import LATE, WORK_SECONDS, stoppable

__all__ = ["CheckFailed", "UnknownExercise", "check", "hint", "load_ipython_extension", "progress"]

FIRST_SEED = 0
MOST_PRINTED = 10  # lines below a card
PASSED, PASSED_ONCE = "passed", "passed once"  # what the lab book says of a solved exercise
NOT_WRITTEN = "not written"
IS_REFERENCE = "{name} is now the course's own: run your cell that defines it again, then this check."
NOT_CALLABLE = "check needs the function itself, {name}, and got {kind}: leave out the brackets behind its name."
NOTHING = (
    "check needs the function itself and got None. Run the cell with `def {name}` first, then hand over the name "
    "alone, without brackets: a call gives what the function returns, and one not written yet returns None."
)
LATE_SAID = (
    "{shown} was still running after {seconds} seconds and was stopped: look for a loop that never ends.{where}"
)
STOPPED_SAID = "You stopped the check while {shown} was running.{where}"
INTERRUPTED = "You stopped the check before it came to a verdict: run it again."

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

    Right answers are looked at twice, the second time on inputs drawn anew. Nothing is returned. An exercise that is
    not written yet stops nobody who runs all cells, but where a whole notebook is checked it fails, unless optional.
    What the answer prints is shown below the card. One that does not end is stopped, by time or by the learner.
    Raises CheckFailed, which shows as the card, if the answer is not right yet; UnknownExercise for an unknown name.
    """
    exercise = _find(exercise_id)
    calls: list[tuple[Case, Observation]] = []
    try:
        verdict = _verdict(exercise, student, calls)
    except KeyboardInterrupt:
        verdict = exercise.refuse("limit hit", INTERRUPTED)
    _note(verdict)
    printed = _printed(calls, verdict)
    optional = exercise.optional or not os.environ.get("NBGRADER_EXECUTION")
    if verdict.passed or (optional and verdict.status == NOT_WRITTEN):
        _show(verdict.message + printed)
        return
    advice = ""
    if verdict.status == "failed":
        advice = f'\n\nFor a step towards it, run  hint("{exercise_id}")  in a new cell.'
    raise CheckFailed(verdict.message + advice + printed)


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


def _verdict(exercise: Exercise, student: Any, calls: list[tuple[Case, Observation]]) -> Verdict:
    """Judge an answer; `calls` gets what came back from it, call by call."""
    name, shell = exercise.side.name, get_ipython()
    broken = not_compiled(_sources(student), name, shell.transform_cell) if shell is not None else None
    if broken is not None:
        return exercise.refuse("no evidence", broken)
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
    verdict = _watched(exercise, student, FIRST_SEED, calls)
    return _watched(exercise, student, secrets.randbelow(2**31), calls) if verdict.passed else verdict


def _watched(exercise: Exercise, student: Any, seed: int, calls: list[tuple[Case, Observation]]) -> Verdict:
    """Judge an answer on one seed, and stop it if it does not end."""

    def watched(side: RunSide, student: Any, cases: list[Case], seed: int) -> list[Observation]:
        with stoppable():
            seen = run(side, student, cases, seed)
        calls[:] = zip(cases, seen, strict=False)
        return seen

    verdict = exercise.grade(student, seed, watched)
    if calls and calls[-1][1].kind == "stopped":
        case, last = calls[-1]
        said = LATE_SAID if last.text == LATE else STOPPED_SAID
        where = f"\nIt was in {last.where}" if last.where else ""
        return exercise.refuse("limit hit", said.format(shown=case.shown, seconds=WORK_SECONDS, where=where))
    return verdict


def _printed(calls: list[tuple[Case, Observation]], verdict: Verdict) -> str:
    """Say what an answer printed, under the call that printed it: first the one on the card, and a few lines in all."""
    on_the_card = next((result.failure.shown for result in verdict.groups if result.failure), None)
    loud = [(case.shown, got) for case, got in calls if got.printed]
    blocks, left, more = [], MOST_PRINTED, 0
    for shown, got in sorted(loud, key=lambda call: (call[1].kind != "stopped", call[0] != on_the_card)):
        said = wrap(got.printed.rstrip("\n"))
        kept = said[:left]
        if kept:
            blocks.append("\n".join(["", *wrap(f"Your code printed in {shown}:"), *kept]))
        left -= len(kept)
        more += max(got.lines, len(said)) - len(kept)
    if more:
        blocks.append(f"… and {more:,} more lines")
    return "".join(f"\n{block}" for block in blocks)


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
    if verdict.status in ("checker failed", "limit hit", "no evidence"):  # nothing was judged
        return
    try:
        key = f"check {verdict.exercise}"
        once = not verdict.passed and labbook.recall(key, default=None) in (PASSED, PASSED_ONCE)
        labbook.record(key, PASSED_ONCE if once else verdict.status)
    except OSError:
        return


def _show(text: str) -> None:
    display({"text/plain": text, "text/html": to_html(text)}, metadata={"course": "card"}, raw=True)


class _AskForNames(ast.NodeTransformer):
    """Lets check("01.causal", causal) run without a `causal`, so that its card can say why there is none."""

    def visit_Module(self, module: ast.Module) -> ast.Module:
        for statement in module.body:
            match statement:
                case ast.Expr(ast.Call(ast.Name("check"), [ast.Constant(str()), ast.Name(name)] as asked, [])):
                    asked[1] = ast.parse(f"globals().get({name!r})", mode="eval").body
        return ast.fix_missing_locations(module)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Have the notebook's cells read as checks need it."""
    shell.ast_transformers.append(_AskForNames())


if get_ipython() is not None:
    load_ipython_extension(get_ipython())
