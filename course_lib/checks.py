"""What models ask of what they are given: shapes that would broadcast into wrong numbers are refused, in a sentence."""

import torch
from torch import Tensor

__all__ = ["require_boolean", "require_ids", "require_mask", "require_padding_mask"]


def require_boolean(mask: Tensor) -> None:
    """Raise TypeError unless a mask is a boolean tensor.

    >>> require_boolean(torch.ones(2))
    Traceback (most recent call last):
    TypeError: mask must be boolean, True = may attend, got torch.float32
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        given = mask.dtype if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise TypeError(f"mask must be boolean, True = may attend, got {given}")


def require_ids(ids: Tensor) -> None:
    """Raise TypeError or ValueError unless ids are token ids of shape (batch, seq), with at least one token.

    >>> require_ids(torch.tensor([5, 8, 2]))
    Traceback (most recent call last):
    ValueError: ids must have shape (batch, seq), got (3,)
    """
    if not isinstance(ids, Tensor):
        raise TypeError(f"ids must be a tensor of shape (batch, seq), got a {type(ids).__name__}")
    if ids.ndim != 2 or not ids.shape[1]:
        raise ValueError(f"ids must have shape (batch, seq), got {tuple(ids.shape)}")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise TypeError(f"ids must be whole numbers, got {ids.dtype}")


def require_mask(mask: Tensor, batch: int, heads: int, q_len: int, k_len: int) -> None:
    """Raise TypeError or ValueError unless a mask is boolean and fits (batch, heads, q_len, k_len).

    Each of the first three may be 1. A mask of another number of axes is refused, since torch would broadcast it
    along the wrong ones.

    >>> require_mask(torch.ones(2, 5, dtype=torch.bool), batch=2, heads=4, q_len=5, k_len=5)
    Traceback (most recent call last):
    ValueError: mask must fit (batch, heads, q_len, k_len) = (2, 4, 5, 5), got (2, 5)
    """
    require_boolean(mask)
    wanted = (batch, heads, q_len, k_len)
    fits = mask.ndim == 4 and mask.shape[3] == k_len
    if not fits or any(given not in (1, size) for given, size in zip(mask.shape, wanted, strict=True)):
        raise ValueError(f"mask must fit (batch, heads, q_len, k_len) = {wanted}, got {tuple(mask.shape)}")


def require_padding_mask(mask: Tensor, batch: int, k_len: int) -> None:
    """Raise TypeError or ValueError unless a mask is boolean and of shape (batch, 1, 1, k_len), or the same for all.

    >>> require_padding_mask(torch.ones(2, 1, 5, 5, dtype=torch.bool), batch=2, k_len=5)
    Traceback (most recent call last):
    ValueError: mask must be a padding mask, (batch, 1, 1, k_len) = (2, 1, 1, 5), got (2, 1, 5, 5)
    """
    require_boolean(mask)
    if mask.shape not in ((batch, 1, 1, k_len), (1, 1, 1, k_len)):
        wanted = (batch, 1, 1, k_len)
        raise ValueError(f"mask must be a padding mask, (batch, 1, 1, k_len) = {wanted}, got {tuple(mask.shape)}")
