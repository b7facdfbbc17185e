"""Mutants: every small change of a function's source that a slip of the hand could make."""

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["mutants"]

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
OPERATIONS = {
    ast.BitAnd: (ast.BitOr, ast.BitXor),
    ast.BitOr: (ast.BitAnd, ast.BitXor),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
}
NAMES = {
    "tril": "triu",
    "triu": "tril",
    "all": "any",
    "any": "all",
    "min": "max",
    "max": "min",
    "ones": "zeros",
    "zeros": "ones",
    "and_": "or_",
}


def mutants(function: Callable[..., Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Give (what was changed, the changed one) for every single change of a function or class that still compiles."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef | ast.ClassDef)
    for node in ast.walk(definition):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.decorator_list = []
            if ast.get_docstring(node):
                del node.body[0]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    scope = vars(inspect.getmodule(inspect.unwrap(function)))
    original = ast.unparse(definition)
    seen = {original}
    for index, node in enumerate(ast.walk(definition)):
        for number in range(_count(node)):
            changed = copy.deepcopy(tree)
            _change(list(ast.walk(changed.body[0]))[index], number)
            source = ast.unparse(ast.fix_missing_locations(changed))
            if source in seen:
                continue
            seen.add(source)
            namespace = dict(scope)
            exec(compile(source, f"<mutant of {definition.name}>", "exec"), namespace)
            yield _difference(original, source), namespace[definition.name]


def _changes(node: ast.AST) -> list[Callable[[], None]]:
    """Give the changes that can be made to one node, in place."""
    found: list[Callable[[], None]] = []
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        found += [lambda new=new: node.ops.__setitem__(0, new()) for new in COMPARISONS[type(node.ops[0])]]
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATIONS:
        found += [lambda new=new: setattr(node, "op", new()) for new in OPERATIONS[type(node.op)]]
    if isinstance(node, ast.BoolOp):
        new = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        found.append(lambda: setattr(node, "op", new))
    if isinstance(node, ast.UnaryOp):
        found.append(lambda: setattr(node, "op", ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()))
        found.append(lambda: _become(node, node.operand))
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            found.append(lambda: setattr(node, "value", not value))
        elif isinstance(value, int):
            found += [lambda step=step: setattr(node, "value", value + step) for step in (1, -1)]
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        found.append(lambda: setattr(node, "attr", NAMES[node.attr]))
    if isinstance(node, ast.Name) and node.id in NAMES:
        found.append(lambda: setattr(node, "id", NAMES[node.id]))
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
        found += [lambda i=i: _swap(node.elts, i) for i in range(len(node.elts) - 1)]
        found += [lambda i=i: node.elts.pop(i) for i in range(len(node.elts)) if len(node.elts) > 1]
    if isinstance(node, ast.Call):
        found += [lambda i=i: node.keywords.pop(i) for i in range(len(node.keywords))]
        found += [lambda i=i: _swap(node.args, i) for i in range(len(node.args) - 1)]
        if isinstance(node.func, ast.Attribute):
            found.append(lambda: _become(node, node.func.value))
    if isinstance(node, ast.Slice):
        found += [lambda part=part: setattr(node, part, None) for part in ("lower", "upper") if getattr(node, part)]
    if isinstance(node, ast.Return) and isinstance(node.value, ast.BinOp):
        found += [lambda side=side: setattr(node, "value", side) for side in (node.value.left, node.value.right)]
    body = getattr(node, "body", None)
    if isinstance(body, list):
        found += [lambda i=i: body.__setitem__(i, ast.Pass()) for i in range(len(body))]
    return found


def _count(node: ast.AST) -> int:
    return len(_changes(node))


def _change(node: ast.AST, number: int) -> None:
    _changes(node)[number]()


def _swap(items: list, i: int) -> None:
    items[i], items[i + 1] = items[i + 1], items[i]


def _become(node: ast.AST, other: ast.AST) -> None:
    """Put `other` in the place of `node`, whatever holds it."""
    node.__class__ = other.__class__
    node.__dict__ = dict(other.__dict__)


def _difference(original: str, source: str) -> str:
    lines = set(original.split("\n"))
    return " / ".join(line.strip() for line in source.split("\n") if line not in lines) or "a line is missing"
