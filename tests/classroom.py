"""A class made by code: a course in a folder of its own, and submissions from right to wrong."""

import ast
import importlib
import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook

from course_lib.exercises import Exercise
from course_lib.grading.submission import is_answer, is_grade
from course_lib.layout import Course, Lesson

ROOT = Path(__file__).parent.parent
LESSON = Course(ROOT).lesson("01")
OURS = "from course_lib import "


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
    helpers = _helpers(tree)
    wrong = {
        ast.literal_eval(key): _with_helpers(f"{name} = {ast.unparse(value.args[0])}", helpers)
        for key, value in zip(parts["misconceptions"].keys, parts["misconceptions"].values, strict=True)
    }
    return wrong, [_with_helpers(f"{name} = {ast.unparse(right)}", helpers) for right in parts["alternatives"].elts]


def _with_helpers(source: str, helpers: list[str]) -> str:
    """Put before a piece of source the helpers it needs; of the course's own modules, the functions it needs."""
    needed = [*_needed(_names_used(source), helpers), source]
    whole = ast.parse("\n\n".join(needed))
    return "\n\n".join(_spelled_out(text, whole) if text.startswith(OURS) else text for text in needed)


def _needed(wanted: set[str], statements: list[str]) -> list[str]:
    """Choose the statements that define what is wanted, and what these need, in their order."""
    chosen = set()
    while new := [text for text in statements if text not in chosen and _names_defined(text) & wanted]:
        chosen.update(new)
        wanted = wanted.union(*map(_names_used, new))
    return [text for text in dict.fromkeys(statements) if text in chosen]


@cache
def _names_used(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


@cache
def _names_defined(source: str) -> set[str]:
    found = set()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
        else:
            found |= {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return found


def _helpers(tree: ast.Module) -> list[str]:
    """What a bank's functions may need around them: its statements, and those of the bank's files it imports from."""
    helpers = []
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "course_lib":
            helpers += [OURS + alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and ".bank." in statement.module:
            module = ROOT / f"{statement.module.replace('.', '/')}.py"
            helpers += _helpers(ast.parse(module.read_text(encoding="utf-8")))
        elif isinstance(statement, ast.ImportFrom) and statement.module.startswith("course_lib."):
            helpers += _constants(statement)
        elif not _is_ours(statement):
            helpers.append(ast.unparse(statement))
    return helpers


def _constants(statement: ast.ImportFrom) -> list[str]:
    """The numbers that a bank takes from the course, such as IGNORE, written out."""
    module = importlib.import_module(statement.module)
    values = {alias.asname or alias.name: getattr(module, alias.name) for alias in statement.names}
    return [f"{name} = {value!r}" for name, value in values.items() if isinstance(value, int | float)]


def _is_ours(statement: ast.stmt) -> bool:
    """What only a bank has: imports from course_lib, and the exercise itself."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module.startswith("course_lib")
    return isinstance(statement, ast.Assign) and "Exercise" in ast.dump(statement.value)


def _spelled_out(imported: str, user: ast.Module) -> str:
    """A module of the reference written out in the notebook, for the sandbox has none: `masks = <its contents>`.

    Of the module stands there only what `user` takes from it: the rest may be forbidden where it is graded.
    """
    module = imported.removeprefix(OURS)
    taken = {
        node.attr
        for node in ast.walk(user)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module
    }
    tree = ast.parse((ROOT / "course_lib" / f"{module}.py").read_text(encoding="utf-8"))
    needed = "\n".join(_needed(taken, [ast.unparse(statement) for statement in tree.body]))
    body = "".join(f"    {line}\n" for line in needed.splitlines())
    return f"import types\n\ndef _{module}():\n{body}    return types.SimpleNamespace(**locals())\n\n" + (
        f"{module} = _{module}()"
    )
