"""A submitted notebook: read it whatever its state, repair it against the released one, plan what to run."""

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

__all__ = ["Cell", "exercise_of", "is_answer", "is_grade", "plan", "read", "repair"]

LARGEST_FILE = 20_000_000  # bytes
OURS = "course"  # our key in cell and notebook metadata; a student's own is dropped
EXPERIMENT = "experiment"  # tag of cells that are skipped when grading


@dataclass(frozen=True)
class Cell:
    """One code cell to run: its place in the notebook, its source, and for a grade cell its exercise."""

    index: int
    source: str
    exercise: str | None = None


def read(file: Path, released: NotebookNode) -> NotebookNode:
    """Read a submitted notebook and repair it; one that cannot be read becomes the released one, with the reason.

    What was done is kept in the notebook's metadata: `course.repairs`, and `course.unreadable` if nothing of the
    student's could be used.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it is larger than {LARGEST_FILE // 1_000_000} MB")
        notebook = nbformat.from_dict(json.loads(file.read_bytes()))
        if notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
            raise ValueError("it is not a notebook of format 4")
        return repair(notebook, released)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        notebook = _copy(released)
        notebook.metadata[OURS] = {"unreadable": f"{file.name} cannot be read as a notebook: {error}."[:500]}
        return notebook


def repair(notebook: NotebookNode, released: NotebookNode) -> NotebookNode:
    """Put the released grade cells back in place, once each and unchanged; the student's own code is left as it is."""
    grade_cells = {_name(cell): cell for cell in released.cells if is_grade(cell)}
    marked = {_name(cell): cell.metadata.nbgrader for cell in released.cells if "nbgrader" in cell.metadata}
    last = {_name(cell): number for number, cell in enumerate(notebook.cells)}
    repairs: list[str] = []
    cells: list[NotebookNode] = []
    seen_ids: set[str] = set()
    seen_names: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        name = _name(cell)
        if name in grade_cells:
            if number < last[name]:  # a copy above the answer would find nothing there
                repairs.append(f"a copy of the cell {name} was left out")
                continue
            repaired = _copy(grade_cells[name])
            if _text(cell) != repaired.source:
                repairs.append(f"the cell {name} was restored")
            cell = repaired
        cell = _clean(cell, seen_ids)
        if name in marked and name not in seen_names:
            cell.metadata.nbgrader = _copy(marked[name])
        elif cell.metadata.pop("nbgrader", None) is not None:
            repairs.append(f"the cell {name} was kept as an ordinary cell, since it is a copy or was not released")
        seen_names.add(name)
        cells.append(cell)
    for name, after in _missing(released, seen_names):
        repairs.append(f"the cell {name} was missing and was put back")
        place = next((n for n, cell in enumerate(cells) if after and _name(cell) == after), len(cells) - 1)
        cells.insert(place + 1, _clean(_copy(grade_cells[name]), seen_ids))
    metadata = _copy(released.metadata) | {OURS: {"repairs": repairs}}
    return nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells})


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


def _name(cell: Any) -> str:
    """The name a cell was released under: its nbgrader name, or its id where that metadata was lost."""
    nbgrader = cell.get("metadata", {}).get("nbgrader", {})
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return name if isinstance(name, str) and name else str(cell.get("id", ""))


def _missing(released: NotebookNode, present: set[str]) -> list[tuple[str, str]]:
    """Grade cells that are not there, each with the name of the released cell it stood behind."""
    before = ""
    missing = []
    for cell in released.cells:
        if is_grade(cell) and _name(cell) not in present:
            missing.append((_name(cell), before))
        before = _name(cell)
    return missing


def _clean(cell: NotebookNode, seen_ids: set[str]) -> NotebookNode:
    """Give a cell a valid form: text source, an id of its own, no outputs, none of our metadata."""
    cell.source = _text(cell)
    metadata = cell.get("metadata")
    cell.metadata = metadata if isinstance(metadata, dict) else NotebookNode()
    cell.metadata.pop(OURS, None)
    if not isinstance(cell.metadata.get("nbgrader", {}), dict):
        cell.metadata.pop("nbgrader")
    if not isinstance(cell.metadata.get("tags", []), list):
        cell.metadata.pop("tags")
    if cell.get("cell_type") not in ("code", "markdown", "raw"):
        cell.cell_type = "raw"
    for key in ("outputs", "execution_count", "attachments"):
        cell.pop(key, None)
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    wanted = str(cell.get("id") or "cell")[:56]
    number = 1
    cell.id = wanted
    while cell.id in seen_ids:
        number += 1
        cell.id = f"{wanted}-{number}"
    seen_ids.add(cell.id)
    return cell


def _copy(node: NotebookNode) -> NotebookNode:
    return nbformat.from_dict(json.loads(json.dumps(node)))


def _text(cell: Any) -> str:
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair could not be written to a file

