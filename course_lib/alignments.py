"""Which word comes from which: read it out of cross-attention, and compare it with the truth."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.masks import create_padding_mask

__all__ = ["alignment", "alignment_error", "cross_attention_mask"]


def cross_attention_mask(source_lengths: Int[Tensor, " batch"], max_len: int) -> Bool[Tensor, "batch 1 1 source"]:
    """Let every token of the target read each real token of its own source (Vaswani et al. 2017, section 3.2.3).

    It is the padding mask of the source: who asks has no say in it, so there is nothing causal about it.
    source_lengths: number of real tokens of each source, each in 0..max_len.
    Shapes: source_lengths (batch,); returns (batch, 1, 1, max_len), boolean, on the device of source_lengths.
    Raises ValueError if source_lengths is not one-dimensional.

    >>> cross_attention_mask(torch.tensor([1, 3]), max_len=3)[:, 0, 0].int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return create_padding_mask(source_lengths, max_len)


def alignment(
    weights: Float[Tensor, "heads target_len source_len"], source: Sequence[str], target: Sequence[str]
) -> list[tuple[str, str]]:
    """Pair each target word with the source word that gets the largest weight, averaged over the heads.

    Bahdanau et al. 2015 (section 5.2.1) read such pairs off a picture. Of equal weights the first counts.
    Shapes: weights (heads, target_len, source_len); what stands behind the words, rows or columns, is padding and
    does not count. Returns (target word, source word) for each word of the target, in its order.
    Raises ValueError if there are more words than rows or columns, or a target and no source.

    >>> weights = torch.tensor([[[0.1, 0.9], [0.8, 0.2]], [[0.4, 0.6], [0.5, 0.5]]])
    >>> alignment(weights, ["ninety", "seven"], ["sieben", "neunzig"])
    [('sieben', 'seven'), ('neunzig', 'ninety')]
    """
    rows, columns = weights.shape[1:]
    if len(target) > rows or len(source) > columns or (target and not source):
        given = f"{len(target)} and {len(source)} words for {rows} rows and {columns} columns"
        raise ValueError(f"each target word needs a row, each source word a column, and there must be one, got {given}")
    if not target:
        return []
    best = weights.mean(0)[: len(target), : len(source)].argmax(-1)
    return [(word, source[place]) for word, place in zip(target, best.tolist(), strict=True)]


def alignment_error(
    weights: Float[Tensor, "target_len source_len"], gold: Bool[Tensor, "target_len source_len"]
) -> float:
    """Give the share of target tokens whose most attended source token is none of their true partners.

    Tokens without a partner, such as "und" in "siebenundneunzig", do not count; of equal weights the first counts.
    It is simpler than the alignment error rate of Och and Ney 2003 (section 5), which compares sets of links, some
    sure and some possible.
    gold: True where two tokens belong together.
    Shapes: weights and gold (target_len, source_len), the heads averaged before; returns a number from 0 to 1.
    Raises ValueError if the shapes differ or no token has a partner, TypeError if gold is not boolean.

    >>> weights = torch.tensor([[0.1, 0.9], [0.6, 0.4], [0.3, 0.7]])
    >>> alignment_error(weights, torch.tensor([[False, True], [False, False], [True, False]]))
    0.5
    """
    if gold.dtype != torch.bool:
        raise TypeError(f"gold must be boolean, True = the two belong together, got {gold.dtype}")
    if weights.shape != gold.shape:
        raise ValueError(f"weights and gold must have one shape, got {tuple(weights.shape)} and {tuple(gold.shape)}")
    counts = gold.any(-1)
    if not counts.any():
        raise ValueError(f"at least one target token must have a partner, got none among {len(gold)}")
    is_wrong = ~gold.gather(-1, weights.argmax(-1, keepdim=True))[:, 0]
    return is_wrong[counts].double().mean().item()
