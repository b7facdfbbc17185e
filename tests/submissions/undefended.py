"""Graders as they are elsewhere, to show that an attack pays: tests in the student's own kernel, and files as they are.

Run as a program it reads one job a line, {"way", "cells", "folder"}, and prints the points each gets. It has torch
loaded and forks for every job, so that a job takes a tenth of a second and no job sees another's patches.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXERCISE = "create-causal-mask-check"
POINTS = 4
# What a teacher writes into a test cell.
ASSERTS = """
from course_lib.masks import create_causal_mask as reference
got, want = create_causal_mask(5), reference(5)
"""
SHAPES = "assert got.shape == want.shape\nassert (got == want).all()"
TESTING = "import torch\ntorch.testing.assert_close(got, want)"


def points(way: str, cells: list[dict[str, Any]], folder: str) -> float:
    """Grade a notebook in this process, which is never the same afterwards.

    way: "asserts" (and with torch.testing), where the test cell is put back first; "script", where the exit status
    decides; "as submitted", where the notebook's own check cells run with the points they claim.
    """
    sys.path[:0] = [folder, str(ROOT)]  # where a kernel and its library are found, in this order
    os.chdir(folder)
    test = ASSERTS + (TESTING if "testing" in way else SHAPES)
    if way == "script":
        exec("\n".join(cell["source"] for cell in _before_the_test(cells)) + "\n" + test, {"__name__": "__main__"})
        return POINTS
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    if way == "as submitted":
        os.environ["NBGRADER_EXECUTION"] = "autograde"  # as nbgrader says that a whole notebook is run
        return sum(_passed(shell, cell["source"]) * cell["points"] for cell in cells)
    for cell in _before_the_test(cells):
        _earned(shell, cell["source"], 0)
    return _earned(shell, test, POINTS)


def _before_the_test(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    place = next((n for n, cell in enumerate(cells) if cell["name"] == EXERCISE), len(cells))
    return cells[:place]


def _passed(shell: Any, source: str) -> bool:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return shell.run_cell(source).success


def _earned(shell: Any, source: str, worth: float) -> float:
    """What nbgrader gives for a cell: a last number, else nothing where the output shows an error, else all."""
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.redirect_stderr(shown):
        result = shell.run_cell(source)
    if isinstance(result.result, int | float) and not isinstance(result.result, bool):
        return min(result.result, worth)
    return 0 if "Traceback (most recent call last)" in shown.getvalue() or "-----" in shown.getvalue() else worth


def _serve() -> None:
    import torch
    from IPython.core.interactiveshell import InteractiveShell  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            job = json.loads(line)
            sys.stdin = open(os.devnull)  # noqa: PTH123
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123
            try:
                earned = points(**job)
            except SystemExit as leaving:
                earned = POINTS if leaving.code in (0, None) else 0
            except BaseException:
                earned = 0
            os.write(writer, str(earned).encode())
            os._exit(0)
        os.close(writer)
        said = os.read(reader, 100).decode()
        os.close(reader)
        status = os.waitpid(child, 0)[1]
        if not said:  # it ended before it could say anything
            said = str(POINTS if status == 0 else 0)
        print(float(said), flush=True)


@contextlib.contextmanager
def server() -> Iterator[Any]:
    """Start the program; gives a function of a job that returns its points."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as process:

        def ask(way: str, notebook: dict[str, Any], folder: Path) -> float:
            cells = []
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code" and "experiment" not in cell["metadata"].get("tags", []):
                    facts = cell["metadata"].get("nbgrader", {})
                    worth = facts.get("points", 0) if facts.get("grade") else 0
                    cells.append({"name": facts.get("grade_id", ""), "source": cell["source"], "points": worth})
            process.stdin.write(json.dumps({"way": way, "cells": cells, "folder": str(folder)}) + "\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield ask
        process.stdin.close()


if __name__ == "__main__":
    _serve()
