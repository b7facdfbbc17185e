"""Ways to mask tokens, right and wrong, from steps of which each can be another one."""

import random

import torch

from course_lib.objectives import IGNORE

__all__ = [
    "by_bernoulli",
    "by_loops",
    "by_multinomial",
    "by_numbers_in_order",
    "by_one_draw",
    "by_rejection",
    "drawn_from",
    "masker",
    "ordinary_ids",
]


def is_special(ids, mask_id, special_ids):
    return torch.isin(ids, torch.tensor([mask_id, *special_ids]))


def ordinary_ids(mask_id, vocab_size, special_ids):
    return [v for v in range(vocab_size) if v not in (mask_id, *special_ids)]


def drawn_from(choose):
    """Random tokens for all places, drawn evenly from a list of ids."""

    def draw(ids, mask_id, vocab_size, special_ids, generator):
        words = torch.tensor(choose(mask_id, vocab_size, special_ids), dtype=ids.dtype)
        return words[torch.randint(len(words), ids.shape, generator=generator)]

    return draw


def by_draw(ids, special, rate, draw):
    return (draw < rate) & ~special


def fates(lot):
    """Which tokens become the mask token, and which a random one, from one draw for each."""
    return lot < 0.8, (lot >= 0.8) & (lot < 0.9)


def originals(ids, inputs, selected, masked, replaced):
    return torch.where(selected, ids, IGNORE)


def masker(
    special=is_special,
    select=by_draw,
    lots=lambda draw, generator: torch.rand(draw.shape, generator=generator),
    fates=fates,
    draw=drawn_from(ordinary_ids),  # noqa: B008 (a function)
    apply=lambda ids, masked, replaced, words, mask_id: (
        torch.where(replaced, words, ids).masked_fill(masked, mask_id)
    ),
    label=originals,
    everywhere=False,
    use=lambda generator: generator,
    give=lambda inputs, labels: (inputs, labels),
):
    """Make a mask_tokens from its steps; as they stand they make a right one.

    special: which tokens are never selected. select: by a draw for each token. lots: the draws that decide what
    becomes of a token; fates: how. draw: random tokens. apply: makes the inputs. label: makes the labels.
    everywhere: fates meet all ordinary tokens. use: the generator. give: what is returned.
    """

    def mask_tokens(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
        generator = use(generator)
        none = special(ids, mask_id, special_ids)
        first = torch.rand(ids.shape, generator=generator)
        selected = select(ids, none, rate, first)
        masked, replaced = (fate & (~none if everywhere else selected) for fate in fates(lots(first, generator)))
        words = draw(ids, mask_id, vocab_size, special_ids, generator)
        inputs = apply(ids, masked, replaced, words, mask_id)
        return give(inputs, label(ids, inputs, selected, masked, replaced))

    return mask_tokens


def by_bernoulli(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    """As the data collator of the transformers library does it, with one selection after the other."""
    labels, inputs = ids.clone(), ids.clone()
    chances = torch.full(ids.shape, rate)
    for special in (mask_id, *special_ids):
        chances.masked_fill_(ids == special, 0.0)
    selected = torch.bernoulli(chances, generator=generator).bool()
    labels[~selected] = -100
    masked = torch.bernoulli(torch.full(ids.shape, 0.8), generator=generator).bool() & selected
    inputs[masked] = mask_id
    replaced = torch.bernoulli(torch.full(ids.shape, 0.5), generator=generator).bool() & selected & ~masked
    ordinary = torch.tensor([i for i in range(vocab_size) if i != mask_id and i not in special_ids], dtype=ids.dtype)
    inputs[replaced] = ordinary[torch.randint(0, len(ordinary), (int(replaced.sum()),), generator=generator)]
    return inputs, labels


def by_one_draw(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    """One number for each token decides everything."""
    r = torch.rand(ids.shape, generator=generator)
    for special in {mask_id, *special_ids}:
        r = torch.where(ids == special, 1.0, r)
    words = torch.tensor(ordinary_ids(mask_id, vocab_size, special_ids)).type_as(ids)
    random_ids = words[(torch.rand(ids.shape, generator=generator) * len(words)).long()]
    inputs = torch.where(r < 0.8 * rate, mask_id, torch.where(r < 0.9 * rate, random_ids, ids))
    return [inputs, torch.where(r < rate, ids, -100)]


def by_loops(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    """Token by token."""
    inputs, labels = ids.tolist(), [[-100] * ids.shape[1] for _ in range(len(ids))]
    ordinary = sorted(set(range(vocab_size)) - {mask_id, *special_ids})
    draws = torch.rand(2, *ids.shape, generator=generator).tolist()
    words = torch.randint(len(ordinary), ids.shape, generator=generator).tolist()
    for i, row in enumerate(ids.tolist()):
        for j, token in enumerate(row):
            if token == mask_id or token in special_ids or draws[0][i][j] >= rate:
                continue
            labels[i][j] = token
            if draws[1][i][j] < 0.8:
                inputs[i][j] = mask_id
            elif draws[1][i][j] < 0.9:
                inputs[i][j] = ordinary[words[i][j]]
    return ids.new_tensor(inputs), ids.new_tensor(labels)


def by_multinomial(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    """Each token's fate is one of four, drawn with their chances; a random token is never the one that stood there."""
    chances = torch.tensor([0.8 * rate, 0.1 * rate, 0.1 * rate, 1 - rate])
    fate = torch.multinomial(chances, ids.numel(), replacement=True, generator=generator).view(ids.shape)
    special = torch.zeros_like(ids, dtype=torch.bool)
    weights = torch.ones(vocab_size)
    for i in (mask_id, *special_ids):
        special |= ids == i
        weights[i] = 0
    others = weights.repeat(vocab_size, 1).fill_diagonal_(0)
    fate = fate.masked_fill(special, 3)
    words = torch.multinomial(others[ids.flatten()], 1, generator=generator).view(ids.shape)
    inputs = torch.where(fate == 0, mask_id, torch.where(fate == 1, words, ids)).to(ids.dtype)
    return inputs, torch.where(fate < 3, ids, -100)


def by_rejection(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    """Random tokens are drawn again until none of them is special."""
    special = is_special(ids, mask_id, special_ids)
    words = torch.randint(vocab_size, ids.shape, generator=generator, dtype=ids.dtype)
    while (bad := is_special(words, mask_id, special_ids)).any():
        words[bad] = torch.randint(vocab_size, (int(bad.sum()),), generator=generator, dtype=ids.dtype)
    selected = ~special & (torch.rand(ids.shape, generator=generator) < rate)
    u = torch.rand(ids.shape, generator=generator)
    inputs = ids.clone()
    inputs[selected & (u >= 0.9)] = words[selected & (u >= 0.9)]
    inputs[selected & (u < 0.8)] = mask_id
    return inputs, ids.masked_fill(~selected, -100)


def by_numbers_in_order(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    """The ordinary tokens in a row; Python's own generator, seeded from torch's."""
    own = random.Random(int(torch.randint(2**31, (), generator=generator)))
    flat, special = ids.flatten().tolist(), {mask_id, *special_ids}
    ordinary = [i for i in range(vocab_size) if i not in special]
    inputs, labels = list(flat), [-100] * len(flat)
    for place, token in enumerate(flat):
        if token in special or own.random() > rate:
            continue
        labels[place] = token
        inputs[place] = own.choices([mask_id, own.choice(ordinary), token], (8, 1, 1))[0]
    return ids.new_tensor(inputs).view(ids.shape), ids.new_tensor(labels).view(ids.shape)
