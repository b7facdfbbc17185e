"""A hand-in on disk: which of its files is the notebook, and what that holds, whatever else lies there."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from course_lib.grading.submission import OURS, copy_of, repair, text_of

__all__ = ["OddFile", "find", "load", "read_plain"]

LARGEST_FILE = 20_000_000  # bytes
MOST_STRUCTURES = 500_000  # brackets and braces in it: few bytes in a file, hundreds each in the grader's memory
MOST_CELLS = 2_000
MOST_CODE = 150_000  # characters in all code cells together, which a scan reads; a lesson has 20,000
MOST_TEXT = 300_000  # characters in all other cells together, which a page shows


class OddFile(Exception):
    """A file that is not opened, or not what it should be; its text says why, and what to do."""


def load(folder: Path, name: str, released: NotebookNode) -> NotebookNode:
    """Read and repair the notebook of a hand-in; one that cannot be read becomes the released one, with the reason.

    folder: <submitted>/<student>/<lesson>. name: what the notebook should be called.
    What was done is kept in the notebook's metadata: `course.repairs`, and `course.unreadable` if nothing of the
    student's could be used. Never raises.
    """
    try:
        file = find(folder, name)
        repaired = repair(_parse(read_plain(file, LARGEST_FILE)), released)
        if file.name != name:
            repaired.metadata[OURS].repairs.insert(0, f"the file was called {file.name[:80]!r}")
        return repaired
    except OddFile as error:
        reason = str(error)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        reason = f"it cannot be read ({type(error).__name__}: {error}): ask for it again"
    notebook = copy_of(released)
    notebook.metadata[OURS] = NotebookNode(unreadable=f"{name} was not graded: {reason}."[:500])
    return notebook


def find(folder: Path, name: str) -> Path:
    """Choose the file to grade: the one of the right name, or the only notebook there is.

    Raises OddFile if there is none, or more than one that could be meant, or the folder leads elsewhere.
    """
    for place in (folder.parent, folder):
        if place.is_symlink() or not place.is_dir():
            raise OddFile(f"{place.name} is not a folder but a link or a file: ask for the files themselves")
    if os.path.lexists(folder / name):
        return folder / name
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".ipynb")
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found[:5])
        raise OddFile(f"there are several notebooks ({names}), none of that name: rename the one to be graded")
    others = sorted(path.name for path in folder.iterdir() if path.name != "timestamp.txt")
    instead = f", only {', '.join(others[:5])}" if others else ""
    raise OddFile(f"there is no notebook in the folder{instead}: ask for the notebook itself")


def read_plain(file: Path, most: int) -> bytes:
    """Read a plain file of at most `most` bytes; a link is not followed and a pipe not waited for. Raises OddFile."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = "a symbolic link" if file.is_symlink() else f"not to be opened ({error.strerror})"
        raise OddFile(f"{file.name} is {why}: ask for the file itself") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OddFile(f"{file.name} is no plain file: ask for the file itself")
        with open(descriptor, "rb", closefd=False) as stream:
            content = stream.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise OddFile(f"it is larger than {most / 1e6:g} MB: delete its outputs and hand it in again")
    return content


def _parse(content: bytes) -> dict[str, Any]:
    """Give the notebook in a file as plain JSON, small enough to work with. Raises OddFile or what json raises."""
    if not content.strip():
        raise OddFile("the file is empty: ask for it again")
    if content.startswith(b"PK\x03\x04"):
        raise OddFile("the file is a zip archive: ask for the notebook in it")
    if content.count(b"{") + content.count(b"[") > MOST_STRUCTURES:
        raise OddFile("it holds more parts than a notebook can: delete its outputs and hand it in again")
    try:
        notebook = json.loads(content)
    except RecursionError as error:
        raise OddFile("it is nested too deeply for a notebook: ask for it again") from error
    except ValueError as error:
        raise OddFile(f"it is damaged, for it is no JSON ({error}): ask for it again") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or notebook.get("nbformat") != 4:
        raise OddFile("it is not a notebook of format 4: open it in JupyterLab, save it and hand it in again")
    if not all(isinstance(cell, dict) for cell in cells):
        raise OddFile("it is damaged, for one of its cells is none: ask for it again")
    code = sum(len(text_of(cell)) for cell in cells if cell.get("cell_type") == "code")
    text = sum(len(text_of(cell)) for cell in cells) - code
    if len(cells) > MOST_CELLS or code > MOST_CODE or text > MOST_TEXT:
        raise OddFile("it holds more text than a lesson can: delete what does not belong to it and hand it in again")
    return notebook
