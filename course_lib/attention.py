"""Scaled dot-product attention in the open: weights and output are two functions, so that weights can be looked at."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["attention", "attention_weights"]


def attention_weights(
    q: Float[Tensor, "... q_len head_dim"],
    k: Float[Tensor, "... k_len head_dim"],
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "... q_len k_len"]:
    """Give the weight of each key for each query: softmax(q kᵀ / √head_dim) (Vaswani et al. 2017, section 3.2.1).

    mask: boolean, True = may attend, broadcastable to (..., q_len, k_len). A query that may attend to nothing gets
    zero weights everywhere, by construction.
    Shapes: q (..., q_len, head_dim), k (..., k_len, head_dim); returns (..., q_len, k_len). The softmax is taken in
    at least float32 and returned in q's dtype.
    Raises TypeError if the mask is not boolean.
    """
    scores = (q @ k.transpose(-2, -1)) / q.shape[-1] ** 0.5
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    if mask is None:
        return scores.softmax(-1).to(q.dtype)
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, True = may attend, got {mask.dtype}")
    # The lowest finite number keeps every row finite; the product then makes forbidden weights exactly zero.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask).to(q.dtype)


def attention(
    q: Float[Tensor, "... q_len head_dim"],
    k: Float[Tensor, "... k_len head_dim"],
    v: Float[Tensor, "... k_len v_dim"],
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "... q_len v_dim"]:
    """Average the values by their attention weights; a query that may attend to nothing gives zeros.

    Shapes: q (..., q_len, head_dim), k (..., k_len, head_dim), v (..., k_len, v_dim); returns (..., q_len, v_dim).
    mask and errors as in `attention_weights`.
    """
    return attention_weights(q, k, mask) @ v
