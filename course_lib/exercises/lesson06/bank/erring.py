"""Alignment errors right and wrong, from steps of which each can be another one; and right, written differently."""

import torch

__all__ = [
    "above_half",
    "aligned_rate",
    "all_count",
    "all_of_equals",
    "all_partners",
    "all_rows_with_every_place",
    "among_partners",
    "any_of_equals",
    "any_row_at_any_place",
    "asserting",
    "averaged_again",
    "averaged_again_by_rows",
    "by_indexing",
    "by_lists",
    "by_one_hot",
    "by_rows",
    "by_sets",
    "by_topk",
    "cells_counted",
    "columns_cell_by_cell",
    "columns_one_by_one",
    "counted_by_columns",
    "dividing",
    "erring",
    "every_row_with_every_place",
    "first_partner",
    "for_each_pair",
    "gathered_by_columns",
    "gathered_in_columns",
    "has_partner",
    "last_of_equals",
    "last_partner",
    "least_mass",
    "mass",
    "mean_of_booleans",
    "no_gap_in_gold",
    "no_other_partner",
    "not_raising",
    "of_the_result",
    "of_the_whole_table",
    "on_a_partner",
    "over_targets",
    "pairs_counted",
    "place_beside_place",
    "places_by_columns",
    "refusing",
    "right_without_partner",
    "rows_with_every_place",
    "shared",
    "shared_in_torch",
    "smallest",
    "stopping",
    "whole_division",
    "without_axis",
]

NOTHING = "no target token has a partner"


def on_a_partner(weights, gold):
    return gold.gather(1, weights.argmax(1, keepdim=True))[:, 0]


def has_partner(weights, gold):
    return gold.any(1)


def shared(wrong, counts):
    return (wrong & counts).sum().item() / counts.sum().item()


def erring(hit=on_a_partner, counted=has_partner, share=shared):
    """Make an alignment_error from its steps.

    hit: which tokens look at a partner. counted: which tokens count. share: of the wrong among those that count.
    """

    def alignment_error(weights, gold):
        counts = counted(weights, gold)
        if not gold.any():
            raise ValueError(NOTHING)
        return share(~hit(weights, gold), counts)

    return alignment_error


def shared_in_torch(wrong, counts):
    return (wrong & counts).sum().div(counts.sum()).item()


def stopping(refused, counted=has_partner, share=shared):
    """An alignment_error that refuses more than it should. refused: by the tokens that count."""

    def alignment_error(weights, gold):
        counts = counted(weights, gold)
        if refused(counts):
            raise ValueError(NOTHING)
        return share(~on_a_partner(weights, gold), counts)

    return alignment_error


def no_gap_in_gold(weights, gold):
    return gold.all(1)


def all_count(weights, gold):
    return torch.ones(len(gold), dtype=torch.bool)


def right_without_partner(weights, gold):
    return on_a_partner(weights, gold) | ~gold.any(1)


def first_partner(weights, gold):
    return weights.argmax(1) == gold.int().argmax(1)


def last_partner(weights, gold):
    return weights.argmax(1) == gold.shape[1] - 1 - gold.int().flip(1).argmax(1)


def all_partners(weights, gold):
    """The largest weights, as many as there are partners, are on the partners."""
    hits = [set(row.topk(max(int(own.sum()), 1)).indices.tolist()) == set(own.nonzero()[:, 0].tolist())
            for row, own in zip(weights, gold, strict=True)]  # fmt: skip
    return torch.tensor(hits)


def no_other_partner(weights, gold):
    """The one place that is looked at is all that gold has."""
    found = torch.nn.functional.one_hot(weights.argmax(1), gold.shape[1]).bool()
    return (found == gold).all(1)


def last_of_equals(weights, gold):
    places = weights.shape[1] - 1 - weights.flip(1).argmax(1)
    return gold[torch.arange(len(gold)), places]


def any_of_equals(weights, gold):
    return ((weights == weights.amax(1, keepdim=True)) & gold).any(1)


def all_of_equals(weights, gold):
    return ~((weights == weights.amax(1, keepdim=True)) & ~gold).any(1)


def by_topk(weights, gold):
    return gold.gather(1, weights.topk(1).indices)[:, 0]


def among_partners(weights, gold):
    return on_a_partner(weights * gold, gold)


def above_half(weights, gold):
    return ((weights > 0.5) & gold).any(1)


def mass(weights, gold):
    """The weight that is not on partners, summed up."""
    counts = gold.any(1)
    if not counts.any():
        raise ValueError(NOTHING)
    return 1 - (weights * gold).sum(1)[counts].mean().item()


def least_mass(weights, gold):
    """The same, over all tokens."""
    if not gold.any():
        raise ValueError(NOTHING)
    return 1 - (weights * gold).sum(1).mean().item()


def pairs_counted(weights, gold):
    """The share of true pairs that are not found."""
    if not gold.any():
        raise ValueError(NOTHING)
    found = torch.zeros_like(gold).scatter(1, weights.argmax(1, keepdim=True), True)
    return (gold & ~found).sum().item() / gold.sum().item()


def for_each_pair(weights, gold):
    """Wrong tokens, divided by the number of true pairs."""
    if not gold.any():
        raise ValueError(NOTHING)
    return (~on_a_partner(weights, gold) & gold.any(1)).sum().item() / gold.sum().item()


def cells_counted(weights, gold):
    """The share of cells of the table that differ."""
    if not gold.any():
        raise ValueError(NOTHING)
    found = torch.zeros_like(gold).scatter(1, weights.argmax(1, keepdim=True), True)
    return (gold != found).float().mean().item()


def over_targets(weights, gold):
    counts = gold.any(0)
    if not counts.any():
        raise ValueError(NOTHING)
    hit = gold.gather(0, weights.argmax(0, keepdim=True))[0]
    return shared(~hit, counts)


def places_by_columns(weights, gold):
    return gold[torch.arange(len(gold)), weights.argmax(0)]


def gathered_by_columns(weights, gold):
    return gold.gather(1, weights.argmax(0, keepdim=True))[:, 0]


def gathered_in_columns(weights, gold):
    return gold.gather(1, weights.argmax(0)[:, None])[:, 0]


def columns_one_by_one(weights, gold):
    places = weights.argmax(0)
    return torch.tensor([bool(own.any() and own[places[row]]) for row, own in enumerate(gold)])


def columns_cell_by_cell(weights, gold):
    places = weights.argmax(0)
    return torch.tensor([bool(own.any() and gold[row, places[row]]) for row, own in enumerate(gold)])


def averaged_again(weights, gold):
    return gold[:, weights.mean(0).argmax()]


def averaged_again_by_rows(weights, gold):
    mean = weights.mean(0)
    return torch.tensor([bool(own.any() and own[mean[row].argmax()]) for row, own in enumerate(gold)])


def of_the_whole_table(weights, gold):
    return gold[torch.arange(len(gold)), weights.argmax()]


def counted_by_columns(weights, gold):
    return gold.any(0)


def aligned_rate(weights, gold):
    """The rate of Och and Ney, all links sure: 1 - 2 |A and G| / (|A| + |G|)."""
    if not gold.any():
        raise ValueError(NOTHING)
    hits = on_a_partner(weights, gold).sum().item()
    return 1 - 2 * hits / (len(gold) + gold.sum().item())


def not_raising(value):
    def alignment_error(weights, gold):
        return erring()(weights, gold) if gold.any() else value

    return alignment_error


def refusing(error):
    """Another error where nothing counts."""

    def alignment_error(weights, gold):
        if not gold.any():
            raise error(NOTHING)
        return erring()(weights, gold)

    return alignment_error


def dividing(weights, gold):
    counts = gold.any(1)
    return ((~on_a_partner(weights, gold) & counts).sum() / counts.sum()).item()


def whole_division(weights, gold):
    counts = gold.any(1)
    return (~on_a_partner(weights, gold) & counts).sum().item() / counts.sum().item()


def of_the_result(change):
    return lambda weights, gold: change(erring()(weights, gold))


def smallest(weights, gold):
    return on_a_partner(-weights, gold)


def mean_of_booleans(weights, gold):
    return 1 - on_a_partner(weights, gold)[gold.any(1)].mean().item()


def without_axis(weights, gold):
    return erring(hit=lambda weights, gold: gold.gather(1, weights.argmax(1)))(weights, gold)


def every_row_with_every_place(weights, gold):
    if not gold.any():
        raise ValueError(NOTHING)
    counts = gold.any(1)
    return 1 - gold[counts][:, weights.argmax(1)[counts]].float().mean().item()


def any_row_at_any_place(weights, gold):
    return gold[:, weights.argmax(1)].any(1)


def rows_with_every_place(weights, gold):
    """The same, where only the rows are those that count, or none is left out."""
    if not gold.any():
        raise ValueError(NOTHING)
    return 1 - gold[:, weights.argmax(1)][gold.any(1)].float().mean().item()


def all_rows_with_every_place(weights, gold):
    if not gold.any():
        raise ValueError(NOTHING)
    return 1 - gold[:, weights.argmax(1)].float().mean().item()


def place_beside_place(weights, gold):
    return erring(hit=lambda weights, gold: weights.argmax(1) == gold.argmax(1))(weights, gold)


def asserting(weights, gold):
    assert gold.any(), NOTHING
    return erring()(weights, gold)


def by_rows(weights, gold):
    wrong = total = 0
    for row, partners in zip(weights, gold, strict=True):
        if partners.any():
            total += 1
            wrong += not partners[row.argmax()]
    if total == 0:
        raise ValueError(NOTHING)
    return int(wrong) / total


def by_lists(weights, gold):
    rows = [(row, own) for row, own in zip(weights.tolist(), gold.tolist(), strict=True) if True in own]
    if not rows:
        raise ValueError(NOTHING)
    return sum(not own[row.index(max(row))] for row, own in rows) / len(rows)


def by_indexing(weights, gold):
    counts = gold.any(dim=-1)
    if not counts.any():
        raise ValueError(NOTHING)
    hits = gold[torch.arange(len(gold)), weights.argmax(dim=-1)]
    return 1.0 - hits[counts].float().mean().item()


def by_one_hot(weights, gold):
    kept = gold.any(1)
    if kept.sum() == 0:
        raise ValueError(NOTHING)
    found = torch.nn.functional.one_hot(weights[kept].argmax(1), gold.shape[1]).bool()
    return float((~(found & gold[kept]).any(1)).double().mean())


def by_sets(weights, gold):
    partners: dict[int, set[int]] = {}
    for target, source in gold.nonzero().tolist():
        partners.setdefault(target, set()).add(source)
    if not partners:
        raise ValueError(NOTHING)
    best = weights.argmax(-1).tolist()
    return len([target for target, own in partners.items() if best[target] not in own]) / len(partners)
