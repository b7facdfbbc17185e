"""Lesson 05, run side: the models that may cheat, and the cases of the exercises on them."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import masks
from course_lib.blocks import GatedFeedForward, PostNorm
from course_lib.decoder import DecoderConfig
from course_lib.exercises.lesson05.models import (
    ANOTHER,
    BALANCED,
    BLIND,
    CURRENT,
    FAINT,
    KNOWN,
    LEVEL,
    PLAIN,
    RARE,
    SINGLE,
    TWO_AHEAD,
    added,
    first_and_own,
    logits_by_table,
    next_token_said,
    off_by_one,
    one_pair,
    prefix,
    sometimes,
    writing,
)
from course_lib.exercises.running import Case, RunSide
from course_lib.positions import RotaryPositions

__all__ = ["RUN_SIDES"]

UNTOUCHED = "ids stay as they were"
NAN = "logits of minus infinity, and nan"
COPIES = "copies are counted, and nothing else"
DRAWN = "another id, drawn evenly for each row and position"
FORM = "a float, chance from the generator, and an error"
KEPT = "what does not look ahead stays, as do all other fields"
LENGTHS = (1, 2, 3, 4, 8, 11, 13, 16, 19)  # of which the masks of a repaired configuration are looked at
ROWS = 451  # to draw for, at four positions each: a share of 1 in 10 is then next to never seen as 0 or 2 in 10
DRAWS_VOCAB = 11  # ten other ids

Pairs = Callable[[int, int], bool]  # does position i read token j?


def _shuffled(generator: torch.Generator, *choices: int) -> list[int]:
    return [choices[i] for i in torch.randperm(len(choices), generator=generator)]


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _leak_case(
    generator: torch.Generator,
    group: str,
    said: str,
    sizes: tuple[int, int, int],
    leak: Pairs = lambda i, j: False,
    past: Pairs = lambda i, j: True,
    kind: int = PLAIN,
    scale: float = 1.0,
    opens: slice | None = None,
    shows: Callable[[int, Tensor, int, int], int] | None = None,
    writes: bool = False,
    odd: bool = False,
    spoilt: Sequence[tuple[int, int, int, float]] = (),
) -> Case:
    """Draw a model and its ids.

    sizes: batch, n, vocab. leak, past: which pairs with j > i, and with j <= i, are read. scale: of all logits.
    opens: the rows that leak. shows: an id, of (vocab, tokens at j, i, j): if RARE, the only one as which token j shows
    at i; if BLIND, the only one as which it does not.
    odd: some logits are minus infinity or nan, whatever the ids. spoilt: (i, v, j, value), as in `logits_by_table`.
    """
    batch, n, vocab = sizes
    ids = torch.randint(vocab, (batch, n), generator=generator)
    ids[:, 0] = torch.randperm(vocab, generator=generator)[:batch]
    if shows or spoilt:
        ids[:, 1:] = torch.randint(2, vocab - 2, (n - 1,), generator=generator)  # alike in all rows
    pairs = torch.tensor([[(j <= i and past(i, j), j > i and leak(i, j)) for i in range(n)] for j in range(n)])
    table = (_normal(generator, n, vocab, n, vocab) * 4).round() / 16 * pairs[:, None, :, None, 0]
    ahead = added(generator, n, vocab, kind) * pairs[:, None, :, None, 1]
    if shows:
        for j, i in pairs[..., 1].nonzero().tolist():
            token = shows(vocab, ids[:, j], i, j)
            if kind == RARE:
                ahead[j, :token, i], ahead[j, token + 1 :, i] = 0, 0
            else:
                ahead[j, token, i] = ahead[j, ids[0, j], i]
    bias = (_normal(generator, n, vocab) * 4).round() / 16 + 8 * (kind == FAINT)
    if odd:
        bias[:, 1], bias[n // 2, 3], bias[0, 2] = -torch.inf, torch.nan, torch.nan
    opened = torch.zeros(vocab, dtype=torch.float64)
    if opens is not None:
        opened[ids[opens, 0]] = 1
    both = (scale * (table if opens is not None else table + ahead)).reshape(n * vocab, -1)
    second = (scale * ahead).reshape(n * vocab, -1) if opens is not None else None
    spoils = [(i, v, j, int(ids[0, j]), value) for i, v, j, value in spoilt]
    model = partial(logits_by_table, both, second, opened, scale * bias, spoils)
    if writes:
        model = partial(writing, model, vocab)
    shown = f"find_leak(model, ids, {vocab}) with ids {tuple(ids.shape)}, where the model {said}"
    return Case(group, shown, (model, ids, vocab))


def _hidden_id(vocab: int, tokens: Tensor, i: int, j: int) -> int:
    """Choose an id that is neither the token, a neighbour of it, nor at an end of the vocabulary."""
    token = int(tokens[0])
    near = {0, 1, 2, vocab - 2, vocab - 1, vocab - 1 - token, *((token + step) % vocab for step in range(-3, 4))}
    near.add((token + vocab // 2) % vocab)
    free = [other for other in range(vocab) if other not in near]
    return free[(i + j) % len(free)]


PAIRS_OF_FOUR = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def _id_at_an_end(vocab: int, tokens: Tensor, i: int, j: int) -> int:
    """Choose the first or the last id, or one or two beside the token: another one for each pair of four tokens."""
    token = int(tokens[0])
    return (token + 1, token - 1, 0, vocab - 1, token + 2, token - 2)[PAIRS_OF_FOUR.index((i, j))]


def _leak_cases(generator: torch.Generator) -> list[Case]:
    pairs, hidden = "which position reads which later token", "faint, rare and hidden leaks"
    batch, other = _shuffled(generator, 2, 3)
    small, large = _shuffled(generator, 4, 5)
    vocab = _shuffled(generator, 5, 7)
    last = large - 1
    drawn = torch.rand(6, 6, generator=generator) < 0.4
    drawn[0, 2], drawn[1, 4], drawn[2, 3], drawn[3, 4] = True, True, True, False

    def some(i: int, j: int) -> bool:
        return bool(drawn[i, j])

    case = partial(_leak_case, generator, pairs)
    hid = partial(_leak_case, generator, hidden)
    return [
        case("is causal", (batch, large, vocab[0])),
        case("reads every token", (other, small, vocab[0]), leak=lambda i, j: True),
        case("reads one token ahead", (batch, large, vocab[0]), leak=lambda i, j: j == i + 1, past=lambda i, j: i < 2),
        case("reads some later tokens", (other, 6, 5), leak=some),
        case(f"reads token {last - 1} early", (batch, large, 5), leak=lambda i, j: j == last - 1),
        case("reads the last token at the first position", (2, large, 5), leak=lambda i, j: (i, j) == (0, last)),
        case("has one token", (batch, 1, 5)),
        hid("moves its logits by a few millionths", (batch, small, 5), leak=some, kind=FAINT),
        hid("has logits of about 1e-12", (batch, small, 5), leak=some, scale=2.0**-40),
        hid("moves all logits of a position alike", (batch, small, 5), leak=some, kind=LEVEL),
        hid("moves one logit up by what another falls", (batch, small, 5), leak=some, kind=BALANCED),
        hid("feels one id alone of each later token", (1, 3, 17), lambda i, j: True, kind=RARE, shows=_hidden_id),
        hid("feels all ids of a later token but one", (1, 3, 17), lambda i, j: True, kind=BLIND, shows=_hidden_id),
        hid("feels one id alone of each later token", (2, 4, 11), lambda i, j: True, kind=RARE, shows=_id_at_an_end),
        hid("leaks in the first row alone, to one logit", (3, small, 5), some, kind=SINGLE, opens=slice(0, 1)),
        hid("leaks in the last row alone", (3, small, 5), leak=some, opens=slice(2, 3)),
        _leak_case(generator, NAN, "is causal, and some logits are not finite", (batch, large, 5), odd=True),
        _leak_case(
            generator,
            NAN,
            "gives minus infinity or nan where a later token is replaced",
            (other, small, 5),
            odd=True,
            spoilt=((0, 0, 2, -torch.inf), (1, 4, 2, torch.nan), (1, 0, 3, torch.nan)),
        ),
        _leak_case(
            generator, UNTOUCHED, "writes into the ids it gets", (batch, small, 5), leak=some, writes=True
        ),
    ]


LEAK = RunSide(
    id="05.find_leak",
    title="Where it looks ahead",
    todo="find_leak is not written yet: replace one token by every other id in turn, ask the model, and note which "
    "earlier positions' logits have changed.",
    cases=_leak_cases,
)

def _copy_case(
    generator: torch.Generator,
    said: str,
    sizes: tuple[int, int, int],
    copies: Callable[[int, int], bool] = lambda row, t: True,
    alone: bool = False,
    else_: int = ANOTHER,
    group: str = COPIES,
    mixed: bool = False,
) -> Case:
    """Draw a model and its ids. sizes: batch, n, vocab. copies: in which row it does so, at which position.

    The tokens of a row are all alike, unless they are `mixed`: then the drawn one alone is unlike the others, and no
    share hangs on which one it is.
    """
    batch, n, vocab = sizes
    first = torch.randperm(vocab, generator=generator)
    if group == DRAWN:  # away from both ends of the vocabulary, where a wrong draw may be a right one
        first = (first - first[0] + _shuffled(generator, *range(2, vocab - 2))[0]) % vocab
    ids = first[:, None].repeat(1, n)
    if mixed:
        ids[:, 1:] = torch.randint(vocab, (vocab, n - 1), generator=generator)
    known = ids[first.argsort()]
    does = torch.tensor([[copies(row, t) for t in range(n)] for row in range(vocab)])[first.argsort()]
    noise = torch.rand(n, vocab, generator=generator) / 8 - 9
    model = partial(next_token_said, does, known, noise, alone, else_)
    shown = f"copy_rate(model, ids, {vocab}, generator) with ids {(batch, n)}, where the model {said}"
    return Case(group, shown, (model, ids[:batch].clone(), vocab))


def _copy_cases(generator: torch.Generator) -> list[Case]:
    batch, other = _shuffled(generator, 3, 4)
    small, large = _shuffled(generator, 5, 6)
    vocab = _shuffled(generator, 499, 503)  # so large that a copy by chance is rare, also where many are drawn
    case = partial(_copy_case, generator)
    return [
        case("says the next token", (batch, small, vocab[0])),
        case("never says the next token", (batch, large, vocab[0]), copies=lambda row, t: False),
        case("copies in one row", (other, small, vocab[1]), copies=lambda row, t: row == 1),
        case("copies at two positions", (batch, large, vocab[0]), copies=lambda row, t: t in (1, 2)),
        case("copies here and there", (3, large, vocab[1]), copies=lambda row, t: (row, t) in ((0, 0), (2, 1), (2, 3))),
        case("copies at the last but one", (batch, small, vocab[0]), copies=lambda row, t: t == small - 2),
        case("says the token just read", (batch, small, vocab[1]), copies=lambda row, t: False, else_=CURRENT),
        case("says the token after next", (other, large, vocab[0]), copies=lambda row, t: False, else_=TWO_AHEAD),
        case("copies a single new token", (other, small, vocab[0]), alone=True),
        case("says the next token", (batch, 2, vocab[1]), copies=lambda row, t: row < 2),
        case("knows the text by heart", (1, 5, DRAWS_VOCAB), lambda row, t: False, False, KNOWN, DRAWN),
        case("says the next token", (other, small, vocab[1]), group=FORM, mixed=True),
        case("says the next token", (batch, 1, vocab[0]), group=FORM),
    ]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _call_copy(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; where it is asked for, look at what it asks the model."""
    model, ids, vocab = case.args
    if case.group == DRAWN:
        return _what_is_drawn(student, model, ids, vocab)
    if case.group == FORM and ids.shape[1] > 1:
        return _how_it_draws(student, model, ids, vocab)
    rate = student(model, ids, vocab, generator=_seeded(5))
    return float(rate) if case.group == COPIES and _is_one(rate) else rate


def _is_one(value: Any) -> bool:
    """Whether it is one number, be it in a tensor."""
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, int | float) and not isinstance(value, bool)


def _asking(
    student: Callable[..., Any], model: Callable[[Tensor], Tensor], ids: Tensor, vocab: int, *generator: Any
) -> tuple[Any, Tensor]:
    """Give what comes back, and all rows that the model was asked about."""
    asked = [ids[:0].clone()]

    def listening(given: Tensor) -> Tensor:
        asked.append(given.clone())
        return model(given)

    rate = student(listening, ids, vocab, *generator)
    return rate, torch.cat(asked)


def _what_is_drawn(
    student: Callable[..., Any], model: Callable[[Tensor], Tensor], ids: Tensor, vocab: int
) -> dict[str, Any]:
    """Count the draws for many rows that are all alike, in tenths, so that it does not matter which ones they are."""
    rate, asked = _asking(student, model, ids.repeat(ROWS, 1), vocab, _seeded(11))
    steps = (asked - ids) % vocab
    single = steps[(steps != 0).sum(1) == 1]
    counts = torch.stack([column[column != 0].bincount(minlength=vocab) for column in single.unbind(1)])
    shares, places = counts.sum(0) / max(counts.sum(), 1), counts.sum(1) / counts.sum(1).amax().clamp(min=1)
    rows = bool(((counts > 0).sum(1) > 1).any())
    positions = bool((counts[1:] != counts[1]).any())
    each = [name for name, own in (("row", rows), ("position", positions)) if own]
    return {
        "rows with one new token, by its position": (10 * places).round().long(),
        "rows with several new tokens": len(steps[(steps != 0).sum(1) > 1]) > 0,
        "how often each other id, in tenths": (10 * shares).round().long(),
        "a draw of its own for each": " and ".join(each),
        "the rate is 0": bool(rate == 0) if _is_one(rate) else rate,
        "the rate, in tenths": round(10 * float(rate)) if _is_one(rate) and 0 <= rate <= 1 else rate,
    }


def _how_it_draws(
    student: Callable[..., Any], model: Callable[[Tensor], Tensor], ids: Tensor, vocab: int
) -> dict[str, Any]:
    """Say what comes back, and whether chance comes from the generator that was handed over."""
    many = ids.repeat(5, 1)
    generator, before = _seeded(7), torch.get_rng_state()
    rate, first = _asking(student, model, ids, vocab, generator)
    second, last = (_asking(student, model, many, vocab, generator)[1] for _ in range(2))
    alone = torch.equal(before, torch.get_rng_state())
    again = _seeded(7)
    repeated = [_asking(student, model, rows, vocab, again)[1] for rows in (ids, many)]
    default, _ = _asking(student, model, many, vocab)
    return {
        "what comes back": "float" if isinstance(rate, float) else type(rate).__name__,
        "the rate": float(rate) if _is_one(rate) else rate,
        "equal seeds ask the same": torch.equal(repeated[0], first) and torch.equal(repeated[1], second),
        "the next call asks something else": not torch.equal(second, last),
        "torch's own generator is left alone": alone,
        "and without a generator": "float" if isinstance(default, float) else type(default).__name__,
    }


COPY = RunSide(
    id="05.copy_rate",
    title="How often it copies",
    todo="copy_rate is not written yet: replace each token but the first, it alone, by another id drawn at random, "
    "and count how often the likeliest token before it is the one you drew.",
    cases=_copy_cases,
    call=_call_copy,
)


def _repair_case(generator: torch.Generator, group: str, said: str, mask: Callable[..., Tensor]) -> Case:
    heads, layers = _shuffled(generator, 4, 6)[0], _shuffled(generator, 3, 5)[0]
    config = DecoderConfig(
        vocab_size=_shuffled(generator, 23, 29)[0], d_model=12, num_layers=layers, num_heads=heads, d_ff=31, max_len=37,
        num_kv_heads=2, head_dim=7, dropout=0.1, bias=False, tied=False, norm=nn.RMSNorm, position=RotaryPositions,
        feed_forward=GatedFeedForward, residual=PostNorm, mask=mask,
    )  # fmt: skip
    return Case(group, f"repair(config) with {heads} heads and {layers} layers, where {said}", (config,))


def _repair_cases(generator: torch.Generator) -> list[Case]:
    always, seldom = "a mask that looks ahead becomes causal", "also where few lengths or few pairs look ahead"
    window, first = _shuffled(generator, 2, 3, 4)[0], _shuffled(generator, 2, 3, 4)[0]
    long, far = _shuffled(generator, 5, 6, 7)[0], _shuffled(generator, 3, 4)[0]
    everything = masks.create_bidirectional_mask
    case = partial(_repair_case, generator)
    return [
        case(always, "every token sees every token", everything),
        case(always, "each token sees one token ahead", off_by_one),
        case(always, f"all tokens see the first {first}", partial(prefix, first)),
        case(
            seldom,
            f"the mask looks ahead at {long} tokens and more",
            partial(sometimes, range(long, 99), off_by_one),
        ),
        case(seldom, "the mask looks ahead at 2, 3 and 4 tokens alone", partial(sometimes, [2, 3, 4], everything)),
        *(
            case(seldom, f"the mask looks ahead at {n} tokens alone", partial(sometimes, [n], everything))
            for n in (_shuffled(generator, 11, 13)[0], 16)
        ),
        case(seldom, f"token 1 sees token {far}, and no other looks ahead", partial(one_pair, 1, far)),
        case(seldom, f"token {far - 1} sees token {far}, and no other looks ahead", partial(one_pair, far - 1, far)),
        case(KEPT, "the mask is the causal one", masks.create_causal_mask),
        case(KEPT, f"each token sees {window} tokens", partial(masks.create_sliding_window_mask, window=window)),
        case(KEPT, "each token sees the first and itself", first_and_own),
        case(KEPT, "every token sees every token", everything),
    ]


def _call_repair(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; look at the masks that the new configuration makes and, in one group, at all else."""
    (config,) = case.args
    given = replace(config)
    repaired = student(given)
    if not isinstance(repaired, DecoderConfig):
        return repaired
    cpu = torch.device("cpu")
    seen = {f"the mask at length {n}": repaired.mask(n, device=cpu) for n in LENGTHS}
    if case.group == KEPT:
        names = [field.name for field in fields(config) if field.name != "mask"]
        seen["other fields that differ"] = [n for n in names if getattr(repaired, n) != getattr(config, n)]
        seen["the configuration that was given is as it was"] = given == config
    return seen


REPAIR = RunSide(
    id="05.repair",
    title="A mask that hides the future",
    todo="repair is not written yet: see whether config.mask lets a token see a later one at some length from 1 to 16, "
    "and if so, give a configuration with the causal mask in its place.",
    cases=_repair_cases,
    call=_call_repair,
)

RUN_SIDES = (LEAK, COPY, REPAIR)
