"""nbgrader's Validate, configured as `course lab` does it: it looks, and leaves the learner's lab book alone."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.server_extensions.validate_assignment.handlers import ValidateAssignmentHandler
from nbgrader.validator import Validator

from course_lib import labbook
from course_lib.selfcheck import CELL_SECONDS
from tests.classroom import LESSON, make_course, released, solved

RECORD = 'from course_lib import labbook\nlabbook.record("01.allowed_pairs", "of a validation")'


@pytest.fixture
def validate(tmp_path, monkeypatch):
    """Validate a notebook in a learner's course, whose lab book must stay as it is."""
    course = make_course(tmp_path)
    monkeypatch.chdir(course.root)
    monkeypatch.setenv("COURSE_HOME", str(course.home))
    labbook.record("01.allowed_pairs", "the learner's own")
    before = labbook.path().read_bytes()
    file = LESSON.file(course.work)
    file.parent.mkdir(parents=True)

    def validated(cells, seconds=CELL_SECONDS):
        nbformat.write(new_notebook(cells=cells), file)
        config = ValidateAssignmentHandler.load_config(None)
        assert config.Execute.timeout == CELL_SECONDS
        config.Execute.timeout = seconds
        found = Validator(config=config).validate(str(file))
        assert labbook.path().read_bytes() == before
        return found

    return validated


def test_validation_of_a_solved_notebook_finds_nothing_and_records_nothing(validate):
    cells = [cell for cell in solved().cells if "experiment" not in cell.metadata.get("tags", [])]
    assert validate([new_code_cell(RECORD), *cells]) == {}


def test_what_is_not_written_is_no_success(validate):
    cells = released().cells[:16]
    failed = validate([cell for cell in cells if "experiment" not in cell.metadata.get("tags", [])])["failed"]
    assert [cell["source"] for cell in failed] == ['check("01.create_causal_mask", create_causal_mask)']
    assert "is not written yet" in failed[0]["raw_error"]


def test_a_cell_that_had_to_be_stopped_is_no_success(validate):
    slow = "import time\ntime.sleep(60)"
    (failed,) = validate([new_code_cell(slow), new_code_cell(RECORD)], seconds=2)["failed"]
    assert failed["source"] == slow
    assert failed["raw_error"] == "This cell ran for more than 5 minutes and was stopped."
