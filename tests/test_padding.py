"""Padding on either side, by hand, and what cannot be padded."""

from inspect import unwrap

import pytest
import torch

from course_lib.masks import create_padding_mask
from course_lib.objectives import IGNORE
from course_lib.padding import left_pad, right_pad


def test_left_pad_by_hand():
    padded, mask = left_pad([[1, 2, 3], [4]], pad_id=9)
    assert padded.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask.tolist() == [[[[True, True, True]]], [[[False, False, True]]]]


def test_right_pad_by_hand():
    padded, mask = right_pad([[1, 2, 3], [4]], pad_id=IGNORE)
    assert padded.tolist() == [[1, 2, 3], [4, IGNORE, IGNORE]]
    assert torch.equal(mask, create_padding_mask(torch.tensor([3, 1]), 3))


@pytest.mark.parametrize("pad", [left_pad, right_pad])
def test_tensors_can_be_padded_too(pad):
    rows = [[1, 2, 3], [4, 5]]
    for ours, expected in zip(pad([torch.tensor(row) for row in rows], 0), pad(rows, 0), strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("pad", [left_pad, right_pad])
def test_what_cannot_be_padded_is_refused(pad):
    for nothing in ([], [[1], []]):
        with pytest.raises(ValueError, match=r"^padding needs sequences of at least 1 token each, got lengths"):
            unwrap(pad)(nothing, 0)
    with pytest.raises(ValueError, match=r"^padding needs a list of sequences, got one sequence"):
        unwrap(pad)([1, 2, 3], 0)
