"""Slips in the loss of a language model, each a step of `loss_of` or a whole answer gone wrong."""

import torch
from torch.nn import functional as F

from course_lib.exercises.lesson04.bank.losses import both_real, cross_entropy, loss_of, mean, refuse, shifted

__all__ = [
    "all",
    "bare_logits",
    "bare_probabilities",
    "broadcast",
    "infinite_by_infinite",
    "infinite_sum",
    "inverted",
    "mean_of_all_means",
    "mean_of_means",
    "mean_of_some_means",
    "needs_a_mask",
    "of_the_result",
    "or_fail",
    "padding_is_token_0",
    "plain_mean",
    "probabilities",
    "real_pairs",
    "refuse_one_token",
    "refuse_padding",
    "reshaped",
    "rounded_to_zero",
    "same_place",
    "spelled",
    "to_predict",
    "to_predict_from",
    "token_0_is_left_out",
    "token_0_is_padding",
    "token_0_is_padding_checked",
    "token_0_whatever_the_mask",
    "unchecked",
    "views_a_slice",
    "views_both_slices",
    "vocab_last",
    "vocab_last_unshifted",
    "with_a_small_number",
    "without_gradients",
    "wrapped",
    "zeroed_mean",
]


def unchecked(counted):
    pass


def refuse_one_token(counted):
    """Only where the sequences are too short is nothing predicted."""
    refuse(torch.ones_like(counted))


def refuse_padding(counted):
    """Only where all is padding is nothing predicted."""
    if counted.numel():
        refuse(counted)


def same_place(logits, ids):
    return logits, ids


def wrapped(logits, ids):
    return logits, ids.roll(-1, dims=1)


def plain_mean(losses, counted):
    return losses.mean()


def zeroed_mean(losses, counted):
    return (losses * counted).mean()


def mean_of_means(losses, counted):
    return ((losses * counted).sum(1) / counted.sum(1)).mean()


def mean_of_some_means(losses, counted):
    return ((losses * counted).sum(1) / counted.sum(1).clamp(min=1)).mean()


def mean_of_all_means(losses, counted):
    return torch.stack([row[some].mean() for row, some in zip(losses, counted, strict=True) if some.any()]).mean()


def real_pairs(mask):
    return mask[..., 1:] & mask[..., :-1]


def broadcast(reduce, count=real_pairs, check=refuse):
    """The loss of each token, times a mask that still has four axes."""

    def next_token_loss(logits, ids, mask=None):
        losses = cross_entropy(*shifted(logits, ids))
        if mask is None:
            check(torch.ones_like(losses))
            return losses.mean()
        counted = count(mask)
        check(counted)
        return reduce(losses, counted)

    return next_token_loss


def probabilities(logits, targets):
    return cross_entropy(logits.softmax(-1), targets)


def rounded_to_zero(logits, targets):
    return -logits.softmax(-1).gather(-1, targets[..., None])[..., 0].log()


def infinite_by_infinite(logits, targets):
    powers = logits.exp()
    return -(powers / powers.sum(-1, keepdim=True)).gather(-1, targets[..., None])[..., 0].log()


def infinite_sum(logits, targets):
    return logits.exp().sum(-1).log() - logits.gather(-1, targets[..., None])[..., 0]


def with_a_small_number(number, join=torch.add):
    def losses(logits, targets):
        return -join(logits.softmax(-1).gather(-1, targets[..., None])[..., 0], torch.tensor(number)).log()

    return losses


def reshaped(logits, targets):
    return F.cross_entropy(logits.reshape(len(logits), logits.shape[2], -1), targets, reduction="none")


def bare_logits(logits, targets):
    return -logits.gather(-1, targets[..., None])[..., 0]


def bare_probabilities(logits, targets):
    return -logits.softmax(-1).gather(-1, targets[..., None])[..., 0]


def padding_is_token_0(logits, ids, mask=None):
    refuse(ids[:, 1:] if mask is None else mask[:, 0, 0, 1:])
    labels = ids if mask is None else ids * mask[:, 0, 0]
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def vocab_last(logits, ids, mask=None):
    labels = ids if mask is None else ids.masked_fill(~mask[:, 0, 0], -100)
    return F.cross_entropy(logits[:, :-1], labels[:, 1:])


def vocab_last_unshifted(logits, ids, mask=None):
    labels = ids if mask is None else ids.masked_fill(~mask[:, 0, 0], -100)
    return F.cross_entropy(logits, labels)


def views_a_slice(logits, ids, mask=None):
    labels = ids if mask is None else ids.masked_fill(~mask[:, 0, 0], -100)
    return F.cross_entropy(logits[:, :-1].view(-1, logits.shape[-1]), labels[:, 1:].reshape(-1))


def views_both_slices(logits, ids, mask=None):
    labels = ids if mask is None else ids.masked_fill(~mask[:, 0, 0], -100)
    return F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].view(-1))


def needs_a_mask(logits, ids, mask=None):
    counted = mask[:, 0, 0, 1:] & mask[:, 0, 0, :-1]
    refuse(counted)
    return mean(cross_entropy(*shifted(logits, ids)), counted)


def of_the_result(change):
    def next_token_loss(logits, ids, mask=None):
        return change(loss_of()(logits, ids, mask))

    return next_token_loss


def without_gradients(logits, ids, mask=None):
    with torch.no_grad():
        return loss_of()(logits, ids, mask)


def to_predict(real):
    return real[:, 1:]


def to_predict_from(real):
    return real[:, :-1]


def all(real):
    return torch.ones_like(real[:, 1:])


def token_0_is_padding(logits, ids, mask=None):
    labels = ids if mask is None else ids * mask[:, 0, 0]
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=0)


def token_0_is_padding_checked(logits, ids, mask=None):
    refuse(ids[:, 1:] if mask is None else ids[:, 1:] * mask[:, 0, 0, 1:])
    return token_0_is_padding(logits, ids, mask)


def token_0_whatever_the_mask(check):
    """Only token 0 is passed over; the mask is at most asked whether anything is predicted."""

    def next_token_loss(logits, ids, mask=None):
        check(both_real(torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[:, 0, 0]))
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)

    return next_token_loss


def token_0_is_left_out(choose, check):
    """The ids say what is padding, and the mask is not looked at."""

    def next_token_loss(logits, ids, mask=None):
        counted = choose(ids != 0)
        check(counted)
        return cross_entropy(*shifted(logits, ids))[counted].mean()

    return next_token_loss


def inverted(real):
    return both_real(real) if real.all() else ~real[:, 1:]


def or_fail(error):
    def check(counted):
        if not counted.any():
            raise error

    return check


def spelled(**steps):
    """The same slip with the padding counted in three ways, and the error where nothing counts there, half or not."""
    counts = [steps.pop("count")] if "count" in steps else [both_real, to_predict, all]
    checks = (refuse, unchecked, refuse_one_token)
    return tuple(loss_of(count=count, check=check, **steps) for count in counts for check in checks)
