"""Our places in nbgrader's pipeline: read and repair a submission, run and judge it, save what needs a human.

nbgrader_config.py names these classes, so `nbgrader autograde`, formgrader's button and `course grade` are three roads
through the same code.
"""

import secrets
from functools import cache
from pathlib import Path
from typing import Any

import bleach
import nbformat
from nbconvert.exporters import NotebookExporter
from nbconvert.filters.markdown import markdown2html
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from traitlets.config import Configurable

from course_lib.grading.build import build
from course_lib.grading.execution import execute, make_job
from course_lib.grading.sandbox import Limits, self_test
from course_lib.grading.store import Store, key, write_atomically
from course_lib.grading.submission import OURS, Cell, plan, read
from course_lib.grading.verdicts import NEEDS_HUMAN, judge, record, refuse_all
from course_lib.layout import Course, Lesson

__all__ = ["RepairingExporter", "SandboxExecute", "SaveVerdicts", "job_for", "released", "safe_markdown", "seed_of"]


TAGS = {
    *"a abbr blockquote br code del details div em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub".split(),
    *"summary sup table tbody td th thead tr ul".split(),
}
ATTRIBUTES = {"a": ["href", "title", "id"], "*": ["class", "id"]}


class RepairingExporter(NotebookExporter):
    """Reads a submission whatever its state: grade cells are put back, a file that is no notebook gets a reason."""

    def from_filename(
        self, filename: str, resources: dict | None = None, **keywords: Any
    ) -> tuple[str, dict]:
        """Read `filename`, repaired if it lies under the submitted directory, and run the preprocessors on it."""
        course, file = _course(self), Path(filename).resolve()
        if not file.is_relative_to((course.grading / "submitted").resolve()):
            return super().from_filename(filename, resources, **keywords)
        notebook = read(file, released(course, Lesson(resources["nbgrader"]["assignment"])))
        resources.setdefault("metadata", {}).update(name=file.stem, path=str(file.parent))
        return self.from_notebook_node(notebook, resources, **keywords)


class SandboxExecute(NbGraderPreprocessor):
    """Takes the place of nbgrader's Execute: runs the notebook in the sandbox, or finds that done, and judges it."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Give the notebook the outputs that nbgrader reads points from."""
        course, lesson = _course(self), Lesson(resources["nbgrader"]["assignment"])
        unreadable = nb.metadata.get(OURS, {}).get("unreadable")
        if unreadable:
            record(nb, b'{"cells": []}', refuse_all(nb, unreadable))
            return nb, resources
        cells = plan(nb)
        job, store = job_for(course, lesson, cells), Store(course.grading / "store")
        result = store.get(key(job))
        if result is None:
            _require_sandbox()
            result = execute(job)
            store.put(key(job), result)
        record(nb, result, judge(cells, result, seed_of(course, lesson)))
        return nb, resources


class SaveVerdicts(SaveAutoGrades):
    """Saves grades as nbgrader does; where our checker failed there is no grade, and a human is asked for."""

    def _add_score(self, cell: NotebookNode, resources: dict) -> None:
        super()._add_score(cell, resources)
        if cell.metadata.get(OURS, {}).get("status") == NEEDS_HUMAN:
            grade = self.gradebook.find_grade(
                cell.metadata["nbgrader"]["grade_id"], self.notebook_id, self.assignment_id, self.student_id
            )
            grade.auto_score, grade.needs_manual_grade = None, True
            self.gradebook.db.commit()


def safe_markdown(source: str) -> str:
    """Render a markdown cell without anything a browser would run or fetch, for a page of the instructor's."""
    return bleach.clean(markdown2html(source), TAGS, ATTRIBUTES, strip=True)


def _course(configured: Configurable) -> Course:
    """The course of nbgrader_config.py; never looked for from a submission, which may hold such a file of its own."""
    return Course(Path(configured.config.CourseDirectory.root))


def job_for(course: Course, lesson: Lesson, cells: list[Cell]) -> bytes:
    """Write the job that runs these cells: the same on every road to a grade."""
    return make_job(cells, seed_of(course, lesson), Limits(), build(lesson.number))


def seed_of(course: Course, lesson: Lesson) -> int:
    """Give the seed of the lesson's cases, drawn once and kept: a re-grade asks the same questions."""
    file = course.grading / "seeds" / lesson.name
    if not file.exists():
        write_atomically(file, str(secrets.randbelow(2**31)).encode(), keep=True)
    return int(file.read_text())


@cache
def released(course: Course, lesson: Lesson) -> NotebookNode:
    """Read the lesson as it was released."""
    return nbformat.read(lesson.file(course.notebooks), as_version=4)


@cache
def _require_sandbox() -> None:
    self_test()
