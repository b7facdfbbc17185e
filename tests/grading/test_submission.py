"""A submission is repaired against the released notebook, whatever became of it, and only the student's code stays."""

import json
from copy import deepcopy

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_raw_cell

from course_lib.grading.handin import load
from course_lib.grading.submission import exercise_of, plan, repair
from course_lib.grading.verdicts import describe
from course_lib.layout import Course
from tests.classroom import ROOT, grade_cells, released, solved

CHECK = "create-causal-mask-check"


def cell_named(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def place(notebook, name):
    return [cell.id for cell in notebook.cells].index(name)


def exercises_run(notebook):
    return [cell.exercise for cell in plan(notebook) if cell.exercise]


def sources_run(notebook):
    return [cell.source for cell in plan(repair(notebook, released()))]


def given(name="setup"):
    return cell_named(released(), name).source


ALL = [exercise_of(cell) for cell in grade_cells(released())]


def test_an_untouched_notebook_needs_no_repair():
    repaired = repair(solved(), released())
    assert repaired.metadata.course == {"repairs": []}
    assert exercises_run(repaired) == ALL
    nbformat.validate(repaired)


def test_experiments_are_those_of_the_lesson_and_those_a_learner_tags():
    notebook = solved()
    expected = sources_run(notebook)
    notebook.cells.append(new_code_cell("mine = 1", id="mine"))
    for cell in notebook.cells:
        cell.metadata.tags = ["experiment"]
    assert sources_run(notebook) == expected
    for number, cell in enumerate(notebook.cells):
        if "nbgrader" not in cell.metadata:
            cell.update(id=f"{number}", metadata={})
    assert sources_run(notebook) == [*expected, "mine = 1"]


def test_an_edited_grade_cell_is_restored():
    notebook = solved()
    cell_named(notebook, CHECK).source = "pass"
    cell_named(notebook, CHECK).metadata.nbgrader.points = 100
    repaired = repair(notebook, released())
    assert cell_named(repaired, CHECK).source == cell_named(released(), CHECK).source
    assert cell_named(repaired, CHECK).metadata.nbgrader.points == 4
    assert repaired.metadata.course.repairs == [
        f"the cell {CHECK} was restored", f"the points of the cell {CHECK} were restored"
    ]  # fmt: skip


def test_a_deleted_grade_cell_comes_back_where_it_stood():
    notebook = solved()
    del notebook.cells[place(notebook, CHECK)]
    repaired = repair(notebook, released())
    assert exercises_run(repaired) == ALL
    assert place(repaired, CHECK) == place(repaired, "create-causal-mask") + 1
    assert repaired.metadata.course.repairs == [f"the cell {CHECK} was missing and was put back"]


def test_all_grade_cells_deleted_come_back():
    notebook = solved()
    notebook.cells = [cell for cell in notebook.cells if not cell.id.endswith("-check")]
    assert exercises_run(repair(notebook, released())) == ALL


def test_an_empty_notebook_gets_every_grade_cell():
    notebook = solved()
    notebook.cells = []
    assert exercises_run(repair(notebook, released())) == ALL


@pytest.mark.parametrize("name", ["create-causal-mask", CHECK])
def test_a_copied_cell_counts_once(name):
    notebook = solved()
    notebook.cells.insert(place(notebook, name), deepcopy(cell_named(notebook, name)))
    repaired = repair(notebook, released())
    assert exercises_run(repaired) == ALL
    assert len({cell.id for cell in repaired.cells}) == len(repaired.cells)
    assert len(repaired.metadata.course.repairs) == 1
    nbformat.validate(repaired)


def test_a_helper_defined_in_an_experiment_is_there_when_grading():
    notebook = solved()
    cell = next(cell for cell in notebook.cells if "experiment" in cell.metadata.get("tags", []))
    cell.source = "import course_lib.plots\nx = 1 / 0\n\ndef helper(n):\n    return n\n"
    planned = {notebook.cells[entry.index].id: entry.source for entry in plan(repair(notebook, released()))}
    assert planned[cell.id] == "def helper(n):\n    return n"


def test_a_check_pasted_above_its_answer_counts_where_it_stands_last():
    notebook = solved()
    notebook.cells.insert(1, deepcopy(cell_named(notebook, CHECK)))
    repaired = repair(notebook, released())
    assert place(repaired, CHECK) > place(repaired, "create-causal-mask")


def test_a_check_alone_above_its_answer_is_put_below_it():
    notebook = solved()
    check = notebook.cells.pop(place(notebook, CHECK))
    notebook.cells.insert(1, check)
    repaired = repair(notebook, released())
    assert place(repaired, CHECK) == place(repaired, "create-causal-mask") + 1
    assert repaired.metadata.course.repairs == [f"the cell {CHECK} was put below its answer"]


def test_an_answer_turned_into_text_is_code_again():
    notebook = solved()
    cell_named(notebook, "create-causal-mask").cell_type = "markdown"
    repaired = repair(notebook, released())
    assert cell_named(repaired, "create-causal-mask").cell_type == "code"
    assert repaired.metadata.course.repairs == ["the cell create-causal-mask was made a code cell again"]


@pytest.mark.parametrize("name", ["setup", "leak-small-example"])
@pytest.mark.parametrize("loss", ["deleted", "emptied", "raw", "nameless", "moved to the end"])
def test_what_was_given_runs_where_it_was_given(name, loss):
    notebook = solved()
    expected = sources_run(notebook)
    cell = cell_named(notebook, name)
    if loss in ("deleted", "moved to the end"):
        notebook.cells.remove(cell)
        notebook.cells += [cell] if loss != "deleted" else []
    elif loss == "emptied":
        cell.source = " \n"
    elif loss == "raw":
        cell.cell_type = "raw"
    else:
        cell.update(id="b7f1", metadata={})
    run = sources_run(notebook)
    assert run[: len(expected)] == expected
    assert len(repair(notebook, released()).metadata.course.repairs) == (loss != "nameless")


@pytest.mark.parametrize("lesson", Course(ROOT).lessons(), ids=lambda lesson: lesson.name)
def test_in_every_lesson_given_cells_are_known_without_their_names_and_put_back(lesson):
    notebook, ours = solved(lesson), released(lesson)
    expected = [cell.source for cell in plan(repair(notebook, ours))]
    for number, cell in enumerate(notebook.cells):
        if "nbgrader" not in cell.metadata:
            cell.update(id=f"{number}", metadata={})
    assert [cell.source for cell in plan(repair(notebook, ours))] == expected
    notebook.cells = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    run = [cell.source for cell in plan(repair(notebook, ours))]
    assert run == [source for source in expected if source in run]
    assert cell_named(ours, "setup").source == run[0]


def test_a_given_cell_that_was_changed_runs_as_it_was_given_and_then_as_it_is():
    notebook = solved()
    changed = cell_named(notebook, "setup")
    changed.source = f"1 / 0\n{changed.source}\nimport math"
    repaired = repair(notebook, released())
    assert sources_run(notebook)[:2] == [given(), changed.source]
    assert repaired.metadata.course.repairs == []
    nbformat.validate(repaired)
    describe(repaired, [])
    assert [cell.source for cell in repaired.cells] == [cell.source for cell in notebook.cells]  # nobody reads it twice


def test_a_locked_cell_that_was_changed_is_the_released_one_for_nbgrader_too():
    ours = released()
    facts = {"grade_id": "setup", "grade": False, "solution": False, "locked": True, "schema_version": 3}
    cell_named(ours, "setup").metadata.nbgrader = facts
    notebook = deepcopy(ours)
    cell_named(notebook, "setup").source += "\nimport math"
    repaired = repair(notebook, ours)
    known = [cell.source for cell in repaired.cells if cell.metadata.get("nbgrader", {}).get("locked")]
    assert known[0] == given()
    assert [cell.source for cell in repaired.cells].count(given() + "\nimport math") == 1
    assert "the cell setup was restored" in repaired.metadata.course.repairs[0]
    nbformat.validate(repaired)


def test_an_id_that_is_taken_is_not_given_twice():
    notebook = solved()
    cell_named(notebook, "setup").metadata.nbgrader = {"grade_id": "mine"}
    repaired = repair(notebook, released())
    assert sources_run(notebook)[0] == given()
    assert len({cell.id for cell in repaired.cells}) == len(repaired.cells)


@pytest.mark.parametrize(
    ("line", "run"),
    [
        ("!pip install torch", "pass"), ("%pip install -q einops", "pass"),
        ("  !{sys.executable} -m pip install x", "  pass"),
        ("pip install torch", "pass"), ("!uv pip install x", "pass"), ("!conda install -y x", "pass"),
        ("found = !pip install x", "pass"), ("!pip install \\\n    torch", "pass\n"),
        ("!pip list", "!pip list"), ("!ls install", "!ls install"), ("%time install(3)", "%time install(3)"),
    ],
)  # fmt: skip
def test_a_line_that_installs_is_left_out_when_it_runs_and_stays_in_the_notebook(line, run):
    notebook = solved()
    source = f"if True:\n{line}\n%matplotlib inline\nx = 1"
    notebook.cells.append(new_code_cell(source, id="mine"))
    repaired = repair(notebook, released())
    assert sources_run(notebook)[-1] == source.replace(line, run)
    assert repaired.cells[-1].source == source
    assert any("cell mine installs" in line for line in repaired.metadata.course.repairs) == (run != line)


def test_text_about_installing_is_no_installation():
    source = '"""\n!pip install torch\npip install torch\n"""\nimport subprocess'
    notebook = solved()
    notebook.cells.append(new_code_cell(source, id="mine"))
    assert sources_run(notebook)[-1] == source


def test_nothing_but_source_kind_id_and_the_experiment_tag_is_taken_over():
    notebook = solved()
    hostile = new_raw_cell("<script>alert(1)</script>", metadata={"raw_mimetype": "text/html", "tags": ["<script>"]})
    hostile.id = "a\" onmouseover=alert(1)"
    notebook.cells.append(hostile)
    notebook.metadata = {"title": "<script>", "widgets": {"x": "</script><script>"}}
    repaired = repair(notebook, released())
    assert repaired.cells[-1] == {
        "cell_type": "raw", "id": "a--onmouseover-alert-1-", "metadata": {}, "source": hostile.source
    }  # fmt: skip
    assert repaired.metadata == released().metadata | {"course": {"repairs": []}}
    nbformat.validate(repaired)


def test_lost_metadata_is_found_again_by_the_cell_id():
    notebook = solved()
    for cell in notebook.cells:
        cell.metadata = {}
    repaired = repair(notebook, released())
    assert exercises_run(repaired) == ALL
    assert cell_named(repaired, "create-causal-mask").metadata.nbgrader.solution


def test_a_cell_that_claims_to_be_graded_is_an_ordinary_one():
    notebook = solved()
    mine = deepcopy(cell_named(notebook, CHECK))
    mine.id = "mine"
    mine.metadata.nbgrader.grade_id = "mine"
    notebook.cells.append(mine)
    repaired = repair(notebook, released())
    assert exercises_run(repaired) == ALL
    assert "nbgrader" not in cell_named(repaired, "mine").metadata


def test_outputs_and_our_own_metadata_do_not_come_from_the_student():
    notebook = solved()
    cell = cell_named(notebook, CHECK)
    cell.outputs = [{"output_type": "stream", "name": "stdout", "text": "full marks"}]
    cell.metadata.course = {"status": "passed"}
    notebook.metadata.course = {"unreadable": "no", "fingerprint": "mine"}
    repaired = repair(notebook, released())
    assert all(not cell.get("outputs") and "course" not in cell.metadata for cell in repaired.cells)
    assert set(repaired.metadata.course) == {"repairs"}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '{"cells": []}', '{"nbformat": 3, "cells": []}', '{"nbformat": 4, "cells": [3]}',
     '{"nbformat": 4, "cells": {"a": 1}}', "[" * 100_000, "{" * 600_000, "PK\x03\x04"],
)  # fmt: skip
def test_a_file_that_is_no_notebook_gets_a_reason_and_runs_nothing(tmp_path, text):
    file = tmp_path / "causal_mask.ipynb"
    file.write_text(text)
    notebook = load(file.parent, file.name, released())
    assert notebook.metadata.course.unreadable.startswith("causal_mask.ipynb was not graded: ")
    assert plan(notebook) == []
    assert [exercise_of(cell) for cell in grade_cells(notebook)] == ALL


def loaded(folder, notebook):
    (folder / "causal_mask.ipynb").write_text(json.dumps(notebook))
    return load(folder, "causal_mask.ipynb", released())


def test_outputs_attachments_and_the_notebooks_metadata_have_no_size(tmp_path):
    notebook = solved()
    many = [{"a": [n], "b": "]" * 20 + '"'} for n in range(90_000)]
    plain = loaded(tmp_path, notebook)
    notebook.metadata.widgets = many
    notebook.cells[1]["attachments"] = {"a.png": {"image/png": "A" * 25_000_000}}
    cell_named(notebook, "setup").outputs = [{"data": {"text/plain": "\x1b[m" * 600_000, "x": many, "cells": many}}]
    deep = json.dumps(notebook).replace('"outputs": []', f'"outputs": {"[" * 5_000}{"]" * 5_000}')
    (tmp_path / "causal_mask.ipynb").write_text(deep)
    assert load(tmp_path, "causal_mask.ipynb", released()) == plain


@pytest.mark.parametrize("key", ["source", "metadata", "tags", "id"])
def test_what_is_kept_has_a_size(tmp_path, key):
    notebook = solved()
    notebook.cells[1][key] = [{}] * 600_000
    assert "more parts than a notebook can" in loaded(tmp_path, notebook).metadata.course.unreadable
    notebook.cells[1][key] = "x" * 21_000_000
    assert "larger than 20 MB even without outputs" in loaded(tmp_path, notebook).metadata.course.unreadable


def test_what_is_too_long_for_a_page_is_shortened_and_costs_nothing(tmp_path):
    notebook = solved()
    short = loaded(tmp_path, notebook)
    notebook.cells[1].source = f"before ![](data:image/png;base64,{'A' * 330_000}) after"
    notebook.cells[3].source = "a word " * 50_000
    repaired = loaded(tmp_path, notebook)
    assert repaired.cells[1].source == "before [left out here] after"
    assert repaired.cells[3].source.endswith("[cut off here]")
    assert len(repaired.cells[3].source) < 21_000
    assert plan(repaired) == plan(short)
    assert [line.split(" in the cell ")[0] for line in repaired.metadata.course.repairs] == [
        "what is too long for a page was shortened"
    ] * 2


def test_bytes_that_are_no_text_get_a_reason(tmp_path):
    file = tmp_path / "causal_mask.ipynb"
    file.write_bytes(b"\xff\xfe\x00PK\x03\x04")
    assert "unreadable" in load(file.parent, file.name, released()).metadata.course


def test_old_and_odd_cells_are_made_valid(tmp_path):
    notebook = json.loads(json.dumps(solved()))
    notebook["nbformat_minor"] = 2
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
        if cell["id"] not in ("create-causal-mask", CHECK):
            del cell["id"]
    notebook["cells"].append({"cell_type": "heading", "source": 3, "metadata": {"tags": "x", "nbgrader": [1]}})
    file = tmp_path / "causal_mask.ipynb"
    file.write_text(json.dumps(notebook))
    repaired = load(file.parent, file.name, released())
    nbformat.validate(repaired)
    assert exercises_run(repaired) == ALL
