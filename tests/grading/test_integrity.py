"""Flags name the line that is worth a look in a student's own code, and take nothing for an attempt that is none."""

import pytest
from nbformat.v4 import new_code_cell

from course_lib.grading.integrity import MOST_FLAGS, flags_of, strangers
from course_lib.grading.submission import repair
from tests.classroom import bank_sources, released, solved
from tests.submissions.scene import EXERCISES, full


def flags(source):
    notebook = solved()
    notebook.cells.append(new_code_cell(source, id="mine"))
    return flags_of(repair(notebook, released()), released())


@pytest.mark.parametrize(
    ("source", "kind", "line"),
    [
        ("x = 1\nimport gc", "reaches into the interpreter", 2),
        ("import sys\nm = sys.modules", "reaches into the interpreter", 2),
        ("f = fn.__closure__[0]", "reaches into the interpreter", 1),
        ("import torch\n\ntorch.equal = print", "changes a library", 3),
        ("import torch\nsetattr(torch, 'equal', print)", "changes a library", 2),
        ("import importlib\nm = importlib.import_module('a' 'b')\nm.f = 3", "changes a library", 3),
        ("class A:\n    def __eq__(self, other): return True", "pretends to be equal to anything", 2),
        ("get_ipython().ast_transformers.append(3)", "changes how cells are run", 1),
        ("%matplotlib inline\nimport subprocess", "ends or starts processes", 2),
        ("import os\nos._exit(0)", "ends or starts processes", 2),
        ("from os import fork", "ends or starts processes", 1),
        ("import urllib.request", "uses the network", 1),
        ("open('../solutions/x')", "looks for answers", 1),
        ("from course_lib.exercises import get", "looks for answers", 1),
        ("open('/proc/self/environ')", "looks around the machine", 1),
        ("not python (\nopen('/etc/passwd')", "looks around the machine", 2),
    ],
)
def test_a_line_that_has_nothing_to_do_with_the_exercise_is_flagged(source, kind, line):
    found = {(flag.kind, flag.line) for flag in flags(source)}
    assert (kind, line) in found
    assert all(flag.cell == "mine" for flag in flags(source))


@pytest.mark.parametrize(
    "source",
    [
        "!ls\n%time 1\nx = !pwd", "def f(x): return x == 1", "import os\nos.cpu_count()", "mask.equal = 3\nself = 1",
        "from course_lib import masks", "from course_lib.plots import plot_masks", "x = 'a modules b'",
        "system = 1\nx = {'role': 'system'}",
        "(" * 200, "\x00", "import torch\ntorch.manual_seed(0)", "import matplotlib.pyplot as plt\nplt.show()",
    ],
)  # fmt: skip
def test_ordinary_code_is_not(source):
    assert flags(source) == []


def test_the_lesson_itself_and_every_answer_of_the_banks_raise_none():
    assert flags_of(repair(solved(), released()), released()) == []
    for name, exercise in EXERCISES.items():
        wrong, right = bank_sources(exercise)
        for source in (*wrong.values(), *right):
            if "types.SimpleNamespace" not in source:  # a reference written out is no answer of a learner's
                assert flags_of(repair(full(**{name: source}), released()), released()) == [], source


def test_there_is_an_end_to_flags():
    notebook = solved()
    notebook.cells += [new_code_cell(f"import gc\nx = {n}", id=f"mine-{n}") for n in range(2 * MOST_FLAGS)]
    assert len(flags_of(repair(notebook, released()), released())) == MOST_FLAGS


def test_what_lies_beside_the_notebook_is_named_in_plain_letters(tmp_path):
    for name in ("causal_mask.ipynb", "timestamp.txt", "helper.py", "\x1b[2Jwipe"):
        (tmp_path / name).write_text("")
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert sorted(map(str, strangers(tmp_path, "causal_mask.ipynb"))) == [
        "a file beside the notebook is not used (\\x1b[2Jwipe)",
        "a file beside the notebook is not used (helper.py)",
        "a link beside the notebook is not used (link)",
    ]
