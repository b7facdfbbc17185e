"""The class's grades as a table: one line a student, one column an exercise."""

import csv
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry

from course_lib.errors import CourseError

__all__ = ["export_csv"]


def export_csv(db_url: str, file: Path) -> int:
    """Write all grades in the gradebook to a CSV file; returns the number of lines below the heading.

    Columns: student, lesson, each exercise's points (empty where a human still has to decide), points, max_points,
    needs_human.
    Raises CourseError if the gradebook holds no lesson.
    """
    with Gradebook(db_url) as gradebook:
        if not gradebook.assignments:
            raise CourseError("There is nothing to export: grade a lesson first, `course grade 01`.")
        rows, columns = [], []
        for assignment in gradebook.assignments:
            names = [cell.name.removesuffix("-check") for nb in assignment.notebooks for cell in nb.grade_cells]
            columns += [name for name in names if name not in columns]
            rows += [
                _row(gradebook, assignment.name, assignment.max_score, student.id) for student in gradebook.students
            ]
    heading = ["student", "lesson", *columns, "points", "max_points", "needs_human"]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, heading, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _row(gradebook: Gradebook, lesson: str, most: float, student: str) -> dict[str, object]:
    row: dict[str, object] = {"student": _inert(student), "lesson": lesson, "max_points": most}
    try:
        submission = gradebook.find_submission(lesson, student)
    except MissingEntry:
        return row | {"points": 0, "needs_human": "no submission"}
    for notebook in submission.notebooks:
        for grade in notebook.grades:
            undecided = grade.needs_manual_grade and grade.manual_score is None
            row[grade.name.removesuffix("-check")] = "" if undecided else grade.score
    return row | {"points": submission.score, "needs_human": "yes" if submission.needs_manual_grade else ""}


def _inert(text: str) -> str:
    """A spreadsheet would run a name that begins like a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
