"""Folders and lessons are found by number or name, and what is not there is said in one sentence."""

import pytest

from course_lib.errors import CourseError
from course_lib.layout import Course, Lesson
from tests.classroom import ROOT, make_course


def test_a_lesson_is_found_by_number_and_by_name():
    course = Course(ROOT)
    assert course.lesson("01") == course.lesson("01_causal_mask") == Lesson("01_causal_mask")
    assert course.lesson("01").file(course.work).parts[-3:] == ("work", "01_causal_mask", "causal_mask.ipynb")


def test_an_unknown_lesson_is_answered_with_the_known_ones():
    with pytest.raises(CourseError, match=r"There is no lesson '1'; the lessons are 01_causal_mask"):
        Course(ROOT).lesson("1")


def test_the_course_is_found_from_inside():
    assert Course.find(ROOT / "solutions" / "01_causal_mask").root == ROOT


def test_outside_a_course_the_sentence_says_what_to_do(tmp_path):
    with pytest.raises(CourseError, match="change into the folder"):
        Course.find(tmp_path)


def test_folders_without_their_notebook_are_no_lessons(tmp_path):
    course = make_course(tmp_path)
    (course.solutions / "02_empty").mkdir()
    (course.solutions / "notes").mkdir()
    assert course.lesson("01") in course.lessons()
    assert "02_empty" not in [lesson.name for lesson in course.lessons()]


def test_a_learners_course_without_solutions_has_the_released_lessons(tmp_path):
    course = make_course(tmp_path)
    known = course.lessons()
    course.solutions.rename(tmp_path / "elsewhere")
    assert course.lessons() == known
