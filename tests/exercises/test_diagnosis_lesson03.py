"""What learners write in lesson 03 and are told: the right name, or none and what came back; never a wrong one."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from course_lib import exercises
from course_lib.exercises.exercise import Exercise
from tests.exercises.told import gets_its_name, reads_on_the_card

MASKING, LOSS, POOL, SPAN, LABELS = exercises.lesson("03")


def collator(random: float = 0.5, own: bool = True, minds: bool = False, keep: bool = True) -> Callable[..., Any]:
    """The data collator of the transformers library, as it is copied from memory, with a slip or two.

    random: share of the rest that is replaced. own: chance from the generator. minds: mask_id is special, and special
    ids are not drawn. keep: ids are copied.
    """

    def mask_tokens(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
        generator = generator if own else None
        labels, inputs = ids.clone(), ids.clone() if keep else ids
        chances = torch.full(labels.shape, rate)
        special = [*special_ids, mask_id] if minds else special_ids
        chances.masked_fill_(torch.tensor([[token in special for token in row] for row in ids.tolist()]), 0.0)
        selected = torch.bernoulli(chances, generator=generator).bool()
        labels[~selected] = -100
        masked = torch.bernoulli(torch.full(labels.shape, 0.8), generator=generator).bool() & selected
        inputs[masked] = mask_id
        replaced = torch.bernoulli(torch.full(labels.shape, random), generator=generator).bool() & selected & ~masked
        words = torch.tensor([v for v in range(vocab_size) if not (minds and v in special)], dtype=ids.dtype)
        inputs[replaced] = words[torch.randint(len(words), labels.shape, generator=generator)][replaced]
        return inputs, labels

    return mask_tokens


def hides_all(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    selected = torch.rand(ids.shape, generator=generator) < rate
    for special in (mask_id, *special_ids):
        selected &= ids != special
    inputs = ids.clone()
    inputs[selected] = mask_id
    return inputs, torch.where(selected, ids, -100)


def hides_all_and_special(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    selected = torch.rand(ids.shape, generator=generator) < rate
    inputs, labels = ids.clone(), ids.clone()
    inputs[selected], labels[~selected] = mask_id, -100
    return inputs, labels


def all_labels(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    return ids.masked_fill(torch.rand(ids.shape) < rate, mask_id), ids


def right(*args, **kwargs):
    return MASKING.reference(*args, **kwargs)


def labels_from_the_mask(ids, mask_id, *args, **kwargs):
    inputs, _ = right(ids, mask_id, *args, **kwargs)
    return inputs, torch.where(inputs == mask_id, ids, -100)


def labels_too_late(ids, mask_id, *args, **kwargs):
    inputs, found = right(ids, mask_id, *args, **kwargs)
    labels = inputs.clone()
    labels[found == -100] = -100
    return inputs, labels


def as_many_a_row(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    inputs, labels = ids.clone(), torch.full_like(ids, -100)
    words = [v for v in range(vocab_size) if v not in (mask_id, *special_ids)]
    for r, row in enumerate(ids.tolist()):
        places = [j for j, token in enumerate(row) if token in words]
        for j in torch.randperm(len(places), generator=generator)[: int(rate * len(row))].tolist():
            labels[r, places[j]] = row[places[j]]
            u = torch.rand((), generator=generator)
            if u < 0.8:
                inputs[r, places[j]] = mask_id
            elif u < 0.9:
                inputs[r, places[j]] = words[torch.randint(len(words), (), generator=generator)]
    return inputs, labels


def drawing(
    places: Callable[..., torch.Tensor] = lambda shape, rate, generator: torch.rand(shape, generator=generator) < rate,
    masked: float = 0.8,
    random: float = 0.1,
    default: float = 0.15,
) -> Callable[..., Any]:
    """Masking with other places, of (shape, rate, generator), other shares, or another rate where none is given."""

    def mask_tokens(ids, mask_id, vocab_size, special_ids=(), rate=default, generator=None):
        special = torch.tensor([mask_id, *special_ids])
        selected = places(ids.shape, rate, generator) & ~torch.isin(ids, special)
        u = torch.rand(ids.shape, generator=generator)
        words = torch.tensor([v for v in range(vocab_size) if v not in special], dtype=ids.dtype)
        words = words[torch.randint(len(words), ids.shape, generator=generator)]
        inputs = torch.where(selected & (u >= masked) & (u < masked + random), words, ids)
        return inputs.masked_fill(selected & (u < masked), mask_id), ids.masked_fill(~selected, -100)

    return mask_tokens


def with_replacement(shape, rate, generator):
    drawn = torch.randint(shape[1], (shape[0], int(rate * shape[1])), generator=generator)
    return torch.zeros(shape, dtype=torch.bool).scatter(1, drawn, True)


def in_pairs(shape, rate, generator):
    return (torch.rand(shape, generator=generator) < rate).repeat_interleave(2, 1)[:, : shape[1]]


def more_in_front(shape, rate, generator):
    return torch.rand(shape, generator=generator) < rate * torch.linspace(1.5, 0.5, shape[1])


def one_fate(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    _, labels = right(ids, mask_id, vocab_size, special_ids, rate, generator=generator)
    u = torch.rand((), generator=generator)
    return ids.masked_fill(labels != -100, mask_id) if u < 0.8 else ids.clone(), labels


def from_1_minus_rate(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    return right(ids, mask_id, vocab_size, special_ids, 1 - rate, generator=generator)


def three_parts(*args, **kwargs):
    inputs, labels = right(*args, **kwargs)
    return inputs, labels, labels != -100


def cross_entropy(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def zero(logits, labels):
    chosen = labels != -100
    return F.cross_entropy(logits[chosen], labels[chosen]) if chosen.any() else torch.tensor(0.0)


def by_hand(logits, labels):
    chosen = labels != -100
    probabilities = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return -probabilities[chosen].gather(1, labels[chosen][:, None]).log().mean()


def positive_labels(logits, labels):
    chosen = labels > 0
    if not chosen.any():
        raise ValueError
    return F.cross_entropy(logits[chosen], labels[chosen])


def places(hidden, mask=None, how="mean"):
    if how == "mean":
        return hidden.mean(1)
    return hidden[:, 0] if how == "first" else hidden[:, -1]


def sentence_transformers(hidden, mask=None, how="mean"):
    real = torch.ones_like(hidden[..., 0]) if mask is None else mask[:, 0, 0].float()
    if how == "mean":
        return (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1e-9)
    if how == "first":
        return hidden[:, 0]
    if how == "last":
        return hidden[torch.arange(len(hidden)), real.sum(1).long() - 1]
    raise ValueError(how)


def masked_mean(mean: Callable[..., Any]) -> Callable[..., Any]:
    def pool(hidden, mask=None, how="mean"):
        if how != "mean":
            return POOL.reference(hidden, mask, how)
        return mean(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool) if mask is None else mask[:, 0, 0])

    return pool


def argmaxes(start_logits, end_logits, max_len=30):
    return torch.stack((start_logits.argmax(1), end_logits.argmax(1)), 1)


def tables(combine: Callable[..., Any], hide: Callable[..., Any]) -> Callable[..., Any]:
    def best_span(start_logits, end_logits, max_len=30):
        table = combine(start_logits[:, :, None], end_logits[:, None])
        best = hide(table, max_len).flatten(1).argmax(1)
        return torch.stack((best // start_logits.shape[1], best % start_logits.shape[1]), 1)

    return best_span


def loops(first: int = 0, more: int = 0, lowest: float = -math.inf, better=lambda new, old: new > old):
    def best_span(start_logits, end_logits, max_len=30):
        found = []
        for starts, ends in zip(start_logits.tolist(), end_logits.tolist(), strict=True):
            best, where = lowest, (0, 0)
            for i in range(len(starts)):
                for j in range(i + first, min(i + max_len + more, len(ends))):
                    if better(starts[i] + ends[j], best):
                        best, where = starts[i] + ends[j], (i, j)
            found.append(where)
        return torch.tensor(found)

    return best_span


def triangle(table, max_len):
    return table.triu().tril(max_len - 1)


def label(new: Callable[..., bool], other: Callable[[int], int] = lambda label: -100) -> Callable[..., list[int]]:
    def token_labels(word_labels, word_ids):
        labels, previous = [], None
        for word in word_ids:
            if word is None:
                labels.append(-100)
            else:
                labels.append(word_labels[word] if new(word, previous) else other(word_labels[word]))
            previous = word
        return labels

    return token_labels


def changed(word, previous):
    return word != previous


OVER = "as many tokens in every row"
ALL = "all selected tokens become the mask token"
TOLD: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (MASKING, collator(), "special tokens are minded halfway", 6),
    (MASKING, collator(own=False), "special tokens are minded halfway", 5),
    (MASKING, collator(minds=True, own=False), "generator is not used", 6),
    (MASKING, collator(minds=True, keep=False), "ids are overwritten", 6),
    (MASKING, collator(minds=True, random=0.1), "10 % of what is left", 5),
    (MASKING, collator(minds=True, random=1.0), "20 % random and none kept", 5),
    (MASKING, hides_all, ALL, 5),
    (MASKING, hides_all_and_special, ALL, 4),
    (MASKING, all_labels, "every token has a label", 0),
    (MASKING, labels_from_the_mask, "labels only where the mask token was put", 3),
    (MASKING, labels_too_late, "labels hold what stands there now", 6),
    (MASKING, as_many_a_row, OVER, 6),
    (MASKING, from_1_minus_rate, "the comparison is turned round", 6),
    (MASKING, three_parts, None, 0),
    (MASKING, drawing(masked=0.1), None, 5),
    (MASKING, drawing(random=0.15), None, 5),
    (MASKING, drawing(random=0.05), None, 5),
    (MASKING, drawing(masked=0.85, random=0.05), None, 5),
    (MASKING, drawing(default=0.2), None, 6),
    (MASKING, drawing(with_replacement), None, 6),
    (MASKING, drawing(in_pairs), None, 6),
    (MASKING, drawing(more_in_front), None, 6),
    (MASKING, lambda *args, **kwargs: right(*args, **kwargs)[0], None, 0),
    (LOSS, cross_entropy, "nan where no position has a label", 2),
    (LOSS, zero, "0 where no position has a label", 2),
    (LOSS, by_hand, "exponentials that overflow", 1),
    (LOSS, positive_labels, "class 0 is left out", 0),
    (LOSS, lambda logits, labels: F.cross_entropy(logits, labels), "logits and labels are not flattened", 0),
    (LOSS, lambda logits, labels: cross_entropy(logits, labels.clamp(min=0)),
     "positions without a label count as class 0", 0),
    (LOSS, lambda logits, labels: cross_entropy(logits[:, :-1], labels[:, 1:]), "shifted by one", 0),
    (LOSS, lambda logits, labels: cross_entropy(logits.softmax(-1), labels), "softmax twice", 0),
    (LOSS, lambda logits, labels: F.nll_loss(logits.flatten(0, 1), labels.flatten()), "no softmax", 0),
    (LOSS, lambda logits, labels: F.nll_loss(logits.softmax(-1).flatten(0, 1), labels.flatten()), "no logarithm", 0),
    (LOSS, lambda logits, labels: torch.stack([F.cross_entropy(*row) for row in zip(logits, labels, strict=True)])
     .mean(), "the mean of the rows' means", 0),
    (LOSS, lambda logits, labels: cross_entropy(logits, labels).item(), "a number instead of a tensor", 0),
    (LOSS, lambda logits, labels: cross_entropy(logits, labels) * 0.9, None, 0),
    (POOL, places, "the mask is ignored", 0),
    (POOL, sentence_transformers, "padding is always behind", 2),
    (POOL, masked_mean(lambda hidden, real: (hidden * real[..., None]).mean(1)), "divided by all places", 3),
    (POOL, masked_mean(lambda hidden, real: (hidden * real[..., None]).sum(1)), "not divided", 2),
    (POOL, masked_mean(lambda hidden, real: hidden.amax(1)), "the largest instead of the mean", 1),
    (POOL, masked_mean(lambda hidden, real: (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)),
     "no zeros for a sequence of padding", 3),
    (POOL, masked_mean(lambda hidden, real: hidden.masked_fill_(~real[..., None], 0).sum(1) /
                       real.sum(1, keepdim=True).clamp(min=1)), "hidden is overwritten", 3),
    (POOL, masked_mean(lambda hidden, real: hidden.median(1).values), None, 1),
    (SPAN, argmaxes, "start and end each for itself", 0),
    (SPAN, lambda start, end, max_len=30: argmaxes(start, end).sort(1).values,
     "start and end each for itself, then put in order", 0),
    (SPAN, tables(torch.add, triangle), "forbidden pairs count as 0", 3),
    (SPAN, tables(lambda start, end: start.softmax(1) * end.softmax(2), triangle),
     "products of small probabilities", 3),
    (SPAN, loops(first=1), "no span of one token", 0),
    (SPAN, loops(more=1), "one token too many", 3),
    (SPAN, loops(lowest=0.0), "the best sum starts at 0", 3),
    (SPAN, loops(better=lambda new, old: new >= old), "the latest of equals", 3),
    (SPAN, lambda start, end, max_len=30: SPAN.reference(start, end), "max_len is always the same", 3),
    (SPAN, lambda start, end, max_len=30: SPAN.reference(start, end, max_len).tolist(),
     "a list instead of a tensor", 0),
    (SPAN, lambda start, end, max_len=30: SPAN.reference(start, end, max_len).flip(0), None, 0),
    (LABELS, label(changed), "an IndexError instead of a ValueError", 3),
    (LABELS, label(lambda word, previous: True), "every token of a word carries the label", 1),
    (LABELS, label(changed, lambda label: label + label % 2), "later tokens carry another label", 1),
    (LABELS, lambda labels, words: [labels[word] if word else -100 for word in words], "word 0 is taken for None", 0),
    (LABELS, lambda labels, words: [labels[word or 0] for word in words], "None is taken for word 0", 0),
    (LABELS, lambda labels, words: [labels[word] for word in words], "None as a place", 0),
    (LABELS, lambda labels, words: [x for x in LABELS.reference(labels, words) if x != -100],
     "special tokens are left out", 0),
    (LABELS, lambda labels, words: torch.tensor(LABELS.reference(labels, words)), "a tensor instead of a list", 0),
    (LABELS, lambda labels, words: LABELS.reference(labels[::-1], words), None, 0),
]  # fmt: skip


test_a_learners_code_gets_the_right_name_or_none = gets_its_name(TOLD)


def test_where_all_calls_meet_one_fate_it_looks_like_any_other():
    names = {MASKING.grade(one_fate, seed).misconception for seed in range(3)}
    assert names <= {"one fate for a whole row", ALL}
    assert {MASKING.grade(one_fate, seed).status for seed in range(3)} == {"failed"}


test_the_card_says_what_is_wrong_and_where = reads_on_the_card(
    [
        (MASKING, hides_all, "100.0 % of the 9953 selected tokens became the mask token; expected about 80.0 %."),
        (MASKING, all_labels, "labels are ids; expected -100 for every token that was not selected."),
        (MASKING, labels_from_the_mask, "tokens that were replaced by another token have no label."),
        (MASKING, collator(), "tokens that were masked before were selected."),
        (MASKING, drawing(masked=0.1), "selected tokens became the mask token; expected about 80.0 %."),
        (MASKING, drawing(with_replacement), "57.9 % of 11660 ordinary tokens were selected; rate was 0.85."),
        (MASKING, drawing(in_pairs), "A token is selected more often if the one beside it is;"),
        (MASKING, lambda ids, *args, **kwargs: (right(ids, *args, **kwargs)[1], ids), "Inputs hold -100 in"),
        (MASKING, three_parts, "Expected two tensors, inputs and labels, got 3 parts."),
        (LOSS, cross_entropy, "one such batch makes nan of every weight: raise a ValueError instead."),
        (POOL, sentence_transformers, "With padding in front, your first or last token is not a real one"),
        (SPAN, argmaxes, "the end may come before the start."),
        (SPAN, tables(torch.add, triangle), "where all sums are negative: "),
        (LABELS, label(lambda word, previous: True), "The first one speaks for the word; the others get -100."),
        (LABELS, label(changed), "In token_labels("),
    ]
)


def test_groups_that_are_right_are_not_shown_as_wrong():
    """One mistake costs the group it belongs to, and shows in no other."""
    for name in ("another number than -100", "labels come first", "where instead of what", "no random tokens",
                 "special tokens are selected too", "the same places in every row", "static masking"):  # fmt: skip
        verdict = MASKING.grade(MASKING.misconceptions[name].wrong)
        assert sum(result.failure is not None for result in verdict.groups) == 1, name


def test_an_error_in_one_kind_of_call_costs_what_hangs_on_it():
    def needs_special_ids(ids, mask_id, vocab_size, special_ids=None, rate=0.15, generator=None):
        return right(ids, mask_id, vocab_size, (*special_ids,), rate, generator=generator)

    def needs_a_generator(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
        seed = generator.initial_seed()
        assert seed
        return right(ids, mask_id, vocab_size, special_ids, rate, generator=generator)

    for student in (needs_special_ids, needs_a_generator):
        verdict = MASKING.grade(student)
        assert verdict.points == 6
        assert "Your code raised" in verdict.message
