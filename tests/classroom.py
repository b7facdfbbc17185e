"""A class made by code: a course in a folder of its own, and submissions from right to wrong."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_lib.grading.submission import is_answer, is_grade
from course_lib.layout import Course

ROOT = Path(__file__).parent.parent
LESSON = Course(ROOT).lesson("01")


def make_course(folder: Path) -> Course:
    """Copy the parts of the course that grading needs."""
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    for name in ("solutions", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return Course(folder)


def released() -> NotebookNode:
    return nbformat.read(LESSON.file(ROOT / "notebooks"), as_version=4)


def solved() -> NotebookNode:
    """The released notebook with every answer filled in."""
    solution = nbformat.read(LESSON.file(ROOT / "solutions"), as_version=4)
    return answered({cell.id: cell.source for cell in solution.cells if is_answer(cell)})


def answered(answers: Mapping[str, str]) -> NotebookNode:
    """The released notebook with these answer cells' sources, by cell id."""
    notebook = released()
    cells = {cell.id: cell for cell in notebook.cells}
    for name, source in answers.items():
        assert is_answer(cells[name]), name
        cells[name].source = source
    return notebook


def submit(course: Course, student: str, notebook: NotebookNode | str) -> Path:
    """Hand in a notebook, or a file with any text."""
    file = LESSON.file(course.grading / "submitted" / student)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(notebook if isinstance(notebook, str) else json.dumps(notebook), encoding="utf-8")
    return file


def grade_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if is_grade(cell)]
