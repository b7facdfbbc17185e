"""A small class, from submission to CSV: what each student gets is what the work deserves."""

import csv
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from course_lib import exercises
from course_lib.cli import main
from course_lib.grading.grader import grade
from course_lib.grading.nbgrader_glue import seed_of
from course_lib.grading.submission import OURS, is_answer
from tests.classroom import (
    LESSON,
    answered,
    autograded,
    bank_sources,
    grade_cells,
    make_course,
    released,
    rows_of,
    solved,
    submit,
)

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("bubblewrap"), pytest.mark.timeout(600)]

EXERCISES = exercises.lesson(LESSON.number)
BANKS = {exercise.id: bank_sources(exercise) for exercise in EXERCISES}
MOST = sum(exercise.points for exercise in EXERCISES)


def cell_of(exercise):
    return exercise.side.name.replace("_", "-")


def solutions():
    return {cell.id: cell.source for cell in solved().cells if is_answer(cell)}


def the_class():
    """Submissions, and for each exercise in them the misconception it holds, "right" or "empty"."""
    right = dict.fromkeys(BANKS, "right")
    yield "perfect", solved(), right
    yield "empty", released(), dict.fromkeys(BANKS, "empty")
    half = {exercise.id: "right" if number < 3 else "empty" for number, exercise in enumerate(EXERCISES)}
    kept = {cell_of(e): solutions()[cell_of(e)] for e in EXERCISES if half[e.id] == "right"}
    yield "half", answered(kept), half
    for number in range(max(len(alternatives) for _, alternatives in BANKS.values())):
        chosen = {cell_of(e): BANKS[e.id][1][number % len(BANKS[e.id][1])] for e in EXERCISES}
        yield f"other-{number:02}", answered(chosen), right
    for number in range(max(len(wrong) for wrong, _ in BANKS.values())):
        names = {e.id: list(BANKS[e.id][0])[number % len(BANKS[e.id][0])] for e in EXERCISES}
        sources = {cell_of(e): BANKS[e.id][0][names[e.id]] for e in EXERCISES}
        yield f"wrong-{number:02}", answered(sources), names


@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """The class, graded once: the course and what each student's work deserves."""
    course = make_course(tmp_path_factory.mktemp("class"))
    deserved = {}
    for student, notebook, work in the_class():
        submit(course, student, notebook)
        deserved[student] = work
    with ThreadPoolExecutor(2) as pool:
        outcomes = grade(course, LESSON, pool)
    return course, deserved, outcomes


def expected(exercise, work, seed):
    if work == "right":
        return exercise.points
    return 0 if work == "empty" else exercise.grade(exercise.misconceptions[work].wrong, seed).points


def facts(course, student):
    names = {cell_of(exercise): exercise.id for exercise in EXERCISES}
    return {
        names[cell.id.removesuffix("-check")]: cell.metadata[OURS] for cell in grade_cells(autograded(course, student))
    }


def test_every_submission_is_graded(classroom):
    _, deserved, outcomes = classroom
    assert [outcome.student for outcome in outcomes] == sorted(deserved)
    assert {outcome.status for outcome in outcomes} == {"graded"}


def test_the_csv_is_what_each_submission_deserves(classroom, monkeypatch):
    course, deserved, _ = classroom
    monkeypatch.chdir(course.root)
    done = CliRunner().invoke(main, ["export"])
    assert done.exit_code == 0, done.output
    with (course.root / "grades.csv").open() as stream:
        rows = {row["student"]: row for row in csv.DictReader(stream)}
    assert set(rows) == set(deserved)
    seed = seed_of(course, LESSON)
    for student, work in deserved.items():
        want = {cell_of(e): expected(e, work[e.id], seed) for e in EXERCISES}
        got = {name: float(rows[student][name]) for name in want}
        assert got == want, student
        assert float(rows[student]["points"]) == sum(want.values())
        assert (float(rows[student]["max_points"]), rows[student]["needs_human"]) == (MOST, "")


def test_every_misconception_is_named_in_the_autograded_notebook(classroom):
    course, deserved, _ = classroom
    for student, work in deserved.items():
        for name, fact in facts(course, student).items():
            if work[name] == "right":
                assert (fact["status"], fact["misconception"]) == ("passed", None)
            elif work[name] == "empty":
                assert fact["status"] == "not written"
                assert "is not written yet" in fact["reason"]
            else:
                assert (fact["status"], fact["misconception"]) == ("failed", work[name]), student


def test_nothing_of_evidence_or_bank_is_kept_with_the_notebooks(classroom):
    course, _, _ = classroom
    text = "".join(path.read_text() for path in (course.grading / "autograded").rglob("*.ipynb"))
    assert "application/vnd.course" not in text
    perfect = json.dumps(autograded(course, "perfect"))
    assert not any(m.hint in perfect for e in EXERCISES for m in e.misconceptions.values())


class NoExecutor(ThreadPoolExecutor):
    """An executor that must not be needed."""

    def submit(self, *arguments, **keywords):
        raise AssertionError("something was executed again")


def test_grading_again_runs_nothing_and_changes_nothing(classroom):
    course, deserved, _ = classroom
    before = rows_of(course)
    with NoExecutor(1) as pool:
        outcomes = grade(course, LESSON, pool)
    assert all(outcome.unchanged for outcome in outcomes)
    assert rows_of(course) == before
    assert len(before) == len(deserved) * len(EXERCISES)
