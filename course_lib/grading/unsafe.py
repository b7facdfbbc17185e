"""No sandbox at all: student code runs as the grader's own user. For code one has written oneself."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.grading.sandbox import LIBRARY, SOCKETS, Limits
from course_lib.grading.watch import SandboxProcess

__all__ = ["NoSandbox"]


@dataclass(frozen=True)
class NoSandbox:
    """Stands where a `Sandbox` stands, and keeps nothing in: of the limits, those on time and output alone hold.

    What a sandbox shows at its root lies in a folder of its own here, which goes with the process.
    """

    library: Path
    limits: Limits = field(default_factory=Limits)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="course-")))

    def place(self, path: str) -> str:
        """Where a command finds what a sandbox would show at `path`."""
        return str(self.library) if path == LIBRARY else f"{self.folder}{path}"

    def start(self, command: Sequence[str], files: Mapping[str, bytes] | None = None) -> SandboxProcess:
        """Start `command` as any other program, in a group of processes that ends with it."""
        for path, content in (files or {}).items():
            file = Path(self.place(path))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        home = self.folder / "home"
        for folder in (home, Path(self.place(SOCKETS))):
            folder.mkdir(exist_ok=True)
        environment = {
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "PYTHONPATH": str(self.library), "PYTHONHASHSEED": "0",
            "PYTHONNOUSERSITE": "1", "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8", "MPLBACKEND": "agg",
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=home,
            env=environment, start_new_session=True,
        )  # fmt: skip
        return _Process(process, self.folder)


class _Process(SandboxProcess):
    def __init__(self, process: subprocess.Popen, folder: Path) -> None:
        super().__init__(process, memory_bytes=None)
        self.folder = folder

    def root(self) -> Path:
        return self.folder

    def kill(self, reason: str | None = None) -> None:
        """End the command and what it started, as far as that stayed in its group, and remove its folder."""
        super().kill(reason)
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
