"""What learners wrote and what they were told: the right name, or none and the counterexample; never a wrong name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import exercises


def detector(differ: Callable[..., Any], *pushes: float, start: int = 1) -> Callable[..., Any]:
    def leaks_future(fn, x):
        before = fn(x)
        for j in range(start, x.shape[1]):
            for push in pushes:
                changed = x.clone()
                changed[:, j] += push
                if differ(before[:, :j], fn(changed)[:, :j]):
                    return True
        return False

    return leaks_future


def unequal(a, b):
    return not torch.equal(a, b)


def changes_a_sequence(fn, x):
    before = fn(x)
    for j in range(1, x.shape[1]):
        changed = x.clone()
        changed[j] += 5
        if unequal(fn(changed)[:, :j], before[:, :j]):
            return True
    return False


def changes_one_sequence(fn, x):
    before = fn(x)
    for j in range(1, x.shape[1]):
        for way in (4, -4):
            changed = x.clone()
            changed[0, j] += way * torch.arange(1, x.shape[-1] + 1)
            if unequal(fn(changed)[:, :j], before[:, :j]):
                return True
    return False


def overwrites_its_verdict(fn, x):
    before, moved = fn(x), False
    for j in range(1, x.shape[1]):
        changed = x.clone()
        changed[:, j] += 10
        moved = unequal(fn(changed)[:, :j], before[:, :j])
    return moved


def takes_the_length_of_the_batch(fn, x):
    before = fn(x)
    for j in range(1, len(x)):
        for push in (5 * torch.arange(1, x.shape[-1] + 1), -5 * torch.arange(1, x.shape[-1] + 1)):
            changed = x.clone()
            changed[:, j] += push
            if unequal(fn(changed)[:, :j], before[:, :j]):
                return True
    return False


def flips_the_sequence(fn, x):
    return unequal(fn(x.flip(1)), fn(x).flip(1))


def grows_a_clone(*masks):
    combined = masks[0].clone()
    for mask in masks[1:]:
        combined &= mask
    return combined


def grows_ones(*masks):
    combined = torch.ones(masks[0].shape, dtype=torch.bool)
    for mask in masks:
        combined &= mask
    return combined


def returns_too_early(*masks):
    combined = masks[0]
    for mask in masks[1:]:
        combined = combined & mask
        return combined  # noqa: RET504
    return None


def forgets_the_star(masks):
    combined = masks[0]
    for mask in masks:
        combined = combined & mask
    return combined


def opens_the_other_columns(prefix_len, seq_len):
    position = torch.arange(seq_len)
    return ((position <= position[:, None]) | (position < seq_len - prefix_len))[None, None]


def without_brackets(prefix_len, seq_len):
    position = torch.arange(seq_len)
    return (position <= position[:, None] | (position < prefix_len))[None, None]


def with_or(prefix_len, seq_len):
    position = torch.arange(seq_len)
    return (position <= position[:, None] or position < prefix_len)[None, None]


def turned_round(seq_len, prefix_len):
    position = torch.arange(seq_len)
    return ((position <= position[:, None]) | (position < prefix_len))[None, None]


def in_a_row(lengths, max_len):
    return (torch.arange(max_len) < lengths)[:, None, None, :]


def on_the_default_device(lengths, max_len):
    mask = torch.zeros(len(lengths), 1, 1, max_len, dtype=torch.bool)
    for b in range(len(lengths)):
        mask[b, 0, 0, : lengths[b]] = True
    return mask


def transposed_and_elsewhere(seq_len, device=None):
    return torch.triu(torch.ones(1, 1, seq_len, seq_len, dtype=torch.bool))


LEAKS, COMBINE, PREFIX, PADDING, CAUSAL = (
    f"01.{name}"
    for name in ("leaks_future", "combine_masks", "create_prefix_mask", "create_padding_mask", "create_causal_mask")
)
TOLERANT = "a tolerance hides the leak"
TOLD: list[tuple[str, Callable[..., Any], str | None]] = [
    (LEAKS, detector(lambda a, b: not torch.allclose(a, b, rtol=0, atol=1e-6), 10, -10), TOLERANT),
    (LEAKS, detector(lambda a, b: (a - b).abs().max() > 1e-4, 1000, -1000), TOLERANT),
    (LEAKS, detector(lambda a, b: (a - b).sum() != 0, 10, -10), "differences that cancel"),
    (LEAKS, detector(unequal, 10, -10), "all features are pushed alike"),
    (LEAKS, detector(unequal, 1e6, -1e6), "all features are pushed alike"),
    (LEAKS, detector(unequal, 10), "one push for all"),
    (LEAKS, detector(lambda a, b: not torch.allclose(a, b), 10), "one push for all, and a tolerance"),
    (LEAKS, detector(lambda a, b: (a != b).all(), 10, -10), "every output must move"),
    (LEAKS, detector(lambda a, b: (a != b).all(), 10, -10, start=0), "always True"),
    (LEAKS, detector(lambda a, b: a != b, 10, -10), "a comparison of tensors in an if"),
    (LEAKS, detector(lambda a, b: (a - b).abs().max() > 0, 10, -10, start=0), "a maximum over nothing"),
    (LEAKS, changes_a_sequence, "the first axis is taken for the positions"),
    (LEAKS, changes_one_sequence, "only the first sequence counts"),
    (LEAKS, overwrites_its_verdict, "only the last comparison counts"),
    (LEAKS, takes_the_length_of_the_batch, "len(x) is taken for the number of tokens"),
    (LEAKS, flips_the_sequence, None),
    (COMBINE, grows_a_clone, "a result that cannot grow"),
    (COMBINE, grows_ones, "a result that cannot grow"),
    (COMBINE, returns_too_early, "a return inside the loop"),
    (COMBINE, forgets_the_star, "the star is missing"),
    (COMBINE, lambda *masks: masks[0], "only the first mask"),
    (COMBINE, lambda one, two: one & two, "a signature for two masks"),
    (PREFIX, opens_the_other_columns, "the prefix is counted from the end"),
    (PREFIX, without_brackets, "| before the comparison"),
    (PREFIX, with_or, "one truth for a whole tensor"),
    (PREFIX, turned_round, "the arguments are swapped"),
    (PADDING, in_a_row, "lengths stand in a row"),
    (PADDING, on_the_default_device, "built on the default device"),
    (CAUSAL, transposed_and_elsewhere, "transposed"),
]


@pytest.mark.parametrize(("exercise", "student", "name"), TOLD, ids=[f"{ex}-{name}" for ex, _, name in TOLD])
def test_a_learners_code_gets_the_right_name_or_none(exercise: str, student: Callable[..., Any], name: str | None):
    for seed in range(3):
        verdict = exercises.get(exercise).grade(student, seed)
        assert verdict.status == "failed"
        assert verdict.misconception == name, verdict.message


def test_lists_and_arrays_are_told_how_to_become_tensors():
    causal = exercises.get(CAUSAL)
    assert "torch.tensor(...) makes a tensor of it" in causal.grade(lambda n, device=None: [[[[True] * n] * n]]).message
    from_numpy = causal.grade(lambda n, device=None: np.tril(np.ones((1, 1, n, n), bool))).message
    assert "got a NumPy array; torch.from_numpy(...)" in from_numpy


def test_the_inputs_are_drawn_with_a_wrong_combination():
    lines = exercises.get(COMBINE).grade(lambda *masks: masks[0] | masks[-1]).message.split("\n")
    a, b = (torch.tensor([char == "■" for char in part.split()]) for part in lines[-13].split("    "))
    expected, yours = (torch.tensor([char == "■" for char in part.split()]) for part in lines[-6].split("    "))
    assert torch.equal(a & b, expected)
    assert torch.equal(a | b, yours)


def test_an_error_names_the_line_of_the_learners_own_code():
    def create_causal_mask(seq_len, device=None):
        position = torch.arange(seq_len)
        return helper(position)

    def helper(position):
        return position[:, None] @ position.view(7, 7, 7)

    said = exercises.get(CAUSAL).grade(create_causal_mask).message
    assert "In line 2 of helper: return position[:, None] @ position.view(7, 7, 7)" in said


def test_an_error_before_the_learners_first_line_has_no_line():
    assert "In line" not in exercises.get(COMBINE).grade(forgets_the_star).message
