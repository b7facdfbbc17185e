"""Lesson 03: values computed by hand, what the statements promise, and the odds by which chance is judged."""

import math
from collections.abc import Callable
from inspect import unwrap
from typing import Any

import pytest
import torch

from course_lib import exercises
from course_lib.exercises.exercise import Exercise, run_mistake
from course_lib.exercises.lesson03.bank.surveys import SIGMAS, make_survey
from course_lib.exercises.lesson03.run import FEW, OFTEN, TEXT
from course_lib.exercises.running import draw, run
from course_lib.exercises.shortcuts import find_shortcut
from tests.exercises.mutants import mutants

LESSON = exercises.lesson("03")
MASKING, LOSS, POOL, SPAN, LABELS = LESSON
LOWEST = torch.finfo(torch.float32).min
HIDDEN = torch.tensor([[[1.0, 10.0], [3.0, 30.0], [8.0, 80.0]], [[2.0, 20.0], [4.0, 40.0], [9.0, 90.0]]])
REAL = torch.tensor([[[[True, True, False]]], [[[False, False, True]]]])

# One call of each exercise, and what a pencil says to it.
BY_HAND: list[tuple[Exercise, tuple[Any, ...], Any]] = [
    # Nothing to draw: every ordinary token is selected, and special ones never are.
    (MASKING, (torch.tensor([[1, 3, 2], [1, 2, 0]]), 3, 7, (0, 1, 2), 1.0), ([[1, 3, 2], [1, 2, 0]], [[-100] * 3] * 2)),
    # Probabilities 1/2 and 1/8, the third position has no label: (ln 2 + ln 8) / 2 = 2 ln 2.
    (
        LOSS,
        (
            torch.tensor([[[4.0, 2.0, 2.0], [1.0, 3.0, 4.0], [9.0, 1.0, 1.0]]]).log(),
            torch.tensor([[0, 0, -100]]),
        ),
        2 * math.log(2),
    ),
    (POOL, (HIDDEN,), [[4.0, 40.0], [5.0, 50.0]]),
    (POOL, (HIDDEN, REAL), [[2.0, 20.0], [9.0, 90.0]]),
    (POOL, (HIDDEN, REAL, "first"), [[1.0, 10.0], [9.0, 90.0]]),
    (POOL, (HIDDEN, REAL, "last"), [[3.0, 30.0], [9.0, 90.0]]),
    (POOL, (HIDDEN, torch.zeros_like(REAL), "last"), [[0.0, 0.0], [0.0, 0.0]]),
    (SPAN, (torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([[6.0, 0.0, 3.0]])), [[1, 2]]),
    (SPAN, (torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([[6.0, 0.0, 3.0]]), 1), [[0, 0]]),
    (SPAN, (torch.tensor([[-1.0, -5.0, LOWEST]]), torch.tensor([[-4.0, -3.0, LOWEST]])), [[0, 1]]),
    (LABELS, ([3, 3, 0], [None, 0, 0, 1, 2, 2, None]), [-100, 3, -100, 3, 0, -100, -100]),
    (LABELS, ([3, 7, 5], [2, 2, None]), [5, -100, -100]),
]


@pytest.mark.parametrize(("exercise", "args", "expected"), BY_HAND, ids=[ex.side.name for ex, _, _ in BY_HAND])
def test_right_answers_give_what_a_pencil_gives(exercise: Exercise, args: tuple[Any, ...], expected: Any):
    for right in (exercise.reference, *exercise.alternatives):
        found = right(*args)
        if exercise is MASKING:
            assert tuple(part.tolist() for part in found) == expected
        elif exercise is LABELS:
            assert found == expected
        elif exercise is SPAN:
            assert found.tolist() == expected
        else:
            torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exercise", [LOSS, POOL], ids=lambda exercise: exercise.id)
def test_wrong_values_are_clearly_wrong(exercise: Exercise, seed: int):
    """No verdict hangs on the tolerance: where a mistake gives other numbers, they are ten times as far away."""
    expected = run(exercise.side, exercise.reference, draw(exercise.side, seed), seed)
    for name, wrong in exercise.mistakes():
        farthest = 0.0
        for got, want in zip(run_mistake(exercise, wrong, seed), expected, strict=True):
            if got.kind == want.kind == "tensor" and got.value.shape == want.value.shape:
                finite = torch.equal(got.value.isfinite(), want.value.isfinite())
                off = (got.value - want.value).abs() / want.value.abs().clamp(min=1)
                farthest = max(farthest, off.max().item() if finite else math.inf)
            elif got.kind != want.kind or want.kind == "tensor" or got.type != want.type or got.value != want.value:
                farthest = math.inf
            farthest = math.inf if got.inputs_changed else farthest
        assert farthest > 10 * (exercise.judge.atol + exercise.judge.rtol), name


def test_every_row_of_padding_and_every_side_is_there(seed: int):
    sides, empty = set(), 0
    for case in draw(POOL.side, seed):
        if len(case.args) > 1 and case.args[1] is not None:
            real = case.args[1][:, 0, 0]
            counts = real.sum(1)
            empty += int((counts == 0).sum())
            padded = real[(0 < counts) & (counts < real.shape[1])]
            sides |= {bool(row[0]) for row in padded}
    assert sides == {True, False}
    assert empty == 3


def test_spans_are_drawn_so_that_each_condition_counts(seed: int):
    for case in draw(SPAN.side, seed):
        start, end, *limit = case.args
        assert start.shape == end.shape
        found = SPAN.reference(*case.args)
        assert (found[:, 0] <= found[:, 1]).all()
        assert (found[:, 1] < found[:, 0] + (limit[0] if limit else 30)).all()
        if "equally good" in case.shown:
            sums = (start[:, :, None] + end[:, None]).masked_fill(~torch.ones(2 * start.shape[1:]).triu().bool(), -9)
            assert ((sums == sums.amax((1, 2), keepdim=True)).sum((1, 2)) > 1).sum() > len(start) / 2


# Masked tokens: what chance may do.
def survey(student: Callable[..., Any], seed: int):
    cases = draw(MASKING.side, seed)
    return make_survey(run(MASKING.side, student, cases, seed), draw(MASKING.side, seed))


def test_a_right_answer_fails_in_one_of_a_thousand_million_checks():
    assert math.erfc(SIGMAS / math.sqrt(2)) / 2 < 1e-9


def test_chance_is_judged_on_enough_tokens():
    """Each share that a known mistake gives is nine standard deviations from a right one, or comes close to it."""
    for seed in range(20):
        found = survey(MASKING.reference, seed)
        calls = found.calls
        assert calls[TEXT].trials > 6000
        assert calls[OFTEN].count > 8500
        assert calls[FEW].count > 13_000
        # A ninth of the random tokens is what stood there; of the ids that are drawn four are special, or all.
        assert (0.1 * 8 / 9 - 0.1 * 8 / 13) / math.sqrt(0.09 * 0.91 / calls[OFTEN].count) > 9
        assert (0.1 / 3) / math.sqrt(0.8 * 0.2 / calls[FEW].count) > 9


def test_the_statistics_of_a_right_answer_look_like_normal_variables():
    far = []
    for seed in range(40):
        it = survey(MASKING.reference, seed)
        for call in (it.calls[TEXT], it.calls[OFTEN]):
            sigma = math.sqrt(call.rate * (1 - call.rate) / call.trials)
            far.append((call.chosen - call.rate) / sigma)
        far.append((it.calls[FEW].shares[0] - 0.8) / math.sqrt(0.16 / it.calls[FEW].count))
        assert abs(it.rows_vary) < 4
    far = torch.tensor(far)
    assert far.abs().max() < 4.5
    assert 0.8 < far.std() < 1.2


def test_sentences_hold_what_the_judge_looks_for(seed: int):
    for case in draw(MASKING.side, seed):
        ids, mask_id, vocab, *special_ids = case.args
        if case.group == FEW:
            assert not special_ids
            assert vocab == 3
            continue
        assert set(special_ids[0]) < set(ids.unique().tolist())
        assert mask_id not in special_ids[0]
        assert vocab - 1 not in ids
        assert (ids[~torch.isin(ids, torch.tensor(special_ids[0]))] < mask_id).any()
        assert (ids == mask_id).any()
        assert set(range(vocab)) - set(ids.unique().tolist()) > {vocab - 1}


def obeys_the_laws(mask_tokens: Callable[..., Any]) -> bool:
    """Look at masked tokens apart from the exercise's own judge: other sizes, other sentences, five sigma."""
    vocab, mask_id, special = 17, 5, (0, 9)
    ids = torch.randint(1, vocab, (307, 211), generator=torch.Generator().manual_seed(7))
    kept, is_special = ids.clone(), torch.isin(ids, torch.tensor([mask_id, *special]))
    try:
        inputs, labels = mask_tokens(ids, mask_id, vocab, special, 0.3, generator=torch.Generator().manual_seed(1))
        again = mask_tokens(ids, mask_id, vocab, special, 0.3, generator=torch.Generator().manual_seed(1))
        default, _ = mask_tokens(ids, mask_id, vocab, special, generator=torch.Generator().manual_seed(2))
        plain, _ = mask_tokens(ids, mask_id, vocab)
    except Exception:
        return False
    selected = labels != -100
    count, total = int(selected.sum()), int((~is_special).sum())
    masked, replaced = selected & (inputs == mask_id), (inputs != ids) & (inputs != mask_id)
    exact = [
        torch.equal(ids, kept),
        torch.equal(labels[selected], ids[selected]),
        torch.equal(inputs[~selected], ids[~selected]),
        not (selected & is_special).any(),
        not torch.isin(inputs[replaced], torch.tensor([mask_id, *special])).any(),
        torch.equal(inputs, again[0]) and torch.equal(labels, again[1]),
        not torch.equal(inputs, default),
        (plain[ids == 9] != 9).any(),
        all((inputs[replaced] == v).any() for v in range(vocab) if v not in (mask_id, *special)),
    ]
    odds = [(count, total, 0.3), (int(masked.sum()), count, 0.8), (int((default != ids).sum()), total, 0.15 * 0.893)]
    odds += [(int(selected[:, j].sum()), int((~is_special)[:, j].sum()), 0.3) for j in range(0, 211, 30)]
    within = [abs(n - trials * p) < 5 * math.sqrt(trials * p * (1 - p)) for n, trials, p in odds]
    return all(exact) and all(within) and 0.08 < int(replaced.sum()) / max(count, 1) < 0.11


SLOW = ("by_loops", "by_numbers_in_order", "by_rejection")  # and what is drawn again until it fits may never fit


@pytest.mark.parametrize(
    "answer",
    [unwrap(MASKING.reference), *(right for right in MASKING.alternatives if right.__name__ not in SLOW)],
    ids=lambda answer: answer.__name__,
)
def test_every_slip_that_breaks_a_law_of_masking_is_rejected(answer: Callable[..., Any]):
    assert obeys_the_laws(answer)
    made = rejected = 0
    for change, mutant in mutants(answer):
        made += 1
        if all(MASKING.grade(mutant, seed).passed for seed in (0, 1)):
            assert obeys_the_laws(mutant), change
        else:
            rejected += 1
    assert rejected >= made / 2


def test_what_masks_tokens_or_finds_spans_itself_is_refused():
    def said(exercise: Exercise, source: str) -> str | None:
        return find_shortcut([source], exercise.side.name, exercise.forbidden, exercise.allowed)

    collator = "def mask_tokens(ids):\n    return DataCollatorForLanguageModeling(tokenizer)(ids)"
    assert said(MASKING, collator).startswith("mask_tokens uses DataCollatorForLanguageModeling, which masks tokens")
    assert said(SPAN, "def best_span(s, e):\n    return pipe.decode_spans(s, e)").startswith("best_span uses decode_")
    own = "from course_lib.objectives import masked_lm_loss as f\ndef masked_lm_loss(a, b):\n    return f(a, b)"
    assert "uses course_lib" in said(LOSS, own)
    assert said(LOSS, "def masked_lm_loss(a, b):\n    return F.cross_entropy(a, b, ignore_index=-100)") is None


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_right_answers_give_masked_tokens_in_the_dtype_of_ids(dtype: torch.dtype):
    ids = torch.randint(3, 29, (5, 53), generator=torch.Generator().manual_seed(1)).to(dtype)
    for right in (MASKING.reference, *MASKING.alternatives):
        assert [part.dtype for part in right(ids, 1, 29, (0, 2), 0.5)] == [dtype, dtype], right.__name__


@pytest.mark.parametrize("word", [-1, -3, 3])
def test_a_number_without_a_label_is_an_error_for_each_right_answer(word: int):
    for right in (LABELS.reference, *LABELS.alternatives):
        with pytest.raises(ValueError, match=r"word|label|\d"):
            right([5, 6, 7], [None, word, 0, 0, 2, None])


def test_with_nothing_but_padding_in_reach_the_first_pair_wins_in_any_precision(seed: int):
    (case,) = (case for case in draw(SPAN.side, seed) if "every allowed sum holds padding" in case.shown)
    expected = torch.stack((torch.zeros(len(case.args[1]), dtype=torch.long), case.args[1].argmax(1)), 1)
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(SPAN.reference(*(part.to(dtype) for part in case.args)), expected)
