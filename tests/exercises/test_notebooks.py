"""What every lesson's notebook says of its exercises is true of them, and its answers pass."""

import re
import time
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from torch import nn

from course_lib import exercises
from course_lib.exercises.exercise import Exercise, forget_runs
from course_lib.grading.pace import pace
from course_lib.layout import Course, Lesson

COURSE = Course(Path(__file__).parents[2])
every_lesson = pytest.mark.parametrize("lesson", COURSE.lessons(), ids=lambda lesson: lesson.name)
every_exercise = pytest.mark.parametrize("exercise", exercises.all(), ids=lambda exercise: exercise.id)


def cells_of(number: str) -> list[nbformat.NotebookNode]:
    """The cells of a lesson's solution."""
    lesson = next(lesson for lesson in COURSE.lessons() if lesson.number == number)
    return nbformat.read(lesson.file(COURSE.solutions), as_version=4).cells


@cache
def sources_of(number: str) -> dict[str, str]:
    """The sources of a lesson's setup and of its answers, by the exercise's name."""
    heads = {f"{kind} {ex.side.name}(": ex.side.name for ex in exercises.lesson(number) for kind in ("def", "class")}
    named = ((next((heads[head] for head in heads if c.source.startswith(head)), c.id), c) for c in cells_of(number))
    return {name: cell.source for name, cell in named if name == "setup" or name in heads.values()}


def scope_of(number: str, **instead: str) -> dict[str, Any]:
    """What a lesson's setup and answers define; instead: other sources, by the exercise's name."""
    scope: dict[str, Any] = {}
    for source in (sources_of(number) | instead).values():
        exec(source, scope)
    return scope


@every_lesson
def test_a_notebook_grades_its_exercises_for_their_points(lesson: Lesson):
    cells, bank = cells_of(lesson.number), exercises.lesson(lesson.number)
    found = {cell.source: cell.metadata.get("nbgrader", {}) for cell in cells}
    checks = {f'check("{ex.id}", {ex.side.name})': ex for ex in bank}
    graded = {source: data["points"] for source, data in found.items() if data.get("grade")}
    assert graded == {source: exercise.points for source, exercise in checks.items() if not exercise.optional}
    assert set(checks) <= set(found)


@every_lesson
def test_the_title_adds_up_what_the_exercises_say(lesson: Lesson):
    title = cells_of(lesson.number)[0].source
    graded = [exercise for exercise in exercises.lesson(lesson.number) if not exercise.optional]
    assert f"**Points:** {sum(exercise.points for exercise in graded)}." in title
    minutes, number = sum(exercise.minutes for exercise in graded), "zero one two three four five six".split()
    assert re.search(rf"\b{minutes} (minutes are|of them) for {number[len(graded)]} exercises", title)


@every_exercise
def test_a_statement_gives_the_points_and_the_effort_of_its_exercise(exercise: Exercise):
    worth = "optional, no points" if exercise.optional else f"{exercise.points} points"
    effort = f"*Difficulty {exercise.difficulty} of 5 · about {exercise.minutes} minutes*"
    head = f"· `{exercise.side.name}` ({worth})\n"
    found = [cell.source for cell in cells_of(exercise.id[:2]) if head in cell.source]
    assert len(found) == 1
    assert effort in found[0]


@every_exercise
def test_the_answer_in_the_notebook_passes(exercise: Exercise):
    """With what the setup cell imports and the lesson's other answers, and nothing else."""
    answer = scope_of(exercise.id[:2])[exercise.side.name]
    for seed in range(5):
        verdict = exercise.grade(answer, seed)
        assert verdict.passed, verdict.message


def stub_of(exercise: Exercise) -> Any:
    """What a released notebook holds in place of the answer."""

    def stub(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    return type(exercise.side.name, (nn.Module,), {"__init__": stub, "forward": stub}) if is_a_class(exercise) else stub


def is_a_class(exercise: Exercise) -> bool:
    return isinstance(exercise.reference, type)


@every_exercise
def test_a_stub_is_told_what_to_write(exercise: Exercise):
    verdict = exercise.grade(stub_of(exercise))
    assert (verdict.status, verdict.points) == ("not written", 0)
    assert verdict.reason == exercise.side.todo


@every_exercise
def test_a_forgotten_return_is_spoken_of(exercise: Exercise):
    def forgets(*args: Any, **kwargs: Any) -> None:
        return None

    student = type(exercise.side.name, (exercise.reference,), {"forward": forgets}) if is_a_class(exercise) else forgets
    assert "got None: did you forget `return`?" in " ".join(exercise.grade(student).message.split())


@every_exercise
def test_the_judges_own_work_is_quick(exercise: Exercise, record_property: Any):
    times = []
    for seed in range(5):
        forget_runs()
        start = time.process_time()
        assert exercise.grade(exercise.reference, seed).passed
        times.append(time.process_time() - start)
    record_property("measured", f"a right answer takes {1000 * sorted(times)[2]:.0f} ms")
    assert sorted(times)[2] < 0.25 * pace().processor  # the bar is 0.1; other tests share the processor's caches
