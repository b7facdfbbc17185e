"""Run every solution from top to bottom and ship what it measured, for learners who skip a lesson.

`make reference` writes course_lib/reference_results.json; `labbook.recall` falls back on it.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from course_lib import labbook
from course_lib.layout import Course, Lesson

ROOT = Path(__file__).resolve().parent.parent
LONGEST_CELL = 300  # seconds


def run_solution(lesson: Lesson, home: Path) -> NotebookNode:
    """Run a lesson's solution in a kernel of its own, with its lab book in `home`; give it with its outputs.

    Raises nbclient's CellExecutionError for a cell that raises.
    """
    notebook = nbformat.read(lesson.file(Course(ROOT).solutions), as_version=4)
    with mock.patch.dict(os.environ, {"COURSE_HOME": str(home)}):
        client = NotebookClient(notebook, timeout=LONGEST_CELL, resources={"metadata": {"path": str(home)}})
        return client.execute()


def main() -> int:
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, {"COURSE_HOME": home}):
        for lesson in Course(ROOT).lessons():
            start = time.perf_counter()
            run_solution(lesson, Path(home))
            print(f"{lesson.name}: {time.perf_counter() - start:.0f} s")
        book = json.loads(labbook.path().read_text(encoding="utf-8"))
    measured = {key: book[key] for key in sorted(book) if key[:2].isdigit()}
    labbook.REFERENCE.write_text(json.dumps(measured, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(measured)} results in {labbook.REFERENCE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
