"""Causal self-attention made right and wrong, from steps of which each can be another one."""

import torch

from course_lib import attention, masks

__all__ = [
    "attender",
    "by_additive_mask",
    "by_einsum",
    "by_flattening",
    "by_heads",
    "by_tokens",
    "by_unbinding",
    "in_order",
    "root_of_head_dim",
]


def in_order(parts):
    """Queries, keys and values as they stand in three parts of equal width, taken in another order."""

    def split(x, W_qkv, num_heads):
        found = (x @ W_qkv).chunk(3, dim=-1)
        return [attention.split_heads(found[parts.index(name)], num_heads) for name in "qkv"]

    return split


def root_of_head_dim(x, head_dim):
    return head_dim**0.5


def _causal(scores):
    return masks.create_causal_mask(scores.shape[-1])


def _weigh(scores, mask):
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(-1) * mask


def attender(
    split=in_order("qkv"),  # noqa: B008 (a function)
    scale=root_of_head_dim,
    allowed=_causal,
    weigh=_weigh,
    merge=attention.merge_heads,
    project=torch.matmul,
):
    """Make a causal_self_attention from its steps; as they stand they make a right one.

    split: queries, keys and values by head. scale: what scores are divided by. allowed: the mask.
    weigh: weights of scores and mask. merge: of heads. project: with W_o.
    """

    def causal_self_attention(x, W_qkv, W_o, num_heads):
        q, k, v = split(x, W_qkv, num_heads)
        scores = q @ k.transpose(-2, -1) / scale(x, q.shape[-1])
        weights = weigh(scores, allowed(scores))
        return project(merge(weights @ v), W_o)

    return causal_self_attention


def by_heads(x, W_qkv, W_o, num_heads):
    seq, d_model = x.shape[1:]
    head_dim = d_model // num_heads
    mask = masks.create_causal_mask(seq)[0, 0]
    outputs = []
    for h in range(num_heads):
        start, stop = h * head_dim, (h + 1) * head_dim
        q = x @ W_qkv[:, start:stop]
        k = x @ W_qkv[:, d_model + start : d_model + stop]
        v = x @ W_qkv[:, 2 * d_model + start : 2 * d_model + stop]
        scores = (q @ k.mT / head_dim**0.5).masked_fill(~mask, -torch.inf)
        outputs.append(scores.softmax(dim=-1) @ v)
    return torch.cat(outputs, dim=-1) @ W_o


def by_einsum(x, W_qkv, W_o, num_heads):
    seq, d_model = x.shape[1:]
    W = W_qkv.reshape(d_model, 3, num_heads, d_model // num_heads)
    q, k, v = torch.einsum("bnd,dphe->pbhne", x, W)
    scores = torch.einsum("bhqe,bhke->bhqk", q, k) * (d_model // num_heads) ** -0.5
    future = torch.ones(seq, seq, dtype=torch.bool).triu(1)
    weights = torch.softmax(scores.masked_fill(future, -1e9), dim=-1)
    heads = torch.einsum("bhqk,bhke->bqhe", weights, v)
    return torch.einsum("bqhe,heo->bqo", heads, W_o.reshape(num_heads, -1, d_model))


def by_additive_mask(x, W_qkv, W_o, num_heads):
    batch, seq, d_model = x.shape
    q, k, v = torch.split(x.matmul(W_qkv), d_model, dim=2)
    q, k, v = (part.reshape(batch, seq, num_heads, -1).transpose(1, 2) for part in (q, k, v))
    additive = torch.full((seq, seq), float("-inf"), dtype=x.dtype).triu(diagonal=1)
    weights = torch.softmax((q / q.shape[-1] ** 0.5) @ k.transpose(2, 3) + additive, dim=-1)
    return (weights @ v).transpose(1, 2).contiguous().view(batch, seq, d_model).matmul(W_o)


def by_unbinding(x, W_qkv, W_o, num_heads):
    batch, seq, d_model = x.shape
    q, k, v = (x @ W_qkv).view(batch, seq, 3, num_heads, d_model // num_heads).permute(2, 0, 3, 1, 4).unbind(0)
    scores = q @ k.mT / (d_model / num_heads) ** 0.5
    powers = torch.exp(scores - scores.amax(dim=-1, keepdim=True)).tril()
    weights = powers / powers.sum(dim=-1, keepdim=True)
    return (weights @ v).permute(0, 2, 1, 3).flatten(2) @ W_o


def by_flattening(x, W_qkv, W_o, num_heads):
    batch, seq = x.shape[:2]
    split = (x @ W_qkv).reshape(batch, seq, 3 * num_heads, -1).transpose(1, 2)
    q, k, v = (part.reshape(batch * num_heads, seq, -1) for part in split.chunk(3, dim=1))
    scores = torch.bmm(q, k.transpose(1, 2)) / q.shape[-1] ** 0.5
    scores = torch.where(torch.arange(seq) <= torch.arange(seq)[:, None], scores, -1e30)
    heads = torch.bmm(scores.softmax(-1), v).view(batch, num_heads, seq, -1)
    return torch.cat(list(heads.unbind(1)), dim=-1) @ W_o


def by_tokens(x, W_qkv, W_o, num_heads):
    q, k, v = (part.unflatten(-1, (num_heads, -1)) for part in (x @ W_qkv).chunk(3, dim=-1))
    outputs = []
    for i in range(x.shape[1]):
        scores = (q[:, i : i + 1] * k[:, : i + 1]).sum(-1) / q.shape[-1] ** 0.5
        outputs.append((scores.softmax(dim=1)[..., None] * v[:, : i + 1]).sum(1).flatten(1))
    return torch.stack(outputs, dim=1) @ W_o
