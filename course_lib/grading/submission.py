"""A submitted notebook: repair it against the released one, and plan what to run."""

import ast
import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib.exercises.shortcuts import UNPARSABLE, parse

__all__ = [
    "RUN_ONLY", "Cell", "copy_of", "exercise_of", "is_answer", "is_grade", "name_of", "plan", "repair", "text_of"
]  # fmt: skip

OURS = "course"  # our key in cell and notebook metadata; a student's own is dropped
EXPERIMENT = "experiment"  # tag of cells that are skipped when grading
KINDS = ("code", "markdown", "raw")
RUN_ONLY = {"for": "the run"}  # our mark of a cell that runs and is not shown
MAGIC = re.compile(r"\s*(?:\w+\s*=\s*)?[!%]")
INSTALLERS = {"pip", "pip3", "conda", "mamba", "micromamba", "uv"}
NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True)
class Cell:
    """One code cell to run: its place in the notebook, its source, and for a grade cell its exercise."""

    index: int
    source: str
    exercise: str | None = None


def repair(notebook: dict[str, Any], released: NotebookNode) -> NotebookNode:
    """Make a notebook of the student's sources and the released cells that a right answer depends on.

    notebook: the submitted one as plain JSON. Of its cells only kind, source, name, id and the experiment tag are
    taken over: no outputs, no attachments, nothing that a page would show or nbgrader would believe.
    Grade cells come from the released notebook, each behind its answer. What was given as code (a setup, helpers,
    examples) runs as it was released, above the answers that follow it; what a student made of it runs after it.
    """
    ours = {name_of(cell): cell for cell in released.cells if is_grade(cell)}
    marked = {name_of(cell): cell for cell in released.cells if "nbgrader" in cell.metadata}
    code = {name_of(cell): cell for cell in released.cells if cell.cell_type == "code"}
    given = {name: cell for name, cell in code.items() if _is_run(cell) and not is_answer(cell)}
    repairs: list[str] = []
    cells: list[NotebookNode] = []
    stood: dict[str, tuple[int, dict[str, Any]]] = {}  # of each grade cell: how many other cells were before it
    seen_ids = Counter(map(_id, ours.values()))
    seen_names: set[str] = set()
    for cell in _named(notebook["cells"], code):
        name = name_of(cell)
        if name in ours:  # of copies the last one counts: above the answer it would find nothing
            repairs += [f"a copy of the cell {name} was left out"] if name in stood else []
            stood[name] = len(cells), cell
            continue
        if name in given and not text_of(cell).strip():
            continue
        first = (name in marked or name in given) and name not in seen_names
        kind = (given | marked)[name].cell_type if first else ""
        if first and cell.get("cell_type") != kind:
            repairs.append(f"the cell {name} was made a {kind} cell again")
            cell = cell | {"cell_type": kind}
        cells.append(_clean(cell, seen_ids))
        if name in code:
            cells[-1].metadata = {"tags": [EXPERIMENT]} if _is_experiment(code[name]) else {}
        if first and name in marked:
            cells[-1].metadata.nbgrader = copy_of(marked[name].metadata.nbgrader)
        elif not first and "nbgrader" in _dict(cell.get("metadata")):
            repairs.append(f"the cell {name[:80]} was kept as an ordinary cell, since it is a copy or was not released")
        if _is_run(cells[-1]) and _without_installs(cells[-1].source) != cells[-1].source:
            repairs.append(f"what the cell {name[:80]} installs was left out: there is no network while grading")
        seen_names.add(name)
    places = {name_of(cell): place for place, cell in reversed(list(enumerate(cells)))}
    answers = [places.get(name_of(cell), len(cells)) if is_answer(cell) else len(cells) for cell in released.cells]
    inserted: dict[int, list[NotebookNode]] = {}
    answer, after = "", 0
    for number, cell in enumerate(released.cells):
        name = name_of(cell)
        if is_answer(cell):
            answer = name
        if name in given:
            mine, latest = places.get(name), min(answers[number:])
            place = min(after, latest) if mine is None or mine > latest else mine
            after = place + (place == mine)
            if mine is None:
                repairs.append(f"the cell {name} was missing and was put back")
            elif mine > latest:
                repairs.append(f"the cell {name} was put above the answers")
            elif not _is_edited(cells[mine], cell):
                continue
            elif name in marked:
                repairs.append(f"the cell {name} was restored, and what it was changed to runs after it")
            inserted.setdefault(place, []).append(_as_released(cell, seen_ids, shown=mine is None))
            if mine is not None:
                cells[mine].metadata.pop("nbgrader", None)
        elif name in ours:
            place, theirs = stood.get(name, (places.get(answer, len(cells) - 1) + 1, None))
            earliest = places[answer] + 1 if answer in places else 0
            repairs += _repairs_of(cell, theirs, moved=place < earliest)
            after = max(place, earliest)
            inserted.setdefault(after, []).append(copy_of(cell))
        elif name in places:
            after = places[name] + 1
    complete = [
        cell for place in range(len(cells) + 1) for cell in (*inserted.get(place, ()), *cells[place : place + 1])
    ]
    metadata = copy_of(released.metadata) | {OURS: {"repairs": repairs}}
    return nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": complete})


def plan(notebook: NotebookNode) -> list[Cell]:
    """List the cells to run, in order; of experiments only what they define. Grade cells know their exercise."""
    if "unreadable" in notebook.metadata.get(OURS, {}):
        return []
    cells = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if is_grade(cell):
            cells.append(Cell(index, cell.source, exercise_of(cell)))
        elif _is_run(cell):
            cells.append(Cell(index, _without_installs(cell.source)))
        elif definitions := _definitions(cell.source):
            cells.append(Cell(index, definitions))
    return cells


def _definitions(source: str) -> str:
    """The functions and classes of an experiment: a learner may have put a helper there."""
    try:
        body = parse(source).body
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        return "\n\n".join(ast.unparse(statement) for statement in body if isinstance(statement, kinds))
    except UNPARSABLE:
        return ""


def _without_installs(source: str) -> str:
    """Leave out the lines that install: without a network each takes all the time of its cell.

    Only of a cell that is not plain Python, where such a line can be IPython's alone.
    """
    with suppress(*UNPARSABLE):
        if "install" not in source or ast.parse(source):
            return source
    lines: list[str] = []
    goes_on = False  # a line that IPython joins to the one before
    for line in source.split("\n"):
        words = re.findall(r"\w+", line)
        where = words if MAGIC.match(line) else words[:1]
        installs = not INSTALLERS.isdisjoint(where) and "install" in words
        lines.append("" if goes_on else re.sub(r"\S.*", "pass", line) if installs else line)
        goes_on = (goes_on or installs) and line.endswith("\\")
    return "\n".join(lines)


def exercise_of(cell: NotebookNode) -> str | None:
    """Read the exercise's name off a grade cell, `check("01.create_causal_mask", create_causal_mask)`."""
    for node in ast.walk(ast.parse(cell.source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check":
            return node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    return None


def is_answer(cell: NotebookNode) -> bool:
    """Whether a cell is one that the learner was asked to fill."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def is_grade(cell: NotebookNode) -> bool:
    """Whether a cell is one of ours that calls check."""
    nbgrader = cell.metadata.get("nbgrader", {})
    return cell.cell_type == "code" and bool(nbgrader.get("grade")) and not nbgrader.get("solution")


def _is_experiment(cell: NotebookNode) -> bool:
    return EXPERIMENT in cell.metadata.get("tags", [])


def _is_run(cell: NotebookNode) -> bool:
    """Whether a cell that is no check is run whole when grading."""
    return cell.cell_type == "code" and not is_grade(cell) and (is_answer(cell) or not _is_experiment(cell))


def _is_edited(cell: dict[str, Any], released: NotebookNode) -> bool:
    return text_of(cell).strip() != released.source.strip()


def name_of(cell: dict[str, Any]) -> str:
    """Give the name a cell was released under: its nbgrader name, or its id where that metadata was lost."""
    name = _dict(_dict(cell.get("metadata")).get("nbgrader")).get("grade_id")
    return name if isinstance(name, str) and name else str(cell.get("id") or "")


def text_of(cell: dict[str, Any]) -> str:
    """Give the source of a cell, which may be a list of lines; half a surrogate pair could not be written to a file."""
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return text.encode("utf-8", "replace").decode("utf-8")


def copy_of(node: NotebookNode) -> NotebookNode:
    """Copy a notebook or a part of it."""
    return nbformat.from_dict(json.loads(json.dumps(node)))


def _repairs_of(ours: NotebookNode, theirs: dict[str, Any] | None, moved: bool) -> list[str]:
    """Say what a student did to one of our grade cells."""
    if theirs is None:
        return [f"the cell {name_of(ours)} was missing and was put back"]
    found = [f"the cell {name_of(ours)} was restored"] if text_of(theirs) != ours.source else []
    points = ours.metadata.nbgrader.points
    if _dict(_dict(theirs.get("metadata")).get("nbgrader")).get("points", points) != points:
        found.append(f"the points of the cell {name_of(ours)} were restored")
    return found + ([f"the cell {name_of(ours)} was put below its answer"] if moved else [])


def _named(cells: list[dict[str, Any]], released: dict[str, NotebookNode]) -> list[dict[str, Any]]:
    """Give a cell that lost its name, but holds what was released, that name again; an answer or a check is told by
    its name alone.
    """
    names = {name_of(cell) for cell in cells}
    lost = {
        cell.source.strip(): name
        for name, cell in released.items()
        if name not in names and not (is_answer(cell) or is_grade(cell))
    }
    return [
        cell | {"id": lost.pop(text_of(cell).strip()), "metadata": {}}
        if name_of(cell) not in released and text_of(cell).strip() in lost
        else cell
        for cell in cells
    ]


def _as_released(cell: NotebookNode, seen_ids: Counter[str], shown: bool) -> NotebookNode:
    """A given cell as it was released; unless it is shown, or nbgrader knows it, it is there for the run alone."""
    copy = copy_of(cell)
    copy.id = _unique(cell.id, seen_ids)
    if not shown and "nbgrader" not in cell.metadata:
        copy.metadata[OURS] = RUN_ONLY
    return copy


def _clean(cell: dict[str, Any], seen_ids: Counter[str]) -> NotebookNode:
    """Make a new cell of the source, the kind and the experiment tag of a student's, with an id of its own.

    seen_ids: how often each id was wanted.
    """
    kind = cell.get("cell_type") if cell.get("cell_type") in KINDS else "raw"
    tags = _dict(cell.get("metadata")).get("tags")
    metadata = {"tags": [EXPERIMENT]} if isinstance(tags, list) and EXPERIMENT in tags else {}
    made = {"cell_type": kind, "id": _unique(_id(cell), seen_ids), "metadata": metadata, "source": text_of(cell)}
    return nbformat.from_dict(made | ({"outputs": [], "execution_count": None} if kind == "code" else {}))


def _unique(wanted: str, seen_ids: Counter[str]) -> str:
    unique = wanted
    while unique in seen_ids:
        seen_ids[wanted] += 1
        unique = f"{wanted}-{seen_ids[wanted]}"
    seen_ids[unique] += 1
    return unique


def _id(cell: dict[str, Any]) -> str:
    """The cell's id in the letters that the format allows."""
    return NOT_IN_AN_ID.sub("-", str(cell.get("id") or "cell")[:48])


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
