"""A sandbox for code nobody has read: bubblewrap, limits, and a watchdog outside that kills what goes beyond them."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import course_lib
from course_lib.errors import CourseError
from course_lib.grading import probe, seccomp
from course_lib.grading.pace import Pace
from course_lib.grading.watch import SandboxProcess

__all__ = ["LIBRARY", "SOCKETS", "Limits", "Sandbox", "SandboxBroken", "available", "self_test"]

MIB = 2**20
COURSE_FILES = ("solutions", "nbgrader_config.py", "gradebook.db")  # each marks a directory nobody inside may see
LIBRARY = "/library"  # where the sandbox sees the grading build
PROCESSOR_SECONDS = ("cpu_seconds", "cell_seconds", "later_seconds", "notebook_seconds")
SOCKETS = "/sockets"  # where the sandbox may make sockets; never a directory of the host


class SandboxBroken(CourseError):
    """The sandbox cannot start here, or does not hold; nothing is graded then."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use; a part of what a stored execution is keyed by.

    Seconds are processor time, of all processes together, so that a busy machine stops nobody; what sleeps or waits
    is stopped by the clock, after `patience` times as many.
    """

    memory_bytes: int = 2048 * MIB  # resident memory of all its processes together, files in memory included
    address_bytes: int = 6144 * MIB  # address space of one process; torch alone reserves more than it uses
    processes: int = 64  # processes and threads together; a kernel needs about 15
    open_files: int = 256  # descriptors of one process
    cpu_seconds: int = 600  # of one process, as the system counts it
    file_bytes: int = 64 * MIB  # size of one file
    tmp_bytes: int = 256 * MIB  # all files in /tmp together, and the same again for /dev/shm
    cell_seconds: int | float = 7.0  # of one cell; with a new kernel a loop then costs less than 10
    later_seconds: int | float = 2.0  # the same for an ungraded cell after one that ran out of time
    notebook_seconds: int | float = 120.0  # of one notebook, kernel starts included
    patience: int | float = 3.0  # seconds on the clock for each second of processor time
    start_seconds: int | float = 30.0  # on the clock, until a kernel answers, or a self-test has ended
    output_bytes: int = 8 * MIB  # everything the kernel sends while one cell runs

    def at(self, pace: Pace) -> "Limits":
        """Stretch the limits on time, so that they allow as much work on a machine of this pace."""
        longer = {name: getattr(self, name) * pace.processor for name in PROCESSOR_SECONDS}
        longer["cpu_seconds"] = round(longer["cpu_seconds"])
        patience, start = self.patience * pace.clock / pace.processor, self.start_seconds * pace.clock
        return replace(self, **longer, patience=patience, start_seconds=start)


# Runs inside, before the student's code: limits that only a process can set on itself, then another user, who
# inherits no capability (capset, with version 3 of its header).
_LAUNCHER = """
import ctypes, os, resource, sys
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
    if ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()):
        raise OSError("capset")
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
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))

    def place(self, path: str) -> str:
        """Where a command inside finds what is put at `path`."""
        return path

    def start(
        self,
        command: Sequence[str],
        files: Mapping[str, bytes] | None = None,
        stdout: int | None = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> SandboxProcess:
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
        numbers = [limits.address_bytes, limits.processes, limits.cpu_seconds, limits.file_bytes, limits.open_files]
        numbers += [1, 0]  # one byte, since a host that pipes core dumps to a program heeds no limit but this one
        numbers = [] if "limits" in self.without else numbers
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, ",".join(map(str, [user, *numbers]))]
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
        return SandboxProcess(process, limits.memory_bytes if "watchdog" not in self.without else None)

    def _namespaces(self) -> list[str]:
        unshared = ["--unshare-uts", "--hostname", "sandbox", "--unshare-cgroup-try"]
        for name, option in {"network": "--unshare-net", "processes": "--unshare-pid", "ipc": "--unshare-ipc"}.items():
            unshared += [option] if name not in self.without else []
        if self.as_root:
            user = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        else:
            identity = "0" if "user" in self.without else "1000"
            user = ["--unshare-user", "--uid", identity, "--gid", identity]
            user += ["--disable-userns"] if "userns" not in self.without else []
        return ["--die-with-parent", "--new-session", *unshared, *user]

    def _mounts(self) -> list[str]:
        bind = "--bind" if "read-only" in self.without else "--ro-bind"
        arguments = []
        shown = {path for path in (Path("/usr"), *_interpreter()) if path.is_dir()}
        for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")):
            if path.is_symlink():
                arguments += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                shown.add(path)
        unseen = {*_courses(), *(path.resolve() for path in self.hidden)}
        if "files" in self.without:
            shown |= {*unseen, Path.home()}
        covered = {path for path in unseen - shown if path.is_dir() and shown & set(path.parents)}
        # /tmp comes first, for the course itself may lie below it.
        arguments += ["--bind", "/tmp", "/tmp"] if "tmp" in self.without else self._tmpfs("/tmp", self.limits.tmp_bytes)
        for path in sorted(shown | covered, key=lambda path: len(path.parts)):  # the deeper one wins
            for parent in reversed(path.parents[:-1]):  # bubblewrap would make them for its own user alone
                arguments += ["--perms", "0755", "--dir", str(parent)]
            arguments += ["--perms", "0755", "--tmpfs", str(path)] if path in covered else [bind, str(path), str(path)]
        for path in ("/etc", "/run", "/sys", "/sys/devices", "/sys/devices/system"):
            arguments += ["--perms", "0755", "--dir", path]
        shared = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/fonts", "/sys/devices/system/cpu")
        for path in shared:
            arguments += ["--ro-bind-try", path, path]
        arguments += [bind, str(self.library), LIBRARY, "--proc", "/proc", "--dev", "/dev"]
        arguments += [*self._tmpfs("/dev/shm", self.limits.tmp_bytes), *self._tmpfs(SOCKETS, MIB), "--chdir", "/tmp"]
        for path in ("/dev", *map(str, covered)):
            arguments += ["--remount-ro", path] if "read-only" not in self.without else []
        return arguments

    def _tmpfs(self, path: str, most: int) -> list[str]:
        size = [] if "quota" in self.without else ["--size", str(most)]
        return ["--perms", "1777", *size, "--tmpfs", path]

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


def missing() -> str | None:
    """The sentence for a machine that cannot have the sandbox at all, or None."""
    if not sys.platform.startswith("linux") or not seccomp.filter_bytes():
        return (
            "The grading sandbox needs Linux on an x86_64 or aarch64 processor: grade on such a machine, or in a "
            "container of it that allows user namespaces."
        )
    if shutil.which("bwrap") is None:
        return "The grading sandbox needs bubblewrap: install the package 'bubblewrap' (0.8 or newer) and try again."
    return None


def available() -> str | None:
    """None if a sandbox starts here, or the one sentence that says what to install or where to go."""
    if sentence := missing():
        return sentence
    with tempfile.TemporaryDirectory() as library:
        sandbox = Sandbox(Path(library))
        with sandbox.start([sys.executable, "-I", "-S", "-c", "pass"]) as process:
            status = process.wait(sandbox.limits.start_seconds)
    if status == 0:
        return None
    said = _last_line(process)
    if "Unknown option" in said:
        return f"The grading sandbox needs bubblewrap 0.8 or newer ({said}): install a newer one and try again."
    return (
        f"The grading sandbox does not start here ({said}): allow user namespaces on this machine, grade as root, or "
        "use a Linux machine or a container that allows them, such as one started with --privileged."
    )


def self_test(sandbox: Sandbox | None = None) -> None:
    """Try from inside whatever the sandbox must prevent; a fraction of a second, so run it before every grading.

    sandbox: the one to test; by default one as grading makes it.
    Errors: SandboxBroken naming each thing that was possible.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        problems = _probe(sandbox or Sandbox(folder), stack)
    if problems:
        raise SandboxBroken(f"Nothing was graded, for the sandbox does not hold here: {'; '.join(problems)}.")


def _probe(sandbox: Sandbox, stack: contextlib.ExitStack) -> list[str]:
    small = replace(sandbox.limits, file_bytes=MIB, tmp_bytes=4 * MIB)
    canary = secrets.token_hex(16)
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    hidden = {}
    for name, folder in {"the grader's home": Path.home(), "the grader's /tmp": Path("/tmp")}.items():
        with contextlib.suppress(OSError):
            hidden[stack.enter_context(tempfile.NamedTemporaryFile(prefix=".canary-", dir=folder)).name] = name
    needed = {place for path in _interpreter() for place in (path, *path.parents)}
    for folder in (*_courses(), *sandbox.hidden):
        hidden |= {str(path): f"{path.name} of the course" for path in folder.iterdir() if path not in needed}
    asked = {
        "port": listener.getsockname()[1], "secrets": hidden, "canary": canary, "library": LIBRARY,
        "read_only": ["/", "/usr", "/dev", LIBRARY, *map(str, _interpreter())],
        "namespaces": {name: str(Path("/proc/self/ns", name).readlink()) for name in ("net", "pid", "ipc", "uts")},
        "processes": small.processes, "address_bytes": small.address_bytes, "file_bytes": small.file_bytes,
        "quotas": {"/tmp": small.tmp_bytes, "/dev/shm": small.tmp_bytes, SOCKETS: MIB},
    }  # fmt: skip
    command = [sys.executable, "-I", "-S", "-c"]
    greedy = replace(sandbox, limits=replace(small, memory_bytes=96 * MIB))
    hog = stack.enter_context(greedy.start([*command, "import time; x = b'x' * (160 << 20); time.sleep(9)"]))
    process = stack.enter_context(
        replace(sandbox, limits=small).start(
            [*command, Path(probe.__file__).read_text(), json.dumps(asked)],
            stdout=subprocess.PIPE,
            environment={"COURSE_CANARY": canary},
        )
    )
    process.wait(small.start_seconds)
    process.kill()
    try:
        problems = list(map(str, json.loads(process.process.stdout.read(65_536))))
    except ValueError:
        problems = [f"its self-test does not run ({_last_line(process)})"]
    hog.wait(small.start_seconds)
    return problems + ([] if hog.ended == "out of memory" else ["the limit on all memory together does not hold"])


def _last_line(process: SandboxProcess) -> str:
    return (process.stderr.strip().splitlines() or [process.ended or "it said nothing"])[-1]


def _interpreter() -> set[Path]:
    """The directories Python needs: its prefixes, and those its own symbolic links lead through."""
    found = {Path(sys.prefix), Path(sys.base_prefix)}
    link = Path(sys.executable)
    while link.is_symlink():
        link = link.parent / link.readlink()
        found.add(Path(os.path.normpath(link)).parent.parent)
    return {place for path in found for place in (path, path.resolve()) if place != Path("/")}


def _courses() -> list[Path]:
    """The installed course_lib with the answers in it, the checkout around it, and the course being graded."""
    package = Path(course_lib.__file__).resolve().parent
    around = (package.parent, Path.cwd().resolve())
    return [package, *(path for path in around if any((path / name).exists() for name in COURSE_FILES))]


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
