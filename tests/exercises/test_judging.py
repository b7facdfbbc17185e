"""Judging: types before values, words for every difference, and no trust in what came back."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from course_lib.exercises.comparing import compare
from course_lib.exercises.judging import EXACT, Equality
from course_lib.exercises.running import Case, Observation, observe


def said(got: object, want: object) -> str | None:
    failure = compare(observe(got), observe(want), 1e-5, 1e-6)
    return failure and failure.sentence


class Friendly(torch.Tensor):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = torch.Tensor.__hash__


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (torch.tensor(True), True),
        (torch.tensor([[False]]), False),
        (0.3, 0.1 + 0.2),
        (math.nan, math.nan),
        ((1, 2), [1, 2]),
        ({"a": torch.ones(2)}, {"a": torch.ones(2) + 1e-7}),
        (torch.tensor([torch.nan, -torch.inf]), torch.tensor([torch.nan, -torch.inf])),
        (torch.ones(3).bfloat16(), torch.ones(3).bfloat16()),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
        (torch.zeros(2, 3, device="meta"), torch.zeros(2, 3, device="meta")),
    ],
)
def test_equal_answers(got: object, want: object):
    assert said(got, want) is None


@pytest.mark.parametrize(
    ("got", "want", "sentence"),
    [
        (None, torch.ones(2), "expected a tensor, got None: did you forget `return`?"),
        ((torch.ones(2),), torch.ones(2), "expected a tensor, got a tuple; torch.stack(...) makes a tensor of it"),
        (torch.ones(2).as_subclass(Friendly), torch.ones(2), "expected a tensor, got a Friendly"),
        (1, True, "expected a bool, got an int"),
        (torch.tensor(1), True, "expected a bool, got a tensor"),
        (torch.tensor([True, True]), True, "expected a bool, got a tensor; .any() or .all() makes one answer of many"),
        (None, True, "expected a bool, got None: did you forget `return`?"),
        ([1, 2], torch.ones(2), "expected a tensor, got a list; torch.tensor(...) makes a tensor of it"),
        (np.ones(2), torch.ones(2), "expected a tensor, got a NumPy array; torch.from_numpy(...) makes a tensor of it"),
        (torch.ones(2).abs, torch.ones(2), "expected a tensor, got a builtin_function_or_method: did you forget the "
         "brackets behind its name?"),
        (False, True, "expected True, got False"),
        (1, 1.0, "expected a float, got an int"),
        (0.5, 0.25, "expected 0.25, got 0.5"),
        (torch.ones(2), torch.ones(1, 2), "expected shape (1, 2), got (2,)"),
        (torch.ones(2), torch.ones(2).bool(), "expected dtype torch.bool, got torch.float32"),
        (torch.ones(2), torch.ones(2, device="meta"), "expected a tensor on the device 'meta', got one on 'cpu'"),
        (
            torch.tensor([[1, 2], [3, 5]]),
            torch.tensor([[1, 2], [3, 4]]),
            "1 of 4 values differ; the first is [1][1]: expected 4, got 5",
        ),
        (torch.tensor(0.5), torch.tensor(0.25), "expected 0.25, got 0.5"),
        ({"a": 1}, {"a": 1, "b": 3}, "expected the parts ['a', 'b'], got ['a']"),
        ([1, 2], [1, 2, 3], "expected 3 items, got 2; [2] is missing: 3"),
        ([1, 2, None], [1, 2], "expected 2 items, got 3; [2] is one too many: None"),
        ([1, 5], [1, 2, 3], "expected 3 items, got 2; the first that differs is [1]: expected 2, got 5"),
        ([1, torch.tensor(7)], [1, 2], "1 of 2 items differ; the first is [1]: expected an int, got a tensor"),
        (
            [("a", 1), ["b"], ("c", 4)],
            [("a", 1), ("b", 2), ("c", 3)],
            "2 of 3 items differ; the first is [1]: expected ('b', 2), got ['b']",
        ),
        (
            [("a", torch.tensor(0.5), torch.ones(2), (True,))],
            [("a", 0.25)],
            "1 of 1 items differ; the first is [0]: expected ('a', 0.25), got ('a', tensor(0.5), a tensor, (True,))",
        ),
        (["a-1"], [("a", 1)], "1 of 1 items differ; the first is [0]: expected ('a', 1), got 'a-1'"),
        (
            [torch.ones(2), torch.ones(2)],
            [torch.ones(2), torch.zeros(2)],
            "1: 2 of 2 values differ; the first is [0]: expected 0, got 1",
        ),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "b: expected 3, got 2"),
    ],
)
def test_a_difference_is_said_in_words(got: object, want: object, sentence: str):
    assert said(got, want) == sentence


def test_an_error_is_told_with_its_words():
    error = Observation("error", "ValueError", text="no luck")
    assert compare(error, observe(1), 0, 0).sentence == "your code raised ValueError: no luck"
    assert compare(observe(1), error, 0, 0).sentence == "expected a ValueError, and nothing was raised"
    assert compare(error, Observation("error", "ValueError", text="other words"), 0, 0) is None


def _ints(*values: int) -> list[Observation]:
    return [observe(value) for value in values]


CASES = [Case("a", "f(0)"), Case("a", "f(1)"), Case("b", "f(2)"), Case("b", "f(3)")]
RIGHT = _ints(0, 0, 0, 0)


def alike(seen: list, other: list, cases: list[Case] = CASES, right: list = RIGHT, **options) -> float:
    judge = Equality(**options)
    return judge.alike(judge.pattern(seen, cases, right), judge.pattern(other, cases, right))


@pytest.mark.parametrize(
    ("seen", "other", "likeness"),
    [
        (_ints(1, 2, 3, 4), _ints(1, 2, 3, 4), EXACT),
        (_ints(1, 2, 0, 0), _ints(1, 2, 0, 0), EXACT),
        (_ints(1, 2, 3, 4), _ints(1, 2, 3, 5), 0),
        (_ints(1, 2, 3, 0), _ints(1, 2, 3, 4), 0),
        (_ints(1, 0, 0, 0), _ints(0, 1, 0, 0), 0),
        (_ints(0, 0, 0, 0), _ints(0, 0, 0, 0), 0),
    ],
)
def test_plain_answers_are_alike_when_every_one_is(seen: list, other: list, likeness: float):
    assert alike(seen, other) == alike(other, seen) == likeness


def _tensors(*values: int) -> list[Observation]:
    return [observe(torch.full((3, 3), value)) for value in values]


@pytest.mark.parametrize(
    ("seen", "other", "sure"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4), True),
        ((1, 2, 0, 3), (1, 2, 0, 0), True),  # the first group is explained, the second holds another mistake
        ((1, 2, 0, 0), (1, 2, 0, 3), False),  # something speaks against it
        ((1, 2, 3, 4), (0, 0, 3, 4), False),
        ((1, 2, 3, 4), (1, 5, 3, 4), False),
        ((0, 2, 3, 0), (0, 2, 0, 0), False),  # one tensor is not enough
    ],
)
def test_tensors_are_alike_when_the_first_group_is_explained(seen: tuple, other: tuple, sure: bool):
    assert (alike(_tensors(*seen), _tensors(*other), right=_tensors(0, 0, 0, 0)) > 0) is sure


def _errors(*texts: str) -> list[Observation]:
    return [Observation("error", "RuntimeError", text=text) if text else observe(0) for text in texts]


@pytest.mark.parametrize(
    ("seen", "other", "sure"),
    [
        (("size 3", "size 3", "size 4", ""), ("size 5", "size 7", "size 3", ""), True),
        (("size 3", "size 3", "size 4", "size 4"), ("size 5", "size 7", "size 3", ""), True),
        (("size 3", "size 3", "", ""), ("size 5", "size 7", "size 3", ""), False),
        (("size 3 at dimension 0",), ("size 5 at dimension 0",), True),
        (("size 3 at dimension 0",), ("size 3 at dimension 1",), False),
        (("size 3",), ("shape 3",), False),
        (("f() takes 1 argument but 2 were given",), ("<lambda>() takes 1 argument but 3 were given",), True),
        (("f() missing 1 argument: 'b'",), ("g() missing 1 argument: 'y'",), True),
        (("f() missing 1 argument: 'b'",), ("g() got an unexpected argument: 'y'",), False),
    ],
)  # fmt: skip
def test_errors_are_alike_in_their_words_whatever_their_sizes_and_names(seen: tuple, other: tuple, sure: bool):
    assert (alike(_errors(*seen), _errors(*other), CASES[: len(seen)], RIGHT[: len(seen)]) > 0) is sure


def test_who_raises_an_error_chooses_its_words_and_not_its_type():
    mine, theirs = (
        [Observation("error", "ValueError", text=words, where=f"line 3 of f: {line}")]
        for words, line in (("nobody", "raise ValueError('nobody')"), ("no one", "if x: raise ValueError('no one')"))
    )
    right = [observe(0.5)]
    assert alike(mine, theirs, CASES[:1], right) == EXACT
    assert alike(mine, [replace(theirs[0], type="TypeError")], CASES[:1], right) == 0
    assert alike(mine, [replace(theirs[0], where="line 3 of f: x.view(3)")], CASES[:1], right) == 0


def test_two_answers_of_which_nothing_is_known_are_alike_in_their_type():
    right = [observe([1])]
    assert alike([observe({1})], [observe({2})], CASES[:1], right) == EXACT
    assert alike([observe({1})], [observe(iter([1]))], CASES[:1], right) == 0


def test_an_error_that_also_writes_into_its_arguments_is_another_mistake():
    clean = _errors("no", "no", "no", "no")
    writing = [replace(clean[0], inputs_changed=True), *clean[1:]]
    assert alike(clean, clean, untouched="kept") == EXACT
    assert alike(clean, writing, untouched="kept") == 0


def test_an_error_hides_the_answer_and_speaks_against_nothing():
    right = _tensors(0, 0, 0, 0)
    theirs = _tensors(1, 2, 3, 4)
    assert 0 < alike([*theirs[:3], *_errors("no")], theirs, right=right) < EXACT
    assert alike([*theirs[:1], *_errors("no"), *theirs[2:]], theirs, right=right) == 0  # in the first group it does


def test_the_same_errors_in_later_groups_are_no_likeness():
    early, late = _errors("broken", "broken", "size 3", "size 3"), [*_ints(5, 5), *_errors("size 3", "size 3")]
    assert alike(early, late) == 0


def test_a_wrong_precision_hides_no_wrong_values():
    right = [observe(torch.zeros(2).bfloat16())]
    wrong = [observe(torch.full((2,), 0.7).bfloat16())]
    assert alike([observe(torch.full((2,), 0.7))], wrong, CASES[:1], right) == EXACT
    assert alike([observe(torch.full((2,), 5.7))], wrong, CASES[:1], right) == 0
    assert alike([observe(torch.zeros(2))], wrong, CASES[:1], right) == 0


def test_half_precision_is_compared_by_its_own_digits():
    right = torch.full((3,), 0.5)
    assert said(right + 0.01, right) is not None
    assert said((right + 0.01).bfloat16(), right.bfloat16()) is None
    assert said((right + 0.01).half(), right.half()) is None
    assert said((right + 0.5).bfloat16(), right.bfloat16()) is not None
    assert said((right + 0.05).half(), right.half()) is not None


def test_where_an_error_is_expected_any_words_do():
    right = [Observation("error", "ValueError", text="10 is not divisible by 3")]
    mine, theirs = _errors("shape [3] is invalid"), _errors("they are not of one size")
    assert alike(mine, theirs, CASES[:1], right) == EXACT
    assert alike(mine, [Observation("error", "AssertionError")], CASES[:1], right) == 0
    assert alike(mine, _ints(3), CASES[:1], right) == 0


def test_two_wrong_dtypes_are_the_same_mistake():
    right = [observe(torch.ones(2).bool())]
    seen, other = [observe(torch.ones(2))], [observe(torch.ones(2, dtype=torch.int64))]
    assert alike(seen, other, CASES[:1], right) == EXACT
    assert alike(seen, [observe(torch.zeros(2))], CASES[:1], right) == 0


def test_right_numbers_in_another_precision_cost_the_group_of_dtypes_alone():
    right = [observe(torch.full((2,), 0.3)), *RIGHT[1:]]

    def groups(value: torch.Tensor) -> list[str]:
        found = Equality(dtype="b").findings([observe(value), *RIGHT[1:]], CASES, right)
        return [f.group for f in found if f.failure]

    wide = torch.full((2,), 0.3, dtype=torch.float64)
    assert groups(wide) == groups(wide.bfloat16()) == ["b"]
    assert groups(wide + 0.1) == groups(torch.zeros(2, dtype=torch.int64)) == ["a"]
    assert groups(wide.float()) == []


def test_a_group_may_have_a_tolerance_of_its_own():
    right = [observe(torch.zeros(2))] * 4
    off = [observe(torch.full((2,), 1e-4))] * 4
    found = Equality(atols={"b": 1e-3}).findings(off, CASES, right)
    assert [f.group for f in found if f.failure] == ["a", "a"]


def test_the_same_errors_are_no_likeness_where_another_group_fails_first():
    theirs = [*_tensors(1, 1), *_errors("size 3", "size 3")]
    mine = [*_tensors(0, 0), *_errors("size 3", "size 3")]
    assert alike(mine, theirs, right=_tensors(0, 0, 0, 0)) == 0


def test_changed_arguments_cost_their_own_group():
    changed = [Observation("int", "int", 0, inputs_changed=True), *RIGHT[1:]]
    assert [f.group for f in Equality().findings(changed, CASES, RIGHT) if f.failure] == ["a"]
    found = Equality(untouched="kept").findings(changed, CASES, RIGHT)
    assert [(f.group, f.failure.shown) for f in found if f.failure] == [("kept", "f(0)")]
    assert [f.group for f in Equality(untouched="kept").findings(RIGHT, CASES, RIGHT)] == ["a", "a", "b", "b", "kept"]


def test_explanations_follow_the_sentence():
    judge = Equality(explain=lambda case: f"look at {case.shown}")
    assert [f.failure.sentence for f in judge.findings(_ints(7, 7, 0, 0), CASES, RIGHT) if f.failure] == [
        "expected 0, got 7; look at f(0)", "expected 0, got 7",
    ]  # fmt: skip
    (finding,) = [f for f in judge.findings(_ints(0, 0, 7, 0), CASES, RIGHT) if f.failure]
    assert finding.failure.sentence == "expected 0, got 7; look at f(2)"


REFUSED = Observation("error", "ValueError")


def _reals(*values: float) -> list[Observation]:
    return [observe(torch.full((3, 3), float(value))) for value in values]


@pytest.mark.parametrize(
    ("seen", "other", "right", "sure"),
    [
        (_tensors(1, 2, 3), _tensors(1, 2, 3, 4), [*_tensors(9, 9, 9), REFUSED], True),
        (_tensors(1, 2, 3), _tensors(1, 2, 3, 4), _tensors(9, 9, 9, 0), True),  # where nothing is read, zeros
        (_tensors(1, 2, 3), [*_tensors(1, 2, 3), observe(torch.full((3, 3), 8.0).double())], _reals(9, 9, 9, 8), True),
        (_tensors(1, 2, 3), _tensors(1, 2, 3, 4), _tensors(9, 9, 9, 8), False),
        (_tensors(1, 2, 7), _tensors(1, 2, 3, 4), [*_tensors(9, 9, 9), REFUSED], False),
        (_ints(0, 1, 2), _ints(0, 1, 2, 4), [*_ints(0, 0, 0), REFUSED], True),
        (_ints(0, 0, 7), _ints(0, 0, 7, 7), [*_ints(0, 0), REFUSED, REFUSED], False),  # edges alone are another one
        (_tensors(9, 9, 3), _tensors(9, 9, 3, 4), _tensors(9, 9, 9, 0), False),
    ],
)
def test_a_right_edge_does_not_cost_the_likeness(seen: list, other: list, right: list, sure: bool):
    assert (0 < alike([*seen, right[3]], other, right=right) < EXACT) is sure
