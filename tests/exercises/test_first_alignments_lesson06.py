"""First attempts at the alignments of lesson 06, by somebody who had not read it: each gets the name of what it gets
wrong."""

from collections.abc import Callable
from typing import Any

import torch

from course_lib import exercises
from course_lib.exercises.exercise import Exercise
from tests.exercises.told import gets_its_name, passes, reads_on_the_card

PAIRS, ERROR = exercises.lesson("06")[2:]


def looped(
    table: Callable[[torch.Tensor], torch.Tensor], place: Callable[[torch.Tensor], Any] = torch.argmax
) -> Callable[..., Any]:
    """Target word by target word. table: what the weights become first. place: of the largest in a row."""

    def alignment(weights, source, target):
        average = table(weights)
        pairs = []
        for i in range(len(target)):
            row = average[i, : len(source)]
            pairs.append((target[i], source[int(place(row))]))
        return pairs

    return alignment


def zipped(places: Callable[..., Any]) -> Callable[..., Any]:
    def alignment(weights, source, target):
        found = places(weights.mean(0)[: len(target), : len(source)])
        return [(word, source[place]) for word, place in zip(target, found, strict=False)]

    return alignment


def gives(give: Callable[..., Any]) -> Callable[..., Any]:
    """The right words, handed back in another form. give: of target words, source words and places."""

    def alignment(weights, source, target):
        places = weights.mean(0)[: len(target), : len(source)].argmax(-1).tolist()
        return give(target, [source[place] for place in places], places)

    return alignment


def looked_up(weights, source, target):
    average = weights.mean(0)[:, : len(source)]
    return [(word, source[average[target.index(word)].argmax()]) for word in target]


def by_a_dict(weights, source, target):
    average = weights.mean(0)
    partner = {}
    for i, word in enumerate(target):
        partner[word] = source[int(average[i, : len(source)].argmax())]
    return [(word, partner[word]) for word in target]


def clamped(weights, source, target):
    best = weights.mean(0).argmax(-1).clamp(max=len(source) - 1)
    return [(word, source[place]) for word, place in zip(target, best.tolist(), strict=False)]


def of_the_whole_table(weights, source, target):
    average = weights.mean(0)[: len(target), : len(source)]
    return [(word, source[average.argmax()]) for word in target]


def without_range(weights, source, target):
    average = weights.mean(0)
    return [(target[i], source[average[i].argmax()]) for i in len(target)]


def out_of_the_list(weights, source, target):
    average = weights.mean(0)
    return [(word, source[int(row.argmax()) + 50]) for word, row in zip(target, average, strict=False)]


def as_a_set(target, source, places):
    return set(zip(target, source, strict=True))


ALIGNED: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (PAIRS, zipped(lambda table: table[1:].argmax(-1)), "the rows are shifted", 0),
    (PAIRS, looped(lambda weights: weights.mean(0)[1:]), "the rows are shifted", 0),
    (PAIRS, looped(lambda weights: weights.mean(1)), "another axis than the heads is averaged", 0),
    (PAIRS, looped(lambda weights: weights.mean(-1)), "another axis than the heads is averaged", 0),
    (PAIRS, lambda w, source, target: [(t, source[s]) for t, s in zip(target, w.mean(1).argmax(-1), strict=False)],
     "another axis than the heads is averaged", 0),
    (PAIRS, looped(lambda weights: weights[0].mean(0)), "a batch axis is taken off", 0),
    (PAIRS, of_the_whole_table, "the largest of the whole table", 0),
    (PAIRS, zipped(lambda table: table.argmax().tolist()), "a number is gone through", 0),
    (PAIRS, without_range, "a number is gone through", 0),
    (PAIRS, out_of_the_list, None, 0),
    (PAIRS, clamped, "padding may win", 2),
    (PAIRS, zipped(lambda table: table.topk(1).indices[:, 0].tolist()), "topk may take any of equals", 2),
    (PAIRS, looped(lambda weights: weights.mean(0), place=lambda row: len(row) - 1 - row.flip(0).argmax()),
     "the last of equals", 2),
    (PAIRS, looked_up, "a repeated word is looked up", 2),
    (PAIRS, by_a_dict, "a repeated word is looked up", 2),
    (PAIRS, gives(lambda target, source, places: list(dict(zip(target, source, strict=True)).items())),
     "repeated words are lost", 2),
    (PAIRS, gives(lambda target, source, places: list(dict.fromkeys(zip(target, source, strict=True)))),
     "repeated words are lost", 2),
    (PAIRS, gives(as_a_set), "a set of pairs", 0),
    (PAIRS, gives(lambda target, source, places: [f"{t} → {s}" for t, s in zip(target, source, strict=True)]),
     "strings instead of pairs", 0),
    (PAIRS, gives(lambda target, source, places: list(zip(target, source, places, strict=True))),
     "more than a pair", 0),
    (PAIRS, gives(lambda target, source, places: (target, source)), "two lists", 0),
]  # fmt: skip

test_pairs_get_their_name = gets_its_name(ALIGNED)


def by_tokens(
    right: Callable[..., Any] = lambda row, own: own[row.argmax()],
    refused: Callable[[torch.Tensor], Any] = lambda has: not has.any(),
    error: type[Exception] = ValueError,
    end: Callable[[int, int], Any] = lambda wrong, total: wrong / total,
    table: Callable[[torch.Tensor], torch.Tensor] = lambda weights: weights,
) -> Callable[..., Any]:
    """Token by token. right: whether one is. refused: by who has a partner. table: what becomes of the weights."""

    def alignment_error(weights, gold):
        has = gold.any(-1)
        if refused(has):
            raise error("some table has nobody to count")
        weights, wrong = table(weights), 0
        for i in range(len(gold)):
            if has[i]:
                wrong += not right(weights[i], gold[i])
        return end(wrong, int(has.sum()))

    return alignment_error


def at_once(
    right: Callable[..., torch.Tensor], has: Callable[[torch.Tensor], torch.Tensor] = lambda gold: gold.any(-1)
) -> Callable[..., Any]:
    """All tokens at once. right: which are. has: which of them count."""

    def alignment_error(weights, gold):
        counts = has(gold)
        if not counts.any():
            raise ValueError("no partners")
        return (~right(weights, gold))[counts].float().mean().item()

    return alignment_error


def of_one(weights, gold):
    return torch.nn.functional.one_hot(weights.argmax(-1), gold.shape[-1]).bool()


def divided_by_pairs(weights, gold):
    if not gold.any():
        raise ValueError("no partners")
    best, wrong = weights.argmax(-1), 0
    for i in range(len(gold)):
        if gold[i].any() and not gold[i, best[i]]:
            wrong += 1
    return wrong / gold.sum().item()


def columns_one_by_one(weights, gold):
    best, wrong, total = weights.argmax(0), 0, 0
    for i in range(len(gold)):
        if gold[i].any():
            total += 1
            wrong += int(not gold[i, best[i]])
    if total == 0:
        raise ValueError("no partners")
    return wrong / total


def largest_equal(weights):
    return weights == weights.max(-1, keepdim=True).values


ERRED: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (ERROR, at_once(lambda w, g: g[torch.arange(len(g)), w.shape[-1] - 1 - w.flip(-1).argmax(-1)]),
     "the last of equals", 4),
    (ERROR, by_tokens(right=lambda row, own: own[max(range(len(row)), key=lambda s: (row[s].item(), s))]),
     "the last of equals", 4),
    (ERROR, at_once(lambda w, g: (largest_equal(w) & g).any(-1)), "any of equals is enough", 4),
    (ERROR, at_once(lambda w, g: ~((w * g).max(-1).values < w.max(-1).values)), "any of equals is enough", 4),
    (ERROR, at_once(lambda w, g: (w * g).max(-1).values > (w * ~g).max(-1).values), "all of equals are asked", 4),
    (ERROR, at_once(lambda w, g: g.gather(-1, w.topk(1).indices)[:, 0]), "topk may take any of equals", 4),
    (ERROR, by_tokens(right=lambda row, own: own[row.topk(1).indices.item()]), "topk may take any of equals", 4),
    (ERROR, by_tokens(refused=lambda has: has.any()), "the check is the wrong way round", 0),
    (ERROR, by_tokens(refused=lambda has: not has.all()), "one token without a partner is refused", 3),
    (ERROR, at_once(lambda w, g: g[torch.arange(len(g)), w.argmax(-1)], has=lambda gold: gold.all(-1)),
     "no token counts", 0),
    (ERROR, at_once(lambda w, g: g[:, w.argmax(-1)].any(-1)), "every row meets every place", 0),
    (ERROR, at_once(lambda w, g: (of_one(w, g) == g).all(-1)), "every partner must be found", 2),
    (ERROR, at_once(lambda w, g: g[torch.arange(len(g)), (w * g).argmax(-1)]), "nothing is ever wrong", 0),
    (ERROR, divided_by_pairs, "divided by the number of pairs", 2),
    (ERROR, by_tokens(end=lambda wrong, total: round(wrong / total, 2)), "the share is rounded", 0),
    (ERROR, by_tokens(end=lambda wrong, total: wrong // total), "a division without a remainder", 0),
    (ERROR, by_tokens(end=lambda wrong, total: int(wrong / total)), "a division without a remainder", 0),
    (ERROR, at_once(lambda w, g: g[torch.arange(len(g)), w.argmax(0)]), "the largest over the target", 0),
    (ERROR, at_once(lambda w, g: g.gather(-1, w.argmax(0).unsqueeze(-1))[:, 0]), "the largest over the target", 0),
    (ERROR, columns_one_by_one, "the largest over the target", 0),
    (ERROR, at_once(lambda w, g: g[torch.arange(len(g)), w.argmax()]), "the largest of the whole table", 0),
    (ERROR, by_tokens(error=TypeError), "another error where nothing counts", 4),
    (ERROR, by_tokens(error=RuntimeError), "another error where nothing counts", 4),
    (ERROR, at_once(lambda w, g: g[torch.arange(len(g)), w.mean(0).argmax(-1)]), "averaged once more", 0),
    (ERROR, by_tokens(table=lambda weights: weights.mean(0)), "averaged once more", 0),
    (ERROR, by_tokens(end=lambda wrong, total: wrong / total / 3), None, 0),
]  # fmt: skip

test_shares_get_their_name = gets_its_name(ERRED)

RIGHT: list[tuple[Exercise, Callable[..., Any]]] = [
    (PAIRS, zipped(lambda table: table.argsort(dim=-1, descending=True, stable=True)[:, 0].tolist())),
    (PAIRS, zipped(lambda table: [row.index(max(row)) for row in table.tolist()])),
    (PAIRS, gives(lambda target, source, places: tuple([t, s] for t, s in zip(target, source, strict=True)))),
    (ERROR, by_tokens()),
    (ERROR, by_tokens(right=lambda row, own: own[row.tolist().index(row.max().item())])),
    (ERROR, at_once(lambda w, g: (of_one(w, g) & g).any(-1))),
    (ERROR, at_once(lambda w, g: g.gather(1, w.max(-1, keepdim=True).indices).squeeze(1))),
]  # fmt: skip

test_unusual_right_answers_pass = passes(RIGHT)


def in_a_comprehension(weights, source, target):
    average = weights.mean(0)
    return [
        (word, source[average[i, : len(source)].argmax() + 50])
        for i, word in enumerate(target)
    ]  # fmt: skip


TABLES = "Expected 0.75, got 0.25. weights gold 0.45 0.2 0.35 ■ · ■ 0.1 0.6 0.3 ■ · ■"
CARDS = [
    (PAIRS, in_a_comprehension, "In line 4 of in_a_comprehension: (word, source["),
    (PAIRS, gives(lambda target, source, places: list(zip(target, source[::-1], strict=True))),
     "pairs differ; the first is [0]: expected ('"),
    (PAIRS, gives(lambda target, source, places: list(zip(target, source, strict=True))[:-1]),
     "Expected 3 pairs, got 2; [2] is missing: ('"),
    (ERROR, by_tokens(end=lambda wrong, total: wrong / total / 3), TABLES),
]  # fmt: skip

test_the_card_says_what_is_wrong_and_where = reads_on_the_card(CARDS)
