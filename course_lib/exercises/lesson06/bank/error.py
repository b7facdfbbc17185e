"""Known mistakes and right answers for `alignment_error`."""

import torch

from course_lib import alignments
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson06 import run

__all__ = ["ERROR"]

NOTHING = "no target token has a partner"


def _hit(weights, gold):
    return gold.gather(1, weights.argmax(1, keepdim=True))[:, 0]


def _has_partner(weights, gold):
    return gold.any(1)


def _share(wrong, counts):
    return (wrong & counts).sum().item() / counts.sum().item()


def _erring(hit=_hit, counted=_has_partner, share=_share):
    """Make an alignment_error from its steps.

    hit: which tokens look at a partner. counted: which tokens count. share: of the wrong among those that count.
    """

    def alignment_error(weights, gold):
        counts = counted(weights, gold)
        if not gold.any():
            raise ValueError(NOTHING)
        return share(~hit(weights, gold), counts)

    return alignment_error


def _all_count(weights, gold):
    return torch.ones(len(gold), dtype=torch.bool)


def _right_without_partner(weights, gold):
    return _hit(weights, gold) | ~gold.any(1)


def _first_partner(weights, gold):
    return weights.argmax(1) == gold.int().argmax(1)


def _last_partner(weights, gold):
    return weights.argmax(1) == gold.shape[1] - 1 - gold.int().flip(1).argmax(1)


def _all_partners(weights, gold):
    """The largest weights, as many as there are partners, are on the partners."""
    hits = [set(row.topk(max(int(own.sum()), 1)).indices.tolist()) == set(own.nonzero()[:, 0].tolist())
            for row, own in zip(weights, gold, strict=True)]  # fmt: skip
    return torch.tensor(hits)


def _above_half(weights, gold):
    return ((weights > 0.5) & gold).any(1)


def _mass(weights, gold):
    """The weight that is not on partners, summed up."""
    counts = gold.any(1)
    if not counts.any():
        raise ValueError(NOTHING)
    return 1 - (weights * gold).sum(1)[counts].mean().item()


def _least_mass(weights, gold):
    """The same, over all tokens."""
    if not gold.any():
        raise ValueError(NOTHING)
    return 1 - (weights * gold).sum(1).mean().item()


def _pairs(weights, gold):
    """The share of true pairs that are not found."""
    if not gold.any():
        raise ValueError(NOTHING)
    found = torch.zeros_like(gold).scatter(1, weights.argmax(1, keepdim=True), True)
    return (gold & ~found).sum().item() / gold.sum().item()


def _cells(weights, gold):
    """The share of cells of the table that differ."""
    if not gold.any():
        raise ValueError(NOTHING)
    found = torch.zeros_like(gold).scatter(1, weights.argmax(1, keepdim=True), True)
    return (gold != found).float().mean().item()


def _over_targets(weights, gold):
    counts = gold.any(0)
    if not counts.any():
        raise ValueError(NOTHING)
    hit = gold.gather(0, weights.argmax(0, keepdim=True))[0]
    return _share(~hit, counts)


def _counted_by_columns(weights, gold):
    return gold.any(0)


def _aligned_rate(weights, gold):
    """The rate of Och and Ney, all links sure: 1 - 2 |A and G| / (|A| + |G|)."""
    if not gold.any():
        raise ValueError(NOTHING)
    hits = _hit(weights, gold).sum().item()
    return 1 - 2 * hits / (len(gold) + gold.sum().item())


def _not_raising(value):
    def alignment_error(weights, gold):
        return _erring()(weights, gold) if gold.any() else value

    return alignment_error


def _dividing(weights, gold):
    counts = gold.any(1)
    return ((~_hit(weights, gold) & counts).sum() / counts.sum()).item()


def _whole_division(weights, gold):
    counts = gold.any(1)
    return (~_hit(weights, gold) & counts).sum().item() / counts.sum().item()


def _of_the_result(change):
    return lambda weights, gold: change(_erring()(weights, gold))


def _smallest(weights, gold):
    return _hit(-weights, gold)


def _mean_of_booleans(weights, gold):
    return 1 - _hit(weights, gold)[gold.any(1)].mean().item()


def _without_axis(weights, gold):
    return _erring(hit=lambda weights, gold: gold.gather(1, weights.argmax(1)))(weights, gold)


def _every_row_with_every_place(weights, gold):
    if not gold.any():
        raise ValueError(NOTHING)
    counts = gold.any(1)
    return 1 - gold[counts][:, weights.argmax(1)[counts]].float().mean().item()


def _place_beside_place(weights, gold):
    return _erring(hit=lambda weights, gold: weights.argmax(1) == gold.argmax(1))(weights, gold)


def _asserting(weights, gold):
    assert gold.any(), NOTHING
    return _erring()(weights, gold)


def _by_rows(weights, gold):
    wrong = total = 0
    for row, partners in zip(weights, gold, strict=True):
        if partners.any():
            total += 1
            wrong += not partners[row.argmax()]
    if total == 0:
        raise ValueError(NOTHING)
    return int(wrong) / total


def _by_lists(weights, gold):
    rows = [(row, own) for row, own in zip(weights.tolist(), gold.tolist(), strict=True) if True in own]
    if not rows:
        raise ValueError(NOTHING)
    return sum(not own[row.index(max(row))] for row, own in rows) / len(rows)


def _by_indexing(weights, gold):
    counts = gold.any(dim=-1)
    if not counts.any():
        raise ValueError(NOTHING)
    hits = gold[torch.arange(len(gold)), weights.argmax(dim=-1)]
    return 1.0 - hits[counts].float().mean().item()


def _by_one_hot(weights, gold):
    kept = gold.any(1)
    if kept.sum() == 0:
        raise ValueError(NOTHING)
    found = torch.nn.functional.one_hot(weights[kept].argmax(1), gold.shape[1]).bool()
    return float((~(found & gold[kept]).any(1)).double().mean())


def _by_sets(weights, gold):
    partners: dict[int, set[int]] = {}
    for target, source in gold.nonzero().tolist():
        partners.setdefault(target, set()).add(source)
    if not partners:
        raise ValueError(NOTHING)
    best = weights.argmax(-1).tolist()
    return len([target for target, own in partners.items() if best[target] not in own]) / len(partners)


ERROR = Exercise(
    side=run.ERROR,
    reference=alignments.alignment_error,
    groups={run.WRONG_SHARE: 2, run.COUNTED: 2, run.NUMBER: 1},
    apart=(run.COUNTED,),
    judge=Equality(rtol=1e-5, atol=1e-6),
    difficulty=3,
    minutes=12,
    misconceptions={
        "the share that is right": Misconception(
            _of_the_result(lambda error: 1 - error),
            "That is the share of tokens that look where they should. The error is the rest: 1 minus it.",
        ),
        "tokens without a partner count as wrong": Misconception(
            _erring(counted=_all_count),
            'Words such as "und" have no partner and can hit none, and you count them as wrong. Leave them out, of '
            "the wrong ones and of the total: gold.any(-1) says who counts.",
        ),
        "tokens without a partner count as right": Misconception(
            _erring(hit=_right_without_partner, counted=_all_count),
            "You divide by all target tokens, so that those without a partner count as right. They do not count at "
            "all: divide by the number of tokens that have one.",
        ),
        "only tokens without a partner count": Misconception(
            _erring(hit=_hit, counted=lambda weights, gold: ~gold.any(1) | ~gold.any()),
            "You keep the tokens that have no partner. It is the others that count: gold.any(-1) is True where a token "
            "has one.",
        ),
        "a threshold instead of the largest": Misconception(
            _erring(hit=_above_half),
            "You ask whether a partner has a weight above a half, and the largest weight may be smaller than that. "
            "Look where the largest is: argmax.",
        ),
        "the weight that goes astray": Misconception(
            _mass,
            "You add up weights. What counts is one place for each token, that of its largest weight, and whether a "
            "partner stands there; how large it is does not matter.",
        ),
        "pairs are counted": Misconception(
            _pairs,
            "You count the true pairs that are found, and a token with two partners counts twice. Count tokens: one is "
            "right if its largest weight is on any of its partners.",
        ),
        "cells are counted": Misconception(
            _cells,
            "You compare whole tables, and most of their cells are False in both. Count target tokens that have a "
            "partner, one for each row.",
        ),
        "the rate of Och and Ney": Misconception(
            _aligned_rate,
            "That is the alignment error rate on sets of links. The one asked for is simpler: a share of the target "
            "tokens that have a partner.",
        ),
        "the first partner alone": Misconception(
            _erring(hit=_first_partner),
            "A token may have several partners, and you accept one of them. Its largest weight may be on any: ask gold "
            "at the place of the largest weight.",
        ),
        "the place of gold's own largest": Misconception(
            _place_beside_place,
            "argmax does not take booleans, and of several partners it would find one alone. Ask gold at the place of "
            "the largest weight whether that is a partner.",
        ),
        "every partner must be found": Misconception(
            _erring(hit=_all_partners),
            "A token may have several partners, and you want all of them found. One place is looked at, that of the "
            "largest weight, and any partner there is right.",
        ),
        "the largest over the target": Misconception(
            _over_targets,
            "You go through the source tokens: which target token looks at each most. It is the target tokens that "
            "read; take the largest along a row, the last axis.",
        ),
        "who counts is asked of the columns": Misconception(
            _erring(counted=_counted_by_columns),
            "You ask which source tokens have a partner. Target tokens are the rows: gold.any(-1).",
        ),
        "gold is turned": Misconception(
            lambda weights, gold: _erring()(weights, gold.T),
            "You turned gold round. It comes as (target, source), as weights does: use it as it is.",
        ),
        "every row meets every place": Misconception(
            _every_row_with_every_place,
            "gold[:, places] gives for each row the places of all of them. Each row has one place of its own: "
            "gold[torch.arange(len(gold)), places], or gather.",
        ),
        "gather lacks an axis": Misconception(
            _without_axis,
            "gather wants places with as many axes as gold: argmax(-1, keepdim=True), and the axis of size 1 is taken "
            "off afterwards.",
        ),
        "the mean of booleans": Misconception(
            _mean_of_booleans,
            "Booleans have no mean in torch. Make numbers of them first, with .float().",
        ),
        "the smallest weight": Misconception(
            _erring(hit=_smallest),
            "You look at the source token that is read least. The largest weight counts: argmax.",
        ),
        "how many instead of which share": Misconception(
            _erring(share=lambda wrong, counts: (wrong & counts).sum().item()),
            "You count the wrong tokens. A share is asked for: divide by the number of tokens that have a partner.",
        ),
        "in percent": Misconception(
            _of_the_result(lambda error: 100 * error),
            "You give percent. A share is a number from 0 to 1.",
        ),
        "0 where nothing counts": Misconception(
            _not_raising(0.0),
            "Where no token has a partner there is nothing to be right or wrong about, and a perfect 0 would be a "
            "boast. Raise ValueError.",
        ),
        "nan where nothing counts": Misconception(
            _dividing,
            "Where no token has a partner you divide by 0, and the answer is nan. Ask before, and raise ValueError.",
        ),
        "a division by zero where nothing counts": Misconception(
            _whole_division,
            "Where no token has a partner you divide by 0, and Python says so with another error. Ask before, and "
            "raise ValueError.",
        ),
        "an assert where nothing counts": Misconception(
            _asserting,
            "An assert raises AssertionError, and is left out when Python runs with -O. Whoever calls is told by a "
            "ValueError: if …: raise ValueError(…).",
        ),
        "a tensor comes back": Misconception(
            _of_the_result(torch.tensor),
            "The number is right and stands in a tensor. Give a plain number: .item().",
        ),
    },
    variants={
        "the first partner alone": (_erring(hit=_last_partner),),
        "the share that is right": (lambda weights, gold: 1 - _dividing(weights, gold),),
        "tokens without a partner count as right": (
            _erring(counted=_has_partner, share=lambda wrong, counts: (wrong & counts).float().mean().item()),
        ),
        "0 where nothing counts": (_not_raising(None), _not_raising(1.0)),
        "in percent": (_of_the_result(lambda error: round(100 * error, 1)),),
        "nan where nothing counts": (lambda weights, gold: (~_hit(weights, gold))[gold.any(1)].float().mean().item(),),
        "the weight that goes astray": (_least_mass,),
    },
    alternatives=[_by_rows, _by_lists, _by_indexing, _by_one_hot, _by_sets],
    hints=(
        "Take one target token: which place in the source has its largest weight, and what does gold say about this "
        "place? And what if gold has no True in its row?",
        "gold.any(-1) says which tokens count. For those, weights.argmax(-1) is the place; the token is wrong where "
        "gold is False there. Then a share, as a plain number.",
        "hits = gold[torch.arange(len(gold)), weights.argmax(-1)] and counts = gold.any(-1). If none counts, "
        "ValueError; else 1 minus the mean of hits[counts].float(), and .item().",
    ),
)
