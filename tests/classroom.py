"""A class made by code: a course in a folder of its own, and submissions from right to wrong."""

import ast
import importlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook

from course_lib.exercises import Exercise
from course_lib.grading.submission import is_answer, is_grade
from course_lib.layout import Course, Lesson

ROOT = Path(__file__).parent.parent
LESSON = Course(ROOT).lesson("01")


def make_course(folder: Path) -> Course:
    """Copy the parts of the course that grading needs."""
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    for name in ("solutions", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return Course(folder)


def released(lesson: Lesson = LESSON) -> NotebookNode:
    return nbformat.read(lesson.file(ROOT / "notebooks"), as_version=4)


def solutions(lesson: Lesson = LESSON) -> dict[str, str]:
    """The right source of every answer cell, by its id."""
    notebook = nbformat.read(lesson.file(ROOT / "solutions"), as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if is_answer(cell)}


def solved(lesson: Lesson = LESSON) -> NotebookNode:
    """The released notebook with every answer filled in."""
    return answered(solutions(lesson), lesson)


def answered(answers: Mapping[str, str], lesson: Lesson = LESSON) -> NotebookNode:
    """The released notebook with these answer cells' sources, by cell id."""
    notebook = released(lesson)
    cells = {cell.id: cell for cell in notebook.cells}
    for name, source in answers.items():
        assert is_answer(cells[name]), name
        cells[name].source = source
    return notebook


def submit(course: Course, student: str, notebook: NotebookNode | str, lesson: Lesson = LESSON) -> Path:
    """Hand in a notebook, or a file with any text."""
    file = lesson.file(course.grading / "submitted" / student)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(notebook if isinstance(notebook, str) else json.dumps(notebook), encoding="utf-8")
    return file


def autograded(course, student, lesson=LESSON):
    return nbformat.read(lesson.file(course.grading / "autograded" / student), as_version=4)


def rows_of(course, lesson=LESSON):
    """What the gradebook holds: student, cell, points and whether a human is asked for."""
    with Gradebook(f"sqlite:///{course.grading}/gradebook.db") as gradebook:
        return sorted(
            (submission.student.id, grade.name, grade.auto_score, grade.needs_manual_grade)
            for submission in gradebook.assignment_submissions(lesson.name)
            for notebook in submission.notebooks
            for grade in notebook.grades
        )


def grade_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if is_grade(cell)]


def bank_sources(exercise: Exercise) -> tuple[dict[str, str], list[str]]:
    """The exercise's misconceptions and alternatives as a learner would have typed them: source for an answer cell."""
    package = f"course_lib.exercises.lesson{exercise.id[:2]}"
    run_side = importlib.import_module(f"{package}.run")
    for path in sorted(Path(importlib.import_module(f"{package}.bank").__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Exercise":
                parts = {keyword.arg: keyword.value for keyword in node.keywords}
                if getattr(run_side, parts["side"].attr) is exercise.side:
                    return _typed(tree, parts, exercise.side.name)
    raise AssertionError(f"no bank file declares {exercise.id}")


def _typed(tree: ast.Module, parts: dict[str, ast.expr], name: str) -> tuple[dict[str, str], list[str]]:
    before = "\n\n".join(_helpers(tree))
    wrong = {
        ast.literal_eval(key): f"{before}\n\n{name} = {ast.unparse(value.args[0])}"
        for key, value in zip(parts["misconceptions"].keys, parts["misconceptions"].values, strict=True)
    }
    return wrong, [f"{before}\n\n{name} = {ast.unparse(right)}" for right in parts["alternatives"].elts]


def _helpers(tree: ast.Module) -> list[str]:
    """What a bank's functions need around them, with what it imports from the course written out."""
    helpers = []
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "course_lib":
            helpers += [_spelled_out(alias.name) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and ".bank." in statement.module:
            module = ROOT / f"{statement.module.replace('.', '/')}.py"
            helpers += _helpers(ast.parse(module.read_text(encoding="utf-8")))
        elif not _is_ours(statement):
            helpers.append(ast.unparse(statement))
    return helpers


def _is_ours(statement: ast.stmt) -> bool:
    """What only a bank has: imports from course_lib, and the exercise itself."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module.startswith("course_lib")
    return isinstance(statement, ast.Assign) and "Exercise" in ast.dump(statement.value)


def _spelled_out(module: str) -> str:
    """A module of the reference written out in the notebook, for the sandbox has none: `masks = <its contents>`."""
    source = (ROOT / "course_lib" / f"{module}.py").read_text(encoding="utf-8")
    body = "".join(f"    {line}\n" for line in ast.unparse(ast.parse(source)).splitlines())
    return f"import types\n\ndef _{module}():\n{body}    return types.SimpleNamespace(**locals())\n\n" + (
        f"{module} = _{module}()"
    )
