"""The grading build: the course_lib that exists inside the sandbox, from which the answers are absent."""

import ast
import io
import zipfile
from functools import cache
from pathlib import Path

from course_lib import exercises

__all__ = ["build", "unpack"]

PACKAGE = Path(exercises.__file__).parent.parent
SHARED = ("exercises/running.py", "exercises/evidence.py")
# What may go in, so that a new file stays out until somebody has thought about it.
MODULES = (
    "__init__",
    "alignments",
    "attention",
    "attention_maps",
    "bare",
    "beam",
    "blocks",
    "cache",
    "cached",
    "cheating",
    "checks",
    "config",
    "costs",
    "decoder",
    "denoising",
    "encoder",
    "errors",
    "filling",
    "generation",
    "heads",
    "labbook",
    "leaks",
    "masks",
    "objectives",
    "padding",
    "pictures",
    "plots",
    "positions",
    "prompting",
    "reading_tasks",
    "seq2seq",
    "spans",
    "suspects",
    "training",
)
REFERENCE = ("playground/", "worlds/", "zoo/", *(f"{name}.py" for name in MODULES))
WITHHELD = "{name} is what this lesson grades: while grading, the course's own version is not there."
EPOCH = (1980, 1, 1, 0, 0, 0)  # equal contents give equal bytes


@cache
def build(lesson: str) -> bytes:
    """Make the grading build of one lesson ("01"), a zip file.

    It holds the reference library, the run side of this lesson and a `check` that only collects evidence. Modules
    that hold a reference graded here keep their names and raise when called; no judge, no bank, no grading code.
    """
    withheld = {exercise.reference.__module__.partition(".")[2] for exercise in exercises.lesson(lesson)}
    files = {
        "exercises/__init__.py": '"""Run sides only: what is right is not known here."""\n',
        "checking.py": (PACKAGE / "grading" / "evidence_check.py").read_text(encoding="utf-8"),
    }
    run_side = tuple(f"exercises/lesson{lesson}/{name}.py" for name in ("__init__", "run", "models"))
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name in (*SHARED, *run_side) or name.startswith(REFERENCE):
            source = path.read_text(encoding="utf-8")
            files[name] = _hollow(source) if name.removesuffix(".py").replace("/", ".") in withheld else source
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(f"course_lib/{name}", EPOCH), files[name])
    return buffer.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Write a grading build into `folder`, which becomes the sandbox's library."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)


def _hollow(source: str) -> str:
    """Keep a module's names, signatures and imports, and let every body raise NotImplementedError.

    What a method raises names its class, which is what a lesson grades.
    """
    tree = ast.parse(source)
    names = {part: node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for part in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            message = ast.Constant(WITHHELD.format(name=names.get(node, node.name)))
            node.body = [ast.Raise(ast.Call(ast.Name("NotImplementedError", ast.Load()), [message], []), None)]
            node.decorator_list = []
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
