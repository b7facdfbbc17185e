"""A submitted notebook: repair it against the released one, and plan what to run."""

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import nbformat
from nbformat import NotebookNode

__all__ = ["Cell", "copy_of", "exercise_of", "is_answer", "is_grade", "name_of", "plan", "repair", "text_of"]

OURS = "course"  # our key in cell and notebook metadata; a student's own is dropped
EXPERIMENT = "experiment"  # tag of cells that are skipped when grading
KINDS = ("code", "markdown", "raw")
NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True)
class Cell:
    """One code cell to run: its place in the notebook, its source, and for a grade cell its exercise."""

    index: int
    source: str
    exercise: str | None = None


def repair(notebook: dict[str, Any], released: NotebookNode) -> NotebookNode:
    """Make a notebook of the student's sources and the released grade cells, each behind its answer and unchanged.

    notebook: the submitted one as plain JSON. Of its cells only kind, source, name, id and the experiment tag are
    taken over: no outputs, no attachments, nothing that a page would show or nbgrader would believe.
    """
    ours = {name_of(cell): cell for cell in released.cells if is_grade(cell)}
    marked = {name_of(cell): cell for cell in released.cells if "nbgrader" in cell.metadata}
    repairs: list[str] = []
    cells: list[NotebookNode] = []
    stood: dict[str, tuple[int, dict[str, Any]]] = {}  # of each grade cell: how many other cells were before it
    seen_ids = Counter(map(_id, ours.values()))
    seen_names: set[str] = set()
    for cell in notebook["cells"]:
        name = name_of(cell)
        if name in ours:  # of copies the last one counts: above the answer it would find nothing
            repairs += [f"a copy of the cell {name} was left out"] if name in stood else []
            stood[name] = len(cells), cell
            continue
        first = name in marked and name not in seen_names
        if first and cell.get("cell_type") != marked[name].cell_type:
            repairs.append(f"the cell {name} was made a {marked[name].cell_type} cell again")
            cell = cell | {"cell_type": marked[name].cell_type}
        cells.append(_clean(cell, seen_ids))
        if first:
            cells[-1].metadata.nbgrader = copy_of(marked[name].metadata.nbgrader)
        elif "nbgrader" in _dict(cell.get("metadata")):
            repairs.append(f"the cell {name[:80]} was kept as an ordinary cell, since it is a copy or was not released")
        seen_names.add(name)
    places = {name_of(cell): place for place, cell in reversed(list(enumerate(cells)))}
    inserted: dict[int, list[NotebookNode]] = {}
    answer = ""
    for cell in released.cells:
        name = name_of(cell)
        if is_answer(cell):
            answer = name
        if name not in ours:
            continue
        place, theirs = stood.get(name, (places.get(answer, len(cells) - 1) + 1, None))
        earliest = places[answer] + 1 if answer in places else 0
        repairs += _repairs_of(cell, theirs, moved=place < earliest)
        inserted.setdefault(max(place, earliest), []).append(copy_of(cell))
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
        elif is_answer(cell) or EXPERIMENT not in cell.metadata.get("tags", []):
            cells.append(Cell(index, cell.source))
        elif definitions := _definitions(cell.source):
            cells.append(Cell(index, definitions))
    return cells


def _definitions(source: str) -> str:
    """The functions and classes of an experiment: a learner may have put a helper there."""
    try:
        body = ast.parse(source).body
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        return "\n\n".join(ast.unparse(statement) for statement in body if isinstance(statement, kinds))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


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


def _clean(cell: dict[str, Any], seen_ids: Counter[str]) -> NotebookNode:
    """Make a new cell of the source, the kind and the experiment tag of a student's, with an id of its own.

    seen_ids: how often each id was wanted.
    """
    kind = cell.get("cell_type") if cell.get("cell_type") in KINDS else "raw"
    tags = _dict(cell.get("metadata")).get("tags")
    metadata = {"tags": [EXPERIMENT]} if isinstance(tags, list) and EXPERIMENT in tags else {}
    wanted = unique = _id(cell)
    while unique in seen_ids:
        seen_ids[wanted] += 1
        unique = f"{wanted}-{seen_ids[wanted]}"
    seen_ids[unique] += 1
    made = {"cell_type": kind, "id": unique, "metadata": metadata, "source": text_of(cell)}
    return nbformat.from_dict(made | ({"outputs": [], "execution_count": None} if kind == "code" else {}))


def _id(cell: dict[str, Any]) -> str:
    """The cell's id in the letters that the format allows."""
    return NOT_IN_AN_ID.sub("-", str(cell.get("id") or "cell")[:48])


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
