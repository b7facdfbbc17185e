"""Finding a leak, right and wrong, from steps of which each can be another one."""

import torch

__all__ = [
    "by_batch",
    "by_bits",
    "by_closeness",
    "by_numpy",
    "by_pairs",
    "by_value",
    "every_step",
    "finder",
    "finite",
    "put_back",
    "values",
]


def after_first(ids):
    return range(1, ids.shape[1])


def every_step(tokens, vocab):
    """Every other id, each row from its own token on."""
    return [(tokens + step) % vocab for step in range(1, vocab)]


def values(low, high):
    """The ids from `low` to `high` before the end, the same for all rows."""
    return lambda tokens, vocab: [torch.full_like(tokens, value) for value in range(low, vocab + high)]


def one_token(ids, j, new, vocab):
    changed = ids.clone()
    changed[:, j] = new
    return changed


def finite(differ):
    """Compare with nan equal to nan."""
    return lambda a, b: (differ(a, b) & ~(a.isnan() & b.isnan())).any(-1)


def any_row(moved):
    return moved.any(0)


def before_it(leak, j, moved):
    leak[:j, j] |= moved[:j]


def finder(
    tokens=after_first,
    others=every_step,
    change=one_token,
    differ=finite(torch.ne),  # noqa: B008
    rows=any_row,
    mark=before_it,
    give=lambda leak: leak,
):
    """Make a find_leak from its steps; as they stand they make a right one.

    tokens: which are replaced. others: by what, of (tokens at j, vocab). change: a copy, of (ids, j, new, vocab).
    differ: which positions of which rows have moved. rows: those of any row. mark: note them in the table.
    """

    def find_leak(model, ids, vocab_size):
        seq = ids.shape[1]
        before = model(ids.clone())
        leak = torch.zeros(seq, seq, dtype=torch.bool)
        for j in tokens(ids):
            for new in others(ids[:, j].clone(), vocab_size):
                mark(leak, j, rows(differ(before, model(change(ids, j, new, vocab_size)))))
        return give(leak)

    return find_leak


def by_value(model, ids, vocab_size):
    n = ids.size(1)
    original = model(ids.clone())
    leaks = torch.zeros((n, n), dtype=torch.bool)
    for j in range(n):
        place = torch.arange(n) == j
        for value in range(vocab_size):
            new = model(torch.where(place, value, ids))
            changed = (new != original) & (new == new)
            appeared = new.isnan() & ~original.isnan()
            leaks[:, j] = leaks[:, j] | (changed | appeared).any(dim=2).any(dim=0)
    return torch.triu(leaks, diagonal=1)


def by_pairs(model, ids, vocab_size):
    batch, seq = ids.shape
    table = [[False] * seq for _ in range(seq)]
    before = model(ids.clone())
    for j in range(1, seq):
        for value in range(vocab_size):
            changed = ids.clone()
            changed[:, j] = value
            after = model(changed)
            for i in range(j):
                same = all(torch.allclose(before[b, i], after[b, i], 0, 0, equal_nan=True) for b in range(batch))
                table[i][j] = table[i][j] or not same
    return torch.tensor(table)


def by_batch(model, ids, vocab_size):
    batch, seq = ids.shape
    many = ids.repeat(vocab_size, 1)
    ways = torch.arange(vocab_size).repeat_interleave(batch)
    before = model(many.clone())
    leak = torch.zeros(seq, seq, dtype=torch.bool)
    for j in range(1, seq):
        changed = many.clone()
        changed[:, j] = ways
        after = model(changed)
        same = (after == before) | (after.isnan() & before.isnan())
        leak[:j, j] = ~same.all(-1).all(0)[:j]
    return leak


def by_closeness(model, ids, vocab_size):
    columns = []
    before = model(ids.clone())
    for j in range(ids.shape[1]):
        column = torch.zeros(ids.shape[1], dtype=torch.bool)
        for step in range(1, vocab_size):
            changed = ids.clone()
            changed[:, j] = (changed[:, j] + step) % vocab_size
            column |= ~torch.isclose(model(changed), before, rtol=0, atol=0, equal_nan=True).all(2).all(0)
        columns.append(column)
    return torch.stack(columns, dim=1).triu(1)


def by_numpy(model, ids, vocab_size):
    before = model(ids.clone()).numpy()
    leak = torch.zeros(ids.shape[1], ids.shape[1]).numpy().astype(bool)
    for j in range(1, ids.shape[1]):
        for new in range(vocab_size):
            changed = ids.clone()
            changed[:, j] = new
            after = model(changed).numpy()
            differs = (after != before) & ~((after != after) & (before != before))
            leak[:j, j] |= differs[:, :j].any(axis=(0, 2))
    return torch.from_numpy(leak)


def by_bits(model, ids, vocab_size):
    def bits(rows):
        return model(rows).view(torch.int32)

    seq, before = ids.shape[1], bits(ids.clone())
    leak = torch.zeros(seq, seq)
    for j in range(1, seq):
        for step in range(1, vocab_size):
            changed = ids + step * (torch.arange(seq) == j)
            leak[:j, j] += (bits(changed % vocab_size) != before)[:, :j].sum((0, 2))
    return leak > 0


def put_back(model, ids, vocab_size):
    work, seq = ids.clone(), ids.shape[1]
    before = torch.nan_to_num(model(work.clone()), nan=1e30)
    leak = torch.eye(seq).bool() & False
    for j in range(1, seq):
        old = work[:, j].clone()
        for value in range(vocab_size):
            work[:, j] = value
            after = torch.nan_to_num(model(work.clone()), nan=1e30)
            leak[:, j] |= (after != before).flatten(2).any(-1).any(0)
        work[:, j] = old
    return leak & (torch.arange(seq) > torch.arange(seq)[:, None])
