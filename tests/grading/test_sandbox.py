"""The sandbox holds, and each thing its self-test looks for is found when the defence against it is left out."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from course_lib.grading import sandbox as module
from course_lib.grading import seccomp
from course_lib.grading.sandbox import Limits, Sandbox, SandboxBroken, available, self_test
from tests.clock import passes_within
from tests.grading.conftest import running

pytestmark = pytest.mark.sandbox
MIB = 2**20
ROOT = os.geteuid() == 0
SMALL = Limits(memory_bytes=128 * MIB, tmp_bytes=512 * MIB, file_bytes=256 * MIB)


def test_the_self_test_passes_in_well_under_a_second(library):
    self_test(Sandbox(library))  # the files it reads are in memory now
    with passes_within(0.5):
        self_test()


# What is left out -> what must then be found. Where two defences stand one behind the other, both are left out.
SEE = {"files", "user"} if ROOT else {"files"}
OPEN = {
    "network": ({"network", "seccomp"}, ["the grader's network can be reached", "there is a network interface"]),
    "sockets": ({"seccomp"}, ["sockets of the kind AF_INET can be made"]),
    "namespace of the network": ({"network"}, ["the net namespace is the grader's"]),
    "course": (SEE, ["solutions of the course can be seen", "tests of the course can be seen"]),
    "reference": (SEE, ["masks.py of the course can be seen"]),
    "home": (SEE, ["the grader's home can be seen"]),
    "/tmp": ({"tmp", "watchdog"}, ["the grader's /tmp can be seen", "limit on all files in /tmp does not hold"]),
    "system": ({"read-only"}, ["/ is not read-only", "/usr is not read-only", f"{sys.prefix} is not read-only"]),
    "library": ({"read-only", "user"}, ["/library is not read-only", "the library can be written to"]),
    "environment": ({"environment"}, ["the grader's environment can be read"]),
    "root": ({"user"}, ["the code runs as root", *(["the code has privileges"] if ROOT else [])]),
    "processes": ({"processes"}, ["other processes can be seen", "the pid namespace is the grader's"]),
    "shared memory": ({"ipc"}, ["the ipc namespace is the grader's"]),
    "memfd": ({"seccomp"}, ["memory can be taken that no limit counts"]),
    "user namespaces": ({"seccomp", "userns"}, ["a user namespace can be made"]),
    "fork": ({"limits"}, ["the limit on processes does not hold"]),
    "memory of one": ({"limits"}, ["the limit on the memory of a process does not hold"]),
    "file": ({"limits"}, ["the limit on the size of a file does not hold"]),
    "memory of all": ({"watchdog"}, ["the limit on all memory together does not hold"]),
    "quotas": ({"quota"}, [f"the limit on all files in {place} does" for place in ("/tmp", "/dev/shm", "/sockets")]),
}


@pytest.mark.parametrize(("without", "found"), OPEN.values(), ids=OPEN)
def test_the_self_test_finds_what_is_open(library, tmp_path, monkeypatch, without, found):
    monkeypatch.setenv("HOME", str(Path.home()))
    limits = Limits(address_bytes=1024 * MIB)
    with pytest.raises(SandboxBroken) as error:
        self_test(Sandbox(library, limits, without=frozenset(without)))
    for problem in found:
        assert problem in str(error.value)


def test_only_the_library_is_there_of_the_course(inside):
    root = Path(module.__file__).parents[2]
    program = f"import os; print(sorted(os.listdir({str(root)!r})) if os.path.exists({str(root)!r}) else [])"
    status, printed, _ = inside(program)
    assert (status, printed.strip() in ("[]", "['.venv']")) == (0, True)


def test_an_installed_course_lib_is_covered(inside, monkeypatch):
    """It would lie in the site-packages that the sandbox must show; another package plays its part here."""
    import click

    installed = Path(click.__file__).parent
    program = f"import os; print(os.listdir({str(installed)!r}))"
    assert "core.py" in inside(program)[1]
    monkeypatch.setattr(module, "_courses", lambda: [installed])
    assert inside(program)[1] == "[]\n"
    assert inside(f"open({str(installed / 'core.py')!r}, 'w')")[0] != 0


def test_hidden_directories_are_covered(inside):
    folder = Path(sys.prefix) / "share"
    program = f"import os; print(os.listdir({str(folder)!r}))"
    assert "jupyter" in inside(program)[1]
    assert inside(program, hidden=(folder,))[1] == "[]\n"


def test_the_course_being_graded_is_hidden_too(tmp_path, monkeypatch):
    (tmp_path / "gradebook.db").touch()
    monkeypatch.chdir(tmp_path)
    assert tmp_path.resolve() in module._courses()


HIDE = "import ctypes; libc = ctypes.CDLL(None); "
HOGS = {
    "a process that shows little": HIDE + "libc.prctl(4, 0, 0, 0, 0); x = b'x' * (300 << 20)",  # PR_SET_DUMPABLE
    "a thread that outlives the main one": HIDE + (
        "import threading, time\n"
        "def hog():\n    time.sleep(0.3)\n    x = b'x' * (300 << 20)\n    time.sleep(20)\n"
        "threading.Thread(target=hog).start()\nlibc.pthread_exit(None)"
    ),
    "one process": "x = b'x' * (300 << 20)",
    "many processes": "import os\nfor _ in range(10):\n    if os.fork() == 0: x = b'x' * (40 << 20); break",
    "files in /tmp": "open('/tmp/a', 'wb').write(b'x' * (100 << 20)); open('/tmp/b', 'wb').write(b'x' * (100 << 20))",
    "files in /dev/shm": "import mmap\nfor n in range(10): open(f'/dev/shm/{n}', 'wb').write(bytes(30 << 20))",
    "empty files": "for n in range(400_000): open(f'/tmp/{n}', 'w').close()",
    "open sockets": (
        "import os, socket\nfor _ in range(3): os.fork()\nkept = [socket.socketpair() for _ in range(120)]\n"
        "for pair in kept:\n    for end in pair: end.send(b'x' * 100_000)"
    ),
}


@pytest.mark.parametrize("hog", HOGS.values(), ids=HOGS)
def test_memory_is_watched_wherever_it_is_held(inside, hog):
    watched = inside(f"{hog}\nimport time; time.sleep(20)", seconds=4, limits=SMALL)[2]
    assert watched.ended == "out of memory"


def test_shared_pages_count_once(inside):
    """A forked process shows its parent's memory as its own: five of them hold no more than one."""
    program = "import os, time\nx = b'x' * (60 << 20)\nfor _ in range(5):\n    if os.fork() == 0: break\ntime.sleep(1)"
    status, _, process = inside(program, limits=SMALL)
    assert (status, process.ended) == (0, None)


def test_a_fork_bomb_ends_with_its_sandbox(inside):
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    status, _, process = inside(bomb, seconds=1)
    assert status is None
    assert not psutil.pid_exists(process.process.pid)
    assert not running(bomb)


def test_a_process_left_behind_ends_with_its_sandbox(inside):
    mark = "a process left behind by test_sandbox"
    program = f"import os, time\nif os.fork() == 0:\n    os.setsid()\n    {mark!r}; time.sleep(60)"
    status, _, _ = inside(program)
    assert status == 0
    assert not running(mark)


def test_the_sandbox_ends_with_its_grader(library):
    mark = f"a sandbox left behind by test_sandbox {os.getpid()}"
    grader = f"""
import sys, time
from pathlib import Path
from course_lib.grading.sandbox import Sandbox
command = [sys.executable, "-c", "import time; print('up', flush=True); '{mark}'; time.sleep(60)"]
process = Sandbox(Path("{library}")).start(command, stdout=None)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", grader], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    assert len(running(mark)) >= 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not running(mark)


def test_a_flood_on_stderr_neither_blocks_nor_grows(inside):
    status, _, process = inside("import os\nfor _ in range(1000): os.write(2, b'x' * 65_536)\nos.write(2, b'the end')")
    assert status == 0
    assert len(process.stderr) == 4096
    assert process.stderr.endswith("the end")


def test_the_grader_makes_the_library_readable_for_another_user(library, inside):
    (library / "course_lib").chmod(0o700)
    (library / "course_lib" / "__init__.py").chmod(0o600)
    program = "import sys; sys.path.insert(0, '/library'); import course_lib; print(course_lib.PLACE)"
    status, printed, _ = inside(program)
    assert (status, printed) == (0, "grading build\n")


def test_each_sandbox_has_a_user_of_its_own(inside):
    """As root a user nobody else has; otherwise a namespace of users, in which the number means nothing."""
    users = [inside("import os; print(*os.getresuid(), *os.getresgid())")[1].split() for _ in range(2)]
    assert all(len(set(user)) == 1 for user in users)
    assert (users[0] != users[1]) if ROOT else (users == [["1000"] * 6] * 2)


def test_a_missing_library_is_said(tmp_path):
    with pytest.raises(SandboxBroken, match="build it before grading"):
        Sandbox(tmp_path / "nothing")


def _fake_bwrap(tmp_path, monkeypatch, says):
    (tmp_path / "bwrap").write_text(f"#!/bin/sh\necho 'bwrap: {says}' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("says", "advice"),
    [("No permissions to create new namespace", "allow user namespaces"), ("Unknown option --size", "0.8 or newer")],
)
def test_a_bubblewrap_that_does_not_start_is_explained(tmp_path, monkeypatch, says, advice):
    _fake_bwrap(tmp_path, monkeypatch, says)
    assert says in available()
    assert advice in available()
    with pytest.raises(SandboxBroken, match=says):
        self_test()


def test_a_missing_bubblewrap_is_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install the package 'bubblewrap'" in available()
    with pytest.raises(SandboxBroken, match="install the package 'bubblewrap'"):
        self_test()


@pytest.mark.parametrize(("name", "value"), [("platform", "darwin"), ("platform", "win32")])
def test_other_systems_are_told_their_roads(monkeypatch, name, value):
    monkeypatch.setattr(sys, name, value)
    assert "grade on such a machine, or in a container" in available()


def test_the_filter_knows_its_machines():
    assert len(seccomp.filter_bytes("aarch64")) == len(seccomp.filter_bytes("x86_64")) > 0
    assert seccomp.filter_bytes("riscv64") == b""


def test_limits_can_be_replaced_one_by_one():
    assert replace(Limits(), processes=3) == Limits(processes=3)
