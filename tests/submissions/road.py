"""Three roads from the same hand-ins to a gradebook: `course grade`, `nbgrader autograde` and formgrader's button."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.grading.handin import load
from course_lib.grading.nbgrader_glue import job_for, released
from course_lib.grading.store import Store, key
from course_lib.grading.submission import OURS, Cell, plan
from course_lib.layout import Course
from tests.browser.lab import RUN_SECONDS, TOKEN, _free_port, _stop, _wait_for
from tests.classroom import LESSON, autograded, make_course, rows_of, solved, submit
from tests.submissions.corpus import CASES
from tests.submissions.scene import Scene

__all__ = ["Formgrader", "Road", "formgrader", "nbgrader"]


@dataclass(frozen=True)
class Road:
    """A copy of the course of its own, with the marks that one road leaves in it."""

    course: Course
    home: Path  # of nbgrader's settings and logs

    @classmethod
    def begin(cls, folder: Path, seed: str) -> "Road":
        """Copy the course; roads that are to be compared ask the same questions."""
        home, root = folder / "home", folder / "course"
        home.mkdir()
        root.mkdir()
        course = make_course(root)
        file = course.grading / "seeds" / LESSON.name
        file.parent.mkdir(parents=True)
        file.write_text(seed)
        return cls(course, home)

    def hand_in(self, students: Iterable[str]) -> None:
        """Hand in these submissions of the corpus."""
        cases = {case.name: case for case in CASES}
        for student in students:
            if student == "0-perfect":
                submit(self.course, student, solved())
            else:
                cases[student].hand_in(Scene(self.course))

    def cells(self, student: str) -> list[Cell]:
        """What of a hand-in is run; empty if it cannot be read."""
        return plan(load(self.course.hand_in(LESSON, student), LESSON.notebook, released(self.course, LESSON)))

    def name_of_result(self, student: str) -> str:
        return key(job_for(self.course, LESSON, self.cells(student)))

    def has_result(self, student: str) -> bool:
        """Whether the cache of executions holds what a hand-in gives."""
        return self.name_of_result(student) in Store(self.course.executions)

    def take_results(self, other: "Road", but: Iterable[str]) -> None:
        """Take over the cache of another road, but for these students."""
        shutil.copytree(other.course.executions, self.course.executions)
        for name in {self.name_of_result(student) for student in but}:
            next(self.course.executions.rglob(f"{name}.json")).unlink()

    def marks(self) -> dict[str, list[tuple[Any, ...]]]:
        """What the gradebook holds, by student: cell, points, whether a human is asked for."""
        marks: dict[str, list[tuple[Any, ...]]] = {}
        for student, *rest in rows_of(self.course):
            marks.setdefault(student, []).append(tuple(rest))
        return marks

    def facts(self, student: str) -> dict[str, Any]:
        """What the autograded notebook says about the hand-in: status, reasons and flags, which may quote a path."""
        facts = json.dumps(autograded(self.course, student).metadata[OURS])
        return json.loads(facts.replace(str(self.course.root), "<course>"))

    def release(self) -> dict[str, bytes]:
        """All that learners get."""
        files = (path for path in self.course.notebooks.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}

    @property
    def environment(self) -> dict[str, str]:
        """nbgrader calls alembic by name; nobody's own settings are read."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return os.environ | {"PATH": programs, "HOME": str(self.home), "JUPYTER_TOKEN": TOKEN}


def nbgrader(road: Road, *arguments: str) -> subprocess.Popen:
    """Start nbgrader's own command in the course's folder; its log goes to <home>/nbgrader.log."""
    command = [str(Path(sys.executable).with_name("nbgrader")), *arguments]
    with (road.home / "nbgrader.log").open("ab") as log:
        return subprocess.Popen(command, cwd=road.course.root, env=road.environment, stdin=subprocess.DEVNULL,
                                stdout=log, stderr=subprocess.STDOUT)


@dataclass(frozen=True)
class Formgrader:
    """A running Jupyter server with formgrader in it."""

    road: Road
    address: str

    def ask(self, path: str, method: str = "GET") -> Any:
        """Call formgrader's interface, as its pages do."""
        request = urllib.request.Request(f"{self.address}/formgrader/api/{path}", method=method)
        request.add_header("Authorization", f"token {TOKEN}")
        with urllib.request.urlopen(request, timeout=RUN_SECONDS) as response:
            return json.loads(response.read())

    def autograde(self, student: str) -> dict[str, Any]:
        """Do what the button does."""
        return self.ask(f"submission/{LESSON.name}/{student}/autograde", "POST")


@contextmanager
def formgrader(road: Road) -> Iterator[Formgrader]:
    """Run a Jupyter server in the course's folder."""
    port = _free_port()
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={port}",
               f"--ServerApp.root_dir={road.course.root}", "--ServerApp.port_retries=0"]
    with (road.home / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=road.course.root, env=road.environment, stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _wait_for(f"http://127.0.0.1:{port}", server, Path(log.name))
            yield Formgrader(road, f"http://127.0.0.1:{port}")
        finally:
            _stop(server)
