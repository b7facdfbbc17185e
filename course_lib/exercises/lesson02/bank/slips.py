"""Attention weights with slips that are more than one of the steps of `weigher` made wrong."""

import torch

from course_lib import attention
from course_lib.exercises.lesson02.bank.weighers import weigher

__all__ = [
    "adds_a_mask",
    "asks_a_mask",
    "assigns_in_place",
    "clamped_powers",
    "compares_none",
    "divides_lowered",
    "drops_axes",
    "four_axes",
    "four_letters",
    "in_float32",
    "in_float64",
    "indexed",
    "mended",
    "multiplies_by_a_mask",
    "needs_a_mask",
    "of_all",
    "of_its_row",
    "one_more",
    "one_more_of_safe",
    "plain_powers",
    "powers_mended",
    "renormalised",
    "renormalised_rows",
    "scales_in_place",
    "scales_k_in_place",
    "scales_weights",
    "shared_out",
    "softmax_of_largest",
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


def adds_a_mask(q, k, mask=None):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    return (scores + mask).softmax(-1)


def asks_a_mask(q, k, mask=None):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1)


def multiplies_by_a_mask(q, k, mask=None):
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) * mask


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


def clamped_powers(scores):
    return scores.exp() / scores.exp().sum(-1, keepdim=True).clamp(min=1e-9)


def shared_out(largest, least=0.0):
    """Powers, those of forbidden keys wiped, divided by their sum.

    largest: of the scores, to be subtracted; those that are forbidden are still among them.
    """

    def attention_weights(q, k, mask=None):
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        powers = (scores - largest(scores)).exp()
        powers = powers if mask is None else powers * mask
        return powers / powers.sum(-1, keepdim=True).clamp(min=least)

    return attention_weights


def of_all(scores):
    return scores.max()


def of_its_row(scores):
    return scores.amax(-1, keepdim=True)


def softmax_of_largest(scores):
    powers = (scores - scores.max()).exp()
    return powers / powers.sum(-1, keepdim=True)


def renormalised(q, k, mask=None):
    weights = weigher()(q, k)
    if mask is None:
        return weights
    return weights * mask / (weights * mask).sum(-1, keepdim=True)


def renormalised_rows(q, k, mask=None):
    weights = weigher()(q, k)
    if mask is None:
        return weights
    return weights * mask / (weights * mask).sum(-1, keepdim=True).clamp(min=1e-9)


def divides_lowered(q, k, mask=None):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    lowered = scores if mask is None else scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    powers = (lowered - lowered.amax(-1, keepdim=True)).exp()
    powers = powers if mask is None else powers * mask
    return powers / powers.sum(-1, keepdim=True)


def indexed(scores, mask):
    scores[~mask] = -torch.inf
    return scores


def drops_axes(q, k, mask=None):
    return attention.attention_weights(q, k, mask).squeeze()


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


def in_float64(q, k, mask=None):
    return attention.attention_weights(q.double(), k.double(), mask)
