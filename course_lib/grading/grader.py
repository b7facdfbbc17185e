"""Grading a class: fill the store in parallel, then let nbgrader record, one submission after the other."""

import json
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.utils import parse_utc
from traitlets.config import Config

from course_lib import exercises
from course_lib.errors import CourseError
from course_lib.grading import verdicts
from course_lib.grading.execution import execute
from course_lib.grading.nbgrader_glue import job_for, released
from course_lib.grading.store import Store, key, write_atomically
from course_lib.grading.submission import OURS, plan, read
from course_lib.grading.verdicts import NEEDS_HUMAN
from course_lib.layout import Course, Lesson
from course_lib.nbgrader_tools import api, configuration, in_course, succeed

__all__ = ["Outcome", "grade", "refusal", "register", "students_of"]

NAME = re.compile(r"[\w .,'@+-]+")  # of a student's folder; nbgrader takes others as patterns
RAISED = re.compile(r"[\w.]*(Error|Exception|Warning)\b")  # the last line of a traceback
TOOLS = ("cli.py", "layout.py", "nbgrader_tools.py", "release.py", "selfcheck.py")  # no mark depends on these


@dataclass(frozen=True)
class Outcome:
    """What became of one submission.

    status: graded, unchanged, repaired, unreadable, graded by hand, needs a human, refused (nothing of it was
        touched) or failed.
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
    again: bool = False,
) -> list[Outcome]:
    """Grade every submission of a lesson.

    executor: runs the sandboxed executions; only bytes travel to it, and one writer records the results.
    progress: is told the stage, and how many of how many are done.
    again: run what was run before too, which a machine that was too busy for the limits may call for.
    """
    config = configuration(course, db)
    register(course, lesson, config)
    jobs: dict[str, bytes | None] = {}
    outcomes: dict[str, Outcome] = {}
    for student in students_of(course, lesson):
        reason = refusal(course, lesson, student)
        if reason:
            outcomes[student] = Outcome(student, "refused", reason=reason)
            continue
        try:
            cells = plan(read(lesson.file(course.grading / "submitted" / student), released(course, lesson)))
            jobs[student] = job_for(course, lesson, cells) if cells else None  # nothing runs if it cannot be read
        except Exception as error:  # a surprise in one hand-in must not end the class
            outcomes[student] = Outcome(student, "failed", reason=f"{type(error).__name__}: {error}")
    failed = _fill(Store(course.grading / "store"), jobs, executor, progress, again)
    with in_course(course):
        for done, (student, job) in enumerate(jobs.items(), 1):
            if job and key(job) in failed:
                outcomes[student] = Outcome(student, "failed", reason=failed[key(job)])
            else:
                outcomes[student] = _record(course, lesson, student, config, job, again)
            progress("recording", done, len(jobs))
    return [outcomes[student] for student in sorted(outcomes)]


def _fill(
    store: Store,
    jobs: dict[str, bytes | None],
    executor: Executor,
    progress: Callable[[str, int, int], None],
    again: bool,
) -> dict[str, str]:
    """Execute what the store does not hold yet, equal submissions once; returns the reason of each job that failed."""
    wanted = {key(job): job for job in jobs.values() if job}
    missing = {executor.submit(execute, job): name for name, job in wanted.items() if again or name not in store}
    failed = {}
    if missing:
        progress("running", 0, len(missing))
    try:
        for done, future in enumerate(as_completed(missing), 1):
            try:
                store.put(missing[future], future.result())
            except Exception as error:  # one sandbox that does not start must not cost the class its grades
                failed[missing[future]] = f"it could not be run ({error}): grade again"
            progress("running", done, len(missing))
    except BaseException:  # interrupted: do not begin what has not begun
        for future in missing:
            future.cancel()
        raise
    return failed


def _record(
    course: Course, lesson: Lesson, student: str, config: Config, job: bytes | None, again: bool
) -> Outcome:
    """Let nbgrader record one submission, unless it stands in the gradebook already exactly so."""
    note = course.grading / "recorded" / lesson.name / f"{student}.json"
    submitted = lesson.file(course.grading / "submitted" / student).read_bytes()
    mark = _fingerprint(submitted, job)
    graded = lesson.file(course.grading / "autograded" / student)
    if not again and graded.is_file() and _noted(note) == [mark, _auto_scores(lesson, student, config)]:
        return _outcome(lesson, student, config, graded, "unchanged")
    result = api(config).autograde(lesson.name, student)
    if not result["success"] or not graded.is_file():
        log = (result.get("error") or result.get("log") or "").strip().splitlines()
        raised = [line for line in log if RAISED.match(line)]
        return Outcome(student, "failed", reason=(raised or log or ["nbgrader gave no reason"])[-1])
    write_atomically(note, json.dumps([mark, _auto_scores(lesson, student, config)]).encode())
    return _outcome(lesson, student, config, graded, "graded")


def _outcome(lesson: Lesson, student: str, config: Config, graded: Path, status: str) -> Outcome:
    """Say what the gradebook holds, and what the autograded notebook says about it."""
    notebook = json.loads(graded.read_bytes())
    facts = notebook["metadata"].get(OURS, {})
    undecided = [cell for cell in notebook["cells"] if cell["metadata"].get(OURS, {}).get("status") == NEEDS_HUMAN]
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        submission = gradebook.find_submission(lesson.name, student)
        grades = [grade for nb in submission.notebooks for grade in nb.grades]
        by_hand = [f"{grade.name}: {grade.manual_score:g}" for grade in grades if grade.manual_score is not None]
        points, most = submission.score, submission.max_score
        waiting = any(grade.auto_score is None and grade.manual_score is None for grade in grades)
    reasons = [facts.get("unreadable", ""), *facts.get("repairs", [])]
    if waiting:
        status = NEEDS_HUMAN
        reasons += [cell["metadata"][OURS]["reason"] for cell in undecided]
    elif by_hand:
        status = "graded by hand"
        reasons.append(f"marks given by hand stay: {', '.join(by_hand)}")
    elif "unreadable" in facts:
        status = "unreadable"
    elif facts.get("repairs") and status == "graded":
        status = "repaired"
    return Outcome(student, status, points, most, "; ".join(filter(None, reasons)))


def _auto_scores(lesson: Lesson, student: str, config: Config) -> dict[str, float | None] | None:
    """What the gradebook holds of our own marks; None if it does not know the submission."""
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        try:
            submission = gradebook.find_submission(lesson.name, student)
        except MissingEntry:
            return None
        return {grade.name: grade.auto_score for nb in submission.notebooks for grade in nb.grades}


def _fingerprint(submitted: bytes, job: bytes | None) -> str:
    """Name everything that the record of a submission depends on: the file, the job, and the code that judges."""
    return key(b" ".join(key(part).encode() for part in (submitted, job or b"", _judging_code())))


@cache
def _judging_code() -> bytes:
    """The reference, the exercises with their banks, and what writes verdicts down."""
    package = Path(exercises.__file__).parent
    files = [*package.parent.glob("*.py"), *package.rglob("*.py"), Path(verdicts.__file__)]
    return b"".join(path.read_bytes() for path in sorted(files) if path.name not in TOOLS)


def _noted(note: Path) -> list | None:
    try:
        return json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None


def _is_time(file: Path) -> bool:
    """Whether nbgrader, which reads this file if it is there, will find a time in it."""
    try:
        return not file.exists() or parse_utc(file.read_text(encoding="utf-8").strip()) is not None
    except (ValueError, OverflowError):
        return False


def refusal(course: Course, lesson: Lesson, student: str) -> str:
    """Say why a hand-in is not touched; empty if all is well."""
    folder = course.grading / "submitted" / student / lesson.name
    if not NAME.fullmatch(student):
        return "the name of its folder may hold letters, digits, spaces and . , ' @ + - _ alone: rename the folder"
    if not folder.is_dir():
        return f"{lesson.name} is not a folder: put the notebook into a folder of that name"
    for path in (folder.parent, folder, *folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            return f"{path.name} is a symbolic link, or no plain file: ask for the files themselves"
    if not _is_time(folder / "timestamp.txt"):
        return "timestamp.txt holds no time of hand-in: write one such as 2026-01-31 18:00:00 UTC into it, or delete it"
    if (folder / lesson.notebook).is_file():
        return ""
    found = [path.name for path in sorted(folder.rglob("*.ipynb"))]
    if found:
        return f"there is no {lesson.notebook} in it, only {', '.join(found)}: rename the file and grade again"
    return f"there is no {lesson.notebook} in it: ask for the notebook"
