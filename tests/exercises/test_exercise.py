"""An exercise: points by group, the order of groups, names of mistakes, and what is nobody's zero."""

from dataclasses import replace

import pytest
import torch

from course_lib import exercises
from course_lib.exercises.exercise import CHECKER_FAILED, Exercise
from course_lib.exercises.running import draw, run
from tests.exercises.toys import AFFINE, COUNTER, CRASHING, GRADIENT, SAMPLING, Affine, Counter

TOYS = [AFFINE, COUNTER, GRADIENT, SAMPLING]


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.id)
@pytest.mark.parametrize("seed", range(5))
def test_every_kind_of_exercise_is_judged(toy: Exercise, seed: int):
    for right in (toy.reference, *toy.alternatives):
        assert toy.grade(right, seed).passed, toy.grade(right, seed).message
    for name, (wrong, _) in toy.misconceptions.items():
        assert toy.grade(wrong, seed).misconception == name


def test_a_module_without_the_right_parameters_is_told_which():
    class Renamed(torch.nn.Module):
        def __init__(self, d_in: int, d_out: int):
            super().__init__()
            self.projection = torch.nn.Linear(d_in, d_out)

    verdict = AFFINE.grade(Renamed)
    assert verdict.points == 0
    assert 'Unexpected key(s) in state_dict: "linear.weight", "linear.bias".' in " ".join(verdict.message.split())


def test_each_part_of_a_mixed_answer_is_compared():
    verdict = GRADIENT.grade(lambda x: x**2 + 0 * x.detach() + (x - x.detach()) * 3)
    assert "Gradient: 3 of 3 values differ" in verdict.message


def test_later_groups_count_once_the_first_is_right():
    class LateBreak(Counter):
        def add(self, value: int) -> int:
            return super().add(value) + (value == 5)

    class EarlyBreak(Counter):
        def add(self, value: int) -> int:
            return super().add(value) + (value == 3)

    late, early = COUNTER.grade(LateBreak), COUNTER.grade(EarlyBreak)
    assert (late.points, early.points) == (1, 0)
    assert [(r.points, r.failure is None, r.counted) for r in early.groups] == [(0, False, True), (0, True, False)]
    assert "(○ right so far, and counted once the lines above it are right)" in early.message
    assert "counted once" not in late.message


class NeverRight(Counter):
    def add(self, value: int) -> int:
        return super().add(value) + 100


def test_a_group_apart_counts_whatever_the_core_gives():
    class EarlyBreak(Counter):
        def add(self, value: int) -> int:
            return super().add(value) + (value == 3)

    apart = replace(COUNTER, apart=("again",))
    verdict = apart.grade(EarlyBreak)
    assert (verdict.points, verdict.groups[1].counted) == (1, True)
    assert "counted once" not in verdict.message


def test_any_right_group_of_the_core_opens_the_others():
    class EarlyBreak(Counter):
        def add(self, value: int) -> int:
            return super().add(value) + (value == 3)

    open_core = replace(COUNTER, core=("state", "again"))
    assert open_core.grade(EarlyBreak).points == 1
    assert open_core.grade(NeverRight).points == 0


def test_while_the_core_fails_wrong_numbers_say_nothing_about_a_group_that_asks_for_a_form():
    class Twice(Affine):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    class TwiceInFloat64(Affine):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x).double()

    formal = replace(AFFINE, form=("small types",))
    assert [r.failure is None for r in AFFINE.grade(Twice).groups] == [False, False]
    assert [(r.failure is None, r.counted, r.points) for r in formal.grade(Twice).groups] == [
        (False, True, 0), (True, False, 0),
    ]  # fmt: skip
    assert [r.failure is None for r in formal.grade(TwiceInFloat64).groups] == [False, False]


def test_the_stub_that_is_called_is_named_and_not_the_caller():
    def helper(x):
        raise NotImplementedError

    def square(x):
        return helper(x)

    assert GRADIENT.grade(square).reason == (
        "helper, which your square calls, is not written yet: it raises NotImplementedError."
    )
    assert GRADIENT.grade(helper).reason == GRADIENT.side.todo
    assert GRADIENT.grade(lambda x: helper(x)).status == "not written"

    class Stub(Affine):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError

    assert AFFINE.grade(Stub).reason == AFFINE.side.todo


def test_a_judge_that_crashes_is_nobodys_zero():
    verdict = CRASHING.grade(lambda x: x)
    assert verdict.status == "checker failed"
    assert not verdict.passed
    assert verdict.reason == f"{CHECKER_FAILED} (ZeroDivisionError: a judge's own mistake)"
    assert verdict.message.startswith("○ 00.square")


def test_a_run_side_that_crashes_is_nobodys_zero():
    def crash(generator: torch.Generator):
        raise KeyError("no cases today")

    broken = replace(GRADIENT, side=replace(GRADIENT.side, cases=crash))
    assert broken.grade(lambda x: x).status == "checker failed"


def test_a_stub_reads_the_sentence_that_says_what_to_write():
    def create_causal_mask(seq_len, device=None):
        raise NotImplementedError

    verdict = exercises.get("01.create_causal_mask").grade(create_causal_mask)
    assert verdict.status == "not written"
    assert verdict.points == 0
    assert "create_causal_mask is not written yet: give a (1, 1, seq_len, seq_len)" in verdict.message


def test_one_missing_observation_is_no_evidence():
    seen = run(COUNTER.side, Counter, draw(COUNTER.side, 0))
    verdict = COUNTER.decide(seen[:1])
    assert (verdict.status, verdict.points) == ("no evidence", 0)
    assert verdict.reason == "Expected 2 observations, got 1."


def test_unrelated_errors_are_not_given_a_name():
    def combine_masks(*masks):
        raise RuntimeError("out of paper")

    verdict = exercises.get("01.combine_masks").grade(combine_masks)
    assert verdict.misconception is None
    assert "Your code raised RuntimeError: out of paper." in verdict.message


def test_a_student_that_writes_into_its_inputs_does_not_spoil_the_judges_own_runs():
    combine = exercises.get("01.combine_masks")
    wrong = combine.misconceptions["combined in place where it fits"].wrong
    assert combine.grade(wrong, 11).message == combine.grade(wrong, 11).message
    assert combine.grade(combine.reference, 11).passed
