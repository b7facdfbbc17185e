"""The cells of one hand-in, run in as many kernels as it takes: one that ends its kernel costs itself alone."""

import json
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from course_lib.exercises.evidence import MIME
from course_lib.grading.kernel import CellRun, SandboxedKernel
from course_lib.grading.sandbox import Limits, Sandbox
from course_lib.grading.submission import Cell
from course_lib.grading.unsafe import NoSandbox

__all__ = ["MAX_RESTARTS", "run_cells"]

# The modules that look at an answer are loaded anew: what the student's code did to them before is gone.
INJECT = """check = (lambda modules: (
    [modules.pop(name) for name in list(modules) if name.partition(".")[0] == "course_lib"],
    __import__("course_lib.checking", fromlist=["x"]).evidence_check({exercise!r}, {seed}, {token!r}),
)[1])(__import__("sys").modules)"""
# The first use of the device imports 800 modules. exit() ends a kernel a moment after its cell: here it ends nothing.
WARM_UP = """import torch
torch.set_num_threads(1)
torch.ones(2, 2, device="meta").tril()
get_ipython().unobserve_all("exit_now")
del torch"""
WAIT = "__import__('time').sleep({seconds})"
# What can end, fill or stop a kernel when its cell has long ended: threads, timers, processes, hooks.
LATER = re.compile(
    r"\b(thread\w*|timer\w*|concurrent|submit|alarm|setitimer|signal|call_(later|soon|at)\w*|create_task|ensure_future|"
    r"run_in_executor|popen|subprocess|multiprocessing|system|fork\w*|spawn\w*|kill\w*|dump_traceback_later|register|"
    r"atexit|finalize|__del__|kernel|loop|settrace|setprofile)\b|_thread|^\s*[%!]|=\s*!",
    re.IGNORECASE | re.MULTILINE,
)
LONGEST_WAIT = 10.0  # seconds on the clock, for what an earlier cell may have set off
NOT_RUN = "not run"  # status of what is left after too many deaths, or too long a time
MAX_RESTARTS = 8
MOST_SHOWN = 200_000  # characters of the outputs of one cell that are kept, and ten times as many of a notebook's
MOST_LINES, LONGEST_LINE = 100, 2_000  # of a traceback


def run_cells(
    cells: list[Cell], seed: int, limits: Limits, make: Callable[[], Sandbox | NoSandbox]
) -> list[dict[str, Any]]:
    """Run the cells in sandboxes of `make` and give for each its index, status, outputs, evidence and whether forged.

    A cell that ends its kernel (a crash, a loop, too much memory or output) is not run again: the kernel is started
    anew, the earlier cells are replayed without it, and the later ones get their turn. Where an earlier cell could have
    ended it by a thread, a timer or a process, the one that was running is innocent until it has been tried again, and
    the replay waits behind each suspect.
    """
    return _HandIn(cells, seed, limits, make).run()


class _HandIn:
    def __init__(
        self, cells: list[Cell], seed: int, limits: Limits, make: Callable[[], Sandbox | NoSandbox]
    ) -> None:
        self.cells, self.seed, self.limits, self.make = cells, seed, limits, make
        self.deadline = time.monotonic() + limits.patience * limits.notebook_seconds
        self.left = limits.notebook_seconds  # of processor time, before the kernel that now runs
        self.room = 10 * MOST_SHOWN
        self.deaths = 0
        self.again: set[int] = set()  # places of the cells that are being tried again
        self.waits: dict[int, float] = {}  # seconds to wait behind a suspect, by its place
        self.results: list[dict[str, Any]] = []

    def run(self) -> list[dict[str, Any]]:
        while len(self.results) < len(self.cells) and self.deaths <= MAX_RESTARTS and self._seconds_left() > 0:
            with SandboxedKernel(sandbox=self.make()) as kernel:
                kernel.execute(WARM_UP, seconds=self.limits.start_seconds)  # on a busy machine, no student's time
                began: dict[int, float] = {}
                if self._replay(kernel, began):
                    self._go_on(kernel, began)
            self.left -= kernel.worked
        return self.results + [_result(cell, NOT_RUN, []) for cell in self.cells[len(self.results) :]]

    def _seconds_left(self) -> float:
        return min(self.left, self.deadline - time.monotonic())

    def _replay(self, kernel: SandboxedKernel, began: dict[int, float]) -> bool:
        """Bring a new kernel to where the last one ended; False if it did not live to see it."""
        for place, done in enumerate(self.results):
            if done["status"] not in ("ok", "error") or self.cells[place].exercise is not None:
                continue  # a grade cell has given its evidence
            began[place] = time.monotonic()
            run = self._execute(kernel, self.cells[place].source)
            if kernel.alive and place in self.waits:
                run = kernel.execute(WAIT.format(seconds=self.waits[place]))
                if run.status == "error":  # it was interrupted
                    kernel.kill("died")
            if not kernel.alive:
                done["status"] = run.status if run.kernel_lost else "died"
                self.deaths += 1
                self.again.discard(len(self.results))
                return False
        self.waits = {}
        return True

    def _go_on(self, kernel: SandboxedKernel, began: dict[int, float]) -> None:
        """Run the cells that have not been run yet, while the kernel lives."""
        while kernel.alive and (place := len(self.results)) < len(self.cells):
            began[place] = time.monotonic()
            done = self._run(kernel, self.cells[place])
            if (not kernel.alive or _is_interrupted(done)) and place not in self.again:
                suspects = [n for n in began if n < place and LATER.search(self.cells[n].source)]
                if suspects:
                    self.again.add(place)
                    self.waits = {n: min(1.5 * (time.monotonic() - began[n]) + 0.5, LONGEST_WAIT) for n in suspects}
                    return
            self.deaths += not kernel.alive
            done["outputs"] = _shortened(done["outputs"], min(MOST_SHOWN, self.room))
            self.room -= len(json.dumps(done["outputs"]))
            self.results.append(done)

    def _run(self, kernel: SandboxedKernel, cell: Cell) -> dict[str, Any]:
        token = secrets.token_hex(8)
        if cell.exercise is not None:
            injected = self._execute(kernel, INJECT.format(exercise=cell.exercise, seed=self.seed, token=token))
            if not kernel.alive:
                return _result(cell, injected.status, [])
        # An earlier one ran out of time, and the same function may be called again.
        hurry = cell.exercise is None and any(done["status"] == "timeout" for done in self.results)
        run = self._execute(kernel, cell.source, hurry)
        return _result(cell, run.status, run.outputs, token)

    def _execute(self, kernel: SandboxedKernel, source: str, hurry: bool = False) -> CellRun:
        most = self.limits.later_seconds if hurry else self.limits.cell_seconds
        clock = min(self.limits.patience * most, self.deadline - time.monotonic())
        return kernel.execute(source, seconds=min(most, self.left - kernel.worked), clock=max(0.0, clock))


def _is_interrupted(done: dict[str, Any]) -> bool:
    """Whether a cell was interrupted, which nobody does here but the student's own code."""
    return any(output.get("ename") == "KeyboardInterrupt" for output in done["outputs"])


def _shortened(outputs: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The outputs as far as `most` characters of JSON go: what is kept lies in memory, on disk and in a page."""
    kept = []
    for output in outputs:
        if output["output_type"] == "error":  # its last lines say what it was; its name and message are judged by
            lines = [line[:LONGEST_LINE] for line in output["traceback"][-MOST_LINES:]]
            short = {name: output[name][:LONGEST_LINE] for name in ("ename", "evalue")}
            output = output | short | {"traceback": lines if len(json.dumps(lines)) <= most else []}
        elif len(json.dumps(output)) > most:
            text = output.get("text", "")[: max(most, 0)] + "\n[cut off here]\n"
            output = {"output_type": "stream", "name": output.get("name", "stdout"), "text": text}
            most = 0
        most -= len(json.dumps(output))
        kept.append(output)
        if most < 0:
            break
    return kept


def _result(cell: Cell, status: str, outputs: list[dict[str, Any]], token: str = "") -> dict[str, Any]:
    """Write down what a cell gave; evidence leaves the outputs, and counts only alone, marked and from a grade cell."""
    evidence = {name: data for output in outputs for name, data in output.get("data", {}).items() if MIME in name}
    kept = [output for output in outputs if not any(MIME in name for name in output.get("data", {}))]
    mine = evidence.get(f"{MIME}.{token}+json")
    alone = len(outputs) - len(kept) == len(evidence) == 1 and cell.exercise is not None
    return {
        "index": cell.index,
        "status": status,
        "outputs": kept,
        "evidence": mine if alone else None,
        "forged": bool(evidence) and not (alone and mine is not None),
    }
