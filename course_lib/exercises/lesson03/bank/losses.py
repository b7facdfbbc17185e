"""Losses on hidden tokens, right and wrong, from steps of which each can be another one."""

import torch
from torch.nn import functional as F

from course_lib import objectives

__all__ = [
    "accuracy",
    "as_class_0",
    "asserts_first",
    "by_flattening",
    "by_ignoring",
    "by_logsumexp",
    "by_loop",
    "by_one_hot",
    "by_picking",
    "by_summing",
    "by_turning",
    "checked",
    "classes_last",
    "empty_rows_too",
    "ignores_0",
    "index_by_lists",
    "index_with_minus_100",
    "labels_not_flat",
    "log_softmax",
    "loser",
    "nan_of_empty_rows",
    "of_label",
    "only_others",
    "overflows",
    "plain_zero",
    "refuses_any",
    "rows_first",
    "shifted",
    "viewed",
    "weighted",
    "without_class_0",
    "zero_without_labels",
]


def log_softmax(logits):
    return logits.log_softmax(-1)


def of_label(log_probs, labels):
    return -log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]


def mean_of(costs, labelled):
    return costs[labelled].mean()


def loser(log_probs=log_softmax, costs=of_label, mean=mean_of, refuses=True):
    """Make a masked_lm_loss from its steps; as they stand they make a right one.

    log_probs: of logits. costs: what each position costs. mean: over those with a label. refuses: a batch without any.
    """

    def masked_lm_loss(logits, labels):
        labelled = labels != -100
        if refuses and not labelled.any():
            raise ValueError("no position has a label")
        return mean(costs(log_probs(logits), labels), labelled)

    return masked_lm_loss


def checked(loss):
    """A loss behind the test that belongs to it."""

    def masked_lm_loss(logits, labels):
        if not (labels != -100).any():
            raise ValueError("no position has a label")
        return loss(logits, labels)

    return masked_lm_loss


def rows_first(costs, labelled):
    counts = labelled.sum(1)
    return ((costs * labelled).sum(1) / counts.clamp(min=1))[counts > 0].mean()


def empty_rows_too(costs, labelled):
    return ((costs * labelled).sum(1) / labelled.sum(1).clamp(min=1)).mean()


def nan_of_empty_rows(costs, labelled):
    return ((costs * labelled).sum(1) / labelled.sum(1)).mean()


def shifted(logits, labels):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def accuracy(logits, labels):
    labelled = labels != -100
    return (logits.argmax(-1) == labels)[labelled].float().mean()


def overflows(logits):
    return (logits.exp() / logits.exp().sum(-1, keepdim=True)).log()


def asserts_first(logits, labels):
    assert (labels != -100).any(), "no label"
    return objectives.masked_lm_loss(logits, labels)


def zero_without_labels(logits, labels):
    if (labels == -100).all():
        return logits.sum() * 0
    return objectives.masked_lm_loss(logits, labels)


def zero_by_clamping(logits, labels):
    labelled = labels != -100
    return (of_label(log_softmax(logits), labels) * labelled).sum() / labelled.sum().clamp(min=1)


def refuses_any(logits, labels):
    if (labels == -100).any():
        raise ValueError
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def plain_zero(logits, labels):
    if (labels == -100).all():
        return torch.tensor(0.0)
    return objectives.masked_lm_loss(logits, labels)


def by_flattening(logits, labels):
    if bool((labels == -100).all()):
        raise ValueError("no label")
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=-100)


def by_turning(logits, labels):
    loss = F.cross_entropy(logits.transpose(1, 2), labels)
    if torch.isnan(loss):
        raise ValueError("no label")
    return loss


def by_picking(logits, labels):
    rows, places = (labels != -100).nonzero(as_tuple=True)
    if rows.numel() == 0:
        raise ValueError("no label")
    log_probs = torch.log_softmax(logits, dim=2)
    return -log_probs[rows, places, labels[rows, places]].sum() / rows.numel()


def by_logsumexp(logits, labels):
    labelled = labels != -100
    if labelled.sum() == 0:
        raise ValueError
    targets = labels.masked_fill(~labelled, 0)
    costs = logits.logsumexp(-1) - torch.take_along_dim(logits, targets[..., None], -1).squeeze(-1)
    return (costs * labelled).sum() / labelled.sum()


def by_one_hot(logits, labels):
    kept = labels.ne(-100)
    if not kept.any():
        raise ValueError("nothing to learn from")
    log_probs = logits - logits.amax(-1, keepdim=True)
    log_probs = log_probs - log_probs.exp().sum(-1, keepdim=True).log()
    wanted = F.one_hot(labels[kept], logits.shape[-1]).to(logits.dtype)
    return -(log_probs[kept] * wanted).sum(-1).mean()


def by_loop(logits, labels):
    losses = []
    for row, targets in zip(logits, labels, strict=True):
        for scores, target in zip(row, targets.tolist(), strict=True):
            if target != -100:
                losses.append(-F.log_softmax(scores, dim=0)[target])
    if not losses:
        raise ValueError("no position has a label")
    return torch.stack(losses).mean()


def by_summing(logits, labels):
    count = (labels != -100).sum()
    if count < 1:
        raise ValueError("no label")
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / count


def weighted(weigh):
    return checked(lambda logits, labels: weigh(objectives.masked_lm_loss(logits, labels)))


def classes_last(logits, labels):
    return F.cross_entropy(logits, labels)


def viewed(logits, labels):
    batch, seq, vocab = logits.shape
    return F.cross_entropy(logits.reshape(batch, vocab, seq), labels)


def by_ignoring(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def without_class_0(logits, labels):
    if not (labels > 0).any():
        raise ValueError("no label")
    return F.cross_entropy(logits[labels > 0], labels[labels > 0])


def labels_not_flat(logits, labels):
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels)


def index_with_minus_100(logits, labels):
    return mean_of(-log_softmax(logits).gather(-1, labels[..., None])[..., 0], labels != -100)


def index_by_lists(logits, labels):
    batch, seq = labels.shape
    return -log_softmax(logits)[torch.arange(batch)[:, None], torch.arange(seq), labels][labels != -100].mean()


def ignores_0(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=0)


def as_class_0(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.clamp(min=0).flatten())


def only_others(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.masked_fill(labels != -100, 0).clamp(min=0).flatten())
