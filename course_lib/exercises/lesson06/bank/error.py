"""Known mistakes and right answers for `alignment_error`."""

import torch

from course_lib import alignments
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson06 import run
from course_lib.exercises.lesson06.bank.erring import (
    above_half,
    aligned_rate,
    all_count,
    all_of_equals,
    all_partners,
    all_rows_with_every_place,
    among_partners,
    any_of_equals,
    any_row_at_any_place,
    asserting,
    averaged_again,
    averaged_again_by_rows,
    by_indexing,
    by_lists,
    by_one_hot,
    by_rows,
    by_sets,
    by_topk,
    cells_counted,
    columns_cell_by_cell,
    columns_one_by_one,
    counted_by_columns,
    dividing,
    erring,
    every_row_with_every_place,
    first_partner,
    for_each_pair,
    gathered_by_columns,
    gathered_in_columns,
    has_partner,
    last_of_equals,
    last_partner,
    least_mass,
    mass,
    mean_of_booleans,
    no_gap_in_gold,
    no_other_partner,
    not_raising,
    of_the_result,
    of_the_whole_table,
    on_a_partner,
    over_targets,
    pairs_counted,
    place_beside_place,
    places_by_columns,
    refusing,
    right_without_partner,
    rows_with_every_place,
    shared_in_torch,
    smallest,
    stopping,
    whole_division,
    without_axis,
)

__all__ = ["ERROR"]

ERROR = Exercise(
    side=run.ERROR,
    reference=alignments.alignment_error,
    groups={run.WRONG_SHARE: 1, run.EQUALS: 1, run.COUNTED: 2, run.NUMBER: 1},
    apart=(run.COUNTED,),
    judge=Equality(rtol=1e-5, atol=1e-6, inputs=lambda case: dict(zip(("weights", "gold"), case.args, strict=True))),
    difficulty=3,
    minutes=12,
    misconceptions={
        "the share that is right": Misconception(
            of_the_result(lambda error: 1 - error),
            "That is the share of tokens that look where they should. The error is the rest: 1 minus it.",
        ),
        "tokens without a partner count as wrong": Misconception(
            erring(counted=all_count),
            'Words such as "und" have no partner and can hit none, and you count them as wrong. Leave them out, of '
            "the wrong ones and of the total: gold.any(-1) says who counts.",
        ),
        "tokens without a partner count as right": Misconception(
            erring(hit=right_without_partner, counted=all_count),
            "You divide by all target tokens, so that those without a partner count as right. They do not count at "
            "all: divide by the number of tokens that have one.",
        ),
        "only tokens without a partner count": Misconception(
            erring(hit=on_a_partner, counted=lambda weights, gold: ~gold.any(1) | ~gold.any()),
            "You keep the tokens that have no partner. It is the others that count: gold.any(-1) is True where a token "
            "has one.",
        ),
        "no token counts": Misconception(
            stopping(lambda counts: not counts.any(), no_gap_in_gold),
            "For you no token counts, in any table: gold.all(-1), say, wants every source token to be a partner. A "
            "token counts if it has a partner at all: gold.any(-1).",
        ),
        "the check is the wrong way round": Misconception(
            stopping(lambda counts: counts.any()),
            "You raise ValueError where there are tokens to count, and go on where there are none. It is for a table "
            "in which no token has a partner: look for a missing not.",
        ),
        "one token without a partner is refused": Misconception(
            stopping(lambda counts: not counts.all()),
            "You refuse a table as soon as one token has no partner. Such tokens do not count, and the others do: "
            "raise ValueError only where none is left.",
        ),
        "the last of equals": Misconception(
            erring(hit=last_of_equals),
            "Where two weights of a row are equally large you look at the later one. The first counts, which is what "
            "argmax gives: look for > instead of >= in a comparison of your own.",
        ),
        "any of equals is enough": Misconception(
            erring(hit=any_of_equals),
            "Where several weights of a row are equally large, a partner at any of them is enough for you. One place "
            "is looked at, the first of them: let argmax find it, and ask gold there.",
        ),
        "all of equals are asked": Misconception(
            erring(hit=all_of_equals),
            "Where several weights of a row are equally large, you want a partner at each of them. One place is "
            "looked at, the first of them: let argmax find it, and ask gold there.",
        ),
        "topk may take any of equals": Misconception(
            erring(hit=by_topk),
            "Where several weights of a row are equally large, topk gives one of them, and not always the first. The "
            "first counts: that is what argmax gives.",
        ),
        "nothing is ever wrong": Misconception(
            erring(hit=among_partners),
            "Your share is 0 for every table. The largest among the partners, as in weights * gold, is always on one "
            "of them: look for the largest of all weights in a row, and then ask gold.",
        ),
        "a threshold instead of the largest": Misconception(
            erring(hit=above_half),
            "You ask whether a partner has a weight above a half, and the largest weight may be smaller than that. "
            "Look where the largest is: argmax.",
        ),
        "the weight that goes astray": Misconception(
            mass,
            "You add up weights. What counts is one place for each token, that of its largest weight, and whether a "
            "partner stands there; how large it is does not matter.",
        ),
        "pairs are counted": Misconception(
            pairs_counted,
            "You count the true pairs that are found, and a token with two partners counts twice. Count tokens: one is "
            "right if its largest weight is on any of its partners.",
        ),
        "divided by the number of pairs": Misconception(
            for_each_pair,
            "You divide by the number of True in gold, in which a token with two partners counts twice. Divide by the "
            "number of tokens that have a partner.",
        ),
        "cells are counted": Misconception(
            cells_counted,
            "You compare whole tables, and most of their cells are False in both. Count target tokens that have a "
            "partner, one for each row.",
        ),
        "the rate of Och and Ney": Misconception(
            aligned_rate,
            "That is the alignment error rate on sets of links. The one asked for is simpler: a share of the target "
            "tokens that have a partner.",
        ),
        "the first partner alone": Misconception(
            erring(hit=first_partner),
            "A token may have several partners, and you accept one of them. Its largest weight may be on any: ask gold "
            "at the place of the largest weight.",
        ),
        "the place of gold's own largest": Misconception(
            place_beside_place,
            "argmax does not take booleans, and of several partners it would find one alone. Ask gold at the place of "
            "the largest weight whether that is a partner.",
        ),
        "every partner must be found": Misconception(
            erring(hit=all_partners),
            "A token may have several partners, and you want all of them found. One place is looked at, that of the "
            "largest weight, and any partner there is right.",
        ),
        "the largest over the target": Misconception(
            over_targets,
            "You go through the source tokens: which target token looks at each most. It is the target tokens that "
            "read; take the largest along a row, the last axis.",
        ),
        "averaged once more": Misconception(
            erring(hit=averaged_again),
            "The heads are averaged already: weights is (target, source), and a mean over axis 0 mixes the target "
            "tokens. Use it as it comes, with the largest of each row.",
        ),
        "the largest of the whole table": Misconception(
            erring(hit=of_the_whole_table),
            "argmax without an axis gives one place in the whole table, counted through all rows. Give it the last "
            "axis, argmax(-1): a place for each row.",
        ),
        "who counts is asked of the columns": Misconception(
            erring(counted=counted_by_columns),
            "You ask which source tokens have a partner. Target tokens are the rows: gold.any(-1).",
        ),
        "gold is turned": Misconception(
            lambda weights, gold: erring()(weights, gold.T),
            "You turned gold round. It comes as (target, source), as weights does: use it as it is.",
        ),
        "every row meets every place": Misconception(
            every_row_with_every_place,
            "gold[:, places] gives for each row the places of all of them. Each row has one place of its own: "
            "gold[torch.arange(len(gold)), places], or gather.",
        ),
        "gather lacks an axis": Misconception(
            without_axis,
            "gather wants places with as many axes as gold: argmax(-1, keepdim=True), and the axis of size 1 is taken "
            "off afterwards. weights comes averaged: with a mean before it, one more axis is gone.",
        ),
        "the mean of booleans": Misconception(
            mean_of_booleans,
            "Booleans have no mean in torch. Make numbers of them first, with .float().",
        ),
        "the smallest weight": Misconception(
            erring(hit=smallest),
            "You look at the source token that is read least. The largest weight counts: argmax.",
        ),
        "how many instead of which share": Misconception(
            erring(share=lambda wrong, counts: (wrong & counts).sum().item()),
            "You count the wrong tokens. A share is asked for: divide by the number of tokens that have a partner.",
        ),
        "the share is rounded": Misconception(
            of_the_result(lambda error: round(error, 2)),
            "You round the share. That is for showing it: what comes back is the number itself.",
        ),
        "a division without a remainder": Misconception(
            erring(share=lambda wrong, counts: (wrong & counts).sum().item() // counts.sum().item()),
            "// gives whole numbers, here 0 or 1, and int cuts off what stands behind the point. A share lies between "
            "them: divide with /.",
        ),
        "in percent": Misconception(
            of_the_result(lambda error: 100 * error),
            "You give percent. A share is a number from 0 to 1.",
        ),
        "an answer where nothing counts": Misconception(
            not_raising(0.0),
            "Where no token has a partner there is nothing to be right or wrong about: 0 would be a boast, and None "
            "comes up later, elsewhere. Raise ValueError, with raise and not with return.",
        ),
        "another error where nothing counts": Misconception(
            refusing(TypeError),
            "Where no token has a partner you raise an error of another kind than is asked for: ValueError, which "
            "says that the values given have no answer.",
        ),
        "nan where nothing counts": Misconception(
            dividing,
            "Where no token has a partner you divide by 0, and the answer is nan. Ask before, and raise ValueError.",
        ),
        "a division by zero where nothing counts": Misconception(
            whole_division,
            "Where no token has a partner you divide by 0, and Python says so with another error. Ask before, and "
            "raise ValueError.",
        ),
        "an assert where nothing counts": Misconception(
            asserting,
            "An assert raises AssertionError, and is left out when Python runs with -O. Whoever calls is told by a "
            "ValueError: if …: raise ValueError(…).",
        ),
        "a tensor comes back": Misconception(
            of_the_result(torch.tensor),
            "The number is right and stands in a tensor. Give a plain number: .item().",
        ),
    },
    variants={
        "the first partner alone": (erring(hit=last_partner),),
        "the share that is right": (lambda weights, gold: 1 - dividing(weights, gold),),
        "tokens without a partner count as right": (
            erring(counted=has_partner, share=lambda wrong, counts: (wrong & counts).float().mean().item()),
        ),
        "an answer where nothing counts": tuple(
            not_raising(value) for value in (None, 1.0, 0, 1, -1, -1.0, torch.inf, ValueError())
        ),
        "another error where nothing counts": tuple(
            refusing(error) for error in (RuntimeError, Exception, KeyError, IndexError, ArithmeticError)
        ),
        "the check is the wrong way round": (stopping(lambda counts: counts.any(), share=shared_in_torch),),
        "no token counts": (
            erring(counted=no_gap_in_gold),
            lambda weights, gold: (~on_a_partner(weights, gold))[gold.all(1)].float().mean().item(),
        ),
        "every partner must be found": (erring(hit=no_other_partner),),
        "the largest over the target": tuple(
            erring(hit=hit)
            for hit in (
                places_by_columns,
                gathered_by_columns,
                gathered_in_columns,
                columns_one_by_one,
                columns_cell_by_cell,
            )
        ),
        "every row meets every place": (
            erring(hit=any_row_at_any_place),
            rows_with_every_place,
            all_rows_with_every_place,
        ),
        "averaged once more": (erring(hit=averaged_again_by_rows),),
        "the share is rounded": tuple(of_the_result(lambda error, to=to: round(error, to)) for to in (1, 3)),
        "a division without a remainder": (of_the_result(lambda error: error // 1), of_the_result(int)),
        "in percent": (of_the_result(lambda error: round(100 * error, 1)),),
        "nan where nothing counts": (
            lambda weights, gold: (~on_a_partner(weights, gold))[gold.any(1)].float().mean().item(),
        ),
        "the weight that goes astray": (least_mass,),
    },
    alternatives=[by_rows, by_lists, by_indexing, by_one_hot, by_sets],
    hints=(
        "Take one target token: which place in the source has its largest weight, and what does gold say about this "
        "place? And what if gold has no True in its row?",
        "gold.any(-1) says which tokens count. For those, weights.argmax(-1) is the place; the token is wrong where "
        "gold is False there. Then a share, as a plain number.",
        "hits = gold[torch.arange(len(gold)), weights.argmax(-1)] and counts = gold.any(-1). If none counts, "
        "ValueError; else 1 minus the mean of hits[counts].float(), and .item().",
    ),
)
