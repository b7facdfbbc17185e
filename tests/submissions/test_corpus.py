"""Every submission of the corpus gets what it deserves, with the reason, and harms nobody; the table is printed."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

import course_lib
import tests.submissions.cheats
import tests.submissions.damaged
import tests.submissions.noisy  # noqa: F401
from course_lib.exercises.evidence import MIME
from course_lib.grading.submission import OURS
from course_lib.nbgrader_tools import api, configuration, in_course
from tests.classroom import LESSON, autograded, submit
from tests.submissions.scene import CASES, full

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("bubblewrap"), pytest.mark.timeout(900)]

MARKED = {"0-ada": "what-only-ada-wrote", "0-bob": "what-only-bob-wrote"}
SHOWN_FEEDBACK = ("0-ada", "0-bob", "friendly-tensor-subclass", "evidence-first", "loops-forever", "cut-off",
                  "script-in-markdown", "garbage-collector", "edited-grade-cell")  # fmt: skip
GRADER = """
import os, resource, sys
from click.testing import CliRunner
from course_lib.cli import main
done = CliRunner().invoke(main, ["grade", "01", "--workers", "2"])
print(done.output)
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture(scope="module")
def graded(scene):
    """The whole corpus graded by the command in a process of its own: what it printed, its peak of memory."""
    for case in CASES:
        case.hand_in(scene)
    for student, mark in MARKED.items():
        submit(scene.course, student, full(f"mine = {mark!r}\nprint(mine)"))
    environment = os.environ | {"COURSE_SECRET": scene.secret}
    command = [sys.executable, "-c", GRADER]
    done = subprocess.run(command, cwd=scene.course.root, env=environment, capture_output=True, text=True, timeout=800)
    peak = done.stdout.rpartition("PEAK ")[2]
    assert peak.strip().isdigit(), done.stdout[-2000:] + done.stderr[-2000:]
    with (scene.course.grading / "summary" / f"{LESSON.name}.csv").open(newline="") as stream:
        rows = {row["student"]: row for row in csv.DictReader(stream)}
    return done.stdout, int(peak), rows


def given(row):
    return float(row["points"] or 0)


def test_the_corpus_is_large_and_has_three_families():
    families = [case.family for case in CASES]
    assert {family: families.count(family) >= 20 for family in families} == dict.fromkeys(
        ("cheat", "right but noisy", "damaged or broken"), True
    )
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_table(graded, record_property):
    """Prints case, deserved, given, status and reason for everyone."""
    _, _, rows = graded
    table = Table("family", "submission", "deserved", "given", "status", "why", box=None, pad_edge=False)
    for case in CASES:
        row = rows.get(case.name, {"points": "nan", "status": "LOST"})
        table.add_row(case.family, case.name, f"{case.deserved:g}", f"{given(row):g}", row["status"], case.why)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    record_property("table", console.export_text())
    assert set(rows) == {case.name for case in CASES} | {"0-perfect", *MARKED}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_gets_what_it_deserves(case, graded, scene):
    _, _, rows = graded
    row = rows[case.name]
    assert (given(row), row["status"]) == (case.deserved, case.status), row
    said = row["reasons"]
    if row["status"] != "refused":
        notebook = autograded(scene.course, case.name)
        said += "".join(cell.metadata.get(OURS, {}).get("reason", "") for cell in notebook.cells)
    assert case.reason in said
    if case.flag is None:
        assert row["flags"] == ""
    else:
        assert case.flag in row["flags"]
    assert case.harm is None or not case.harm(scene, case)


@pytest.fixture(scope="module")
def everything(graded, scene):
    """All files made while grading, with feedback for some students: content by path below grading/."""
    with in_course(scene.course):
        tools = api(configuration(scene.course))
        for student in SHOWN_FEEDBACK:
            assert tools.generate_feedback(LESSON.name, student)["success"], student
    made = scene.course.grading
    files = (path for path in made.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        str(path.relative_to(made)): path.read_bytes()
        for path in files
        if not path.is_relative_to(made / "submitted")
    }


def test_no_file_holds_another_students_work(everything):
    for student, mark in MARKED.items():
        found = {path for path, content in everything.items() if mark.encode() in content}
        name = f"{LESSON.name}/causal_mask"
        assert found == {f"autograded/{student}/{name}.ipynb", f"feedback/{student}/{name}.html"}


def test_no_file_holds_evidence_a_bank_or_a_reference(everything, scene):
    package = Path(course_lib.__file__).parent
    sources = [package / "masks.py", package / "leaks.py", *(package / "exercises/lesson01/bank").glob("*.py")]
    lines = {line.strip() for source in sources for line in source.read_text().splitlines()}
    files = scene.course.grading.glob("submitted/*/*/*.ipynb")
    handed_in = "".join(path.read_text(errors="replace") for path in files if path.is_file() and not path.is_symlink())
    code = [line for line in lines if len(line) > 40 and "(" in line and json.dumps(line)[1:-1] not in handed_in]
    assert len(code) > 100
    for path, content in everything.items():
        if "/evidence-printed/" not in path:  # what a student prints is the student's
            assert f"{MIME}.".encode() not in content, path
        found = [line for line in code if line.encode() in content or json.dumps(line)[1:-1].encode() in content]
        assert not found, path


def test_students_do_not_read_the_flags_and_pages_run_nothing(everything):
    page = everything[f"feedback/garbage-collector/{LESSON.name}/causal_mask.html"].decode()
    assert "Worth a look" not in page
    assert b"Worth a look" in everything[f"autograded/garbage-collector/{LESSON.name}/causal_mask.ipynb"]
    repaired = everything[f"feedback/edited-grade-cell/{LESSON.name}/causal_mask.html"].decode()
    assert "Your hand-in: repaired" in repaired
    assert "the cell create-causal-mask-check was restored" in repaired
    assert "did not finish in time" in everything[f"feedback/loops-forever/{LESSON.name}/causal_mask.html"].decode()
    for path, content in everything.items():
        if path.endswith(".html"):
            assert b"<script>fetch" not in content
            assert b"onerror=" not in content


def test_the_grader_itself_stays_below_a_gigabyte(graded, record_property):
    _, peak, _ = graded
    record_property("measured", f"peak memory of the grader over the corpus: {peak / 2**20:.0f} MiB")
    assert peak < 2**30
