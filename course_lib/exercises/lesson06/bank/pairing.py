"""Alignments right and wrong, from steps of which each can be another one; and right, written differently."""

import numpy as np
import torch

__all__ = [
    "BY_ROW",
    "above_half",
    "aligner",
    "averaged",
    "by_comparing",
    "by_filling",
    "by_keys",
    "by_max",
    "by_numpy",
    "by_rows",
    "cut_across",
    "in_order",
    "joined",
    "largest",
    "last_of_equals",
    "looked_up",
    "of_the_whole_table",
    "one_for_each",
    "over_targets",
    "padding_dropped",
    "padding_wins",
    "paired",
    "rows_uncut",
    "vote",
    "ways",
    "with_weight",
    "words_alone",
    "zipped",
]


def averaged(weights, source, target):
    return weights.mean(0)[: len(target), : len(source)]


def largest(scores):
    return scores.argmax(-1).tolist()


def paired(places, source, target):
    return [(word, source[place]) for word, place in zip(target, places, strict=True)]


def aligner(table=averaged, choose=largest, give=paired):
    """Make an alignment from its steps. table: (target, source). choose: a place for each row. give: the pairs."""

    def alignment(weights, source, target):
        return give(choose(table(weights, source, target)), source, target)

    return alignment


def words_alone(weights, source, target):
    return weights[:, : len(target), : len(source)]


def over_targets(weights, source, target):
    """For each source word the target word that looks at it most."""
    places = averaged(weights, source, target).argmax(0).tolist()
    return [(target[place], word) for place, word in zip(places, source, strict=True)]


def one_for_each(weights, source, target):
    table, pairs = averaged(weights, source, target).clone(), []
    for word, row in zip(target, table, strict=True):
        place = int(row.argmax())
        pairs.append((word, source[place]))
        table[:, place] = -1
    return pairs


def of_the_whole_table(weights, source, target):
    place = int(weights.mean(0).argmax()) % weights.shape[2]
    return [(word, source[place]) for word in target]


def vote(weights, source, target):
    """Each head chooses, and the most frequent choice counts."""
    choices = words_alone(weights, source, target).argmax(-1)
    return paired(choices.mode(0).values.tolist(), source, target)


def padding_wins(weights, source, target):
    """The rows are cut and the columns are not."""
    return paired(largest(weights.mean(0)[: len(target)]), source, target)


def padding_dropped(weights, source, target):
    """Pairs are left out where padding has the largest weight."""
    places = largest(weights.mean(0)[: len(target)])
    return [(word, source[place]) for word, place in zip(target, places, strict=True) if place < len(source)]


def rows_uncut(weights, source, target):
    """The columns are cut and the rows are not."""
    places = weights.mean(0)[:, : len(source)].argmax(-1)
    return [(target[row], source[place]) for row, place in enumerate(places.tolist())]


def cut_across(weights, source, target):
    """Rows and columns cut with one another's lengths."""
    places = weights.mean(0)[: len(source), : len(target)].argmax(-1).tolist()
    return [(word, source[place]) for word, place in zip(target, places, strict=False)]


def in_order(weights, source, target):
    return [(word, source[min(place, len(source) - 1)]) for place, word in enumerate(target)]


def above_half(weights, source, target):
    table = averaged(weights, source, target)
    return [(target[row], source[place]) for row, place in (table > 0.5).nonzero().tolist()]


def last_of_equals(table):
    return (table.shape[-1] - 1 - table.flip(-1).argmax(-1)).tolist()


def looked_up(weights, source, target):
    """The row of a word is that of its first place."""
    table = averaged(weights, source, target)
    return [(word, source[int(table[target.index(word)].argmax())]) for word in target]


def zipped(table, source, target):
    return [(word, source[place]) for word, place in zip(target, largest(table), strict=False)]


def _by_zip_of_one_length(table, source, target):
    return paired(largest(table), source, target)


def _by_row(table, source, target):
    return [(word, source[int(table[row].argmax())]) for row, word in enumerate(target)]


def _by_cut_row(table, source, target):
    return [(word, source[int(table[row, : len(source)].argmax())]) for row, word in enumerate(target)]


def _by_row_cut_later(table, source, target):
    return [(word, source[int(table[row][: len(source)].argmax())]) for row, word in enumerate(target)]


BY_ROW = _by_cut_row, _by_row, _by_row_cut_later
BY_ANY = zipped, _by_zip_of_one_length, *BY_ROW
CUTS = (
    lambda table, source, target: table,
    lambda table, source, target: table[:, : len(source)],
    lambda table, source, target: table[: len(target), : len(source)],
)


def ways(table, read=BY_ANY, cuts=CUTS):
    """Pairs from a table of the weights in the ways learners go: cut to the words or not, and read one by one."""

    def way(cut, pair):
        return lambda weights, source, target: pair(cut(table(weights), source, target), source, target)

    return tuple(way(cut, pair) for cut in cuts for pair in read)


def joined(by):
    """Strings in the place of pairs."""
    return aligner(give=lambda places, source, target: [f"{t}{by}{s}" for t, s in paired(places, source, target)])


def with_weight(kind):
    """The largest weight beside each pair."""

    def alignment(weights, source, target):
        table = averaged(weights, source, target)
        pairs = paired(largest(table), source, target)
        return [(*pair, kind(row.max())) for pair, row in zip(pairs, table, strict=True)]

    return alignment


def by_rows(weights, source, target):
    average = sum(weights) / len(weights)
    pairs = []
    for t, word in enumerate(target):
        row = average[t, : len(source)].tolist()
        pairs.append((word, source[row.index(max(row))]))
    return pairs


def by_max(weights, source, target):
    places = weights.sum(dim=0)[: len(target), : len(source)].max(dim=-1).indices
    return list(zip(target, (source[place] for place in places), strict=True))


def by_numpy(weights, source, target):
    table = np.asarray(weights.detach()).mean(axis=0)
    return [(target[t], source[int(np.argmax(table[t, : len(source)]))]) for t in range(len(target))]


def by_keys(weights, source, target):
    average = torch.einsum("hts->ts", weights)
    return [
        (word, source[max(range(len(source)), key=lambda place: average[t, place].item())])
        for t, word in enumerate(target)
    ]


def by_filling(weights, source, target):
    average = weights.mean(dim=0)
    average = average.masked_fill(torch.arange(average.shape[1]) >= len(source), float("-inf"))
    return [(word, source[int(row.argmax())]) for word, row in zip(target, average, strict=False)]


def by_comparing(weights, source, target):
    pairs = []
    average = weights.mean(0)
    for t in range(len(target)):
        best = 0
        for s in range(1, len(source)):
            if average[t, s] > average[t, best]:
                best = s
        pairs.append((target[t], source[best]))
    return pairs
