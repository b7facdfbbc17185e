"""Masks: the pictures of the lesson, the laws that join them, shapes, devices and errors."""

from inspect import unwrap

import pytest
import torch
from torch import Tensor

from course_lib.masks import (
    combine_masks,
    create_bidirectional_mask,
    create_causal_mask,
    create_padding_mask,
    create_prefix_mask,
    create_sliding_window_mask,
)

LENGTHS = (1, 2, 3, 5, 7, 11)


def picture(mask: Tensor) -> list[str]:
    """Write a (1, 1, q, k) mask as rows of 1 and 0."""
    assert mask.dtype == torch.bool
    assert mask.shape[:2] == (1, 1)
    return ["".join(str(int(allowed)) for allowed in row) for row in mask[0, 0].tolist()]


def test_causal_mask_is_the_four_by_four_picture():
    assert picture(create_causal_mask(4)) == ["1000", "1100", "1110", "1111"]


def test_causal_mask_is_the_six_by_six_picture():
    rows = ["100000", "110000", "111000", "111100", "111110", "111111"]
    assert picture(create_causal_mask(6)) == rows


def test_prefix_mask_by_hand():
    assert picture(create_prefix_mask(3, 5)) == ["11100", "11100", "11100", "11110", "11111"]


def test_sliding_window_mask_by_hand():
    assert picture(create_sliding_window_mask(5, 2)) == ["10000", "11000", "01100", "00110", "00011"]


@pytest.mark.parametrize("n", LENGTHS)
def test_causal_mask_agrees_with_a_loop(n):
    loop = torch.tensor([[j <= i for j in range(n)] for i in range(n)])
    assert torch.equal(create_causal_mask(n), loop[None, None])


@pytest.mark.parametrize("n", LENGTHS)
def test_prefix_mask_agrees_with_a_loop(n):
    for prefix in range(n + 1):
        loop = torch.tensor([[j <= i or j < prefix for j in range(n)] for i in range(n)])
        assert torch.equal(create_prefix_mask(prefix, n), loop[None, None])


@pytest.mark.parametrize("n", LENGTHS)
def test_prefix_mask_ends_in_causal_and_bidirectional(n):
    assert torch.equal(create_prefix_mask(0, n), create_causal_mask(n))
    assert torch.equal(create_prefix_mask(n, n), create_bidirectional_mask(n))


@pytest.mark.parametrize("n", LENGTHS)
def test_sliding_window_ends_in_identity_and_causal(n):
    assert torch.equal(create_sliding_window_mask(n, 1)[0, 0], torch.eye(n, dtype=torch.bool))
    assert torch.equal(create_sliding_window_mask(n, n), create_causal_mask(n))
    assert torch.equal(create_sliding_window_mask(n, n + 3), create_causal_mask(n))


@pytest.mark.parametrize("n", LENGTHS)
def test_number_of_allowed_pairs(n):
    assert create_bidirectional_mask(n).sum() == n * n
    assert create_causal_mask(n).sum() == n * (n + 1) // 2
    for prefix in range(n + 1):
        expected = n * (n + 1) // 2 + prefix * (prefix - 1) // 2
        assert create_prefix_mask(prefix, n).sum() == expected


def test_padding_mask_by_hand():
    mask = create_padding_mask(torch.tensor([3, 0, 5, 1]), 5)
    assert mask.shape == (4, 1, 1, 5)
    assert mask.dtype == torch.bool
    assert mask[:, 0, 0].int().tolist() == [[1, 1, 1, 0, 0], [0] * 5, [1] * 5, [1, 0, 0, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_padding_mask_takes_any_integer_dtype(dtype):
    assert create_padding_mask(torch.tensor([2], dtype=dtype), 3).flatten().tolist() == [True, True, False]


def test_combined_mask_allows_what_every_mask_allows():
    lengths = torch.tensor([2, 3, 0])
    both = combine_masks(create_causal_mask(3), create_padding_mask(lengths, 3))
    assert both.shape == (3, 1, 3, 3)
    for b, length in enumerate(lengths.tolist()):
        expected = [[j <= i and j < length for j in range(3)] for i in range(3)]
        assert both[b, 0].tolist() == expected


def test_combining_does_not_change_what_comes_in():
    causal, padding = create_causal_mask(5), create_padding_mask(torch.tensor([2, 3]), 5)
    kept = causal.clone(), padding.clone()
    combine_masks(causal, padding, causal)
    assert torch.equal(causal, kept[0])
    assert torch.equal(padding, kept[1])


def test_combining_one_mask_gives_it_back_and_order_does_not_matter():
    causal, window = create_causal_mask(7), create_sliding_window_mask(7, 3)
    padding = create_padding_mask(torch.tensor([5, 2, 7]), 7)
    assert torch.equal(combine_masks(causal), causal)
    assert torch.equal(combine_masks(causal, window, padding), combine_masks(padding, causal, window))


@pytest.mark.parametrize(
    "make",
    [
        lambda device: create_bidirectional_mask(3, device),
        lambda device: create_causal_mask(3, device=device),
        lambda device: create_prefix_mask(2, 3, device=device),
        lambda device: create_sliding_window_mask(3, 2, device=device),
        lambda device: create_padding_mask(torch.empty(2, dtype=torch.int64, device=device), 3),
    ],
    ids=["bidirectional", "causal", "prefix", "sliding window", "padding"],
)
def test_masks_are_made_on_the_device_asked_for(make):
    assert make("meta").device.type == "meta"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: create_causal_mask(0), "seq_len must be at least 1, got 0"),
        (lambda: create_bidirectional_mask(-2), "seq_len must be at least 1, got -2"),
        (lambda: create_prefix_mask(0, 0), "seq_len must be at least 1, got 0"),
        (lambda: create_prefix_mask(4, 3), "prefix_len must be between 0 and seq_len, got 4 and 3"),
        (lambda: create_prefix_mask(-1, 3), "prefix_len must be between 0 and seq_len, got -1 and 3"),
        (lambda: create_sliding_window_mask(3, 0), "window must be at least 1, got 0"),
        (lambda: combine_masks(), "combine_masks needs at least one mask, got none"),
    ],
)
def test_wrong_numbers_are_refused_with_the_numbers(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


def test_a_mask_that_is_not_boolean_is_refused():
    additive = torch.zeros(1, 1, 3, 3)
    # The tests check annotations too; unwrapped, the functions speak as they do to a learner.
    with pytest.raises(TypeError, match=r"^masks must be boolean, got torch\.float32$"):
        unwrap(combine_masks)(create_causal_mask(3), additive)


def test_lengths_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"^lengths must have shape \(batch,\), got \(2, 1\)$"):
        unwrap(create_padding_mask)(torch.tensor([[1], [2]]), 3)
