"""Grading a class: fill the store in parallel, then let nbgrader record, one submission after the other."""

import contextlib
import json
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from sqlalchemy.engine import make_url
from traitlets.config import Config

import course_lib
from course_lib.errors import CourseError
from course_lib.grading.classbook import facts_of, write_summary
from course_lib.grading.execution import execute, sweep
from course_lib.grading.handin import LARGEST_FILE, OddFile, find, load, read_plain
from course_lib.grading.nbgrader_glue import TIMESTAMP, job_for, released
from course_lib.grading.store import Store, key, write_atomically
from course_lib.grading.submission import plan
from course_lib.grading.verdicts import NEEDS_HUMAN
from course_lib.layout import Course, Lesson
from course_lib.nbgrader_tools import api, configuration, in_course, succeed

__all__ = ["Outcome", "grade", "refusal", "register", "students_of"]

NAME = re.compile(r"[\w .,'@+-]+")  # of a student's folder; nbgrader takes others as patterns
LONGEST_NAME = 120  # bytes; files are called after it, and a gradebook has room for 128
RAISED = re.compile(r"[\w.]*(Error|Exception|Warning)\b")  # the last line of a traceback
TOOLS = ("cli.py", "layout.py", "nbgrader_tools.py", "release.py", "selfcheck.py")  # no mark depends on these


@dataclass(frozen=True)
class Outcome:
    """What became of one submission.

    status: graded, repaired, limit hit, unreadable, graded by hand, needs a human, refused (nothing of it was
        touched) or failed.
    reasons: what was repaired, stopped or refused, as sentences. flags: what an instructor may want to look at.
    unchanged: it stood in the gradebook already, and neither the work nor the course has changed.
    """

    student: str
    status: str
    points: float | None = None
    max_points: float | None = None
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    unchanged: bool = False

    @property
    def reason(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)


def students_of(course: Course, lesson: Lesson) -> list[str]:
    """Name the students who handed in something for a lesson: grading/submitted/<student>/<lesson>/."""
    names = course.handed_in(lesson)
    if not names:
        raise CourseError(
            "There is nothing to grade: put submissions into grading/submitted"
            f"/<student>/{lesson.name}/{lesson.notebook}."
        )
    return names


def register(course: Course, lesson: Lesson, config: Config) -> None:
    """Tell the gradebook about a lesson: what `nbgrader generate_assignment` would, without touching notebooks/.

    A course without solutions/ registers its released notebook.
    """
    with in_course(course), tempfile.TemporaryDirectory() as folder:
        _make_gradebook(config.CourseDirectory.db_url)
        config = Config(config)
        config.CourseDirectory.release_directory = folder
        if not lesson.file(course.solutions).exists():
            config.CourseDirectory.source_directory = "notebooks"
        succeed(f"register {lesson.name}", api(config).generate_assignment(lesson.name))


def _make_gradebook(db_url: str) -> None:
    """Make a new SQLite gradebook whole or not at all; nbgrader does it in steps, and one cut short stays so."""
    url = make_url(db_url)
    if not url.drivername.startswith("sqlite") or not url.database or Path(url.database).exists():
        return
    file = Path(url.database)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".new-") as folder:
        scratch = Path(folder) / file.name
        Gradebook(f"sqlite:///{scratch}").close()
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(scratch)


def grade(
    course: Course,
    lesson: Lesson,
    executor: Executor,
    db: str | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    again: bool = False,
    sandboxed: bool = True,
) -> list[Outcome]:
    """Grade every submission of a lesson.

    executor: runs the sandboxed executions; only bytes travel to it, and one writer records the results.
    progress: is told the stage, and how many of how many are done.
    again: run what was run before too, which a machine that was too busy for the limits may call for.
    sandboxed: False runs student code as an ordinary program, and every mark says so.
    """
    config = configuration(course, db)
    config.SandboxExecute.sandboxed = sandboxed
    sweep()
    register(course, lesson, config)
    jobs: dict[str, bytes | None] = {}
    outcomes: dict[str, Outcome] = {}
    for student in students_of(course, lesson):
        try:
            reason = refusal(course, lesson, student)
            if reason:
                outcomes[student] = Outcome(student, "refused", reasons=(reason,))
                continue
            cells = plan(load(course.hand_in(lesson, student), lesson.notebook, released(course, lesson)))
            # Nothing runs if it cannot be read.
            jobs[student] = job_for(course, lesson, cells, sandboxed) if cells else None
        except Exception as error:  # a surprise in one hand-in must not end the class
            outcomes[student] = _surprise(student, error)
    failed = _fill(Store(course.executions), jobs, executor, progress, again)
    with in_course(course):
        for done, (student, job) in enumerate(jobs.items(), 1):
            if job and key(job) in failed:
                outcomes[student] = Outcome(student, "failed", reasons=(failed[key(job)],))
            else:
                try:
                    outcomes[student] = _record(course, lesson, student, config, job, again)
                except Exception as error:
                    outcomes[student] = _surprise(student, error)
            progress("recording", done, len(jobs))
    ordered = [outcomes[student] for student in sorted(outcomes)]
    write_summary(course, lesson, ordered)
    return ordered


def _surprise(student: str, error: Exception) -> Outcome:
    return Outcome(student, "failed", reasons=(f"{type(error).__name__}: {error}"[:500],))


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
    mark = _fingerprint(_content(course.hand_in(lesson, student), lesson), job)
    graded = lesson.file(course.grading / "autograded" / student)
    if not again and graded.is_file() and _noted(note) == [mark, _auto_scores(lesson, student, config)]:
        return _outcome(lesson, student, config, graded, unchanged=True)
    result = api(config).autograde(lesson.name, student)
    if not result["success"] or not graded.is_file():
        log = (result.get("error") or result.get("log") or "").strip().splitlines()
        raised = [line for line in log if RAISED.match(line)]
        return Outcome(student, "failed", reasons=((raised or log or ["nbgrader gave no reason"])[-1],))
    write_atomically(note, json.dumps([mark, _auto_scores(lesson, student, config)]).encode())
    return _outcome(lesson, student, config, graded)


def _outcome(lesson: Lesson, student: str, config: Config, graded: Path, unchanged: bool = False) -> Outcome:
    """Say what the gradebook holds, and what the autograded notebook says about it."""
    facts = facts_of(graded)
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        submission = gradebook.find_submission(lesson.name, student)
        grades = [grade for nb in submission.notebooks for grade in nb.grades]
        by_hand = [f"{grade.name}: {grade.manual_score:g}" for grade in grades if grade.manual_score is not None]
        points, most = submission.score, submission.max_score
        waiting = any(grade.auto_score is None and grade.manual_score is None for grade in grades)
    status, reasons = facts.get("status", "graded"), list(facts.get("reasons", []))
    if by_hand:
        reasons.append(f"marks given by hand stay: {', '.join(by_hand)}")
    status = NEEDS_HUMAN if waiting else "graded by hand" if by_hand else status
    return Outcome(student, status, points, most, tuple(reasons), tuple(facts.get("flags", [])), unchanged)


def _content(folder: Path, lesson: Lesson) -> bytes:
    """What a hand-in consists of, as far as a record depends on it: its notebook, its time, the names of its files."""
    parts = ["\0".join(sorted(path.name for path in folder.iterdir())).encode(errors="surrogateescape")]
    with contextlib.suppress(OddFile):
        parts.append(read_plain(find(folder, lesson.notebook), LARGEST_FILE))
    with contextlib.suppress(OddFile):
        parts.append(read_plain(folder / TIMESTAMP, LARGEST_FILE))
    return b" ".join(key(part).encode() for part in parts)


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
    package = Path(course_lib.__file__).parent
    files = [*package.glob("*.py"), *(package / "exercises").rglob("*.py"), *(package / "grading").rglob("*.py")]
    return b"".join(path.read_bytes() for path in sorted(files) if path.name not in TOOLS)


def _noted(note: Path) -> list | None:
    try:
        return json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None


def refusal(course: Course, lesson: Lesson, student: str) -> str:
    """Say why a hand-in is not touched; empty if it can be recorded, be it as unreadable."""
    folder = course.hand_in(lesson, student)
    if not NAME.fullmatch(student) or len(student.encode()) > LONGEST_NAME:
        return (
            f"the name of its folder may hold letters, digits, spaces and . , ' @ + - _ alone, at most {LONGEST_NAME} "
            "bytes: rename the folder"
        )
    if any(path.is_symlink() for path in (folder.parent, folder)):
        return f"{lesson.name} is a symbolic link, or lies behind one: ask for the files themselves"
    if not folder.is_dir():
        return f"{lesson.name} is not a folder: put the notebook into a folder of that name"
    if not list(folder.glob("*.ipynb")):  # nbgrader would not even look at it
        try:
            find(folder, lesson.notebook)
        except OddFile as error:
            return str(error)
        return f"the notebook's name should end in .ipynb: rename it to {lesson.notebook}"
    return ""
