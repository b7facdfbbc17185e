"""The loss of a language model made right and wrong, from steps of which each can be another one."""

import torch
from torch.nn import functional as F

__all__ = [
    "both_real",
    "by_gathering",
    "by_labels",
    "by_log_softmax_twice",
    "by_logsumexp",
    "by_selecting",
    "by_sequences",
    "by_weights",
    "cross_entropy",
    "loss_of",
    "mean",
    "refuse",
    "shifted",
]

NOTHING = "there is nothing to predict"


def shifted(logits, ids):
    return logits[:, :-1], ids[:, 1:]


def both_real(real):
    return real[:, :-1] & real[:, 1:]


def cross_entropy(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


def mean(losses, counted):
    return losses[counted].sum() / counted.sum()


def refuse(counted):
    if not counted.any():
        raise ValueError(NOTHING)


def loss_of(pair=shifted, count=both_real, losses=cross_entropy, reduce=mean, check=refuse):
    """Make a next_token_loss from its steps; as they stand they make a right one.

    pair: which logits predict which tokens. count: which of these pairs, of which tokens are real.
    losses: of the pairs. reduce: to one number. check: what happens where nothing is predicted.
    """

    def next_token_loss(logits, ids, mask=None):
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[:, 0, 0]
        predictions, targets = pair(logits, ids)
        counted = count(real)
        check(counted)
        return reduce(losses(predictions, targets), counted)

    return next_token_loss


def by_labels(logits, ids, mask=None):
    labels = torch.full_like(ids, -100)
    labels[:, :-1] = ids[:, 1:]
    if mask is not None:
        real = mask[:, 0, 0]
        labels[~real] = -100
        labels[:, :-1][~real[:, 1:]] = -100
    if (labels == -100).all():
        raise ValueError(NOTHING)
    return F.cross_entropy(logits.transpose(1, 2), labels)


def by_selecting(logits, ids, mask=None):
    predictions, targets = logits[:, :-1], ids[:, 1:]
    if mask is None:
        mask = torch.ones(1, 1, 1, ids.shape[1], dtype=torch.bool)
    real = mask.squeeze(1).squeeze(1).expand(ids.shape)
    keep = real[:, 1:].logical_and(real[:, :-1])
    if keep.sum() == 0:
        raise ValueError(NOTHING)
    return F.cross_entropy(predictions[keep], targets[keep])


def by_gathering(logits, ids, mask=None):
    found = logits[:, :-1].log_softmax(dim=-1).gather(2, ids[:, 1:, None]).squeeze(-1)
    weights = torch.ones_like(found)
    if mask is not None:
        weights = (mask[:, 0, 0, 1:] & mask[:, 0, 0, :-1]).to(found.dtype)
    if weights.sum() == 0:
        raise ValueError(NOTHING)
    return -(found * weights).sum() / weights.sum()


def by_weights(logits, ids, mask=None):
    batch, seq, vocab = logits.shape
    targets = ids[:, 1:].reshape(-1)
    losses = F.cross_entropy(logits[:, :-1].reshape(-1, vocab), targets, reduction="none")
    if mask is not None:
        real = mask.view(batch, seq).float()
        weights = (real[:, 1:] * real[:, :-1]).reshape(-1)
    else:
        weights = torch.ones(batch * (seq - 1))
    total = weights.sum().item()
    if not total:
        raise ValueError(NOTHING)
    return losses @ weights / total


def by_sequences(logits, ids, mask=None):
    losses = []
    for b in range(len(ids)):
        real = slice(None) if mask is None else mask[b, 0, 0]
        scores, tokens = logits[b][real], ids[b][real]
        losses.append(F.cross_entropy(scores[:-1], tokens[1:], reduction="none"))
    losses = torch.cat(losses)
    if len(losses) == 0:
        raise ValueError(NOTHING)
    return losses.mean()


def by_logsumexp(logits, ids, mask=None):
    losses = logits.logsumexp(-1) - logits.gather(-1, ids.roll(-1, dims=1)[..., None])[..., 0]
    real = torch.ones(ids.shape).bool() if mask is None else mask[:, 0, 0, :].clone()
    counted = (real & real.roll(-1, dims=1))[:, :-1]
    if int(counted.sum()) < 1:
        raise ValueError(NOTHING)
    return losses[:, :-1].masked_select(counted).mean()


def by_log_softmax_twice(logits, ids, mask=None):
    targets = ids[:, 1:].clone()
    if mask is not None:
        targets = targets.masked_fill(~(mask[:, 0, 0, 1:] & mask[:, 0, 0, :-1]), -1)
    if targets.numel() == 0 or targets.max() < 0:
        raise ValueError(NOTHING)
    scores = F.log_softmax(logits[:, :-1], dim=-1)
    return F.cross_entropy(scores.movedim(-1, 1), targets, ignore_index=-1)
