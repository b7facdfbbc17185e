"""From the result of an execution to verdicts, and from verdicts to what nbgrader reads: the outputs of grade cells."""

import base64
import binascii
import json
import re
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
from course_lib.grading.submission import OURS, RUN_ONLY, Cell, exercise_of, is_answer, is_grade, name_of

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

NO_EVIDENCE = "The check gave no evidence."
NO_IMPORT = "the cells before the checks left a Python in which the checks cannot be loaded"
OF_A_NAME = re.compile(r"(?:NameError|ImportError|ModuleNotFoundError): .*?'([^']*)'")
GIVES = re.compile(r"^[ \t]*(?:(?:async +)?(?:def|class) +(\w+)|(?:from|import)\b(.*)|(\w+)[ \t]*[=:,])", re.MULTILINE)


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
    entries = {entry["index"]: entry for entry in json.loads(result)["cells"]}
    if cause := _common_cause(notebook, entries, verdicts):
        notebook.metadata.setdefault(OURS, {})["cause"] = cause
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if index in verdicts:
            cell.outputs = _outputs(verdicts[index])
            cell.metadata[OURS] = _facts(verdicts[index])
        else:
            cell.outputs = [_harmless(output) for output in entries.get(index, {}).get("outputs", [])]


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
    notebook.cells = [cell for cell in notebook.cells if cell.metadata.get(OURS) != RUN_ONLY]
    cells = [cell.metadata[OURS] for cell in notebook.cells if OURS in cell.metadata]
    statuses = {cell["status"] for cell in cells}
    repairs, unreadable = facts.get("repairs", []), facts.get("unreadable")
    reasons = [unreadable] if unreadable else list(repairs)
    reasons += [facts["cause"]] if "cause" in facts else []
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
    errors = _errors(entry)
    stopped = next((STOPPED[earlier["status"]] for earlier in reversed(before) if earlier["status"] in STOPPED), None)
    said = f": {errors[0]}" if errors else ""
    reason = f"{NO_EVIDENCE.removesuffix('.')}{said}."
    if stopped:
        reason += f" An earlier cell {stopped}."
    if any(output.get("ename") == "ModuleNotFoundError" for earlier in before for output in earlier["outputs"]):
        reason += " An earlier cell imports what is not there: only the notebook is graded, so put helpers into it."
    return exercise.refuse("no evidence", reason[:2000])


def _common_cause(notebook: NotebookNode, entries: dict[int, dict[str, Any]], verdicts: dict[int, Verdict]) -> str:
    """Name the one thing outside the answers for which every exercise failed, of those that were written; or ""."""
    failed: list[tuple[set[str], str, bool]] = []  # cells that are no answers: names, what came of it, if it was ended
    raised: list[str] = []  # by the cells since the last check
    causes: list[list[str]] = []  # of each exercise, the best first
    for index, cell in enumerate(notebook.cells):
        if index not in entries:
            continue
        entry, errors = entries[index], _errors(entries[index])
        if index not in verdicts:
            raised += errors
            if entry["status"] != "ok" and not is_answer(cell):
                stopped = entry["status"] in STOPPED
                what = STOPPED[entry["status"]].partition(":")[0] if stopped else f"raised {''.join(errors)[:200]}"
                failed.append((_given_by(cell.source), f"the cell {name_of(cell)[:80]} {what}", stopped))
            continue
        verdict = verdicts[index]
        if verdict.points or verdict.status in ("checker failed", "forbidden"):
            return ""
        errors = [error for error in raised + errors + _observed(entry) if OF_A_NAME.match(error)]
        names = {verdict.exercise.partition(".")[2], *(OF_A_NAME.match(error)[1] for error in errors)}
        not_run = entry["status"] == "not run"
        found = [what for gives, what, stopped in failed if (stopped and not_run) or gives & names]
        if found or verdict.status != "not written":
            causes.append(found + errors + [NO_IMPORT] * (verdict.reason == NO_EVIDENCE))
        raised = []
    shared = [cause for cause in causes[0] if all(cause in other for other in causes)] if len(causes) > 1 else []
    return f"every exercise failed for one cause outside the answers: {_plain(shared[0])}" if shared else ""


def _given_by(source: str) -> set[str]:
    """Names that a cell, be it Python or not, would define or import."""
    return {name for groups in GIVES.findall(source) for name in re.findall(r"\w+", " ".join(groups))}


def _errors(entry: dict[str, Any]) -> list[str]:
    return [f"{out['ename']}: {out['evalue']}" for out in entry["outputs"] if out["output_type"] == "error"]


def _observed(entry: dict[str, Any]) -> list[str]:
    """What a learner's function raised when it was called."""
    try:
        seen = unpack(entry["evidence"]) if entry["evidence"] is not None else []
    except EvidenceError:
        return []
    return [f"{got.type}: {got.text}" for got in seen if got.kind == "error"]


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
