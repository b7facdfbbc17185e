"""nbgrader from Python: its configuration for this course, and its steps, with errors a person can read."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import SAWarning
from traitlets.config import Config, PyFileConfigLoader

from course_lib.errors import CourseError
from course_lib.layout import Course

__all__ = ["api", "configuration", "in_course", "succeed"]


def configuration(course: Course, db: str | None = None) -> Config:
    """Read nbgrader_config.py; `db` is an SQLAlchemy address in place of the SQLite file under grading/."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(course.root)).load_config()
    if db:
        config.CourseDirectory.db_url = db
    return config


def api(config: Config) -> NbGraderAPI:
    """Give nbgrader's own interface to its steps, quiet but for errors."""
    logging.getLogger("traitlets").setLevel(logging.ERROR)
    return NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)


@contextmanager
def in_course(course: Course) -> Iterator[None]:
    """Work in the course's folder, with this environment's programs first on PATH: nbgrader calls alembic by name.

    SQLAlchemy's warnings about how nbgrader links new rows are nothing a user could act on, so they are not shown.
    """
    here, path = Path.cwd(), os.environ.get("PATH", "")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    os.chdir(course.root)
    course.grading.mkdir(exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            yield
    finally:
        os.chdir(here)
        os.environ["PATH"] = path


def succeed(step: str, result: dict[str, Any]) -> None:
    """Raise CourseError with the last line of nbgrader's log if a step did not succeed."""
    if not result["success"]:
        lines = (result.get("error") or result.get("log") or "no reason was given").strip().splitlines()
        raise CourseError(f"nbgrader could not {step}: {lines[-1]}")
