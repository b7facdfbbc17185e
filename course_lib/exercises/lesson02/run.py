"""Lesson 02, run side: the cases of the exercises on self-attention."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.running import Case, RunSide

__all__ = ["RUN_SIDES"]

# The case groups, as the bank gives points for them and a card shows them.
PLAIN, MASKED = "weights without a mask", "weights with a mask"
NOBODY = "a query with nobody to attend to gives zeros"
LARGE = "scores in the hundreds, and finite gradients"
AXES = "any axes before the last two, and q's dtype"
RUNS, REFUSES = "each head gets its run of features", "ValueError where features cannot be shared out"
SIDE_BY_SIDE, INVERSE = "heads side by side again", "what split_heads made comes back"
OUTPUTS, SINGLE = "the outputs of several heads", "one head, and one token alone"
CAUSAL = "token i ignores what comes after it"
REACHES = "gradients reach every input"
TURNED, ELSEWHERE = "each pair of features is turned", "positions that do not start at 0"
DISTANCE = "scores depend on the distance alone"
DTYPE = "in the dtype of x"
# What `_heeds_order` looks at.
SHAPED, STAYS = "every output has the shape of x", "outputs before a changed token stay"
CHANGES, WEIGHS = "outputs from a changed token on change", "what a token adds depends on the others"
MOVED = 1e-4  # what a changed token moves, it moves by more; rounding moves outputs by less


def _shuffled(generator: torch.Generator, *choices: int) -> list[int]:
    return [choices[i] for i in torch.randperm(len(choices), generator=generator)]


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


def _with(call: str, **tensors: Tensor) -> str:
    """Say how a function is called, and the shape of each tensor."""
    shapes = [f"{name} {tuple(value.shape)}" for name, value in tensors.items()]
    return f"{call} with shapes {', '.join(shapes)}"


def _precision(dtype: torch.dtype) -> str:
    """Say which dtype an input has, where it is no ordinary one."""
    return "" if dtype == torch.float32 else f", {dtype}".replace("torch.", "")


def _mask(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw a mask in which each query may attend to at least one key, and not to all."""
    places = torch.rand(shape, generator=generator).argsort(-1).argsort(-1)
    return places < torch.randint(1, shape[-1], (*shape[:-1], 1), generator=generator)


def _large_cases(generator: torch.Generator, *leading: int, q_len: int, k_len: int) -> list[Case]:
    """Draw q and k whose scores lie near 800 or -800: by rows, and under a mask by keys.

    The numbers are small integers and the scale is 4, so that scores are exact in any order of the sums.
    """
    q, k = (torch.randint(-1, 2, (*leading, n, 16), generator=generator).float() for n in (q_len, k_len))
    of_queries, of_keys = (torch.randperm(n, generator=generator) % 2 == 0 for n in (q_len, k_len))
    q[..., 0], k[..., 0] = torch.where(of_queries, 80.0, -80.0), 40.0
    opposite = k.clone()
    opposite[..., 0] = torch.where(of_keys, 40.0, -40.0)
    by_rows = ", scores near 800 in some rows, near -800 in others"
    return [
        _weights_case(LARGE, q, k, more=by_rows),
        _weights_case(LARGE, q.clone(), k.clone(), _mask(generator, 1, 1, q_len, k_len), by_rows),
        _weights_case(LARGE, q.clone(), opposite, of_keys[None], ", scores near 800 and near -800 in each row"),
    ]


def _weights_case(group: str, q: Tensor, k: Tensor, mask: Tensor | None = None, more: str = "") -> Case:
    if mask is None:
        return Case(group, _with("attention_weights(q, k)", q=q, k=k) + more, (q, k))
    args = q, k, mask.clone()  # of its own, for whoever writes into it
    return Case(group, _with("attention_weights(q, k, mask)", q=q, k=k, mask=mask) + more, args)


def _weights_cases(generator: torch.Generator) -> list[Case]:
    batch, heads = _shuffled(generator, 2, 3)
    q_len, k_len, head_dim = _shuffled(generator, 5, 7, 11)

    def draw(*leading: int) -> tuple[Tensor, Tensor]:
        return _normal(generator, *leading, q_len, head_dim), _normal(generator, *leading, k_len, head_dim)

    shared = _mask(generator, 1, 1, q_len, k_len)
    padding = _mask(generator, batch, 1, 1, k_len)
    nobody = _mask(generator, batch, heads, q_len, k_len)
    nobody[torch.rand(nobody.shape[:-1], generator=generator) < 0.3] = False
    nobody[0, 0, :2], nobody[0, 0, 2, 0] = False, True
    empty = _mask(generator, batch, 1, 1, k_len)
    empty[-1] = False
    no_keys = ", rows of queries without a key"
    q, k = draw(batch, heads)
    unmasked = Case(PLAIN, _with("attention_weights(q, k, None)", q=q, k=k), (q, k, None))
    double = [value.double() for value in draw(batch, heads)]
    half = [value.bfloat16() for value in draw(batch, heads)]
    one, several = draw(1)
    return [
        _weights_case(PLAIN, *draw(batch, heads)),
        unmasked,
        _weights_case(PLAIN, *(value.clone() for value in half), more=", bfloat16"),
        _weights_case(MASKED, *draw(batch, heads), shared),
        _weights_case(MASKED, *draw(batch, heads), padding),
        _weights_case(MASKED, *draw(batch, heads), _mask(generator, batch, heads, q_len, k_len)),
        _weights_case(NOBODY, *draw(batch, heads), nobody, no_keys),
        _weights_case(NOBODY, *draw(batch, heads), empty, no_keys),
        _weights_case(NOBODY, *draw(batch, heads), _mask(generator, batch, 1, q_len).unsqueeze(-1), no_keys),
        _weights_case(LARGE, *draw(batch, heads), nobody, ", backwards, where some queries have no key"),
        *_large_cases(generator, batch, heads, q_len=q_len, k_len=k_len),
        _weights_case(AXES, *draw(), _mask(generator, q_len, k_len)),
        _weights_case(AXES, one[:, :1], several, _mask(generator, 1, k_len)),
        _weights_case(AXES, *double, shared, ", float64"),
        _weights_case(AXES, *half, shared, ", bfloat16"),
    ]


def _call_weights(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; where nobody may be attended to, look at those queries alone, or at the gradients."""
    q, k, mask = (*case.args, None)[:3]
    if mask is None or mask.any(-1).all():
        return student(*case.args)
    if case.group == LARGE:
        return _are_gradients_finite(student, case)
    weights = student(*case.args)
    shape = (*q.shape[:-1], k.shape[-2])
    if not isinstance(weights, Tensor) or weights.shape != shape:
        return weights
    return weights[~mask.any(-1).expand(shape[:-1])]


def _are_gradients_finite(student: Callable[..., Any], case: Case) -> dict[str, bool]:
    q, k, mask = case.args
    leaves = {"q": q.clone().requires_grad_(), "k": k.clone().requires_grad_()}
    _go_back(student(*(leaf.clone() for leaf in leaves.values()), mask))  # copies, which may be written into
    found = {f"a gradient reaches {name}": leaf.grad is not None for name, leaf in leaves.items()}
    return found | {
        f"the gradient of {name} is finite": leaf.grad is not None and bool(leaf.grad.isfinite().all())
        for name, leaf in leaves.items()
    }


def _go_back(output: Any) -> None:
    """Let gradients flow from an output to whatever it was made of."""
    if isinstance(output, Tensor) and output.requires_grad:
        output.square().sum().backward()


WEIGHTS = RunSide(
    id="02.attention_weights",
    title="Attention weights",
    todo="attention_weights is not written yet: give softmax(q kᵀ / √head_dim) over the keys that the mask allows, and "
    "zeros for a query that may attend to nothing.",
    cases=_weights_cases,
    call=_call_weights,
)


def _split_case(group: str, x: Tensor, num_heads: int) -> Case:
    return Case(group, _with(f"split_heads(x, {num_heads})", x=x), (x, num_heads))


def _split_cases(generator: torch.Generator) -> list[Case]:
    batch, *several = _shuffled(generator, 2, 3, 5)
    head_dims, lengths = _shuffled(generator, 7, 11), _shuffled(generator, 13, 17)
    shared = [
        _split_case(RUNS, _normal(generator, batch, seq, heads * head_dim), heads)
        for seq, heads, head_dim in zip(lengths, several, head_dims, strict=True)
    ]
    one = _split_case(RUNS, _normal(generator, batch, lengths[0], head_dims[0]), 1)
    token = _split_case(RUNS, _normal(generator, 1, 1, several[0] * head_dims[0]), several[0])
    sizes = ((heads * head_dim + 1, heads) for heads, head_dim in zip(several, head_dims, strict=True))
    return [
        *shared,
        one,
        token,
        *(_split_case(REFUSES, _normal(generator, batch, lengths[1], d), heads) for d, heads in (*sizes, (5, 7))),
    ]


SPLIT = RunSide(
    id="02.split_heads",
    title="Features split into heads",
    todo="split_heads is not written yet: give (batch, num_heads, seq, head_dim), where head h holds the features from "
    "h · head_dim on.",
    cases=_split_cases,
)


def _merge_cases(generator: torch.Generator) -> list[Case]:
    batch, *several = _shuffled(generator, 2, 3, 5)
    head_dims, lengths = _shuffled(generator, 7, 11), _shuffled(generator, 13, 17)
    several_heads = zip(several, lengths, head_dims, strict=True)
    made = [_normal(generator, batch, *size) for size in (*several_heads, (1, lengths[0], head_dims[0]))]
    stacked = _normal(generator, several[0], batch, lengths[1], head_dims[1]).transpose(0, 1)
    sizes = ((batch, lengths[0]), (1, lengths[1]), (1, 1))
    views = [_normal(generator, *size, several[0], head_dims[0]).transpose(1, 2) for size in sizes]
    return [
        *(Case(SIDE_BY_SIDE, _with("merge_heads(x)", x=x), (x,)) for x in made),
        Case(SIDE_BY_SIDE, _with("merge_heads(x)", x=stacked) + ", with the heads first in memory", (stacked,)),
        *(Case(INVERSE, _with("merge_heads(x)", x=x) + ", a view made by split_heads", (x,)) for x in views),
    ]


MERGE = RunSide(
    id="02.merge_heads",
    title="Heads merged again",
    todo="merge_heads is not written yet: give (batch, seq, heads · head_dim), each token's heads side by side.",
    cases=_merge_cases,
)


def _block_case(
    generator: torch.Generator, group: str, sizes: tuple[int, int, int, int], dtype: torch.dtype = torch.float32
) -> Case:
    """Draw an input and weights. sizes: batch, seq, heads, head_dim. Scores are about N(0, 1), far from one-hot."""
    batch, seq, heads, head_dim = sizes
    d_model = heads * head_dim
    x = _normal(generator, batch, seq, d_model)
    W_qkv = _normal(generator, d_model, 3 * d_model) / d_model**0.5
    W_o = _normal(generator, d_model, d_model) / d_model**0.5
    x, W_qkv, W_o = x.to(dtype), W_qkv.to(dtype), W_o.to(dtype)
    shown = _with(f"causal_self_attention(x, W_qkv, W_o, {heads})", x=x, W_qkv=W_qkv, W_o=W_o) + _precision(dtype)
    return Case(group, shown, (x, W_qkv, W_o, heads))


def _block_cases(generator: torch.Generator) -> list[Case]:
    batch, heads = _shuffled(generator, 2, 3)
    small, large = _shuffled(generator, 5, 7)
    return [
        _block_case(generator, OUTPUTS, (batch, small, heads, large)),
        _block_case(generator, OUTPUTS, (heads, large, batch, small)),
        _block_case(generator, CAUSAL, (batch, large, heads, small)),
        _block_case(generator, SINGLE, (batch, small, 1, large)),
        _block_case(generator, SINGLE, (1, 1, batch, large)),
        _block_case(generator, REACHES, (batch, small, heads, large)),
        _block_case(generator, DTYPE, (heads, small, batch, large), torch.float64),
        _block_case(generator, DTYPE, (batch, large, heads, small), torch.bfloat16),
    ]


def _call_block(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; in two groups, ask which inputs get a gradient, and what a changed token changes."""
    if case.group == CAUSAL:
        return _heeds_order(student, *case.args)
    if case.group != REACHES:
        return student(*case.args)
    *inputs, num_heads = case.args
    x, W_qkv, W_o = (value.clone().requires_grad_() for value in inputs)
    _go_back(student(x.clone(), W_qkv.clone(), W_o.clone(), num_heads))
    columns = dict(zip(("queries", "keys", "values"), _columns(W_qkv.grad), strict=True))
    gradients = {"x": x.grad, **{f"W_qkv's columns of {name}": part for name, part in columns.items()}, "W_o": W_o.grad}
    return {f"a gradient reaches {name}": _fills_every_row(value) for name, value in gradients.items()}


def _fills_every_row(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any(-1).all())


def _columns(gradient: Tensor | None) -> Sequence[Tensor | None]:
    return (None, None, None) if gradient is None else gradient.chunk(3, dim=-1)


def _heeds_order(student: Callable[..., Any], x: Tensor, W_qkv: Tensor, W_o: Tensor, num_heads: int) -> dict[str, bool]:
    """Change one token, another and both, and see which outputs move, and by how much: this needs no right numbers.

    Outputs that are constant, or made of their own token alone, or sums of what each token gives by itself, have not
    all of these properties.
    """
    second, last = 1, x.shape[1] - 1
    inputs = [x.clone() for _ in range(4)]
    for tokens, value in zip(((), (second,), (last,), (second, last)), inputs, strict=True):
        for token in tokens:
            value[:, token] = x.roll(1, dims=0)[:, token]
    outputs = [student(value, W_qkv.clone(), W_o.clone(), num_heads) for value in inputs]
    fits = all(isinstance(output, Tensor) and output.shape == x.shape for output in outputs)
    if not fits:
        return dict.fromkeys((SHAPED, STAYS, CHANGES, WEIGHS), False)
    one, other, both = (output - outputs[0] for output in outputs[1:])
    moved = {token: ~(step.abs() <= MOVED).all(-1).all(0) for token, step in ((second, one), (last, other))}
    return {
        SHAPED: True,
        STAYS: not any(bool(outputs_moved[:token].any()) for token, outputs_moved in moved.items()),  # nan has moved
        CHANGES: all(bool(outputs_moved[token:].all()) for token, outputs_moved in moved.items()),
        WEIGHS: bool(((both - one - other)[:, last].abs() > MOVED).any()),
    }


BLOCK = RunSide(
    id="02.causal_self_attention",
    title="Causal self-attention",
    todo="causal_self_attention is not written yet: project x to queries, keys and values, split them into heads, let "
    "each token attend to itself and those before it, merge the heads and project with W_o.",
    cases=_block_cases,
    call=_call_block,
)


def _rope_case(group: str, x: Tensor, positions: Tensor) -> Case:
    kind = "" if positions.dtype == torch.int64 else f", dtype={positions.dtype}"
    shown = _with(f"rope(x, torch.tensor({positions.tolist()}{kind}))", x=x) + _precision(x.dtype)
    return Case(group, shown, (x.clone(), positions))  # of its own, for whoever writes into it


def _rope_cases(generator: torch.Generator) -> list[Case]:
    batch, heads = _shuffled(generator, 2, 3)
    small, large = _shuffled(generator, 5, 7)
    head_dim, other = _shuffled(generator, 6, 10)
    start = int(torch.randint(11, 20, (), generator=generator))
    far = 1025 + 8 * int(torch.randint(20, (), generator=generator))  # between the numbers that bfloat16 has
    q, k = (_normal(generator, 1, 1, small, head_dim) for _ in range(2))
    distance = "rope(q, p) @ rope(k, p).mT minus the same with p + " + str(start)
    x = _normal(generator, batch, heads, small, head_dim)
    low, middle, high = (torch.randperm(30, generator=generator)[:3] + 1).sort().values.tolist()
    return [
        _rope_case(TURNED, x, torch.arange(small)),
        _rope_case(TURNED, _normal(generator, heads, batch, large, other), torch.arange(large)),
        _rope_case(ELSEWHERE, x, torch.arange(start, start + small)),
        _rope_case(ELSEWHERE, x[:1, :1, :3], torch.tensor([middle, high, low], dtype=torch.int32)),
        Case(DISTANCE, _with(distance, q=q, k=k), (q, k, torch.arange(small), start)),
        _rope_case(DTYPE, x.double(), torch.arange(1, small + 1)),
        _rope_case(DTYPE, x.bfloat16(), torch.arange(far, far + small)),
    ]


def _call_rope(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; in one group, ask whether scores stay when both tokens move by as much."""
    if case.group != DISTANCE:
        return student(*case.args)
    q, k, positions, step = case.args
    near, far = (student(q.clone(), p) @ student(k.clone(), p).mT for p in (positions, positions + step))
    return near - far


ROPE = RunSide(
    id="02.rope",
    title="Rotary positions",
    todo="rope is not written yet: turn each pair of features (m, m + head_dim/2) of a token at position p by the "
    "angle p · 10000^(-2m/head_dim).",
    cases=_rope_cases,
    call=_call_rope,
)

RUN_SIDES = (WEIGHTS, SPLIT, MERGE, BLOCK, ROPE)
