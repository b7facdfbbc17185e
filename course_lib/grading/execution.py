"""Execution: a pure function from the bytes of a job to the bytes of a result, run in the sandbox.

A job is everything the result depends on: the cells, the lesson, the seed, the limits, the grading build and the
versions of what runs it. Only bytes travel, so any concurrent.futures executor can fill the store.
"""

import base64
import contextlib
import json
import platform
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import ipykernel
import torch

from course_lib.exercises.evidence import MIME
from course_lib.grading.build import unpack
from course_lib.grading.kernel import CellRun, SandboxedKernel
from course_lib.grading.sandbox import Limits, Sandbox
from course_lib.grading.submission import Cell
from course_lib.grading.unsafe import NoSandbox

__all__ = ["execute", "make_job", "sweep"]

# The modules that look at an answer are loaded anew: what the student's code did to them before is gone.
INJECT = """check = (lambda modules: (
    [modules.pop(name) for name in list(modules) if name.partition(".")[0] == "course_lib"],
    __import__("course_lib.checking", fromlist=["x"]).evidence_check({exercise!r}, {seed}, {token!r}),
)[1])(__import__("sys").modules)"""
WARM_UP = """import torch
torch.set_num_threads(1)
torch.ones(2, 2, device="meta").tril()  # the first use of this device imports 800 modules
del torch"""
SCRATCH = "course-library-"
NOT_RUN = "not run"  # status of what is left after too many deaths, or too long a time
MAX_RESTARTS = 8
MOST_SHOWN = 200_000  # characters of the outputs of one cell that are kept, and ten times as many of a notebook's
MOST_LINES, LONGEST_LINE = 100, 2_000  # of a traceback


def make_job(cells: list[Cell], seed: int, limits: Limits, library: bytes, sandboxed: bool = True) -> bytes:
    """Write a job: equal jobs are equal bytes.

    seed: of the cases of every exercise. library: the grading build, a zip file. sandboxed: False runs it as an
    ordinary program, for code one has written oneself.
    """
    job = {
        "cells": [asdict(cell) for cell in cells],
        "seed": seed,
        "limits": asdict(limits),
        "sandboxed": sandboxed,
        "library": base64.b64encode(library).decode("ascii"),
        "versions": [platform.python_version(), torch.__version__, ipykernel.__version__],
    }
    return json.dumps(job, sort_keys=True).encode()


def execute(job: bytes) -> bytes:
    """Run a job in the sandbox and give its result in JSON.

    It is {"cells": [{"index", "status", "outputs", "evidence", "forged"}]}; forged: evidence came that does not count.
    A cell that ends its kernel (a crash, a loop, too much memory or output) is not run again: the kernel is started
    anew, the earlier cells are replayed without it, and the later ones get their turn.
    """
    facts = json.loads(job)
    cells = [Cell(**cell) for cell in facts["cells"]]
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        library = Path(folder)
        library.chmod(0o755)  # another user reads it
        unpack(base64.b64decode(facts["library"]), library)
        make = Sandbox if facts["sandboxed"] else NoSandbox
        limits = Limits(**facts["limits"])
        return json.dumps({"cells": _run(cells, facts["seed"], limits, partial(make, library, limits))}).encode()


def sweep() -> None:
    """Remove what runs that were killed left behind: libraries that are older than any run can be."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > 3600:
                shutil.rmtree(folder)


def _run(cells: list[Cell], seed: int, limits: Limits, make: Callable[[], Sandbox | NoSandbox]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    deadline, left = time.monotonic() + limits.notebook_seconds, 10 * MOST_SHOWN
    for _ in range(MAX_RESTARTS + 1):
        if len(results) == len(cells) or time.monotonic() > deadline:
            break
        with SandboxedKernel(sandbox=make()) as kernel:
            kernel.execute(WARM_UP, seconds=limits.start_seconds)  # on a busy machine, no student's time
            for position in _worth_replaying(cells, results):
                run = _run_code(kernel, cells[position].source, limits, deadline)
                if not kernel.alive:
                    results[position]["status"] = run.status
                    break
            while kernel.alive and len(results) < len(cells):
                lost = any(earlier["status"] == "timeout" for earlier in results)
                done = _run_cell(kernel, cells[len(results)], seed, limits, deadline, lost)
                done["outputs"] = _shortened(done["outputs"], min(MOST_SHOWN, left))
                left -= len(json.dumps(done["outputs"]))
                results.append(done)
    rest = cells[len(results) :]
    return results + [_result(cell, NOT_RUN, []) for cell in rest]


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


def _worth_replaying(cells: list[Cell], results: list[dict[str, Any]]) -> list[int]:
    """Places of the cells that bring a new kernel to where the last one died; grade cells have given their evidence."""
    return [n for n, done in enumerate(results) if done["status"] in ("ok", "error") and cells[n].exercise is None]


def _run_cell(
    kernel: SandboxedKernel, cell: Cell, seed: int, limits: Limits, deadline: float, lost: bool
) -> dict[str, Any]:
    """Run the next cell; lost: an earlier one ran out of time, and the same function may be called again."""
    token = secrets.token_hex(8)
    if cell.exercise is not None:
        inject = INJECT.format(exercise=cell.exercise, seed=seed, token=token)
        injected = _run_code(kernel, inject, limits, deadline)
        if not kernel.alive:
            return _result(cell, injected.status, [])
    run = _run_code(kernel, cell.source, limits, deadline, hurry=lost and cell.exercise is None)
    return _result(cell, run.status, run.outputs, token)


def _run_code(
    kernel: SandboxedKernel, source: str, limits: Limits, deadline: float, hurry: bool = False
) -> CellRun:
    most = limits.later_seconds if hurry else limits.cell_seconds
    return kernel.execute(source, seconds=max(0.0, min(most, deadline - time.monotonic())))


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
