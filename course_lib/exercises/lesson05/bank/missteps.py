"""Missteps in finding a leak: what is asked, what its answer is compared with, and where that is written down."""

import torch

from course_lib.exercises.lesson05.bank.finders import every_step, finder, finite, values

__all__ = [
    "asks_again_with_what_is_left",
    "blame_all_before",
    "compared_with_the_last",
    "cut_off",
    "first_twenty",
    "for_each_row_alone",
    "in_one_large_batch",
    "into_rows",
    "of_ids",
    "on_its_side",
    "one_behind",
    "one_row_too_low",
    "put_back_what_is_left",
    "until_the_first_find",
    "without_nan",
]


def on_its_side(model, ids, vocab_size):
    """Lay columns below one another, as if they were rows."""
    before, columns = model(ids.clone()), []
    for j in range(ids.shape[1]):
        column = torch.zeros(ids.shape[1], dtype=torch.bool)
        for new in every_step(ids[:, j], vocab_size):
            changed = ids.clone()
            changed[:, j] = new
            column |= finite(torch.ne)(before, model(changed)).any(0)
        columns.append(column)
    return torch.stack(columns).triu(1)


def into_rows(part):
    """Write into the row of the token what its replacement moves."""

    def mark(leak, j, moved):
        place = part(j)
        leak[j, place] |= moved[place]

    return mark


def blame_all_before(leak, j, moved):
    leak[:j, j] |= moved[:j].any()


def one_row_too_low(leak, j, moved):
    leak[1 : j + 1, j] |= moved[:j]


def one_behind(rows):
    """Replace token j + 1, and write into column j."""

    def find_leak(model, ids, vocab_size):
        seq = ids.shape[1]
        before, leak = model(ids.clone()), torch.zeros(seq, seq, dtype=torch.bool)
        for j in range(seq - 1):
            for new in every_step(ids[:, j + 1], vocab_size):
                changed = ids.clone()
                changed[:, j + 1] = new
                place = rows(j)
                leak[place, j] |= finite(torch.ne)(before, model(changed)).any(0)[place]
        return leak

    return find_leak


def compared_with_the_last(others, first):
    """Compare each answer with the one before it, from token `first` on."""

    def find_leak(model, ids, vocab_size):
        seq = ids.shape[1]
        before, leak = model(ids.clone()), torch.zeros(seq, seq, dtype=torch.bool)
        for j in range(first, seq):
            for new in others(ids[:, j].clone(), vocab_size):
                changed = ids.clone()
                changed[:, j] = new
                after = model(changed)
                leak[:j, j] |= finite(torch.ne)(before, after).any(0)[:j]
                before = after
        return leak

    return find_leak


def until_the_first_find(others):
    def find_leak(model, ids, vocab_size):
        seq = ids.shape[1]
        before, leak = model(ids.clone()), torch.zeros(seq, seq, dtype=torch.bool)
        for j in range(1, seq):
            for new in others(ids[:, j].clone(), vocab_size):
                changed = ids.clone()
                changed[:, j] = new
                leak[:j, j] |= finite(torch.ne)(before, model(changed)).any(0)[:j]
                if leak[:j, j].any():
                    break
        return leak

    return find_leak


def cut_off(full, rest):
    """Compare answers to ids with some that were cut off. full, rest: from (ids, j) to what is asked about."""

    def find_leak(model, ids, vocab_size):
        seq = ids.shape[1]
        leak = torch.zeros(seq, seq, dtype=torch.bool)
        for j in range(1, seq):
            for new in every_step(ids[:, j], vocab_size):
                changed = ids.clone()
                changed[:, j] = new
                one, other = (model(rows.clone())[:, :j] for rows in (full(ids, changed, j), rest(ids, changed, j)))
                leak[:j, j] |= finite(torch.ne)(one, other).any(0)
        return leak

    return find_leak


def in_one_large_batch(model, ids, vocab_size):
    """Ask about all replacements of a token at once, and about ids alone."""
    batch, seq = ids.shape
    before, leak = model(ids.clone()).repeat(vocab_size, 1, 1), torch.zeros(seq, seq, dtype=torch.bool)
    for j in range(1, seq):
        changed = ids.repeat(vocab_size, 1)
        changed[:, j] = torch.arange(vocab_size).repeat_interleave(batch)
        leak[:j, j] = finite(torch.ne)(before, model(changed)).any(0)[:j]
    return leak


def for_each_row_alone(model, ids, vocab_size):
    """Ask about one row at a time, and about all of ids together."""
    seq = ids.shape[1]
    before, leak = model(ids.clone()), torch.zeros(seq, seq, dtype=torch.bool)
    for b in range(len(ids)):
        for j in range(1, seq):
            for value in range(vocab_size):
                changed = ids[b : b + 1].clone()
                changed[:, j] = value
                leak[:j, j] |= finite(torch.ne)(before[b : b + 1], model(changed)).any(0)[:j]
    return leak


def asks_again_with_what_is_left(model, ids, vocab_size):
    """Copy ids once for a token; a model that writes into what it gets writes into that."""
    seq = ids.shape[1]
    before, leak = model(ids.clone()), torch.zeros(seq, seq, dtype=torch.bool)
    for j in range(1, seq):
        changed = ids.clone()
        for value in range(vocab_size):
            changed[:, j] = value
            leak[:j, j] |= finite(torch.ne)(before, model(changed)).any(0)[:j]
    return leak


def put_back_what_is_left(model, ids, vocab_size):
    """Copy ids once, and put each token back."""
    seq, work = ids.shape[1], ids.clone()
    before, leak = model(work), torch.zeros(seq, seq, dtype=torch.bool)
    for j in range(1, seq):
        old = work[:, j].clone()
        for value in range(vocab_size):
            work[:, j] = value
            leak[:j, j] |= finite(torch.ne)(before, model(work)).any(0)[:j]
        work[:, j] = old
    return leak


def of_ids(model, ids, vocab_size):
    """Try the ids that stand in the text."""
    return finder(others=lambda tokens, vocab: [torch.full_like(tokens, value) for value in ids.unique()])(
        model, ids, vocab_size
    )


def first_twenty(high):
    """Try twenty ids at most, of those from 0 to `high` before the end."""
    return lambda tokens, vocab: values(0, high)(tokens, vocab)[:20]


def without_nan(a, b):
    return (torch.nan_to_num(a) != torch.nan_to_num(b)).any(-1)
