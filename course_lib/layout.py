"""Where things are: the folders of a course, and the files of a lesson."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import CourseError

__all__ = ["Course", "Lesson"]


@dataclass(frozen=True)
class Lesson:
    """One lesson of a course: its folder's name, its number and its notebook's file name."""

    name: str

    @property
    def number(self) -> str:
        """The two digits that begin the folder's name, and the names of its exercises."""
        return self.name[:2]

    @property
    def notebook(self) -> str:
        """File name of the one notebook in the folder: `causal_mask.ipynb` in `01_causal_mask`."""
        return f"{self.name[3:]}.ipynb"

    def file(self, folder: Path) -> Path:
        """The lesson's notebook under `folder`, one of solutions/, notebooks/, work/."""
        return folder / self.name / self.notebook


@dataclass(frozen=True)
class Course:
    """The folders of a course; `root` holds nbgrader_config.py."""

    root: Path

    @property
    def solutions(self) -> Path:
        """The complete notebooks, the only source."""
        return self.root / "solutions"

    @property
    def notebooks(self) -> Path:
        """The released notebooks, made from solutions/."""
        return self.root / "notebooks"

    @property
    def work(self) -> Path:
        """The learner's own copies."""
        return self.root / "work"

    @property
    def home(self) -> Path:
        """The folder of the learner's lab book."""
        return self.work / ".course"

    @property
    def grading(self) -> Path:
        """Everything made while grading."""
        return self.root / "grading"

    @property
    def executions(self) -> Path:
        """What submissions gave when they were run: a cache, which deleting costs only time."""
        return self.root / ".cache" / "executions"

    def hand_in(self, lesson: Lesson, student: str) -> Path:
        """The folder in which a student's work on a lesson lies."""
        return self.grading / "submitted" / student / lesson.name

    def handed_in(self, lesson: Lesson) -> list[str]:
        """Name the students who handed in anything for a lesson."""
        folders = (self.grading / "submitted").glob("*")
        return sorted(path.name for path in folders if os.path.lexists(path / lesson.name))

    @classmethod
    def find(cls, start: Path | None = None) -> "Course":
        """Find the course that `start` (the current directory) lies in.

        Raises CourseError outside a course.
        """
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / "nbgrader_config.py").is_file():
                return cls(folder)
        raise CourseError("This is not a course folder: change into the folder that holds nbgrader_config.py.")

    def lessons(self) -> list[Lesson]:
        """All lessons, in order: those with a solution, or in a learner's course with a released notebook."""
        folder = self.solutions if self.solutions.is_dir() else self.notebooks
        names = (path.name for path in folder.iterdir() if re.fullmatch(r"\d\d_\w+", path.name))
        return [lesson for lesson in map(Lesson, sorted(names)) if lesson.file(folder).is_file()]

    def lesson(self, name: str) -> Lesson:
        """Find a lesson by its number ("01") or its folder ("01_causal_mask").

        Raises CourseError if there is none.
        """
        for lesson in self.lessons():
            if name in (lesson.number, lesson.name):
                return lesson
        known = ", ".join(lesson.name for lesson in self.lessons())
        raise CourseError(f"There is no lesson {name!r}; the lessons are {known}.")
