"""Execution: a pure function from the bytes of a job to the bytes of a result, run in the sandbox.

A job is everything the result depends on: the cells, the lesson, the seed, the limits, the grading build and the
versions of what runs it. Only bytes travel, so any concurrent.futures executor can fill the store.
"""

import base64
import contextlib
import json
import platform
import shutil
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import ipykernel
import torch

from course_lib.grading.build import unpack
from course_lib.grading.cells import run_cells
from course_lib.grading.pace import pace
from course_lib.grading.sandbox import Limits, Sandbox
from course_lib.grading.submission import Cell
from course_lib.grading.unsafe import NoSandbox

__all__ = ["execute", "make_job", "sweep"]

SCRATCH = "course-library-"


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

    It is {"cells": [{"index", "status", "outputs", "evidence", "forged"}], "pace": {"processor", "clock"}}; forged:
    evidence came that does not count; pace: by how much the limits on time were stretched on the machine that ran it.
    """
    facts = json.loads(job)
    cells = [Cell(**cell) for cell in facts["cells"]]
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        library = Path(folder)
        library.chmod(0o755)  # another user reads it
        unpack(base64.b64decode(facts["library"]), library)
        make = Sandbox if facts["sandboxed"] else NoSandbox
        here = pace()
        limits = Limits(**facts["limits"]).at(here)
        done = run_cells(cells, facts["seed"], limits, partial(make, library, limits))
        return json.dumps({"cells": done, "pace": asdict(here)}).encode()


def sweep() -> None:
    """Remove what runs that were killed left behind: libraries that are older than any run can be."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > 3600:
                shutil.rmtree(folder)
