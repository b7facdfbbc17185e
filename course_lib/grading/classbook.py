"""The class as tables: what became of each hand-in of a lesson, and everybody's grades, exercise by exercise."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbgrader.api import Gradebook, MissingEntry

from course_lib.errors import CourseError
from course_lib.grading.store import write_atomically
from course_lib.grading.submission import OURS
from course_lib.layout import Course, Lesson

if TYPE_CHECKING:
    from course_lib.grading.grader import Outcome

__all__ = ["export_csv", "facts_of", "write_summary"]

SUMMARY = ("student", "status", "points", "max_points", "unchanged", "reasons", "flags")
NOT_RECORDED = ("refused", "failed")


def facts_of(graded: Path) -> dict[str, Any]:
    """What an autograded notebook says about the hand-in it was made of: status, reasons, flags; {} if it is not."""
    try:
        return json.loads(graded.read_bytes())["metadata"][OURS]
    except (OSError, ValueError, KeyError):
        return {}


def write_summary(course: Course, lesson: Lesson, outcomes: Sequence["Outcome"]) -> Path:
    """Write what became of each hand-in to grading/summary/<lesson>.csv, for the instructor's eyes."""
    rows = [
        {
            "student": outcome.student, "status": outcome.status, "points": outcome.points,
            "max_points": outcome.max_points, "unchanged": "yes" if outcome.unchanged else "",
            "reasons": outcome.reason, "flags": "\n".join(outcome.flags),
        }
        for outcome in outcomes
    ]  # fmt: skip
    file = course.grading / "summary" / f"{lesson.name}.csv"
    write_atomically(file, _table(SUMMARY, rows))
    return file


def export_csv(course: Course, db_url: str, file: Path) -> int:
    """Write all grades in the gradebook to a CSV file; returns the number of lines below the heading.

    Columns: student, lesson, each exercise's points (empty where a human still has to decide), points, max_points,
    status (as `course grade` says it; "no submission" or "not graded" where there is no grade), reasons, flags (how
    many), needs_human. Raises CourseError if the gradebook holds no lesson.
    """
    with Gradebook(db_url) as gradebook:
        if not gradebook.assignments:
            raise CourseError("There is nothing to export: grade a lesson first, `course grade 01`.")
        rows, columns = [], []
        for assignment in gradebook.assignments:
            names = [cell.name.removesuffix("-check") for nb in assignment.notebooks for cell in nb.grade_cells]
            columns += [name for name in names if name not in columns]
            lesson = Lesson(assignment.name)
            lost, handed_in = _not_recorded(course, lesson), set(course.handed_in(lesson))
            for student in sorted({student.id for student in gradebook.students} | handed_in):
                row = {"student": student, "lesson": lesson.name, "points": 0, "max_points": assignment.max_score}
                row["status"] = "not graded" if student in handed_in else "no submission"
                recorded = _recorded(gradebook, course, lesson, student)
                rows.append(row | recorded | lost.get(_inert(student), {}))
    heading = ["student", "lesson", *columns, "points", "max_points", "status", "reasons", "flags", "needs_human"]
    write_atomically(file, _table(heading, rows))
    return len(rows)


def _recorded(gradebook: Gradebook, course: Course, lesson: Lesson, student: str) -> dict[str, Any]:
    """What the gradebook and the autograded notebook say of one hand-in; {} if it was never recorded."""
    try:
        submission = gradebook.find_submission(lesson.name, student)
    except MissingEntry:
        return {}
    row: dict[str, Any] = {}
    for notebook in submission.notebooks:
        for grade in notebook.grades:
            undecided = grade.needs_manual_grade and grade.manual_score is None
            row[grade.name.removesuffix("-check")] = "" if undecided else grade.score
    facts = facts_of(lesson.file(course.grading / "autograded" / student))
    return row | {
        "points": submission.score,
        "status": facts.get("status", "not graded"),
        "reasons": "; ".join(facts.get("reasons", [])),
        "flags": len(facts.get("flags", [])) or "",
        "needs_human": "yes" if submission.needs_manual_grade else "",
    }


def _not_recorded(course: Course, lesson: Lesson) -> dict[str, dict[str, str]]:
    """Status and reasons of what the last grading could not record, by student as the summary spells the name."""
    try:
        text = (course.grading / "summary" / f"{lesson.name}.csv").read_text(encoding="utf-8")
    except OSError:
        return {}
    return {
        row["student"]: {"status": row["status"], "reasons": row["reasons"]}
        for row in csv.DictReader(io.StringIO(text, newline=""))
        if row.get("status") in NOT_RECORDED
    }


def _table(heading: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, heading, restval="")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in row.items()} for row in rows)
    return stream.getvalue().encode(errors="replace")


def _inert(value: object) -> object:
    """A spreadsheet would run a text that begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
