"""What is released is what the solutions give: the stubs, without a solution's body, output or random id."""

import re
import subprocess
import sys

import nbformat
import pytest

from course_lib.errors import CourseError
from course_lib.grading.submission import is_answer, is_grade
from course_lib.layout import Course
from course_lib.release import check_release, release
from tests.classroom import LESSON, ROOT, make_course

LESSONS = Course(ROOT).lessons()


def stripped(text):
    return "\n".join(line.strip() for line in text.splitlines())


def cells(folder, lesson=LESSON):
    return nbformat.read(lesson.file(folder), as_version=4).cells


def test_the_committed_notebooks_are_what_the_solutions_give(tmp_path):
    course = make_course(tmp_path)
    check_release(course, course.lessons())


def test_an_edited_release_is_noticed_and_made_again(tmp_path):
    course = make_course(tmp_path)
    file = LESSON.file(course.notebooks)
    text = file.read_text()
    file.write_text(text.replace("may attend", "might attend", 1))
    with pytest.raises(CourseError, match="run `course release`"):
        check_release(course, [LESSON])
    assert release(course, [LESSON]) == [file]
    assert file.read_text() == text
    assert release(course, [LESSON]) == []


def test_a_missing_release_is_noticed(tmp_path):
    course = make_course(tmp_path)
    LESSON.file(course.notebooks).unlink()
    with pytest.raises(CourseError, match="is not what its solution gives"):
        check_release(course, [LESSON])


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_no_solution_is_in_the_released_notebook(lesson):
    """Neither a whole body nor two of its lines in a row stand anywhere a learner reads."""
    course = Course(ROOT)
    given = stripped("\n".join(cell.source for cell in cells(course.notebooks, lesson)))
    for cell in filter(is_answer, cells(course.solutions, lesson)):
        stub = next(c for c in cells(course.notebooks, lesson) if c.id == cell.id)
        bodies = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, re.DOTALL)
        assert stub.source.count("raise NotImplementedError") == len(bodies) > 0
        for lines in (stripped(body).splitlines() for body in bodies):
            for first, second in zip(lines, [*lines[1:], ""], strict=True):
                assert (len(lines) > 1 and not second) or f"{first}\n{second}".strip() not in given, (cell.id, first)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
@pytest.mark.parametrize("folder", ["solutions", "notebooks"])
def test_notebooks_are_clean_and_their_ids_speak(folder, lesson):
    notebook = nbformat.read(lesson.file(ROOT / folder), as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", cell.id), cell.id
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        if is_answer(cell) or is_grade(cell):
            assert cell.id == cell.metadata.nbgrader.grade_id


def test_plain_nbgrader_releases_the_same_bytes(tmp_path):
    course = make_course(tmp_path)
    file = LESSON.file(course.notebooks)
    ours = file.read_bytes()
    file.unlink()
    environment = {"PATH": f"{sys.prefix}/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", LESSON.name, "--force"],
        cwd=course.root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert file.read_bytes() == ours
