"""Run every solution from top to bottom with three seeds and ship what it measured.

`make reference` writes course_lib/reference_results.json, a list of three for each key: first what the notebook's own
seeds give, which `labbook.recall` falls back on for learners who skip a lesson; then what two other seeds give. The
prose may quote no figure that the three do not bear out (tests/test_quoted_figures.py).
"""

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from course_lib import labbook
from course_lib.layout import Course, Lesson

ROOT = Path(__file__).resolve().parent.parent
SEEDS = 3
LONGEST_CELL = 300  # seconds
SEEDED = re.compile(r"manual_seed\((\w+)\)")  # every random number of a notebook comes from such a call


def run_solution(lesson: Lesson, home: Path, seed: int = 0) -> NotebookNode:
    """Run a lesson's solution in a kernel of its own, with its lab book in `home`; give it with its outputs.

    seed: 0 leaves the notebook's own seeds, another number moves each of them.
    Raises nbclient's CellExecutionError for a cell that raises.
    """
    notebook = nbformat.read(lesson.file(Course(ROOT).solutions), as_version=4)
    for cell in notebook.cells if seed else ():
        if cell.cell_type == "code":
            cell.source = SEEDED.sub(rf"manual_seed(\1 + {1000 * seed})", cell.source)
    with mock.patch.dict(os.environ, {"COURSE_HOME": str(home)}):
        client = NotebookClient(notebook, timeout=LONGEST_CELL, resources={"metadata": {"path": str(home)}})
        return client.execute()


def measured(lesson: Lesson, seed: int) -> dict[str, Any]:
    """What the lesson's solution writes into an empty lab book, without the results of its checks."""
    one_thread = {"OMP_NUM_THREADS": "1"}  # more would add up in another order, and each training go another way
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, one_thread):
        run_solution(lesson, Path(home), seed)
        book = json.loads((Path(home) / labbook.path().name).read_text(encoding="utf-8"))
    return {key: value for key, value in book.items() if key[:2] == lesson.number}


def main(numbers: list[str]) -> int:
    """Measure the lessons with these numbers anew, or all if none is given; each is shipped as soon as it is there."""
    for lesson in Course(ROOT).lessons():
        if numbers and lesson.number not in numbers:
            continue
        start = time.perf_counter()
        ship(lesson, [measured(lesson, seed) for seed in range(SEEDS)])
        print(f"{lesson.name}: {SEEDS} seeds in {time.perf_counter() - start:.0f} s")
    return 0


def ship(lesson: Lesson, books: list[dict[str, Any]]) -> None:
    """Write what the seeds gave in place of the lesson's shipped results; those of other lessons stay."""
    shipped = json.loads(labbook.REFERENCE.read_text(encoding="utf-8"))
    shipped = {key: values for key, values in shipped.items() if key[:2] != lesson.number}
    shipped |= {key: [book[key] for book in books] for key in books[0]}
    lines = (f"  {json.dumps(key)}: {json.dumps(shipped[key], ensure_ascii=False)}" for key in sorted(shipped))
    labbook.REFERENCE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
