"""A slow or busy machine takes longer, and gives the same marks."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

from course_lib.exercises.evidence import unpack
from course_lib.grading import pace as module
from course_lib.grading.build import build
from course_lib.grading.execution import execute, make_job
from course_lib.grading.pace import MOST, NOMINAL_SECONDS, Pace, pace
from course_lib.grading.sandbox import Limits
from course_lib.grading.submission import Cell
from tests.grading.test_execution import CAUSAL, CHECK, HEAD, RIGHT, SEED, SETUP

NEIGHBOUR = [sys.executable, "-I", "-S", "-c", "while True: pass"]
LIMITS = Limits(cell_seconds=3.0)
# An answer that works for 2 nominal seconds, however fast the processor is: once, for it is called many times.
WORK = f"for number in range({round(200_000 * 2 / NOMINAL_SECONDS)}): number * number % 7"
WORKING = RIGHT.replace(HEAD, f"worked = []\n{HEAD}    if not worked:\n        {WORK}\n    worked.append(1)\n")


@contextlib.contextmanager
def neighbours():
    """A busy process for each core; the pace is measured anew beside them."""
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count()):
            process = stack.enter_context(subprocess.Popen(NEIGHBOUR))
            stack.callback(process.kill)
        module._measured.cache_clear()
        stack.callback(module._measured.cache_clear)
        yield


@pytest.mark.sandbox
@pytest.mark.usefixtures("bubblewrap")
@pytest.mark.timeout(240)
def test_beside_busy_neighbours_the_marks_and_statuses_are_the_same():
    sources = [SETUP, WORKING, CHECK, "while True: pass", "import time\ntime.sleep(4)", CHECK]
    cells = [Cell(n, source, CAUSAL.id if source == CHECK else None) for n, source in enumerate(sources)]
    with neighbours():
        result = json.loads(execute(make_job(cells, SEED, LIMITS, build("01"))))
    found = [entry["status"] for entry in result["cells"]]
    assert found == ["ok", "ok", "ok", "timeout", "ok", "ok"]
    earned = [CAUSAL.decide(unpack(entry["evidence"]), SEED).points for entry in result["cells"] if entry["evidence"]]
    assert earned == [CAUSAL.points] * 2
    assert result["pace"]["clock"] >= result["pace"]["processor"] >= 1


def test_limits_on_time_are_stretched_and_nothing_else():
    limits = Limits(cell_seconds=7, patience=3, start_seconds=30)
    slow = limits.at(Pace(processor=2, clock=6))
    assert (slow.cell_seconds, slow.patience * slow.cell_seconds, slow.start_seconds) == (14, 7 * 3 * 6, 180)
    assert (slow.notebook_seconds, slow.cpu_seconds) == (2 * limits.notebook_seconds, 2 * limits.cpu_seconds)
    assert slow.memory_bytes == limits.memory_bytes
    assert limits.at(Pace()) == limits


@pytest.mark.parametrize(("rounds", "least", "most"), [(0, 1, 1), (4, 1.5, MOST), (300, MOST, MOST)])
def test_the_pace_is_measured_and_never_a_reason_for_shorter_limits(monkeypatch, rounds, least, most):
    work = module._round
    monkeypatch.setattr(module, "_round", lambda: [work() for _ in range(rounds)])
    monkeypatch.setattr(module, "ROUNDS", 1)
    module._measured.cache_clear()
    found = pace()
    module._measured.cache_clear()
    assert least <= found.processor <= found.clock <= most


def test_a_grader_that_runs_for_long_looks_again(monkeypatch):
    times = iter([0.0, 1.0, module.LAPSE + 1.0])
    taken = []
    monkeypatch.setattr(module, "_round", lambda: taken.append(1))
    module._measured.cache_clear()
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times))
    for _ in range(3):
        pace()
    module._measured.cache_clear()
    assert len(taken) == 2 * module.ROUNDS
