"""Sequences of different lengths in one batch: padded on the left to write on, on the right to learn from."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from course_lib.masks import create_padding_mask

__all__ = ["left_pad", "right_pad"]


def left_pad(
    sequences: Sequence[Sequence[int] | Tensor], pad_id: int, device: torch.device | str | None = None
) -> tuple[Int[Tensor, "batch longest"], Bool[Tensor, "batch 1 1 longest"]]:
    """Put prompts of different lengths into one batch, so that all end where writing begins.

    Shapes: returns ids (batch, longest) and their padding mask (batch, 1, 1, longest), True = real.
    Raises ValueError without sequences, or if one is empty.

    >>> ids, mask = left_pad([[5], [6, 7]], pad_id=0)
    >>> ids
    tensor([[0, 5],
            [6, 7]])
    """
    ids, mask = right_pad([row[::-1] for row in _lists(sequences)], pad_id, device)
    return ids.flip(-1), mask.flip(-1)


def right_pad(
    sequences: Sequence[Sequence[int] | Tensor], pad_id: int, device: torch.device | str | None = None
) -> tuple[Int[Tensor, "batch longest"], Bool[Tensor, "batch 1 1 longest"]]:
    """Put sequences of different lengths into one batch, padded behind, as they are learned from.

    With pad_id = objectives.IGNORE it makes labels.
    Shapes: returns ids (batch, longest) and their padding mask (batch, 1, 1, longest), True = real.
    Raises ValueError without sequences, or if one is empty.

    >>> ids, mask = right_pad([[5], [6, 7]], pad_id=0)
    >>> ids
    tensor([[5, 0],
            [6, 7]])
    """
    rows = _lists(sequences)
    lengths = [len(row) for row in rows]
    if not lengths or min(lengths) < 1:
        raise ValueError(f"padding needs sequences of at least 1 token each, got lengths {lengths}")
    longest = max(lengths)
    ids = torch.tensor([row + [pad_id] * (longest - len(row)) for row in rows], device=device)
    return ids, create_padding_mask(torch.tensor(lengths, device=device), longest)


def _lists(sequences: Sequence[Any]) -> list[list[int]]:
    """Take sequences as lists, whether they are given as lists or as tensors."""
    if any(isinstance(sequence, int) for sequence in sequences):
        raise ValueError("padding needs a list of sequences, got one sequence: put it into brackets")
    return [sequence.tolist() if isinstance(sequence, Tensor) else list(sequence) for sequence in sequences]
