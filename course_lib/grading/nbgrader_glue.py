"""Our places in nbgrader's pipeline: read and repair a submission, run and judge it, save what needs a human.

nbgrader_config.py names these classes, so `nbgrader autograde`, formgrader's button and `course grade` are three roads
through the same code.
"""

import glob
import json
import secrets
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import bleach
import nbformat
from nbconvert.exporters import NotebookExporter
from nbconvert.filters.markdown import markdown2html
from nbformat import NotebookNode
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from nbgrader.utils import parse_utc
from traitlets import Bool
from traitlets.config import Configurable

from course_lib.grading.build import build
from course_lib.grading.execution import execute, make_job
from course_lib.grading.handin import OddFile, find, load, read_plain
from course_lib.grading.integrity import Flag, flags_of, strangers
from course_lib.grading.sandbox import Limits, self_test
from course_lib.grading.store import Store, key, write_atomically
from course_lib.grading.submission import OURS, Cell, plan
from course_lib.grading.verdicts import NEEDS_HUMAN, describe, for_students, judge, record, refuse_all
from course_lib.layout import Course, Lesson

__all__ = [
    "CarefulDirectory",
    "ForStudents",
    "RepairingExporter",
    "SandboxExecute",
    "SaveVerdicts",
    "choose_notebook",
    "job_for",
    "released",
    "safe_html",
    "safe_markdown",
    "seed_of",
]

TIMESTAMP = "timestamp.txt"
LONGEST_TIMESTAMP = 200  # bytes
NOTHING = b'{"cells": []}'  # the result of a submission that was not run
TAGS = {
    *"a abbr blockquote br code del details div em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub".split(),
    *"summary sup table tbody td th thead tr ul".split(),
}
ATTRIBUTES = {"a": ["href", "title"]}  # an id or a class of theirs could be taken for one of the page's own
LONGEST_MARKDOWN = 20_000  # characters of a cell that are rendered; some texts take time that grows with the square


class CarefulDirectory(CourseDirectory):
    """nbgrader's course directory, without faith in what students put beside their notebooks."""

    @classmethod
    def in_place_of(cls, directory: CourseDirectory) -> "CarefulDirectory":
        """Copy a course directory; nothing but the notebook is taken over from a hand-in."""
        careful = cls(parent=directory.parent, config=directory.config)
        for name in directory.trait_names(config=True):
            setattr(careful, name, getattr(directory, name))
        careful.ignore = ["*"]
        return careful

    def get_existing_timestamp(self, dest_path: str) -> Any:
        """Read the time of hand-in; what is no time in a plain file counts as none, and is flagged elsewhere."""
        try:
            return parse_utc(read_plain(Path(dest_path, TIMESTAMP), LONGEST_TIMESTAMP).decode().strip())
        except (OddFile, ValueError, OverflowError):
            return None


def choose_notebook(assignment: str, student: str, notebooks: list[str]) -> None:
    """Have the file of the right name converted, whatever the one that was handed in is called.

    nbgrader calls this before it converts a hand-in, and then converts what is in the list.
    """
    folder = Path(notebooks[0]).parent
    notebooks[:] = [str(folder / Lesson(folder.name).notebook)]


class RepairingExporter(NotebookExporter):
    """Reads a submission whatever its state: grade cells are put back, a file that is no notebook gets a reason."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        converter = keywords.get("parent")
        if isinstance(getattr(converter, "coursedir", None), CourseDirectory):  # before it copies a student's files
            converter.coursedir = CarefulDirectory.in_place_of(converter.coursedir)
            for folder in [path for path in converter.assignments if not _plain(Path(path).parent.name)]:
                converter.log.error("Not graded, for nbgrader takes the name of its folder for a pattern: %r", folder)
                del converter.assignments[folder]

    def from_filename(
        self, filename: str, resources: dict | None = None, **keywords: Any
    ) -> tuple[str, dict]:
        """Read `filename`, repaired if it lies under the submitted directory, and run the preprocessors on it."""
        course, file = _course(self), Path(filename).absolute()
        if not file.is_relative_to(course.grading / "submitted"):
            return super().from_filename(filename, resources, **keywords)
        lesson = Lesson(resources["nbgrader"]["assignment"])
        notebook = load(file.parent, file.name, released(course, lesson))
        _keep_timestamp(file.parent, course.grading / "autograded" / resources["nbgrader"]["student"] / lesson.name)
        resources.setdefault("metadata", {}).update(name=file.stem, path=str(file.parent))
        return self.from_notebook_node(notebook, resources, **keywords)


class SandboxExecute(NbGraderPreprocessor):
    """Takes the place of nbgrader's Execute: runs the notebook in the sandbox, or finds that done, and judges it."""

    sandboxed = Bool(True, help="Whether student code runs in the sandbox.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Give the notebook the outputs that nbgrader reads points from."""
        course, lesson = _course(self), Lesson(resources["nbgrader"]["assignment"])
        folder = course.hand_in(lesson, resources["nbgrader"]["student"])
        flags = flags_of(nb, released(course, lesson)) + _flags_beside(folder, lesson)
        unreadable = nb.metadata.get(OURS, {}).get("unreadable")
        if unreadable:
            record(nb, NOTHING, refuse_all(nb, unreadable))
        else:
            cells = plan(nb)
            job, store = job_for(course, lesson, cells, self.sandboxed), Store(course.executions)
            result = store.get(key(job))
            if not self.sandboxed:
                flags.append(Flag("was run without a sandbox", "the whole notebook", 0, ""))
            elif result is None:
                _require_sandbox()
            if result is None:
                result = execute(job)
                store.put(key(job), result)
            flags += [
                Flag("sends evidence of its own", nb.cells[entry["index"]].id, 0, "")
                for entry in json.loads(result)["cells"]
                if entry["forged"]
            ]
            record(nb, result, judge(cells, result, seed_of(course, lesson)))
        describe(nb, flags)
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


class ForStudents(NbGraderPreprocessor):
    """Takes out of a feedback page what only the instructor sees."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Remove the flags."""
        for_students(nb)
        return nb, resources


def safe_markdown(source: str) -> str:
    """Render a markdown cell without anything a browser would run or fetch, for a page of the instructor's."""
    if len(source) > LONGEST_MARKDOWN:
        return f"<pre>{escape(source)}</pre>"
    return safe_html(markdown2html(source))


def safe_html(html: str) -> str:
    """Leave of HTML what is text and its structure."""
    return bleach.clean(html, TAGS, ATTRIBUTES, strip=True)


def _plain(name: str) -> bool:
    """Whether nbgrader finds this student and nobody else; at a line break it would stop for the whole class."""
    return glob.escape(name) == name and "\n" not in name


def _course(configured: Configurable) -> Course:
    """The course of nbgrader_config.py; never looked for from a submission, which may hold such a file of its own."""
    return Course(Path(configured.config.CourseDirectory.root))


def _flags_beside(folder: Path, lesson: Lesson) -> list[Flag]:
    """Flag what else was handed in, and a time of hand-in that is none."""
    try:
        flags = strangers(folder, find(folder, lesson.notebook).name)
    except OddFile:
        return []
    if (folder / TIMESTAMP).exists() and CarefulDirectory().get_existing_timestamp(str(folder)) is None:
        flags.append(Flag("holds no time of hand-in, so lateness is unknown", TIMESTAMP, 0, ""))
    return flags


def _keep_timestamp(folder: Path, graded: Path) -> None:
    """Keep the time of hand-in beside the graded notebook, where nbgrader looks for what is newer."""
    if CarefulDirectory().get_existing_timestamp(str(folder)) is not None:
        write_atomically(graded / TIMESTAMP, read_plain(folder / TIMESTAMP, LONGEST_TIMESTAMP))


def job_for(course: Course, lesson: Lesson, cells: list[Cell], sandboxed: bool = True) -> bytes:
    """Write the job that runs these cells: the same on every road to a grade."""
    return make_job(cells, seed_of(course, lesson), Limits(), build(lesson.number), sandboxed)


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
