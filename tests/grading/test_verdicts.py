"""Verdicts reach nbgrader in its own terms, and nothing that a browser would run reaches the instructor."""

import json

import pytest
from nbformat.v4 import new_code_cell
from nbgrader.utils import determine_grade

from course_lib import exercises
from course_lib.exercises.evidence import pack
from course_lib.exercises.running import Observation, draw, run
from course_lib.grading.handin import load
from course_lib.grading.submission import plan, repair
from course_lib.grading.verdicts import describe, judge, record, refuse_all
from tests.classroom import grade_cells, released, solved

CAUSAL = exercises.get("01.create_causal_mask")
SEED = 11


def graded(student=None, *, status="ok", evidence=None, outputs=(), answer=None, other=()):
    """Judge and record a notebook whose first exercise gave this result; returns its grade cell and the notebook."""
    notebook = repair(solved(), released())
    cells = plan(notebook)
    if answer is not None:
        notebook.cells[next(i for i, c in enumerate(notebook.cells) if c.id == "create-causal-mask")].source = answer
        cells = plan(notebook)
    if student is not None:
        evidence = pack(run(CAUSAL.side, student, draw(CAUSAL.side, SEED), SEED))
    entries = [
        {"index": cell.index, "status": status, "evidence": evidence, "outputs": list(outputs)}
        if cell.exercise == CAUSAL.id
        else {"index": cell.index, "status": "ok", "evidence": None, "outputs": list(other)}
        for cell in cells
    ]
    result = json.dumps({"cells": entries}).encode()
    record(notebook, result, judge(cells, result, SEED))
    return grade_cells(notebook)[0], notebook


def card(cell):
    (shown,) = [output for output in cell.outputs if output.output_type in ("display_data", "error")]
    return "\n".join(shown.traceback) if shown.output_type == "error" else shown.data["text/plain"]


def test_a_right_answer_gets_all_points_in_nbgraders_eyes():
    cell, _ = graded(CAUSAL.reference)
    assert determine_grade(cell) == (4, 4)
    assert cell.metadata.course.status == "passed"


def test_a_partly_right_answer_gets_its_part():
    wrong = CAUSAL.misconceptions["built on the default device"]
    cell, _ = graded(wrong.wrong)
    assert determine_grade(cell) == (3, 4)
    assert cell.metadata.course.misconception == "built on the default device"
    assert wrong.hint.split()[0] in card(cell)


def test_an_answer_that_does_not_compile_is_told_so_and_not_that_its_name_is_missing():
    missing = {"output_type": "error", "ename": "NameError", "evalue": "name 'create_causal_mask' is not defined"}
    cell, _ = graded(outputs=[missing | {"traceback": []}], answer="%time\ndef create_causal_mask(n):\n    return (n")
    assert determine_grade(cell) == (0, 4)
    said = " ".join(card(cell).split())
    assert "create_causal_mask does not compile: SyntaxError in its line 3, '(' was never closed. return (n" in said
    assert "NameError" not in said


def test_a_wrong_answer_gets_nothing_and_its_card():
    cell, _ = graded(CAUSAL.misconceptions["transposed"].wrong)
    assert determine_grade(cell) == (0, 4)
    assert "It looks like: transposed." in card(cell)


def test_noise_around_a_right_answer_changes_nothing():
    cell, _ = graded(CAUSAL.reference, outputs=[{"output_type": "stream", "name": "stderr", "text": "a warning"}])
    assert determine_grade(cell) == (4, 4)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("timeout", "did not finish in time"), ("died", "ended the Python process"),
        ("out of memory", "used more memory"), ("flooded", "printed or displayed more"), ("not run", "was not run"),
    ],
)  # fmt: skip
def test_a_stopped_cell_says_why(status, sentence):
    cell, _ = graded(status=status)
    assert determine_grade(cell) == (0, 4)
    assert sentence in card(cell).replace("\n", " ")


def test_missing_evidence_says_what_was_raised():
    error = {"output_type": "error", "ename": "NameError", "evalue": "create_causal_mask", "traceback": []}
    cell, _ = graded(status="error", outputs=[error])
    assert "NameError: create_causal_mask" in card(cell)


@pytest.mark.parametrize("evidence", [{}, [], "x", 3, {"observations": [], "tensors": "!"}])
def test_malformed_evidence_is_no_points_with_a_reason(evidence):
    cell, _ = graded(evidence=evidence)
    assert determine_grade(cell) == (0, 4)
    assert "cannot be read" in card(cell).replace("\n", " ")


def test_a_forbidden_shortcut_earns_nothing_and_is_named():
    source = (
        "import torch.nn as nn\ndef create_causal_mask(n, device=None):\n"
        "    return (nn.Transformer.generate_square_subsequent_mask(n, device=device) == 0)[None, None]"
    )
    cell, _ = graded(CAUSAL.reference, answer=source)
    assert determine_grade(cell) == (0, 4)
    assert cell.metadata.course.status == "forbidden"
    assert "generate_square_subsequent_mask" in card(cell)


def test_a_checker_that_fails_is_nobodys_zero(monkeypatch):
    monkeypatch.setattr(type(CAUSAL.judge), "findings", lambda *a: 1 / 0)
    cell, _ = graded(CAUSAL.reference)
    assert cell.metadata.course.status == "needs a human"
    assert "The checker failed, not you" in card(cell)


def test_an_unreadable_notebook_gets_its_reason_in_every_exercise(tmp_path):
    (tmp_path / "causal_mask.ipynb").write_text("{")
    notebook = load(tmp_path, "causal_mask.ipynb", released())
    record(notebook, b'{"cells": []}', refuse_all(notebook, notebook.metadata.course.unreadable))
    for cell in grade_cells(notebook):
        assert determine_grade(cell)[0] == 0
        assert "it is damaged" in card(cell).replace("\n", " ")


def test_outputs_that_a_browser_would_run_are_dropped():
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    hostile = [
        {"output_type": "display_data", "metadata": {}, "data": {
            "text/html": "<script>alert(1)</script>", "text/plain": "figure", "image/png": png,
            "application/javascript": "alert(1)", "image/svg+xml": "<svg onload='alert(1)'/>", "text/latex": "x",
        }},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": '"><script>alert(1)</script>'}},
    ]  # fmt: skip
    _, notebook = graded(CAUSAL.reference, other=hostile)
    shown = [cell.outputs for cell in notebook.cells if cell.get("outputs") and "nbgrader" not in cell.metadata]
    kept = [dict(output.data) for output in shown[0]]
    assert kept == [{"text/plain": "figure", "image/png": png}, {"text/plain": ""}]
    assert "alert" not in json.dumps(notebook)


HELPER = "import torch\n@torch.no_grad()\ndef lower(n): return n"
LOST = {"output_type": "error", "ename": "NameError", "evalue": "name 'lower' is not defined", "traceback": []}
ABSENT = {"output_type": "error", "ename": "ModuleNotFoundError", "evalue": "No module named 'x'", "traceback": []}
SENTENCE = "every exercise failed for one cause outside the answers: "


def reasons(source, status, outputs, evidence=None, raised=(LOST,), check="error"):
    """What is said of a hand-in in which a cell above the answers came to this, and the checks to that."""
    notebook = solved()
    notebook.cells.insert(3, new_code_cell(source, id="mine"))
    notebook = repair(notebook, released())
    entries = [
        {"index": cell.index, "status": check, "evidence": evidence, "outputs": list(raised)}
        if cell.exercise
        else {"index": cell.index, "status": status, "evidence": None, "outputs": list(outputs)}
        if notebook.cells[cell.index].id == "mine"
        else {"index": cell.index, "status": "ok", "evidence": None, "outputs": []}
        for cell in plan(notebook)
    ]
    result = json.dumps({"cells": entries}).encode()
    record(notebook, result, judge(plan(notebook), result, SEED))
    describe(notebook, [])
    return notebook.metadata.course.reasons


def seen(type, text=""):
    """Evidence of the first exercise, whose every call raised; of the others it is none."""
    return pack([Observation("error", type, text=text)] * len(draw(CAUSAL.side, SEED)))


@pytest.mark.parametrize(
    ("source", "status", "outputs", "cause"),
    [
        (HELPER, "error", [ABSENT], "the cell mine raised ModuleNotFoundError: No module named 'x'"),
        ("from x import lower", "error", [ABSENT], "the cell mine raised ModuleNotFoundError: No module named 'x'"),
        ("lower = (", "error", [ABSENT | {"ename": "SyntaxError"}], "the cell mine raised SyntaxError: "),
        (HELPER, "timeout", [], "the cell mine did not finish in time"),
        ("print(lower)", "error", [LOST], "NameError: name 'lower' is not defined"),
        ("1 / 0", "error", [ABSENT], "NameError: name 'lower' is not defined"),
    ],
)
def test_one_cause_of_all_failures_is_named(source, status, outputs, cause):
    (reason,) = reasons(source, status, outputs)
    assert reason.startswith(SENTENCE + cause)


def test_checks_that_were_not_run_name_the_cell_that_took_their_time():
    assert SENTENCE + "the cell mine did not finish in time" in reasons("1", "timeout", [], raised=(), check="not run")


def test_checks_that_cannot_be_loaded_name_that():
    assert reasons("1", "ok", [], raised=(), check="ok") == [
        SENTENCE + "the cells before the checks left a Python in which the checks cannot be loaded"
    ]


@pytest.mark.parametrize("ename", ["ValueError", "NotImplementedError"])
def test_what_answers_raise_themselves_is_no_such_cause(ename):
    assert reasons("1", "ok", [], raised=(LOST | {"ename": ename},)) == []
    assert reasons("1", "ok", [], raised=(), evidence=seen(ename)) == []


def test_a_right_answer_among_them_is_no_such_cause():
    evidence = pack(run(CAUSAL.side, CAUSAL.reference, draw(CAUSAL.side, SEED), SEED))
    assert reasons(HELPER, "error", [ABSENT], evidence=evidence) == []
