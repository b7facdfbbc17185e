"""An answer whose cell does not compile: say so, and where, instead of asking for the name it would have defined."""

import ast
import re
import warnings
from collections.abc import Callable, Iterable
from textwrap import dedent

from course_lib.exercises.shortcuts import UNPARSABLE, parse

__all__ = ["not_compiled"]

NOT_COMPILED = (
    "Your cell that defines {name} does not compile: {kind} in its line {line}, {message}.\n    {source}\n"
    "Mend that line and run the cell again."
)
LONGEST = 200  # characters of a message or a line that are quoted


def not_compiled(sources: Iterable[str], name: str, transform: Callable[[str], str] = dedent) -> str | None:
    """Give the sentence about the last cell that would define `name`, if Python cannot compile it; else None.

    sources: code cells in the order in which they ran. transform: makes Python of what a notebook takes for it.
    """
    defines = re.compile(rf"^[ \t]*(async +)?(def|class) +{name}\b|^{name} *=[^=]", re.MULTILINE)
    last = next((source for source in reversed([*sources]) if defines.search(source)), "").lstrip("\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(parse(transform(last)), "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        line = error.lineno or 1
        source = "".join(last.splitlines()[line - 1 : line]).strip()
        said = {"message": str(error.msg)[:LONGEST], "source": source[:LONGEST]}
        return NOT_COMPILED.format(name=name, kind=type(error).__name__, line=line, **said)
    except UNPARSABLE:
        return None
    return None
