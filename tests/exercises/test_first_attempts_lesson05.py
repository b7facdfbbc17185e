"""First attempts at find_leak, by somebody who had not read lesson 05: each gets the name of what it gets wrong."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch

from course_lib import exercises
from course_lib.exercises.running import draw, run
from tests.exercises.told import gets_its_name, passes, reads_on_the_card

LEAK = exercises.lesson("05")[0]


def differs(a, b):
    """(rows, seq): where some logit differs."""
    return ((a != b) & ~(a.isnan() & b.isnan())).any(-1)


def asks(
    news: Callable[..., Iterable[Any]] = lambda old, vocab, ids: range(vocab),
    tokens: Callable[[int], range] = lambda seq: range(1, seq),
    write: Callable[..., None] | None = None,
    moved: Callable[..., torch.Tensor] = differs,
    put: Callable[..., None] | None = None,
) -> Callable[..., Any]:
    """news: what a token is replaced by; put: where; moved: what an answer shows; write: where that is noted."""

    def answer(model, ids, vocab_size):
        seq = ids.shape[1]
        base = model(ids.clone())
        leak = torch.zeros(seq, seq, dtype=torch.bool)
        for j in tokens(seq):
            for v in news(ids[:, j], vocab_size, ids):
                changed = ids.clone()
                if put is None:
                    changed[:, j] = v
                else:
                    put(changed, j, v)
                d = moved(base, model(changed)).any(0)
                if write is None:
                    leak[:j, j] |= d[:j]
                else:
                    write(leak, j, d)
        return leak

    return answer


def all_ids_in_one_call(model, ids, vocab_size):
    b, n = ids.shape
    base, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
    for j in range(1, n):
        changed = ids.clone().repeat(vocab_size, 1)
        changed[:, j] = torch.arange(vocab_size).repeat_interleave(b)
        out = model(changed).view(vocab_size, b, n, -1)
        leak[:j, j] = differs(out, base[None]).any(0).any(0)[:j]
    return leak


def row_after_row(model, ids, vocab_size):
    n = ids.shape[1]
    base, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
    for r, row in enumerate(ids):
        for j in range(n):
            for v in range(vocab_size):
                changed = row.clone()
                changed[j] = v
                leak[:, j] |= differs(model(changed[None]), base[r : r + 1])[0]
    return leak.triu(1)


def each_row_beside_itself(model, ids, vocab_size):
    """Right: what is compared has the same shape, if not that of ids."""
    n = ids.shape[1]
    leak = torch.zeros(n, n, dtype=torch.bool)
    for row in ids:
        base = model(row[None].clone())
        for j in range(n):
            for v in range(vocab_size):
                changed = row[None].clone()
                changed[:, j] = v
                leak[:, j] |= differs(model(changed), base)[0]
    return leak.triu(1)


def columns(give: Callable[[list[torch.Tensor]], torch.Tensor]) -> Callable[..., Any]:
    def answer(model, ids, vocab_size):
        base, cols = model(ids.clone()), []
        for j in range(ids.shape[1]):
            d = torch.zeros(ids.shape[1], dtype=torch.bool)
            for v in range(vocab_size):
                changed = ids.clone()
                changed[:, j] = v
                d = d | differs(model(changed), base).any(0)
            cols.append(d)
        return give(cols)

    return answer


def as_in_lesson_01(model, ids, vocab_size):
    n = ids.shape[1]
    base, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
    for j in range(1, n):
        for v in range(vocab_size):
            changed = ids.clone()
            changed[:, j] = v
            out = model(changed)
            if not torch.allclose(out[:, :j], base[:, :j], rtol=0, atol=0, equal_nan=True):
                leak[:j, j] = True
    return leak


def one_clone_a_token(model, ids, vocab_size):
    n = ids.shape[1]
    base, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
    for j in range(1, n):
        changed = ids.clone()
        for v in range(vocab_size):
            changed[:, j] = v
            leak[:j, j] |= differs(model(changed), base).any(0)[:j]
    return leak


def base_moves_along(model, ids, vocab_size):
    n = ids.shape[1]
    base, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
    for j in range(n):
        for v in range(vocab_size):
            changed = ids.clone()
            changed[:, j] = v
            out = model(changed)
            leak[:j, j] |= differs(out, base).any(0)[:j]
            base = out
    return leak


def base_begins_anew_with_each_token(model, ids, vocab_size):
    """Right: whatever differs from the first differs from one of its neighbours in the chain."""
    n = ids.shape[1]
    leak = torch.zeros(n, n, dtype=torch.bool)
    for j in range(n):
        base = model(ids.clone())
        for v in range(vocab_size):
            changed = ids.clone()
            changed[:, j] = v
            out = model(changed)
            leak[:j, j] |= differs(out, base).any(0)[:j]
            base = out
    return leak


def next_token(rows: Callable[[int], slice]) -> Callable[..., Any]:
    def answer(model, ids, vocab_size):
        n = ids.shape[1]
        base, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
        for j in range(n - 1):
            for v in range(vocab_size):
                changed = ids.clone()
                changed[:, j + 1] = v
                d = differs(model(changed), base).any(0)
                leak[rows(j), j] |= d[rows(j)]
        return leak

    return answer


def cut_before(model, ids, vocab_size):
    n = ids.shape[1]
    out, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
    for j in range(1, n):
        leak[:j, j] = differs(out[:, :j], model(ids[:, :j].clone())).any(0)
    return leak


def cut_behind(model, ids, vocab_size):
    n = ids.shape[1]
    base, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
    for j in range(1, n):
        for v in range(vocab_size):
            changed = ids[:, : j + 1].clone()
            changed[:, j] = v
            leak[:j, j] |= differs(model(changed)[:, :j], base[:, :j]).any(0)
    return leak


def stops_when_it_leaks(model, ids, vocab_size):
    n = ids.shape[1]
    base, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
    for j in range(1, n):
        for v in range(vocab_size):
            changed = ids.clone()
            changed[:, j] = v
            d = differs(model(changed), base).any(0)[:j]
            if d.any():
                leak[:j, j] = d
                break
    return leak


def second_name(model, ids, vocab_size):
    n = ids.shape[1]
    base, leak = model(ids.clone()), torch.zeros(n, n, dtype=torch.bool)
    for j in range(1, n):
        changed = ids
        for v in range(vocab_size):
            changed[:, j] = v
            leak[:j, j] |= differs(model(changed.clone()), base).any(0)[:j]
    return leak


def cleaned(**how: float) -> Callable[..., torch.Tensor]:
    return lambda a, b: (a.nan_to_num(**how) != b.nan_to_num(**how)).any(-1)


def from_here_on(changed, j, v):
    changed[:, j:] = v


def shifted(leak, j, d):
    leak[1 : j + 1, j] |= d[:j]


def into_row(leak, j, d):
    leak[j, j + 1 :] |= d[j + 1 :]


def diagonal_too(leak, j, d):
    leak[: j + 1, j] |= d[: j + 1]


def drawn(times: int) -> Callable[..., Iterable[torch.Tensor]]:
    return lambda old, vocab, ids: (torch.randint(vocab, old.shape) for _ in range(times))


TOLD = [
    (LEAK, all_ids_in_one_call, "another batch than ids", 4),
    (LEAK, row_after_row, "another batch than ids", 4),
    (LEAK, asks(moved=cleaned()), "nan is taken for 0", 5),
    (LEAK, asks(moved=cleaned(nan=0.0)), "nan is taken for 0", 5),
    (LEAK, columns(lambda cols: torch.stack(cols).triu(1)), "rows and columns are swapped", 0),
    (LEAK, columns(torch.stack), "rows and columns are swapped", 0),
    (LEAK, asks(tokens=range, write=into_row), "rows and columns are swapped", 0),
    (LEAK, as_in_lesson_01, "one answer for all positions before it", 0),
    (LEAK, one_clone_a_token, "the model writes into the copy", 5),
    (LEAK, base_moves_along, "compared with the answer before", 0),
    (LEAK, next_token(lambda j: slice(j)), "the token behind is replaced", 0),
    (LEAK, next_token(lambda j: slice(j + 1)), "the token behind is replaced", 0),
    (LEAK, asks(write=shifted), "the rows are one too low", 0),
    (LEAK, asks(news=drawn(20)), "some ids are never tried", 4),
    (LEAK, asks(news=lambda old, vocab, ids: range(min(20, vocab))), "some ids are never tried", 4),
    (LEAK, asks(news=lambda old, vocab, ids: ids.unique()), "some ids are never tried", 4),
    (LEAK, cut_before, "the text is cut off", 0),
    (LEAK, cut_behind, "the text is cut off", 0),
    (LEAK, stops_when_it_leaks, "the search ends at the first find", 4),
    (LEAK, asks(put=from_here_on), "all later tokens are replaced at once", 0),
]  # fmt: skip


test_a_first_attempt_gets_its_name = gets_its_name(TOLD)
test_unusual_right_answers_pass = passes(
    [(LEAK, each_row_beside_itself), (LEAK, base_begins_anew_with_each_token), (LEAK, asks(moved=cleaned(nan=1e30)))]
)


CARDS = [
    (LEAK, all_ids_in_one_call, "answers with other last bits if the number of rows is another: "),
    (LEAK, all_ids_in_one_call, "rows at once, the logits at position 0 stay as they are, whatever token 1 becomes."),
    (LEAK, all_ids_in_one_call, "For another number of rows a kernel adds up in another order"),
    (LEAK, asks(put=from_here_on), "expected False, got True; asked about"),
    (LEAK, asks(write=diagonal_too), "position 1 may read token 1, and a leak has j > i"),
    (LEAK, asks(write=diagonal_too), "○ ids stay as they were"),
    (LEAK, columns(torch.stack), "○ ids stay as they were"),
    (LEAK, lambda model, ids, vocab_size: asks()(model, ids, vocab_size).float(), "○ ids stay as they were"),
    (LEAK, one_clone_a_token, "✗ ids stay as they were"),
    (LEAK, second_name, "✗ ids stay as they were"),
]


test_the_card_says_what_is_wrong_and_where = reads_on_the_card(CARDS)


@pytest.mark.parametrize("news", [lambda old, vocab, ids: range(vocab - 1), lambda old, vocab, ids: range(1, vocab)])
@pytest.mark.parametrize("seed", range(5))
def test_the_sentence_is_about_the_cell_that_it_names(news: Callable[..., Any], seed: int):
    student = asks(news=news)
    verdict = LEAK.grade(student, seed)
    cases = draw(LEAK.side, seed)
    failure = next(result.failure for result in verdict.groups if result.failure)
    number = next(n for n, case in enumerate(cases) if case.shown == failure.shown and _is_wrong(student, n, seed))
    mine, right = (run(LEAK.side, answer, [cases[number]], seed)[0].value for answer in (student, LEAK.reference))
    i, j = (mine != right).nonzero()[0].tolist()
    assert f"the first is [{i}][{j}]: expected True, got False" in failure.sentence
    assert f"the logits at position {i} change when token {j} becomes" in failure.sentence


def _is_wrong(student: Callable[..., Any], number: int, seed: int) -> bool:
    case = [draw(LEAK.side, seed)[number]]
    mine, right = (run(LEAK.side, answer, case, seed)[0].value for answer in (student, LEAK.reference))
    return not torch.equal(mine, right)
