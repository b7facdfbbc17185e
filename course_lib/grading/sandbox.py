"""A sandbox for code nobody has read: bubblewrap, limits, and a watchdog outside that kills what goes beyond them."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import course_lib
from course_lib.errors import CourseError
from course_lib.grading import seccomp

__all__ = ["LIBRARY", "SOCKETS", "Limits", "Sandbox", "SandboxBroken", "SandboxProcess", "available"]

MIB = 2**20
LIBRARY = "/library"  # where the sandbox sees the grading build
SOCKETS = "/sockets"  # where the sandbox may make sockets; never a directory of the host
DESCRIPTOR_BYTES = 212_992  # kernel memory one open socket can hold (net.core.wmem_default), which no process shows
INODE_BYTES = 1_024  # kernel memory an empty file costs
STDERR_BYTES = 4_096  # how much of the last stderr is kept, to say why something did not start


class SandboxBroken(CourseError):
    """The sandbox cannot start here, or does not hold; nothing is graded then."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use; a part of what a stored execution is keyed by."""

    memory_bytes: int = 4096 * MIB  # resident memory of all its processes together, files in memory included
    address_bytes: int = 6144 * MIB  # address space of one process; torch alone reserves more than it uses
    processes: int = 64  # processes and threads together; a kernel needs about 15
    open_files: int = 256  # descriptors of one process
    cpu_seconds: int = 600  # processor time of one process
    file_bytes: int = 64 * MIB  # size of one file
    tmp_bytes: int = 256 * MIB  # all files in /tmp together, and the same again for /dev/shm
    cell_seconds: float = 10.0  # wall time of one cell
    notebook_seconds: float = 300.0  # wall time of one notebook, kernel starts included
    start_seconds: float = 30.0  # wall time until a kernel answers
    output_bytes: int = 8 * MIB  # everything the kernel sends while one cell runs
    message_bytes: int = 8 * MIB  # one message of the kernel, refused while it arrives


# Runs inside, before the student's code: limits that only a process can set on itself, then another user.
_LAUNCHER = """
import os, resource, sys
user, *limits = map(int, sys.argv[1].split(","))
names = ("AS", "NPROC", "CPU", "FSIZE", "NOFILE", "CORE", "MSGQUEUE")
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("1000")
for name, limit in zip(names, limits):
    name = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(name)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(name, (limit, limit))
os.umask(0o077)
if user:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Sandbox:
    """A way to start commands that see the system, Python and `library`, and nothing else of the host.

    library: directory with the grading build of course_lib, mounted read-only at LIBRARY and first on PYTHONPATH.
        When the grader is root its files are made readable for everyone, since the student's code is not root.
    hidden: directories that stay invisible even if they lie in a mounted one; the project's checkout always does.
    as_root: bubblewrap starts as root and drops to a user of its own; otherwise it makes a user namespace.
    without: defences to leave out. For tests only: a test that cannot fail proves nothing.
    """

    library: Path
    limits: Limits = field(default_factory=Limits)
    hidden: tuple[Path, ...] = ()
    as_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.library.is_dir():
            raise SandboxBroken(f"The grading build {self.library} does not exist: build it before grading.")
        if self.as_root:
            for path in (self.library, *self.library.rglob("*")):
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))

    def start(
        self,
        command: Sequence[str],
        files: Mapping[str, bytes] | None = None,
        stdout: int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> "SandboxProcess":
        """Start `command` (its program an absolute path) inside and watch it until it ends.

        The thread that calls this must live as long as the sandbox: the kernel ties its life to that thread.
        files: read-only files to put in, by their path inside.
        environment: what bubblewrap itself inherits; nothing of it may come through.
        Errors: SandboxBroken without bubblewrap.
        """
        program = shutil.which("bwrap")
        if program is None:
            raise SandboxBroken(missing())
        user = _free_user() if self.as_root and "user" not in self.without else 0
        contents = {"/etc/passwd": f"student:x:{user or 1000}:{user or 1000}::/tmp:/bin/sh\n".encode(), **(files or {})}
        data = [(_in_memory(content), "--perms", "0444", "--ro-bind-data", path) for path, content in contents.items()]
        arguments = [program, *self._namespaces(), *self._mounts()]
        for descriptor, *option, path in data:
            arguments += [*option, str(descriptor), path]
        arguments += ["--remount-ro", "/"] if "read-only" not in self.without else []
        if "seccomp" not in self.without:
            data.append((_in_memory(seccomp.filter_bytes()),))
            arguments += ["--seccomp", str(data[-1][0])]
        keep = "environment" in self.without
        arguments += [] if keep else ["--clearenv"]
        for name, value in self._environment().items():
            arguments += ["--setenv", name, value]
        limits = self.limits
        numbers = [user, limits.address_bytes, limits.processes, limits.cpu_seconds, limits.file_bytes]
        numbers += [limits.open_files, 0, 0]
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, ",".join(map(str, numbers))]
        descriptors = [entry[0] for entry in data]
        try:
            process = subprocess.Popen(
                [*arguments, "--", *launcher, *command],
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, cwd="/", pass_fds=descriptors,
                env={**os.environ, **(environment or {})} if keep else {},
            )  # fmt: skip
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return SandboxProcess(process, limits, watched="watchdog" not in self.without)

    def _namespaces(self) -> list[str]:
        unshared = ["--unshare-uts", "--hostname", "sandbox", "--unshare-cgroup-try"]
        for name, option in {"network": "--unshare-net", "processes": "--unshare-pid", "ipc": "--unshare-ipc"}.items():
            unshared += [option] if name not in self.without else []
        if self.as_root:
            user = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        else:
            identity = "0" if "user" in self.without else "1000"
            user = ["--unshare-user", "--uid", identity, "--gid", identity, "--disable-userns"]
        return ["--die-with-parent", "--new-session", *unshared, *user]

    def _mounts(self) -> list[str]:
        bind = "--bind" if "read-only" in self.without else "--ro-bind"
        arguments = [bind, "/", "/"] if "files" in self.without else []
        shown = {path for path in (Path("/usr"), *_interpreter()) if path.is_dir()}
        for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")):
            if path.is_symlink() and "files" not in self.without:
                arguments += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                shown.add(path)
        covered = {
            path
            for path in (*_checkout(), *(path.resolve() for path in self.hidden))
            if path.is_dir() and path not in shown and any(parent in shown for parent in path.parents)
        }
        for path in sorted(shown | covered, key=lambda path: len(path.parts)):  # the deeper one wins
            for parent in reversed(path.parents[:-1]):  # bubblewrap would make them for its own user alone
                arguments += ["--perms", "0755", "--dir", str(parent)]
            arguments += ["--perms", "0755", "--tmpfs", str(path)] if path in covered else [bind, str(path), str(path)]
        for path in ("/etc", "/run", "/sys", "/sys/devices", "/sys/devices/system"):
            arguments += ["--perms", "0755", "--dir", path]
        for path in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/fonts", "/sys/devices/system/cpu"):
            arguments += ["--ro-bind-try", path, path]
        arguments += [bind, str(self.library), LIBRARY, "--proc", "/proc", "--dev", "/dev"]
        if "tmp" in self.without:
            arguments += ["--bind", "/tmp", "/tmp"]
        else:
            arguments += ["--perms", "1777", "--size", str(self.limits.tmp_bytes), "--tmpfs", "/tmp"]
        arguments += ["--perms", "1777", "--size", str(self.limits.tmp_bytes), "--tmpfs", "/dev/shm"]
        arguments += ["--perms", "1777", "--size", str(MIB), "--tmpfs", SOCKETS, "--chdir", "/tmp"]
        for path in ("/dev", *map(str, covered)):
            arguments += ["--remount-ro", path] if "read-only" not in self.without else []
        return arguments

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "PYTHONPATH": LIBRARY,
            "PYTHONHASHSEED": "0",  # the same submission prints the same sets
            "PYTHONNOUSERSITE": "1",
            "HOME": "/tmp",
            "TMPDIR": "/tmp",
            "USER": "student",
            "LANG": "C.UTF-8",
            "MPLBACKEND": "agg",
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
        }


class SandboxProcess:
    """A command running in a sandbox, and the watchdog over all the processes it makes.

    ended: None while it runs as it may; "out of memory" or the reason given to `kill` once it was killed.
    """

    def __init__(self, process: subprocess.Popen, limits: Limits, watched: bool = True) -> None:
        self.process = process
        self.limits = limits
        self.ended: str | None = None
        self._stderr = b""
        self._lock = threading.Lock()
        self._watchdog = threading.Thread(target=self._watch, args=(watched,), name="sandbox-watchdog", daemon=True)
        self._watchdog.start()

    def __enter__(self) -> "SandboxProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def stderr(self) -> str:
        """The last few kilobytes of stderr, for a person to read."""
        return self._stderr.decode(errors="replace")

    def root(self) -> Path:
        """The sandbox's own file system, as the host sees it; OSError while it is not set up yet."""
        members = _tree(self.process.pid)
        if len(members) < 3:  # bubblewrap, its init, the command
            raise FileNotFoundError("the sandbox is not set up yet")
        return Path(f"/proc/{members[2]}/root")

    def wait(self, seconds: float) -> int | None:
        """The exit status, or None if it still runs after `seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def kill(self, reason: str | None = None) -> None:
        """End every process of the sandbox and return when they are gone."""
        with self._lock:
            if self.alive:
                self.ended = self.ended or reason
                for init in _children(self.process.pid):  # its end is the end of all, and bubblewrap waits for it
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(init, signal.SIGKILL)
                if self.wait(2) is None:
                    self.process.kill()
                self.process.wait()
        if threading.current_thread() is not self._watchdog:
            self._watchdog.join(5)

    def _watch(self, watched: bool) -> None:
        descriptor = self.process.stderr.fileno()
        os.set_blocking(descriptor, False)
        checked = 0.0
        while self.alive:
            self._drain(descriptor)
            if watched and time.monotonic() - checked > 0.04:
                if _footprint(self.process.pid, self.limits) > self.limits.memory_bytes:
                    self.kill("out of memory")
                checked = time.monotonic()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        self._drain(descriptor)
        self.process.stderr.close()

    def _drain(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(16):  # not for ever: a flood must not keep the watchdog from its watch
                chunk = os.read(descriptor, 65_536)
                if not chunk:
                    return
                self._stderr = (self._stderr + chunk)[-STDERR_BYTES:]


def missing() -> str | None:
    """The sentence for a machine that cannot have the sandbox at all, or None."""
    roads = "grade on a Linux machine, or in a container that allows user namespaces"
    if not sys.platform.startswith("linux"):
        return f"The grading sandbox needs Linux: {roads}."
    if shutil.which("bwrap") is None:
        return "The grading sandbox needs bubblewrap: install the package 'bubblewrap' (0.8 or newer) and try again."
    return None


def available(library: Path | None = None) -> str | None:
    """None if a sandbox starts here, or the one sentence that says what to install or where to go."""
    if sentence := missing():
        return sentence
    sandbox = Sandbox(library or Path(sys.prefix) / "bin")
    with sandbox.start([sys.executable, "-I", "-S", "-c", "pass"]) as process:
        status = process.wait(10)
    if status == 0:
        return None
    said = (process.stderr.strip().splitlines() or ["it did not start"])[-1]
    return (
        f"The grading sandbox does not start here ({said}): allow user namespaces on this machine, grade as root, or use "
        "a Linux machine or a container that allows them, such as one started with --privileged."
    )


def _interpreter() -> set[Path]:
    """The directories Python needs: its prefixes, and those its own symbolic links lead through."""
    found = {Path(sys.prefix), Path(sys.base_prefix)}
    link = Path(sys.executable)
    while link.is_symlink():
        link = link.parent / link.readlink()
        found.add(Path(os.path.normpath(link)).parent.parent)
    return {place for path in found for place in (path, path.resolve()) if place != Path("/")}


def _checkout() -> list[Path]:
    """The installed course_lib with the answers in it, and the checkout around it if there is one."""
    package = Path(course_lib.__file__).resolve().parent
    return [package, package.parent] if (package.parent / "pyproject.toml").exists() else [package]


def _in_memory(content: bytes) -> int:
    descriptor = os.memfd_create("course")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _free_user() -> int:
    """A user id that nobody else has, so that a limit on its processes counts this sandbox alone."""
    _, _, count = map(int, Path("/proc/self/uid_map").read_text().splitlines()[0].split())
    start, width = (1 << 30, 1 << 29) if count > 1 << 31 else (count // 2, count // 4)
    return start + secrets.randbelow(max(width, 1))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def _tree(pid: int) -> list[int]:
    """A process and all that descend from it; an orphan has the sandbox's init as its parent, so none is missed."""
    members = [pid]
    for member in members:
        members += _children(member)
    return members


def _kilobytes(file: str, *names: str) -> int:
    with contextlib.suppress(OSError):
        lines = Path(file).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.split(":")[0] in names)
    return 0


def _footprint(pid: int, limits: Limits) -> int:
    """Bytes of memory the sandbox around bubblewrap's process `pid` holds, kernel memory included as far as it shows."""
    members = _tree(pid)[1:]
    held = 0
    for member in members:
        with contextlib.suppress(OSError):
            held += len(os.listdir(f"/proc/{member}/fd")) * DESCRIPTOR_BYTES
    if len(members) > 1:
        for place in ("tmp", "dev/shm"):
            with contextlib.suppress(OSError):
                disk = os.statvfs(f"/proc/{members[1]}/root/{place}")
                held += (disk.f_blocks - disk.f_bfree) * disk.f_frsize
                held += (disk.f_files - disk.f_ffree) * INODE_BYTES
    total = held + 1024 * sum(_kilobytes(f"/proc/{member}/status", "VmRSS", "VmPTE") for member in members)
    if total > limits.memory_bytes:  # pages that processes share were counted once for each: ask the slower, exact file
        total = held + 1024 * sum(_kilobytes(f"/proc/{member}/smaps_rollup", "Pss") for member in members)
    return total
