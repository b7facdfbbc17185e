"""Right answers to lesson 03 that are written as nobody would expect pass for every seed."""


import torch
from torch.nn import functional as F

from course_lib import exercises
from tests.exercises.told import passes

MASKING, LOSS, POOL, SPAN, LABELS = exercises.lesson("03")


def unusual(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    """Exactly rate of all ordinary tokens of the batch, in shuffled order, in exact shares."""
    words = torch.tensor([v for v in range(vocab_size) if v not in (mask_id, *special_ids)], dtype=ids.dtype)
    inputs, labels = ids.flatten().clone(), torch.full((ids.numel(),), -100, dtype=ids.dtype)
    places = torch.isin(inputs, words).nonzero().flatten()
    count = round(rate * len(places))
    chosen = places[torch.randperm(len(places), generator=generator)[:count]]
    labels[chosen] = inputs[chosen]
    masked, replaced, _ = chosen.split([round(0.8 * count), round(0.1 * count),
                                        count - round(0.8 * count) - round(0.1 * count)])  # fmt: skip
    inputs[masked] = mask_id
    inputs[replaced] = words[torch.randint(len(words), replaced.shape, generator=generator)]
    return inputs.view_as(ids), labels.view_as(ids)


def cumulative(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    thresholds = torch.tensor([0.8 * rate, 0.9 * rate, rate])
    kind = torch.bucketize(torch.rand(ids.shape, generator=generator), thresholds, right=True)
    kind[torch.isin(ids, torch.tensor(list({mask_id} | set(special_ids))))] = 3
    words = torch.multinomial(
        torch.ones(vocab_size).index_fill(0, torch.tensor([mask_id, *special_ids]), 0), ids.numel(), True,
        generator=generator,
    ).view(ids.shape).to(ids.dtype)  # fmt: skip
    choices = torch.stack((torch.full_like(ids, mask_id), words, ids, ids))
    return choices.gather(0, kind[None])[0], ids.masked_fill(kind == 3, -100)


def tuple_of_labels(word_labels, word_ids):
    return tuple(LABELS.reference(word_labels, word_ids))


def pooled_by_attention(hidden, mask=None, how="mean"):
    if how not in ("first", "mean", "last"):
        raise ValueError
    real = torch.ones(hidden.shape[:2], dtype=torch.bool) if mask is None else mask.flatten(1)
    place = torch.arange(hidden.shape[1], dtype=hidden.dtype)
    scores = {"mean": 0 * place, "first": -1e3 * place, "last": 1e3 * place}[how]
    weights = scores.expand(real.shape).masked_fill(~real, -1e9).softmax(-1) * real
    return (weights[..., None] * hidden).sum(1)


def by_cummax(start_logits, end_logits, max_len=30):
    """The best start of those up to each end."""
    windows = F.pad(start_logits.double(), (max_len - 1, 0), value=-torch.inf).unfold(1, max_len, 1)
    value, behind = windows.max(-1)
    place = torch.arange(end_logits.shape[1])
    total = value + end_logits
    start = place - (max_len - 1) + behind
    best = total == total.amax(1, keepdim=True)
    first = torch.where(best, start, 10**6).amin(1, keepdim=True)
    end = torch.where(best & (start == first), place, 10**6).amin(1, keepdim=True)
    return torch.cat((first, end), 1)


def weighted(logits, labels):
    counts = (labels != -100).double()
    if not counts.sum():
        raise ValueError("no labels")
    weights = counts / counts.sum()
    return (F.cross_entropy(logits.mT, labels, reduction="none") * weights).sum().float()


test_unusual_right_answers_pass = passes(
    [(MASKING, unusual), (MASKING, cumulative), (LOSS, weighted), (POOL, pooled_by_attention), (SPAN, by_cummax),
     (LABELS, tuple_of_labels)],
)  # fmt: skip
