"""One hand-in after the other, damaged, hostile, renewed, marked by hand: each is graded or named, none is lost."""

import csv
import json
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Gradebook

from course_lib import exercises
from course_lib.cli import main
from course_lib.grading.grader import grade, refusal
from course_lib.grading.submission import OURS
from tests.classroom import LESSON, answered, autograded, make_course, released, rows_of, solved, submit
from tests.clock import passes_within

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("bubblewrap"), pytest.mark.timeout(300)]

EXERCISES = exercises.lesson(LESSON.number)
MOST = sum(exercise.points for exercise in EXERCISES)


class Counting(ThreadPoolExecutor):
    """Counts what it is given."""

    def __init__(self):
        super().__init__(2)
        self.counter = count()
        self.given = 0

    def submit(self, *arguments, **keywords) -> Future:
        self.given = next(self.counter) + 1
        return super().submit(*arguments, **keywords)


def test_damaged_hand_ins_are_graded_or_named_and_hide_nobody_else(tmp_path):
    course = make_course(tmp_path)
    submit(course, "ada", solved())
    submit(course, "copy-of-ada", solved())
    submit(course, "broken", "{")
    without = solved()
    without.cells = [cell for cell in without.cells if cell.id != "create-causal-mask-check"]
    submit(course, "deleted", without)
    submit(course, "renamed", solved()).rename(tmp_path / "grading/submitted/renamed/01_causal_mask/mine.ipynb")
    link = submit(course, "link", solved())
    link.unlink()
    link.symlink_to(tmp_path / "grading/gradebook.db")
    with Counting() as pool:
        outcomes = {outcome.student: outcome for outcome in grade(course, LESSON, pool)}
    assert pool.given == 1  # equal code is executed once; the cell that was deleted is back
    assert (outcomes["ada"].status, outcomes["ada"].points) == ("graded", MOST)
    assert (outcomes["copy-of-ada"].status, outcomes["copy-of-ada"].points) == ("graded", MOST)
    assert (outcomes["deleted"].status, outcomes["deleted"].points) == ("repaired", MOST)
    assert (outcomes["broken"].status, outcomes["broken"].points) == ("unreadable", 0)
    assert "it is damaged, for it is no JSON" in outcomes["broken"].reason
    assert (outcomes["renamed"].status, outcomes["renamed"].points) == ("repaired", MOST)
    assert outcomes["renamed"].reason == "the file was called 'mine.ipynb'"
    assert (outcomes["link"].status, outcomes["link"].points) == ("unreadable", 0)
    assert "is a symbolic link: ask for the file itself" in outcomes["link"].reason
    assert b"SQLite" not in b"".join(path.read_bytes() for path in (course.grading / "autograded").rglob("link/*/*"))


class Failing(ThreadPoolExecutor):
    """A sandbox that does not start for the first submission."""

    def submit(self, function, job) -> Future:
        self.count = getattr(self, "count", 0) + 1
        return super().submit((lambda job: 1 / 0) if self.count == 1 else function, job)


def test_a_run_that_fails_costs_nobody_else_the_grade_and_is_made_up_for(tmp_path):
    course = make_course(tmp_path)
    submit(course, "ada", solved())
    submit(course, "bob", released())
    with Failing(1) as pool:
        first = {outcome.student: outcome for outcome in grade(course, LESSON, pool)}
    assert (first["ada"].status, first["bob"].status) == ("failed", "graded")
    assert "division by zero" in first["ada"].reason
    with ThreadPoolExecutor(1) as pool:
        again = {outcome.student: outcome for outcome in grade(course, LESSON, pool)}
    assert (again["ada"].status, again["ada"].points, again["bob"].unchanged) == ("graded", MOST, True)


def test_a_course_without_solutions_grades_too(tmp_path):
    course = make_course(tmp_path)
    shutil.rmtree(course.solutions)
    given = LESSON.file(course.notebooks).read_bytes()
    submit(course, "ada", solved())
    with ThreadPoolExecutor(1) as pool:
        (outcome,) = grade(course, LESSON, pool)
    assert (outcome.status, outcome.points) == ("graded", MOST)
    assert LESSON.file(course.notebooks).read_bytes() == given


def test_files_beside_the_notebook_change_neither_the_course_nor_the_questions(tmp_path):
    course = make_course(tmp_path)
    unsolved = released()
    unsolved.metadata[OURS] = {}
    folder = submit(course, "mallory", unsolved).parent
    shutil.copy(course.root / "nbgrader_config.py", folder)
    shutil.copytree(course.notebooks, folder / "notebooks")
    for name in ("seeds", "store"):
        (folder / "grading" / name).mkdir(parents=True)
    (folder / "grading" / "seeds" / LESSON.name).write_text("1")
    with ThreadPoolExecutor(1) as pool:
        (outcome,) = grade(course, LESSON, pool)
    assert (outcome.status, outcome.points) == ("graded", 0)
    assert not list((course.grading / "autograded").rglob("store/*/*"))


def test_cells_that_the_compiler_refuses_cost_nothing(tmp_path):
    course = make_course(tmp_path)
    odd = solved()
    sources = ["def g():\n    n = 0\n    global n", "def g(a, a): pass", "x = " + "+".join(["1"] * 3000)]
    odd.cells += [new_code_cell(source, id=f"odd-{number}") for number, source in enumerate(sources)]
    odd.cells.append(new_code_cell("'\ud800'", id="half-a-surrogate-pair"))
    submit(course, "ada", odd)
    with ThreadPoolExecutor(1) as pool:
        (outcome,) = grade(course, LESSON, pool)
    assert (outcome.status, outcome.points, outcome.reason) == ("graded", MOST, "")


def test_a_resubmission_and_a_restored_gradebook_are_graded_anew(tmp_path):
    course = make_course(tmp_path)
    submit(course, "ada", released())
    with ThreadPoolExecutor(1) as pool:
        assert [o.points for o in grade(course, LESSON, pool)] == [0]
        shutil.copy(course.grading / "gradebook.db", tmp_path / "backup.db")
        submit(course, "ada", solved())
        assert [o.points for o in grade(course, LESSON, pool)] == [MOST]
        shutil.copy(tmp_path / "backup.db", course.grading / "gradebook.db")
        assert [(o.status, o.points) for o in grade(course, LESSON, pool)] == [("graded", MOST)]
        talking = solved()
        talking.cells.append(new_markdown_cell("One more thought.", id="thought"))
        submit(course, "ada", talking)
        assert [(o.status, o.points) for o in grade(course, LESSON, pool)] == [("graded", MOST)]
    assert "One more thought." in json.dumps(autograded(course, "ada"))


def test_marks_given_by_hand_stay_and_are_named(tmp_path):
    course = make_course(tmp_path)
    submit(course, "ada", released())
    with ThreadPoolExecutor(1) as pool:
        grade(course, LESSON, pool)
        with Gradebook(f"sqlite:///{course.grading}/gradebook.db") as gradebook:
            gradebook.find_grade("combine-masks-check", "causal_mask", LESSON.name, "ada").manual_score = 2.5
            gradebook.db.commit()
        submit(course, "ada", solved())
        (outcome,) = grade(course, LESSON, pool)
    assert (outcome.status, outcome.points) == ("graded by hand", MOST - 3 + 2.5)
    assert outcome.reason == "marks given by hand stay: combine-masks-check: 2.5"


def test_again_runs_what_was_run_before(tmp_path):
    course = make_course(tmp_path)
    submit(course, "ada", released())
    with Counting() as pool:
        grade(course, LESSON, pool)
        grade(course, LESSON, pool)
        assert pool.given == 1
        (outcome,) = grade(course, LESSON, pool, again=True)
    assert (pool.given, outcome.status) == (2, "graded")


def test_an_interrupted_run_begins_nothing_more_and_keeps_what_it_has(tmp_path):
    course = make_course(tmp_path)
    for number in range(4):
        notebook = released()
        notebook.cells.append(new_code_cell(f"{number}", id="number"))
        submit(course, f"student-{number}", notebook)

    def interrupt(stage, done, total):
        if (stage, done) == ("running", 1):
            raise KeyboardInterrupt

    with Counting() as pool, pytest.raises(KeyboardInterrupt):
        grade(course, LESSON, pool, progress=interrupt)
    stored = len(list((course.executions).rglob("*.json")))
    assert stored == 1
    with Counting() as pool:
        assert {outcome.status for outcome in grade(course, LESSON, pool)} == {"graded"}
    assert pool.given == 3


@pytest.mark.parametrize("name", ["*", "a[b]", "a\nb", "?", "x" * 121])
def test_a_folder_that_nbgrader_takes_for_a_pattern_is_refused(tmp_path, name):
    course = make_course(tmp_path)
    submit(course, name, solved())
    assert "rename the folder" in refusal(course, LESSON, name)


@pytest.mark.parametrize("name", ["Ada Lovelace", "o'neill", "-x", "zoë", "a.b@c.d", "李", "x,y"])
def test_a_name_that_people_have_is_graded(tmp_path, name):
    course = make_course(tmp_path)
    submit(course, name, solved())
    assert refusal(course, LESSON, name) == ""


def test_a_hand_in_that_is_no_notebook_is_refused_with_what_to_do(tmp_path):
    course = make_course(tmp_path)
    folder = course.grading / "submitted"
    (folder / "empty" / LESSON.name).mkdir(parents=True)
    (folder / "file").mkdir()
    (folder / "file" / LESSON.name).write_text("")
    submit(course, "zip", "PK").rename(folder / "zip" / LESSON.name / "work.zip")
    submit(course, "ada", solved())
    (folder / "link").mkdir()
    (folder / "link" / LESSON.name).symlink_to(folder / "ada" / LESSON.name)
    (folder / "eve").symlink_to(folder / "ada")
    assert refusal(course, LESSON, "empty") == "there is no notebook in the folder: ask for the notebook itself"
    assert "only work.zip: ask for the notebook" in refusal(course, LESSON, "zip")
    assert "is not a folder" in refusal(course, LESSON, "file")
    assert "symbolic link" in refusal(course, LESSON, "link")
    assert "symbolic link" in refusal(course, LESSON, "eve")
    assert course.handed_in(LESSON) == ["ada", "empty", "eve", "file", "link", "zip"]


def test_a_time_of_hand_in_is_kept_and_nonsense_in_its_place_is_flagged(tmp_path):
    course = make_course(tmp_path)
    for name, text in {"ada": "2026-01-31 18:00:00 UTC\n", "bob": "yesterday evening", "eve": "\udcff"}.items():
        file = submit(course, name, released()).with_name("timestamp.txt")
        file.write_text(text, encoding="utf-8", errors="surrogateescape")
    os.mkfifo(submit(course, "pipe", released()).with_name("timestamp.txt"))
    with ThreadPoolExecutor(1) as pool:
        outcomes = {outcome.student: outcome for outcome in grade(course, LESSON, pool)}
    assert {outcome.status for outcome in outcomes.values()} == {"graded"}
    assert outcomes["ada"].flags == ()
    for name in ("bob", "eve", "pipe"):
        assert outcomes[name].flags == ("holds no time of hand-in, so lateness is unknown (timestamp.txt)",)
    with Gradebook(f"sqlite:///{course.grading}/gradebook.db") as gradebook:
        assert str(gradebook.find_submission(LESSON.name, "ada").timestamp) == "2026-01-31 18:00:00"
    kept = sorted(path.parts[-3] for path in (course.grading / "autograded").rglob("timestamp.txt"))
    assert kept == ["ada"]


def test_every_hand_in_has_a_line_in_the_summary_and_in_the_table(tmp_path, monkeypatch):
    course = make_course(tmp_path)
    submit(course, "ada", solved())
    submit(course, "=cmd", solved())
    (course.grading / "submitted" / "empty" / LESSON.name).mkdir(parents=True)
    curious = solved()
    curious.cells.append(new_code_cell("x = 1\nimport gc", id="mine"))
    submit(course, "-x", curious)
    monkeypatch.chdir(course.root)
    done = CliRunner().invoke(main, ["grade", "01", "--workers", "1"])
    assert done.exit_code == 1, done.output
    assert "4 hand-ins: 2 graded, 2 refused." in done.output
    assert "reaches into the interpreter (mine, line 2): import gc" in " ".join(done.output.split())
    with (course.grading / "summary" / f"{LESSON.name}.csv").open(newline="") as stream:
        rows = {row["student"]: row for row in csv.DictReader(stream)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "ada": "graded", "'-x": "graded", "empty": "refused", "'=cmd": "refused"
    }  # fmt: skip
    assert rows["'-x"]["flags"] == "reaches into the interpreter (mine, line 2): import gc"
    assert CliRunner().invoke(main, ["export"]).exit_code == 0
    with (course.root / "grades.csv").open(newline="") as stream:
        table = {row["student"]: (row["status"], row["points"], row["flags"]) for row in csv.DictReader(stream)}
    assert table == {
        "ada": ("graded", f"{MOST:.1f}", ""), "'-x": ("graded", f"{MOST:.1f}", "1"), "empty": ("refused", "0", ""),
        "'=cmd": ("refused", "0", ""),
    }  # fmt: skip


def test_feedback_is_written_for_everyone_and_shows_the_card(tmp_path, monkeypatch):
    course = make_course(tmp_path)
    submit(course, "ada", solved())
    wrong = "return torch.ones(1, 1, n, n, dtype=bool, device=device).triu()"
    submit(course, "bob", answered({"create-causal-mask": f"def create_causal_mask(n, device=None): {wrong}"}))
    with ThreadPoolExecutor(2) as pool:
        grade(course, LESSON, pool)
    monkeypatch.chdir(course.root)
    done = CliRunner().invoke(main, ["feedback", "01"])
    assert done.exit_code == 0, done.output
    pages = {path.parts[-3]: path.read_text() for path in (course.grading / "feedback").rglob("*.html")}
    assert set(pages) == {"ada", "bob"}
    assert "It looks like: transposed." in pages["bob"]
    assert "application/vnd.course" not in pages["ada"]


def test_a_lost_gradebook_is_filled_again_from_the_store(tmp_path):
    course = make_course(tmp_path)
    submit(course, "ada", solved())
    with Counting() as pool:
        grade(course, LESSON, pool)
        before = rows_of(course)
        (course.grading / "gradebook.db").unlink()
        grade(course, LESSON, pool)
    assert pool.given == 1
    assert rows_of(course) == before


def test_feedback_runs_nothing_that_a_student_wrote(tmp_path, monkeypatch):
    course = make_course(tmp_path)
    hostile = solved()
    text = "**kept** <img src=x onerror=alert(1)> <iframe srcdoc=x></iframe> <link href=//x> [go](javascript:alert(1))"
    hostile.cells.append(new_markdown_cell(text, id="mine"))
    submit(course, "eve", hostile)
    with ThreadPoolExecutor(1) as pool:
        grade(course, LESSON, pool)
    monkeypatch.chdir(course.root)
    done = CliRunner().invoke(main, ["feedback", "01"])
    assert done.exit_code == 0, done.output
    (page,) = (course.grading / "feedback").rglob("*.html")
    html = page.read_text()
    assert "<strong>kept</strong>" in html
    for trace in ("onerror", "<iframe", "href=//x", 'href="//x', "javascript:alert"):
        assert trace not in html


def test_feedback_for_one_who_left_the_gradebook_costs_nobody_else_theirs(tmp_path, monkeypatch):
    course = make_course(tmp_path)
    submit(course, "ada", released())
    submit(course, "zoe", released())
    with ThreadPoolExecutor(1) as pool:
        grade(course, LESSON, pool)
    shutil.rmtree(course.grading / "submitted" / "ada")
    (course.grading / "gradebook.db").unlink()
    with ThreadPoolExecutor(1) as pool:
        grade(course, LESSON, pool)
    monkeypatch.chdir(course.root)
    done = CliRunner().invoke(main, ["feedback", "01"])
    assert done.exit_code == 1
    assert "Wrote feedback for 1 of 2 students" in done.output
    assert "nbgrader could not write feedback for ada" in done.output
    assert len(list((course.grading / "feedback" / "zoe").rglob("*.html"))) == 1


def test_a_human_decides_where_the_checker_failed(tmp_path, monkeypatch):
    course = make_course(tmp_path)
    submit(course, "ada", solved())
    monkeypatch.setattr(type(EXERCISES[0].judge), "findings", lambda *a: 1 / 0)
    with ThreadPoolExecutor(1) as pool:
        (outcome,) = grade(course, LESSON, pool)
    assert outcome.status == "needs a human"
    scores = {row[2:] for row in rows_of(course)}
    assert scores == {(None, True)}


def test_progress_is_told_and_a_second_student_waits_for_no_first(tmp_path):
    course = make_course(tmp_path)
    submit(course, "ada", solved())
    submit(course, "bob", released())
    told = []
    with ThreadPoolExecutor(2) as pool, passes_within(50):
        grade(course, LESSON, pool, progress=lambda *stage: told.append(stage))
    running = [("running", 0, 2), ("running", 1, 2), ("running", 2, 2)]
    assert told == [*running, ("recording", 1, 2), ("recording", 2, 2)]


def test_without_a_sandbox_it_shouts_and_every_mark_says_so(tmp_path, monkeypatch):
    course = make_course(tmp_path)
    submit(course, "ada", solved())
    monkeypatch.chdir(course.root)
    monkeypatch.setattr("course_lib.grading.sandbox.self_test", lambda: 1 / 0)  # it would not hold here
    done = CliRunner().invoke(main, ["grade", "01", "--unsafe-no-sandbox"])
    assert done.exit_code == 0, done.output
    assert "WITHOUT A SANDBOX: what students wrote now runs as you." in done.output
    said = "was run without a sandbox (the whole notebook)"
    assert said in done.output
    assert autograded(course, "ada").metadata[OURS].flags == [said]
    assert sum(row[2] for row in rows_of(course)) == MOST
