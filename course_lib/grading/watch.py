"""The watch over a sandbox, from outside: what its processes hold in memory, how long they ran, and their end."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

__all__ = ["SandboxProcess"]

TICK = 0.05  # seconds between looks at the memory
DESCRIPTOR_BYTES = 425_984  # kernel memory one Unix socket can hold (twice net.core.wmem_max), which no process shows
INODE_BYTES = 1_024  # kernel memory an empty file costs
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")  # a second, in which the system counts processor time
STDERR_BYTES = 4_096  # how much of the last stderr is kept, to say why something did not start


class SandboxProcess:
    """A command running in a sandbox, and the watchdog over all the processes it makes; a context manager.

    process: bubblewrap itself, started with a pipe for stderr.
    memory_bytes: what all the processes together may hold; None to watch nothing.
    worked: seconds of processor time that all its processes have had so far, a moment ago.
    ended: None while it runs as it may; "out of memory" or the reason given to `kill` once it was killed.
    """

    def __init__(self, process: subprocess.Popen, memory_bytes: int | None) -> None:
        self.process = process
        self.memory_bytes = memory_bytes
        self.worked = 0.0
        self.ended: str | None = None
        self._stderr = b""
        self._lock = threading.Lock()
        self._watchdog = threading.Thread(target=self._watch, name="sandbox-watchdog", daemon=True)
        self._watchdog.start()

    def __enter__(self) -> "SandboxProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        if self.process.stdout:
            self.process.stdout.close()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def stderr(self) -> str:
        """The last few kilobytes of stderr, for a person to read."""
        return self._stderr.decode(errors="replace")

    def root(self) -> Path:
        """The sandbox's own file system, as the host sees it; FileNotFoundError while it is not set up yet."""
        members = _tree(self.process.pid)
        if len(members) < 3:  # bubblewrap, its init, the command
            raise FileNotFoundError("the sandbox is not set up yet")
        return Path(f"/proc/{members[2]}/root")

    def wait(self, seconds: int | float) -> int | None:
        """The exit status, or None if it still runs after `seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def kill(self, reason: str | None = None) -> None:
        """End every process of the sandbox and return when they are gone."""
        with self._lock:
            if self.alive:
                self.ended = self.ended or reason
                self._end()
                if self.wait(2) is None:
                    self.process.kill()
                self.process.wait()
        if threading.current_thread() is not self._watchdog:
            self._watchdog.join(5)

    def _end(self) -> None:
        for init in _children(self.process.pid):  # its end is the end of all, and bubblewrap waits for it
            with contextlib.suppress(ProcessLookupError):
                os.kill(init, signal.SIGKILL)

    def _watch(self) -> None:
        descriptor = self.process.stderr.fileno()
        os.set_blocking(descriptor, False)
        while self.wait(TICK) is None:
            self._drain(descriptor)
            members = _tree(self.process.pid)
            self.worked = max(self.worked, _processor_seconds(members))
            if self.memory_bytes is not None and _footprint(members[1:], self.memory_bytes) > self.memory_bytes:
                self.kill("out of memory")
        self._drain(descriptor)
        self.process.stderr.close()

    def _drain(self, descriptor: int) -> None:
        until = time.monotonic() + TICK  # a flood must not keep the watchdog from its watch
        with contextlib.suppress(BlockingIOError):
            while time.monotonic() < until and (chunk := os.read(descriptor, 65_536)):
                self._stderr = (self._stderr + chunk)[-STDERR_BYTES:]


def _footprint(members: list[int], enough: int) -> int:
    """Bytes of memory held by the processes of a sandbox, its init first; kernel memory as far as it shows.

    Pages that processes share count once for each while the sum stays below `enough`; above, the exact sum is made.
    """
    resident = {task: facts for task, facts in map(_facts, members) if facts}
    held = sum(_open_files(task, facts) * DESCRIPTOR_BYTES for task, facts in resident.items())
    held += sum(facts.get(name, 0) for facts in resident.values() for name in ("VmPTE", "VmSwap", "HugetlbPages"))
    for task in list(resident)[1:2]:  # not bubblewrap's init, which may lie in the grader's rights
        for place in ("tmp", "dev/shm", "sockets"):
            with contextlib.suppress(OSError):
                disk = os.statvfs(task / "root" / place)
                held += (disk.f_blocks - disk.f_bfree) * disk.f_frsize
                held += (disk.f_files - disk.f_ffree) * INODE_BYTES
    total = held + sum(facts["VmRSS"] for facts in resident.values())
    if total > enough:
        total = held + sum(_read(task / "smaps_rollup").get("Pss", facts["VmRSS"]) for task, facts in resident.items())
    return total


def _processor_seconds(members: list[int]) -> float:
    """Seconds of processor time that processes, and those of their children that have ended, have had.

    A process that has ended counts with the one that waited for it, an orphan with the sandbox's init; one whose
    parent ignores its end escapes, and is stopped by the clock.
    """
    ticks = 0
    for member in members:
        with contextlib.suppress(OSError):
            facts = Path(f"/proc/{member}/stat").read_text(errors="replace").rpartition(")")[2].split()
            ticks += sum(map(int, facts[11:15]))  # utime, stime, cutime, cstime
    return ticks / CLOCK_TICKS


def _facts(pid: int) -> tuple[Path, dict[str, int]]:
    """What the first living thread of a process says of its memory: the main one may have ended before the others."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            facts = _read(task / "status")
            if "VmRSS" in facts:
                return task, facts
    return Path(f"/proc/{pid}"), {}


def _open_files(task: Path, facts: dict[str, int]) -> int:
    try:
        return sum(1 for _ in (task / "fd").iterdir())
    except OSError:  # a process may refuse to show them, but not how long its table is
        return facts.get("FDSize", 0)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def _tree(pid: int) -> list[int]:
    """A process and all that descend from it; an orphan has the sandbox's init as its parent, so none is missed."""
    members = [pid]
    for member in members:
        members += _children(member)
    return members


def _read(file: Path) -> dict[str, int]:
    """The numbers in a file of /proc by name, in bytes where it gives kilobytes."""
    found = {}
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(":")
            number, _, unit = value.strip().partition(" ")
            if number.isdigit() and unit in ("", "kB"):
                found[name] = int(number) * (1024 if unit else 1)
    return found
