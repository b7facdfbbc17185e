"""Release: the notebooks learners get, made from the solutions by nbgrader."""

import difflib
import tempfile
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.layout import Course, Lesson
from course_lib.nbgrader_tools import api, configuration, in_course, succeed

__all__ = ["check_release", "release"]


def release(course: Course, lessons: list[Lesson]) -> list[Path]:
    """Write the released notebook of each lesson; returns the files that changed."""
    changed = []
    for lesson, text in _generate(course, lessons).items():
        file = lesson.file(course.notebooks)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            changed.append(file)
    return changed


def check_release(course: Course, lessons: list[Lesson]) -> None:
    """Raise CourseError, with the first difference, if a released notebook is not what its solution gives."""
    for lesson, text in _generate(course, lessons).items():
        file = lesson.file(course.notebooks)
        found = file.read_text(encoding="utf-8") if file.exists() else ""
        if found != text:
            lines = difflib.unified_diff(found.splitlines(), text.splitlines(), lineterm="", n=0)
            first = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")][:2]
            raise CourseError(
                f"{file.relative_to(course.root)} is not what its solution gives ({' / '.join(first)}): "
                "run `course release` and commit the result."
            )


def _generate(course: Course, lessons: list[Lesson]) -> dict[Lesson, str]:
    """Let nbgrader make the notebooks in a folder of their own, without a gradebook."""
    with in_course(course), tempfile.TemporaryDirectory() as folder:
        config = configuration(course)
        config.CourseDirectory.release_directory = folder
        config.GenerateAssignment.no_database = True
        config.GenerateAssignment.preprocessors = [
            f"nbgrader.preprocessors.{name}"
            for name in ("LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums")
        ]
        texts = {}
        for lesson in lessons:
            succeed(f"release {lesson.name}", api(config).generate_assignment(lesson.name))
            texts[lesson] = lesson.file(Path(folder)).read_text(encoding="utf-8")
        return texts
