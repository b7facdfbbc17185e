"""The lab book: what goes in comes back, and nothing is ever lost without a word."""

import json
import math

import pytest

from course_lib import labbook
from course_lib.errors import CourseError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "naïve", [1, [2, "x"]], {"causal": {"4": 10}}, [], {}])
def test_a_value_comes_back_equal(value):
    labbook.record("01.value", value)
    assert labbook.recall("01.value") == value


def test_results_stand_side_by_side_and_a_new_one_replaces_the_old(home):
    labbook.record("01.a", 1)
    labbook.record("01.b", 2)
    labbook.record("01.a", 3)
    assert json.loads((home / "labbook.json").read_text(encoding="utf-8")) == {"01.a": 3, "01.b": 2}
    assert [file.name for file in home.iterdir()] == ["labbook.json"]


def test_a_missing_result_gives_the_default_or_says_which_lesson_to_run():
    assert labbook.recall("01.nothing", default=None) is None
    with pytest.raises(CourseError, match=r"^Nothing is recorded under '04.nothing' yet: run lesson 04 first\.$"):
        labbook.recall("04.nothing")


def test_without_course_home_the_book_lies_in_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_HOME")
    monkeypatch.chdir(tmp_path)
    labbook.record("01.a", 1)
    assert (tmp_path / ".course" / "labbook.json").exists()


def test_where_the_learner_has_no_result_the_courses_own_stands_in(home, tmp_path, monkeypatch):
    shipped = tmp_path / "shipped.json"
    shipped.write_text('{"03.accuracy": [0.5, 0.25, 0.75]}', encoding="utf-8")
    monkeypatch.setattr(labbook, "REFERENCE", shipped)
    assert labbook.recall("03.accuracy") == labbook.recall("03.accuracy", default=None) == 0.5
    assert not labbook.is_own("03.accuracy")
    labbook.record("03.accuracy", 0.75)
    assert labbook.recall("03.accuracy") == 0.75
    assert labbook.is_own("03.accuracy")
    assert json.loads(shipped.read_text(encoding="utf-8")) == {"03.accuracy": [0.5, 0.25, 0.75]}


def test_the_grading_build_has_no_shipped_results_and_needs_none(monkeypatch, tmp_path):
    monkeypatch.setattr(labbook, "REFERENCE", tmp_path / "nothing.json")
    assert labbook.recall("03.accuracy", default="none") == "none"


@pytest.mark.parametrize("value", [{1: "a"}, (1, 2), math.nan, math.inf, {2}, object(), b"x", [1, {"a": (2,)}]])
def test_what_json_would_refuse_or_change_is_refused(value, home):
    with pytest.raises(CourseError, match=r"^The lab book cannot keep '01.a': it takes None, bool"):
        labbook.record("01.a", value)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("damaged", [b"{ not json", b"", b"[1, 2]", b"\xff\xfe{}"])
def test_a_damaged_book_is_set_aside_whole_and_that_is_said(home, damaged, capfd):
    book = home / "labbook.json"
    for number in (1, 2):
        book.write_bytes(damaged)
        assert labbook.recall("01.a", default="none") == "none"
        assert book.read_bytes() == damaged
        labbook.record("01.a", number)
        assert labbook.recall("01.a") == number
        aside = home / f"labbook.damaged-{number}.json"
        assert aside.read_bytes() == damaged
        said = f"The lab book could not be read: it is kept as {aside}, and a new one begins.\n"
        assert capfd.readouterr() == (said, "")


def test_a_crash_while_writing_leaves_the_old_book(home, monkeypatch):
    labbook.record("01.a", 1)

    def crash(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(labbook.json, "dump", crash)
    with pytest.raises(KeyboardInterrupt):
        labbook.record("01.a", 2)
    assert labbook.recall("01.a") == 1
    assert [file.name for file in home.iterdir()] == ["labbook.json"]


def test_nothing_is_printed(capfd):
    labbook.record("01.a", 1)
    labbook.recall("01.a")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("execution", ["validate", "check", "autograde"])
def test_nothing_is_written_while_a_copy_of_the_notebook_is_run_to_look_at_it(home, monkeypatch, execution):
    labbook.record("01.a", 1)
    monkeypatch.setenv("NBGRADER_EXECUTION", execution)
    labbook.record("01.a", 2)
    assert labbook.recall("01.a") == 1
    (home / "labbook.json").write_text("damaged", encoding="utf-8")
    labbook.record("01.a", 2)
    assert [file.name for file in home.iterdir()] == ["labbook.json"]
