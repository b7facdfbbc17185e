"""A hand-in on disk: which of its files is the notebook, and what that holds, whatever else lies there."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from course_lib.grading.submission import OURS, copy_of, name_of, repair, text_of

__all__ = ["OddFile", "find", "load", "read_plain"]

LARGEST_FILE = 100_000_000  # bytes
LARGEST_READ = 20_000_000  # bytes of it that are read: all but outputs, attachments and the notebook's metadata
MOST_STRUCTURES = 500_000  # brackets and braces in them: few bytes in a file, hundreds each in the grader's memory
MOST_PARTS = 10 * MOST_STRUCTURES  # of those and of texts in the whole file: each takes time to pass over
MOST_CELLS = 2_000
MOST_CODE = 150_000  # characters in all code cells together, which a scan reads; a lesson has 20,000
MOST_TEXT = 300_000  # characters in all other cells together, which a page shows
LONGEST_TEXT = 20_000  # characters of one of them where they are more
LONG_WORD = re.compile(r"\S{1000,}")  # such as a picture written out
MOST_NAMED = 20  # cells
PART = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+(\s*+:\s*+)?|[][{}]', re.DOTALL)  # a text, a name with its colon, a bracket
UNREAD = {1: (b'"metadata"',), 3: (b'"outputs"', b'"attachments"')}  # how deep: of the notebook, of a cell


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
        notebook = _parse(read_plain(file, LARGEST_FILE))
        renamed = [f"the file was called {file.name[:80]!r}"] if file.name != name else []
        shortened = _shorten(notebook)
        repaired = repair(notebook, released)
        repaired.metadata[OURS].repairs[:0] = renamed + shortened
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
    if not content or content.isspace():
        raise OddFile("the file is empty: ask for it again")
    if content.startswith(b"PK\x03\x04"):
        raise OddFile("the file is a zip archive: ask for the notebook in it")
    try:
        notebook = json.loads(_worth_reading(content))
    except RecursionError as error:
        raise OddFile("it is nested too deeply for a notebook: ask for it again") from error
    except ValueError as error:
        raise OddFile(f"it is damaged, for it is no JSON ({error}): ask for it again") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or notebook.get("nbformat") != 4:
        raise OddFile("it is not a notebook of format 4: open it in JupyterLab, save it and hand it in again")
    if not all(isinstance(cell, dict) for cell in cells):
        raise OddFile("it is damaged, for one of its cells is none: ask for it again")
    if len(cells) > MOST_CELLS or sum(len(text_of(cell)) for cell in cells if _is_code(cell)) > MOST_CODE:
        raise OddFile("it holds more text than a lesson can: delete what does not belong to it and hand it in again")
    return notebook


def _worth_reading(content: bytes) -> bytes:
    """Leave out of a notebook's JSON what nobody looks at, before anything is made of it in memory. Raises OddFile."""
    encoding = json.detect_encoding(content)
    if not encoding.startswith("utf-8"):
        content = content.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    kept, structures, depth = [], 0, 0
    start, skipped = 0, None  # where what is kept goes on; how deep the value lies that is being left out
    for count, part in enumerate(PART.finditer(content)):
        opens, closes = content[part.start()] in b"[{", content[part.start()] in b"]}"
        depth += opens - closes
        structures += opens and skipped is None
        if count > MOST_PARTS or structures > MOST_STRUCTURES:
            raise OddFile("it holds more parts than a notebook can: delete its outputs and hand it in again")
        if skipped is not None:
            if depth <= skipped:
                start, skipped = part.end(), None
        elif part[1] and content[part.end() : part.end() + 1] in (b"[", b"{", b'"'):
            if content[part.start() : part.start(1)] in UNREAD.get(depth, ()):
                kept += [content[start : part.end()], b"null"]
                start, skipped = len(content), depth
    kept.append(content[start:])
    if sum(map(len, kept)) > LARGEST_READ:
        raise OddFile(f"it is larger than {LARGEST_READ / 1e6:g} MB even without outputs: delete what is not needed")
    return b"".join(kept)


def _shorten(notebook: dict[str, Any]) -> list[str]:
    """Cut texts that together are too long for a page, pictures written out in them first; says which."""
    texts = [cell for cell in notebook["cells"] if not _is_code(cell)]
    left, names = MOST_TEXT, []
    if sum(len(text_of(cell)) for cell in texts) <= MOST_TEXT:
        return []
    for cell in texts:
        text = short = text_of(cell)
        if len(text) > LONGEST_TEXT:
            short = LONG_WORD.sub("[left out here]", text)
        if len(short) > min(LONGEST_TEXT, left):
            short = f"{short[: min(LONGEST_TEXT, left)]}\n\n[cut off here]"
        if short != text:
            names.append(name_of(cell)[:80] or "without a name")
            cell["source"] = short
        left = max(0, left - len(short))
    return [f"what is too long for a page was shortened in the cell {name}" for name in names[:MOST_NAMED]]


def _is_code(cell: dict[str, Any]) -> bool:
    return cell.get("cell_type") == "code"
