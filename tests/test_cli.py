"""The command line copies, resets and refuses as its users need: no work of theirs is ever lost."""

import nbformat
import pytest
from click.testing import CliRunner

from course_lib.cli import copy_lessons, main
from tests.classroom import LESSON, answered, make_course, solved


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_course(tmp_path)


WRONG = "def create_causal_mask(n, device=None):\n    return torch.ones(1, 1, n, n, dtype=bool, device=device).triu()"


def submit_to(course, notebook):
    """Put a notebook without its experiments where the learner's copy is."""
    notebook.cells = [cell for cell in notebook.cells if "experiment" not in cell.metadata.get("tags", [])]
    mine = LESSON.file(course.work)
    mine.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, mine)
    return mine


def run(*words):
    return CliRunner().invoke(main, words)


def test_every_command_says_what_it_does():
    for name, command in main.commands.items():
        assert command.help, name
        assert run(name, "--help").exit_code == 0


def test_a_learners_copy_is_made_once_and_never_overwritten(course):
    mine = LESSON.file(course.work)
    assert copy_lessons(course) == [lesson.file(course.work) for lesson in course.lessons()]
    mine.write_text("my work")
    assert copy_lessons(course) == []
    assert mine.read_text() == "my work"


def test_reset_keeps_what_was_there(course):
    copy_lessons(course)
    mine = LESSON.file(course.work)
    for text in ("first", "second"):
        mine.write_text(text)
        done = run("reset", "01")
        assert done.exit_code == 0, done.output
        assert mine.read_bytes() == LESSON.file(course.notebooks).read_bytes()
    kept = {path.read_text() for path in mine.parent.iterdir() if path != mine}
    assert kept == {"first", "second"}


def test_reset_without_a_copy_makes_one(course):
    assert run("reset", "01").exit_code == 0
    assert LESSON.file(course.work).exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("reset", "99"), "There is no lesson '99'"),
        (("lab", "nonsense"), "There is no lesson 'nonsense'"),
        (("grade", "01"), "put submissions into grading/submitted/<student>/01_causal_mask/causal_mask.ipynb"),
        (("feedback", "01"), "run `course grade 01` first"),
        (("export",), "grade a lesson first"),
    ],
)
def test_errors_are_one_sentence_that_says_what_to_do(course, words, sentence):
    done = run(*words)
    assert done.exit_code == 1
    assert sentence in done.output.replace("\n", " ")
    assert "Traceback" not in done.output


def test_export_into_a_folder_that_is_not_there_says_so(course):
    done = run("export", "--to", "nowhere/marks.csv")
    assert done.exit_code == 1
    assert "make it first" in done.output.replace("\n", " ")


def test_outside_a_course_every_command_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (("lab",), ("release",), ("reset", "01"), ("grade", "01"), ("feedback", "01"), ("export",)):
        done = run(*words)
        assert done.exit_code == 1, words
        assert "This is not a course folder" in done.output


def test_check_shows_every_card_and_fails_until_all_is_solved(course):
    mine = submit_to(course, answered({"create-causal-mask": WRONG}))
    before = mine.read_bytes()
    done = run("check", "01")
    assert done.exit_code == 1, done.output
    assert "It looks like: transposed." in done.output
    assert "create_padding_mask is not written yet" in done.output
    assert "0 of 5 exercises solved." in done.output
    assert mine.read_bytes() == before
    submit_to(course, solved())
    done = run("check", "01")
    assert done.exit_code == 0, done.output
    assert "5 of 5 exercises solved." in done.output


def test_check_needs_a_copy_that_is_a_notebook(course):
    assert "`course lab 01` makes it" in run("check", "01").output
    LESSON.file(course.work).parent.mkdir(parents=True)
    LESSON.file(course.work).write_text("{")
    done = run("check", "01")
    assert done.exit_code == 1
    assert "cannot be read as a notebook" in done.output


def test_release_check_passes_on_what_release_made(course):
    LESSON.file(course.notebooks).unlink()
    assert run("release", "--check").exit_code == 1
    assert "Wrote notebooks/01_causal_mask" in run("release").output
    assert run("release", "--check").exit_code == 0
