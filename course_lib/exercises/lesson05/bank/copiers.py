"""Counting copies, right and wrong, from steps of which each can be another one."""

import torch

__all__ = [
    "all_but_last",
    "asked",
    "at_position",
    "by_a_column_of_ids",
    "by_filling",
    "by_one_large_batch",
    "by_skipping",
    "by_weights",
    "counter",
    "even",
    "in_place",
    "share",
    "that_alone",
]


def all_but_last(ids):
    return range(ids.shape[1] - 1)


def even(tokens, vocab, generator):
    return (tokens + torch.randint(1, vocab, tokens.shape, generator=generator)) % vocab


def that_alone(ids, t, drawn):
    changed = ids.clone()
    changed[:, t + 1] = drawn
    return changed


def at_position(logits, t):
    return logits[:, t].argmax(-1)


def says_it(said, drawn, original):
    return said == drawn


def share(copies):
    """Of (positions, batch)."""
    return copies.double().mean().item()


def asked(ids):
    """Refuse what has nothing to predict."""
    if ids.shape[1] < 2:
        raise ValueError("there is nothing to predict")


def counter(
    refuse=asked,
    positions=all_but_last,
    draw=even,
    change=that_alone,
    read=at_position,
    count=says_it,
    give=share,
):
    """Make a copy_rate from its steps; as they stand they make a right one.

    draw: other ids, of (tokens, vocab, generator). change: ids with them, of (ids, t, drawn). read: what is said, of
    (logits, t). count: which are copies, of (said, drawn, original). give: what comes back, of (positions, batch).
    """

    def copy_rate(model, ids, vocab_size, generator=None):
        refuse(ids)
        copies = []
        for t in positions(ids):
            original = ids[:, t + 1].clone()
            drawn = draw(original, vocab_size, generator)
            copies.append(count(read(model(change(ids, t, drawn)), t), drawn, original))
        return give(torch.stack(copies))

    return copy_rate


def in_place(restart):
    """Write into what `restart` gives for ids, and put nothing back."""

    def copy_rate(model, ids, vocab_size, generator=None):
        asked(ids)
        changed, copies = restart(ids), []
        for t in all_but_last(ids):
            changed[:, t + 1] = even(changed[:, t + 1], vocab_size, generator)
            copies.append(model(changed)[:, t].argmax(-1) == changed[:, t + 1])
        return share(torch.stack(copies))

    return copy_rate


def by_one_large_batch(model, ids, vocab_size, generator=None):
    batch, seq = ids.shape
    if seq == 1:
        raise ValueError("one token")
    many = ids.repeat(seq - 1, 1, 1)
    t = torch.arange(seq - 1)
    steps = 1 + torch.randint(vocab_size - 1, (seq - 1, batch), generator=generator)
    many[t, :, t + 1] = (many[t, :, t + 1] + steps) % vocab_size
    said = model(many.flatten(0, 1)).argmax(-1).unflatten(0, (seq - 1, batch))
    return float((said[t, :, t] == many[t, :, t + 1]).float().mean())


def by_weights(model, ids, vocab_size, generator=None):
    asked(ids)
    means = []
    for t in range(1, ids.shape[1]):
        weights = torch.ones(len(ids), vocab_size).scatter(1, ids[:, t, None], 0)
        drawn = torch.multinomial(weights, 1, generator=generator)[:, 0]
        changed = torch.where(torch.arange(ids.shape[1]) == t, drawn[:, None], ids)
        means.append((model(changed).log_softmax(-1)[:, t - 1].topk(1).indices[:, 0] == drawn).double().mean())
    return (sum(means) / len(means)).item()


def by_filling(model, ids, vocab_size, generator=None):
    asked(ids)
    steps = torch.randint(1, vocab_size, ids[:, 1:].shape, generator=generator)
    new = (ids[:, 1:] + steps) % vocab_size
    copied = torch.zeros(new.shape)
    for t in range(new.shape[1]):
        changed = ids.clone()
        changed[:, t + 1] = new[:, t]
        copied[:, t] = model(changed)[:, t].argmax(dim=1) == new[:, t]
    return copied.sum().item() / copied.numel()


def by_a_column_of_ids(model, ids, vocab_size, generator=None):
    (batch, seq), copies = ids.shape, 0
    if seq < 2:
        raise ValueError(f"a sequence of {seq}")
    place = torch.eye(seq, dtype=torch.long)
    for t in range(seq - 1):
        steps = torch.randint(1, vocab_size, (batch, 1), generator=generator)
        changed = (ids + steps * place[t + 1]) % vocab_size
        copies += torch.eq(model(changed)[:, t].argsort(-1)[:, -1], changed[:, t + 1]).sum().item()
    return copies / (batch * (seq - 1))


def by_skipping(model, ids, vocab_size, generator=None):
    asked(ids)
    copied = []
    for j in range(1, ids.shape[1]):
        new = torch.randint(vocab_size - 1, (len(ids),), generator=generator)
        new[new >= ids[:, j]] += 1
        changed = torch.cat((ids[:, :j], new[:, None], ids[:, j + 1 :]), dim=1)
        copied += (model(changed)[:, j - 1].max(-1).indices == new).tolist()
    return sum(copied) / len(copied)
