"""Every public name of the reference library explains itself: shapes, errors, a source, an example that runs."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
import torch

from course_lib import masks, zoo
from tests.conftest import REFERENCE

ZOO = [f"course_lib.zoo.{module.name}" for module in pkgutil.iter_modules(zoo.__path__)]
PLAIN = ("bare", "checks", "config", "costs", "prompting", "reading_tasks", "training")
OTHERS = [f"course_lib.{name}" for name in PLAIN]
MODULES = [*OTHERS, *REFERENCE, *ZOO]
# These need a checkpoint on disk, which tests/zoo makes; the others are records, explained where they come from.
WITHOUT_EXAMPLE = {"Checkpoint", "from_checkpoint", "load", "KeysValues", "Memory"}
# What no paper describes, since it is our own or plain bookkeeping.
OUR_OWN = {
    "answers",
    "behind",
    "by_rule",
    "combine_masks",
    "copy_rate",
    "count_positions",
    "exactly_right",
    "examples",
    "find_leak",
    "generate",
    "join_spans",
    "last_rows",
    "leaks_future",
    "left_pad",
    "mask_and_positions",
    "repair",
    "right_pad",
    "rows",
    "stream",
    "words_of",
}


def public(module):
    """The public classes and functions of a module, as they were written."""
    for name in module.__all__:
        thing = inspect.unwrap(getattr(module, name))
        if inspect.isclass(thing) or inspect.isroutine(thing):
            yield name, thing


def functions(module):
    """Its public functions, and the public methods of its classes, with the text that documents them."""
    for name, thing in public(module):
        if inspect.isroutine(thing):
            yield name, thing, inspect.getdoc(thing) or ""
            continue
        for method, written in vars(thing).items():
            function = inspect.unwrap(written) if callable(written) else None
            if inspect.isfunction(function) and not method.startswith("_"):
                yield f"{name}.{method}", function, inspect.getdoc(getattr(thing, method)) or ""


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    module = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    known = {**vars(masks), **vars(module), "torch": torch}
    shown = set()
    for public_name, thing in public(module):
        for example in finder.find(thing, public_name, module=False, globs=dict(known)):
            if example.examples:
                shown.add(public_name)
                runner.run(example)
    assert runner.failures == 0
    assert {public_name for public_name, _ in public(module)} - shown - WITHOUT_EXAMPLE == set(), "without an example"


@pytest.mark.parametrize("name", REFERENCE)
def test_whatever_takes_or_gives_tensors_says_their_shapes(name):
    module = importlib.import_module(name)
    silent = [
        where for where, function, text in functions(module)
        if "Tensor" in str(inspect.signature(function)) and not re.search(r"Shapes:", text)
    ]  # fmt: skip
    assert silent == []


@pytest.mark.parametrize("name", REFERENCE)
def test_errors_are_announced(name):
    module = importlib.import_module(name)
    for public_name, thing in public(module):
        code = inspect.getsource(thing)
        texts = "".join(re.findall(r'""".*?"""', code, re.DOTALL))
        for error in re.findall(r"\braise (\w+)\(", code):
            assert error in texts, f"{public_name} does not say when it raises {error}"


@pytest.mark.parametrize("name", REFERENCE)
def test_functions_name_their_source(name):
    module = importlib.import_module(name)
    without = {
        public_name for public_name, thing in public(module)
        if inspect.isroutine(thing) and not re.search(r"\b(19|20)\d\d\b", inspect.getdoc(thing) or "")
    }  # fmt: skip
    assert without - OUR_OWN == set()


def test_the_examples_of_the_guide_run():
    guide = Path(__file__).parent.parent / "docs" / "library.md"
    failed, tried = doctest.testfile(str(guide), module_relative=False)
    assert (failed, tried > 20) == (0, True)
