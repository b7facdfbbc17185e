"""A small class, from submission to CSV: what each student gets is what the work deserves."""

import csv
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from course_lib import exercises
from course_lib.cli import main
from course_lib.grading.grader import grade
from course_lib.grading.nbgrader_glue import seed_of
from course_lib.grading.submission import OURS
from course_lib.layout import Course, Lesson
from tests.classroom import (
    ROOT,
    answered,
    autograded,
    bank_sources,
    grade_cells,
    make_course,
    released,
    rows_of,
    solutions,
    solved,
    submit,
)

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("bubblewrap"), pytest.mark.timeout(600)]

LESSONS = Course(ROOT).lessons()
SAMPLE = 3  # of the wrong hand-ins of a lesson after the first, without --thorough; bank tests go through them all


def cell_of(exercise):
    """The id of an answer cell: causal-mask for causal_mask, cross-attention for CrossAttention."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", exercise.side.name.replace("_", "-")).lower()


def the_class(lesson, graded, wrong):
    """Submissions, and for each exercise in them the misconception it holds, "right" or "empty".

    wrong: how many of the hand-ins that hold one misconception an exercise there are at most.
    """
    banks = {exercise.id: bank_sources(exercise) for exercise in graded}
    right = dict.fromkeys(banks, "right")
    yield "perfect", solved(lesson), right
    yield "empty", released(lesson), dict.fromkeys(banks, "empty")
    half = {exercise.id: "right" if number < 3 else "empty" for number, exercise in enumerate(graded)}
    kept = {cell_of(e): solutions(lesson)[cell_of(e)] for e in graded if half[e.id] == "right"}
    yield "half", answered(kept, lesson), half
    for number in range(min(max(len(alternatives) for _, alternatives in banks.values()), wrong)):
        chosen = {cell_of(e): banks[e.id][1][number % len(banks[e.id][1])] for e in graded}
        yield f"other-{number:02}", answered(chosen, lesson), right
    for number in range(min(max(len(names) for names, _ in banks.values()), wrong)):
        names = {e.id: list(banks[e.id][0])[number % len(banks[e.id][0])] for e in graded}
        sources = {cell_of(e): banks[e.id][0][names[e.id]] for e in graded}
        yield f"wrong-{number:02}", answered(sources, lesson), names


class Classroom(NamedTuple):
    """A class of one lesson, graded once: what each student's work deserves, and what came of it."""

    course: Course
    lesson: Lesson
    graded: list
    deserved: dict
    outcomes: list


@pytest.fixture(scope="module", params=LESSONS, ids=lambda lesson: lesson.name)
def classroom(request, tmp_path_factory):
    lesson = request.param
    cells = {cell.id.removesuffix("-check") for cell in grade_cells(released(lesson))}
    graded = [exercise for exercise in exercises.lesson(lesson.number) if cell_of(exercise) in cells]
    course = make_course(tmp_path_factory.mktemp("class"))
    deserved = {}
    whole = lesson == LESSONS[0] or request.config.getoption("thorough")
    for student, notebook, work in the_class(lesson, graded, 1000 if whole else SAMPLE):
        submit(course, student, notebook, lesson)
        deserved[student] = work
    with ThreadPoolExecutor(2) as pool:
        outcomes = grade(course, lesson, pool)
    return Classroom(course, lesson, graded, deserved, outcomes)


def expected(exercise, work, seed):
    if work == "right":
        return exercise.points
    return 0 if work == "empty" else exercise.grade(exercise.misconceptions[work].wrong, seed).points


def facts(room, student):
    names = {cell_of(exercise): exercise.id for exercise in room.graded}
    cells = grade_cells(autograded(room.course, student, room.lesson))
    return {names[cell.id.removesuffix("-check")]: cell.metadata[OURS] for cell in cells}


def test_every_submission_is_graded(classroom):
    assert [outcome.student for outcome in classroom.outcomes] == sorted(classroom.deserved)
    assert {outcome.status for outcome in classroom.outcomes} == {"graded"}


def test_the_csv_is_what_each_submission_deserves(classroom, monkeypatch):
    course, graded = classroom.course, classroom.graded
    monkeypatch.chdir(course.root)
    done = CliRunner().invoke(main, ["export"])
    assert done.exit_code == 0, done.output
    with (course.root / "grades.csv").open() as stream:
        rows = {row["student"]: row for row in csv.DictReader(stream)}
    assert set(rows) == set(classroom.deserved)
    seed = seed_of(course, classroom.lesson)
    most = sum(exercise.points for exercise in graded)
    for student, work in classroom.deserved.items():
        want = {cell_of(e): expected(e, work[e.id], seed) for e in graded}
        got = {name: float(rows[student][name]) for name in want}
        assert got == want, student
        assert float(rows[student]["points"]) == sum(want.values())
        assert (float(rows[student]["max_points"]), rows[student]["needs_human"]) == (most, "")


def test_every_misconception_is_named_in_the_autograded_notebook(classroom):
    for student, work in classroom.deserved.items():
        for name, fact in facts(classroom, student).items():
            if work[name] == "right":
                assert (fact["status"], fact["misconception"]) == ("passed", None)
            elif work[name] == "empty":
                assert fact["status"] == "not written"
                assert "is not written yet" in fact["reason"]
            else:
                assert (fact["status"], fact["misconception"]) == ("failed", work[name]), student


def test_nothing_of_evidence_or_bank_is_kept_with_the_notebooks(classroom):
    text = "".join(path.read_text() for path in (classroom.course.grading / "autograded").rglob("*.ipynb"))
    assert "application/vnd.course" not in text
    perfect = json.dumps(autograded(classroom.course, "perfect", classroom.lesson))
    assert not any(m.hint in perfect for e in classroom.graded for m in e.misconceptions.values())


class NoExecutor(ThreadPoolExecutor):
    """An executor that must not be needed."""

    def submit(self, *arguments, **keywords):
        raise AssertionError("something was executed again")


def test_grading_again_runs_nothing_and_changes_nothing(classroom):
    course, lesson = classroom.course, classroom.lesson
    before = rows_of(course, lesson)
    with NoExecutor(1) as pool:
        outcomes = grade(course, lesson, pool)
    assert all(outcome.unchanged for outcome in outcomes)
    assert rows_of(course, lesson) == before
    assert len(before) == len(classroom.deserved) * len(classroom.graded)
