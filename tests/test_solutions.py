"""Restart and run all: every solution runs from top to bottom in silence, earns full marks and fills the lab book."""

import json
import time

import pytest

from course_lib import exercises, labbook
from course_lib.layout import Course
from tests.clock import stretched
from tools.reference_results import ROOT, SEEDS, run_solution

LESSONS = Course(ROOT).lessons()
MINUTES = 3  # on two cores; here other tests run beside it


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_solution_runs_from_top_to_bottom(lesson, tmp_path, record_property):
    start = time.perf_counter()
    notebook = run_solution(lesson, tmp_path)
    seconds = time.perf_counter() - start
    record_property("measured", f"{lesson.name}: {seconds:.0f} s beside other tests")
    assert seconds < stretched(60 * MINUTES)
    loud = [cell.id for cell in notebook.cells for output in cell.get("outputs", ()) if output.get("name") == "stderr"]
    assert loud == []
    book = json.loads((tmp_path / "labbook.json").read_text(encoding="utf-8"))
    for exercise in exercises.lesson(lesson.number):
        assert book[f"check {exercise.id}"] == "passed", exercise.id
    shipped = json.loads(labbook.REFERENCE.read_text(encoding="utf-8"))
    measured = {key: kind(value) for key, value in book.items() if key.startswith(f"{lesson.number}.")}
    assert measured, "a lesson measures something"
    shipped = {key: [*map(kind, values)] for key, values in shipped.items() if key.startswith(f"{lesson.number}.")}
    measured = {key: [value] * SEEDS for key, value in measured.items()}
    assert measured == shipped, "the shipped results are of another form: run make reference"


def kind(value):
    """What a result looks like: its names and types, not its numbers."""
    if isinstance(value, dict):
        return {name: kind(inner) for name, inner in value.items()}
    return type(value).__name__
