"""The Validate button: it waits for slow cells, says what it finds, and leaves the learner's lab book alone."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from course_lib.layout import Course
from tests.classroom import solved

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1000)]

ROOT = Path(__file__).resolve().parents[2]
LESSONS = Course(ROOT).lessons()
SECONDS = 33  # more than nbgrader gives a cell by itself
RECORD = 'from course_lib import labbook\nlabbook.record("04.tasks_by_prompt", "of a validation")'
SUCCESS = "Success! Your notebook passes all the tests."


@pytest.fixture
def book(learner):
    """What the learner has measured and solved; it must be there afterwards as it was."""
    file = learner / ".course" / "labbook.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"04.tasks_by_prompt": "the learner's own"}))
    yield file
    assert json.loads(file.read_text()) == {"04.tasks_by_prompt": "the learner's own"}
    file.unlink()


def test_validate_waits_for_a_slow_cell(open_lab, learner, book):
    notebook = solved()
    notebook.cells = [cell for cell in notebook.cells if "experiment" not in cell.metadata.get("tags", [])]
    answer = next(cell for cell in notebook.cells if cell.id == "create-causal-mask")
    answer.source = f"import time\ntime.sleep({SECONDS})\n{answer.source}"  # interrupted, it defines nothing
    notebook.cells.append(new_code_cell(RECORD))
    (learner / "slow").mkdir()
    nbformat.write(notebook, learner / "slow" / "causal_mask.ipynb")
    lab = open_lab("slow/causal_mask.ipynb")
    message = lab.validate()
    lab.screenshot("validate-slow")
    assert SUCCESS in message


def pytest_generate_tests(metafunc):
    """Solved lessons: the first, or in a thorough run all, with minutes of training."""
    if "lesson" in metafunc.fixturenames:
        lessons = LESSONS if metafunc.config.getoption("thorough") else LESSONS[:1]
        metafunc.parametrize("lesson", lessons, ids=lambda lesson: lesson.name)


def test_validate_says_that_a_solved_lesson_passes(open_lab, learner, book, lesson):
    folder = learner / f"solved-{lesson.number}"
    folder.mkdir()
    shutil.copy(lesson.file(ROOT / "solutions"), folder)
    lab = open_lab(f"{folder.name}/{lesson.notebook}")
    message = lab.validate(seconds=900)
    lab.screenshot("validate-solved")
    assert SUCCESS in message
