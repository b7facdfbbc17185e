"""Lesson 03, run side: the cases of the exercises on encoders."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.running import Case, RunSide

__all__ = ["RUN_SIDES"]

LARGE = 150.0  # a logit whose exponential no float32 holds
LOWEST = torch.finfo(torch.float32).min


def _shuffled(generator: torch.Generator, *choices: int) -> list[int]:
    return [choices[i] for i in torch.randperm(len(choices), generator=generator)]


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


def _between(generator: torch.Generator, low: int, high: int) -> int:
    """Draw a whole number, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _choose(generator: torch.Generator, values: list[int], shape: tuple[int, ...]) -> Tensor:
    return torch.tensor(values)[torch.randint(len(values), shape, generator=generator)]


def _with(call: str, **tensors: Tensor) -> str:
    """Say how a function is called, and the shape of each tensor."""
    shapes = [f"{name} {tuple(value.shape)}" for name, value in tensors.items()]
    return f"{call} with shapes {', '.join(shapes)}" if len(shapes) > 1 else f"{call} with the shape {shapes[0][-1]}"


# mask_tokens. Sizes are chosen for the judge: a right answer fails for one seed in a thousand million.
TEXT, OFTEN, FEW, NARROW, TWICE = "sentences", "a high rate", "a vocabulary of three", "int32 ids", "several calls"
CALLS = ("a call", "the next call", "the same seed", "another seed", "without a generator", "without one again",
         "set back")  # fmt: skip


def _sentences(generator: torch.Generator, rows: int, seq: int, vocab: int) -> tuple[Tensor, int, tuple[int, ...]]:
    """Draw sentences with a start, an end and padding, and give the mask's id and the other special ids.

    Special ids lie anywhere but at the end of the vocabulary, and not all below the ordinary ones; padding is 0. Some
    tokens are masked already, and two ordinary ids occur nowhere, so that shuffled tokens are no substitute for drawn
    ones.
    """
    start, end, *others = (1 + torch.randperm(vocab - 2, generator=generator)).tolist()
    mask_id = max(others[:3])
    _, *ordinary = (v for v in others if v != mask_id)
    ids = _choose(generator, ordinary, (rows, seq))
    ids[torch.rand(rows, seq, generator=generator) < 0.02] = mask_id
    ids[0, 1] = mask_id
    lengths = torch.randint(seq // 2, seq + 1, (rows, 1), generator=generator)
    place = torch.arange(seq)
    ids[:, 0] = start
    ids = torch.where(place == lengths - 1, end, ids).masked_fill(place >= lengths, 0)
    return ids, mask_id, (0, start, end)


def _mask_cases(generator: torch.Generator) -> list[Case]:
    rows, seq, often = _shuffled(generator, 101, 103, 107)

    def case(group: str, shape: tuple[int, int], vocab: int, **kwargs: float) -> Case:
        ids, mask_id, special_ids = _sentences(generator, *shape, vocab)
        more = "".join(f", {name}={value}" for name, value in kwargs.items())
        ids, kind = (ids.int(), "int32 ids") if group == NARROW else (ids, "ids")
        shown = f"mask_tokens(ids, {mask_id}, {vocab}, {special_ids}{more}, generator=generator) with {kind} {shape}"
        seed = _between(generator, 0, 10**6)
        return Case(group, shown, (ids, mask_id, vocab, special_ids), {**kwargs, "seed": seed})

    cases = [case(TEXT, (rows, seq), 29), case(OFTEN, (often, 157), 13, rate=0.85), case(TWICE, (7, 53), 29, rate=0.5)]
    mask_id, *ordinary = _shuffled(generator, 0, 1, 2)
    ids = _choose(generator, ordinary, (often, 167))
    shown = f"mask_tokens(ids, {mask_id}, 3, rate=0.9, generator=generator) with ids {tuple(ids.shape)}"
    seed = _between(generator, 0, 10**6)
    few = Case(FEW, shown, (ids, mask_id, 3), {"rate": 0.9, "seed": seed})
    return [*cases, few, case(NARROW, (1, 649), 29, rate=0.5)]


def _call_masking(student: Callable[..., Any], case: Case) -> Any:
    """Call the function with a generator of its own; in one group several times, on copies."""
    kwargs = dict(case.kwargs)
    seed = kwargs.pop("seed")
    if case.group != TWICE:
        return _torchs_own(student, *case.args, **kwargs, generator=_seeded(seed))
    one = _seeded(seed)
    generators = (one, one, _seeded(seed), _seeded(seed + 1), None, None, None)
    ids, *args = case.args
    answers = {}
    for name, drawn in zip(CALLS, generators, strict=True):
        if name in ("without a generator", "set back"):
            torch.default_generator.manual_seed(seed)
        answers[name] = _torchs_own(student, ids.clone(), *args, **kwargs, generator=drawn)
    return answers


def _torchs_own(student: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the function; where torch has no kernel for whole numbers, that is not an answer that is not written."""
    try:
        return student(*args, **kwargs)
    except NotImplementedError as error:
        if "not implemented for" in str(error):
            raise RuntimeError(str(error)).with_traceback(error.__traceback__) from None
        raise


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


MASKING = RunSide(
    id="03.mask_tokens",
    title="Masked tokens",
    todo="mask_tokens is not written yet: select each ordinary token with probability rate; of the selected, 80 % "
    "become the mask token, 10 % a random one, 10 % stay. Labels hold the original where selected, -100 elsewhere.",
    cases=_mask_cases,
    call=_call_masking,
)


# masked_lm_loss
MEAN, EXACT_LOSS, NO_LABEL = (
    "the mean over the positions with a label",
    "large logits, and gradients",
    "ValueError where no position has a label",
)


def _loss_case(
    generator: torch.Generator, group: str, counts: list[int], seq: int, vocab: int, likely: float = 0.0
) -> Case:
    """Draw logits and labels; `counts` says how many positions of each row have a label.

    likely: 1 or -1 for logits so far apart that the exponential of one is infinite, and the label is sure or ruled out.
    """
    logits = _normal(generator, len(counts), seq, vocab)
    labels = torch.randint(vocab, (len(counts), seq), generator=generator)
    if likely:
        labels = labels.clamp(min=1)  # what leaves out class 0 is another matter
        right, other = labels[..., None], (labels[..., None] + 1) % vocab
        logits = (10 * logits).scatter(-1, right, likely * LARGE).scatter(-1, other, -likely * LARGE) + logits
    places = torch.rand(labels.shape, generator=generator).argsort(-1).argsort(-1)
    labels[places >= torch.tensor(counts)[:, None]] = -100
    if not likely:
        labels[places < torch.tensor(counts).clamp(max=1)[:, None]] = 0  # a token like any other
    return Case(group, _with("masked_lm_loss(logits, labels)", logits=logits, labels=labels), (logits, labels))


def _loss_cases(generator: torch.Generator) -> list[Case]:
    small, large = _shuffled(generator, 7, 11)
    vocab, other = _shuffled(generator, 13, 17)
    some = _shuffled(generator, 1, 2, 4)
    return [
        _loss_case(generator, MEAN, some, small, vocab),
        _loss_case(generator, MEAN, _shuffled(generator, 3, 5), large, other),
        _loss_case(generator, MEAN, _shuffled(generator, 0, 1, 5), large, vocab),
        *(_loss_case(generator, EXACT_LOSS, [1], 1, size, likely=way) for size in (vocab, other) for way in (-1, 1)),
        _loss_case(generator, EXACT_LOSS, some, small, other, likely=-1),
        _loss_case(generator, NO_LABEL, [0, 0], small, vocab),
    ]


def _call_loss(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; where many logits are large, ask about gradients alone."""
    logits, labels = case.args
    if case.group != EXACT_LOSS or labels.numel() == 1:
        return student(logits, labels)
    leaf = logits.clone().requires_grad_()
    loss = student(leaf.clone(), labels)
    if isinstance(loss, Tensor) and loss.requires_grad:
        loss.sum().backward()
    reached = leaf.grad is not None and bool(leaf.grad.any())
    return {"a gradient reaches logits": reached, "it is finite": reached and bool(leaf.grad.isfinite().all())}


LOSS = RunSide(
    id="03.masked_lm_loss",
    title="The loss on what was hidden",
    todo="masked_lm_loss is not written yet: give the mean cross-entropy over the positions whose label is not -100, "
    "and a ValueError if there is none.",
    cases=_loss_cases,
    call=_call_loss,
)


# pool
POOL_MEAN, POOL_ENDS, POOL_EMPTY, POOL_EDGES = (
    "the mean leaves padding out",
    "the first and the last real token, padding on either side",
    "zeros for a sequence of padding, and hidden stays as it is",
    "no mask, and a ValueError for another how",
)


def _pool_case(generator: torch.Generator, group: str, lengths: list[int], sizes: tuple[int, int], *how: str,
               left: bool | list[bool] = False) -> Case:  # fmt: skip
    """Draw hidden states and a padding mask, with the padding in front if `left`, for all rows or for each."""
    seq, d_model = sizes
    hidden = 1 + _normal(generator, len(lengths), seq, d_model)
    mask = (torch.arange(seq) < torch.tensor(lengths)[:, None])[:, None, None]
    mask = torch.where(torch.tensor(left).view(-1, 1, 1, 1), mask.flip(-1), mask)
    named = "".join(f", {name!r}" for name in how)
    padded = "in front or behind" if isinstance(left, list) else "in front" if left else "behind"
    shown = _with(f"pool(hidden, mask{named})", hidden=hidden, mask=mask)
    return Case(group, f"{shown}, padding {padded}, real tokens {lengths}", (hidden, mask, *how))


def _pool_cases(generator: torch.Generator) -> list[Case]:
    seq, other = _shuffled(generator, 5, 7)
    d_model, width = _shuffled(generator, 11, 13)
    sizes, others = (seq, d_model), (other, width)
    some, more = ([_between(generator, 2, 3), seq, 1], [3, _between(generator, 1, 2)])
    hidden = _normal(generator, 2, seq, width)
    unknown = "max" if _between(generator, 0, 1) else "cls"
    without = [
        Case(POOL_EDGES, _with(f"pool(hidden, None, {how!r})", hidden=hidden), (hidden, None, how))
        for how in ("mean", "first", "last")
    ]
    return [
        _pool_case(generator, POOL_MEAN, some, sizes),
        _pool_case(generator, POOL_MEAN, more, others, "mean", left=True),
        _pool_case(generator, POOL_MEAN, [3], others, "mean"),
        _pool_case(generator, POOL_ENDS, some, sizes, "first"),
        _pool_case(generator, POOL_ENDS, more, others, "first", left=True),
        _pool_case(generator, POOL_ENDS, some, others, "last"),
        _pool_case(generator, POOL_ENDS, more, sizes, "last", left=True),
        _pool_case(generator, POOL_ENDS, [2], others, "last"),
        *(_pool_case(generator, POOL_ENDS, some, sizes, how, left=[True, False, False]) for how in ("first", "last")),
        *(
            _pool_case(generator, POOL_EMPTY, _shuffled(generator, 0, 2, 3), others, how, left=left)
            for how, left in (("mean", False), ("first", True), ("last", False))
        ),
        Case(POOL_EDGES, _with("pool(hidden)", hidden=hidden), (hidden,)),
        *without,
        _pool_case(generator, POOL_EDGES, more, sizes, unknown),
        Case(POOL_EDGES, _with(f"pool(hidden, None, {unknown!r})", hidden=hidden), (hidden, None, unknown)),
    ]


def _call_pool(student: Callable[..., Any], case: Case) -> Any:
    """Call the function on copies; where a sequence is all padding, on the tensors themselves, and look at it alone."""
    hidden, *mask = case.args[:2]
    if case.group != POOL_EMPTY:
        return student(hidden.clone(), *(None if m is None else m.clone() for m in mask), *case.args[2:])
    pooled = student(*case.args)
    is_whole = isinstance(pooled, Tensor) and pooled.shape == (hidden.shape[0], hidden.shape[2])
    return pooled[~mask[0].any(-1).flatten()] if is_whole else pooled


POOL = RunSide(
    id="03.pool",
    title="One vector for a sequence",
    todo="pool is not written yet: give the mean of the real tokens, the first or the last of them, "
    "as (batch, d_model).",
    cases=_pool_cases,
    call=_call_pool,
)


# best_span
PAIRS, LENGTHS, EDGES = (
    "the best pair, no end before its start",
    "at most max_len tokens",
    "equals, padding, negative and large logits",
)


def _span_case(group: str, start: Tensor, end: Tensor, max_len: int | None = None, more: str = "") -> Case:
    limit = () if max_len is None else (max_len,)
    named = "".join(f", max_len={value}" for value in limit)
    shown = _with(f"best_span(start_logits, end_logits{named})", start_logits=start, end_logits=end)
    return Case(group, shown + more, (start, end, *limit))


def _raised(values: Tensor, places: Tensor, by: float) -> Tensor:
    """Raise one value of each row."""
    return values.scatter_add(1, places[:, None], torch.full((len(values), 1), by))


def _far_apart(generator: torch.Generator, rows: int, seq: int, distance: int) -> tuple[Tensor, Tensor]:
    """Draw logits whose best span has its end `distance` tokens behind its start."""
    start = torch.randint(seq - distance, (rows,), generator=generator)
    return _raised(_normal(generator, rows, seq), start, 9.0), _raised(
        _normal(generator, rows, seq), start + distance, 9.0
    )


def _span_cases(generator: torch.Generator) -> list[Case]:
    seq, other = _shuffled(generator, 17, 19)
    rows, several = _shuffled(generator, 11, 13)
    limit = _between(generator, 3, 5)
    start, end = _normal(generator, rows, seq), _normal(generator, rows, seq)
    early, late = (torch.randint(*bounds, (several,), generator=generator) for bounds in ((0, 7), (8, 17)))
    crossed = (
        _raised(_normal(generator, several, other), late, 5.0), _raised(_normal(generator, several, other), early, 5.0)
    )  # fmt: skip
    padded = [_normal(generator, rows, other) for _ in range(2)]
    for row, length in enumerate(torch.randint(3, other, (rows,), generator=generator).tolist()):
        for logits in padded:
            logits[row, length:] = LOWEST
    # Row r has one real start, and a better end before it: with every allowed pair comes padding.
    alone = [torch.full((several, seq), LOWEST) for _ in range(2)]
    for row, (first, *_, last) in enumerate(sorted(_shuffled(generator, *range(1, seq))[:3]) for _ in range(several)):
        alone[0][row, last], alone[1][row, first] = 1.0, 3.0 + row
    # A sum of these comes from one pair of logits only: it stays a draw in whatever precision it is added.
    equal = [high * torch.randint(2, (several, seq), generator=generator).float() for high in (1, 3)]
    hot = [_raised(40 * _normal(generator, several, other), places, 400.0) for places in (late, early)]
    return [
        _span_case(PAIRS, start, end),
        _span_case(PAIRS, *crossed),
        _span_case(PAIRS, crossed[0][:1], crossed[1][:1]),
        _span_case(LENGTHS, _normal(generator, several, other), _normal(generator, several, other), limit),
        _span_case(LENGTHS, *_far_apart(generator, rows, other, limit - 1), limit),
        _span_case(LENGTHS, *_far_apart(generator, rows, other, limit), limit),
        _span_case(LENGTHS, start, end, 1),
        _span_case(LENGTHS, *_far_apart(generator, 3, 43, 29)),
        _span_case(LENGTHS, *_far_apart(generator, 3, 43, 30)),
        _span_case(EDGES, *equal, more=", where many spans are equally good"),
        _span_case(EDGES, *padded, more=f", where padding has the logit {LOWEST:.3g}"),
        _span_case(EDGES, start - 5, end - 5, more=", where all sums are negative"),
        _span_case(EDGES, *hot, more=", logits in the tens and hundreds"),
        _span_case(EDGES, *alone, more=f", where every allowed sum holds padding, {LOWEST:.3g}"),
    ]


SPAN = RunSide(
    id="03.best_span",
    title="The best span",
    todo="best_span is not written yet: give for each row the pair (start, end) with start <= end < start + max_len "
    "whose logits have the largest sum.",
    cases=_span_cases,
)


# token_labels
SINGLE, PIECES, WINDOW, BEYOND = (
    "words of one token, and special tokens",
    "words of several tokens",
    "words of which no token is there",
    "ValueError for a word without a label",
)


def _label_case(generator: torch.Generator, group: str, pieces: list[int], first: int = 0, more: int = 0) -> Case:
    """Draw a sentence. pieces: how many tokens each word has, from word `first` on; more: labels behind them."""
    labels = torch.randint(8, (first + len(pieces) + more,), generator=generator).tolist()
    labels[first] = labels[first + 1] = labels[first] | 1  # two words side by side with one label, B- in BIO
    if group == SINGLE:
        labels[-1] = 0  # O, a label like any other
    words = [first + number for number, count in enumerate(pieces) for _ in range(count)]
    word_ids = [None, *words, *[None] * _between(generator, 1, 3)]
    return Case(group, f"token_labels({labels}, {word_ids})", (labels, word_ids))


def _label_cases(generator: torch.Generator) -> list[Case]:
    beyond = _label_case(generator, BEYOND, [1, 2, 1], _between(generator, 2, 3))
    labels, word_ids = beyond.args
    short = (labels[:-1], word_ids)
    labels, word_ids = _label_case(generator, BEYOND, [1, 2, 1]).args
    negative = (labels, [None, -1, *word_ids[1:]])
    return [
        _label_case(generator, SINGLE, [1] * 5),
        _label_case(generator, SINGLE, [1] * 3),
        _label_case(generator, PIECES, _shuffled(generator, 1, 2, 3, 1, 4)),
        _label_case(generator, PIECES, [2, *_shuffled(generator, 1, 3, 2), 3]),
        _label_case(generator, PIECES, [3, 2]),
        _label_case(generator, WINDOW, _shuffled(generator, 1, 2, 3), _between(generator, 2, 4), 2),
        _label_case(generator, WINDOW, [1, *_shuffled(generator, 0, 2, 0, 3), 1]),
        Case(WINDOW, "token_labels([3, 0], [None, None])", ([3, 0], [None, None])),
        *(Case(BEYOND, f"token_labels({words}, {numbers})", (words, numbers)) for words, numbers in (short, negative)),
    ]


def _call_labels(student: Callable[..., Any], case: Case) -> Any:
    """Call the function on copies."""
    return student(*(list(values) for values in case.args))


LABELS = RunSide(
    id="03.token_labels",
    title="Labels for the pieces of words",
    todo="token_labels is not written yet: the first token of each word gets the word's label, all other tokens -100.",
    cases=_label_cases,
    call=_call_labels,
)

RUN_SIDES = (MASKING, LOSS, POOL, SPAN, LABELS)
