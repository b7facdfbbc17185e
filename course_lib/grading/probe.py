"""What a prisoner would try: run inside the sandbox by its self-test, it prints what it found open, as JSON.

It is read as text and needs nothing but the standard library, so the sandbox does not have to show it.
"""

import contextlib
import ctypes
import json
import mmap
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000


def network(asked: dict[str, Any]) -> Iterator[str]:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", asked["port"]), 0.2):
        yield "the grader's network can be reached"
    if any(name != "lo" for _, name in socket.if_nameindex()):
        yield "there is a network interface"


def files(asked: dict[str, Any]) -> Iterator[str]:
    for path, name in asked["secrets"].items():
        if os.path.lexists(path):
            yield f"{name} can be seen"


def writing(asked: dict[str, Any]) -> Iterator[str]:
    for path in asked["read_only"]:
        if not os.statvfs(path).f_flag & os.ST_RDONLY:
            yield f"{path} is not read-only"
    with contextlib.suppress(OSError):
        found = Path(asked["library"]) / "probe"
        found.write_text("")
        found.unlink()
        yield "the library can be written to"


def environment(asked: dict[str, Any]) -> Iterator[str]:
    everything = repr(dict(os.environ)).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            everything += (process / "environ").read_bytes()
    if asked["canary"].encode() in everything or {"JPY_PARENT_PID", "NBGRADER_EXECUTION"} & set(os.environ):
        yield "the grader's environment can be read"


def rights(asked: dict[str, Any]) -> Iterator[str]:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    if 0 in (*os.getresuid(), *os.getresgid()):
        yield "the code runs as root"
    if any(int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")) or status["NoNewPrivs"] != "1":
        yield "the code has privileges"
    with contextlib.suppress(OSError):
        yield from (f"descriptor {number} is inherited" for number in range(3, 64) if os.fstat(number))


def neighbours(asked: dict[str, Any]) -> Iterator[str]:
    if len(list(Path("/proc").glob("[0-9]*"))) > 3:
        yield "other processes can be seen"
    for name, link in asked["namespaces"].items():
        if str(Path("/proc/self/ns", name).readlink()) == link:
            yield f"the {name} namespace is the grader's"


def system_calls(asked: dict[str, Any]) -> Iterator[str]:
    for family in (socket.AF_INET, socket.AF_VSOCK):
        with contextlib.suppress(OSError), socket.socket(family):
            yield f"sockets of the kind {family.name} can be made"
    with contextlib.suppress(OSError):
        os.close(os.memfd_create("probe"))
        yield "memory can be taken that no limit counts"
    if os.fork() == 0:
        os._exit(ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0)
    if os.wait()[1]:
        yield "a user namespace can be made"


def processes(asked: dict[str, Any]) -> Iterator[str]:
    children = []
    try:
        for _ in range(asked["processes"] + 8):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
        yield "the limit on processes does not hold"
    except OSError:
        pass
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def space(asked: dict[str, Any]) -> Iterator[str]:
    with contextlib.suppress(OSError):
        mmap.mmap(-1, asked["address_bytes"] + 1).close()
        yield "the limit on the memory of a process does not hold"
    with contextlib.suppress(OSError), Path("/tmp/probe").open("wb") as file:
        os.ftruncate(file.fileno(), asked["file_bytes"] + 1)
        yield "the limit on the size of a file does not hold"
    for folder, most in asked["quotas"].items():
        parts = [Path(folder) / f"probe-{number}" for number in range(most // asked["file_bytes"] + 1)]
        with contextlib.suppress(OSError):
            for part in parts:
                with part.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, asked["file_bytes"])
            yield f"the limit on all files in {folder} does not hold"
        for part in parts:
            part.unlink(missing_ok=True)


if __name__ == "__main__":
    questions = (network, files, writing, environment, rights, neighbours, system_calls, processes, space)
    asked = json.loads(sys.argv[1])
    print(json.dumps([problem for question in questions for problem in question(asked)]))
