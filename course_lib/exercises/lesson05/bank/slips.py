"""Slips in finding a leak."""

import torch

from course_lib.exercises.lesson05.bank.finders import every_step, finder, finite

__all__ = [
    "above",
    "all_close",
    "all_that_follow",
    "as_a_square_of_rows",
    "ask_the_last",
    "blame_all",
    "by_value_in_place",
    "close",
    "counts",
    "every_id",
    "for_each_row",
    "hands_ids_over",
    "in_one_row",
    "in_place",
    "last_or_first",
    "likeliest",
    "marking",
    "not_equal",
    "on_the_first_axis",
    "one",
    "rest",
    "right",
    "set_to_one",
    "shares",
    "stepped",
    "steps",
    "sums",
    "zero_or_one",
]

right = finder()


def marking(part, value=lambda old, moved: old | moved):
    """Note in some part of the table, of (table, j), what has moved there."""

    def mark(leak, j, moved):
        place = part(j)
        leak[place, j] = value(leak[place, j], moved[place])

    return mark


def blame_all(leak, j, moved):
    leak[:j, j] |= moved.any()


def ask_the_last(leak, j, moved):
    leak[:j, j] |= moved[-1]


def every_id(model, ids, vocab_size):
    shown = [
        finder(others=lambda tokens, vocab, step=step: [(tokens + step) % vocab])(model, ids, vocab_size)
        for step in range(1, vocab_size)
    ]
    return torch.stack(shown).all(0)


def steps(low, high):
    return lambda tokens, vocab: [(tokens + step) % vocab for step in range(low, vocab + high)]


def one(new):
    return lambda tokens, vocab: [new(tokens, vocab)]


def zero_or_one(tokens, vocab):
    return (tokens == 0).long()


def last_or_first(tokens, vocab):
    return torch.where(tokens == vocab - 1, 0, vocab - 1)


def rest(change):
    """Replace token j and all behind it."""

    def changed(ids, j, new, vocab):
        rest = ids.clone()
        rest[:, j:] = change(ids[:, j:], new - ids[:, j], vocab)
        return rest

    return changed


def stepped(tokens, step, vocab):
    return (tokens + step[:, None]) % vocab


def set_to_one(tokens, step, vocab):
    return ((tokens[:, :1] + step[:, None]) % vocab).expand_as(tokens)


def all_that_follow(last):
    """Replace all tokens behind i at once, by steps from 1 to `last` of the vocabulary, and blame each if i moves."""

    def find_leak(model, ids, vocab_size):
        seq = ids.shape[1]
        before, leak = model(ids.clone()), torch.zeros(seq, seq, dtype=torch.bool)
        for i in range(seq - 1):
            for step in range(1, last(vocab_size) + 1):
                changed = ids.clone()
                changed[:, i + 1 :] = (ids[:, i + 1 :] + step) % vocab_size
                leak[i, i + 1 :] |= finite(torch.ne)(before, model(changed))[:, i].any()
        return leak

    return find_leak


def in_place(restart):
    def find_leak(model, ids, vocab_size):
        changed = restart(ids)
        before, seq = model(ids.clone()), ids.shape[1]
        leak = torch.zeros(seq, seq, dtype=torch.bool)
        for j in range(1, seq):
            for _ in range(1, vocab_size):
                changed[:, j] = (changed[:, j] + 1) % vocab_size
                leak[:j, j] |= finite(torch.ne)(before, model(changed.clone()))[:, :j].any(0)
        return leak

    return find_leak


def by_value_in_place(restart):
    def find_leak(model, ids, vocab_size):
        changed = restart(ids)
        before, seq = model(ids.clone()), ids.shape[1]
        leak = torch.zeros(seq, seq, dtype=torch.bool)
        for j in range(1, seq):
            for value in range(vocab_size):
                changed[:, j] = value
                leak[:j, j] |= finite(torch.ne)(before, model(changed.clone()))[:, :j].any(0)
        return leak

    return find_leak


def hands_ids_over(model, ids, vocab_size):
    return right(lambda rows: model(ids if torch.equal(rows, ids) else rows), ids, vocab_size)


def for_each_row(model, ids, vocab_size):
    return torch.stack([right(model, row[None], vocab_size) for row in ids])


def counts(model, ids, vocab_size):
    seq = ids.shape[1]
    before, leak = model(ids.clone()), torch.zeros(seq, seq)
    for j in range(1, seq):
        for new in every_step(ids[:, j], vocab_size):
            changed = ids.clone()
            changed[:, j] = new
            leak[:j, j] += finite(torch.ne)(before, model(changed))[:, :j].sum(0)
    return leak


def as_a_square_of_rows(model, ids, vocab_size):
    return right(model, ids, vocab_size)[: len(ids), : len(ids)]


def on_the_first_axis(ids, j, new, vocab):
    changed = ids.clone()
    changed[j] = (ids[j] + 1) % vocab
    return changed


def in_one_row(row):
    def changed(ids, j, new, vocab):
        one = ids.clone()
        one[row, j] = new[row]
        return one

    return changed


def likeliest(a, b):
    return a.argmax(-1) != b.argmax(-1)


def above(number):
    return finite(lambda a, b: ~((a - b).abs() <= number) & (a != b))


def close(a, b):
    return ~torch.isclose(a, b, equal_nan=True).all(-1)


def all_close(a, b):
    close = [torch.allclose(a[:, i], b[:, i], equal_nan=True) for i in range(a.shape[1])]
    return ~torch.tensor(close)[None].expand(len(a), -1)


def shares(a, b):
    return finite(torch.ne)(a.softmax(-1), b.softmax(-1))


def sums(total):
    return lambda a, b: finite(torch.ne)(total(a)[..., None], total(b)[..., None])


def not_equal(a, b):
    equal = [torch.equal(a[:, i], b[:, i]) for i in range(a.shape[1])]
    return ~torch.tensor(equal)[None].expand(len(a), -1)
