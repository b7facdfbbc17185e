"""Restart and run all with nothing written: every check shows its card, and no later cell needs an answer."""

import ast

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from course_lib.exercises.shortcuts import imports_of
from course_lib.grading.submission import is_answer, is_grade
from course_lib.layout import Course
from tests.classroom import ROOT, released

LESSONS = Course(ROOT).lessons()
# What is measured says nothing then, and need be no number that a lab book takes.
HASTE = """
import dataclasses
from course_lib import labbook, training
labbook.record = lambda key, value: None
at_leisure = training.train
def in_haste(model, batches, loss, recipe=training.Recipe(), **how):
    return at_leisure(model, batches, loss, dataclasses.replace(recipe, steps=2, warmup=1), **how)
training.train = in_haste"""


def pytest_generate_tests(metafunc):
    """Run the first lesson, or in a thorough run all; read all."""
    if "lesson" in metafunc.fixturenames:
        some = LESSONS[:1] if "tmp_path" in metafunc.fixturenames else LESSONS
        lessons = LESSONS if metafunc.config.getoption("thorough") else some
        metafunc.parametrize("lesson", lessons, ids=lambda lesson: lesson.name)


@pytest.mark.timeout(600)
def test_all_cells_run(lesson, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    notebook = released(lesson)
    notebook.cells.insert(0, new_code_cell(HASTE))
    notebook = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cards = [cell.outputs[0].data["text/plain"] for cell in notebook.cells if is_grade(cell)]
    assert [card[0] for card in cards] == ["○"] * len(cards)
    assert all("not written yet" in card for card in cards)


def test_later_cells_use_an_answer_only_with_something_to_fall_back_on(lesson):
    cells = [cell for cell in released(lesson).cells if cell.cell_type == "code"]
    answers = {node.name for cell in cells if is_answer(cell) for node in ast.parse(cell.source).body}
    assert answers
    bare = [(cell.id, name) for cell in cells if not is_answer(cell) for name in used_without_fallback(cell, answers)]
    assert bare == []


def used_without_fallback(cell: nbformat.NotebookNode, answers: set[str]) -> set[str]:
    tree = ast.parse(cell.source)
    caught: set[ast.AST] = set()
    own: set[str] = set()
    for node in ast.walk(tree):
        own |= set(imports_of(node))
        if isinstance(node, ast.Try) and "except NotImplementedError:" in ast.unparse(node):
            caught |= {inner for part in node.body for inner in ast.walk(part)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check":
            caught |= set(ast.walk(node))
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in caught}
    return (named & answers) - own
