"""Forbidden shortcuts: which names does a learner's function use, directly or through helpers of the same notebook?"""

import ast
import re
import symtable
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

__all__ = ["UNPARSABLE", "find_shortcut", "imports_of", "parse"]

NOT_PYTHON = re.compile(r"\s*([%!?]|[\w.]+\s*\?+\s*$)")
ASSIGNED_MAGIC = re.compile(r"^(\s*\w[\w., ]*=\s*)[%!].*")
UNPARSABLE = (SyntaxError, ValueError, RecursionError, RuntimeError, MemoryError)
REFERENCE = "{name} uses course_lib, which is what it is checked against; write it with plain PyTorch."


def find_shortcut(
    sources: Iterable[str], name: str, forbidden: Mapping[str, str], allowed: Sequence[str] = ()
) -> str | None:
    """Give the sentence about the first forbidden name that `name` uses, or None.

    sources: the notebook's code cells in order; a later definition replaces an earlier one, and a cell that is not
    plain Python is passed over. Using anything imported from course_lib is forbidden, but for the modules in `allowed`.
    """
    definitions, imported = _scan(tuple(sources))
    seen: set[ast.stmt] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in definitions or definitions[current] in seen:  # one statement may define many names
            continue
        seen.add(definitions[current])
        for used in _mentioned(definitions[current]):
            if used in forbidden:
                return forbidden[used]
        taken = _globals(definitions[current])
        inner = [origin for node in ast.walk(definitions[current]) for origin in imports_of(node).values()]
        for origin in [*inner, *(imported[used] for used in taken if used in imported and used not in definitions)]:
            for part in origin.split("."):
                if part in forbidden:
                    return forbidden[part]
            if origin.split(".")[0] == "course_lib" and not _is_in(origin, allowed):
                return REFERENCE.format(name=name)
        waiting += sorted(taken)
    return None


def _is_in(origin: str, modules: Sequence[str]) -> bool:
    return any(f"{origin}.".startswith(f"{module}.") for module in modules)


@lru_cache(maxsize=1)  # a hostile submission's may be large
def _scan(sources: tuple[str, ...]) -> tuple[dict[str, ast.stmt], dict[str, str]]:
    """What the cells define, and where each imported name comes from; what defies the compiler has no say."""
    definitions: dict[str, ast.stmt] = {}
    imported: dict[str, str] = {}
    for source in sources:
        statements = []
        with suppress(*UNPARSABLE):
            statements = parse(source).body
        for statement in statements:
            with suppress(*UNPARSABLE):
                _globals(statement)  # a definition that can be read now can be read later
                definitions |= dict.fromkeys(_defined(statement), statement)
                for node in ast.walk(statement):
                    imported |= imports_of(node)
    return definitions, imported


def parse(source: str) -> ast.Module:
    """Parse a cell; where it is not Python, what IPython would read as magics, shell or help is left out."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse("\n".join(map(_without_magic, source.splitlines())))


def _without_magic(line: str) -> str:
    if NOT_PYTHON.match(line):
        return re.sub(r"\S.*", "pass", line)
    return ASSIGNED_MAGIC.sub(r"\1None", line)


def _globals(statement: ast.stmt) -> set[str]:
    """Names that a definition takes from the notebook: not its arguments, nor what it assigns itself."""
    tables = [symtable.symtable(ast.unparse(statement), "cell", "exec")]
    names = {symbol.get_name() for symbol in tables[0].get_symbols() if symbol.is_referenced()}
    while tables:
        table = tables.pop()
        tables += table.get_children()
        if table.get_type() != "module":
            names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return names


def imports_of(node: ast.AST) -> dict[str, str]:
    """Give the names that an import statement brings in, each with where it comes from."""
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
            for alias in node.names
        }
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: f"{node.module or ''}.{alias.name}" for alias in node.names}
    return {}


def _defined(statement: ast.stmt) -> list[str]:
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    return [symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()]


def _mentioned(tree: ast.AST) -> Iterator[str]:
    """Every name, attribute and string in a definition."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value  # getattr(torch, "...")
