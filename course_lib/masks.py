"""Attention masks: who may look at whom.

One convention in the whole course: a mask is boolean, True means *may attend*, and it broadcasts to
(batch, heads, q_len, k_len). Masks are combined with `&`.
"""

from functools import reduce
from operator import and_

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = [
    "combine_masks",
    "create_bidirectional_mask",
    "create_causal_mask",
    "create_padding_mask",
    "create_prefix_mask",
    "create_sliding_window_mask",
]


def create_bidirectional_mask(seq_len: int, device: torch.device | str | None = None) -> Bool[Tensor, "1 1 q k"]:
    """Let every token attend to every token, as in BERT (Devlin et al. 2018, section 3).

    Shapes: returns (1, 1, seq_len, seq_len), boolean, all True.
    Raises ValueError if seq_len is below 1.

    >>> create_bidirectional_mask(3).shape
    torch.Size([1, 1, 3, 3])
    """
    _require_positive("seq_len", seq_len)
    return torch.ones(1, 1, seq_len, seq_len, dtype=torch.bool, device=device)


def create_causal_mask(seq_len: int, device: torch.device | str | None = None) -> Bool[Tensor, "1 1 q k"]:
    """Let token i attend to token j if and only if j <= i (Vaswani et al. 2017, section 3.2.3).

    Shapes: returns (1, 1, seq_len, seq_len), boolean, True on and below the diagonal.
    Raises ValueError if seq_len is below 1.

    >>> create_causal_mask(3).int()
    tensor([[[[1, 0, 0],
              [1, 1, 0],
              [1, 1, 1]]]], dtype=torch.int32)
    """
    return create_bidirectional_mask(seq_len, device).tril()


def create_prefix_mask(
    prefix_len: int, seq_len: int, device: torch.device | str | None = None
) -> Bool[Tensor, "1 1 q k"]:
    """Let every token attend to the whole prefix, and causally after it (Raffel et al. 2020, section 3.2.1).

    prefix_len 0 is the causal mask, prefix_len = seq_len the bidirectional one.
    Shapes: returns (1, 1, seq_len, seq_len), boolean.
    Raises ValueError if seq_len is below 1 or prefix_len is not in 0..seq_len.

    >>> create_prefix_mask(2, 3).int()
    tensor([[[[1, 1, 0],
              [1, 1, 0],
              [1, 1, 1]]]], dtype=torch.int32)
    """
    if not 0 <= prefix_len <= seq_len:
        raise ValueError(f"prefix_len must be between 0 and seq_len, got {prefix_len} and {seq_len}")
    in_prefix = torch.arange(seq_len, device=device) < prefix_len
    return create_causal_mask(seq_len, device) | in_prefix


def create_sliding_window_mask(
    seq_len: int, window: int, device: torch.device | str | None = None
) -> Bool[Tensor, "1 1 q k"]:
    """Let token i attend to the `window` tokens i - window + 1 .. i (Beltagy et al. 2020, section 3.1, causal form).

    Shapes: returns (1, 1, seq_len, seq_len), boolean.
    Raises ValueError if seq_len or window is below 1.

    >>> create_sliding_window_mask(3, window=2).int()
    tensor([[[[1, 0, 0],
              [1, 1, 0],
              [0, 1, 1]]]], dtype=torch.int32)
    """
    _require_positive("window", window)
    causal = create_causal_mask(seq_len, device)
    return causal & ~causal.tril(-window)


def create_padding_mask(lengths: Int[Tensor, " batch"], max_len: int) -> Bool[Tensor, "batch 1 1 k"]:
    """Let every token attend to the real tokens of its own sequence, never to the padding behind them.

    (The masking of Devlin et al. 2018; the convention is ours.)
    lengths: number of real tokens of each sequence, each in 0..max_len.
    Shapes: lengths (batch,); returns (batch, 1, 1, max_len), boolean, on the device of lengths.
    Raises ValueError if lengths is not one-dimensional.

    >>> create_padding_mask(torch.tensor([1, 3]), max_len=3)[:, 0, 0].int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    if lengths.ndim != 1:
        raise ValueError(f"lengths must have shape (batch,), got {tuple(lengths.shape)}")
    is_real = torch.arange(max_len, device=lengths.device) < lengths[:, None]
    return is_real[:, None, None, :]


def combine_masks(*masks: Bool[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Allow a pair if and only if every mask allows it.

    Shapes: each mask broadcasts to (batch, heads, q_len, k_len); returns their broadcast shape, boolean.
    Raises ValueError without a mask, TypeError if one is not boolean.

    >>> combine_masks(create_causal_mask(3), create_padding_mask(torch.tensor([2]), 3)).int()
    tensor([[[[1, 0, 0],
              [1, 1, 0],
              [1, 1, 0]]]], dtype=torch.int32)
    """
    if not masks:
        raise ValueError("combine_masks needs at least one mask, got none")
    for mask in masks:
        if mask.dtype != torch.bool:
            raise TypeError(f"masks must be boolean, got {mask.dtype}")
    return reduce(and_, masks)


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
