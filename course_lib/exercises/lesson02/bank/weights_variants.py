"""Further ways to make the mistakes that the bank of `attention_weights` knows."""

from functools import partial

import torch

from course_lib import attention
from course_lib.exercises.lesson02.bank.slips import (
    adds_a_mask,
    assigns_in_place,
    compares_none,
    divides_lowered,
    four_letters,
    in_float64,
    multiplies_by_a_mask,
    of_its_row,
    one_more_of_safe,
    plain_powers,
    powers_mended,
    renormalised_rows,
    scales_k_in_place,
    shared_out,
    softmax_of_largest,
    with_keys,
    without_gradients,
)
from course_lib.exercises.lesson02.bank.weighers import added_later, filled, forgotten, uncleaned, weigher, wiped

__all__ = ["VARIANTS"]


def _unscaled(scores, q, k):
    return scores


def _as_it_is(scores):
    return scores


def _unmasked(**steps):
    """A mistake of whoever has not yet thought of queries without a key, or of the mask at all."""
    return [weigher(hide=hide, clean=uncleaned, **steps) for hide in (filled(-torch.inf), filled(-1e9), forgotten)]


def _softmax(dim):
    return partial(torch.softmax, dim=dim)


VARIANTS = {
    "the root of another size": (
        weigher(scale=lambda scores, q, k: scores / k.shape[2] ** 0.5),
        weigher(scale=lambda scores, q, k: scores / q.shape[-2] ** 0.5),
        weigher(scale=lambda scores, q, k: scores / q.shape[2] ** 0.5),
        weigher(scale=lambda scores, q, k: scores / q.shape[1] ** 0.5),
        weigher(scale=lambda scores, q, k: scores / q.shape[0] ** 0.5),
        weigher(scale=lambda scores, q, k: scores / (q.shape[1] * q.shape[-1]) ** 0.5),
    ),
    "half instead of the root": (weigher(scale=lambda scores, q, k: scores / q.shape[-1] / 2),),
    "softmax over the queries": (
        *_unmasked(normalise=_softmax(-2)),
        *_unmasked(normalise=_softmax(2)),
        weigher(normalise=_softmax(2)),
    ),
    "softmax over the heads": (*_unmasked(normalise=_softmax(1)), *_unmasked(normalise=_softmax(-3))),
    "softmax over the batch": tuple(_unmasked(normalise=_softmax(0))),
    "a mask in an if": (weigher(hide=lambda scores, mask: scores.masked_fill(not mask, -torch.inf)),),
    "the mask is ignored": (
        weigher(hide=forgotten, normalise=plain_powers, clean=uncleaned),
        weigher(hide=forgotten, normalise=softmax_of_largest, clean=uncleaned),
    ),
    "mask may be None": (compares_none, adds_a_mask, multiplies_by_a_mask),
    "no softmax": (
        *_unmasked(normalise=_as_it_is),
        *_unmasked(normalise=_as_it_is, scale=_unscaled),
        weigher(normalise=_as_it_is, clean=uncleaned),
        weigher(normalise=_as_it_is, hide=forgotten),
    ),
    "the logarithm of the weights": (
        weigher(normalise=partial(torch.log_softmax, dim=-1), hide=filled(-1e9), clean=uncleaned),
        weigher(normalise=partial(torch.log_softmax, dim=-1), clean=uncleaned),
    ),
    "exponentials that are not normalised": (
        weigher(normalise=lambda scores: (scores - scores.amax(-1, keepdim=True)).exp()),
    ),
    "something is added to the sum": (weigher(normalise=one_more_of_safe),),
    "the wrong axes of k are swapped": (
        with_keys(lambda k: k.transpose(0, 1)),
        with_keys(lambda k: k.transpose(-3, -2)),
        with_keys(lambda k: k.transpose(1, -1)),
    ),
    "always four axes": (
        four_letters,
        with_keys(lambda k: k.permute(0, 1, 3, 2)),
        with_keys(lambda k: k.transpose(2, 3)),
    ),
    "the mask is inverted": (
        weigher(hide=lambda scores, mask: scores.masked_fill(mask, -1e9), clean=uncleaned),
        weigher(hide=lambda scores, mask: scores.masked_fill(mask, -1e9), clean=lambda w, mask: w * ~mask),
        weigher(hide=lambda scores, mask: scores + mask * -1e9, clean=uncleaned),
        weigher(hide=lambda scores, mask: scores.masked_fill(mask, -torch.inf)),
        weigher(hide=lambda scores, mask: scores.masked_fill(mask, -1e9)),
    ),
    "forbidden scores are set to 0": (weigher(hide=wiped),),
    "forbidden scores are not low enough": (weigher(hide=filled(-10.0), clean=uncleaned),),
    "the mask is transposed": (
        weigher(hide=lambda scores, mask: scores.masked_fill(~mask.mT, -1e9)),
        weigher(hide=lambda scores, mask: torch.where(mask.mT, scores, -torch.inf), clean=uncleaned),
    ),
    "nan from infinity": (
        weigher(hide=lambda scores, mask: scores + (1 - mask.float()) * -torch.inf, clean=uncleaned),
        weigher(hide=lambda scores, mask: scores + ~mask * -torch.inf, clean=lambda w, mask: w.nan_to_num(0.0)),
        weigher(hide=lambda scores, mask: scores * mask + ~mask * -torch.inf, clean=uncleaned),
    ),
    "nan for a query with nobody to attend to": (
        weigher(hide=added_later(-torch.inf), clean=uncleaned),
        divides_lowered,
    ),
    "a sum of 0 is divided by": (
        weigher(normalise=plain_powers),
        weigher(normalise=plain_powers, clean=uncleaned),
        weigher(hide=filled(-torch.inf), normalise=plain_powers, clean=uncleaned),
        shared_out(of_its_row),
        shared_out(lambda scores: 0.0),
    ),
    "exponentials that overflow": (shared_out(lambda scores: 0.0, least=1e-30),),
    "the largest of all scores is subtracted": (weigher(normalise=softmax_of_largest),),
    "a forbidden score is the largest": (renormalised_rows,),
    "forbidden scores that are not the lowest": (
        weigher(hide=filled(-100.0), clean=uncleaned),
        weigher(hide=lambda scores, mask: scores + ~mask * -100.0),
    ),
    "a query with nobody to attend to attends to all": (
        weigher(clean=uncleaned),
        weigher(hide=added_later(-1e9), clean=lambda weights, mask: weights),
        weigher(hide=lambda scores, mask: scores + ~mask * -1e9, clean=uncleaned),
        weigher(hide=lambda scores, mask: scores + ~mask * -1e4, clean=uncleaned),
    ),
    "nan is repaired too late": (powers_mended,),
    "weights are overwritten in place": (weigher(clean=assigns_in_place),),
    "cut off from the gradients": (
        without_gradients,
        lambda q, k, mask=None: attention.attention_weights(q.detach(), k, mask),
        lambda q, k, mask=None: attention.attention_weights(q, k.detach(), mask),
    ),
    "axes of size 1 are dropped": (lambda q, k, mask=None: attention.attention_weights(q, k, mask).squeeze(0),),
    "another dtype comes back": (
        in_float64,
        weigher(clean=lambda weights, mask: weights * mask.float()),
        weigher(hide=added_later(-1e9)),
    ),
    "q or k is scaled in place": (scales_k_in_place,),
}
