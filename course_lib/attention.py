"""Scaled dot-product attention: in the open for reading, fused for speed, and with several heads.

Weights and output are two functions, so that weights can be looked at. Sizes are called batch, heads, q_len, k_len,
head_dim and d_model throughout; masks are boolean, True = may attend.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.cache import KVCache
from course_lib.checks import require_boolean
from course_lib.config import head_size, kv_heads
from course_lib.masks import create_causal_mask
from course_lib.positions import rotate

__all__ = [
    "CrossAttention",
    "KeysValues",
    "MultiHeadAttention",
    "attention",
    "attention_weights",
    "causal_self_attention",
    "merge_heads",
    "split_heads",
]


def attention_weights(
    q: Float[Tensor, "... q_len head_dim"],
    k: Float[Tensor, "... k_len head_dim"],
    mask: Bool[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "... q_len k_len"]:
    """Give the weight of each key for each query: softmax(q kᵀ / √head_dim) (Vaswani et al. 2017, section 3.2.1).

    mask: boolean, True = may attend, broadcastable to (..., q_len, k_len). A query that may attend to nothing gets
    zero weights everywhere, by construction.
    bias: added to the scores before the softmax, such as relative positions; broadcastable like the mask.
    Shapes: q (..., q_len, head_dim), k (..., k_len, head_dim); returns (..., q_len, k_len). The softmax is taken in
    at least float32 and returned in q's dtype.
    Raises TypeError if the mask is not boolean.

    >>> q, k = torch.zeros(1, 4), torch.zeros(3, 4)
    >>> attention_weights(q, k, torch.tensor([True, True, False]))
    tensor([[0.5000, 0.5000, 0.0000]])
    """
    scores = (q @ k.transpose(-2, -1)) / q.shape[-1] ** 0.5
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    if bias is not None:
        scores = scores + bias
    if mask is None:
        return scores.softmax(-1).to(q.dtype)
    require_boolean(mask)
    # The lowest finite number keeps every row finite; the product then makes forbidden weights exactly zero.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) * mask).to(q.dtype)


def attention(
    q: Float[Tensor, "... q_len head_dim"],
    k: Float[Tensor, "... k_len head_dim"],
    v: Float[Tensor, "... k_len v_dim"],
    mask: Bool[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
    fused: bool = False,
) -> Float[Tensor, "... q_len v_dim"]:
    """Average the values by their attention weights; a query that may attend to nothing gives zeros.

    fused: let torch compute the same in one kernel, which never holds the weights (Dao et al. 2022). In float32 the
    two agree to a millionth of the largest number; in half precision it rounds the bias too.
    Shapes: q (..., q_len, head_dim), k (..., k_len, head_dim), v (..., k_len, v_dim); returns (..., q_len, v_dim).
    In (batch, heads, seq, head_dim), k and v may have fewer heads than q: each of theirs then serves as many of q's
    heads in a row (grouped queries, Ainslie et al. 2023, section 2.2). mask and bias as in `attention_weights`.
    Raises TypeError if the mask is not boolean, ValueError if the heads of q cannot be shared among those of k.

    >>> q = k = torch.zeros(1, 2, 4)
    >>> attention(q, k, torch.tensor([[[1.0], [3.0]]]), create_causal_mask(2)[0])
    tensor([[[1.],
             [2.]]])
    """
    grouped = q.ndim > 3 and k.shape[-3] != q.shape[-3]
    if grouped and q.shape[-3] % k.shape[-3]:
        raise ValueError(f"the heads of q must be divisible by those of k, got {q.shape[-3]} and {k.shape[-3]}")
    if fused:
        if mask is not None:
            require_boolean(mask)
            mask = torch.atleast_2d(mask)
        if bias is not None:
            mask = bias.to(q.dtype) if mask is None else bias.to(q.dtype).masked_fill(~mask, -torch.inf)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    if grouped:
        k, v = (x.repeat_interleave(q.shape[-3] // x.shape[-3], dim=-3) for x in (k, v))
    return attention_weights(q, k, mask, bias) @ v


def split_heads(
    x: Float[Tensor, "batch seq heads_times_head_dim"], num_heads: int
) -> Float[Tensor, "batch {num_heads} seq head_dim"]:
    """Cut each token's features into heads: head h gets the h-th run of head_dim features in a row.

    (Vaswani et al. 2017, section 3.2.2.)
    Shapes: x (batch, seq, num_heads · head_dim); returns (batch, num_heads, seq, head_dim), a view.
    Raises ValueError if the features cannot be divided by num_heads.

    >>> split_heads(torch.arange(6.0).view(1, 1, 6), num_heads=2)[0, 1]
    tensor([[3., 4., 5.]])
    """
    if num_heads < 1 or x.shape[-1] % num_heads:
        raise ValueError(f"the features must be divisible by num_heads, got {x.shape[-1]} and {num_heads}")
    return x.reshape(x.shape[0], x.shape[1], num_heads, -1).transpose(1, 2)


def merge_heads(x: Float[Tensor, "batch heads seq head_dim"]) -> Float[Tensor, "batch seq heads_times_head_dim"]:
    """Put the heads of each token side by side again: the inverse of `split_heads`.

    (The "Concat" of Vaswani et al. 2017, section 3.2.2.)
    Shapes: x (batch, heads, seq, head_dim); returns (batch, seq, heads · head_dim).

    >>> x = torch.arange(12.0).view(1, 2, 6)
    >>> torch.equal(merge_heads(split_heads(x, 3)), x)
    True
    """
    return x.transpose(1, 2).flatten(2)


def causal_self_attention(
    x: Float[Tensor, "batch seq d_model"],
    W_qkv: Float[Tensor, "d_model three_d_model"],
    W_o: Float[Tensor, "d_model d_model"],
    num_heads: int,
) -> Float[Tensor, "batch seq d_model"]:
    """Let each token read itself and those before it: one projection, heads, attention, one projection back.

    The same as Radford et al. 2019 (GPT-2), without biases. The columns of W_qkv hold queries, keys and values, in
    this order.
    Shapes: x (batch, seq, d_model), W_qkv (d_model, 3 · d_model), W_o (d_model, d_model); returns
    (batch, seq, d_model).
    Raises ValueError if d_model cannot be divided by num_heads.

    >>> x = torch.tensor([[[2.0], [4.0]]])
    >>> causal_self_attention(x, torch.tensor([[0.0, 0.0, 1.0]]), torch.ones(1, 1), num_heads=1)  # equal weights
    tensor([[[2.],
             [3.]]])
    """
    q, k, v = (split_heads(part, num_heads) for part in (x @ W_qkv).chunk(3, dim=-1))
    mask = create_causal_mask(x.shape[1], x.device)
    return merge_heads(attention(q, k, v, mask)) @ W_o


class MultiHeadAttention(nn.Module):
    """Self-attention with several heads (Vaswani et al. 2017, section 3.2.2), causal or not as the mask says.

    num_kv_heads: fewer key and value heads than query heads: grouped-query attention (Ainslie et al. 2023).
    head_dim: the width of a head, if not d_model / num_heads.
    A layer's `attention` is the function it attends with: set it to put your own in the place of ours.
    Raises ValueError if d_model cannot be divided by num_heads, or num_heads by num_kv_heads.

    >>> layer = MultiHeadAttention(d_model=12, num_heads=3, num_kv_heads=1)
    >>> layer(torch.zeros(2, 5, 12), create_causal_mask(5)).shape
    torch.Size([2, 5, 12])
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
    ):
        super().__init__()
        self.attention = attention
        self.head_dim = head_size(d_model, num_heads, head_dim)
        self.num_heads = num_heads
        self.num_kv_heads = kv_heads(num_heads, num_kv_heads)
        self.W_qkv = nn.Linear(d_model, (num_heads + 2 * self.num_kv_heads) * self.head_dim, bias=bias)
        self.W_o = nn.Linear(num_heads * self.head_dim, d_model, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "batch q_len d_model"],
        mask: Bool[Tensor, "..."] | None = None,
        rotation: tuple[Float[Tensor, "..."], Float[Tensor, "..."]] | None = None,
        bias: Float[Tensor, "..."] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "batch q_len d_model"]:
        """Let the tokens of x read one another, and those in the cache.

        rotation: cosines and sines of rotary positions (see `positions.RotaryPositions`).
        Shapes: x (batch, q_len, d_model); mask and bias broadcast to (batch, num_heads, q_len, k_len), where k_len
        counts the tokens in the cache and then those of x; returns (batch, q_len, d_model).
        """
        heads = split_heads(self.W_qkv(x), self.num_heads + 2 * self.num_kv_heads)
        q, k, v = heads.split_with_sizes((self.num_heads, self.num_kv_heads, self.num_kv_heads), dim=1)
        if rotation is not None:
            q, k = rotate(q, *rotation), rotate(k, *rotation)
        if cache is not None:
            k, v = cache.append(k, v)
        return self.W_o(merge_heads(self.attention(q, k, v, mask, bias, fused=True)))


class KeysValues(NamedTuple):
    """The keys and the values of a source, each (batch, num_heads, k_len, head_dim)."""

    keys: Tensor
    values: Tensor


class CrossAttention(nn.Module):
    """Let the decoder read the encoder (Vaswani et al. 2017, section 3.2.3): queries here, keys and values there.

    head_dim, num_kv_heads, `attention` and errors as in `MultiHeadAttention`.

    >>> layer = CrossAttention(d_model=64, num_heads=8)
    >>> layer(torch.zeros(2, 8, 64), torch.zeros(2, 12, 64)).shape
    torch.Size([2, 8, 64])
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        head_dim: int | None = None,
        bias: bool = False,
        num_kv_heads: int | None = None,
    ):
        super().__init__()
        self.attention = attention
        head_dim = head_size(d_model, num_heads, head_dim)
        self.num_heads, self.num_kv_heads = num_heads, kv_heads(num_heads, num_kv_heads)
        self.W_q = nn.Linear(d_model, num_heads * head_dim, bias=bias)
        self.W_k = nn.Linear(d_model, self.num_kv_heads * head_dim, bias=bias)
        self.W_v = nn.Linear(d_model, self.num_kv_heads * head_dim, bias=bias)
        self.W_o = nn.Linear(num_heads * head_dim, d_model, bias=bias)

    def forward(
        self,
        decoder_hidden: Float[Tensor, "batch q_len d_model"],
        encoder_output: Float[Tensor, "batch k_len d_model"] | KeysValues,
        encoder_mask: Bool[Tensor, "batch 1 1 k_len"] | None = None,
    ) -> Float[Tensor, "batch q_len d_model"]:
        """Let each token of the decoder read the encoder's output, or what `keys_values` made of it once for all.

        encoder_mask: which tokens of the source are real. A source without any gives W_o of zeros.
        Shapes: decoder_hidden (batch, q_len, d_model), encoder_output (batch, k_len, d_model), encoder_mask
        (batch, 1, 1, k_len); returns (batch, q_len, d_model).
        """
        source = encoder_output if isinstance(encoder_output, KeysValues) else self.keys_values(encoder_output)
        q = split_heads(self.W_q(decoder_hidden), self.num_heads)
        return self.W_o(merge_heads(self.attention(q, source.keys, source.values, encoder_mask, fused=True)))

    def keys_values(self, encoder_output: Float[Tensor, "batch k_len d_model"]) -> KeysValues:
        """Give the keys and values of a source, which stay the same for every token the decoder writes.

        Shapes: encoder_output (batch, k_len, d_model); returns two of (batch, num_kv_heads, k_len, head_dim).
        """
        k, v = self.W_k(encoder_output), self.W_v(encoder_output)
        return KeysValues(split_heads(k, self.num_kv_heads), split_heads(v, self.num_kv_heads))
