"""Every submission of the corpus gets what it deserves, with the reason, and harms nobody; the table is printed.

Three roads lead from the same hand-ins to the same gradebook: `course grade` runs all of them, plain `nbgrader
autograde` records all of them, and formgrader's button is pressed for a part, once in a browser. The hand-ins named in
EXECUTED are run by each road in the sandbox; for the others the roads share the cache of executions, as in a course.
"""

import csv
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from rich.console import Console
from rich.table import Table

import course_lib
from course_lib.exercises.evidence import MIME
from course_lib.grading.nbgrader_glue import seed_of
from course_lib.grading.submission import OURS
from course_lib.nbgrader_tools import api, configuration, in_course
from tests.browser.conftest import chromium
from tests.browser.lab import ARTIFACTS, RUN_SECONDS, START_SECONDS, TOKEN
from tests.classroom import LESSON, autograded, solved, submit
from tests.clock import stretched
from tests.submissions.corpus import CASES
from tests.submissions.road import Road, formgrader, nbgrader
from tests.submissions.scene import MOST, full

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("bubblewrap"), pytest.mark.timeout(900)]

MARKED = {"0-ada": "what-only-ada-wrote", "0-bob": "what-only-bob-wrote"}
SHOWN_FEEDBACK = ("0-ada", "0-bob", "friendly-tensor-subclass", "evidence-first", "loops-forever", "cut-off",
                  "script-in-markdown", "garbage-collector", "edited-grade-cell", "colours-without-end",
                  "markdown-that-takes-forever")  # fmt: skip
GRADER = """
import re
from pathlib import Path
from click.testing import CliRunner
from course_lib.cli import main
done = CliRunner().invoke(main, ["grade", "01", "--workers", "2"])
print(done.output)
status = Path("/proc/self/status").read_text()  # getrusage would count what the process was forked from
print("PEAK", int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024)
"""


CORPUS = ["0-perfect", *(case.name for case in CASES)]
CLICKED = "changed-points"  # in the browser; 4 points are neither all nor nothing
EXECUTED = [
    "0-perfect", CLICKED, "warns", "evidence-from-another-cell", "loops-forever", "kills-its-kernel", "checks-deleted",
]  # fmt: skip
BUTTON = [
    *EXECUTED[:1], *EXECUTED[2:],
    "answers-use-one-another", "forbidden-shortcut", "changes-the-gradebook", "link-to-a-classmate", "fork-bomb",
    "cells-renamed", "other-encoding", "renamed-file", "two-notebooks-of-other-names", "more-files",
    "pipe-called-like-the-notebook", "time-of-hand-in-is-a-pipe", "time-of-hand-in-is-a-folder", "fifty-megabytes",
    "cut-off", "setup-that-raises", "setup-that-installs", "setup-deleted", "animation-in-the-file", "pasted-picture",
    "helper-that-was-deleted",
]  # fmt: skip

# What a road leaves alone, or gives nothing for, and why.
NO_NOTEBOOK = {
    "no-file": "there is no notebook in the folder",
    "archive-in-place-of-the-notebook": "archives are never opened",
    "file-for-a-folder": "a file lies where the lesson's folder should",
}
BAD_NAMES = {
    "0-per[f]ect": "nbgrader reads it as a pattern, which means 0-perfect",
    "0-two\nlines": "nbgrader cannot read a name with a line break",
    "0\udcff": "the gradebook cannot hold a name that is no text",
}
LINKS = {
    "folder-of-a-classmate": "the lesson's folder is a link to a classmate's",
    "link-of-a-student": "the student's folder is a link to a classmate's",
}
LEFT_BY_COURSE_GRADE = NO_NOTEBOOK | BAD_NAMES | LINKS
LEFT_BY_NBGRADER = NO_NOTEBOOK | BAD_NAMES | {".hidden": "nbgrader does not look at names that begin with a dot"}
BESIDE_THE_CORPUS = ["file-for-a-folder", *BAD_NAMES, "link-of-a-student", ".hidden"]


def hand_in_beside_the_corpus(course):
    """Right work that lies where it should not."""
    submitted = course.grading / "submitted"
    for student in (*BAD_NAMES, ".hidden"):
        submit(course, student, solved())
    (submitted / "link-of-a-student").symlink_to(submitted / "0-perfect")
    (submitted / "file-for-a-folder").mkdir()
    (submitted / "file-for-a-folder" / LESSON.name).write_text("x")
    (submitted / "notes.txt").write_text("not a student")


@pytest.fixture(scope="module")
def graded(scene):
    """The whole corpus graded by the command in a process of its own: what it printed, its peak of memory."""
    for case in CASES:
        case.hand_in(scene)
    hand_in_beside_the_corpus(scene.course)
    for student, mark in MARKED.items():
        submit(scene.course, student, full(f"mine = {mark!r}\nprint(mine)"))
    environment = os.environ | {"COURSE_SECRET": scene.secret}
    for forced in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):  # colours would hide what hand-ins print
        environment.pop(forced, None)
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
    spelled = {name.encode(errors="replace").decode() for name in BESIDE_THE_CORPUS}
    assert set(rows) == {case.name for case in CASES} | {"0-perfect", *MARKED} | spelled


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
            began = time.monotonic()
            assert tools.generate_feedback(LESSON.name, student)["success"], student
            assert time.monotonic() - began < stretched(10), f"the page of {student} takes too long"
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


def test_nothing_that_is_printed_steers_the_terminal(graded):
    printed, _, _ = graded
    assert "20/20 graded" in printed  # the name of a cell, as text
    assert "\x1b" not in printed


def test_the_grader_itself_stays_below_a_gigabyte(graded, record_property):
    _, peak, _ = graded
    record_property("measured", f"peak memory of the grader over the corpus: {peak / 2**20:.0f} MiB")
    assert peak < 2**30


# The same class by nbgrader's own command, and a part of it by formgrader's button.


@dataclass(frozen=True)
class Two:
    """What became of the whole class on two roads."""

    course_grade: Road
    nbgrader: Road
    rows: dict[str, dict[str, str]]
    not_run_yet: dict[str, bool]
    release_before: dict[str, bytes]
    exit_status: int
    marks: dict[str, Any]  # of course grade
    nbgrader_marks: dict[str, Any]


@pytest.fixture(scope="module")
def two(graded, scene, tmp_path_factory):
    """The class that `course grade` graded, graded by nbgrader's own commands."""
    _, _, rows = graded
    ours = Road(scene.course, tmp_path_factory.mktemp("home"))
    theirs = Road.begin(tmp_path_factory.mktemp("road"), seed=str(seed_of(scene.course, LESSON)))
    theirs.hand_in(CORPUS)
    hand_in_beside_the_corpus(theirs.course)
    theirs.take_results(ours, but=EXECUTED)
    not_run_yet = {student: not theirs.has_result(student) for student in EXECUTED}
    release_before = theirs.release()
    assert nbgrader(theirs, "generate_assignment", LESSON.name, "--force").wait(RUN_SECONDS) == 0
    status = nbgrader(theirs, "autograde", LESSON.name).wait(stretched(600))
    return Two(ours, theirs, rows, not_run_yet, release_before, status, ours.marks(), theirs.marks())


def points_of(rows):
    return sum(points for _, points, _ in rows)


def test_registering_a_lesson_touches_nothing_that_learners_get(two):
    assert two.nbgrader.release() == two.release_before


@pytest.mark.parametrize("student", EXECUTED)
def test_both_roads_ran_it_and_gave_what_it_deserves(student, two):
    deserved = {case.name: case.deserved for case in CASES} | {"0-perfect": MOST}
    assert two.not_run_yet[student]
    assert two.nbgrader.has_result(student)
    for marks in (two.marks, two.nbgrader_marks):
        assert points_of(marks[student]) == deserved[student]


def test_the_marks_that_are_compared_are_of_all_kinds(two):
    assert len({points_of(rows) for rows in two.marks.values()}) >= 6
    assert {"graded", "repaired", "unreadable", "limit hit"} <= {
        two.course_grade.facts(student)["status"] for student in two.marks
    }


@pytest.mark.parametrize("student", [name for name in CORPUS if name not in LEFT_BY_COURSE_GRADE])
def test_nbgrader_records_what_course_grade_records(student, two):
    assert two.nbgrader_marks[student] == two.marks[student]
    assert two.nbgrader.facts(student) == two.course_grade.facts(student)


def test_each_road_leaves_alone_what_it_says_and_records_all_others(two):
    everybody = {*CORPUS, *BESIDE_THE_CORPUS}
    spelled = {name.encode(errors="replace").decode(): name for name in everybody}  # as a table can hold it
    refused = {spelled[name] for name, row in two.rows.items() if row["status"] == "refused"}
    assert refused == set(LEFT_BY_COURSE_GRADE)
    assert set(two.marks) - set(MARKED) == everybody - set(LEFT_BY_COURSE_GRADE)
    assert set(two.nbgrader_marks) == everybody - set(LEFT_BY_NBGRADER)


def test_a_link_to_a_classmates_folder_earns_nothing_on_either_road(two):
    for student in LINKS:
        assert points_of(two.nbgrader_marks[student]) == 0
        assert two.nbgrader.facts(student)["status"] == "unreadable"
        assert "link" in two.nbgrader.facts(student)["reasons"][0]


def test_nbgrader_says_what_it_could_not_grade_and_why(two):
    assert two.exit_status == 1  # for the name that is no text
    log = (two.nbgrader.home / "nbgrader.log").read_text(errors="replace")
    assert "the name of its folder for a pattern" in log
    assert "UnicodeEncodeError" in log
    for student in NO_NOTEBOOK:
        assert f"No notebooks were matched by '{two.nbgrader.course.hand_in(LESSON, student)}/*.ipynb'" in log


@pytest.fixture(scope="module")
def server(two, tmp_path_factory):
    """A Jupyter server with formgrader, before a part of the class, registered by formgrader's own button."""
    road = Road.begin(tmp_path_factory.mktemp("road"), seed=str(seed_of(two.nbgrader.course, LESSON)))
    road.hand_in([*BUTTON, CLICKED, "no-file", "folder-of-a-classmate"])
    road.take_results(two.nbgrader, but=EXECUTED)
    before = road.release()
    with formgrader(road) as server:
        assert server.ask(f"assignment/{LESSON.name}/assign", "POST")["success"]
        assert road.release() == before
        yield server


def test_formgrader_lists_the_class_whatever_lies_beside_the_notebooks(server):
    listed = {row["student"]: row["timestamp"] for row in server.ask(f"submissions/{LESSON.name}")}
    assert listed == dict.fromkeys([*BUTTON, CLICKED, "no-file", "folder-of-a-classmate"])


@pytest.mark.parametrize("student", BUTTON)
def test_formgraders_button_records_what_course_grade_records(student, server, two):
    answer = server.autograde(student)
    assert answer["success"], answer
    assert server.road.marks()[student] == two.marks[student]
    assert server.road.facts(student) == two.course_grade.facts(student)


def test_formgraders_button_harms_nobody_where_there_is_nothing_to_grade(server):
    before = server.road.marks()
    answer = server.autograde("no-file")
    assert not answer["success"]
    assert "No notebooks were matched" in answer["log"]
    assert server.road.marks() == before


def test_formgraders_button_gives_nothing_for_the_folder_of_a_classmate(server, two):
    before = server.road.marks()
    assert server.autograde("folder-of-a-classmate")["success"]
    assert server.road.marks() == before | {
        "folder-of-a-classmate": two.nbgrader_marks["folder-of-a-classmate"],
    }
    assert server.road.facts("folder-of-a-classmate") == two.nbgrader.facts("folder-of-a-classmate")


@pytest.mark.browser
def test_the_button_in_a_browser_shows_the_score_that_is_deserved(server, two):
    """Opens Manage Submissions, clicks the lightning of one student and waits for the score."""
    with chromium() as browser:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(f"{server.address}/?token={TOKEN}")  # as an instructor logs in
        page.goto(f"{server.address}/formgrader/manage_submissions/{LESSON.name}")
        row = page.locator("tr").filter(has=page.locator(".student-id", has_text=CLICKED))
        expect(row.locator(".status")).to_have_text("needs autograding", timeout=START_SECONDS * 1000)
        row.locator(".autograde a").click()
        try:
            expect(row.locator(".score")).to_have_text(f"4 / {MOST:g}", timeout=RUN_SECONDS * 1000)
            expect(row.locator(".status")).to_have_text("graded")
            expect(page.locator("#success-modal")).to_contain_text(f"Successfully autograded '{LESSON.name}'")
            page.get_by_role("button", name="OK").click()
            expect(page.locator(".modal-backdrop")).to_have_count(0)
        finally:
            ARTIFACTS.mkdir(exist_ok=True)
            page.screenshot(path=ARTIFACTS / "formgrader-autograde.png")
    assert server.road.marks()[CLICKED] == two.marks[CLICKED]
    assert server.road.facts(CLICKED) == two.course_grade.facts(CLICKED)
