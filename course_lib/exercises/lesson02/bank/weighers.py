"""Attention weights made right and wrong, from four steps of which each can be another one."""

from functools import partial

import torch

__all__ = [
    "added_later",
    "by_hand",
    "by_logarithm",
    "by_lowest_and_zeros",
    "by_query",
    "by_safe_rows",
    "by_scaling_first",
    "by_upcasting",
    "filled",
    "filled_and_mended",
    "forgotten",
    "softmax",
    "uncleaned",
    "weigher",
    "wiped",
]


def filled(number):
    """Forbidden scores replaced by a number."""
    return lambda scores, mask: scores.masked_fill(~mask, number)


def added_later(number):
    """A number added to forbidden scores, by way of an additive mask in float32."""
    return lambda scores, mask: scores + torch.zeros(mask.shape).masked_fill(~mask, number)


def _lowest(scores, mask):
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)


def forgotten(scores, mask):
    return scores


def _scaled(scores, q, k):
    return scores / q.shape[-1] ** 0.5


softmax = partial(torch.softmax, dim=-1)


def wiped(weights, mask):
    return weights * mask


def uncleaned(weights, mask):
    return weights


def weigher(scale=_scaled, hide=_lowest, normalise=softmax, clean=wiped):
    """Make an attention_weights from four steps; as they stand they make a right one.

    scale: of the scores. hide: what the mask does to them. normalise: what makes weights of scores.
    clean: what the mask does to weights.
    """

    def attention_weights(q, k, mask=None):
        scores = scale(q @ k.transpose(-2, -1), q, k)
        if mask is not None:
            scores = hide(scores, mask)
        weights = normalise(scores)
        return weights if mask is None else clean(weights, mask)

    return attention_weights


def filled_and_mended(q, k, mask=None):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if mask is not None:
        scores.masked_fill_(~mask, -torch.inf)
    return torch.nan_to_num(scores.softmax(dim=-1), nan=0.0)


def by_safe_rows(q, k, mask=None):
    scores = torch.matmul(q, k.mT) / q.size(-1) ** 0.5
    if mask is None:
        return torch.softmax(scores, dim=-1)
    has_keys = mask.any(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(~mask & has_keys, -torch.inf), dim=-1)
    return torch.where(has_keys, weights, 0.0)


def by_lowest_and_zeros(q, k, mask=None):
    scores = q.matmul(k.swapaxes(-1, -2)).div(q.shape[-1] ** 0.5)
    if mask is None:
        return scores.softmax(-1)
    return scores.masked_fill(~mask, -1e9).softmax(-1).masked_fill(~mask, 0.0)


def by_hand(q, k, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", q, k) * q.shape[-1] ** -0.5
    if mask is None:
        mask = torch.ones((), dtype=torch.bool)
    lowered = torch.where(mask, scores, -1e9)
    powers = torch.exp(lowered - lowered.amax(dim=-1, keepdim=True)) * mask
    return powers / powers.sum(dim=-1, keepdim=True).clamp(min=1e-9)


def by_scaling_first(q, k, mask=None):
    scores = (q / q.shape[-1] ** 0.5) @ k.transpose(-2, -1)
    if mask is None:
        return scores.softmax(-1)
    additive = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -1e9)
    return (scores + additive).softmax(-1) * mask


def by_upcasting(q, k, mask=None):
    scores = q.float() @ k.float().transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(torch.float32).min)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
    if mask is not None:
        weights = torch.where(mask, weights, 0.0)
    return weights.to(q.dtype)


def by_logarithm(q, k, mask=None):
    scores = (k @ q.transpose(-2, -1)).transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is None:
        return (scores - scores.logsumexp(-1, keepdim=True)).exp()
    scores = scores.masked_fill(~mask, -1e9)
    return (scores - scores.logsumexp(-1, keepdim=True)).exp() * mask.to(q.dtype)


def by_query(q, k, mask=None):
    rows = []
    for i in range(q.shape[-2]):
        scores = (q[..., i : i + 1, :] * k).sum(-1) / q.shape[-1] ** 0.5
        if mask is None:
            rows.append(scores.softmax(-1))
            continue
        allowed = mask[..., min(i, mask.shape[-2] - 1), :]
        scores = scores.masked_fill(~allowed, -1e9)
        powers = (scores - scores.max(-1, keepdim=True).values).exp() * allowed
        total = powers.sum(-1, keepdim=True)
        rows.append(powers / torch.where(total > 0, total, 1.0))
    return torch.stack(rows, dim=-2)
