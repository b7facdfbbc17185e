"""The store of executed notebooks: results by the hash of everything they depend on, so nothing is run twice."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

__all__ = ["Store", "key", "write_atomically"]


def key(job: bytes) -> str:
    """Name a job by its content."""
    return hashlib.sha256(job).hexdigest()


class Store:
    """A folder of results, each in a file named by its job's key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> bytes | None:
        """Give the result stored under a key; None if there is none."""
        try:
            return self._file(name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, result: bytes) -> None:
        """Store a result; a reader sees all of it or nothing, also when the writer is killed."""
        write_atomically(self._file(name), result)

    def __contains__(self, name: str) -> bool:
        return self._file(name).is_file()

    def _file(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.json"


def write_atomically(file: Path, content: bytes, keep: bool = False) -> None:
    """Write a file so that it is either the old one or the new one, never half of it.

    keep: where two write at once, or the file is there already, the first one stays.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=file.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        if keep:
            with contextlib.suppress(FileExistsError):
                file.hardlink_to(scratch)
        else:
            Path(scratch).replace(file)
    finally:
        Path(scratch).unlink(missing_ok=True)
