"""An IPython kernel in a sandbox: cells go in, capped outputs come out, and no wait is without an end."""

import contextlib
import json
import math
import secrets
import select
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.session import Session
from nbformat.v4 import output_from_msg

from course_lib.grading.channel import Channel
from course_lib.grading.sandbox import SOCKETS, Limits, Sandbox, SandboxBroken
from course_lib.grading.unsafe import NoSandbox

__all__ = ["CellRun", "SandboxedKernel"]

CONNECTION_FILE = "/run/kernel.json"
SHELL, IOPUB, STDIN, CONTROL, HEARTBEAT = range(1, 6)  # over IPC a "port" is the end of a socket's name
TICK = 0.1  # seconds between looks at the clock and at the process
GRACE = 1.0  # seconds of processor time that what follows from an event may take
STRUCTURES = 200_000  # lists and dicts in all a cell sends: few bytes on the wire, hundreds each in the grader's memory
OUTPUTS = {"stream", "display_data", "execute_result", "error"}


@dataclass(frozen=True)
class CellRun:
    """What came of one cell.

    status: "ok", "error" (an exception), or why the kernel is gone: "timeout", "flooded" (more output than allowed),
        "out of memory", "died" (it ended itself, or crashed).
    outputs: nbformat v4 outputs, those that arrived before the end.
    """

    status: str
    outputs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kernel_lost(self) -> bool:
        return self.status not in ("ok", "error")


class SandboxedKernel:
    """A fresh kernel in a sandbox of its own, as a context manager; use it from one thread.

    library: directory with the grading build, as for `Sandbox`.
    sandbox: in place of `library` and `limits`, to set what is hidden.
    Errors: SandboxBroken when it does not start.
    """

    def __init__(
        self, library: Path | None = None, limits: Limits | None = None, sandbox: Sandbox | NoSandbox | None = None
    ) -> None:
        if sandbox is None:
            sandbox = Sandbox(library, limits or Limits())
        self.sandbox = sandbox
        self.limits = sandbox.limits

    def __enter__(self) -> "SandboxedKernel":
        self._session = Session(key=secrets.token_hex(16).encode(), username="grader")
        connection = {
            "transport": "ipc", "ip": f"{self.sandbox.place(SOCKETS)}/k", "signature_scheme": "hmac-sha256",
            "kernel_name": "python3", "key": self._session.key.decode(), "shell_port": SHELL, "iopub_port": IOPUB,
            "stdin_port": STDIN, "control_port": CONTROL, "hb_port": HEARTBEAT,
        }  # fmt: skip
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", self.sandbox.place(CONNECTION_FILE)]
        command += ["--HistoryManager.enabled=False", "--InteractiveShell.colors=nocolor"]
        self._channels = []
        self._process = self.sandbox.start(command, files={CONNECTION_FILE: json.dumps(connection).encode()})
        try:
            self._connect(time.monotonic() + self.limits.start_seconds)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        for channel in self._channels:
            channel.close()

    @property
    def alive(self) -> bool:
        return self._process.alive

    def kill(self, reason: str | None = None) -> None:
        """End the kernel and everything it started; SIGKILL, so nothing can refuse."""
        self._process.kill(reason)

    @property
    def worked(self) -> float:
        """Seconds of processor time that the kernel and what it started have had."""
        return self._process.worked

    def execute(
        self, code: str, *, seconds: int | float | None = None, clock: int | float | None = None, silent: bool = False
    ) -> CellRun:
        """Run one cell; only ok and error leave a kernel behind.

        seconds: of processor time, at most (default: the limit for a cell). clock: seconds on the clock, at most
        (default: `patience` times as many, for code that sleeps).
        Only outputs that answer this very request are kept. `input()` raises in the cell.
        """
        if not self.alive:
            return CellRun(self._process.ended or "died")
        seconds = self.limits.cell_seconds if seconds is None else seconds
        deadline = time.monotonic() + (self.limits.patience * seconds if clock is None else clock)
        request = self._session.msg(
            "execute_request",
            {"code": code, "silent": silent, "store_history": not silent, "user_expressions": {}, "allow_stdin": False,
             "stop_on_error": False},
        )  # fmt: skip
        return self._exchange(request, deadline, self.worked + seconds)

    def _exchange(self, request: dict[str, Any], deadline: float, most: float = math.inf) -> CellRun:
        """Send a request and collect what answers it, until both channels say it is over.

        deadline: on the monotonic clock. most: how much the kernel may have worked by the end.
        """
        outputs: list[dict[str, Any]] = []
        status, idle, structures, before = None, False, 0, self._received()
        try:
            self._shell.send(self._session.serialize(request))
        except OSError:
            return self._lost("died", outputs)
        while status is None or not idle:
            left = deadline - time.monotonic()
            if left <= 0 or (self.worked > most and status is None):
                return self._lost("timeout", outputs) if status is None else CellRun(status, outputs)
            ready = {descriptor for descriptor, _ in self._poll.poll(1000 * min(left, TICK))}
            if not ready and not self.alive:
                return self._lost("died", outputs)
            for channel in self._channels:
                if channel.fileno() not in ready:
                    continue
                try:
                    arrived = channel.receive()
                except EOFError:  # it is ending, or it closed the socket
                    self._process.wait(self._grace)
                    return self._lost("died", outputs)
                structures += sum(part.count(b"[") + part.count(b"{") for parts in arrived for part in parts)
                if self._received() - before > self.limits.output_bytes or structures > STRUCTURES:
                    return self._lost("flooded", outputs)
                for message in filter(None, (self._read(parts, request) for parts in arrived)):
                    content = message["content"]
                    if channel is self._shell:
                        status = "ok" if content.get("status") == "ok" else "error"
                        deadline = min(deadline, time.monotonic() + self._grace)  # what is still to come is on its way
                    elif message["msg_type"] == "status":
                        idle = idle or content.get("execution_state") == "idle"
                    else:
                        _collect(outputs, message)
        return CellRun(status, outputs)

    @property
    def _grace(self) -> float:
        """How long to wait on the clock for what follows from an event: the end of a process, the rest of a reply."""
        return GRACE * self.limits.patience

    def _received(self) -> int:
        return sum(channel.received for channel in self._channels)

    def _lost(self, status: str, outputs: list[dict[str, Any]]) -> CellRun:
        self.kill(status)
        return CellRun(self._process.ended or status, outputs)

    def _read(self, frames: list[bytes], request: dict[str, Any]) -> dict[str, Any] | None:
        """The message if it is well made and answers `request`; what a kernel sends is as foreign as its cells."""
        try:
            message = self._session.deserialize(self._session.feed_identities(frames)[1])
            if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
                return None
            return message if isinstance(message["content"], dict) else None
        except Exception:
            return None

    def _connect(self, deadline: float) -> None:
        """Connect once the kernel listens, before any code of the student runs, and never again."""
        self._channel(IOPUB, "SUB", deadline)
        self._shell = self._channel(SHELL, "DEALER", deadline)
        self._poll = select.poll()
        for channel in self._channels:
            self._poll.register(channel, select.POLLIN)
        while time.monotonic() < deadline:  # until the subscription has arrived too
            question = self._session.msg("kernel_info_request", {})
            run = self._exchange(question, min(deadline, time.monotonic() + 5))
            if run.status == "ok":
                return
            if run.kernel_lost:
                break
        raise self._broken()

    def _channel(self, port: int, kind: str, deadline: float) -> Channel:
        while time.monotonic() < deadline and self.alive:
            with contextlib.suppress(OSError):
                path = str(self._process.root() / SOCKETS[1:] / f"k-{port}")
                self._channels.append(Channel(path, kind, deadline))
                return self._channels[-1]
            time.sleep(0.005)
        raise self._broken()

    def _broken(self) -> SandboxBroken:
        self.kill("timeout")
        said = (self._process.stderr.strip().splitlines() or [self._process.ended or "it said nothing"])[-1]
        return SandboxBroken(f"No kernel started in the sandbox ({said}): run its self-test to see what is missing.")


def _collect(outputs: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """Append a message as an output if it is a valid one, joining what follows on the same stream."""
    try:
        if message["msg_type"] not in OUTPUTS:
            return
        output = output_from_msg(message)
        nbformat.validate(output, ref=output["output_type"], version=4)
        if output["output_type"] == "stream":
            output["text"] = "".join(output["text"])  # the format allows a list of lines
        json.dumps(output, ensure_ascii=False).encode()  # half a surrogate pair could not be written to a file
    except Exception:
        return
    if output["output_type"] == "stream" and outputs and outputs[-1].get("name") == output["name"]:
        outputs[-1]["text"] += output["text"]
    else:
        outputs.append(output)
