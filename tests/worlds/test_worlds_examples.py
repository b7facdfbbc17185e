"""The examples in the documentation of the worlds run, and every public name says where it comes from."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

from course_lib import worlds

MODULES = [f"course_lib.worlds.{module.name}" for module in pkgutil.iter_modules(worlds.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_documented_and_shown(name):
    module = importlib.import_module(name)
    for public in module.__all__:
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            text = inspect.getdoc(thing) or ""
            assert ">>>" in text, f"{public} has no example"
            assert "Source: " in text, f"{public} does not name its source"
