"""The learner's lab book: what a lesson measured, kept in one small JSON file for the lessons that follow.

For lessons not run yet the course ships results of its own, measured by the solutions (`make reference`): a list for
each key, one result a seed. The first is what the notebook as it stands gives, and what `recall` falls back on.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.training import half_trained

__all__ = ["REFERENCE", "is_own", "path", "recall", "record"]

REFERENCE = Path(__file__).with_name("reference_results.json")
_NOTHING = object()
HALF_TRAINED = (
    "Not written into the lab book: {key}. The training of a model was interrupted: run its cell again to the end, and "
    "after it this one."
)


def path() -> Path:
    """Give the file: `labbook.json` in $COURSE_HOME, else in the current directory's `.course`."""
    return Path(os.environ.get("COURSE_HOME") or ".course") / "labbook.json"


def record(key: str, value: Any) -> None:
    """Write a result into the lab book, in place of an earlier one with the same key.

    key: lesson and name, "01.allowed_pairs". value: what JSON can hold and give back equal: None, bool, int,
    finite float, str, lists of these, dicts of these with str keys.
    Nothing is written while a copy of the notebook is run to look at it: by Validate, `course check` or a grader. A
    lesson's result is not written while a model is half trained, and that is said.
    A lab book that cannot be read is set aside beside the new one, under a name of its own, and that is said.
    Raises CourseError if the value is not of that kind.
    """
    if key[:2].isdigit() and half_trained():
        print(HALF_TRAINED.format(key=key))
        return
    _require_json(key, value)
    if os.environ.get("NBGRADER_EXECUTION"):
        return
    file = path()
    book = _read(file)
    if book is None:
        _set_aside(file)
        book = {}
    _write(file, book | {key: value})


def recall(key: str, default: Any = _NOTHING) -> Any:
    """Give back the result recorded under `key`; if the learner has none, the course's own; else `default`.

    Raises CourseError if there is no such result at all and no default.
    """
    book = _read(path()) or {}
    if key in book:
        return book[key]
    shipped = _read(REFERENCE) or {}
    if key in shipped:
        return shipped[key][0]
    if default is _NOTHING:
        raise CourseError(f"Nothing is recorded under {key!r} yet: run lesson {key.split('.')[0]} first.")
    return default


def is_own(key: str) -> bool:
    """Say whether the learner measured the result under `key`, which is otherwise the course's own or nobody's."""
    return key in (_read(path()) or {})


def _read(file: Path) -> dict[str, Any] | None:
    """Give the lab book's content, empty if there is no file yet, None if the file is damaged."""
    try:
        book = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        return None
    return book if isinstance(book, dict) else None


def _set_aside(file: Path) -> None:
    number = 1
    while (aside := file.with_name(f"{file.stem}.damaged-{number}{file.suffix}")).exists():
        number += 1
    file.rename(aside)
    print(f"The lab book could not be read: it is kept as {aside}, and a new one begins.")


def _write(file: Path, book: dict[str, Any]) -> None:
    """Replace the file in one step, so that whoever reads it, or a crash, never meets half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.stem, suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(book, stream, indent=2, ensure_ascii=False)
            stream.write("\n")
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _require_json(key: str, value: Any) -> None:
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        same = False
    if not isinstance(key, str) or not same:
        raise CourseError(
            f"The lab book cannot keep {key!r}: it takes None, bool, int, finite float, str, "
            f"lists and dicts with str keys, got {type(value).__name__}."
        )
