"""Lesson 01, run side: the cases of the exercises on masks and leaks."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.running import Case, RunSide

__all__ = ["RUN_SIDES"]

PRIMES = (3, 5, 7, 11, 13)
DEVICE = "on the device of lengths"
META = "meta is a device without data that stands in for a GPU"


def _pick(generator: torch.Generator, choices: tuple[int, ...], count: int) -> list[int]:
    """Draw `count` different choices, the smallest first: a small failure is the easier one to read."""
    order = torch.randperm(len(choices), generator=generator)
    return sorted(choices[i] for i in order[:count])


def _between(generator: torch.Generator, low: int, high: int) -> int:
    """Draw a whole number, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _causal_cases(generator: torch.Generator) -> list[Case]:
    shapes = [
        Case("which pairs may attend", f"create_causal_mask({n})", (n,)) for n in _pick(generator, PRIMES, 3)
    ]
    n = _pick(generator, PRIMES, 1)[0]
    return [
        *shapes,
        Case("a single token", "create_causal_mask(1)", (1,)),
        Case(
            "on the device asked for",
            f'create_causal_mask({n}, device="meta"), where {META}',
            (n,),
            {"device": "meta"},
        ),
    ]


CAUSAL = RunSide(
    id="01.create_causal_mask",
    title="The causal mask",
    todo="create_causal_mask is not written yet: give a (1, 1, seq_len, seq_len) boolean tensor that is True where "
    "key j is not after query i.",
    cases=_causal_cases,
)


def _padding_case(group: str, lengths: list[int], max_len: int, dtype: torch.dtype = torch.int64) -> Case:
    kind = "" if dtype == torch.int64 else f", dtype={dtype}"
    shown = f"create_padding_mask(torch.tensor({lengths}{kind}), {max_len})"
    if group == DEVICE:
        shown = (
            f"create_padding_mask(lengths, {max_len}), where lengths is on the CPU and new tensors are made on meta by "
            f"default ({META})"
        )
    return Case(group, shown, (torch.tensor(lengths, dtype=dtype), max_len))


def _lengths(generator: torch.Generator, batch: int, max_len: int) -> list[int]:
    """Draw different lengths, none of them 0 or max_len."""
    return [1 + i for i in torch.randperm(max_len - 1, generator=generator)[:batch].tolist()]


def _padding_cases(generator: torch.Generator) -> list[Case]:
    small, large = _pick(generator, (5, 7, 11), 2)
    n = _pick(generator, (5, 7), 1)[0]
    return [
        _padding_case("which keys are real", _lengths(generator, 3, small), small),
        _padding_case("which keys are real", _lengths(generator, 2, large), large, torch.int32),
        _padding_case("which keys are real", _lengths(generator, 1, n), n),
        _padding_case("empty and full sequences", [n, *_lengths(generator, 1, n), 0], n),
        _padding_case("empty and full sequences", [0, 0], 3),
        _padding_case(DEVICE, _lengths(generator, 3, n), n),
    ]


def _call_elsewhere(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; in the device group, new tensors go to another device unless the code says where."""
    with torch.device("meta") if case.group == DEVICE else nullcontext():
        return student(*case.args)


PADDING = RunSide(
    id="01.create_padding_mask",
    title="The padding mask",
    todo="create_padding_mask is not written yet: give a (batch, 1, 1, max_len) boolean tensor that is True where "
    "key j is a real token, so where j < lengths[b].",
    cases=_padding_cases,
    call=_call_elsewhere,
)


def _combine_case(generator: torch.Generator, group: str, *shapes: tuple[int, ...]) -> Case:
    masks = tuple(torch.rand(shape, generator=generator) < 0.6 for shape in shapes)
    names = "abcd"[: len(masks)]
    called = ", ".join(f"{name} {shape}".replace(", ", ",") for name, shape in zip(names, shapes, strict=True))
    return Case(group, f"combine_masks({', '.join(names)}) with the shapes {called}", masks)


def _combine_cases(generator: torch.Generator) -> list[Case]:
    batch, heads = _pick(generator, (2, 3), 2)
    q, k = _pick(generator, (5, 7, 11), 2)
    both, many = "allowed by both masks", "any number of masks"
    return [
        _combine_case(generator, both, (1, 1, q, q), (1, 1, q, q)),
        _combine_case(generator, both, (1, 1, q, q), (batch, 1, 1, q)),
        _combine_case(generator, both, (heads, 1, 1, k), (1, 1, q, k)),
        _combine_case(generator, many, (1, 1, q, q)),
        _combine_case(generator, many, (1, 1, q, q), (batch, 1, 1, q), (1, 1, q, q)),
        _combine_case(generator, many, (batch, 1, 1, k), (1, heads, 1, 1), (1, 1, q, 1), (1, 1, q, k)),
        _combine_case(generator, many, (q, k), (batch, 1, 1, k), (k,)),
    ]


COMBINE = RunSide(
    id="01.combine_masks",
    title="Masks combined",
    todo="combine_masks is not written yet: give a boolean tensor that is True where every mask is True.",
    cases=_combine_cases,
)


def _prefix_case(group: str, prefix_len: int, seq_len: int) -> Case:
    return Case(group, f"create_prefix_mask({prefix_len}, {seq_len})", (prefix_len, seq_len))


def _prefix_cases(generator: torch.Generator) -> list[Case]:
    sizes = _pick(generator, (5, 7, 11), 2)
    n = _pick(generator, (3, 5, 7), 1)[0]
    none, everything = "no prefix: the causal mask", "all prefix: every pair"
    return [
        *(_prefix_case("which pairs may attend", _between(generator, 2, size - 2), size) for size in sizes),
        _prefix_case("which pairs may attend", n - 1, n),
        *(_prefix_case(none, 0, size) for size in (n, 1)),
        *(_prefix_case(everything, size, size) for size in (n, 1)),
    ]


PREFIX = RunSide(
    id="01.create_prefix_mask",
    title="The prefix mask",
    todo="create_prefix_mask is not written yet: give a (1, 1, seq_len, seq_len) boolean tensor that is True where "
    "key j is not after query i, or lies in the prefix.",
    cases=_prefix_cases,
)

# The models of the leak exercise are all one function; they differ in their numbers alone. Each token gives three
# kinds of features: itself, itself through a ReLU, and itself times a gate that the sequence's first token opens.
PLAIN, BENT, GATED = range(3)
Pairs = Callable[[int, int], bool]  # does output i read token j?


def _outputs(x: Tensor, weights: Tensor, bias: Tensor, bend: Tensor, shift: Tensor, gate: float) -> Tensor:
    """Give the outputs of a model for m of its n tokens.

    Sums are made in float64 and rounded once, so that they do not depend on the size of the batch.
    Shapes: x (batch, m, d); weights (n, 3 d, n, d_out) from token and feature to output; bias (n, d_out);
    bend, shift (n, d); returns (batch, m, d_out).
    """
    m = x.shape[1]
    opened = torch.relu(x[:, :1, :1] + gate)
    bent = torch.relu(x * bend[:m] + shift[:m])
    features = torch.cat((x, bent, x * opened), dim=-1).flatten(1).double()
    mixing = weights[:m, :, :m].reshape(features.shape[1], -1)
    return (features @ mixing).float().unflatten(1, (m, -1)) + bias[:m]


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


def _leak_case(
    generator: torch.Generator,
    group: str,
    sizes: tuple[int, int, int, int] = (2, 5, 3, 7),
    leak: Pairs = lambda i, j: False,
    past: Pairs = lambda i, j: True,
    kind: int = PLAIN,
    size: float = 1.0,
    reads: slice = slice(None),
    writes: slice = slice(None),
    direction: int = 0,
    sign: int = 0,
    opens: slice = slice(None),
    zeros: bool = False,
    shared: bool = False,
    scale: float = 1.0,
) -> Case:
    """Draw a model and its input.

    sizes: batch, n, d, d_out. past: which pairs with j <= i are read; leak: which with j > i.
    kind, size, reads, writes: how they are: by which kind of feature, how strongly, and from which features of the
    token to which of the output. direction: a ReLU shows nothing below (1) or above (-1) the tokens of x.
    sign: a leak through it makes all outputs rise (1) or fall (-1).
    opens: the sequences whose gate is open. zeros: x is all zeros. shared: each output is made in the
    same way. scale: of all outputs.
    """
    batch, n, d, d_out = sizes
    x = _normal(generator, batch, n, d) * (not zeros)
    bias, bend, shift = _normal(generator, n, d_out), _normal(generator, n, d), _normal(generator, n, d)
    if shared:
        bias, bend, shift = (value[:1].expand(n, -1) for value in (bias, bend, shift))
    if direction:  # all sequences share their later tokens, so that one threshold fits them all
        x[:, 1:] = x[0, 1:]
        bend, shift = torch.full((n, d), float(direction)), -direction * x[0] - 0.05
    if kind == GATED:  # the first token opens the gate or keeps it shut, in each sequence for itself
        x[:, 0, 0] = -x[:, 0, 0].abs() - 0.5
        x[opens, 0, 0] *= -1
    weights = _normal(generator, n, 3, d, n, d_out) / (n * d) ** 0.5
    if shared:  # few bits, so that float64 has every sum exactly, wherever in the sequence it is made
        weights = (weights[:1, :, :, :1].expand_as(weights) * 16).round() / 16
        weights[:, GATED] = 0
    strong = weights.sign() * (weights.abs() + 0.5)  # a leak drawn from N(0, 1) might happen to be none
    strong = sign * strong.abs() if sign else strong
    pairs = [[(i, j) for i in range(n)] for j in range(n)]
    reads_past = torch.tensor([[j <= i and past(i, j) for i, j in row] for row in pairs])
    reads_ahead = torch.tensor([[j > i and leak(i, j) for i, j in row] for row in pairs])
    if size < 1:  # keep the outputs away from zero, where a faint leak would be a large one
        weights, bias = weights / 4, bias.sign() * (bias.abs() + 8)
    leaking = torch.zeros_like(weights)
    leaking[:, kind, reads, :, writes] = size * strong[:, kind, reads, :, writes]
    weights = weights * reads_past[:, None, None, :, None] + leaking * reads_ahead[:, None, None, :, None]
    weights, bias = weights * scale, bias * scale
    gate = 0.0 if kind == GATED else float(_normal(generator))
    numbers = (weights.flatten(1, 2).double(), bias, bend, shift, gate)
    return Case(group, f"leaks_future(fn, x) with x of shape {tuple(x.shape)}", (lambda x: _outputs(x, *numbers), x))


LAST_PLACE, CANCELLING, CENTRED = range(3)
STEP = 0.5


def _step_case(generator: torch.Generator, group: str, kind: int, scale: float = 1.0) -> Case:
    """Draw a causal model, and let its first two outputs make one step when a token from 2 on is another.

    However far the token moves, the step is the same. LAST_PLACE: to the next number that float32 has.
    CANCELLING: up in one place and down in another, so that it adds up to zero along every axis.
    CENTRED: felt only where the features of a token move unevenly, as behind a layer norm.
    """
    case = _leak_case(generator, group, scale=scale)
    base, x = case.args
    x[:, 1:] = x[0, 1:]  # all sequences share the tokens that are compared with
    x[:, 0, 0] = x[:, 0, 0].abs() + 0.5
    x[::2, 0, 0] *= -1  # the first token says which sequence goes up and which down
    return replace(case, args=(partial(_stepping, base, x[0].clone(), kind), x))


def _stepping(base: Callable[[Tensor], Tensor], known: Tensor, kind: int, x: Tensor) -> Tensor:
    """Give the outputs of `base`, one step aside where a token of x from 2 on is not as `known`.

    Shapes: x (batch, m, d); known (n, d) with n >= m; returns (batch, m, d_out).
    """
    y = base(x)
    moved = x - known[: x.shape[1]]
    equal = moved.mean(-1, keepdim=True)
    if kind == CENTRED:
        moved = moved - equal
    felt = (moved.abs() > 0.05 + 1e-3 * equal.abs())[:, 2:].flatten(1).any(1)
    step = torch.full_like(y, STEP)
    if kind == LAST_PLACE:
        step = torch.nextafter(y.detach(), torch.tensor(torch.inf)) - y.detach()
    if kind == CANCELLING:
        y = (y * 256).round() / 256  # so that float32 has every sum exactly
        ways = torch.tensor([1.0, -1.0])
        step = torch.zeros_like(y)
        step[:, :2, :2] = STEP * x[:, :1, :1].sign() * (ways[:, None] * ways)[: x.shape[1]]
    step[:, 2:] = 0
    return y + step * felt[:, None, None]


def _leak_cases(generator: torch.Generator) -> list[Case]:
    ordinary, hidden = "ordinary leaks, and causal models", "faint, one-sided and hidden leaks"
    case = partial(_leak_case, generator, ordinary)
    ahead = partial(case, leak=lambda i, j: j >= 2)
    one_sided = partial(_leak_case, generator, hidden, leak=lambda i, j: j >= 2, kind=BENT)
    step = partial(_step_case, generator, hidden)
    batches = [
        [
            case(),
            case(zeros=True),
            case(sizes=(3, 2, 5, 7)),
            case(past=lambda i, j: False),
            case(past=lambda i, j: j == i, shared=True),
            case(past=lambda i, j: j < i),
            case(past=lambda i, j: j <= i < 4 or j == 0),
            case(leak=lambda i, j: True),
            case(sizes=(3, 2, 5, 7), leak=lambda i, j: True),
        ],
        [
            case(sizes=(2, 1, 3, 5)),
            case(sizes=(3, 7, 2, 5)),
            case(leak=lambda i, j: j == i + 1, past=lambda i, j: False),
            case(sizes=(1, 5, 3, 7), leak=lambda i, j: j == i + 2),
            *(case(leak=lambda i, j, pair=pair: (i, j) == pair) for pair in ((0, 4), (0, 1), (1, 2), (3, 4))),
        ],
        [
            ahead(kind=GATED, opens=slice(0, 1)),
            ahead(sizes=(3, 5, 2, 7), kind=GATED, opens=slice(1, 2)),
            ahead(reads=slice(0, 1)),
            ahead(reads=slice(-1, None)),
            ahead(writes=slice(0, 1)),
            ahead(writes=slice(-1, None)),
            ahead(zeros=True),
        ],
        [
            _leak_case(generator, hidden, leak=lambda i, j: j >= 2, size=2e-6),
            step(LAST_PLACE),
            step(LAST_PLACE, scale=1e-15),
            step(CANCELLING),
            step(CENTRED),
            *(
                one_sided(direction=way, zeros=zeros, sign=sign)
                for way, zeros, sign in ((1, False, 1), (1, True, -1), (-1, False, -1), (-1, True, 1))
            ),
        ],
    ]
    # No order to learn by heart: counting calls tells nothing.
    return [batch[i] for batch in batches for i in torch.randperm(len(batch), generator=generator)]


LEAKS = RunSide(
    id="01.leaks_future",
    title="The leak detector",
    todo="leaks_future is not written yet: change one token, run fn again, and see whether an output before that "
    "token has moved.",
    cases=_leak_cases,
)

RUN_SIDES = (CAUSAL, PADDING, COMBINE, PREFIX, LEAKS)
