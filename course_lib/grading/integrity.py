"""Lines an instructor may want to read: what a submission does that has nothing to do with the exercise.

A flag takes no points. Whoever hides well enough passes a scan; what protects the marks is the sandbox and the judge.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nbformat import NotebookNode

from course_lib.exercises.shortcuts import UNPARSABLE, imports_of, parse
from course_lib.grading.submission import is_grade, name_of

__all__ = ["Flag", "flags_of", "strangers"]

MOST_FLAGS = 50
MOST_LINE = 160  # characters of a line that are quoted

PATCHED, PROCESSES = "changes a library", "ends or starts processes"
# What is looked for, by what it would be for: names and attributes, modules imported, and text in strings.
NAMES = {
    "reaches into the interpreter": "_getframe currentframe f_back f_globals get_objects get_referrers getsource "
    "settrace setprofile __subclasses__ __builtins__ __closure__ cell_contents f_locals co_consts",
    "changes how cells are run": "input_transformers_cleanup input_transformers_post ast_transformers run_cell "
    "run_code showtraceback set_custom_exc register_post_execute user_ns display_pub post_run_cell pre_run_cell",
    "pretends to be equal to anything": "__eq__ __ne__ __torch_function__ __torch_dispatch__",
    "writes evidence itself": "evidence_check publish_display_data",
    PROCESSES: "_exit fork forkpty kill killpg system popen Popen execv execve posix_spawn abort",
}
MODULES = {
    "reaches into the interpreter": "gc inspect ctypes",
    PROCESSES: "subprocess multiprocessing atexit signal",
    "uses the network": "socket urllib http requests ftplib smtplib asyncio.streams",
    "looks for answers": "course_lib.exercises course_lib.grading course_lib.checking.evidence_check",
}
TEXTS = {
    "looks for answers": r"solutions/|gradebook|grading/(submitted|autograded|seeds)|\bbank/|course_lib/exercises",
    "looks around the machine": r"/proc/|/etc/(passwd|shadow)|/root\b|\.ssh\b",
    "writes evidence itself": r"application/vnd\.course",
}
BY_NAME = {name: kind for kind, names in NAMES.items() for name in names.split()}
BY_MODULE = {name: kind for kind, names in MODULES.items() for name in names.split()}


@dataclass(frozen=True)
class Flag:
    """One line worth a look.

    kind: what it would be for. cell: its name. line: its number in the cell, from 1. text: the line itself.
    """

    kind: str
    cell: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f", line {self.line}" if self.line else ""
        return f"{self.kind} ({self.cell}{place}){': ' if self.text else ''}{self.text}"


def flags_of(notebook: NotebookNode, released: NotebookNode) -> list[Flag]:
    """Scan the code a student changed or added; the lesson's own lines are never flagged."""
    ours = {cell.source for cell in released.cells}
    flags: list[Flag] = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and not is_grade(cell) and cell.source not in ours:
            lines = cell.source.splitlines()
            for kind, number in _scan(cell.source):
                text = lines[number - 1].strip()[:MOST_LINE] if 0 < number <= len(lines) else ""
                flags.append(Flag(kind, name_of(cell)[:80], number, text))
    return flags[:MOST_FLAGS]


def strangers(folder: Path, notebook: str) -> list[Flag]:
    """Flag what lies beside the notebook: it is not used when grading, and may explain why an import fails."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name not in (notebook, "timestamp.txt", ".ipynb_checkpoints"):
            kind = "a link beside the notebook" if path.is_symlink() else "a file beside the notebook"
            found.append(Flag(f"{kind} is not used", ascii(path.name)[1:-1][:80], 0, ""))
    return found[:MOST_FLAGS]


@lru_cache(maxsize=256)
def _scan(source: str) -> tuple[tuple[str, int], ...]:
    """Each kind of flag with the first line of the cell that raises it."""
    try:
        tree = parse(source)
        found: dict[str, int] = {}
        modules: dict[str, str] = {}
        for node in ast.walk(tree):
            modules |= imports_of(node) | _imported_by_call(node)
        for node in ast.walk(tree):
            for kind in _kinds(node, modules):
                found[kind] = min(found.get(kind, node.lineno), node.lineno)
    except UNPARSABLE:
        return _scan_text(source)
    return tuple(found.items())


def _scan_text(source: str) -> tuple[tuple[str, int], ...]:
    """What can be said of a cell that cannot be parsed: the texts alone."""
    numbered = list(enumerate(source.splitlines(), 1))
    return tuple(
        (kind, next(number for number, line in numbered if re.search(pattern, line)))
        for kind, pattern in TEXTS.items()
        if any(re.search(pattern, line) for _, line in numbered)
    )


def _kinds(node: ast.AST, modules: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        kinds = _known(BY_NAME, [node.attr])
        yield from (kind for kind in kinds if kind != PROCESSES or _root(node) in modules)  # os.system, not !ls
        if node.attr == "modules" and isinstance(node.value, ast.Name) and modules.get(node.value.id) == "sys":
            yield "reaches into the interpreter"
    elif isinstance(node, ast.Name | ast.FunctionDef):
        kinds = _known(BY_NAME, [node.id if isinstance(node, ast.Name) else node.name])
        yield from (kind for kind in kinds if kind != PROCESSES)  # a variable may be called system
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for origin in imports_of(node).values():
            parts = origin.split(".")
            yield from _known(BY_MODULE, [".".join(parts[: n + 1]) for n in range(len(parts))])
            yield from _known(BY_NAME, parts[1:])
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from (kind for kind, pattern in TEXTS.items() if re.search(pattern, node.value))
        yield from (kind for kind in _known(BY_NAME, [node.value]) if kind != PROCESSES)
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Attribute) and _root(target) in modules for target in targets):
            yield PATCHED
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("setattr", "delattr") and node.args:
        if _root(node.args[0]) in modules:
            yield PATCHED


def _imported_by_call(node: ast.AST) -> dict[str, str]:
    """Names given to modules that a function loads: `m = importlib.import_module(...)`."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        function = node.value.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if called in ("import_module", "__import__"):
            return {target.id: "?" for target in node.targets if isinstance(target, ast.Name)}
    return {}


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _known(kinds: dict[str, str], names: Iterable[str]) -> Iterator[str]:
    return (kinds[name] for name in names if name in kinds)
