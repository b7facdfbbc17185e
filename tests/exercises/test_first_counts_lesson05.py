"""First attempts at copy_rate, by somebody who had not read lesson 05: each gets the name of what it gets wrong."""

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from course_lib import exercises
from tests.exercises.told import gets_its_name, passes, reads_on_the_card

COPY = exercises.lesson("05")[1]
NUMPY = np.random.default_rng()


def even(ids, t, vocab, g):
    return (ids[:, t + 1] + torch.randint(1, vocab, (len(ids),), generator=g)) % vocab


def tries(
    positions: Callable[[int], Iterable[int]] = lambda seq: range(seq - 1),
    draw: Callable[..., torch.Tensor] = even,
    ask: Callable[..., torch.Tensor] = lambda model, changed, t: model(changed)[:, t].argmax(-1),
    count: Callable[[torch.Tensor], Any] = lambda copied: copied.sum().item(),
    total: Callable[[int, int], float] = lambda batch, seq: batch * (seq - 1),
) -> Callable[..., Any]:
    def answer(model, ids, vocab_size, generator=None):
        batch, seq = ids.shape
        if seq < 2:
            raise ValueError("nothing to predict")
        hits = 0
        for t in positions(seq):
            changed = ids.clone()
            changed[:, t + 1] = draw(ids, t, vocab_size, generator)
            hits += count(ask(model, changed, t) == changed[:, t + 1])
        return hits / total(batch, seq)

    return answer


def unless_said_before(model, ids, vocab_size, generator=None):
    batch, seq = ids.shape
    if seq == 1:
        raise ValueError("one position")
    before = model(ids.clone()).argmax(-1)
    hits = 0
    for t in range(seq - 1):
        changed = ids.clone()
        changed[:, t + 1] = even(ids, t, vocab_size, generator)
        said = model(changed)[:, t].argmax(-1)
        hits += ((said == changed[:, t + 1]) & (said != before[:, t])).sum().item()
    return hits / (batch * (seq - 1))


def not_in_the_row(ids, t, vocab, g):
    drawn = []
    for row in ids.tolist():
        others = [v for v in range(vocab) if v not in row]
        drawn.append(others[int(torch.randint(len(others), (1,), generator=g))])
    return torch.tensor(drawn)


def not_the_original(ids, t, vocab, g):
    """Right, with a list of what is left."""
    drawn = []
    for row in ids.tolist():
        others = [v for v in range(vocab) if v != row[t + 1]]
        drawn.append(others[int(torch.randint(len(others), (1,), generator=g))])
    return torch.tensor(drawn)


def by_choice(ids, t, vocab, g):
    return torch.tensor([random.choice([v for v in range(vocab) if v != row[t + 1]]) for row in ids.tolist()])


def by_numpy(ids, t, vocab, g):
    return (ids[:, t + 1] + torch.from_numpy(NUMPY.integers(1, vocab, len(ids)))) % vocab


def of_another_row(ids, t, vocab, g):
    return ids[torch.randperm(len(ids)), t + 1]


def sampled(model, changed, t):
    return torch.multinomial(model(changed)[:, t].softmax(-1), 1).squeeze(1)


def sampled_by(generator_too):
    def answer(model, ids, vocab_size, generator=None):
        if ids.shape[1] < 2:
            raise ValueError("one position")
        hits = []
        for t in range(ids.shape[1] - 1):
            changed = ids.clone()
            changed[:, t + 1] = even(ids, t, vocab_size, generator)
            p = model(changed)[:, t].softmax(dim=-1)
            said = torch.multinomial(p, 1, generator=generator if generator_too else None)[:, 0]
            hits += (said == changed[:, t + 1]).tolist()
        return sum(hits) / len(hits)

    return answer


def one_position_a_row(model, ids, vocab_size, generator=None):
    b, n = ids.shape
    if n < 2:
        raise ValueError("one position")
    t = torch.randint(0, n - 1, (b,), generator=generator)
    rows = torch.arange(b)
    new = (ids[rows, t + 1] + torch.randint(1, vocab_size, (b,), generator=generator)) % vocab_size
    changed = ids.clone()
    changed[rows, t + 1] = new
    return (model(changed)[rows, t].argmax(-1) == new).float().mean().item()


def one_position(model, ids, vocab_size, generator=None):
    n = ids.shape[1]
    if n < 2:
        raise ValueError("one position")
    t = torch.randint(0, n - 1, (1,)).item()
    changed = ids.clone()
    changed[:, t + 1] = even(ids, t, vocab_size, generator)
    return (model(changed)[:, t].argmax(-1) == changed[:, t + 1]).float().mean().item()


def row_0(model, ids, vocab_size, generator=None):
    n = ids.shape[1]
    if n < 2:
        raise ValueError("one position")
    hits = 0
    for t in range(n - 1):
        changed = ids.clone()
        new = (ids[0, t + 1] + torch.randint(1, vocab_size, (1,), generator=generator)) % vocab_size
        changed[0, t + 1] = new
        hits += (model(changed)[0, t].argmax() == new).item()
    return hits / (n - 1)


def compares_with_the_step(model, ids, vocab_size, generator=None):
    b, n = ids.shape
    if n < 2:
        raise ValueError("one position")
    hits = 0
    for t in range(n - 1):
        steps = torch.randint(1, vocab_size, (b,), generator=generator)
        changed = ids.clone()
        changed[:, t + 1] = (ids[:, t + 1] + steps) % vocab_size
        hits += (model(changed)[:, t].argmax(-1) == steps).sum().item()
    return hits / (b * (n - 1))


def cut(end: Callable[[int], int], place: Callable[[int], int]) -> Callable[..., torch.Tensor]:
    return lambda model, changed, t: model(changed[:, : end(t)])[:, place(t)].argmax(-1)


def stepping(high: int) -> Callable[..., torch.Tensor]:
    return lambda ids, t, vocab, g: (ids[:, t + 1] + torch.randint(1, vocab + high, (len(ids),), generator=g)) % vocab


def one_for_all(ids, t, vocab, g):
    return (ids[:, t + 1] + torch.randint(1, vocab, (1,), generator=g)) % vocab


def any_id(ids, t, vocab, g):
    return torch.randint(vocab, (len(ids),), generator=g)


def without_the_last(seq):
    return range(seq - 2)


def without_the_first(seq):
    return range(1, seq - 1)


def divided_by_fewer(batch, seq):
    return batch * (seq - 2)


TOLD = [
    (COPY, unless_said_before, "what was said before does not count", 4),
    (COPY, tries(draw=not_in_the_row), "ids of the text are never drawn", 4),
    (COPY, tries(ask=lambda model, changed, t: model(changed).argmax(dim=1)[:, t]),
     "the likeliest position is taken for the likeliest token", 0),
    (COPY, compares_with_the_step, "no copy is ever counted", 0),
    (COPY, tries(count=lambda copied: int(copied is True)), "no copy is ever counted", 0),
    (COPY, tries(positions=without_the_last), "the last token is left out", 0),
    (COPY, tries(positions=without_the_last, total=divided_by_fewer), "the last token is left out", 0),
    (COPY, tries(positions=without_the_first), "position 0 is left out", 0),
    (COPY, tries(positions=without_the_first, total=divided_by_fewer), "position 0 is left out", 0),
    (COPY, tries(ask=lambda model, changed, t: model(changed)[:, t - 1].argmax(-1)), "the position before is read", 0),
    (COPY, tries(count=lambda copied: copied.any().item()), "a position counts once", 0),
    (COPY, tries(count=lambda copied: copied.any().item(), total=lambda batch, seq: seq - 1),
     "a position counts once", 0),
    (COPY, tries(count=lambda copied: copied.all().item()), "all rows must copy", 0),
    (COPY, tries(count=lambda copied: int(copied.all()), total=lambda batch, seq: seq - 1), "all rows must copy", 0),
    (COPY, row_0, "the first row alone", 0),
    (COPY, tries(count=lambda copied: int(copied[0]), total=lambda batch, seq: seq - 1), "the first row alone", 0),
    (COPY, tries(count=lambda copied: int(copied[0])), "the first row alone", 0),
    (COPY, tries(ask=sampled), "what the model says is drawn", 0),
    (COPY, sampled_by(True), "what the model says is drawn", 0),
    (COPY, sampled_by(False), "what the model says is drawn", 0),
    (COPY, one_position_a_row, "one position of each row is asked", 0),
    (COPY, one_position, "one position of each row is asked", 0),
    (COPY, tries(draw=by_choice), "the generator is not used", 4),
    (COPY, tries(draw=by_numpy), "the generator is not used", 4),
    (COPY, tries(draw=lambda ids, t, v, g: (ids[:, t + 1] + random.randint(1, v - 1)) % v),
     "the generator is not used", 3),
    (COPY, tries(draw=lambda ids, t, v, g: (ids[:, t + 1] + int(NUMPY.integers(1, v))) % v),
     "the generator is not used", 3),
    (COPY, tries(draw=of_another_row), "tokens of other rows are drawn", 0),
    (COPY, tries(draw=stepping(-5)), "some ids are never drawn", 4),
    (COPY, tries(draw=stepping(-1)), "some ids are never drawn", 4),
    (COPY, tries(ask=cut(lambda t: t + 1, lambda t: -1)), "the text is cut off before the new token", 0),
    (COPY, tries(ask=cut(lambda t: t + 2, lambda t: t)), "the text is cut off behind the new token", 0),
    (COPY, tries(ask=cut(lambda t: t + 2, lambda t: -2)), "the text is cut off behind the new token", 0),
]  # fmt: skip


test_a_first_attempt_gets_its_name = gets_its_name(TOLD)
test_unusual_right_answers_pass = passes([(COPY, tries(draw=not_the_original))])


CARDS = [
    (COPY, tries(draw=stepping(-1)), "the first is [11]: expected 1, got 0."),
    (COPY, tries(draw=stepping(-1)), "expected yours … 1 1 1 1 1 1 1 1 … 1 1 1 1 1 1 1 0"),
    (COPY, tries(draw=not_in_the_row), "the first is [6]: expected 1, got 0."),
    (COPY, tries(draw=one_for_all), "A draw of its own for each: expected 'row and position', got 'position'."),
    (COPY, tries(draw=one_for_all), "generator) with ids (351, 7),"),
    (COPY, tries(draw=any_id), "expected 'none', got 'some, so the original was drawn or counted'."),
    (COPY, unless_said_before, "always says the other id: Expected 1, got 0."),
    (COPY, tries(ask=cut(lambda t: t + 2, lambda t: t)), "where the model copies a single new token: Expected 1, got"),
]


test_the_card_says_what_is_wrong_and_where = reads_on_the_card(CARDS)
