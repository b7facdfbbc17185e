"""The command line copies, resets and refuses as its users need: no work of theirs is ever lost."""

import pytest
from click.testing import CliRunner

from course_lib.cli import copy_lessons, main
from tests.classroom import LESSON, make_course


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_course(tmp_path)


def run(*words):
    return CliRunner().invoke(main, words)


def test_every_command_says_what_it_does():
    for name, command in main.commands.items():
        assert command.help, name
        assert run(name, "--help").exit_code == 0


def test_a_learners_copy_is_made_once_and_never_overwritten(course):
    mine = LESSON.file(course.work)
    assert copy_lessons(course) == [mine]
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


def test_outside_a_course_every_command_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (("lab",), ("release",), ("reset", "01"), ("grade", "01"), ("feedback", "01"), ("export",)):
        done = run(*words)
        assert done.exit_code == 1, words
        assert "This is not a course folder" in done.output


def test_release_check_passes_on_what_release_made(course):
    LESSON.file(course.notebooks).unlink()
    assert run("release", "--check").exit_code == 1
    assert "Wrote notebooks/01_causal_mask" in run("release").output
    assert run("release", "--check").exit_code == 0
