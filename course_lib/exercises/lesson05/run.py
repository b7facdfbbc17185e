"""Lesson 05, run side: the models that may cheat, and the cases of the exercises on them."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import partial
from inspect import unwrap
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
    HALF,
    KNOWN,
    LEVEL,
    OTHER,
    RARE,
    SINGLE,
    TWO_AHEAD,
    Pairs,
    asking,
    draw_model,
    feeling_the_batch,
    first_and_own,
    heard,
    hidden_id,
    id_across,
    id_at_an_end,
    next_token_said,
    off_by_one,
    one_pair,
    own_and_next,
    prefix,
    sometimes,
    spoiling,
    unseen_end,
    writing,
)
from course_lib.exercises.running import Case, RunSide
from course_lib.positions import RotaryPositions

__all__ = ["RUN_SIDES"]

UNTOUCHED = "ids stay as they were"
NAN = "logits of minus infinity, and nan"
COPIES = "copies are counted, and nothing else"
DRAWN = "another id, drawn evenly for each; chance hits count"
FORM = "a float, chance from the generator, and an error"
ALWAYS = "a mask that looks ahead becomes causal"
SELDOM = "also at few lengths, in few pairs, or without the past"
KEPT = "what does not look ahead stays, as do all other fields"
OTHER_FIELDS = "other fields that differ"
LENGTHS = (1, 2, 3, 4, 8, 11, 13, 16, 19)  # of which the masks of a repaired configuration are looked at
ROWS = 351  # to draw for, at six positions each: a share of 1 in 11 is then next to never seen as 0 or 2 in 10
DRAWS_VOCAB = 12  # eleven other ids
ONE_ID = "one id alone"


def _shuffled(generator: torch.Generator, *choices: int) -> list[int]:
    return [choices[i] for i in torch.randperm(len(choices), generator=generator)]


def _leak_case(
    generator: torch.Generator,
    group: str,
    said: str,
    sizes: tuple[int, int, int],
    leak: Pairs = lambda i, j: False,
    around: Callable[..., Callable[[Tensor], Tensor]] | None = None,
    **more: Any,
) -> Case:
    """Draw a model and its ids.

    sizes: batch, n, vocab. around: makes another model, of (model, vocab). leak and more: as in `draw_model`.
    """
    batch, n, vocab = sizes
    ids = torch.randint(vocab, (batch, n), generator=generator)
    ids[:, 0] = torch.randperm(vocab, generator=generator)[:batch]
    if more.keys() & {"shows", "spoilt"}:
        low = min(3, vocab // 2)  # away from both ends
        ids[:, 1:] = torch.randint(low, vocab - low, (n - 1,), generator=generator)  # alike in all rows
    model = draw_model(generator, ids, vocab, leak, **more)
    if around:
        model = around(model, vocab)
    shown = f"find_leak(model, ids, {vocab}) with ids {tuple(ids.shape)}, where the model {said}"
    return Case(group, shown, (model, ids, vocab))


def _leak_cases(generator: torch.Generator) -> list[Case]:
    pairs, hidden = "which position reads which later token", "faint, rare and hidden leaks, and no others"
    batch, other = _shuffled(generator, 2, 3)
    small, large = _shuffled(generator, 4, 5)
    vocab = _shuffled(generator, 5, 7)
    last = large - 1
    drawn = torch.rand(6, 6, generator=generator) < 0.4
    drawn[0, 2], drawn[1, 4], drawn[2, 3], drawn[0, 1], drawn[3, 4] = True, True, True, False, False

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
        hid(f"feels {ONE_ID} of each token after token 1", (1, 4, 41), lambda i, j: j > 1, kind=RARE, shows=hidden_id),
        hid("feels all ids of a later token but one", (1, 3, 17), lambda i, j: True, kind=BLIND, shows=id_across),
        hid(f"feels {ONE_ID} of each later token", (2, 4, 11), lambda i, j: True, kind=RARE, shows=id_at_an_end),
        hid("feels about half of the ids of a later token", (1, 5, 11), lambda i, j: True, kind=HALF),
        hid("leaks in the first row alone, to one logit", (3, small, 5), some, kind=SINGLE, opens=slice(0, 1)),
        hid("leaks in the last row alone", (3, small, 5), leak=some, opens=slice(2, 3)),
        hid(
            "answers with other last bits if the number of rows is another",
            (batch, small, 5),
            leak=some,
            around=lambda model, vocab: partial(feeling_the_batch, model),
        ),
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
            generator,
            UNTOUCHED,
            "writes into the ids it gets",
            (batch, small, 5),
            leak=some,
            around=lambda model, vocab: partial(writing, model, vocab),
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
    sure: bool = False,
) -> Case:
    """Draw a model and its ids. sizes: batch, n, vocab. copies: in which row it does so, at which position.

    The tokens of a row are all alike, unless they are `mixed`: then the drawn one alone is unlike the others, and no
    share hangs on which one it is. Where many draws are counted, all rows are alike, and hold two tokens in turn that
    are half a vocabulary apart: a step from one leads to the other, and the same step back.
    """
    batch, n, vocab = sizes
    first = torch.randperm(vocab, generator=generator)
    if batch == ROWS:  # both away from the ends of the vocabulary, where a wrong draw may be a right one
        first = (first - first[0] + _shuffled(generator, 2, 3, 8, 9)[0]) % vocab
    ids = first[:, None].repeat(1, n)
    if mixed:
        ids[:, 1:] = torch.randint(vocab, (vocab, n - 1), generator=generator)
    if batch == ROWS:
        ids[:, 1::2] = (ids[:, 1::2] + vocab // 2) % vocab
    known = ids[first.argsort()]
    does = torch.tensor([[copies(row, t) for t in range(n)] for row in range(vocab)])[first.argsort()]
    noise = torch.rand(n, vocab, generator=generator) / 8 - 9
    model = partial(next_token_said, does, known, noise, alone, else_, 20.0 if sure else 1.0)
    model = partial(spoiling, model, vocab) if group == UNTOUCHED else model
    ids = ids[:1].repeat(batch, 1) if batch == ROWS else ids[:batch].clone()
    shown = f"copy_rate(model, ids, {vocab}, generator) with ids {(batch, n)}, where the model {said}"
    return Case(group, shown, (model, ids, vocab))


def _copy_cases(generator: torch.Generator) -> list[Case]:
    batch, other = _shuffled(generator, 3, 4)
    small, large = _shuffled(generator, 5, 6)
    vocab = _shuffled(generator, 499, 503)  # so large that a copy by chance is rare, also where many are drawn
    case = partial(_copy_case, generator)
    return [
        case("says the next token", (batch, small, vocab[0])),
        case("never says the next token", (batch, large, vocab[0]), copies=lambda row, t: False),
        case("copies in one row", (other, small, vocab[1]), copies=lambda row, t: row == 1),
        case("is sure, and copies at two positions", (batch, large, vocab[0]), lambda row, t: t in (1, 2), sure=True),
        case("copies here and there", (3, large, vocab[1]), copies=lambda row, t: (row, t) in ((0, 0), (2, 1), (2, 3))),
        case("copies at the last but one", (batch, small, vocab[0]), copies=lambda row, t: t == small - 2),
        case("says the token just read", (batch, small, vocab[1]), copies=lambda row, t: False, else_=CURRENT),
        case("says the token after next", (other, large, vocab[0]), copies=lambda row, t: False, else_=TWO_AHEAD),
        case("copies a single new token", (other, small, vocab[0]), alone=True),
        case("says the next token", (batch, 2, vocab[1]), copies=lambda row, t: row < 2),
        case("knows the text by heart", (ROWS, 7, DRAWS_VOCAB), lambda row, t: False, else_=KNOWN, group=DRAWN),
        case("knows the text by heart, and always says the other id", (1, 4, 2), lambda row, t: False, else_=OTHER,
             group=DRAWN),
        case("says the next token", (other, small, vocab[1]), group=FORM, mixed=True),
        case("says the next token", (batch, 1, vocab[0]), group=FORM),
        case("writes into the ids it gets", (batch, small, vocab[0]), lambda row, t: row == 1, group=UNTOUCHED),
    ]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _call_copy(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; where it is asked for, look at what it asks the model."""
    model, ids, vocab = case.args
    if len(ids) == ROWS:
        return _what_is_drawn(student, model, ids, vocab)
    if case.group == FORM and ids.shape[1] > 1:
        return _how_it_draws(student, model, ids, vocab)
    rate = student(model, ids, vocab, generator=_seeded(5))
    return float(rate) if case.group != FORM and _is_one(rate) else rate


def _is_one(value: Any) -> bool:
    """Whether it is one number, be it in a tensor."""
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, int | float) and not isinstance(value, bool)


def _what_is_drawn(
    student: Callable[..., Any], model: Callable[[Tensor], Tensor], ids: Tensor, vocab: int
) -> dict[str, Any]:
    """Count the draws for many rows that are all alike, in tenths, so that it does not matter which ones they are."""
    rate, asked = asking(student, model, ids, vocab, _seeded(11))
    steps = torch.where(asked < 0, 0, (asked - ids[:1]) % vocab)
    single = steps[(steps != 0).sum(1) == 1]
    counts = torch.stack([column[column != 0].bincount(minlength=vocab) for column in single.unbind(1)])
    shares = counts.sum(0) / max(counts.sum(), 1)
    rows = bool(((counts > 0).sum(1) > 1).any())
    positions = bool((counts[1:] != counts[1]).any())
    each = [name for name, own in (("row", rows), ("position", positions)) if own]
    return {
        "rows that are cut off": bool((asked < 0).any()),
        "positions at which a token is replaced, it alone": counts.sum(1) > 0,
        "every row is asked about at each of them": 10 * len(single) > 8 * ids[:, 1:].numel(),
        "rows with several new tokens": len(steps[(steps != 0).sum(1) > 1]) > 0,
        "a draw of its own for each": " and ".join(each) or "nothing",
        "how often each step from the original to the new id, in tenths": (10 * shares).round().long()
        if rows
        else "too few draws to say",
        "copies, of a model that says the original tokens alone": _how_many(rate),
        "the rate, in tenths": round(10 * float(rate)) if _is_one(rate) and 0 <= rate <= 1 else rate,
    }


def _how_many(rate: Any) -> Any:
    return rate if not _is_one(rate) else "none" if rate == 0 else "some, so the original was drawn or counted"


def _how_it_draws(
    student: Callable[..., Any], model: Callable[[Tensor], Tensor], ids: Tensor, vocab: int
) -> dict[str, Any]:
    """Say what comes back, and whether chance comes from the generator that was handed over."""
    many = ids.repeat(5, 1)
    generator, before = _seeded(7), torch.get_rng_state()
    rate, first = asking(student, model, ids, vocab, generator)
    second, last = (asking(student, model, many, vocab, generator)[1] for _ in range(2))
    alone = torch.equal(before, torch.get_rng_state())
    again = _seeded(7)
    repeated = [asking(student, model, rows, vocab, again)[1] for rows in (ids, many)]
    without = []
    for seed in (3, 3, 4):
        torch.default_generator.manual_seed(seed)
        default, questions = asking(student, model, many, vocab)
        without.append(questions)
    return {
        "what comes back": "float" if isinstance(rate, float) else type(rate).__name__,
        "the rate": float(rate) if _is_one(rate) else rate,
        "equal seeds ask the same": torch.equal(repeated[0], first) and torch.equal(repeated[1], second),
        "the next call asks something else": not torch.equal(second, last),
        "torch's own generator is left alone": alone,
        "and without a generator": "float" if isinstance(default, float) else type(default).__name__,
        "chance is torch's own then": torch.equal(without[0], without[1]) and not torch.equal(without[1], without[2]),
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
    """Draw a configuration of which a small decoder can be built, and no number is its default."""
    heads, layers = _shuffled(generator, 4, 6)[0], _shuffled(generator, 2, 3)[0]
    config = DecoderConfig(
        vocab_size=_shuffled(generator, 5, 7)[0], d_model=12, num_layers=layers, num_heads=heads, d_ff=9, max_len=37,
        num_kv_heads=2, head_dim=8, dropout=0.1, bias=False, tied=False, norm=nn.RMSNorm, position=RotaryPositions,
        feed_forward=GatedFeedForward, residual=PostNorm, mask=mask,
    )  # fmt: skip
    return Case(group, f"repair(config) with {heads} heads and {layers} layers, where {said}", (config,))


def _repair_cases(generator: torch.Generator) -> list[Case]:
    window, first = _shuffled(generator, 2, 3, 4)[0], _shuffled(generator, 2, 3, 4)[0]
    long, far = _shuffled(generator, 5, 6, 7)[0], _shuffled(generator, 3, 4)[0]
    everything = masks.create_bidirectional_mask
    case = partial(_repair_case, generator)
    return [
        case(ALWAYS, "every token sees every token", everything),
        case(ALWAYS, "each token sees one token ahead", off_by_one),
        case(ALWAYS, f"all tokens see the first {first}", partial(prefix, first)),
        case(SELDOM, f"the mask looks ahead from {long} tokens on", partial(sometimes, range(long, 99), off_by_one)),
        case(SELDOM, "the mask looks ahead at 2, 3 and 4 tokens alone", partial(sometimes, [2, 3, 4], everything)),
        *(
            case(SELDOM, f"the mask looks ahead at {n} tokens alone", partial(sometimes, [n], everything))
            for n in (_shuffled(generator, 11, 13)[0], 16)
        ),
        case(SELDOM, f"token 1 sees token {far}, and no other looks ahead", partial(one_pair, 1, far)),
        case(SELDOM, f"token {far - 1} sees token {far}, and no other looks ahead", partial(one_pair, far - 1, far)),
        case(SELDOM, "each token sees one token ahead, unless that is the last", unseen_end),
        case(SELDOM, "each token sees itself and the next one, and nothing before it", own_and_next),
        case(KEPT, "the mask is the causal one", masks.create_causal_mask),
        case(KEPT, f"each token sees {window} tokens", partial(masks.create_sliding_window_mask, window=window)),
        case(KEPT, "each token sees the first and itself", first_and_own),
        case(KEPT, "every token sees every token", everything),
    ]


def _call_repair(student: Callable[..., Any], case: Case) -> Any:
    """Call the function; look at the masks that the new configuration makes and, in one group, at all else."""
    config = _known_to_all(student, *case.args)
    asked: list[int] = []
    watched = case.group == ALWAYS and isinstance(config.mask, partial)
    config = replace(config, mask=partial(heard, asked, config.mask)) if watched else config
    given = replace(config)
    repaired = student(given)
    if DecoderConfig.__name__ not in [kind.__name__ for kind in type(repaired).__mro__]:
        return repaired
    lengths, cpu = len(set(asked)), torch.device("cpu")
    seen = {f"the mask at length {n}": repaired.mask(n, device=cpu) for n in LENGTHS}
    if watched:
        looked_at = "no length" if not lengths else "one length" if lengths == 1 else "several lengths"
        is_same = repaired.mask is config.mask
        seen["the mask"] = f"the same, after a look at {looked_at}" if is_same else "another one"
    if case.group == KEPT:
        names = [field.name for field in fields(config) if field.name != "mask"]
        differ = [n for n in names if getattr(repaired, n) != getattr(config, n)]
        seen[OTHER_FIELDS] = ", ".join(differ) or "none"
        seen["the configuration that was given is as it was"] = given == config
    return seen


def _known_to_all(student: Callable[..., Any], config: DecoderConfig) -> DecoderConfig:
    """Give a configuration that is a DecoderConfig for whatever the notebook has imported: where answers are graded,
    modules are loaded anew, so that one Decoder may take no DecoderConfig of another time."""
    known = getattr(student, "__globals__", {})
    decoders = getattr(unwrap(getattr(known.get("Decoder"), "__init__", None)), "__globals__", {})
    kinds = [type(config), *(names.get(DecoderConfig.__name__) for names in (known, decoders))]
    kinds = list(dict.fromkeys(kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)))
    if len(kinds) == 1:
        return config
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return type(DecoderConfig.__name__, tuple(kinds), {})(**values)


REPAIR = RunSide(
    id="05.repair",
    title="A mask that hides the future",
    todo="repair is not written yet: see whether config.mask lets a token see a later one at some length from 1 to 16, "
    "and if so, give a configuration with the causal mask in its place.",
    cases=_repair_cases,
    call=_call_repair,
)

RUN_SIDES = (LEAK, COPY, REPAIR)
