"""Known mistakes and right answers for `alignment`."""

import numpy as np
import torch

from course_lib import alignments
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson06 import run

__all__ = ["PAIRS"]


def _mean(weights, source, target):
    return weights.mean(0)[: len(target), : len(source)]


def _best(scores):
    return scores.argmax(-1).tolist()


def _pair(places, source, target):
    return [(word, source[place]) for word, place in zip(target, places, strict=True)]


def _aligner(table=_mean, choose=_best, give=_pair):
    """Make an alignment from its steps. table: (target, source). choose: a place for each row. give: the pairs."""

    def alignment(weights, source, target):
        return give(choose(table(weights, source, target)), source, target)

    return alignment


def _cut(weights, source, target):
    return weights[:, : len(target), : len(source)]


def _over_targets(weights, source, target):
    """For each source word the target word that looks at it most."""
    places = _mean(weights, source, target).argmax(0).tolist()
    return [(target[place], word) for place, word in zip(places, source, strict=True)]


def _one_for_each(weights, source, target):
    table, pairs = _mean(weights, source, target).clone(), []
    for word, row in zip(target, table, strict=True):
        place = int(row.argmax())
        pairs.append((word, source[place]))
        table[:, place] = -1
    return pairs


def _of_the_whole_table(weights, source, target):
    place = int(weights.mean(0).argmax()) % weights.shape[2]
    return [(word, source[place]) for word in target]


def _vote(weights, source, target):
    """Each head chooses, and the most frequent choice counts."""
    choices = _cut(weights, source, target).argmax(-1)
    return _pair(choices.mode(0).values.tolist(), source, target)


def _padding_wins(weights, source, target):
    """The rows are cut and the columns are not."""
    return _pair(_best(weights.mean(0)[: len(target)]), source, target)


def _padding_dropped(weights, source, target):
    """Pairs are left out where padding has the largest weight."""
    places = _best(weights.mean(0)[: len(target)])
    return [(word, source[place]) for word, place in zip(target, places, strict=True) if place < len(source)]


def _rows_uncut(weights, source, target):
    """The columns are cut and the rows are not."""
    places = weights.mean(0)[:, : len(source)].argmax(-1)
    return [(target[row], source[place]) for row, place in enumerate(places.tolist())]


def _cut_across(weights, source, target):
    """Rows and columns cut with one another's lengths."""
    places = weights.mean(0)[: len(source), : len(target)].argmax(-1).tolist()
    return [(word, source[place]) for word, place in zip(target, places, strict=False)]


def _in_order(weights, source, target):
    return [(word, source[min(place, len(source) - 1)]) for place, word in enumerate(target)]


def _above_half(weights, source, target):
    table = _mean(weights, source, target)
    return [(target[row], source[place]) for row, place in (table > 0.5).nonzero().tolist()]


def _last_of_equals(table):
    return (table.shape[-1] - 1 - table.flip(-1).argmax(-1)).tolist()


def _by_rows(weights, source, target):
    average = sum(weights) / len(weights)
    pairs = []
    for t, word in enumerate(target):
        row = average[t, : len(source)].tolist()
        pairs.append((word, source[row.index(max(row))]))
    return pairs


def _by_max(weights, source, target):
    places = weights.sum(dim=0)[: len(target), : len(source)].max(dim=-1).indices
    return list(zip(target, (source[place] for place in places), strict=True))


def _by_numpy(weights, source, target):
    table = np.asarray(weights.detach()).mean(axis=0)
    return [(target[t], source[int(np.argmax(table[t, : len(source)]))]) for t in range(len(target))]


def _by_keys(weights, source, target):
    average = torch.einsum("hts->ts", weights)
    return [
        (word, source[max(range(len(source)), key=lambda place: average[t, place].item())])
        for t, word in enumerate(target)
    ]


def _by_filling(weights, source, target):
    average = weights.mean(dim=0)
    average = average.masked_fill(torch.arange(average.shape[1]) >= len(source), float("-inf"))
    return [(word, source[int(row.argmax())]) for word, row in zip(target, average, strict=False)]


def _by_comparing(weights, source, target):
    pairs = []
    average = weights.mean(0)
    for t in range(len(target)):
        best = 0
        for s in range(1, len(source)):
            if average[t, s] > average[t, best]:
                best = s
        pairs.append((target[t], source[best]))
    return pairs


def _both_sides(case):
    _, source, target = case.args
    return f"the source reads “{' '.join(source)}”, the target “{' '.join(target)}”"


PAIRS = Exercise(
    side=run.PAIRS,
    reference=alignments.alignment,
    groups={run.LARGEST: 2, run.PADDING: 1},
    judge=Equality(explain=_both_sides),
    difficulty=2,
    minutes=8,
    misconceptions={
        "the largest over the target": Misconception(
            _over_targets,
            "You have a pair for each source word: which target word looks at it most. It is asked for each target "
            "word, so the largest is taken along its row, over the source: the last axis.",
        ),
        "the largest of all heads": Misconception(
            _aligner(lambda weights, source, target: _cut(weights, source, target).amax(0)),
            "You take the largest weight of any head, so that one sure head decides alone. Average the heads first: "
            "weights.mean(0).",
        ),
        "one head alone": Misconception(
            _aligner(lambda weights, source, target: _cut(weights, source, target)[0]),
            "You look at one head. The others have read something too: average all of them, weights.mean(0).",
        ),
        "the heads vote": Misconception(
            _vote,
            "You let each head choose and then count, which forgets how sure each was. Average the weights first, and "
            "choose once.",
        ),
        "the heads are multiplied": Misconception(
            _aligner(lambda weights, source, target: _cut(weights, source, target).prod(0)),
            "You multiply the weights of the heads, so that one head that looks away rules a word out. Average them: "
            "weights.mean(0).",
        ),
        "averaged over the target": Misconception(
            lambda weights, source, target: _pair(_best(weights.mean(1)[:, : len(source)]), source, target),
            "You averaged another axis than the heads. weights is (heads, target, source): the heads are axis 0.",
        ),
        "the heads are not averaged": Misconception(
            lambda weights, source, target: _pair(
                weights[:, : len(target), : len(source)].argmax(-1).tolist(), source, target
            ),
            "The heads are still there when the words are chosen. Average them first, weights.mean(0), and what "
            "remains is one row for each target word.",
        ),
        "the smallest weight": Misconception(
            _aligner(choose=lambda table: table.argmin(-1).tolist()),
            "You pair each word with the one it reads least. The largest weight counts: argmax.",
        ),
        "the largest of the whole table": Misconception(
            _of_the_whole_table,
            "All target words get the same source word: argmax without an axis looks at the whole table. Give it the "
            "last axis, argmax(-1).",
        ),
        "word by word, in order": Misconception(
            _in_order,
            "You pair the words by their places, and the weights say nothing to it. Word order differs between "
            "languages: take the place of the largest weight.",
        ),
        "each source word once": Misconception(
            _one_for_each,
            "You use each source word only once. Two target words may read the same one: each takes its largest "
            "weight, whatever the others took.",
        ),
        "all weights above a half": Misconception(
            _above_half,
            "You pair words whose weight is above a threshold, so that some get none. Each target word has one pair: "
            "with the largest weight, however small.",
        ),
        "the last of equals": Misconception(
            _aligner(choose=_last_of_equals),
            "Where two weights are equally large you take the later one. The first counts, which is what argmax gives: "
            "look for > instead of >= in a comparison of your own.",
        ),
        "padding may win": Misconception(
            _padding_wins,
            "Columns behind the source words are padding, and in some rows they have the largest weight. Look at the "
            "first len(source) columns alone before you take the largest.",
        ),
        "no pair where padding wins": Misconception(
            _padding_dropped,
            "Target words are missing from your list: you leave out those whose largest weight is on padding. Cut the "
            "padding off first, and take the largest among the words.",
        ),
        "padding rows get pairs": Misconception(
            _rows_uncut,
            "There are more rows than target words: what stands behind them is padding. Go through the target words, "
            "or cut the rows at len(target).",
        ),
        "rows and columns are cut with each other's length": Misconception(
            _cut_across,
            "weights is (heads, target, source): the rows are cut at len(target), the columns at len(source). You have "
            "them the other way round.",
        ),
        "the pairs are turned round": Misconception(
            _aligner(give=lambda places, source, target: [(s, t) for t, s in _pair(places, source, target)]),
            "The right words are together, and in the wrong order: the target word comes first, (target word, source "
            "word).",
        ),
        "places instead of words": Misconception(
            _aligner(give=lambda places, source, target: list(zip(target, places, strict=True))),
            "You give places, and words are asked for: source[place], and the word of the target itself.",
        ),
        "the source words alone": Misconception(
            _aligner(give=lambda places, source, target: [source[place] for place in places]),
            "You give a source word for each target word, without that word. Give pairs: (target word, source word).",
        ),
        "not a list yet": Misconception(
            _aligner(give=lambda places, source, target: zip(target, (source[place] for place in places), strict=True)),
            "The pairs are still to be made: zip and expressions in round brackets wait until somebody asks. Make a "
            "list of it, list(…).",
        ),
        "a dict instead of a list": Misconception(
            _aligner(give=lambda places, source, target: dict(_pair(places, source, target))),
            "A dict has each key once, and a word may stand in the target twice, perhaps with another partner. Give a "
            "list of pairs.",
        ),
        "each pair once": Misconception(
            _aligner(give=lambda places, source, target: sorted(set(_pair(places, source, target)))),
            "A set has no order and each pair only once. Give a list with a pair for each target word, in the order of "
            "the target.",
        ),
        "in the order of the source": Misconception(
            _aligner(
                give=lambda places, source, target: [
                    _pair(places, source, target)[t] for t in sorted(range(len(target)), key=places.__getitem__)
                ]
            ),
            "Your pairs stand in the order of the source. Give them in the order of the target, as it is written.",
        ),
        "source and target have changed places": Misconception(
            lambda weights, source, target: _aligner()(weights, target, source),
            "You take source for target. The rows of weights belong to the target and its columns to the source; the "
            "arguments come as (weights, source, target).",
        ),
    },
    variants={
        "the largest over the target": (
            lambda weights, source, target: [
                (word, source[place])
                for word, place in zip(target, _mean(weights, source, target).argmax(0).tolist(), strict=False)
            ],
            lambda weights, source, target: [
                (word, source[place]) for word, place in zip(target, weights.mean(0).argmax(0).tolist(), strict=False)
            ],
        ),
        "not a list yet": (
            _aligner(give=lambda places, source, target: (pair for pair in _pair(places, source, target))),
        ),
        "one head alone": (_aligner(lambda weights, source, target: _cut(weights, source, target)[-1]),),
        "averaged over the target": (
            lambda weights, source, target: _pair(_best(weights.mean(2)[:, : len(source)]), source, target),
        ),
        "places instead of words": (
            _aligner(give=lambda places, source, target: list(enumerate(places))),
            _aligner(give=lambda places, source, target: places),
        ),
        "padding may win": (
            lambda weights, source, target: [
                (word, source[place]) for word, place in zip(target, _best(weights.mean(0)), strict=False)
            ],
            lambda weights, source, target: [
                (word, (source + ["<pad>"] * 9)[place])
                for word, place in zip(target, _best(weights.mean(0)), strict=False)
            ],
        ),
        "padding rows get pairs": (
            lambda weights, source, target: _pair(_best(weights.mean(0)[:, : len(source)]), source, target),
        ),
        "each pair once": (
            _aligner(give=lambda places, source, target: list(dict.fromkeys(_pair(places, source, target)))),
            _aligner(give=lambda places, source, target: list(dict(_pair(places, source, target)).items())),
        ),
        "source and target have changed places": (
            lambda weights, source, target: [(source[t], target[s]) for t, s in enumerate(_best(weights.mean(0)))],
        ),
    },
    alternatives=[_by_rows, _by_max, _by_numpy, _by_keys, _by_filling, _by_comparing],
    hints=(
        "Take one target word: which numbers of weights are about it? They are as many as heads times source words; "
        "how do they become one source word?",
        "weights.mean(0) is (target, source), perhaps with padding behind. Cut it to the words, and argmax(-1) gives a "
        "place in the source for each row.",
        "weights.mean(0)[: len(target), : len(source)].argmax(-1).tolist() are the places; go through target and "
        "places together, and give (word, source[place]).",
    ),
)
