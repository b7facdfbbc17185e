"""Lesson 06, run side: the cases of the exercises on cross-attention and alignments."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.lesson06.models import EMPTY, FORM, GRADIENTS, READS, REFUSES, SECOND, WEIGHTS, call_layer
from course_lib.exercises.running import Case, RunSide

__all__ = ["EMPTY", "FORM", "READS", "REFUSES", "RUN_SIDES", "WEIGHTS"]

# The case groups, as the bank gives points for them and a card shows them.
PLAIN, PADDED = "each target token reads the whole source", "the padding of the source gets no weight"
LARGE = "scores in the hundreds"
REAL, EDGES = "which source tokens are real", "empty and full sources"
BROADCAST = "four axes, boolean, on the device of the lengths"
LARGEST, PADDING = "the largest mean weight of each target word", "padding is no word"
TWICE = "of equal weights the first, and words that stand there twice"
WRONG_SHARE, EQUALS = "the share of wrong target tokens", "of equal weights the first"
COUNTED = "tokens without a partner do not count"
NUMBER = "a plain number, or ValueError where nothing counts"

WORDS = (
    "one two three four five six seven eight nine twenty thirty hundred and".split(),
    "eins zwei drei vier fünf sechs sieben acht neun zwanzig dreißig hundert und".split(),
)
# Rows of small tables: by their width, and with the largest weight twice.
HUNDREDTHS = {3: ((45, 35, 20), (60, 30, 10), (70, 20, 10)), 4: ((40, 30, 20, 10), (45, 30, 15, 10), (60, 20, 15, 5))}
TIED = ((40, 40, 15, 5), (35, 35, 20, 10), (45, 45, 8, 2))
CALL = "alignment(weights, source, target) with weights"
ELSEWHERE = " with lengths on the CPU, where new tensors are made on meta (a device without data) by default"


def _shuffled(generator: torch.Generator, *choices: int) -> list[int]:
    return [choices[i] for i in torch.randperm(len(choices), generator=generator)]


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


def _whole(generator: torch.Generator, *shape: int, largest: int) -> Tensor:
    return torch.randint(-largest, largest + 1, shape, generator=generator).float()


def _some(generator: torch.Generator, batch: int, source: int, least: int = 1) -> Tensor:
    """Draw a mask in which `least` or more tokens of each source are real, wherever they stand, and some are not."""
    places = torch.rand(batch, 1, 1, source, generator=generator).argsort(-1).argsort(-1)
    return places < torch.randint(least, source, (batch, 1, 1, 1), generator=generator)


def _behind(lengths: Sequence[int], source: int) -> Tensor:
    return torch.arange(source) < torch.tensor(lengths)[:, None, None, None]


def _cross_case(
    generator: torch.Generator,
    group: str,
    sizes: tuple[int, int, int, int, int],
    mask: Tensor | None = None,
    large: bool = False,
    dtype: torch.dtype = torch.float32,
    more: str = "",
) -> Case:
    """Draw two sequences and weights. sizes: batch, target, source, heads, head_dim. large: scores are exact anyhow."""
    batch, target, source, heads, head_dim = sizes
    d_model = heads * head_dim
    decoder, encoder = _normal(generator, batch, target, d_model), _normal(generator, batch, source, d_model)
    weights = {name: _normal(generator, d_model, d_model) / d_model**0.5 for name in WEIGHTS}
    if large:
        decoder, encoder = (_whole(generator, *part.shape, largest=5) for part in (decoder, encoder))
        weights |= {name: _whole(generator, d_model, d_model, largest=2) for name in WEIGHTS[:2]}
        weights |= {name: weights[name] / 4 for name in WEIGHTS[2:]}
    if large and mask is not None:  # what the first target token may read has scores far below zero
        weights["W_k.weight"] = weights["W_q.weight"].clone()
        encoder = torch.where(mask[:, 0, 0, :, None], -decoder[:, :1], encoder)
    args = tuple(part.to(dtype) for part in (decoder, encoder)) + (() if mask is None else (mask.clone(),))
    shapes = f"decoder_hidden {tuple(decoder.shape)}, encoder_output {tuple(encoder.shape)}"
    names = "decoder_hidden, encoder_output"
    if mask is not None:
        names, shapes = f"{names}, encoder_mask", f"{shapes}, encoder_mask {tuple(mask.shape)}"
    shown = f"CrossAttention({d_model}, {heads})({names}) with shapes {shapes}{more}"
    return Case(group, shown, args, init={"d_model": d_model, "num_heads": heads}, weights=weights)


def _large_case(generator: torch.Generator, sizes: tuple[int, int, int, int, int], *mask: Tensor) -> Case:
    """Draw a case with scores in the hundreds, none above 950: in some row the two largest are above 200, or, with a
    mask, all that may be read are far below zero, and the others above them by more than 1000; in another by less."""
    while True:
        case = _cross_case(generator, LARGE, sizes, *mask, large=True, more=", scores in the hundreds")
        q, k = (
            (states @ case.weights[name].T).unflatten(-1, sizes[3:]).transpose(1, 2)
            for states, name in zip(case.args[:2], WEIGHTS[:2], strict=True)
        )
        scores = q @ k.mT / sizes[4] ** 0.5
        first, second = scores.topk(2).values.unbind(-1)
        clear = ((second > 200) & (first > second)).any()
        if mask:
            readable = scores.masked_fill(~mask[0], -torch.inf).amax(-1)
            above = first - readable
            clear = ((readable < -200) & (above > 1020)).any() and ((above > 30) & (above < 70)).any()
        if clear and scores.abs().max() < 950:
            return case


def _cross_cases(generator: torch.Generator) -> list[Case]:
    batch, heads = _shuffled(generator, 2, 3)
    small, large = _shuffled(generator, 5, 7)
    head_dim = _shuffled(generator, 4, 6, 8)[0]

    def case(group: str, sizes: tuple[int, int, int], *mask: Tensor, **options: Any) -> Case:
        return _cross_case(generator, group, (*sizes, heads, options.pop("head_dim", head_dim)), *mask, **options)

    one = torch.arange(small) == torch.randint(small, (batch, 1, 1, 1), generator=generator)
    empty = _behind([0, *_shuffled(generator, 2, 3)][:batch], small)
    nobody = _some(generator, batch, large, least=2)
    nobody[-1] = False
    refused = [Case(REFUSES, f"CrossAttention({d}, {n})", (d, n)) for d, n in ((heads * head_dim + 1, heads), (12, 5))]
    return [
        case(PLAIN, (batch, small, large)),
        case(PLAIN, (batch, large, small), head_dim=small),
        _cross_case(generator, PLAIN, (2, 8, 12, 8, 8)),
        case(PLAIN, (batch, small, small), more=", both of one length"),
        case(PADDED, (batch, small, large), _behind(_shuffled(generator, 1, 2, large - 1)[:batch], large)),
        case(PADDED, (batch, large, small), _some(generator, batch, small)),
        case(PADDED, (1, 3, large), _behind([large - 2], large)),
        case(READS, (batch, 5, 9), _behind([7] * batch, 9)),
        _large_case(generator, (batch, 1, large, heads, 4)),
        _large_case(generator, (batch, large, small, heads, 4), one),
        case(EMPTY, (batch, large, small), empty, more=", the outputs of the empty source"),
        case(EMPTY, (batch, small, large), nobody, more=", the outputs of the empty source"),
        case(EMPTY, (1, small, large), _behind([0], large), more=", the outputs of the only source, which is empty"),
        case(EMPTY, (batch, small, large), nobody, more=f", one source is empty{GRADIENTS}"),
        *refused,
        Case(FORM, f"CrossAttention({heads * head_dim}, {heads}).state_dict(), the shapes in it",
             init={"d_model": heads * head_dim, "num_heads": heads}),
        case(FORM, (batch, small, large), _some(generator, batch, large), dtype=torch.float64, more=", float64"),
        case(FORM, (batch, large, small), _some(generator, batch, small), dtype=torch.bfloat16, more=", bfloat16"),
        case(FORM, (batch, small, large), more=SECOND),
    ]  # fmt: skip


CROSS = RunSide(
    id="06.CrossAttention",
    title="Cross-attention",
    todo="CrossAttention is not written yet: queries come from the decoder, keys and values from the encoder, in "
    "several heads, and the padding of the source gets no weight.",
    cases=_cross_cases,
    call=call_layer,
)


def _mask_case(
    group: str, lengths: Sequence[int], max_len: int, dtype: torch.dtype = torch.int64, elsewhere: bool = False
) -> Case:
    given = f"torch.tensor({list(lengths)}{'' if dtype == torch.int64 else f', dtype={dtype}'})"
    shown = f"cross_attention_mask({given}, {max_len})" + (ELSEWHERE if elsewhere else "")
    return Case(group, shown, (torch.tensor(lengths, dtype=dtype), max_len))


def _mask_cases(generator: torch.Generator) -> list[Case]:
    batch, other = _shuffled(generator, 3, 5)
    small, large = _shuffled(generator, 7, 11)

    def lengths(count: int, max_len: int) -> list[int]:
        return [n + 2 for n in _shuffled(generator, *range(max_len - 3))[:count]]

    few, many = sorted(lengths(batch, small)), sorted(lengths(other, large))
    return [
        _mask_case(REAL, [few[-1], *few[:-1]], small),
        _mask_case(REAL, [*many[1:], many[0]], large),
        _mask_case(EDGES, [2, 0, small, 1], small),
        _mask_case(EDGES, [0, 0], large),
        _mask_case(BROADCAST, many[:1], large),
        _mask_case(BROADCAST, few, small, dtype=torch.int32),
        _mask_case(BROADCAST, many, large, elsewhere=True),
    ]


def _call_mask(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; in one case, new tensors go to another device unless the code says where."""
    with torch.device("meta") if case.shown.endswith(ELSEWHERE) else nullcontext():
        return student(*case.args)


MASK = RunSide(
    id="06.cross_attention_mask",
    title="The mask between target and source",
    todo="cross_attention_mask is not written yet: give (batch, 1, 1, max_len), True where a source token is real.",
    cases=_mask_cases,
    call=_call_mask,
)


def _words(generator: torch.Generator, *counts: int) -> list[list[str]]:
    """Draw words of the source and of the target, each of them once."""
    drawn = [torch.randperm(13, generator=generator)[:count] for count in counts]
    return [[words[i] for i in some] for words, some in zip(WORDS, drawn, strict=True)]


def _maps(generator: torch.Generator, heads: int, target: int, source: int) -> Tensor:
    """Draw weights with one largest mean in each row, which is not always where one head, or the surest, looks."""
    while True:
        weights = _normal(generator, heads, target, source).softmax(-1)
        best = weights.mean(0).topk(2)
        others = (weights[0], weights[-1], weights.amax(0), weights.prod(0))
        elsewhere = all(bool((other.argmax(-1) != best.indices[:, 0]).any()) for other in others)
        if (best.values[:, 0] - best.values[:, 1]).min() > 1e-3 and (elsewhere or heads == 1):
            return weights


def _pairs_case(
    generator: torch.Generator, heads: int, target: int, source: int, *padding: int, first: bool = False
) -> Case:
    """Draw weights and words. padding: rows and columns behind those of the words. first: the largest mean of all is
    in the first row."""
    weights = _maps(generator, heads, target, source)
    if first:
        weights = weights.roll(-int(weights.mean(0).amax(-1).argmax()), 1)
    if padding:  # in every other row it has the largest weight, as in a model that does not mask it
        rows, columns = padding
        part = torch.arange(target + rows)[:, None] % 2 * (0.6 if columns else 0.0)
        weights = torch.cat((weights, _normal(generator, heads, rows, source).softmax(-1)), dim=1)
        weights = torch.cat((weights * (1 - part), (part / max(columns, 1)).expand(heads, -1, columns)), dim=2)
    words = _words(generator, source, target)
    counts = f"{source} source words and {target} target words"
    return Case(PADDING if padding else LARGEST, f"{CALL} {tuple(weights.shape)}, {counts}", (weights, *words))


def _tied_case(generator: torch.Generator, target: int, source: int) -> Case:
    """Draw whole numbers of sixteenths for two heads, the largest mean twice or three times in each row."""
    weights = torch.randint(1, 3, (2, target, source), generator=generator) / 16
    for number, row in enumerate(weights.unbind(1)):
        row[:, torch.randperm(source, generator=generator)[: 2 + number % 2]] = 0.25
    words = _words(generator, source, target)
    return Case(TWICE, f"{CALL} {tuple(weights.shape)}, some of each row equally large", (weights, *words))


def _repeated_case(generator: torch.Generator, heads: int, target: int, source: int, same: bool) -> Case:
    """Draw weights and a target whose first word is also its last; same: with the same weights."""
    weights = _maps(generator, heads, target, source)
    while weights.mean(0)[[0, -1]].argmax(-1).unique().numel() == 1:
        weights = _maps(generator, heads, target, source)
    if same:
        weights[:, -1] = weights[:, 0]
    words = _words(generator, source, target)
    words[1][-1] = words[1][0]
    shown = f"{CALL} {tuple(weights.shape)}, the target's first word is its last too"
    return Case(TWICE, shown, (weights, *words))


def _again_case(generator: torch.Generator) -> Case:
    """Draw a source whose first word is also its last: its two weights are neither added up nor mixed up."""
    rows = torch.tensor([(45, 30, 20, 5), (28, 37, 5, 30), (10, 15, 60, 15)])[torch.randperm(3, generator=generator)]
    words = _words(generator, 4, 3)
    words[0][-1] = words[0][0]
    shown = f"{CALL} (2, 3, 4), the source's first word is its last too"
    return Case(TWICE, shown, ((rows / 100).repeat(2, 1, 1), *words))


def _pairs_cases(generator: torch.Generator) -> list[Case]:
    heads, other = _shuffled(generator, 3, 4)
    small, large = _shuffled(generator, 5, 7)
    return [
        _pairs_case(generator, 4, 3, 4, first=True),
        _pairs_case(generator, 2, 4, 4),
        _pairs_case(generator, heads, small, large),
        _pairs_case(generator, other, large, small),
        _pairs_case(generator, 1, small, large),
        _pairs_case(generator, 1, 1, 3),
        _tied_case(generator, 4, 6),
        _tied_case(generator, 9, 8),
        _repeated_case(generator, heads, small, large, same=False),
        _repeated_case(generator, other, large, small, same=True),
        _again_case(generator),
        _pairs_case(generator, 2, 3, 4, 1, 1),
        _pairs_case(generator, heads, small, large, 0, 2),
        _pairs_case(generator, other, small, large, 2, 1),
        _pairs_case(generator, other, large, small, 3, 0),
        _pairs_case(generator, heads, large, small, 1, 3),
    ]


PAIRS = RunSide(
    id="06.alignment",
    title="Which word was read for which",
    todo="alignment is not written yet: average the heads, and pair each target word with the source word of the "
    "largest weight.",
    cases=_pairs_cases,
)


def _small_table(generator: torch.Generator, target: int, source: int) -> Tensor:
    """Draw weights that can be followed on paper: one row of each kind in HUNDREDTHS, in any order."""
    kinds = _shuffled(generator, *range(target))
    rows = [_shuffled(generator, *HUNDREDTHS[source][kind % len(HUNDREDTHS[source])]) for kind in kinds]
    return torch.tensor(rows) / 100


def _shares_case(group: str, weights: Tensor, gold: Tensor, more: str) -> Case:
    shown = f"alignment_error(weights, gold) with shapes {tuple(weights.shape)}, {more}"
    return Case(group, shown, (weights, gold))


def _error_case(
    generator: torch.Generator, group: str, sizes: tuple[int, int], right: int, without: int = 0, partners: int = 2
) -> Case:
    """Draw weights and gold. sizes: target, source. right: how many of the tokens with partners look at one of them.

    without: how many tokens have no partner. partners: of each other token; right ones look at the first and the last
    in turn.
    """
    target, source = sizes
    weights = _small_table(generator, *sizes) if source in HUNDREDTHS else _maps(generator, 1, *sizes)[0]
    gold = torch.zeros(target, source, dtype=torch.bool)
    for place, row in enumerate(torch.randperm(target, generator=generator)[without:].tolist()):
        order = torch.randperm(source, generator=generator)
        gold[row, order[:partners]] = True
        own = order[:partners].sort().values
        best, to = weights[row].argmax().item(), (own[-(place % 2)] if place < right else order[-1]).item()
        weights[row, [best, to]] = weights[row, [to, best]]
    return _shares_case(group, weights, gold, f"{without} without a partner")


def _equals_case(generator: torch.Generator, source: int, *rows: tuple[int, str]) -> Case:
    """Draw weights with equally large ones, and gold. rows, in any order: how many are equally large, and which of them
    are partners: the first, the last, all, or none, where another one is."""
    weights, gold = torch.zeros(len(rows), source), torch.zeros(len(rows), source, dtype=torch.bool)
    for row, kind in enumerate(_shuffled(generator, *range(len(rows)))):
        count, partners = rows[kind]
        order = torch.randperm(source, generator=generator)
        values = _normal(generator, source).softmax(-1).sort(descending=True).values
        values[:count] = values[0] + 0.01
        values = torch.tensor(TIED[kind % len(TIED)]) / 100 if source == len(TIED[0]) else values / values.sum()
        weights[row, order] = values
        equals = order[:count].sort().values
        gold[row, {"first": equals[:1], "last": equals[-1:], "all": equals, "none": order[-1:]}[partners]] = True
    return _shares_case(EQUALS, weights, gold, "equally large ones in its rows")


def _error_cases(generator: torch.Generator) -> list[Case]:
    small, large = _shuffled(generator, 5, 8)
    long, longer = _shuffled(generator, 11, 13)
    few, more = _shuffled(generator, 3, 4)
    most = ["first", "last"][int(torch.randint(2, (), generator=generator))]
    firsts = [(count, "first") for count in (2, 2, 2, 3, 3, 3, 3, 3, 3, 3)]
    return [
        _error_case(generator, WRONG_SHARE, (few, more), right=1),
        _error_case(generator, WRONG_SHARE, (long, small), right=3),
        _error_case(generator, WRONG_SHARE, (large, longer), right=4),
        _error_case(generator, WRONG_SHARE, (longer, longer), right=2, partners=1),
        _error_case(generator, WRONG_SHARE, (small, large), right=small),
        _error_case(generator, WRONG_SHARE, (large, small), right=0),
        _equals_case(generator, 4, *[(2, partner) for partner in ("first", "last", most)]),
        _equals_case(generator, large, *firsts, *[(1, "none")] * (longer - len(firsts))),
        _equals_case(generator, longer, (2, "last"), (3, "last"), (2, "all"), (3, "none"), (1, "first"), *firsts[2:5]),
        _error_case(generator, COUNTED, (few, more), right=1, without=1, partners=1),
        _error_case(generator, COUNTED, (long, large), right=5, without=4, partners=1),
        _error_case(generator, COUNTED, (longer, small), right=2, without=5, partners=1),
        _error_case(generator, NUMBER, (more, few), right=1),
        _error_case(generator, NUMBER, (1, more), right=1),
        _error_case(generator, NUMBER, (few, more), right=0, without=few),
    ]


def _call_error(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; only where a plain number is asked for, tensor(0.5) is not 0.5."""
    share = student(*case.args)
    if case.group != NUMBER and isinstance(share, Tensor) and share.numel() == 1:
        share = share.item()
    return float(share) if case.group != NUMBER and type(share) is int else share


ERROR = RunSide(
    id="06.alignment_error",
    title="How much of it is wrong",
    todo="alignment_error is not written yet: of the target tokens that have a partner, give the share whose largest "
    "weight is on none of their partners.",
    cases=_error_cases,
    call=_call_error,
)

RUN_SIDES = (CROSS, MASK, PAIRS, ERROR)
