"""Lesson 01: edge cases the statements promise, and right answers that a strict judge could wrongly refuse."""

import pytest
import torch

from course_lib import exercises, leaks
from course_lib.exercises.exercise import run_mistake
from course_lib.exercises.running import draw

LEAKS = exercises.get("01.leaks_future")


@pytest.mark.parametrize("seed", range(5))
def test_the_models_are_deterministic_and_deaf_to_the_size_of_the_batch(seed: int):
    for case in draw(LEAKS.side, seed):
        fn, x = case.args
        once = fn(x)
        assert once.dtype == x.dtype
        assert torch.equal(once, fn(x.clone()))
        assert torch.equal(torch.cat([once] * 7), fn(torch.cat([x] * 7)))
        assert torch.equal(once[:1], fn(x[:1]))


@pytest.mark.parametrize("seed", range(5))
def test_causal_models_move_no_earlier_output_however_hard_they_are_pushed(seed: int):
    for case in draw(LEAKS.side, seed):
        fn, x = case.args
        if leaks.leaks_future(fn, x):
            continue
        for j in range(1, x.shape[1]):
            for push in (1e-3, -1e-3, 1.0, -1.0, 1e6, -1e6):
                changed = x.clone()
                changed[:, j] += push
                assert torch.equal(fn(changed)[:, :j], fn(x)[:, :j])


def test_there_are_causal_and_leaking_models_where_the_points_begin(seed: int):
    first = next(iter(LEAKS.groups))
    cases = draw(LEAKS.side, seed)
    answers = [leaks.leaks_future(*case.args) for case in cases if case.group == first]
    assert set(answers) == {True, False}
    assert all(leaks.leaks_future(*case.args) for case in cases if case.group.startswith(("faint", "in one")))


def test_the_order_of_answers_cannot_be_learnt():
    orders = {tuple(leaks.leaks_future(*case.args) for case in draw(LEAKS.side, seed)) for seed in range(10)}
    assert len(orders) > 5
    by_heart = iter([leaks.leaks_future(*case.args) for case in draw(LEAKS.side, 0)])
    assert LEAKS.grade(lambda fn, x: next(by_heart), 1).points < LEAKS.points


def test_the_padding_mask_is_made_where_lengths_is():
    padding = exercises.get("01.create_padding_mask")

    def on_the_default_device(lengths, max_len):
        return (torch.arange(max_len) < lengths[:, None])[:, None, None]

    def by_a_loop(lengths, max_len):
        mask = torch.zeros((len(lengths), 1, 1, max_len), dtype=torch.bool, device=lengths.device)
        for b, length in enumerate(lengths.tolist()):
            mask[b, :, :, :length] = True
        return mask

    assert padding.grade(by_a_loop).passed
    verdict = padding.grade(on_the_default_device)
    assert (verdict.points, verdict.misconception) == (2, "built on the default device")


def test_a_leak_is_explained_where_it_is():
    def blind(fn, x):
        return False

    assert "this fn leaks: when token " in " ".join(LEAKS.grade(blind).message.split())
    assert "this fn is causal: whichever token j" in " ".join(LEAKS.grade(lambda fn, x: True).message.split())


def test_a_detector_with_a_flaw_earns_at_most_half():
    for name, wrong in LEAKS.mistakes():
        verdict = LEAKS.decide(run_mistake(LEAKS, wrong, 0), 0)
        detects = all(result.failure is None for result in verdict.groups if result.name != "x stays as it is")
        assert verdict.points <= (5 if detects else 3), name


def test_one_random_replacement_and_an_answer_in_a_tensor_are_enough(seed: int):
    def by_one_replacement(fn, x):
        before, leaks = fn(x), torch.tensor(False)
        for j in range(1, x.shape[1]):
            changed = x.clone()
            changed[:, j] = torch.randn_like(changed[:, j])
            leaks = leaks | (fn(changed)[:, :j] != before[:, :j]).any()
        return leaks

    verdict = LEAKS.grade(by_one_replacement, seed)
    assert verdict.passed, verdict.message


def test_a_hidden_leak_is_explained_by_what_hides_it():
    hidden = [LEAKS.judge.explain(case) for case in draw(LEAKS.side, 0) if case.group.startswith("faint")]
    assert sum("(pushed up, nothing moves)" in said for said in hidden) == 2
    assert sum("(pushed down, nothing moves)" in said for said in hidden) == 2
    assert sum("(with all features pushed by the same amount, nothing moves)" in said for said in hidden) == 1
    assert all(said.startswith("this fn leaks: ") for said in hidden)


def test_the_last_hint_and_the_card_say_what_is_new_to_a_learner():
    assert "another amount for each feature" in LEAKS.hints[-1]
    for name in ("01.create_causal_mask", "01.create_padding_mask"):
        shown = [case.shown for case in draw(exercises.get(name).side, 0) if "device" in case.group]
        assert len(shown) == 1
        assert "meta is a device without data that stands in for a GPU" in shown[0]
