"""Just enough ZeroMQ to talk to a kernel that may be hostile: every byte is counted before it is kept.

The ZeroMQ library takes in a message of endless parts until the memory of the grader is gone, and connects again to
whatever now stands where the kernel stood. A channel here is one connection to one socket, read only when asked.
"""

import socket
import struct
import time

__all__ = ["Channel"]

# ZMTP 3.0: signature, version, mechanism NULL (20 bytes), as-server, filler; 64 bytes in all.
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
MORE, LONG, COMMAND = 1, 2, 4  # flags in the first byte of a frame
CHUNK = 65_536  # bytes taken in one look, so that no look takes long
SEND_SECONDS = 10.0  # how long the other side may refuse to read, on the busiest machine


class Channel:
    """A connection to a ZeroMQ socket that listens at a path.

    path: of a Unix socket. kind: "DEALER", or "SUB", which subscribes to everything.
    received: bytes that came in since the connection was made.
    Errors: OSError when nothing listens or it does not speak ZMTP 3 before `deadline` (on the monotonic clock).
    Source: ZeroMQ RFC 23 (ZMTP 3.0).
    """

    def __init__(self, path: str, kind: str, deadline: float) -> None:
        self.received = 0
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            self._socket.connect(path)
            self._socket.sendall(GREETING)
            ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind.encode()
            self._socket.sendall(bytes([COMMAND, len(ready)]) + ready)
            theirs = self._exactly(len(GREETING))
            flags, size = self._exactly(2)
            answer = self._exactly(size)
            if theirs[0] != 0xFF or theirs[10] < 3 or flags != COMMAND or not answer.startswith(b"\x05READY"):
                raise ConnectionError("what listens there does not speak ZMTP 3")
            if kind == "SUB":
                self.send([b"\x01"])
        except BaseException:
            self.close()
            raise
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, parts: list[bytes]) -> None:
        """Send one message; OSError if the other side is gone or does not read."""
        frames = bytearray()
        for number, part in enumerate(parts, start=1):
            frames += struct.pack(">BQ", LONG | (MORE if number < len(parts) else 0), len(part)) + part
        self._socket.settimeout(SEND_SECONDS)
        self._socket.sendall(frames)
        self._socket.setblocking(False)

    def receive(self) -> list[list[bytes]]:
        """Take in what is there, at most CHUNK bytes, and give the messages now complete; EOFError at the end."""
        try:
            chunk = self._socket.recv(CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        if not chunk:
            raise EOFError
        self.received += len(chunk)
        self._buffer += chunk
        return self._complete()

    def _complete(self) -> list[list[bytes]]:
        messages = []
        start = 0
        while len(self._buffer) - start >= 2:
            flags = self._buffer[start]
            head = 9 if flags & LONG else 2
            if len(self._buffer) - start < head:
                break
            size = int.from_bytes(self._buffer[start + 1 : start + head])
            if len(self._buffer) - start - head < size:
                break
            if not flags & COMMAND:
                self._parts.append(bytes(self._buffer[start + head : start + head + size]))
                if not flags & MORE:
                    messages.append(self._parts)
                    self._parts = []
            start += head + size
        del self._buffer[:start]
        return messages

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            chunk = self._socket.recv(size - len(found))
            if not chunk:
                raise ConnectionError("the other side closed the connection")
            found += chunk
        return found
