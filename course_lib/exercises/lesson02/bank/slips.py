"""Attention weights with slips that are more than one of the steps of `weigher` made wrong."""

import torch

from course_lib import attention
from course_lib.exercises.lesson02.bank.weighers import weigher

__all__ = [
    "assigns_in_place",
    "compares_none",
    "four_axes",
    "four_letters",
    "in_float32",
    "mended",
    "needs_a_mask",
    "one_more",
    "one_more_of_safe",
    "plain_powers",
    "powers_mended",
    "scales_in_place",
    "scales_k_in_place",
    "scales_weights",
    "swapped",
    "wipes_in_place",
    "with_keys",
    "without_gradients",
]


def swapped(q, k, mask=None):
    scores = k @ q.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1)


def with_keys(turn):
    """The product of q and k with other axes of k swapped than the last two, or none."""

    def attention_weights(q, k, mask=None):
        scores = q @ turn(k) / q.shape[-1] ** 0.5
        return scores.softmax(-1) if mask is None else scores.masked_fill(~mask, -1e9).softmax(-1) * mask

    return attention_weights


def four_axes(q, k, mask=None):
    batch, heads, q_len, head_dim = q.shape
    scores = (q @ k.transpose(-2, -1) / head_dim**0.5).view(batch, heads, q_len, -1)
    return scores.softmax(-1) if mask is None else scores.masked_fill(~mask, -1e9).softmax(-1) * mask


def four_letters(q, k, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
    return scores.softmax(-1) if mask is None else scores.masked_fill(~mask, -1e9).softmax(-1) * mask


def needs_a_mask(q, k, mask=None):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -1e9).softmax(-1) * mask


def compares_none(q, k, mask=None):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(mask == 0, -1e9)
    return scores.softmax(-1).masked_fill(mask == 0, 0.0)


def scales_weights(q, k, mask=None):
    return weigher(scale=lambda scores, q, k: scores)(q, k, mask) / q.shape[-1] ** 0.5


def scales_in_place(q, k, mask=None):
    q /= q.shape[-1] ** 0.5
    return weigher(scale=lambda scores, q, k: scores)(q, k, mask)


def scales_k_in_place(q, k, mask=None):
    k *= k.shape[-1] ** -0.5
    return weigher(scale=lambda scores, q, k: scores)(q, k, mask)


def wipes_in_place(weights, mask):
    return weights.masked_fill_(~mask, 0.0)


def assigns_in_place(weights, mask):
    weights[~mask.expand_as(weights)] = 0.0
    return weights


def without_gradients(q, k, mask=None):
    with torch.no_grad():
        return attention.attention_weights(q, k, mask)


def plain_powers(scores):
    return scores.exp() / scores.exp().sum(-1, keepdim=True)


def one_more(scores):
    return scores.exp() / (1 + scores.exp().sum(-1, keepdim=True))


def one_more_of_safe(scores):
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return powers / (powers.sum(-1, keepdim=True) + 1)


def powers_mended(q, k, mask=None):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    powers = powers if mask is None else powers * mask
    return (powers / powers.sum(-1, keepdim=True)).nan_to_num(0.0)


def mended(weights, mask):
    return weights.nan_to_num(0.0)


def in_float32(q, k, mask=None):
    return attention.attention_weights(q.float(), k.float(), mask)
