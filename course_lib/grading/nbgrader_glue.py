"""Our places in nbgrader's pipeline: read and repair a submission, run and judge it, save what needs a human.

nbgrader_config.py names these classes, so `nbgrader autograde`, formgrader's button and `course grade` are three roads
through the same code.
"""

import hashlib
import secrets
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades

from course_lib.exercises import exercise
from course_lib.grading.build import build
from course_lib.grading.execution import execute, make_job
from course_lib.grading.sandbox import Limits, self_test
from course_lib.grading.store import Store, key, write_atomically
from course_lib.grading.submission import OURS, Cell, plan, read
from course_lib.grading.verdicts import NEEDS_HUMAN, judge, record, refuse_all
from course_lib.layout import Course, Lesson

__all__ = ["RepairingExporter", "SandboxExecute", "SaveVerdicts", "fingerprint", "job_for", "seed_of"]


class RepairingExporter(NotebookExporter):
    """Reads a submission whatever its state: grade cells are put back, a file that is no notebook gets a reason."""

    def from_filename(
        self, filename: str, resources: dict | None = None, **keywords: Any
    ) -> tuple[str, dict]:
        """Read `filename`, repaired if it lies under the submitted directory, and run the preprocessors on it."""
        course, file = Course.find(Path(filename).parent), Path(filename).resolve()
        if not file.is_relative_to(course.grading / "submitted"):
            return super().from_filename(filename, resources, **keywords)
        notebook = read(file, released(course, Lesson(resources["nbgrader"]["assignment"])))
        resources.setdefault("metadata", {}).update(name=file.stem, path=str(file.parent))
        return self.from_notebook_node(notebook, resources, **keywords)


class SandboxExecute(NbGraderPreprocessor):
    """Takes the place of nbgrader's Execute: runs the notebook in the sandbox, or finds that done, and judges it."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Give the notebook the outputs that nbgrader reads points from."""
        course = Course.find(Path(resources["metadata"]["path"]))
        lesson = Lesson(resources["nbgrader"]["assignment"])
        unreadable = nb.metadata.get(OURS, {}).get("unreadable")
        if unreadable:
            record(nb, [], b'{"cells": []}', refuse_all(nb, unreadable))
            return nb, resources
        cells = plan(nb)
        job, store = job_for(course, lesson, cells), Store(course.grading / "store")
        result = store.get(key(job))
        if result is None:
            _require_sandbox()
            result = execute(job)
            store.put(key(job), result)
        record(nb, cells, result, judge(cells, result, seed_of(course, lesson)))
        nb.metadata[OURS]["fingerprint"] = fingerprint(job)
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


def fingerprint(job: bytes) -> str:
    """Name everything a grade depends on: the job, and the code that judges."""
    return hashlib.sha256(job + _judging_code()).hexdigest()


@cache
def _judging_code() -> bytes:
    folder = Path(exercise.__file__).parent.parent
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))


@cache
def _require_sandbox() -> None:
    self_test()
