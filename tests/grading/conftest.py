"""What the sandbox's tests share: a sandbox that must exist in CI, and a tiny grading build."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from course_lib.grading.sandbox import Sandbox, available
from tests.clock import stretched
from tests.required import in_ci


@pytest.fixture(scope="session")
def bubblewrap():
    """Skip where no sandbox starts; in CI that is a failure, for a skipped sandbox test tells nothing."""
    if sentence := available():
        (pytest.fail if in_ci() else pytest.skip)(sentence)


def grading_build(folder: Path) -> Path:
    """Make a grading build with one package that can be recognised."""
    package = folder / "library" / "course_lib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("PLACE = 'grading build'\n")
    return package.parent


@pytest.fixture
def library(tmp_path, bubblewrap) -> Path:
    return grading_build(tmp_path)


def running(mark: str) -> list[psutil.Process]:
    """Processes that carry a mark on their command line; waits a moment for those that are ending."""
    for _ in range(20):
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                if any(mark in part for part in process.cmdline()):
                    found.append(process)
        if not found:
            break
        time.sleep(0.05)
    return found


@pytest.fixture
def inside(library):
    """Run a Python program in the sandbox and give its exit status, stdout and the process after its end."""

    def run(program: str, seconds: float = 10, **changes):
        sandbox = changes.pop("sandbox", None) or Sandbox(library, **changes)
        with sandbox.start([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE) as process:
            status = process.wait(stretched(seconds))
            process.kill()
            return status, process.process.stdout.read().decode(), process

    return run
