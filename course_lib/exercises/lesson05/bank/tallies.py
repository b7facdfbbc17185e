"""Slips in asking for copies and adding them up."""

import random

import torch

from course_lib.exercises.lesson05.bank.copiers import (
    all_but_last,
    asked,
    at_position,
    counter,
    even,
    that_alone,
)

__all__ = [
    "adder",
    "asks_about_ids",
    "but_the_first",
    "but_the_last",
    "by_numbers",
    "cut_behind",
    "from_outside",
    "in_the_first_row",
    "is_the_step",
    "means",
    "of_other_rows",
    "one_place_for_all",
    "one_place_in_each_row",
    "questions",
    "said_before",
    "sampling",
]


def questions(ids):
    return len(ids) * (ids.shape[1] - 1)


def but_the_first(ids):
    return range(1, ids.shape[1] - 1)


def but_the_last(ids):
    return range(ids.shape[1] - 2)


def adder(positions=all_but_last, total=questions, count=torch.sum):
    """Make a copy_rate that adds up. total: what is divided by, of ids. count: what a position adds, of (batch,)."""

    def copy_rate(model, ids, vocab_size, generator=None):
        asked(ids)
        copies = 0
        for t in positions(ids):
            drawn = even(ids[:, t + 1], vocab_size, generator)
            copies += int(count(at_position(model(that_alone(ids, t, drawn)), t) == drawn))
        return copies / total(ids)

    return copy_rate


def means(positions):
    """Give the mean of a tensor of all answers, which may be empty."""

    def copy_rate(model, ids, vocab_size, generator=None):
        asked(ids)
        copies = []
        for t in positions(ids):
            drawn = even(ids[:, t + 1], vocab_size, generator)
            copies += (at_position(model(that_alone(ids, t, drawn)), t) == drawn).tolist()
        return torch.tensor(copies).float().mean().item()

    return copy_rate


def in_the_first_row(total):
    """Replace in the first row alone, and look there."""

    def copy_rate(model, ids, vocab_size, generator=None):
        asked(ids)
        copies = 0
        for t in all_but_last(ids):
            drawn = even(ids[:1, t + 1], vocab_size, generator)
            changed = ids.clone()
            changed[0, t + 1] = drawn
            copies += int(model(changed)[0, t].argmax() == drawn)
        return copies / total(ids)

    return copy_rate


def asks_about_ids(model, ids, vocab_size, generator=None):
    """Ask about the unchanged ids, and compare the answer with what was drawn."""
    said = model(ids).argmax(-1)
    return counter(read=lambda logits, t: said[:, t], change=lambda ids, t, drawn: ids)(
        model, ids, vocab_size, generator
    )


def cut_behind(more):
    """Ask about the text up to token t, and `more` tokens."""
    return lambda ids, t, drawn: that_alone(ids, t, drawn)[:, : t + 1 + more]


def from_outside(model, ids, vocab_size, generator=None):
    """Draw ids that the row does not hold."""
    weights = torch.ones(len(ids), vocab_size).scatter(1, ids, 0)

    def absent(tokens, vocab, generator):
        return torch.multinomial(weights, 1, generator=generator)[:, 0]

    return counter(draw=absent)(model, ids, vocab_size, generator)


def said_before(model, ids, vocab_size, generator=None):
    """Leave out what the model also says to the original."""
    asked(ids)
    before = model(ids).argmax(-1)
    return counter(
        read=lambda logits, t: (at_position(logits, t), before[:, t]),
        count=lambda said, drawn, original: (said[0] == drawn) & (said[1] != drawn),
    )(model, ids, vocab_size, generator)


def is_the_step(model, ids, vocab_size, generator=None):
    """Compare what the model says with the step to the new id."""
    return counter(count=lambda said, drawn, original: said == (drawn - original) % vocab_size)(
        model, ids, vocab_size, generator
    )


def sampling(own):
    """Draw what the model says. own: from the generator that is handed over, or not."""

    def copy_rate(model, ids, vocab_size, generator=None):
        given = generator if own else None

        def drawn_at(logits, t):
            return torch.multinomial(logits[:, t].softmax(-1), 1, generator=given)[:, 0]

        return counter(read=drawn_at)(model, ids, vocab_size, generator)

    return copy_rate


def one_place_in_each_row(place_first, own):
    """Draw the position, another one for each row. own: it comes from the generator that is handed over."""

    def copy_rate(model, ids, vocab_size, generator=None):
        asked(ids)
        batch, seq = ids.shape
        rows, given = torch.arange(batch), generator if own else None
        t = torch.randint(seq - 1, (batch,), generator=given) if place_first else None
        steps = torch.randint(1, vocab_size, (batch,), generator=generator)
        t = torch.randint(seq - 1, (batch,), generator=given) if t is None else t
        changed = ids.clone()
        changed[rows, t + 1] = (ids[rows, t + 1] + steps) % vocab_size
        return (model(changed)[rows, t].argmax(-1) == changed[rows, t + 1]).double().mean().item()

    return copy_rate


def one_place_for_all(own):
    """Draw the position, one for all rows."""

    def copy_rate(model, ids, vocab_size, generator=None):
        given = generator if own else None
        return counter(positions=lambda ids: [int(torch.randint(ids.shape[1] - 1, (1,), generator=given))])(
            model, ids, vocab_size, generator
        )

    return copy_rate


def of_other_rows(own):
    """Mix the tokens of the rows. own: by the generator that is handed over."""

    def copy_rate(model, ids, vocab_size, generator=None):
        def mixed(tokens, vocab, generator):
            return tokens[torch.randperm(len(tokens), generator=generator if own else None)]

        return counter(draw=mixed)(model, ids, vocab_size, generator)

    return copy_rate


def by_numbers(one):
    """Draw with Python's own random. one: a single number for all rows."""

    def draw(tokens, vocab, generator):
        steps = [random.randint(1, vocab - 1) for _ in range(1 if one else len(tokens))]
        return (tokens + torch.tensor(steps)) % vocab

    return draw
