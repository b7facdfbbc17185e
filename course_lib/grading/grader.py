"""Grading a class: fill the store in parallel, then let nbgrader record, one submission after the other."""

import json
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from traitlets.config import Config

from course_lib.errors import CourseError
from course_lib.grading.execution import execute
from course_lib.grading.nbgrader_glue import fingerprint, job_for, released
from course_lib.grading.store import Store, key
from course_lib.grading.submission import OURS, plan, read
from course_lib.layout import Course, Lesson
from course_lib.nbgrader_tools import api, configuration, in_course, succeed

__all__ = ["Outcome", "grade", "register", "students_of"]


@dataclass(frozen=True)
class Outcome:
    """What became of one submission.

    status: graded, unchanged, repaired, unreadable, needs a human, refused (nothing of it was touched) or failed.
    """

    student: str
    status: str
    points: float | None = None
    max_points: float | None = None
    reason: str = ""


def students_of(course: Course, lesson: Lesson) -> list[str]:
    """Name the students who handed in something for a lesson: grading/submitted/<student>/<lesson>/."""
    folder = course.grading / "submitted"
    names = sorted(path.name for path in folder.glob("*") if (path / lesson.name).exists())
    if not names:
        raise CourseError(
            f"There is nothing to grade: put submissions into {folder.relative_to(course.root)}"
            f"/<student>/{lesson.name}/{lesson.notebook}."
        )
    return names


def register(course: Course, lesson: Lesson, config: Config) -> None:
    """Tell the gradebook about a lesson: what `nbgrader generate_assignment` would, without touching notebooks/.

    A course without solutions/ registers its released notebook.
    """
    with in_course(course), tempfile.TemporaryDirectory() as folder:
        config = Config(config)
        config.CourseDirectory.release_directory = folder
        if not lesson.file(course.solutions).exists():
            config.CourseDirectory.source_directory = "notebooks"
        succeed(f"register {lesson.name}", api(config).generate_assignment(lesson.name))


def grade(
    course: Course,
    lesson: Lesson,
    executor: Executor,
    db: str | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> list[Outcome]:
    """Grade every submission of a lesson.

    executor: runs the sandboxed executions; only bytes travel to it, and one writer records the results.
    progress: is told the stage, and how many of how many are done.
    """
    config = configuration(course, db)
    register(course, lesson, config)
    jobs: dict[str, bytes | None] = {}
    outcomes: dict[str, Outcome] = {}
    for student in students_of(course, lesson):
        reason = _refusal(course, lesson, student)
        if reason:
            outcomes[student] = Outcome(student, "refused", reason=reason)
        else:
            cells = plan(read(lesson.file(course.grading / "submitted" / student), released(course, lesson)))
            jobs[student] = job_for(course, lesson, cells) if cells else None  # nothing runs if it cannot be read
    failed = _fill(Store(course.grading / "store"), jobs, executor, progress)
    with in_course(course):
        for done, (student, job) in enumerate(jobs.items(), 1):
            if job and key(job) in failed:
                outcomes[student] = Outcome(student, "failed", reason=failed[key(job)])
            else:
                outcomes[student] = _record(course, lesson, student, config, fingerprint(job) if job else None)
            progress("recording", done, len(jobs))
    return [outcomes[student] for student in sorted(outcomes)]


def _fill(
    store: Store, jobs: dict[str, bytes | None], executor: Executor, progress: Callable[[str, int, int], None]
) -> dict[str, str]:
    """Execute what the store does not hold yet, equal submissions once; returns the reason of each job that failed."""
    wanted = {key(job): job for job in jobs.values() if job}
    missing = {executor.submit(execute, job): name for name, job in wanted.items() if name not in store}
    failed = {}
    for done, future in enumerate(as_completed(missing), 1):
        try:
            store.put(missing[future], future.result())
        except Exception as error:  # one sandbox that does not start must not cost the rest of the class its grades
            failed[missing[future]] = f"it could not be run ({error}): grade again"
        progress("running", done, len(missing))
    return failed


def _record(course: Course, lesson: Lesson, student: str, config: Config, mark: str | None) -> Outcome:
    """Let nbgrader record one submission, unless it stands in the gradebook already exactly so."""
    graded = lesson.file(course.grading / "autograded" / student)
    unchanged = _outcome(lesson, student, config, graded, "unchanged") if mark and _mark_of(graded) == mark else None
    if unchanged:
        return unchanged
    result = api(config).autograde(lesson.name, student)
    if not result["success"]:
        reason = (result.get("error") or result.get("log") or "").strip().splitlines()[-1:]
        return Outcome(student, "failed", reason=" ".join(reason))
    return _outcome(lesson, student, config, graded, "graded") or Outcome(student, "failed", reason="nothing recorded")


def _outcome(lesson: Lesson, student: str, config: Config, graded: Path, status: str) -> Outcome | None:
    """Read what the gradebook holds; None if it holds nothing."""
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        try:
            submission = gradebook.find_submission(lesson.name, student)
        except MissingEntry:
            return None
        points, most, human = submission.score, submission.max_score, submission.needs_manual_grade
    facts = json.loads(graded.read_bytes())["metadata"].get(OURS, {})
    repairs = "; ".join(facts.get("repairs", []))
    if human:
        status = "needs a human"
    elif "unreadable" in facts:
        status = "unreadable"
    elif repairs and status == "graded":
        status = "repaired"
    return Outcome(student, status, points, most, facts.get("unreadable") or repairs)


def _mark_of(graded: Path) -> str | None:
    try:
        return json.loads(graded.read_bytes())["metadata"][OURS]["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refusal(course: Course, lesson: Lesson, student: str) -> str:
    """Say why a submission's folder is not touched; empty if all is well."""
    folder = course.grading / "submitted" / student / lesson.name
    if any(path.is_symlink() for path in (folder.parent, folder, *folder.rglob("*"))):
        return "it contains a symbolic link, which could point at anything: ask for the files themselves"
    if not (folder / lesson.notebook).is_file():
        found = ", ".join(path.name for path in sorted(folder.rglob("*.ipynb"))) or "no notebook"
        return f"there is no {lesson.notebook} in it, only {found}: rename the file and grade again"
    return ""
