"""The shapes and types written in signatures are checked while the tests run, in every module that writes them."""

from pathlib import Path

import jaxtyping
import pytest
import torch

from course_lib.masks import create_padding_mask
from tests.conftest import REFERENCE

PACKAGE = Path(__file__).parent.parent / "course_lib"


def test_a_wrong_type_is_refused():
    with pytest.raises(jaxtyping.TypeCheckError):
        create_padding_mask(torch.tensor([1.5]), 3)


def test_no_module_with_shapes_is_left_out():
    annotated = [path for path in PACKAGE.glob("*.py") if "from jaxtyping import" in path.read_text(encoding="utf-8")]
    assert sorted(f"course_lib.{path.stem}" for path in annotated) == REFERENCE
