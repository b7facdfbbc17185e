"""Every sentence of a statement is a promise: an answer that breaks it, and nothing else, fails where it should.

The promises stand in clauses/<lesson>.toml, by an id of their own, so that the prose of a statement can be improved.
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from course_lib import exercises
from course_lib.exercises.exercise import run_mistake
from course_lib.exercises.running import draw, run
from tests.exercises.test_notebooks import COURSE, scope_of, sources_of

FILES = sorted((Path(__file__).parent / "clauses").glob("lesson*.toml"))
ROWS = [row | {"lesson": file.stem[-2:]} for file in FILES for row in tomllib.loads(file.read_text())["clause"]]


def broken(row: dict[str, Any]) -> Any:
    """The lesson's own answer with the edits of a row, or the answer that the row gives in its place."""
    name, right = row["exercise"], sources_of(row["lesson"])[row["exercise"]]
    source = row.get("answer", right)
    for old, new in row.get("edits", []):
        assert source.count(old) == 1, f"{old!r} should stand in the answer exactly once"
        source = source.replace(old, new)
    assert source != right
    return scope_of(row["lesson"], **{name: source})[name]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['lesson']}.{row['exercise']}-{row['id']}" for row in ROWS])
def test_a_promise_is_held_by_its_case_group(row, seeds):
    exercise = exercises.get(f"{row['lesson']}.{row['exercise']}")
    assert row["group"] in exercise.groups
    student = broken(row)
    for seed in seeds:
        cases = draw(exercise.side, seed)
        seen, expected = run(exercise.side, student, cases, seed), run_mistake(exercise, exercise.reference, seed)
        results = exercise._results(exercise.judge.findings(seen, cases, expected))  # no name is asked for
        assert row["group"] in [result.name for result in results if result.failure], f"seed {seed}: {results}"


@pytest.mark.parametrize("lesson", COURSE.lessons(), ids=lambda lesson: lesson.name)
def test_every_case_group_holds_a_promise(lesson):
    held = {(row["exercise"], row["group"]) for row in ROWS if row["lesson"] == lesson.number}
    groups = {(ex.side.name, group) for ex in exercises.lesson(lesson.number) for group in ex.groups}
    assert groups - held == set()


def test_an_id_is_given_once():
    ids = [(row["lesson"], row["exercise"], row["id"]) for row in ROWS]
    assert len(ids) == len(set(ids))
