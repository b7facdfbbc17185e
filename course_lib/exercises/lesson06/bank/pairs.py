"""Known mistakes and right answers for `alignment`."""

import torch

from course_lib import alignments
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson06 import run
from course_lib.exercises.lesson06.bank.pairing import (
    BY_ROW,
    above_half,
    aligner,
    averaged,
    by_comparing,
    by_filling,
    by_keys,
    by_max,
    by_numpy,
    by_rows,
    cut_across,
    in_order,
    joined,
    largest,
    last_of_equals,
    looked_up,
    of_the_whole_table,
    one_for_each,
    over_targets,
    padding_dropped,
    padding_wins,
    paired,
    rows_uncut,
    vote,
    ways,
    with_weight,
    words_alone,
    zipped,
)

__all__ = ["PAIRS"]


def _both_sides(case):
    _, source, target = case.args
    return f"the source reads “{' '.join(source)}”, the target “{' '.join(target)}”"


PAIRS = Exercise(
    side=run.PAIRS,
    reference=alignments.alignment,
    groups={run.LARGEST: 1, run.TWICE: 1, run.PADDING: 1},
    judge=Equality(explain=_both_sides, items="pairs"),
    difficulty=2,
    minutes=8,
    misconceptions={
        "the largest over the target": Misconception(
            over_targets,
            "You have a pair for each source word: which target word looks at it most. It is asked for each target "
            "word, so the largest is taken along its row, over the source: the last axis.",
        ),
        "the largest of all heads": Misconception(
            aligner(lambda weights, source, target: words_alone(weights, source, target).amax(0)),
            "You take the largest weight of any head, so that one sure head decides alone. Average the heads first: "
            "weights.mean(0).",
        ),
        "one head alone": Misconception(
            aligner(lambda weights, source, target: words_alone(weights, source, target)[0]),
            "You look at one head. The others have read something too: average all of them, weights.mean(0).",
        ),
        "the heads vote": Misconception(
            vote,
            "You let each head choose and then count, which forgets how sure each was. Average the weights first, and "
            "choose once.",
        ),
        "the heads are multiplied": Misconception(
            aligner(lambda weights, source, target: words_alone(weights, source, target).prod(0)),
            "You multiply the weights of the heads, so that one head that looks away rules a word out. Average them: "
            "weights.mean(0).",
        ),
        "another axis than the heads is averaged": Misconception(
            lambda weights, source, target: paired(largest(weights.mean(1)[:, : len(source)]), source, target),
            "You averaged another axis than the heads. weights is (heads, target, source): the heads are axis 0.",
        ),
        "a batch axis is taken off": Misconception(
            lambda weights, source, target: [
                (word, source[int(weights[0].mean(0)[row, : len(source)].argmax())]) for row, word in enumerate(target)
            ],
            "There is no batch axis: weights is of one pair of sentences, (heads, target, source), and weights[0] is "
            "its first head. Average all of weights over axis 0.",
        ),
        "the rows are shifted": Misconception(
            lambda weights, source, target: [
                (word, source[place])
                for word, place in zip(target, largest(weights.mean(0)[1:, : len(source)]), strict=False)
            ],
            "Each target word gets the row of its neighbour. Row t belongs to target word t, from the first on: "
            "leave out no row, and add none.",
        ),
        "the heads are not averaged": Misconception(
            lambda weights, source, target: paired(
                weights[:, : len(target), : len(source)].argmax(-1).tolist(), source, target
            ),
            "The heads are still there when the words are chosen. Average them first, weights.mean(0), and what "
            "remains is one row for each target word.",
        ),
        "the smallest weight": Misconception(
            aligner(choose=lambda table: table.argmin(-1).tolist()),
            "You pair each word with the one it reads least. The largest weight counts: argmax.",
        ),
        "the largest of the whole table": Misconception(
            of_the_whole_table,
            "argmax without an axis looks at the whole table, and gives all target words the same place in it. Give it "
            "the last axis, argmax(-1).",
        ),
        "a number is gone through": Misconception(
            lambda weights, source, target: [
                (word, source[place])
                for word, place in zip(target, averaged(weights, source, target).argmax().tolist(), strict=True)
            ],
            "A number stands where several things are asked for, as in zip or behind in. len(target) wants range(…) "
            "around it; argmax gives a place for each row if the heads alone were averaged: argmax(-1).",
        ),
        "word by word, in order": Misconception(
            in_order,
            "You pair the words by their places, and the weights say nothing to it. Word order differs between "
            "languages: take the place of the largest weight.",
        ),
        "each source word once": Misconception(
            one_for_each,
            "You use each source word only once. Two target words may read the same one: each takes its largest "
            "weight, whatever the others took.",
        ),
        "all weights above a half": Misconception(
            above_half,
            "You pair words whose weight is above a threshold, so that some get none. Each target word has one pair: "
            "with the largest weight, however small.",
        ),
        "the last of equals": Misconception(
            aligner(choose=last_of_equals),
            "Where two weights are equally large you take the later one. The first counts, which is what argmax gives: "
            "look for > instead of >= in a comparison of your own.",
        ),
        "topk may take any of equals": Misconception(
            aligner(choose=lambda table: table.topk(1).indices[:, 0].tolist()),
            "Where two weights are equally large, topk gives one of them, and not always the first. The first counts: "
            "that is what argmax gives.",
        ),
        "a repeated word is looked up": Misconception(
            looked_up,
            "Where a word stands twice in the target, both get one and the same row or pair: target.index(word) finds "
            "the first, a dict keeps the last. Go by place: the first row for the first word, and so on.",
        ),
        "padding may win": Misconception(
            padding_wins,
            "Columns behind the source words are padding, and in some rows they have the largest weight. Look at the "
            "first len(source) columns alone before you take the largest.",
        ),
        "no pair where padding wins": Misconception(
            padding_dropped,
            "Target words are missing from your list: you leave out those whose largest weight is on padding. Cut the "
            "padding off first, and take the largest among the words.",
        ),
        "padding rows get pairs": Misconception(
            rows_uncut,
            "There are more rows than target words: what stands behind them is padding. Go through the target words, "
            "or cut the rows at len(target).",
        ),
        "rows and columns are cut with each other's length": Misconception(
            cut_across,
            "weights is (heads, target, source): the rows are cut at len(target), the columns at len(source). You have "
            "them the other way round.",
        ),
        "the pairs are turned round": Misconception(
            aligner(give=lambda places, source, target: [(s, t) for t, s in paired(places, source, target)]),
            "The right words are together, and in the wrong order: the target word comes first, (target word, source "
            "word).",
        ),
        "places instead of words": Misconception(
            aligner(give=lambda places, source, target: list(zip(target, places, strict=True))),
            "You give places, and words are asked for: source[place], and the word of the target itself.",
        ),
        "the source words alone": Misconception(
            aligner(give=lambda places, source, target: [source[place] for place in places]),
            "You give a source word for each target word, without that word. Give pairs: (target word, source word).",
        ),
        "not a list yet": Misconception(
            aligner(give=lambda places, source, target: zip(target, (source[place] for place in places), strict=True)),
            "The pairs are still to be made: zip and expressions in round brackets wait until somebody asks. Make a "
            "list of it, list(…).",
        ),
        "a dict instead of a list": Misconception(
            aligner(give=lambda places, source, target: dict(paired(places, source, target))),
            "A dict has each key once, and a word may stand in the target twice, perhaps with another partner. Give a "
            "list of pairs.",
        ),
        "repeated words are lost": Misconception(
            aligner(give=lambda places, source, target: list(dict(paired(places, source, target)).items())),
            "A word that stands twice in the target has a pair each time, and one of yours is lost: a dict has each "
            "key once. Put the pairs into a list from the start.",
        ),
        "a set of pairs": Misconception(
            aligner(give=lambda places, source, target: sorted(set(paired(places, source, target)))),
            "A set has no order and each pair only once. Give a list with a pair for each target word, in the order of "
            "the target.",
        ),
        "strings instead of pairs": Misconception(
            joined("-"),
            "You join the two words into one string. Give them as a pair, in round brackets with a comma: a tuple of "
            "the target word and the source word.",
        ),
        "more than a pair": Misconception(
            aligner(
                give=lambda places, source, target: [
                    (*pair, place) for pair, place in zip(paired(places, source, target), places, strict=True)
                ]
            ),
            "There is something besides the two words, such as a place or a weight. Give pairs of two: the target word "
            "and the source word.",
        ),
        "two lists": Misconception(
            aligner(give=lambda places, source, target: (target, [source[place] for place in places])),
            "You give all target words and all source words, each by themselves. Go through both together, as zip "
            "does, and give one list of pairs.",
        ),
        "in the order of the source": Misconception(
            aligner(
                give=lambda places, source, target: [
                    paired(places, source, target)[t] for t in sorted(range(len(target)), key=places.__getitem__)
                ]
            ),
            "Your pairs stand in the order of the source. Give them in the order of the target, as it is written.",
        ),
        "source and target have changed places": Misconception(
            lambda weights, source, target: aligner()(weights, target, source),
            "You take source for target. The rows of weights belong to the target and its columns to the source; the "
            "arguments come as (weights, source, target).",
        ),
    },
    variants={
        "the largest over the target": (
            lambda weights, source, target: [
                (word, source[place])
                for word, place in zip(target, averaged(weights, source, target).argmax(0).tolist(), strict=False)
            ],
            lambda weights, source, target: [
                (word, source[place]) for word, place in zip(target, weights.mean(0).argmax(0).tolist(), strict=False)
            ],
        ),
        "not a list yet": (
            aligner(give=lambda places, source, target: (pair for pair in paired(places, source, target))),
            aligner(give=lambda places, source, target: map(tuple, paired(places, source, target))),
        ),
        "one head alone": (aligner(lambda weights, source, target: words_alone(weights, source, target)[-1]),),
        "another axis than the heads is averaged": (
            *ways(lambda weights: weights.mean(1)),
            *ways(lambda weights: weights.mean(2)),
            lambda weights, source, target: zipped(words_alone(weights, source, target).mean(1), source, target),
            lambda weights, source, target: zipped(words_alone(weights, source, target).mean(2), source, target),
        ),
        "a batch axis is taken off": ways(lambda weights: weights[0].mean(0), BY_ROW),
        "the rows are shifted": (
            *ways(lambda weights: weights.mean(0)[1:]),
            *ways(lambda weights: weights.mean(0).roll(1, 0)),
            lambda weights, source, target: zipped(averaged(weights, source, target)[1:], source, target),
        ),
        "the largest of the whole table": (
            *(
                lambda weights, source, target, table=table: [
                    (word, source[int(table(weights, source, target).argmax())]) for word in target
                ]
                for table in (averaged, lambda weights, source, target: weights.mean(0))
            ),
            lambda weights, source, target: [
                (word, source[int(averaged(weights, source, target).argmax()) % len(source)]) for word in target
            ],
        ),
        "a number is gone through": (
            lambda weights, source, target: zipped(weights[0].mean(0), source, target),
            lambda weights, source, target: [
                (target[row], source[int(averaged(weights, source, target)[row].argmax())]) for row in len(target)
            ],
        ),
        "topk may take any of equals": (aligner(choose=lambda table: table.topk(2).indices[:, 0].tolist()),),
        "a repeated word is looked up": (
            aligner(
                give=lambda places, source, target: [
                    (word, dict(paired(places, source, target))[word]) for word in target
                ]
            ),
        ),
        "repeated words are lost": (
            aligner(give=lambda places, source, target: list(dict.fromkeys(paired(places, source, target)))),
        ),
        "a set of pairs": (aligner(give=lambda places, source, target: set(paired(places, source, target))),),
        "strings instead of pairs": tuple(
            joined(by) for by in ("", " ", "->", " -> ", "→", " → ", ":", ": ", ",", ", ", " - ", "_", "/", "=", " = ")
        ),
        "more than a pair": (
            aligner(
                give=lambda places, source, target: [
                    (number, *pair) for number, pair in enumerate(paired(places, source, target))
                ]
            ),
            with_weight(float),
            with_weight(torch.clone),
        ),
        "places instead of words": (
            aligner(give=lambda places, source, target: list(enumerate(places))),
            aligner(give=lambda places, source, target: places),
        ),
        "padding may win": (
            lambda weights, source, target: [
                (word, source[place]) for word, place in zip(target, largest(weights.mean(0)), strict=False)
            ],
            lambda weights, source, target: [
                (word, (source + ["<pad>"] * 9)[place])
                for word, place in zip(target, largest(weights.mean(0)), strict=False)
            ],
            *(
                lambda weights, source, target, fit=fit: [
                    (word, source[fit(place, len(source))])
                    for word, place in zip(target, largest(weights.mean(0)), strict=False)
                ]
                for fit in (lambda place, count: min(place, count - 1), lambda place, count: place % count)
            ),
        ),
        "padding rows get pairs": (
            lambda weights, source, target: paired(largest(weights.mean(0)[:, : len(source)]), source, target),
        ),
        "source and target have changed places": (
            lambda weights, source, target: [(source[t], target[s]) for t, s in enumerate(largest(weights.mean(0)))],
        ),
    },
    alternatives=[by_rows, by_max, by_numpy, by_keys, by_filling, by_comparing],
    hints=(
        "Take one target word: which numbers of weights are about it? They are as many as heads times source words; "
        "how do they become one source word?",
        "weights.mean(0) is (target, source), perhaps with padding behind. Cut it to the words, and argmax(-1) gives a "
        "place in the source for each row.",
        "weights.mean(0)[: len(target), : len(source)].argmax(-1).tolist() are the places; go through target and "
        "places together, and give (word, source[place]).",
    ),
)
