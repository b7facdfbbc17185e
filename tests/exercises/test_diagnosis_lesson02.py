"""What learners wrote in lesson 02 and were told: the right name, or none and the counterexample; never a wrong one."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from course_lib import exercises
from course_lib.attention import attention_weights, causal_self_attention, merge_heads, split_heads
from course_lib.exercises.exercise import Exercise
from course_lib.masks import create_causal_mask
from course_lib.positions import rope
from tests.exercises.told import gets_its_name, reads_on_the_card

WEIGHTS, SPLIT, MERGE, BLOCK, ROPE = exercises.lesson("02")


def weights(
    scale: Callable[[torch.Tensor], float] = lambda q: q.size(-1) ** 0.5,
    fill: float | None = float("-inf"),
    dim: int = -1,
) -> Callable[..., torch.Tensor]:
    """What a tutorial's attention looks like, with a slip or two."""

    def answer(q, k, mask=None):
        scores = torch.matmul(q, k.transpose(-2, -1)) / scale(q)
        if mask is not None and fill is not None:
            scores = scores.masked_fill(mask == 0, fill)
        return F.softmax(scores, dim=dim)

    return answer


def inverted(q, k, mask=None):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        scores = torch.where(mask, -torch.inf, scores)
    return scores.softmax(-1)


def renormalised(q, k, mask=None):
    found = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    if mask is not None:
        found = found * mask
        found = found / found.sum(-1, keepdim=True)
    return found


def repaired_in_place(q, k, mask=None):
    found = weights()(q, k, mask)
    found[found.isnan()] = 0
    return found


def forgets_none(q, k, mask=None):
    return (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf).softmax(-1)


def forgets_the_default(q, k, mask):
    return weights()(q, k, mask)


def forgets_keepdim(q, k, mask=None):
    powers = (q @ k.mT / q.shape[-1] ** 0.5).exp()
    return powers / powers.sum(-1)


def subtracts_booleans(q, k, mask=None):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return (scores if mask is None else scores + (1 - mask) * -1e9).softmax(-1)


def written(source: str) -> Callable[..., Any]:
    """An attention_weights of these lines, behind `s = q @ k.mT / q.shape[-1] ** 0.5`; "masked:" returns early."""
    first = "if mask is None: return s.softmax(-1)"
    lines = ["s = q @ k.mT / q.shape[-1] ** 0.5", *source.replace("masked: ", f"{first}; ").split("; ")]
    scope = {"torch": torch, "F": F, "inf": torch.inf}
    exec("\n    ".join(["def attention_weights(q, k, mask=None):", *lines]), scope)
    return scope["attention_weights"]


def splits(order: Callable[[torch.Tensor, int, int, int, int], torch.Tensor], error: Any = None) -> Callable[..., Any]:
    def answer(x, num_heads):
        batch, seq, d_model = x.shape
        if error is not None and d_model % num_heads:
            raise error
        return order(x, batch, seq, num_heads, d_model // num_heads)

    return answer


def in_order(x, batch, seq, heads, head_dim):
    return x.view(batch, seq, heads, head_dim).transpose(1, 2)


def block(
    mask: bool = True, root: bool = True, project: bool = True, swap: bool = True, copy: bool = True
) -> Callable[..., torch.Tensor]:
    """What a tutorial's block looks like, with a slip or two."""

    def answer(x, W_qkv, W_o, num_heads):
        batch, seq, d_model = x.shape
        parts = (x @ W_qkv).split(d_model, dim=-1)
        if swap:
            q, k, v = (part.view(batch, seq, num_heads, -1).transpose(1, 2) for part in parts)
        else:
            q, k, v = (part.reshape(batch, num_heads, seq, -1) for part in parts)
        scores = q @ k.mT / (q.shape[-1] ** 0.5 if root else 1)
        if mask:
            scores = scores.masked_fill(torch.ones(seq, seq).triu(1).bool(), -torch.inf)
        merged = (scores.softmax(-1) @ v).transpose(1, 2)
        merged = merged.reshape(batch, seq, -1) if copy else merged.view(batch, seq, -1)
        return merged @ W_o if project else merged

    return answer


def own_functions_with(weigh: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def answer(x, W_qkv, W_o, num_heads):
        q, k, v = (split_heads(part, num_heads) for part in (x @ W_qkv).chunk(3, dim=-1))
        return merge_heads(weigh(q, k, create_causal_mask(x.shape[1])) @ v) @ W_o

    return answer


def attends_between_heads(x, W_qkv, W_o, num_heads):
    q, k, v = (part.unflatten(-1, (num_heads, -1)) for part in (x @ W_qkv).chunk(3, dim=-1))
    return ((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v).flatten(2) @ W_o


def masks_by_the_batch(x, W_qkv, W_o, num_heads):
    q, k, v = (split_heads(part, num_heads) for part in (x @ W_qkv).chunk(3, dim=-1))
    return merge_heads(attention_weights(q, k, create_causal_mask(len(x))) @ v) @ W_o


def neighbours_in_float32(x, positions):
    angles = positions[:, None] / 10_000 ** (torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    even, odd, cos, sin = x[..., ::2], x[..., 1::2], angles.cos(), angles.sin()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def without_gradients_in(projects: bool) -> Callable[..., torch.Tensor]:
    """A block whose projection, or whose weights, are computed without gradients."""

    def answer(x, W_qkv, W_o, num_heads):
        with torch.set_grad_enabled(not projects):
            q, k, v = (split_heads(part, num_heads) for part in (x @ W_qkv).chunk(3, dim=-1))
        with torch.set_grad_enabled(projects):
            found = attention_weights(q, k, create_causal_mask(x.shape[1]))
        return merge_heads(found @ v) @ W_o

    return answer


def turned(
    speeds: Callable[[int], torch.Tensor] = lambda d: 10_000.0 ** (-torch.arange(0, d, 2) / d),
    below: int = 1,
    dtype: torch.dtype | None = torch.float32,
) -> Callable[..., torch.Tensor]:
    """A rope with a slip or two. below: the sign of the cosine in the second half. dtype: of the angles, or x's."""

    def answer(x, positions):
        angles = positions[:, None].to(dtype or x.dtype) * speeds(x.shape[-1]).to(dtype or x.dtype)
        (a, b), cos, sin = x.chunk(2, dim=-1), angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        return torch.cat((a * cos - b * sin, a * sin + below * b * cos), dim=-1)

    return answer


def turns_in_place(x, positions):
    x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :] = turned()(x, positions).clone().chunk(2, dim=-1)
    return x


NO_KEYS, TO_ALL = "nan for a query with nobody to attend to", "a query with nobody to attend to attends to all"
ZERO_SUM, DTYPE = "a sum of 0 is divided by", "another dtype comes back"
OVER_QUERIES, SQUEEZED = "softmax over the queries", "axes of size 1 are dropped"
OTHER_ERROR, NOT_IN_A_ROW = "another error instead of a ValueError", "a view of what is not in a row"
# Lines of an attention_weights, what it is called, and its points.
WRITTEN: list[tuple[str, str | None, float]] = [
    ("masked: return s.masked_fill(~mask, -100.).softmax(-1) * mask", "forbidden scores that are not the lowest", 7),
    ("masked: return s.masked_fill(~mask, -50.).softmax(-1)", "forbidden scores that are not the lowest", 6),
    ("e = (s - s.max()).exp() * (1 if mask is None else mask); return e / e.sum(-1, keepdim=True).clamp(min=1e-30)",
     "the largest of all scores is subtracted", 7),
    ("masked: w = s.softmax(-1) * mask; return w / w.sum(-1, keepdim=True).clamp(min=1e-9)",
     "a forbidden score is the largest", 7),
    ("masked: return s.masked_fill(~mask.mT, -inf).softmax(-1)", "the mask is transposed", 3),
    ("masked: return s.masked_fill(~mask, -inf).softmax(-2)", None, 3),
    ("return (s if mask is None else s.masked_fill(~mask, -inf)).softmax(-2)", OVER_QUERIES, 0),
    ("return (s if mask is None else s.masked_fill(~mask, -inf)).softmax(2)", OVER_QUERIES, 0),
    ("return s.masked_fill(~mask, -inf).softmax(-2)", "mask may be None", 0),
    ("return s.softmax(-2)", OVER_QUERIES, 0),
    ("return s.softmax(1)", "softmax over the heads", 0),
    ("return s.softmax(0)", "softmax over the batch", 0),
    ("masked: return (s + (~mask) * -inf).softmax(-1)", "nan from infinity", 3),
    ("masked: return (s - (~mask) * inf).softmax(-1)", "nan from infinity", 3),
    ("masked: s[~mask] = -inf; return s.softmax(-1)", "the mask is used as an index", 3),
    ("masked: s = s if not mask else s; return s", "a mask in an if", 3),
    ("e = s.exp() * (1 if mask is None else mask); return e / e.sum(-1, keepdim=True).clamp(min=1e-9)",
     "exponentials that overflow", 7),
    ("e = s.exp() * (1 if mask is None else mask); return e / e.sum(-1, keepdim=True)", ZERO_SUM, 6),
    ("masked: w = s.softmax(-1); return w * mask / (w * mask).sum(-1, keepdim=True)", ZERO_SUM, 6),
    ("masked: s = s.masked_fill(~mask, torch.finfo(s.dtype).min); e = (s - s.amax(-1, keepdim=True)).exp() * mask; "
     "return e / e.sum(-1, keepdim=True)", NO_KEYS, 7),
    ("s = q.float() @ k.float().mT / q.shape[-1] ** 0.5; "
     "masked: return s.masked_fill(~mask, -1e9).softmax(-1) * mask", DTYPE, 7),
    ("s = q.double() @ k.double().mT / q.shape[-1] ** 0.5; "
     "masked: return s.masked_fill(~mask, -1e9).softmax(-1) * mask", DTYPE, 7),
    ("return s.masked_fill(~mask, -1e9).softmax(-1) * mask", "mask may be None", 5),
    ("return s", "no softmax", 0),
    ("return q @ k.mT", "no softmax", 0),
    ("return s if mask is None else s.masked_fill(~mask, -inf)", "no softmax", 0),
    ("return torch.sigmoid(s)", None, 0),
    ("s = q @ k.mT / q.shape[-1] ** 1 / 2; masked: return s.masked_fill(~mask, -inf).softmax(-1)",
     "half instead of the root", 0),
    ("masked: return (s.masked_fill(~mask, -1e9).softmax(-1) * mask).squeeze()", SQUEEZED, 7),
    ("masked: return s.masked_fill(~mask, -1e9).softmax(-1) * mask + 1e-6", None, 7),
]  # fmt: skip
TOLD: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (WEIGHTS, weights(), NO_KEYS, 7),
    (WEIGHTS, weights(fill=-1e9), TO_ALL, 7),
    (WEIGHTS, weights(scale=lambda q: 1), "no scale", 0),
    (WEIGHTS, weights(scale=lambda q: 1, fill=-1e9), "no scale", 0),
    (WEIGHTS, weights(scale=lambda q: q.size(-1)), "scaled by head_dim, not by its root", 0),
    (WEIGHTS, weights(scale=lambda q: math.sqrt(q.size(2))), "the root of another size", 0),
    (WEIGHTS, weights(scale=lambda q: q.size(-1) ** 1 / 2), "half instead of the root", 0),
    (WEIGHTS, weights(scale=lambda q: int(q.size(-1) ** 0.5)), None, 0),
    (WEIGHTS, weights(dim=-2), "softmax over the queries", 0),
    (WEIGHTS, weights(dim=1), "softmax over the heads", 0),
    (WEIGHTS, weights(dim=1, fill=-1e9), "softmax over the heads", 0),
    (WEIGHTS, weights(scale=lambda q: 1, dim=-2), None, 0),
    (WEIGHTS, weights(fill=None), "the mask is ignored", 3),
    (WEIGHTS, weights(fill=-1e4), TO_ALL, 7),
    (WEIGHTS, weights(fill=torch.finfo(torch.float32).min), TO_ALL, 6),
    (WEIGHTS, inverted, "the mask is inverted", 3),
    (WEIGHTS, renormalised, ZERO_SUM, 6),
    (WEIGHTS, repaired_in_place, "weights are overwritten in place", 7),
    (WEIGHTS, forgets_none, "mask may be None", 4),
    (WEIGHTS, forgets_the_default, "mask has no default", 4),
    (WEIGHTS, forgets_keepdim, "keepdim is missing", 0),
    (WEIGHTS, subtracts_booleans, None, 3),
    (WEIGHTS, lambda q, k, mask=None: attention_weights(q, k, mask) @ k, None, 0),
    *((WEIGHTS, written(source), name, points) for source, name, points in WRITTEN),
    (SPLIT, splits(in_order), OTHER_ERROR, 2),
    (SPLIT, splits(in_order, RuntimeError("these do not fit")), OTHER_ERROR, 2),
    (SPLIT, splits(in_order, AssertionError("these do not fit")), "an assert instead of a ValueError", 2),
    (SPLIT, splits(lambda x, b, n, h, d: x.view(b, h, n, d)), "cut by a view alone", 0),
    (SPLIT, splits(lambda x, b, n, h, d: x.view(b, n, h, d)), "the heads stand behind the tokens", 0),
    (SPLIT, splits(lambda x, b, n, h, d: x.view(b, n, h, d / 1)), "/ instead of //", 0),
    (SPLIT, lambda x, h: in_order(x, *x.shape[:2], h, x.shape[2] / h), "/ instead of //", 0),
    (SPLIT, lambda x, h: split_heads(x, h).squeeze(), SQUEEZED, 0),
    (SPLIT, splits(in_order, TypeError("these do not fit")), OTHER_ERROR, 2),
    (SPLIT, splits(lambda x, b, n, h, d: in_order(x, b, n, h, d).flip(1), ValueError()), None, 0),
    (MERGE, lambda x: x.transpose(1, 2).reshape(len(x), -1, x.shape[3]), "heads and tokens are joined", 0),
    (MERGE, lambda x: x.contiguous().view(x.shape[0], x.shape[2], -1), "merged by a reshape alone", 0),
    (MERGE, lambda x: x.transpose(1, 2).view(x.shape[0], x.shape[2], -1), NOT_IN_A_ROW, 0),
    (MERGE, lambda x: x.contiguous().transpose(1, 2).view(len(x), x.shape[2], -1), NOT_IN_A_ROW, 0),
    (MERGE, lambda x: merge_heads(x).squeeze(), SQUEEZED, 1),
    (MERGE, lambda x: x.amax(1), None, 0),
    (BLOCK, block(mask=False), "the mask is missing", 0),
    (BLOCK, block(root=False), "no scale", 2),
    (BLOCK, block(project=False), "no output projection", 2),
    (BLOCK, block(swap=False), "the heads are cut by a view alone", 0),
    (BLOCK, block(copy=False), NOT_IN_A_ROW, 0),
    (BLOCK, block(mask=False, root=False), None, 0),
    (BLOCK, block(root=False, project=False), None, 2),
    (BLOCK, own_functions_with(weights(scale=lambda q: 1)), "no scale", 2),
    (BLOCK, own_functions_with(weights(dim=-2)), "softmax over the queries", 0),
    (BLOCK, own_functions_with(inverted), "the mask is inverted", 0),
    (BLOCK, attends_between_heads, None, 0),
    (BLOCK, masks_by_the_batch, None, 0),
    (ROPE, neighbours_in_float32, "neighbours are paired", 0),
    (BLOCK, without_gradients_in(projects=True), "cut off from the gradients", 6),
    (BLOCK, without_gradients_in(projects=False), "cut off from the gradients", 6),
    (BLOCK, lambda x, W, W_o, h: causal_self_attention(x, W, W_o, h).squeeze(), SQUEEZED, 6),
    (BLOCK, lambda x, W, W_o, h: causal_self_attention(x, W, W_o, 1), "one head only", 2),
    (BLOCK, lambda x, W, W_o, h: causal_self_attention(x.double(), W.double(), W_o.double(), h), DTYPE, 6),
    (ROPE, lambda x, positions: x, None, 0),
    (ROPE, turned(lambda d: 10_000.0 ** (-2 * torch.arange(0, d, 2) / d)), "the 2 is counted twice", 0),
    (ROPE, lambda x, positions: turned()(x, positions - positions[0]), "positions are ignored", 4),
    (ROPE, turned(below=-1), "the second half has the wrong sign", 0),
    (ROPE, turned(dtype=torch.bfloat16), None, 0),
    (ROPE, turned(dtype=None), "angles in half precision", 5),
    (ROPE, lambda x, positions: rope(x.double(), positions), DTYPE, 5),
    (ROPE, turns_in_place, "x is overwritten", 5),
]


test_a_learners_code_gets_the_right_name_or_none = gets_its_name(TOLD)


test_the_card_says_what_is_wrong_and_where = reads_on_the_card(
    [
        (WEIGHTS, weights(scale=lambda q: 1), "not divided by √head_dim"),
        (WEIGHTS, weights(), "rows of queries without a key: 110 of 110 values differ; the first is [0][0]: expected "
         "0, got nan."),
        (WEIGHTS, weights(fill=None), "Forbidden keys get weight: the mask has no effect."),
        (SPLIT, splits(lambda x, b, n, h, d: x.view(b, h, n, d)), "view and reshape read on in memory and mix tokens"),
        (MERGE, lambda x: x.transpose(1, 2).view(x.shape[0], x.shape[2], -1), "In line 1 of your function: "),
        (BLOCK, block(mask=False), "Every token reads the whole sequence, those after it too."),
        (WEIGHTS, repaired_in_place, "the softmax needs its own result for the gradients"),
        (WEIGHTS, lambda q, k, mask=None: torch.tensor(attention_weights(q, k, mask).tolist(), dtype=q.dtype),
         "A gradient reaches q: expected True, got False"),
    ]
)  # fmt: skip


def test_the_mask_is_drawn_above_wrong_weights():
    lines = WEIGHTS.grade(weights(fill=None)).message.split("\n")
    assert "  mask" in lines
    assert lines[-1].startswith("  (■ True = may attend, · False; rows are queries, sequence 0, head 0)")
    assert any(line.split() == ["expected", "yours"] for line in lines)


def test_a_view_that_fails_in_the_split_is_told_so_too():
    def answer(x, W_qkv, W_o, num_heads):
        q, k, v = (part.view(len(x), num_heads, x.shape[1], -1) for part in (x @ W_qkv).chunk(3, dim=-1))
        return merge_heads(attention_weights(q, k, create_causal_mask(x.shape[1])) @ v) @ W_o

    assert BLOCK.grade(answer).misconception == NOT_IN_A_ROW


def test_a_low_fill_is_right_wherever_there_is_a_key(seed: int):
    lost = "a query with nobody to attend to gives zeros"
    for fill in (float("-inf"), -1e9, -1e4, -1e30, torch.finfo(torch.bfloat16).min):
        verdict = WEIGHTS.grade(weights(fill=fill), seed)
        assert [result.name for result in verdict.groups if result.failure] == [lost], verdict.message
