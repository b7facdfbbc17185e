"""Attention with a cache, made right and wrong, from steps of which each can be another one."""

import torch

__all__ = [
    "attending",
    "by_additive_mask",
    "by_cutting",
    "by_einsum",
    "by_one_at_a_time",
    "by_positions",
    "by_rows",
    "filled",
    "kept",
    "shifted",
]


def kept(k, v, cache):
    return cache.append(k, v)


def rooted(q, k):
    return q.shape[-1] ** 0.5


def shifted(by=0):
    """Let new token t see all cached tokens and the new ones up to t + by."""
    return lambda q_len, k_len: torch.ones(q_len, k_len, dtype=torch.bool).tril(k_len - q_len + by)


def filled(number, dim=-1):
    """Forbidden scores replaced by a number, and then the softmax."""
    return lambda scores, mask: scores.masked_fill(~mask, number).softmax(dim)


def attending(keep=kept, scale=rooted, allowed=shifted(), weigh=filled(-torch.inf), give=torch.matmul):  # noqa: B008
    """Make an attend_with_cache from its steps; as they stand they make a right one.

    keep: keys and values to attend to, of k, v and the cache. scale: what scores are divided by, of q and k.
    allowed: the mask, of q_len and k_len. weigh: weights of scores and mask. give: the output of weights and values.
    """

    def attend_with_cache(q, k, v, cache):
        k, v = keep(k, v, cache)
        scores = q @ k.transpose(-2, -1) / scale(q, k)
        return give(weigh(scores, allowed(q.shape[-2], k.shape[-2])), v)

    return attend_with_cache


def by_cutting(q, k, v, cache):
    k, v = cache.append(k, v)
    square = torch.ones(cache.length, cache.length, dtype=torch.bool).tril()
    scores = torch.matmul(q, k.mT) * q.size(-1) ** -0.5
    return torch.softmax(scores.masked_fill(~square[-q.shape[2] :], -1e9), dim=-1) @ v


def by_positions(q, k, v, cache):
    before = cache.length
    keys, values = cache.append(k, v)
    queries = torch.arange(before, before + q.shape[2])[:, None]
    allowed = torch.arange(keys.shape[2]) <= queries
    scores = (q / q.shape[-1] ** 0.5) @ keys.transpose(2, 3)
    return torch.where(allowed, scores, torch.finfo(scores.dtype).min).softmax(-1) @ values


def by_one_at_a_time(q, k, v, cache):
    outputs = []
    for query, key, value in zip(q.split(1, dim=2), k.split(1, dim=2), v.split(1, dim=2), strict=True):
        keys, values = cache.append(key, value)
        weights = torch.softmax(query @ keys.transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1)
        outputs.append(weights @ values)
    return torch.cat(outputs, dim=2)


def by_rows(q, k, v, cache):
    past = cache.length
    k, v = cache.append(k, v)
    outputs = torch.empty_like(q)
    for t in range(q.shape[-2]):
        seen = past + t + 1
        scores = (k[:, :, :seen] * q[:, :, t : t + 1]).sum(-1) / q.shape[-1] ** 0.5
        outputs[:, :, t] = (scores.softmax(-1)[..., None] * v[:, :, :seen]).sum(-2)
    return outputs


def by_additive_mask(q, k, v, cache):
    k, v = cache.append(k, v)
    new, total = q.shape[2], k.shape[2]
    future = torch.full((new, new), float("-inf")).triu(diagonal=1)
    additive = torch.cat((torch.zeros(new, total - new), future), dim=1)
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5 + additive, dim=-1) @ v


def by_einsum(q, k, v, cache):
    k, v = cache.append(k, v)
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[3] ** 0.5
    scores = scores.tril(k.shape[2] - q.shape[2]) + torch.full_like(scores, -1e30).triu(k.shape[2] - q.shape[2] + 1)
    powers = torch.exp(scores - scores.amax(-1, keepdim=True))
    return torch.einsum("bhqk,bhkd->bhqd", powers / powers.sum(-1, keepdim=True), v)
