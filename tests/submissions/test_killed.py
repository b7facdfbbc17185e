"""A grading that is killed at any moment, and started again, ends as if nothing had happened."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib.grading.submission import OURS
from tests.classroom import LESSON, autograded, make_course, solved, submit
from tests.grading.conftest import running
from tests.submissions.scene import full, wrong

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("bubblewrap"), pytest.mark.timeout(900)]

KILLS = 10
ANSWER = "def create_padding_mask(lengths, max_len):\n    "


def _class_in(folder):
    """A small class in which something has to be run, and something was run before."""
    folder.mkdir(parents=True)
    course = make_course(folder)
    submit(course, "ada", solved())
    submit(course, "eve", wrong("import os\nprint(os.environ)"))
    submit(course, "mia", full(create_padding_mask=f"{ANSWER}raise KeyError(lengths)"))
    submit(course, "tom", "{")
    (course.grading / "seeds").mkdir()
    (course.grading / "seeds" / LESSON.name).write_text("7")
    return course


def _start(course):
    command = [Path(sys.executable).with_name("course"), "grade", "01", "--workers", "2"]
    return subprocess.Popen(
        command, cwd=course.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def _gradebook(course):
    """Every row of every table, without the keys that are drawn at random, and the grades joined by name."""
    with contextlib.closing(sqlite3.connect(course.grading / "gradebook.db")) as connection:
        connection.row_factory = sqlite3.Row
        found = {
            table: sorted(
                str([value for name, value in dict(row).items() if name != "id" and not name.endswith("_id")])
                for row in connection.execute(f"select * from {table}")
            )
            for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall()
        }
        query = """select student.id, base_cell.name, auto_score, manual_score, extra_credit, needs_manual_grade
            from grade join base_cell on grade.cell_id = base_cell.id
            join submitted_notebook on grade.notebook_id = submitted_notebook.id
            join submitted_assignment on submitted_notebook.assignment_id = submitted_assignment.id
            join student on submitted_assignment.student_id = student.id order by 1, 2"""
        return found | {"joined": [tuple(row) for row in connection.execute(query)]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The class graded without disturbance: its gradebook, its graded notebooks, the seconds it took."""
    course = _class_in(tmp_path_factory.mktemp("undisturbed") / "course")
    started = time.monotonic()
    with _start(course) as process:
        said, _ = process.communicate()
    seconds = time.monotonic() - started
    assert process.returncode == 0, said
    return course, _gradebook(course), seconds


def _kill(course, moment):
    """Start a grading and kill it with all it started; gives the seconds it had, or None if it was faster."""
    started = time.monotonic()
    with _start(course) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        had = time.monotonic() - started
        if process.poll() is not None:
            return None, had
        os.killpg(process.pid, signal.SIGKILL)
    return had, had


def test_the_gradebook_of_a_killed_run_equals_that_of_an_undisturbed_one(undisturbed, tmp_path, record_property):
    """Ten moments, spread over the whole run by chance; what was killed is started again.

    Every other run finds its executions done, so that the recording is hit as well.
    """
    calm, wanted, seconds = undisturbed
    chance = random.Random(20)
    kills = []
    for number in range(KILLS):
        moment, had = seconds * (number + chance.random()) / KILLS, None
        while had is None:  # a run that was over before its moment is no test of anything
            course = _class_in(tmp_path / f"{number}-{moment:.3f}")
            if number % 2:
                shutil.copytree(calm.executions, course.executions)
            had, took = _kill(course, moment)
            moment = took * chance.random()
        kills.append(had)
        assert not running(str(course.root))
        with _start(course) as process:
            said, _ = process.communicate()
        assert process.returncode == 0, said
        assert _gradebook(course) == wanted, had
        for student in ("ada", "eve", "mia", "tom"):
            assert autograded(course, student).metadata[OURS] == autograded(calm, student).metadata[OURS]
    moments = ", ".join(f"{had:.1f}" for had in sorted(kills))
    record_property("measured", f"killed after {moments} s; {seconds:.1f} s undisturbed; all made up for")
