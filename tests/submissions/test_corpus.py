"""Every submission of the corpus gets what it deserves, with the reason, and harms nobody; the table is printed."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

import tests.submissions.cheats
import tests.submissions.damaged
import tests.submissions.noisy  # noqa: F401
from course_lib.grading.submission import OURS
from tests.classroom import LESSON, autograded
from tests.submissions.scene import CASES

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("bubblewrap"), pytest.mark.timeout(900)]

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
    console = Console(width=200, record=True, file=Path(os.devnull).open("w"))
    console.print(table)
    record_property("table", console.export_text())
    assert set(rows) == {case.name for case in CASES} | {"0-perfect"}


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


def test_the_grader_itself_stays_below_a_gigabyte(graded, record_property):
    _, peak, _ = graded
    record_property("measured", f"peak memory of the grader over the corpus: {peak / 2**20:.0f} MiB")
    assert peak < 2**30
