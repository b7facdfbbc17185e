"""Lesson 02: values computed by hand, what the statements promise, and right answers a strict judge could refuse."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from course_lib import exercises
from course_lib.exercises.exercise import Exercise, run_mistake
from course_lib.exercises.running import draw, run
from course_lib.exercises.shortcuts import find_shortcut

LESSON = exercises.lesson("02")
WEIGHTS, SPLIT, MERGE, BLOCK, ROPE = LESSON
GRADED = [exercise for exercise in LESSON if not exercise.optional]
LOG3 = math.log(3)

# One call of each exercise, and what a pencil says to it.
BY_HAND: list[tuple[Exercise, tuple[Any, ...], Any]] = [
    # Scores 0 and 2 ln 3, divided by √4: the second key weighs three times as much as the first.
    (WEIGHTS, (torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[0.0, 0, 0, 0], [LOG3, 5, 5, 5]])), [[0.25, 0.75]]),
    (
        WEIGHTS,
        (torch.zeros(3, 4), torch.ones(2, 4), torch.tensor([[True, True], [False, True], [False, False]])),
        [[0.5, 0.5], [0.0, 1.0], [0.0, 0.0]],
    ),
    (SPLIT, (torch.arange(12.0).view(1, 2, 6), 3), [[[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]]),
    (MERGE, (torch.arange(8.0).view(1, 2, 2, 2),), [[[0, 1, 4, 5], [2, 3, 6, 7]]]),
    # No queries, so equal weights; the values are x and 2 x; token 1 gets the mean of both, and W_o swaps features.
    (
        BLOCK,
        (
            torch.tensor([[[2.0, 4.0], [6.0, 0.0]]]),
            torch.tensor([[0.0, 0, 1, 0, 1, 0], [0, 0, 0, 1, 0, 2]]),
            torch.tensor([[0.0, 1], [1, 0]]),
            2,
        ),
        [[[8, 2], [4, 4]]],
    ),
    # One pair, turned by 0, 1 and 2; then two pairs, of which the second turns a hundred times as slowly.
    (
        ROPE,
        (torch.tensor([1.0, 0.0]).expand(1, 1, 3, 2), torch.arange(3)),
        [[[[math.cos(p), math.sin(p)] for p in range(3)]]],
    ),
    (
        ROPE,
        (torch.tensor([[[[1.0, 0.0, 0.0, 2.0]]]]), torch.tensor([5])),
        [[[[math.cos(5), -2 * math.sin(0.05), math.sin(5), 2 * math.cos(0.05)]]]],
    ),
]


@pytest.mark.parametrize(("exercise", "args", "expected"), BY_HAND, ids=[ex.side.name for ex, _, _ in BY_HAND])
def test_right_answers_give_what_a_pencil_gives(exercise: Exercise, args: tuple[Any, ...], expected: list):
    for right in (exercise.reference, *exercise.alternatives):
        torch.testing.assert_close(right(*args), torch.tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-6)


def test_ordinary_masks_leave_each_query_a_key_and_forbid_it_one(seed: int):
    empty = []
    for case in draw(WEIGHTS.side, seed):
        if len(case.args) < 3 or case.args[2] is None:
            continue
        seen = case.args[2].any(-1)
        if case.group == "a query with nobody to attend to gives zeros" or "backwards" in case.shown:
            empty.append((seen.any().item(), seen.all().item()))
        else:
            assert seen.all()
            assert not case.args[2].all(-1).any()
    assert empty == [(True, False)] * 4


@pytest.mark.parametrize("exercise", [WEIGHTS, BLOCK, ROPE], ids=lambda exercise: exercise.id)
def test_wrong_values_are_clearly_wrong(exercise: Exercise, seed: int):
    """No verdict hangs on the tolerance: where a mistake gives other numbers, they are fifty times as far away."""
    expected = run(exercise.side, exercise.reference, draw(exercise.side, seed), seed)
    for name, wrong in exercise.mistakes():
        farthest = 0.0
        for got, want in zip(run_mistake(exercise, wrong, seed), expected, strict=True):
            if got.kind != want.kind or want.kind != "tensor" or got.value.shape != want.value.shape:
                farthest = math.inf
            elif got.value.dtype != want.value.dtype or not torch.equal(got.value.isfinite(), want.value.isfinite()):
                farthest = math.inf
            elif want.value.dtype == torch.float32:
                farthest = max(farthest, (got.value - want.value).abs().max().item())
            elif want.value.dtype == torch.bfloat16 and (got.value - want.value).abs().max() > 1:
                farthest = math.inf
        changed = any(got.inputs_changed for got in run_mistake(exercise, wrong, seed))
        values = [got.value for got in run_mistake(exercise, wrong, seed) if got.kind == "dict"]
        facts = [fact.value for value in values for fact in value.values()]
        assert farthest > 50 * exercise.judge.atol or changed or not all(facts), name


def _sums(pick: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda x, W_qkv, W_o, num_heads: pick(x, (x @ W_qkv).chunk(3, dim=-1)).cumsum(1)


CAUSAL_GUESSES = {
    "x": lambda x, *rest: x,
    "zeros": lambda x, *rest: x * 0,
    "nan": lambda x, *rest: x * torch.nan,
    "x projected": lambda x, W_qkv, W_o, num_heads: x @ W_o,
    "sums of x": _sums(lambda x, parts: x),
    "sums of values": _sums(lambda x, parts: parts[2]),
    "sums of queries and values": _sums(lambda x, parts: parts[0].tanh() * parts[2]),
    "the values": lambda x, W_qkv, W_o, num_heads: (x @ W_qkv)[..., -x.shape[-1] :] @ W_o,
    "noise": lambda x, *rest: torch.randn_like(x),
    "noise that grows": lambda x, *rest: torch.randn_like(x).cumsum(1),
}


@pytest.mark.parametrize("guess", CAUSAL_GUESSES.values(), ids=CAUSAL_GUESSES.keys())
def test_what_is_causal_and_no_attention_earns_nothing(guess: Callable[..., torch.Tensor]):
    for seed in range(20):
        assert BLOCK.grade(guess, seed).points == 0, BLOCK.grade(guess, seed).message


def test_causal_attention_with_another_slip_earns_the_points_for_being_causal(seed: int):
    for name in ("no scale", "scaled by √d_model", "queries and keys are swapped", "no output projection"):
        assert BLOCK.decide(run_mistake(BLOCK, BLOCK.misconceptions[name].wrong, seed), seed).points == 2, name
    for name in ("the mask is missing", "the mask is transposed", "one token too far", "forbidden scores are set to 0"):
        assert BLOCK.decide(run_mistake(BLOCK, BLOCK.misconceptions[name].wrong, seed), seed).points == 0, name


@pytest.mark.parametrize(
    ("exercise", "name"),
    [(WEIGHTS, "no scale"), (WEIGHTS, "the mask is ignored"), (BLOCK, "no scale"), (ROPE, "turned backwards"),
     (ROPE, "positions are ignored")],
)  # fmt: skip
def test_wrong_numbers_alone_leave_the_group_of_dtypes_without_a_cross(exercise: Exercise, name: str):
    verdict = exercise.grade(exercise.misconceptions[name].wrong)
    (group,) = [result for result in verdict.groups if result.name in exercise.form]
    assert (group.failure, group.counted, group.points) == (None, False, 0)
    assert f"  ○ {group.name}" in verdict.message


def test_a_first_version_that_forgets_the_empty_query_earns_most_of_the_points(seeds):
    def first_version(q, k, mask=None):
        scores = q @ k.mT / q.shape[-1] ** 0.5
        return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)

    for seed in seeds:
        assert WEIGHTS.grade(first_version, seed).points == 7


def test_right_numbers_in_another_dtype_cost_one_point():
    def in_float64(q, k, mask=None):
        return WEIGHTS.reference(q.double(), k.double(), mask)

    verdict = WEIGHTS.grade(in_float64)
    assert verdict.points == 7
    assert "Expected dtype torch.float32, got torch.float64" in " ".join(verdict.message.split())


def test_large_scores_are_exact_and_lie_far_apart(seed: int):
    large = [case for case in draw(WEIGHTS.side, seed) if "scores near" in case.shown]
    assert len(large) == 3
    for case in large:
        q, k = case.args[:2]
        scores = q @ k.mT / 4
        assert torch.equal(scores.double(), (q.double() / 4) @ k.double().mT)
        assert 790 < scores.abs().min() <= scores.abs().max() < 810
        assert scores.min() < 0 < scores.max()


def turn(x, cos, sin):
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, left * sin + right * cos), dim=-1)


def angles_by_logarithm(x, positions):
    speeds = torch.exp(torch.arange(0, x.shape[-1], 2) * (-math.log(10_000.0) / x.shape[-1]))
    angles = positions[:, None] * speeds
    return turn(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype))


def angles_in_float64(x, positions):
    angles = positions[:, None].double() / 10_000.0 ** (torch.arange(0, x.shape[-1], 2).double() / x.shape[-1])
    return turn(x.double(), angles.cos(), angles.sin()).to(x.dtype)


def angles_in_the_dtype_of_x_or_float32(x, positions):
    dtype = torch.promote_types(x.dtype, torch.float32)
    speeds = 10_000.0 ** (-torch.arange(0, x.shape[-1], 2, dtype=dtype) / x.shape[-1])
    angles = positions[:, None].to(dtype) * speeds
    return turn(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype))


@pytest.mark.parametrize("right", [angles_by_logarithm, angles_in_float64, angles_in_the_dtype_of_x_or_float32])
def test_angles_may_be_computed_in_any_precision_from_float32_on(right: Callable[..., torch.Tensor]):
    for seed in range(20):
        assert ROPE.grade(right, seed).passed, ROPE.grade(right, seed).message


FUSED = """def causal_self_attention(x, W_qkv, W_o, num_heads):
    return F.scaled_dot_product_attention(x, x, x, is_causal=True)"""
OWN = """from course_lib.masks import create_causal_mask
def attention_weights(q, k, mask=None):
    return (q @ k.mT).softmax(-1)
def causal_self_attention(x, W_qkv, W_o, num_heads):
    return attention_weights(x, x, create_causal_mask(x.shape[1])) @ x"""


def shortcut(exercise: Exercise, source: str) -> str | None:
    return find_shortcut([source], exercise.side.name, exercise.forbidden, exercise.allowed)


def test_torchs_attention_and_the_courses_own_are_refused_and_the_causal_mask_is_not():
    assert shortcut(BLOCK, FUSED).startswith("causal_self_attention uses scaled_dot_product_attention, which is")
    assert shortcut(BLOCK, OWN) is None
    assert "uses course_lib" in shortcut(BLOCK, OWN.replace("course_lib.masks", "course_lib.attention"))
    for exercise in GRADED:
        for name in ("scaled_dot_product_attention", "MultiheadAttention", "multi_head_attention_forward"):
            said = shortcut(exercise, f"def {exercise.side.name}(x):\n    return F.{name}(x)")
            assert said.startswith(f"{exercise.side.name} uses {name}, which is attention made by torch")
