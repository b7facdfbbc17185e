"""Forbidden shortcuts: which names does a learner's function use, directly or through helpers of the same notebook?"""

import ast
from collections.abc import Iterable, Iterator, Mapping

from IPython.core.inputtransformer2 import TransformerManager

__all__ = ["find_shortcut"]

REFERENCE = "{name} uses course_lib, which is what it is checked against; write it with plain PyTorch."


def find_shortcut(sources: Iterable[str], name: str, forbidden: Mapping[str, str]) -> str | None:
    """Give the sentence about the first forbidden name that `name` uses, or None.

    sources: the notebook's code cells in order; a later definition replaces an earlier one, and a cell that is not
    plain Python is passed over. Using anything imported from course_lib is forbidden in every exercise.
    """
    definitions: dict[str, ast.AST] = {}
    imported: dict[str, str] = {}  # name in the notebook -> where it comes from
    for source in sources:
        try:
            tree = ast.parse(TransformerManager().transform_cell(source))  # magics become calls
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            imported.update(_imports(node))
        for statement in tree.body:
            for defined in _defined(statement):
                definitions[defined] = statement
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in seen or current not in definitions:
            continue
        seen.add(current)
        for used in _names(definitions[current]):
            origin = imported.get(used, used)
            for candidate in (used, *origin.split(".")):
                if candidate in forbidden:
                    return forbidden[candidate]
            if origin.split(".")[0] == "course_lib" and used not in definitions:
                return REFERENCE.format(name=name)
            waiting.append(used)
    return None


def _imports(node: ast.AST) -> dict[str, str]:
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
            for alias in node.names
        }
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: f"{node.module or ''}.{alias.name}" for alias in node.names}
    return {}


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [n.id for target in statement.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value  # getattr(torch, "...")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for local, origin in _imports(node).items():
                yield local
                yield from origin.split(".")
