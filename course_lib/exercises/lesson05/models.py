"""Lesson 05: models that may cheat, drawn and made of tables, and masks that may look ahead; no answers are in here."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib import masks

__all__ = [
    "ANOTHER",
    "BALANCED",
    "BLIND",
    "CURRENT",
    "FAINT",
    "HALF",
    "KNOWN",
    "LEVEL",
    "OTHER",
    "PLAIN",
    "RARE",
    "SINGLE",
    "TWO_AHEAD",
    "asking",
    "draw_model",
    "feeling_the_batch",
    "first_and_own",
    "heard",
    "hidden_id",
    "id_across",
    "id_at_an_end",
    "next_token_said",
    "off_by_one",
    "one_pair",
    "own_and_next",
    "prefix",
    "sometimes",
    "spoiling",
    "unseen_end",
    "writing",
]

Pairs = Callable[[int, int], bool]  # does position i read token j?

# The models of find_leak are all one function and differ in their numbers alone: each token adds numbers of its own to
# the logits of each position, as a table says. What it adds has few bits, so that no sum is ever rounded.
PLAIN, FAINT, LEVEL, BALANCED, SINGLE, RARE, BLIND, HALF = range(8)
# What a model of copy_rate says where it does not copy.
ANOTHER, CURRENT, TWO_AHEAD, KNOWN, OTHER = range(5)


def draw_model(
    generator: torch.Generator,
    ids: Tensor,
    vocab: int,
    leak: Pairs = lambda i, j: False,
    past: Pairs = lambda i, j: True,
    kind: int = PLAIN,
    scale: float = 1.0,
    opens: slice | None = None,
    shows: Callable[[int, Tensor, int, int], int] | None = None,
    odd: bool = False,
    spoilt: Sequence[tuple[int, int, int, float]] = (),
) -> Callable[[Tensor], Tensor]:
    """Draw a model of find_leak, for ids (batch, n).

    leak, past: which pairs with j > i, and with j <= i, are read. scale: of all logits. opens: the rows that leak.
    shows: an id, of (vocab, tokens at j, i, j): if RARE, the only one as which token j shows at i; if BLIND, the only
    one as which it does not.
    odd: some logits are minus infinity or nan, whatever the ids; another is 8 or so, and another always 0.
    spoilt: (i, v, j, value), as in `logits_by_table`.
    """
    n = ids.shape[1]
    pairs = torch.tensor([[(j <= i and past(i, j), j > i and leak(i, j)) for i in range(n)] for j in range(n)])
    table = (_normal(generator, n, vocab, n, vocab) * 4).round() / 16 * pairs[:, None, :, None, 0]
    ahead = _added(generator, n, vocab, kind) * pairs[:, None, :, None, 1]
    if shows:
        for j, i in pairs[..., 1].nonzero().tolist():
            token = shows(vocab, ids[:, j], i, j)
            if kind == RARE:
                ahead[j, :token, i], ahead[j, token + 1 :, i] = 0, 0
            else:
                ahead[j, token, i] = ahead[j, ids[0, j], i]
    if kind == HALF:
        ahead *= torch.rand(n, vocab, n, 1, generator=generator) < 0.5
        ahead[torch.arange(n), ids[0]] = 0
    bias = (_normal(generator, n, vocab) * 4).round() / 16 + 8 * (kind == FAINT)
    if odd:
        bias[:, 1], bias[n // 2, 3], bias[0, 2] = -torch.inf, torch.nan, torch.nan
        bias[1, 0] += 8
        bias[1, 4], table[:, :, 1, 4] = 0, 0
    opened = torch.zeros(vocab, dtype=torch.float64)
    if opens is not None:
        opened[ids[opens, 0]] = 1
    both = (scale * (table if opens is not None else table + ahead)).reshape(n * vocab, -1)
    second = (scale * ahead).reshape(n * vocab, -1) if opens is not None else None
    spoils = [(i, v, j, int(ids[0, j]), value) for i, v, j, value in spoilt]
    return partial(_logits_by_table, both, second, opened, scale * bias, spoils)


def hidden_id(vocab: int, tokens: Tensor, i: int, j: int) -> int:
    """Choose an id that is neither the token, a neighbour of it, nor at an end of the vocabulary: from all
    over the vocabulary, by the pair of up to four tokens."""
    token = int(tokens[0])
    near = {0, 1, 2, vocab - 2, vocab - 1, vocab - 1 - token, *((token + step) % vocab for step in range(-3, 4))}
    near.add((token + vocab // 2) % vocab)
    free = [other for other in range(vocab) if other not in near]
    return free[(i + j) * len(free) // 6]


def id_at_an_end(vocab: int, tokens: Tensor, i: int, j: int) -> int:
    """Choose the first or the last id, or one or two beside the token: another one for each pair of four tokens."""
    token = int(tokens[0])
    return (token + 1, token - 1, 0, vocab - 1, token + 2, token - 2)[PAIRS_OF_FOUR.index((i, j))]


def id_across(vocab: int, tokens: Tensor, i: int, j: int) -> int:
    """Choose the id that is half a vocabulary away from the token."""
    return (int(tokens[0]) + vocab // 2) % vocab


PAIRS_OF_FOUR = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _added(generator: torch.Generator, n: int, vocab: int, kind: int) -> Tensor:
    """Draw what a token adds to logits ahead of it, (n, vocab, n, vocab) from place and id to position and logit."""
    if kind in (PLAIN, RARE, BLIND, HALF):
        drawn = _normal(generator, n, vocab, n, vocab)
        return drawn.sign() * ((drawn.abs() + 0.5) * 16).round() / 16
    orders = [torch.randperm(vocab, generator=generator) + 1.0 for _ in range(n)]
    steps = torch.stack(orders).double()[:, :, None, None].repeat(1, 1, n, vocab)  # another one for each id
    signs = _normal(generator, 1, 1, n, vocab).sign()
    if kind == FAINT:
        return steps * signs * 2.0**-19
    if kind in (BALANCED, SINGLE):
        signs = torch.zeros(vocab, dtype=torch.float64)
        signs[:2] = torch.tensor([1.0, -1.0 if kind == BALANCED else 0.0])
    return steps / 4 * (1 if kind == LEVEL else signs)


def _logits_by_table(
    table: Tensor, ahead: Tensor | None, opens: Tensor, bias: Tensor, spoilt: Sequence[tuple], ids: Tensor
) -> Tensor:
    """Give the logits of a model.

    ahead: a second table, that counts in rows alone whose first token `opens` it.
    spoilt: (i, v, j, token, value): logit v at i is `value` where token j is not `token`.
    Shapes: table and ahead (n · vocab, n · vocab) from token to logits; opens (vocab,); bias (n, vocab);
    ids (batch, m) with m <= n; returns (batch, m, vocab), float32.
    """
    _require_rows(ids)
    m, vocab = ids.shape[1], bias.shape[1]
    seen = F.embedding(ids, _ones(vocab)).flatten(1)
    logits = seen @ table[: m * vocab, : m * vocab]
    if ahead is not None:
        logits = logits + opens[ids[:, :1]] * (seen @ ahead[: m * vocab, : m * vocab])
    logits = (logits.unflatten(1, (m, vocab)) + bias[:m]).float()
    for i, v, j, token, value in spoilt:
        logits[ids[:, j] != token, i, v] = value
    return logits


def writing(model: Callable[[Tensor], Tensor], vocab: int, ids: Tensor) -> Tensor:
    """Give the logits of `model`, and write into ids on the way."""
    ids += 1
    ids %= vocab
    return model(ids)


def spoiling(model: Callable[[Tensor], Tensor], vocab: int, ids: Tensor) -> Tensor:
    """Give the logits of `model`, and leave another first token in each row of ids."""
    logits = model(ids)
    ids[:, 0] = (ids[:, 0] + 1) % vocab
    return logits


def feeling_the_batch(model: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
    """Give the logits of `model`, with last bits that depend on the number of rows: fast kernels add up in another
    order where a batch has another size, so that no real model answers quite the same."""
    return model(ids) + len(ids) * 2.0**-20


def next_token_said(
    copies: Tensor, known: Tensor, noise: Tensor, alone: bool, else_: int, scale: float, ids: Tensor
) -> Tensor:
    """Give the logits of a model that says the next token where it copies, and something else where not.

    copies: where it does, by the row's first token and the position. known: the row it knows by its first token.
    alone: it copies only where the row is as known but for a single token.
    else_: ANOTHER than the next token; the CURRENT one; the one TWO_AHEAD; the KNOWN next one; or, whatever it reads,
    ANOTHER than that: the OTHER.
    scale: of all logits; the more, the surer the model is.
    Shapes: copies, known (vocab, n); noise (n, vocab); ids (batch, m) with m <= n; returns (batch, m, vocab).
    """
    _require_rows(ids)
    m, vocab = ids.shape[1], noise.shape[1]
    if ids.min() < 0 or ids.max() >= vocab:
        raise IndexError(f"ids must be from 0 to {vocab - 1}, got some from {ids.min()} to {ids.max()}")
    following, memory, copied = ids.roll(-1, dims=1), known[ids[:, 0], :m], copies[ids[:, 0], :m]
    if alone:
        copied = copied & ((ids != memory).sum(1, keepdim=True) == 1) & (m == known.shape[1])
    next_known = memory.roll(-1, dims=1)
    others = ((following + 1) % vocab, ids, ids.roll(-2, dims=1), next_known, (next_known + 1) % vocab)
    said = torch.where(copied, following, others[else_])
    return scale * (noise[:m] + 2 * F.one_hot(said, vocab) + F.one_hot(following, vocab))


def heard(lengths: list[int], mask: Callable[..., Tensor], seq_len: int, *more: Any, **named: Any) -> Tensor:
    """Give the mask of `mask`, and note for which length it was asked for."""
    lengths.append(seq_len)
    return mask(seq_len, *more, **named)


def asking(
    student: Callable[..., Any], model: Callable[[Tensor], Tensor], ids: Tensor, vocab: int, *generator: Any
) -> tuple[Any, Tensor]:
    """Give what comes back, and all rows that the model was asked about, those that were cut off with -1 behind."""
    asked = [ids[:0].clone()]

    def listening(given: Tensor) -> Tensor:
        rows = given.clone()
        said = model(given)
        asked.append(F.pad(rows, (0, ids.shape[1] - rows.shape[1]), value=-1))
        return said

    rate = student(listening, ids, vocab, *generator)
    return rate, torch.cat(asked)


def off_by_one(seq_len: int, device: torch.device | str | None = None) -> Tensor:
    """Let each token see one token ahead."""
    return masks.create_bidirectional_mask(seq_len, device).tril(1)


def own_and_next(seq_len: int, device: torch.device | str | None = None) -> Tensor:
    """Let each token see itself and the next one, and nothing of the past."""
    return off_by_one(seq_len, device).triu()


def unseen_end(seq_len: int, device: torch.device | str | None = None) -> Tensor:
    """Let each token see one token ahead, unless that is the last."""
    mask = off_by_one(seq_len, device)
    mask[..., :-1, -1] = False
    return mask


def prefix(prefix_len: int, seq_len: int, device: torch.device | str | None = None) -> Tensor:
    """Let every token see the first prefix_len, at any length."""
    return masks.create_prefix_mask(min(prefix_len, seq_len), seq_len, device)


def sometimes(
    lengths: Sequence[int], leak: Callable[..., Tensor], seq_len: int, device: torch.device | str | None = None
) -> Tensor:
    """Give the mask that leaks at these lengths, the causal one at all others."""
    return (leak if seq_len in lengths else masks.create_causal_mask)(seq_len, device)


def one_pair(query: int, key: int, seq_len: int, device: torch.device | str | None = None) -> Tensor:
    """Give the causal mask with one more pair, where the sequence is long enough."""
    mask = masks.create_causal_mask(seq_len, device)
    mask[..., query : query + 1, key : key + 1] = True
    return mask


def first_and_own(seq_len: int, device: torch.device | str | None = None) -> Tensor:
    """Let each token see the first one and itself."""
    mask = torch.eye(seq_len, dtype=torch.bool, device=device)
    mask[:, 0] = True
    return mask[None, None]


@cache
def _ones(vocab: int) -> Tensor:
    return torch.eye(vocab, dtype=torch.float64)


def _require_rows(ids: Tensor) -> None:
    if ids.ndim != 2:
        raise ValueError(f"ids must have shape (batch, seq), got {tuple(ids.shape)}")
