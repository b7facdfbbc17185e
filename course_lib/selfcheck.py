"""A learner's own notebook, run from the top by `course check` or by Validate: what every check says.

Whoever runs it sets NBGRADER_EXECUTION; then nothing is written into the lab book, and an unwritten exercise fails.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from course_lib.errors import CourseError

__all__ = ["CELL_SECONDS", "TOO_LONG", "check_notebook", "fail_if_too_long"]

CELL_SECONDS = 300  # a learner's own machine, and experiments may train
TOO_LONG = {
    "ename": "CellTimeoutError",
    "evalue": "",
    "traceback": [f"This cell ran for more than {CELL_SECONDS // 60} minutes and was stopped."],
}


def check_notebook(file: Path, home: Path, progress: Callable[[int, int], None]) -> list[tuple[bool, str]]:
    """Run a copy of the notebook from the top, errors and all; returns of every check whether it passed, and its card.

    home: where the lab book is. progress: is told how many of how many cells are done.
    Raises CourseError if the file is no notebook, or a cell never ends or ends its kernel.
    """
    try:
        notebook = nbformat.read(file, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        raise CourseError(f"{file.name} cannot be read as a notebook: `course reset` gives a new one.") from error
    total = len(notebook.cells)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        allow_errors=True,
        kernel_name="python3",
        resources={"metadata": {"path": str(file.parent)}},
        on_cell_complete=lambda cell, cell_index: progress(cell_index + 1, total),
    )
    try:
        client.execute(env=os.environ | {"COURSE_HOME": str(home), "NBGRADER_EXECUTION": "check"})
    except (CellTimeoutError, DeadKernelError) as error:
        raise CourseError(
            f"A cell of {file.name} ran for more than {CELL_SECONDS // 60} minutes, or ended its kernel: open the "
            "notebook and run it cell by cell."
        ) from error
    return [_card(cell) for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]


def fail_if_too_long(cell: nbformat.NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
    """Let a cell that Validate had to stop count as one that failed; nbgrader looks at grade cells alone."""
    if execute_reply["content"]["ename"] == TOO_LONG["ename"]:
        cell.outputs = [nbformat.v4.new_output("error", **TOO_LONG)]
        cell.metadata["nbgrader"] = nbformat.from_dict({"grade": True, "solution": False, "points": 1})


def _card(cell: nbformat.NotebookNode) -> tuple[bool, str]:
    """What a check showed; where it raised something else, that in one line."""
    for output in cell.get("outputs", []):
        if output.output_type == "error" and output.ename == "CheckFailed":
            return False, "\n".join(output.traceback)
        if output.output_type == "error":
            return False, f"✗ {cell.source}\n\n{output.ename}: {output.evalue}"
        if output.output_type == "display_data" and output.metadata.get("course") == "card":
            return True, output.data["text/plain"]
    return False, f"○ {cell.source}\n\nThis check showed nothing."
