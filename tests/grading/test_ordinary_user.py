"""The sandbox of a grader who is not root: the same tests again, run by a user without rights."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.sandbox
PROJECT = Path(__file__).resolve().parents[2]
USER = 54_321
CHOSEN = {
    "test_sandbox.py": "",
    "test_kernel.py": "left_behind or memory or disk or order or side_by_side or cannot_start",
}
# Runs as root in a mount namespace where the home of root may be entered; goes on as somebody else.
BECOME = f"import os, sys; os.setgroups([]); os.setgid({USER}); os.setuid({USER}); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture
def home():
    """A directory of the ordinary user, neither in pytest's, which root alone may enter, nor in /tmp."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chown(folder, USER, USER)
        yield folder


def as_ordinary_user(home: str, command: list[str]) -> subprocess.CompletedProcess:
    """Run a command as an ordinary user who can reach the project and Python, even if they lie in the home of root."""
    bwrap = [shutil.which("bwrap"), "--dev-bind", "/", "/", "--perms", "0755", "--tmpfs", str(Path.home())]
    for path in dict.fromkeys([PROJECT, Path(sys.base_prefix), Path(sys.prefix)]):
        for parent in reversed(path.parents[:-1]):
            bwrap += ["--perms", "0755", "--dir", str(parent)]
        bwrap += ["--bind", str(path), str(path)]
    bwrap += ["--die-with-parent", "--chdir", str(PROJECT), sys.executable, "-c", BECOME]
    environment = {"HOME": home, "TMPDIR": home, "USER": "ordinary", "CI": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    return subprocess.run([*bwrap, *command], env=environment, capture_output=True, text=True, check=False)


if os.geteuid() == 0:  # an ordinary user runs the tests beside this one anyway

    @pytest.mark.parametrize("file", CHOSEN)
    def test_the_sandbox_holds_for_an_ordinary_user(bubblewrap, home, file):
        tests = ["-m", "pytest", f"tests/grading/{file}", "-k", CHOSEN[file], "-n0", "-q", "-p", "no:cacheprovider"]
        run = as_ordinary_user(home, [sys.executable, *tests])
        assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
        assert " passed" in run.stdout
        assert " skipped" not in run.stdout
