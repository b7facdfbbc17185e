"""A job runs in the sandbox and gives evidence, whatever its cells do; one that kills its kernel costs itself only."""

import json
import tempfile

import pytest

from course_lib import exercises
from course_lib.exercises.evidence import unpack
from course_lib.grading.build import build
from course_lib.grading.cells import LONGEST_LINE, MAX_RESTARTS, MOST_LINES, _shortened
from course_lib.grading.execution import execute, make_job
from course_lib.grading.pace import pace
from course_lib.grading.sandbox import Limits
from course_lib.grading.submission import Cell
from tests.clock import passes_within
from tests.grading.conftest import running

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("bubblewrap")]

CAUSAL = exercises.get("01.create_causal_mask")
SETUP = "import torch\nfrom course_lib.checking import check, hint"
HEAD = "def create_causal_mask(n, device=None):\n"
RIGHT = HEAD + "    return torch.ones(1, 1, n, n, dtype=torch.bool, device=device).tril()"
CHECK = 'check("01.create_causal_mask", create_causal_mask)'
SEED = 5


def run(*sources, **limits):
    """Run cells (those that call `check` as grade cells) and give status and evidence of each."""
    cells = [
        Cell(index, source, CAUSAL.id if source == CHECK else None) for index, source in enumerate(sources)
    ]
    result = execute(make_job(cells, SEED, Limits(**{"cell_seconds": 6.0} | limits), build("01")))
    return json.loads(result)["cells"]


def earned(entry):
    return CAUSAL.decide(unpack(entry["evidence"]), SEED).points if entry["evidence"] else None


def test_a_right_answer_gives_evidence_that_earns_its_points():
    *_, last = run(SETUP, RIGHT, CHECK)
    assert last["status"] == "ok"
    assert last["outputs"] == []
    assert earned(last) == CAUSAL.points


def test_equal_jobs_are_equal_bytes_and_every_part_counts():
    cells, library = [Cell(0, "1")], build("01")
    job = make_job(cells, 1, Limits(), library)
    assert job == make_job([Cell(0, "1")], 1, Limits(), library)
    others = [
        make_job([Cell(0, "2")], 1, Limits(), library),
        make_job(cells, 2, Limits(), library),
        make_job(cells, 1, Limits(cell_seconds=1), library),
        make_job(cells, 1, Limits(), library + b" "),
    ]
    assert len({job, *others}) == 5


def test_the_cases_come_from_the_seed_not_from_the_notebook():
    *_, last = run(SETUP, RIGHT, CHECK)
    assert not CAUSAL.decide(unpack(last["evidence"]), SEED + 1).passed


@pytest.mark.parametrize(
    ("killer", "status"),
    [
        ("while True:\n    pass", "timeout"),
        ("while True:\n    try:\n        while True: pass\n    except BaseException: pass", "timeout"),
        ("import os\nos._exit(0)", "died"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "died"),
        # Flushed: what waits in the kernel for its next flush is memory, and that limit may be hit first.
        ("while True:\n    print('x' * 100_000, flush=True)", "flooded"),
    ],
)
def test_a_cell_that_ends_its_kernel_costs_itself_only(killer, status):
    patience = 6 if status == "timeout" else 40  # on a busy machine even a flood takes its time
    _, _, _, killed, last = run(SETUP, RIGHT, "kept = 3", killer, CHECK, cell_seconds=patience)
    assert killed["status"] == status
    assert earned(last) == CAUSAL.points


def test_a_loop_in_the_answer_costs_its_own_exercise_only():
    loop = HEAD + "    while True: pass"
    _, _, first, _, second = run(SETUP, loop, CHECK, RIGHT, CHECK)
    assert (first["status"], first["evidence"]) == ("timeout", None)
    assert earned(second) == CAUSAL.points


def test_what_was_defined_before_a_death_is_there_after_it_and_ran_once_more():
    entries = run("n = 1", "import os", "os._exit(0)", "print(n)")
    assert entries[-1]["outputs"][0]["text"] == "1\n"


def test_a_cell_that_kills_its_kernel_only_when_replayed_is_left_out_too():
    again = "from pathlib import Path\nimport os, time\nstarted = time.time()\nif globals().get('second'): os._exit(0)"
    entries = run("second = True", "import os\nos._exit(0)", "x = 1", again, "print('end')")
    assert [entry["status"] for entry in entries] == ["ok", "died", "ok", "died", "ok"]
    assert entries[-1]["outputs"][0]["text"] == "end\n"


EXITS = {
    "exit": "print('done')\nif True: exit()",
    "ask_exit": "get_ipython().ask_exit()",
}
LATER = {
    "timer": "import os, threading\nthreading.Timer(0.3, lambda: os._exit(0)).start()",
    "alarm": "import signal\nsignal.alarm(1)",
    "interrupt": (
        "import os, signal, threading\nthreading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()"
    ),
    "flood": "import threading\nthreading.Thread(target=lambda: [print('x' * 10**5) for _ in iter(int, 1)]).start()",
}


@pytest.mark.parametrize("killer", [*EXITS.values(), *LATER.values()], ids=[*EXITS, *LATER])
def test_a_cell_that_ends_its_kernel_when_it_is_over_costs_itself_only(killer):
    """An answer cell between them takes long enough for it to happen there; the check behind it is charged nothing."""
    slow = f"{RIGHT}\nimport time\ntime.sleep(0.8)"
    _, asked, answer, _, last = run(SETUP, killer, slow, "time.sleep(0.8)", CHECK)
    assert asked["status"] in (["ok"] if killer in EXITS.values() else ["died", "flooded"])
    assert answer["status"] == "ok"
    assert earned(last) == CAUSAL.points


def test_a_check_that_an_earlier_answer_ends_is_tried_again():
    timer = HEAD + "    import threading; threading.Timer(0.5, os._exit, (0,)).start()\n    time.sleep(0.1)\n"
    _, _, first, _, second = run(f"{SETUP}\nimport os, time", timer, CHECK, RIGHT + "\ntime.sleep(1)", CHECK)
    assert (first["status"], earned(first)) == ("died", None)
    assert earned(second) == CAUSAL.points


def test_too_many_deaths_end_the_run_and_say_so():
    entries = run(*["import os\nos._exit(0)"] * (MAX_RESTARTS + 3))
    assert [entry["status"] for entry in entries] == ["died"] * (MAX_RESTARTS + 1) + ["not run"] * 2


SLOW = {"sleeps": f"import time\ntime.sleep({2 * pace().clock})", "works": "sum(range(10**8))"}


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_a_notebook_that_is_slow_as_a_whole_is_stopped(slow):
    with passes_within(8):
        entries = run(*[slow] * 9, notebook_seconds=7.0, patience=1.5)
    assert entries[0]["status"] == "ok"
    assert entries[-1]["status"] in ("timeout", "not run")


def test_an_error_in_one_cell_does_not_stop_the_next():
    _, _, broken, last = run(SETUP, RIGHT, "1 / 0", CHECK)
    assert broken["outputs"][0]["ename"] == "ZeroDivisionError"
    assert earned(last) == CAUSAL.points


def test_noise_on_stderr_costs_nothing():
    noise = "    import warnings, sys; warnings.warn('w'); print('e', file=sys.stderr)\n"
    noisy = RIGHT.replace(HEAD, HEAD + noise)
    *_, last = run(SETUP, noisy, CHECK)
    assert earned(last) == CAUSAL.points


def test_evidence_counts_only_from_its_grade_cell_and_alone():
    forge = (
        "from course_lib.checking import evidence_check as e\ndef right(n, device=None):\n"
        "    return torch.ones(1, 1, n, n, dtype=torch.bool, device=device).tril()\n"
    )
    outside = forge + "e('01.create_causal_mask', 5, 'guess')('', right)\ncreate_causal_mask = None"
    twice = forge + HEAD + "    e('01.create_causal_mask', 5, 'guess')('', right)\n    return 0"
    _, cell, graded = run(SETUP, outside, CHECK)
    assert cell["evidence"] is None
    assert cell["outputs"] == []
    assert earned(graded) == 0
    *_, doubled = run(SETUP, twice, CHECK)
    assert doubled["evidence"] is None


def test_the_students_own_check_is_not_the_one_that_runs():
    *_, last = run(SETUP, RIGHT, "def check(*a): raise SystemExit", CHECK)
    assert earned(last) == CAUSAL.points


@pytest.mark.parametrize("name", ["judging", "exercise", "lesson01.bank", "card"])
def test_the_judge_cannot_be_imported_in_the_sandbox(name):
    (entry,) = run(f"import course_lib.exercises.{name}")
    assert entry["outputs"][0]["ename"] == "ModuleNotFoundError"


def test_calling_the_reference_earns_nothing():
    *_, last = run(SETUP, "from course_lib.masks import create_causal_mask", CHECK)
    assert earned(last) == 0


def test_without_a_sandbox_the_same_job_gives_the_same_evidence_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cells = [Cell(0, SETUP), Cell(1, RIGHT), Cell(2, CHECK, CAUSAL.id), Cell(3, "import os\nos._exit(0)"), Cell(4, "1")]
    job = make_job(cells, SEED, Limits(), build("01"), sandboxed=False)
    entries = json.loads(execute(job))["cells"]
    assert earned(entries[2]) == CAUSAL.points
    assert [entry["status"] for entry in entries] == ["ok", "ok", "ok", "died", "ok"]
    assert not list(tmp_path.glob("course-*"))
    assert job != make_job(cells, SEED, Limits(), build("01"))


def test_without_a_sandbox_a_loop_and_what_it_started_still_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mark = "outlives-no-sandbox"
    start = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', '{mark}'])"
    job = make_job([Cell(0, start), Cell(1, "while True: pass")], SEED, Limits(cell_seconds=3), build("01"), False)
    entries = json.loads(execute(job))["cells"]
    assert [entry["status"] for entry in entries] == ["ok", "timeout"]
    assert not running(mark)


def test_outputs_are_kept_as_far_as_there_is_room_and_an_error_keeps_its_name():
    text = {"output_type": "stream", "name": "stdout", "text": "x" * 1000}
    error = {"output_type": "error", "ename": "KeyError", "evalue": "e" * 9000, "traceback": ["t" * 1000] * 500}
    assert _shortened([text], 2000) == [text]
    (cut,) = _shortened([text, text], 100)
    assert cut["text"] == "x" * 100 + "\n[cut off here]\n"
    (kept,) = _shortened([error], 10**6)
    assert (len(kept["evalue"]), len(kept["traceback"])) == (LONGEST_LINE, MOST_LINES)
    for room in (100, 0, -5):
        (kept,) = _shortened([error, error], room)
        assert (kept["ename"], kept["traceback"]) == ("KeyError", [])
