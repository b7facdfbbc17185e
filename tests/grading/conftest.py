"""What the sandbox's tests share: a sandbox that must exist in CI, and a tiny grading build."""

import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.grading.sandbox import Sandbox, available
from tests.required import in_ci


@pytest.fixture(scope="session")
def bubblewrap():
    """Skip where no sandbox starts; in CI that is a failure, for a skipped sandbox test tells nothing."""
    if sentence := available():
        (pytest.fail if in_ci() else pytest.skip)(sentence)


@pytest.fixture
def library(tmp_path, bubblewrap) -> Path:
    """A grading build with one package that can be recognised."""
    package = tmp_path / "library" / "course_lib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("PLACE = 'grading build'\n")
    return package.parent


@pytest.fixture
def inside(library):
    """Run a Python program in the sandbox and give its exit status, stdout and the process after its end."""

    def run(program: str, seconds: float = 10, **changes):
        sandbox = changes.pop("sandbox", None) or Sandbox(library, **changes)
        with sandbox.start([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE) as process:
            status = process.wait(seconds)
            process.kill()
            return status, process.process.stdout.read().decode(), process

    return run
