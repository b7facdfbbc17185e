"""What learners write in lesson 05 and are told: the right name, or none and the counterexample; never a wrong one."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from course_lib import exercises
from course_lib.decoder import DecoderConfig
from course_lib.exercises.exercise import Exercise
from course_lib.masks import create_bidirectional_mask, create_causal_mask
from tests.exercises.told import gets_its_name, passes, reads_on_the_card

LEAK, COPY, REPAIR = exercises.lesson("05")


def finds(
    news: Callable[..., Iterable[Any]] = lambda old, vocab: range(vocab),
    tokens: Callable[[int], range] = lambda seq: range(1, seq),
    moved: Callable[..., torch.Tensor] = lambda a, b: ((a != b) & ~(a.isnan() & b.isnan())).any(-1).any(0),
    note: Callable[..., None] | None = None,
    give: Callable[[torch.Tensor], Any] = lambda leak: leak,
) -> Callable[..., Any]:
    """What a first attempt looks like, with a slip or two."""

    def answer(model, ids, vocab_size):
        n = ids.shape[1]
        leak = torch.zeros((n, n), dtype=torch.bool)
        original = model(ids.clone())
        for j in tokens(n):
            for new in news(ids[:, j], vocab_size):
                changed = ids.clone()
                changed[:, j] = new
                difference = moved(original, model(changed))
                if note is None:
                    leak[:j, j] |= difference[:j]
                else:
                    note(leak, j, difference)
        return give(leak)

    return answer


def plain(a, b):
    return (a != b).any(dim=-1).any(dim=0)


def largest(a, b):
    return (a - b).abs().amax((0, 2)) > 0


def threshold(a, b):
    return (a - b).abs().amax((0, 2)) > 1e-6


def close(a, b):
    return torch.tensor([not torch.allclose(a[:, i], b[:, i]) for i in range(a.shape[1])])


def not_equal(a, b):
    return torch.tensor([not torch.equal(a[:, i], b[:, i]) for i in range(a.shape[1])])


def as_lesson_01(model, ids, vocab_size):
    before = model(ids.clone())
    for j in range(1, ids.shape[1]):
        for value in range(vocab_size):
            changed = ids.clone()
            changed[:, j] = value
            if not torch.equal(model(changed)[:, :j], before[:, :j]):
                return True
    return False


def overwriting(leak, j, moved):
    leak[:j, j] = moved[:j]


def by_if(leak, j, moved):
    for i in range(len(leak)):
        if moved[i]:
            leak[i, j] = True


def turned(leak, j, moved):
    leak[j, :j] |= moved[:j]


def to_the_diagonal(leak, j, moved):
    leak[: j + 1, j] |= moved[: j + 1]


def row_by_row(model, ids, vocab_size):
    """Right: one row at a time, and one pair at a time."""
    n = ids.shape[1]
    table = np.zeros((n, n), dtype=bool)
    for row in ids:
        before = model(row[None].clone())[0]
        for j in range(n):
            for new in set(range(vocab_size)) - {int(row[j])}:
                asked = row.clone()
                asked[j] = new
                after = model(asked[None])[0]
                for i in range(j):
                    if not np.array_equal(before[i].numpy(), after[i].numpy(), equal_nan=True):
                        table[i, j] = True
    return torch.from_numpy(table)


def alias(model, ids, vocab_size):
    n, before = ids.shape[1], model(ids)
    leak = torch.zeros(n, n, dtype=torch.bool)
    for j in range(1, n):
        changed = ids
        for value in range(vocab_size):
            changed[:, j] = value
            leak[:j, j] |= not_equal(before, model(changed))[:j]
    return leak


def future_at_once(model, ids, vocab_size):
    n, before = ids.shape[1], model(ids.clone())
    leak = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n - 1):
        changed = ids.clone()
        changed[:, i + 1 :] = (changed[:, i + 1 :] + 1) % vocab_size
        leak[i, i + 1 :] = plain(before, model(changed))[i]
    return leak


def counts(
    draw: Callable[..., torch.Tensor] = lambda old, v, g: (old + torch.randint(1, v, old.shape, generator=g)) % v,
    place: int = 0,
    give: Callable[[Any, int], Any] = lambda copies, total: (copies / total).item(),
    error: bool = True,
    copied: Callable[..., torch.Tensor] = lambda logits, drawn, old: logits.argmax(-1) == drawn,
) -> Callable[..., Any]:
    def answer(model, ids, vocab_size, generator=None):
        batch, seq = ids.shape
        if error and seq < 2:
            raise ValueError("one token")
        copies = 0
        for t in range(seq - 1):
            changed = ids.clone()
            changed[:, t + 1] = draw(ids[:, t + 1], vocab_size, generator)
            copies = copies + copied(model(changed)[:, t + place], changed[:, t + 1], ids[:, t + 1]).sum()
        return give(copies, batch * (seq - 1))

    return answer


def all_together(model, ids, vocab_size, generator=None):
    if ids.shape[1] == 1:
        raise ValueError("one token")
    changed = torch.cat(
        (ids[:, :1], (ids[:, 1:] + torch.randint(1, vocab_size, ids[:, 1:].shape, generator=generator)) % vocab_size), 1
    )
    return (model(changed).argmax(-1)[:, :-1] == changed[:, 1:]).float().mean().item()


def how_well_it_predicts(model, ids, vocab_size, generator=None):
    if ids.shape[1] == 1:
        raise ValueError("one token")
    return (model(ids).argmax(-1)[:, :-1] == ids[:, 1:]).float().mean().item()


def one_row_at_a_time(model, ids, vocab_size, generator=None):
    if ids.shape[1] < 2:
        raise ValueError("one token")
    hits = total = 0
    for row in ids.tolist():
        for t in range(len(row) - 1):
            new = int(torch.randint(vocab_size - 1, (), generator=generator))
            new += new >= row[t + 1]
            question = torch.tensor([[*row[: t + 1], new, *row[t + 2 :]]])
            hits += int(model(question)[0, t].argmax()) == new
            total += 1
    return hits / total


def redrawn_once(old, vocab, generator):
    """Draws again where the original came, and takes what comes then."""
    new = torch.randint(vocab, old.shape, generator=generator)
    again = torch.randint(vocab, old.shape, generator=generator)
    return torch.where(new == old, again, new)


def until_another(old, vocab, generator):
    new = old.clone()
    for b in range(len(old)):
        while new[b] == old[b]:
            new[b] = torch.randint(vocab, (), generator=generator)
    return new


def shared(old, vocab, generator):
    return (old + int(torch.randint(1, vocab, (1,), generator=generator))) % vocab


def own_generator(old, vocab, generator):
    return (old + torch.randint(1, vocab, old.shape, generator=torch.Generator().manual_seed(42))) % vocab


def mends(
    lengths: Iterable[int] = range(1, 17),
    leaks: Callable[..., Any] = lambda mask, n: mask[0, 0].triu(1).any(),
    give: Callable[..., Any] = lambda config: replace(config, mask=create_causal_mask),
) -> Callable[..., Any]:
    def answer(config):
        for n in lengths:
            if leaks(config.mask(n), n):
                return give(config)
        return config

    return answer


def decided_at_once(config):
    """Returns in the first round."""
    for n in range(1, 17):
        if config.mask(n).triu(1).any():
            return replace(config, mask=create_causal_mask)
        return config
    return None


def assigned(config):
    config.mask = create_causal_mask
    return config


def rebuilt(config):
    return DecoderConfig(
        vocab_size=config.vocab_size, d_model=config.d_model, num_layers=config.num_layers, num_heads=config.num_heads,
        d_ff=config.d_ff, max_len=config.max_len, dropout=config.dropout, mask=create_causal_mask,
    )  # fmt: skip


TOLD: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (LEAK, as_lesson_01, "one answer instead of a table", 0),
    (LEAK, finds(moved=plain), "nan is called a change", 5),
    (LEAK, finds(moved=not_equal), "nan is called a change", 5),
    (LEAK, finds(moved=largest), "a nan that appears is missed", 5),
    (LEAK, finds(moved=threshold), "a tolerance hides the leak", 3),
    (LEAK, finds(moved=close), "a tolerance hides the leak", 3),
    (LEAK, finds(moved=lambda a, b: ~torch.isclose(a, b, equal_nan=True).all(-1).all(0)),
     "a tolerance hides the leak", 4),
    (LEAK, finds(news=lambda old, v: [(old + 1) % v]), "only one new id counts", 4),
    (LEAK, finds(news=lambda old, v: [(old + 1) % v], moved=plain), "only one new id counts", 3),
    (LEAK, finds(news=lambda old, v: range(1, v)), "some ids are never tried", 4),
    (LEAK, finds(news=lambda old, v: range(v - 1)), "some ids are never tried", 4),
    (LEAK, finds(news=lambda old, v: range(v + 1)), "an id beyond the vocabulary", 0),
    (LEAK, finds(news=lambda old, v: [old]), "nothing is ever found", 0),
    (LEAK, finds(news=lambda old, v: [(old + s) % v for s in range(1, v)], note=overwriting),
     "only one new id counts", 4),
    (LEAK, finds(note=by_if), "the past is counted", 0),
    (LEAK, finds(note=by_if, tokens=range), "the past is counted", 0),
    (LEAK, finds(note=turned), "rows and columns are swapped", 0),
    (LEAK, finds(note=to_the_diagonal), "the diagonal is counted", 0),
    (LEAK, finds(give=lambda leak: leak.triu(0) | torch.eye(len(leak)).bool()), None, 0),
    (LEAK, finds(tokens=lambda n: range(1, n - 1)), "the last token is never replaced", 0),
    (LEAK, finds(give=lambda leak: leak.float()), "numbers instead of True and False", 0),
    (LEAK, finds(give=lambda leak: leak.nonzero()), "a list of pairs instead of a table", 0),
    (LEAK, finds(give=lambda leak: leak.any()), "one answer instead of a table", 0),
    (LEAK, finds(give=lambda leak: None), None, 0),
    (LEAK, alias, "ids are changed in place", 0),
    (LEAK, future_at_once, "all later tokens are replaced at once", 0),
    (COPY, how_well_it_predicts, "no token is replaced", 0),
    (COPY, all_together, "all tokens are replaced at once", 0),
    (COPY, counts(place=1), "the position of the replaced token is read", 0),
    (COPY, counts(copied=lambda logits, drawn, old: logits.argmax(-1) == old), "the original token is counted", 0),
    (COPY, counts(draw=lambda old, v, g: torch.randint(v, old.shape, generator=g)),
     "the drawn id may be the original", 4),
    (COPY, counts(draw=lambda old, v, g: torch.randint(0, v - 1, old.shape, generator=g)),
     "the drawn id may be the original", 4),
    (COPY, counts(draw=redrawn_once), "the drawn id may be the original", 4),
    (COPY, counts(draw=shared), "one draw for all rows", 4),
    (COPY, counts(draw=own_generator), None, 3),
    (COPY, counts(draw=lambda old, v, g: (old + torch.randint(1, v, old.shape)) % v), "the generator is not used", 4),
    (COPY, counts(draw=lambda old, v, g: (old + 1) % v), "nothing is drawn", 3),
    (COPY, counts(give=lambda copies, total: copies / total), "a tensor instead of a float", 4),
    (COPY, counts(give=lambda copies, total: int(copies)), "a count instead of a share", 0),
    (COPY, counts(error=False, give=lambda copies, total: float(copies) / total),
     "nothing to predict is not an error", 4),
    (COPY, counts(error=False, give=lambda copies, total: float(copies / max(total, 1))),
     "nothing to predict is not an error", 4),
    (COPY, counts(copied=lambda logits, drawn, old: logits.softmax(-1)[torch.arange(len(old)), drawn]),
     "the probability is averaged", 0),
    (COPY, counts(copied=lambda logits, drawn, old: (logits.argmax(-1) == drawn).all()),
     "all rows must copy", 0),
    (REPAIR, lambda config: replace(config, mask=create_causal_mask), "every mask is replaced", 2),
    (REPAIR, assigned, "the frozen configuration is written to", 0),
    (REPAIR, rebuilt, "other fields are lost", 2),
    (REPAIR, decided_at_once, "the loop ends in its first round", 0),
    (REPAIR, mends(lengths=[4]), "not all lengths are tried", 2),
    (REPAIR, mends(lengths=[2, 4, 8, 16]), "not all lengths are tried", 2),
    (REPAIR, mends(lengths=range(16)), "a mask of no tokens is asked for", 0),
    (REPAIR, mends(leaks=lambda mask, n: not torch.equal(mask, create_causal_mask(n))), "every mask is replaced", 2),
    (REPAIR, mends(leaks=lambda mask, n: n > 1 and torch.equal(mask, create_bidirectional_mask(n))),
     "everything must be visible", 2),
    (REPAIR, mends(leaks=lambda mask, n: mask.triu().any()), "every mask is replaced", 2),
    (REPAIR, mends(give=lambda config: create_causal_mask), "the mask alone comes back", 0),
    (REPAIR, mends(give=lambda config: replace(config, mask=create_causal_mask(16))),
     "a mask in place of a function", 0),
    (REPAIR, mends(give=lambda config: replace(config, mask=lambda n: create_causal_mask(n))),
     "the new mask takes no device", 0),
    (REPAIR, mends(give=lambda config: replace(config, mask=lambda n, device: torch.ones(n, n).tril() > 0)),
     "the new mask has two axes", 0),
    (REPAIR, mends(give=lambda config: asdict(config) | {"mask": create_causal_mask}), "a dict comes back", 0),
]  # fmt: skip


test_a_learners_code_gets_the_right_name_or_none = gets_its_name(TOLD)


RIGHT: list[tuple[Exercise, Callable[..., Any]]] = [
    (LEAK, finds()),
    (LEAK, finds(tokens=range)),
    (LEAK, finds(news=lambda old, v: [(old + step) % v for step in range(v)], note=by_if,
                 give=lambda leak: leak.triu(1))),
    (LEAK, finds(moved=lambda a, b: ~(torch.isclose(a, b, rtol=0, atol=0) | (a.isnan() & b.isnan())).all(2).all(0))),
    (LEAK, row_by_row),
    (COPY, counts()),
    (COPY, counts(draw=until_another)),
    (COPY, one_row_at_a_time),
    (COPY, counts(copied=lambda logits, drawn, old: logits.softmax(-1).max(-1).indices == drawn)),
    (COPY, counts(give=lambda copies, total: float(np.float64(int(copies)) / total))),
    (COPY, counts(give=lambda copies, total: np.float64(int(copies)) / total)),
    (REPAIR, mends()),
    (REPAIR, mends(lengths=range(2, 20))),
    (REPAIR, mends(leaks=lambda mask, n: (mask & ~create_causal_mask(n)).any())),
    (REPAIR, mends(leaks=lambda mask, n: not torch.equal(mask, mask.tril()))),
    (REPAIR, mends(give=lambda config: type(config)(**{**vars(config), "mask": create_causal_mask}))),
]  # fmt: skip


test_unusual_right_answers_pass = passes(RIGHT)


CARDS = [
    (LEAK, finds(news=lambda old, v: [(old + 1) % v]), "the model feels one id alone of each token after token 1"),
    (LEAK, finds(note=turned), "Your table lies on its side."),
    (LEAK, finds(news=lambda old, v: range(v + 1)), "IndexError"),
    (COPY, how_well_it_predicts, "where the model says the token just read: Expected 0, got 1."),
    (COPY, counts(give=lambda copies, total: copies / total), "What comes back: expected 'float', got 'Tensor'."),
    (REPAIR, mends(lengths=range(1, 16)), "looks ahead at 16 tokens alone"),
    (REPAIR, lambda config: replace(config, mask=create_causal_mask), "You replace masks that never look ahead"),
]


test_the_card_says_what_is_wrong_and_where = reads_on_the_card(CARDS)
