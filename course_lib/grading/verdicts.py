"""From the result of an execution to verdicts, and from verdicts to what nbgrader reads: the outputs of grade cells."""

import base64
import binascii
import json
from collections.abc import Sequence
from textwrap import indent
from typing import Any

from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output

from course_lib import exercises
from course_lib.exercises.card import Verdict, colour, render, to_html
from course_lib.exercises.compiling import not_compiled
from course_lib.exercises.evidence import EvidenceError, unpack
from course_lib.exercises.exercise import CHECKER_FAILED, Exercise
from course_lib.exercises.shortcuts import find_shortcut
from course_lib.grading.integrity import Flag
from course_lib.grading.submission import OURS, Cell, exercise_of, is_grade

__all__ = ["LIMIT_HIT", "NEEDS_HUMAN", "describe", "for_students", "judge", "record", "refuse_all"]

NEEDS_HUMAN = "needs a human"
LIMIT_HIT = "limit hit"
INSTRUCTOR = "instructor"  # mark of a cell that only the instructor sees

STOPPED = {
    "timeout": "did not finish in time: look for a loop that never ends",
    "died": "ended the Python process (os._exit, or a crash in native code)",
    "out of memory": "used more memory than a submission may",
    "flooded": "printed or displayed more than a submission may",
    "not run": "was not run: the cells before it took too long, or too many of them had to be stopped",
}


def judge(cells: list[Cell], result: bytes, seed: int) -> dict[int, Verdict]:
    """Judge an execution: by the index of a grade cell, the verdict on its exercise."""
    results = {entry["index"]: entry for entry in json.loads(result)["cells"]}
    sources = [cell.source for cell in cells if cell.exercise is None]
    verdicts = {}
    for number, cell in enumerate(cells):
        if cell.exercise is not None:
            exercise = exercises.get(cell.exercise)
            before = [results[earlier.index] for earlier in cells[:number] if earlier.exercise is None]
            try:
                verdicts[cell.index] = _verdict(exercise, results[cell.index], before, sources, seed)
                render(verdicts[cell.index])  # whatever cannot be shown is a failure too, and shows itself here
            except Exception as error:  # ours, so nobody's zero
                reason = f"{CHECKER_FAILED} ({type(error).__name__}: {error})"
                verdicts[cell.index] = exercise.refuse("checker failed", reason)
    return verdicts


def record(notebook: NotebookNode, result: bytes, verdicts: dict[int, Verdict]) -> None:
    """Write outputs into the notebook in nbgrader's own terms: all points without error, some as a last number,
    none as an error. Display outputs of the student's cells are kept as text and PNG only, since a browser shows them.
    """
    outputs = {entry["index"]: entry["outputs"] for entry in json.loads(result)["cells"]}
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if index in verdicts:
            cell.outputs = _outputs(verdicts[index])
            cell.metadata[OURS] = _facts(verdicts[index])
        else:
            cell.outputs = [_harmless(output) for output in outputs.get(index, [])]


def refuse_all(notebook: NotebookNode, reason: str) -> dict[int, Verdict]:
    """Give every grade cell of a notebook that could not be run a verdict with the reason."""
    verdicts = {}
    for index, cell in enumerate(notebook.cells):
        if is_grade(cell):
            verdicts[index] = exercises.get(exercise_of(cell)).refuse("no evidence", reason)
    return verdicts


def describe(notebook: NotebookNode, flags: Sequence[Flag]) -> None:
    """Write what became of a hand-in into its metadata, and where there is something to say on top of its page.

    `course.status` is graded, repaired, limit hit, unreadable or needs a human; `course.reasons` and `course.flags`
    are lists of sentences. Repairs are there for the student to read, flags for the instructor alone.
    """
    facts = notebook.metadata.get(OURS, {})
    cells = [cell.metadata[OURS] for cell in notebook.cells if OURS in cell.metadata]
    statuses = {cell["status"] for cell in cells}
    repairs, unreadable = facts.get("repairs", []), facts.get("unreadable")
    reasons = [unreadable] if unreadable else list(repairs)
    reasons += [cell["reason"] for cell in cells if cell["status"] in (NEEDS_HUMAN, LIMIT_HIT)]
    status = "unreadable" if unreadable else "repaired" if repairs else "graded"
    status = next((found for found in (NEEDS_HUMAN, LIMIT_HIT) if found in statuses), status)
    notebook.metadata[OURS] = {"status": status, "reasons": reasons, "flags": list(map(str, flags))}
    top = []
    if reasons:
        top.append(_note("about-this-hand-in", f"Your hand-in: {status}", reasons, {"for": "student"}))
    if flags:
        lines = list(map(str, flags))
        top.append(_note("flags", "Worth a look (students do not see this)", lines, {"for": INSTRUCTOR}))
    notebook.cells[:0] = top


def for_students(notebook: NotebookNode) -> None:
    """Take out what only the instructor sees."""
    notebook.cells = [cell for cell in notebook.cells if cell.metadata.get(OURS, {}).get("for") != INSTRUCTOR]
    notebook.metadata.get(OURS, {}).pop("flags", None)


def _note(name: str, heading: str, lines: list[str], facts: dict[str, str]) -> NotebookNode:
    """A markdown cell in which what a student wrote stays text."""
    text = "\n".join(" ".join(line.split()) for line in lines)
    return new_markdown_cell(f"### {heading}\n\n{indent(text, ' ' * 4)}", id=name, metadata={OURS: facts})


def _verdict(
    exercise: Exercise, entry: dict[str, Any], before: list[dict[str, Any]], sources: list[str], seed: int
) -> Verdict:
    shortcut = find_shortcut(sources, exercise.side.name, exercise.forbidden, exercise.allowed)
    if shortcut is not None:
        return exercise.refuse("forbidden", shortcut)
    if entry["evidence"] is not None:
        try:
            return exercise.decide(unpack(entry["evidence"]), seed)
        except EvidenceError as error:
            return exercise.refuse("no evidence", f"What came out of the sandbox cannot be read: {error}.")
    if entry["status"] in STOPPED:
        return exercise.refuse(LIMIT_HIT, f"Your {exercise.side.name} {STOPPED[entry['status']]}.")
    broken = not_compiled(sources, exercise.side.name)
    if broken is not None:
        return exercise.refuse("no evidence", broken)
    error = next((output for output in entry["outputs"] if output["output_type"] == "error"), None)
    stopped = next((STOPPED[earlier["status"]] for earlier in reversed(before) if earlier["status"] in STOPPED), None)
    said = f": {error['ename']}: {error['evalue']}" if error else ""
    reason = f"The check gave no evidence{said}."
    if stopped:
        reason += f" An earlier cell {stopped}."
    if any(output.get("ename") == "ModuleNotFoundError" for earlier in before for output in earlier["outputs"]):
        reason += " An earlier cell imports what is not there: only the notebook is graded, so put helpers into it."
    return exercise.refuse("no evidence", reason[:2000])


def _outputs(verdict: Verdict) -> list[NotebookNode]:
    card = verdict.message
    shown = new_output("display_data", {"text/plain": card, "text/html": to_html(card)})
    if verdict.passed:
        return [shown]
    if verdict.points > 0:
        return [shown, new_output("execute_result", {"text/plain": f"{verdict.points:g}"})]
    lines = colour(card).split("\n")
    return [new_output("error", ename="CheckFailed", evalue=card.partition("\n")[0], traceback=lines)]


def _facts(verdict: Verdict) -> dict[str, Any]:
    status = NEEDS_HUMAN if verdict.status == "checker failed" else verdict.status
    return {"status": status, "misconception": verdict.misconception, "reason": verdict.reason}


def _harmless(output: dict[str, Any]) -> NotebookNode:
    """Keep text and PNG; anything a browser would run or fetch is dropped."""
    if output["output_type"] not in ("display_data", "execute_result"):
        return NotebookNode({name: _plain(value) for name, value in output.items()})
    data = output["data"]
    kept = {"text/plain": _plain(str(data.get("text/plain", "")))}
    if isinstance(data.get("image/png"), str) and _is_base64(data["image/png"]):
        kept["image/png"] = data["image/png"]
    return new_output("display_data", kept)


def _plain(value: Any) -> Any:
    """Text without colours, which cost a page more time than they are worth, and without other control characters."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return strip_ansi(value).replace("\x1b", "") if isinstance(value, str) else value


def _is_base64(text: str) -> bool:
    try:
        return base64.b64decode(text, validate=False).startswith(b"\x89PNG")
    except (binascii.Error, ValueError):
        return False
