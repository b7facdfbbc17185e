"""Lesson 04, run side: the cases of the exercises on the decoder."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from course_lib.cache import KVCache
from course_lib.config import Sizes
from course_lib.decoder import DecoderConfig
from course_lib.exercises.lesson04.models import by_plan, writer
from course_lib.exercises.running import Case, RunSide

__all__ = ["RUN_SIDES"]

HARD = "large logits, and nothing to predict"
FORM = "one token a row, from the generator alone"
WHOLE = "the new tokens alone, and the prompt left as it was"
KEPT = "the cache holds every token once"
UNITS = "batch and dtype, and a whole number"
GRADIENT = ", the gradient that reaches the logits"
ROWS = 1009  # of one kind in a batch to draw from: shares that differ by 0.2 are then told apart for sure
LARGE = 100.0


def _shuffled(generator: torch.Generator, *choices: int) -> list[int]:
    return [choices[i] for i in torch.randperm(len(choices), generator=generator)]


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


def _shapes(**tensors: Tensor) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in tensors.items())


def _loss_case(
    generator: torch.Generator,
    group: str,
    sizes: tuple[int, int, int],
    lengths: Sequence[int] | None = None,
    in_front: bool = False,
    scale: float = 2.0,
    offset: float = 0.0,
    more: str = "",
) -> Case:
    """Draw logits and ids. sizes: batch, seq, vocab. lengths: of the real tokens, which padding follows or precedes."""
    batch, seq, vocab = sizes
    logits = offset + scale * _normal(generator, batch, seq, vocab)
    ids = torch.randint(vocab, (batch, seq), generator=generator)
    ids[0, 1:2] = 0  # a token like any other
    if lengths is None:
        shown = f"next_token_loss(logits, ids) with shapes {_shapes(logits=logits, ids=ids)}{more}"
        return Case(group, shown, (logits, ids))
    real = torch.arange(seq) < torch.tensor(lengths)[:, None]
    mask = (real.flip(1) if in_front else real)[:, None, None]
    side = "padding in front of" if in_front else "padding behind"
    shown = f"next_token_loss(logits, ids, mask) with shapes {_shapes(logits=logits, ids=ids, mask=mask)}, "
    return Case(group, f"{shown}{side} {' and '.join(map(str, lengths))} real tokens{more}", (logits, ids, mask))


def _loss_cases(generator: torch.Generator) -> list[Case]:
    shift, behind = "each position predicts the token after it", "padding is neither predicted nor counted"
    front = "padding in front predicts nothing"
    batch, other = _shuffled(generator, 2, 3)
    small, large = _shuffled(generator, 5, 7)
    vocab = _shuffled(generator, 11, 13)[0]

    def case(group: str, rows: int, seq: int, **options: Any) -> Case:
        return _loss_case(generator, group, (rows, seq, vocab), **options)

    some = [n + 2 for n in _shuffled(generator, *range(small - 1))[:3]]
    return [
        case(shift, batch, small),
        case(shift, other, large),
        case(shift, 2, 2),
        case(behind, 3, small, lengths=some),
        case(behind, 2, large, lengths=[large - 3, large]),
        case(behind, 3, large, lengths=[large - 2, 1, 0]),
        case(behind, 1, large, lengths=[large - 2]),
        case(behind, 3, small, lengths=some, more=GRADIENT),
        case(front, 3, small, lengths=some, in_front=True),
        case(front, 2, large, lengths=[3, large - 1], in_front=True),
        case(HARD, batch, small, scale=LARGE, more=", logits in the hundreds"),
        case(HARD, batch, small, offset=LARGE, more=", logits about 100"),
        case(HARD, 2, 1, more=", one token each: nothing to predict"),
        case(HARD, 2, small, lengths=[1, 0], more=": nothing to predict"),
        case(HARD, 2, small, lengths=[0, 0], more=": nothing to predict"),
    ]


def _call_loss(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; in one case, look at the gradient that its loss sends back to the logits."""
    if not case.shown.endswith(GRADIENT):
        return student(*case.args)
    logits, *others = case.args
    leaf = logits.clone().requires_grad_()
    loss = student(leaf.clone(), *others)  # a copy, which may be written into
    if isinstance(loss, Tensor) and loss.requires_grad:
        loss.sum().backward()
    return leaf.grad


LOSS = RunSide(
    id="04.next_token_loss",
    title="The loss of a language model",
    todo="next_token_loss is not written yet: give the mean cross-entropy of predicting token t + 1 from the logits at "
    "position t, where neither of the two is padding.",
    cases=_loss_cases,
    call=_call_loss,
)


def _kinds(generator: torch.Generator, vocab: int, offset: float = 0.0) -> Tensor:
    """Draw the logits of two kinds of rows, one steep and one flat, each in an order of its own.

    Shapes: returns (2, vocab).
    """
    heights = _shuffled(generator, 0, 1)
    rows = []
    for step, height in zip(_shuffled(generator, 7, 3), heights, strict=True):
        falling = -(step / 10 + 0.005 * float(torch.rand((), generator=generator))) * torch.arange(vocab)
        order = torch.randperm(vocab, generator=generator)
        while rows and order.argmin() == rows[0].argmax():  # another token is the likeliest
            order = torch.randperm(vocab, generator=generator)
        rows.append(falling[order] + height + offset)
    return torch.stack(rows)


def _sample_case(group: str, kinds: Tensor, **options: float) -> Case:
    given = "".join(f", {name}={value}" for name, value in options.items())
    rows = len(kinds) if group == FORM else f"{ROWS} × {len(kinds)}"
    shown = f"sample(logits{given}, generator=generator) with logits ({rows}, {kinds.shape[1]})"
    return Case(group, shown, (kinds,), options)


def _sample_cases(generator: torch.Generator) -> list[Case]:
    plain, heat = "drawn as often as the softmax says", "temperature, and 0 takes the likeliest"
    few, nucleus = "top_k: the k likeliest of each row", "top_p: the likeliest that reach p together"
    together = "temperature first, then top_k, then top_p"
    small, large = _shuffled(generator, 7, 11)

    def case(group: str, vocab: int, offset: float = 0.0, **options: float) -> Case:
        return _sample_case(group, _kinds(generator, vocab, offset), **options)

    return [
        case(plain, small),
        case(plain, large),
        case(heat, small, LARGE, temperature=0.5),
        case(heat, large, temperature=2.0),
        case(heat, large, temperature=0.0),
        case(heat, small, temperature=0.0, top_k=3, top_p=0.9),
        case(few, small, top_k=3),
        case(few, large, top_k=5),
        case(few, large, top_k=1),
        case(few, small, top_k=small + 2),
        case(nucleus, small, top_p=0.84),
        case(nucleus, large, top_p=0.57),
        case(nucleus, large, top_p=0.15),
        case(nucleus, small, top_p=1.0),
        case(together, small, temperature=0.5, top_k=3),
        case(together, large, temperature=2.0, top_p=0.785),
        case(together, small, top_k=3, top_p=0.81),
        case(together, large, temperature=0.5, top_k=5, top_p=0.82),
        case(FORM, large, temperature=0.7, top_k=5, top_p=0.9),
    ]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _call_sample(student: Callable[..., Any], case: Case) -> Any:
    """Draw for a batch with many rows of each kind and count how often each token came, (kinds, vocab)."""
    (kinds,) = case.args
    if case.group == FORM:
        return _how_it_draws(student, kinds, case.kwargs)
    tokens, vocab = student(kinds.repeat(ROWS, 1), **case.kwargs, generator=_seeded(5)), kinds.shape[1]
    if type(tokens) is not Tensor or tokens.numel() != ROWS * len(kinds):
        return tokens
    if not 0 <= tokens.min() <= tokens.max() < vocab or not torch.equal(tokens, whole := tokens.long()):
        return tokens
    tokens = whole
    return torch.stack([column.bincount(minlength=vocab) for column in tokens.reshape(ROWS, -1).unbind(1)])


def _how_it_draws(student: Callable[..., Any], kinds: Tensor, filters: Mapping[str, float]) -> dict[str, Any]:
    """Say what comes back, and whether chance comes from the generator that was handed over."""
    with suppress(Exception):  # what the filters do is asked for elsewhere; here, whether logits are written into
        student(kinds, **filters, generator=_seeded(3))
    many = kinds.repeat(99, 1)
    generator, before = _seeded(7), torch.get_rng_state()
    first, second = (student(many.clone(), generator=generator) for _ in range(2))
    alone = torch.equal(before, torch.get_rng_state())
    again, default = student(many.clone(), generator=_seeded(7)), student(many.clone())
    moves_on = not torch.equal(before, torch.get_rng_state())
    single = student(kinds[:1].clone(), generator=_seeded(7))
    as_ever = True
    with suppress(Exception):
        as_ever = _form(student(many.clone(), temperature=0.0)) == _form(first)
    return {
        "what comes back": _form(first),
        "what comes back for a single row": _form(single),
        "the same comes back at temperature 0": as_ever,
        "and without a generator": _form(default) == _form(first),
        "equal seeds give equal tokens": _equal(first, again),
        "the next call gives other tokens": not _equal(first, second),
        "torch's own generator is left alone": alone,
        "without a generator, torch's own is drawn from": moves_on,
    }


def _form(value: Any) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _equal(one: Any, other: Any) -> bool:
    return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)


SAMPLE = RunSide(
    id="04.sample",
    title="The next token, drawn",
    todo="sample is not written yet: divide the logits by the temperature, keep the top_k likeliest tokens of each "
    "row, then those that together reach top_p, and draw one token a row from what remains.",
    cases=_sample_cases,
    call=_call_sample,
)


def _write_case(generator: torch.Generator, group: str, sizes: tuple[int, int, int], vocab: int) -> Case:
    """Draw a model and prompts. sizes: batch, prompt, new tokens."""
    batch, length, count = sizes
    prompt = torch.randint(vocab, (batch, length), generator=generator)
    shown = f"generate(model, prompt, {count}) with prompt {tuple(prompt.shape)}"
    return Case(group, shown, (writer(generator, vocab), prompt, count))


def _plan_case(generator: torch.Generator, group: str, batch: int, length: int, vocab: int) -> Case:
    """Draw prompts and a model that writes, midway, tokens at which one might stop: there is no end token."""
    some = _shuffled(generator, 0, 1, 2)
    plan = [some[0], *some, vocab - 1]
    prompt = torch.randint(vocab, (batch, length), generator=generator)
    prompt[:, 0] = torch.randperm(vocab, generator=generator)[:batch]
    model, count = by_plan(generator, vocab, length, plan), len(plan) + 2
    shown = f"generate(model, prompt, {count}) with prompt ({batch}, {length}), where the model writes "
    return Case(group, f"{shown}0, 1, 2 and {vocab - 1} midway, one of them twice", (model, prompt, count))


def _write_cases(generator: torch.Generator) -> list[Case]:
    one, several = "the likeliest token, again and again", "several prompts at once"
    vocab, small, large = _shuffled(generator, 11, 13)[0], *_shuffled(generator, 5, 7)
    batch = _shuffled(generator, 2, 3)
    return [
        _write_case(generator, one, (1, small, large), vocab),
        _write_case(generator, one, (1, large, small), vocab),
        _write_case(generator, several, (batch[0], small, large), vocab),
        _write_case(generator, several, (batch[1], large, 3), vocab),
        _plan_case(generator, several, batch[0], small, vocab),
        _write_case(generator, WHOLE, (batch[1], small, 2), vocab),
        _write_case(generator, WHOLE, (1, 1, 1), vocab),
    ]


def _call_write(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; where the question is which tokens come, look at the last ones of what comes back."""
    tokens = student(*case.args)
    if case.group == WHOLE or not isinstance(tokens, Tensor) or tokens.ndim != 2:
        return tokens
    return tokens[:, -case.args[2] :].long()


WRITE = RunSide(
    id="04.generate",
    title="Writing, one token after another",
    todo="generate is not written yet: ask the model for the logits, take the likeliest token at the last position, "
    "append it, and ask again; give the new tokens alone.",
    cases=_write_cases,
    call=_call_write,
)


def _attend_case(
    generator: torch.Generator, group: str, sizes: tuple[int, int, int], news: Sequence[int], scale: float = 1.0
) -> Case:
    """Draw a sequence. sizes: batch, heads, head_dim. news: how many tokens arrive with each call."""
    batch, heads, head_dim = sizes
    q, k, v = (_normal(generator, batch, heads, sum(news), head_dim) for _ in range(3))
    if scale > 1:  # whole numbers: however large, their scores are exact if the root of head_dim is
        q, k = (scale * q).round(), (scale * k).round()
        k[:, :, 0] = -q[:, :, 0]  # the first token's score of itself is far below zero, and yet it sees nobody else
    calls = f"{len(news)} calls of " if len(news) > 1 else ""
    shown = f"{calls}attend_with_cache(q, k, v, cache) with {', '.join(map(str, news))} new tokens, of shape "
    shown += f"({batch}, {heads}, new, {head_dim})" + (", scores in the hundreds" if scale > 1 else "")
    return Case(group, shown, (q, k, v), {"news": tuple(news)})


def _attend_cases(generator: torch.Generator) -> list[Case]:
    single, prompt = "new tokens one by one", "a prompt at once"
    several = "several new tokens behind cached ones"
    batch, heads = _shuffled(generator, 2, 3)
    small, large = _shuffled(generator, 5, 7)
    first, second = (batch, heads, small), (heads, batch, large)
    return [
        _attend_case(generator, single, first, [1] * 4),
        _attend_case(generator, single, second, [1] * 3),
        _attend_case(generator, prompt, first, [large]),
        _attend_case(generator, prompt, (heads, batch, 4), [small], scale=20.0),
        _attend_case(generator, several, first, [3, 2]),
        _attend_case(generator, several, second, [1, 2, 3]),
        _attend_case(generator, several, (1, heads, small), [2, large]),
        _attend_case(generator, KEPT, second, [3, 1, 2]),
    ]


def _call_attend(student: Callable[..., Any], case: Case) -> Any:
    """Hand the tokens over in several calls; give the outputs side by side or, in one group, what the cache holds."""
    news = case.kwargs["news"]
    cache = KVCache(max_len=3 * sum(news))  # room enough for a token that is put in twice
    outputs, lengths = [], []
    for new in zip(*(part.split(news, dim=2) for part in case.args), strict=True):
        try:
            outputs.append(student(*new, cache))
        except NotImplementedError:
            raise
        except Exception:
            if case.group != KEPT:  # what is in the cache may be right all the same
                raise
        lengths.append(cache.length)
    if case.group == KEPT:
        keys, values = cache.append(*(part[:, :, :0] for part in case.args[1:]))
        return {"tokens in the cache after each call": torch.tensor(lengths), "keys": keys, "values": values}
    whole = case.args[0].shape
    odd = [out for out in outputs if not isinstance(out, Tensor) or out.ndim != 4 or out.shape[:2] != whole[:2]]
    return odd[0] if odd else torch.cat(outputs, dim=2)


ATTEND = RunSide(
    id="04.attend_with_cache",
    title="Attention with a cache",
    todo="attend_with_cache is not written yet: append k and v to the cache, and let the new queries attend to all "
    "tokens so far, each to itself and to those before it.",
    cases=_attend_cases,
    call=_call_attend,
)

SHOWN = ("num_layers", "d_model", "num_heads", "num_kv_heads", "head_dim")


def _bytes_case(group: str, config: Sizes, *args: Any) -> Case:
    sizes = ", ".join(f"{name}={getattr(config, name)}" for name in SHOWN)
    return Case(group, f"cache_bytes(config, {', '.join(map(str, args))}) with {sizes}", (config, *args))


def _bytes_cases(generator: torch.Generator) -> list[Case]:
    plain = "a key and a value for each token, in each layer"
    shared = "fewer key and value heads, and heads of another width"
    layers, length = _shuffled(generator, 3, 5, 7)[:2], _shuffled(generator, 11, 13, 17)
    head_dim, other = _shuffled(generator, 19, 23)

    def config(number: int, heads: int, kind: type[Sizes] = Sizes, **more: int) -> Sizes:
        d_model = heads * head_dim
        return kind(
            vocab_size=29, d_model=d_model, num_layers=layers[number], num_heads=heads, d_ff=31, **more
        )

    return [
        _bytes_case(plain, config(0, 2), length[0]),
        _bytes_case(plain, config(1, 5, DecoderConfig), length[1]),
        _bytes_case(shared, config(0, 6, DecoderConfig, num_kv_heads=2), length[2]),
        _bytes_case(shared, config(1, 6, num_kv_heads=1, head_dim=other), length[0]),
        _bytes_case(shared, config(1, 5, head_dim=other), length[1]),
        _bytes_case(UNITS, config(0, 2), length[2], 3),
        _bytes_case(UNITS, config(1, 6, num_kv_heads=3), length[0], 5, torch.float32),
        _bytes_case(UNITS, config(0, 5, DecoderConfig), length[1], 2, torch.bfloat16),
        _bytes_case(UNITS, config(0, 2), length[1], 1, torch.float64),
    ]


def _call_bytes(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; only where a whole number is asked for, neither 12.0 nor tensor(12) is 12."""
    count = student(*case.args)
    if case.group != UNITS and isinstance(count, Tensor) and count.numel() == 1:
        count = count.item()
    return int(count) if case.group != UNITS and type(count) is float and count.is_integer() else count


BYTES = RunSide(
    id="04.cache_bytes",
    title="What a cache costs",
    todo="cache_bytes is not written yet: count the numbers that all layers keep, keys and values, and multiply by the "
    "bytes of one.",
    cases=_bytes_cases,
    call=_call_bytes,
)

RUN_SIDES = (LOSS, SAMPLE, WRITE, ATTEND, BYTES)
