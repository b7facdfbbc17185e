"""Lesson 05: models that may cheat, made of tables, and masks that may look ahead; no answers are in here."""

from collections.abc import Callable, Sequence
from functools import cache

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
    "KNOWN",
    "LEVEL",
    "PLAIN",
    "RARE",
    "SINGLE",
    "TWO_AHEAD",
    "added",
    "first_and_own",
    "logits_by_table",
    "next_token_said",
    "off_by_one",
    "one_pair",
    "prefix",
    "sometimes",
    "writing",
]

# The models of find_leak are all one function and differ in their numbers alone: each token adds numbers of its own to
# the logits of each position, as a table says. What it adds has few bits, so that no sum is ever rounded.
PLAIN, FAINT, LEVEL, BALANCED, SINGLE, RARE, BLIND = range(7)
# What a model of copy_rate says where it does not copy.
ANOTHER, CURRENT, TWO_AHEAD, KNOWN = range(4)


def added(generator: torch.Generator, n: int, vocab: int, kind: int) -> Tensor:
    """Draw what a token adds to logits ahead of it, (n, vocab, n, vocab) from place and id to position and logit."""
    if kind in (PLAIN, RARE, BLIND):
        drawn = torch.randn(n, vocab, n, vocab, generator=generator, dtype=torch.float64)
        return drawn.sign() * ((drawn.abs() + 0.5) * 16).round() / 16
    orders = [torch.randperm(vocab, generator=generator) + 1.0 for _ in range(n)]
    steps = torch.stack(orders).double()[:, :, None, None].repeat(1, 1, n, vocab)  # another one for each id
    signs = torch.randn(1, 1, n, vocab, generator=generator, dtype=torch.float64).sign()
    if kind == FAINT:
        return steps * signs * 2.0**-19
    if kind in (BALANCED, SINGLE):
        signs = torch.zeros(vocab, dtype=torch.float64)
        signs[:2] = torch.tensor([1.0, -1.0 if kind == BALANCED else 0.0])
    return steps / 4 * (1 if kind == LEVEL else signs)


def logits_by_table(
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


def next_token_said(copies: Tensor, known: Tensor, noise: Tensor, alone: bool, else_: int, ids: Tensor) -> Tensor:
    """Give the logits of a model that says the next token where it copies, and something else where not.

    copies: where it does, by the row's first token and the position. known: the row it knows by its first token.
    alone: it copies only where a single token of the row is not as known.
    else_: ANOTHER than the next token; the CURRENT one; the one TWO_AHEAD; or the KNOWN next one.
    Shapes: copies, known (vocab, n); noise (n, vocab); ids (batch, m) with m <= n; returns (batch, m, vocab).
    """
    _require_rows(ids)
    m, vocab = ids.shape[1], noise.shape[1]
    if ids.min() < 0 or ids.max() >= vocab:
        raise IndexError(f"ids must be from 0 to {vocab - 1}, got some from {ids.min()} to {ids.max()}")
    following, memory, copied = ids.roll(-1, dims=1), known[ids[:, 0], :m], copies[ids[:, 0], :m]
    if alone:
        copied = copied & ((ids != memory).sum(1, keepdim=True) == 1)
    others = ((following + 1) % vocab, ids, ids.roll(-2, dims=1), memory.roll(-1, dims=1))
    said = torch.where(copied, following, others[else_])
    return noise[:m] + 2 * F.one_hot(said, vocab) + F.one_hot(following, vocab)


def off_by_one(seq_len: int, device: torch.device | str | None = None) -> Tensor:
    """Let each token see one token ahead."""
    return masks.create_bidirectional_mask(seq_len, device).tril(1)


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
