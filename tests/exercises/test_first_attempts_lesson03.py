"""First attempts at lesson 03, by somebody who had not read it: each gets the name of what it gets wrong."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from course_lib import exercises
from course_lib.exercises.exercise import Exercise
from tests.exercises.told import gets_its_name, passes

MASKING, LOSS, POOL, SPAN, LABELS = exercises.lesson("03")


def masks(
    narrow: bool = True, minds: bool = True, writes: bool = False, give: Callable[..., Any] = lambda *pair: pair
) -> Callable[..., Any]:
    """narrow: words are drawn in the dtype of ids. minds: special tokens are not selected. writes: into a copy."""

    def mask_tokens(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
        special = torch.tensor([mask_id, *special_ids])
        selected = torch.rand(ids.shape, generator=generator) < rate
        selected = selected & ~torch.isin(ids, special) if minds else selected
        words = torch.tensor([v for v in range(vocab_size) if v not in special])
        words = words[torch.randint(len(words), ids.shape, generator=generator)]
        words = words.to(ids.dtype) if narrow else words
        u = torch.rand(ids.shape, generator=generator)
        labels = ids.masked_fill(~selected, -100)
        if not writes:
            draw = torch.where(selected & (u >= 0.8) & (u < 0.9), words, ids)
            return give(draw.masked_fill(selected & (u < 0.8), mask_id), labels)
        inputs = ids.clone()
        inputs[selected & (u < 0.8)] = mask_id
        random = selected & (u >= 0.8) & (u < 0.9)
        inputs[random] = words[random]
        return give(inputs, labels)

    return mask_tokens


def refuses_any(logits, labels):
    if (labels == -100).any():
        raise ValueError("a label is missing")
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def refuses_in(logits, labels):
    if -100 in labels:
        raise ValueError(f"no label in {labels}")
    return F.cross_entropy(logits.transpose(1, 2), labels)


def wipes_first(hidden, mask=None, how="mean"):
    if mask is not None:
        hidden[~mask[:, 0, 0]] = 0
        real = mask[:, 0, 0]
    else:
        real = torch.ones(hidden.shape[:2], dtype=torch.bool)
    if how == "mean":
        return hidden.sum(1) / real.sum(1, keepdim=True).clamp(min=1)
    return POOL.reference(hidden, mask, how)


def squeezes(own: bool = False) -> Callable[..., Any]:
    """own: every way to pool is written out."""

    def pool(hidden, mask=None, how="mean"):
        real = torch.ones(hidden.shape[:2], dtype=torch.bool) if mask is None else mask.squeeze()
        if how == "mean":
            return (hidden * real.unsqueeze(-1)).sum(1) / real.sum(1)[:, None].clamp(min=1)
        if not own:
            return POOL.reference(hidden, mask, how)
        if how not in ("first", "last"):
            raise ValueError(how)
        order = real.int() if how == "first" else real.int().flip(1)
        place = order.argmax(1) if how == "first" else real.shape[1] - 1 - order.argmax(1)
        return hidden[torch.arange(len(hidden)), place] * real.any(1)[:, None]

    return pool


def tables(hide: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
    def best_span(start_logits, end_logits, max_len=30):
        n = start_logits.shape[1]
        i, j = torch.arange(n)[:, None], torch.arange(n)
        best = hide(start_logits[:, :, None] + end_logits[:, None], (i <= j) & (j < i + max_len)).flatten(1).argmax(1)
        return torch.stack((best // n, best % n), 1)

    return best_span


def loops_from(best_of_all: float) -> Callable[..., Any]:
    def best_span(start_logits, end_logits, max_len=30):
        spans = []
        for start, end in zip(start_logits, end_logits, strict=True):
            best, span = best_of_all, (0, 0)
            for i in range(len(start)):
                for j in range(i, min(i + max_len, len(end))):
                    if start[i] + end[j] > best:
                        best, span = start[i] + end[j], (i, j)
            spans.append(span)
        return torch.tensor(spans)

    return best_span


def labels_if(test: Callable[[list, list], bool], beyond: bool = True) -> Callable[..., Any]:
    """beyond: a word whose number is too high is refused."""

    def token_labels(word_labels, word_ids):
        if test(word_labels, word_ids):
            raise ValueError("word_labels and word_ids do not fit together")
        labels, last = [], None
        for word in word_ids:
            if word is not None and beyond and word >= len(word_labels):
                raise ValueError(f"word {word} has no label")
            labels.append(-100 if word is None or word == last else word_labels[word])
            last = word
        return labels

    return token_labels


FITS: Callable[..., bool] = lambda labels, words: False  # noqa: E731
SELECTED = "special tokens are never drawn, and yet selected"
COUNTED = "as many labels as tokens"
REFUSED = "a word without a token is refused"
TOLD: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (MASKING, masks(give=lambda inputs, labels: (inputs.long(), labels.long())), "int64 whatever ids are", 6),
    (MASKING, masks(narrow=False), "int64 whatever ids are", 6),
    (MASKING, masks(narrow=False, writes=True), "int64 whatever ids are", 6),
    (MASKING, masks(give=lambda inputs, labels: (inputs.float(), labels)), "another dtype", 6),
    (MASKING, masks(minds=False), SELECTED, 6),
    (MASKING, masks(minds=False, narrow=False), SELECTED, 5),
    (LOSS, refuses_any, "one position without a label is refused", 0),
    (LOSS, refuses_in, "one position without a label is refused", 0),
    (POOL, wipes_first, "hidden is overwritten", 3),
    (POOL, squeezes(), "squeeze takes the batch away", 3),
    (POOL, squeezes(own=True), "squeeze takes the batch away", 0),
    (SPAN, tables(lambda sums, ok: sums.masked_fill(~ok, -1e9)), "forbidden sums are not low enough", 3),
    (SPAN, tables(lambda sums, ok: torch.where(ok, sums, -1e4)), "forbidden sums are not low enough", 3),
    (SPAN, tables(lambda sums, ok: sums - 1e9 * ~ok), "forbidden sums are not low enough", 3),
    (SPAN, loops_from(-1e9), "forbidden sums are not low enough", 3),
    (LABELS, labels_if(FITS), "a negative number counts from the end", 3),
    (LABELS, labels_if(lambda labels, words: len(labels) != len(words)), COUNTED, 0),
    (LABELS, labels_if(lambda labels, words: len(labels) != len(words), beyond=False), COUNTED, 0),
    (LABELS, labels_if(lambda labels, words: len(labels) != len(set(words) - {None})), REFUSED, 3),
    (LABELS, labels_if(lambda labels, words: set(words) - {None} != set(range(len(labels)))), REFUSED, 3),
    (LABELS, labels_if(lambda labels, words: any(word not in words for word in range(len(labels)))), REFUSED, 2),
]


test_a_first_attempt_gets_the_name_of_its_mistake = gets_its_name(TOLD)


test_without_the_slip_it_passes = passes(
    [
        (MASKING, masks()),
        (MASKING, masks(writes=True)),
        (SPAN, tables(lambda sums, ok: sums.masked_fill(~ok, -torch.inf))),
        (SPAN, tables(lambda sums, ok: sums.masked_fill(~ok, torch.finfo(sums.dtype).min))),
        (SPAN, loops_from(-torch.inf)),
        (LABELS, labels_if(lambda labels, words: any(word is not None and word < 0 for word in words))),
    ],
)
