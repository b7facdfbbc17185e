"""Lesson 06: values computed by hand, what the statements promise, and that no verdict hangs on a tolerance."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from course_lib import exercises
from course_lib.exercises.exercise import Exercise, run_mistake
from course_lib.exercises.lesson06 import run as run_side
from course_lib.exercises.running import Case, Observation, draw, run
from course_lib.exercises.shortcuts import find_shortcut

LESSON = exercises.lesson("06")
CROSS, MASK, PAIRS, ERROR = LESSON


def layer_of(kind: type[nn.Module], **weights: torch.Tensor) -> nn.Module:
    """A layer of width 2 with one head: the identity where no weight is given."""
    layer = kind(2, 1)
    layer.load_state_dict({f"W_{part}.weight": weights.get(part, torch.eye(2)) for part in "qkvo"})
    return layer


def test_cross_attention_is_what_a_pencil_gives():
    """A query of zeros reads the source evenly; one far along an axis reads the token that lies there."""
    decoder = torch.tensor([[[0.0, 0.0], [0.0, 80.0]]])
    encoder = torch.tensor([[[3.0, 0.0], [0.0, 6.0], [9.0, 0.0]]])
    for right in (CROSS.reference, *CROSS.alternatives):
        with torch.no_grad():
            plain = layer_of(right)(decoder, encoder)
            torch.testing.assert_close(plain, torch.tensor([[[4.0, 2.0], [0.0, 6.0]]]))
            mask = torch.tensor([True, False, True])[None, None, None]
            torch.testing.assert_close(
                layer_of(right)(decoder, encoder, mask), torch.tensor([[[6.0, 0.0], [6.0, 0.0]]])
            )
            turned = layer_of(right, v=torch.tensor([[0.0, 1.0], [1.0, 0.0]]), o=2 * torch.eye(2))
            torch.testing.assert_close(turned(decoder, encoder)[0, 0], torch.tensor([4.0, 8.0]))


def test_it_is_torchs_own_attention_and_has_the_shape_the_lesson_says():
    for right in (CROSS.reference, *CROSS.alternatives):
        layer, decoder, encoder = right(64, 8), torch.randn(2, 8, 64), torch.randn(2, 12, 64)
        assert list(layer.state_dict()) == list(run_side.WEIGHTS)
        own = nn.MultiheadAttention(64, 8, bias=False, batch_first=True)
        names = (layer.W_q.weight, layer.W_k.weight, layer.W_v.weight)
        own.load_state_dict({"in_proj_weight": torch.cat(names), "out_proj.weight": layer.W_o.weight})
        mask = torch.arange(12) < torch.tensor([7, 12])[:, None]
        expected, _ = own(decoder, encoder, encoder, key_padding_mask=~mask)
        output = layer(decoder, encoder, mask[:, None, None])
        assert output.shape == (2, 8, 64)
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


def scores_of(case: Case) -> torch.Tensor:
    """The scaled scores of a case, (batch, heads, target, source)."""
    heads = case.init["num_heads"]
    q, k = (
        (states @ case.weights[name].to(states.dtype).T).unflatten(-1, (heads, -1)).transpose(1, 2)
        for states, name in zip(case.args[:2], run_side.WEIGHTS[:2], strict=True)
    )
    return q @ k.mT / q.shape[-1] ** 0.5


def test_the_cases_are_what_their_groups_say(seed: int):
    cases = [case for case in draw(CROSS.side, seed) if case.args and case.group != run_side.REFUSES]
    of_one_length = [case for case in cases if case.args[0].shape[1] == case.args[1].shape[1]]
    assert [case.group for case in of_one_length] == [run_side.PLAIN]  # here numbers say who asks, elsewhere shapes
    large = [scores_of(case) for case in cases if case.group == run_side.LARGE]
    assert all(200 < scores.abs().max() < 1000 for scores in large)
    masked = next(case for case in cases if case.group == run_side.LARGE and len(case.args) == 3)
    assert scores_of(masked).masked_fill(~masked.args[2], -math.inf).amax(-1).min() < -200
    for case in cases:
        if len(case.args) == 3:
            empty = ~case.args[2].any(-1)
            assert empty.any() == (case.group == run_side.EMPTY)
            assert not empty.all() or len(empty) == 1  # the only source of its batch
            if case.group == run_side.PADDED:
                assert not case.args[2].all(-1).all()


def test_pairs_hang_on_no_rounding_and_padding_wins_where_it_stands(seed: int):
    for case in draw(PAIRS.side, seed):
        weights, source, target = case.args
        words = weights.mean(0)[: len(target), : len(source)]
        gap = words.topk(2).values.diff(dim=-1).abs()
        assert gap.max() == 0 if case.shown.endswith("equally large") else gap.min() > 1e-4
        assert len(set(target)) == len(target) - (case.group == run_side.TWICE and target[0] == target[-1])
        if weights.shape[2] > len(source):
            assert (weights.mean(0)[: len(target)].argmax(-1) >= len(source)).any()


def test_shares_hang_on_no_rounding(seed: int):
    for case in draw(ERROR.side, seed):
        weights, gold = case.args
        gap = weights.topk(2).values.diff(dim=-1).abs()
        assert (gap > 1e-4).all() if case.group != run_side.EQUALS else (gap == 0).sum() > len(gold) / 2
        torch.testing.assert_close(weights.sum(-1), torch.ones(len(weights)))
        if case.group == run_side.COUNTED:
            assert 0 < (~gold.any(-1)).sum() < len(gold)


def test_the_first_table_of_each_group_can_be_followed_on_paper(seed: int):
    first = {case.group: case.args for case in reversed(draw(ERROR.side, seed))}
    assert list(reversed(first)) == list(ERROR.groups)
    for weights, gold in first.values():
        assert weights.shape == gold.shape
        assert max(weights.shape) <= 4
        torch.testing.assert_close(100 * weights, (100 * weights).round())


def test_the_mask_is_what_a_pencil_gives():
    expected = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)[:, None, None]
    for right in (MASK.reference, *MASK.alternatives):
        assert torch.equal(right(torch.tensor([2, 0, 4]), 4), expected)


def test_pairs_are_what_a_pencil_gives():
    """Means: a row of 0.2, 0.5 and 0.3, then one of 0.4, 0.2 and 0.4; what stands behind them is padding."""
    weights = torch.tensor([
        [[0.4, 0.5, 0.1, 0.9], [0.4, 0.1, 0.5, 0.9], [0.9, 0.9, 0.9, 0.9]],
        [[0.0, 0.5, 0.5, 0.9], [0.4, 0.3, 0.3, 0.9], [0.9, 0.9, 0.9, 0.9]],
    ])  # fmt: skip
    for right in (PAIRS.reference, *PAIRS.alternatives):
        found = right(weights, ["two", "hundred", "one"], ["zwei", "eins"])
        assert [tuple(pair) for pair in found] == [("zwei", "hundred"), ("eins", "two")]


def test_the_error_is_what_a_pencil_gives():
    """Of four tokens one has no partner; two of the others look at one of theirs."""
    weights = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.4, 0.35, 0.25]])
    gold = torch.tensor([[0, 1, 1], [0, 0, 0], [0, 0, 1], [0, 1, 0]]).bool()
    for right in (ERROR.reference, *ERROR.alternatives):
        assert right(weights, gold) == pytest.approx(1 / 3)
        assert type(right(weights, gold)) is float
        with pytest.raises(ValueError, match="partner"):
            right(weights, gold & False)


def test_of_equals_the_first_counts():
    """In both rows the first two are equally large; of the first row the later one is the partner."""
    even = torch.tensor([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2]])
    for right in (PAIRS.reference, *PAIRS.alternatives):
        assert list(map(tuple, right(even[None], ["a", "b", "c"], ["x", "y"]))) == [("x", "a"), ("y", "a")]
    for right in (ERROR.reference, *ERROR.alternatives):
        assert right(even, torch.tensor([[False, True, False], [True, False, False]])) == 0.5


def gaps(exercise: Exercise, got: list[Observation], expected: list[Observation]) -> Iterator[float]:
    """How far each answer is from the right one: infinitely, where something else than a number differs."""
    for mine, right in zip(got, expected, strict=True):
        same = mine.kind == right.kind and not mine.inputs_changed and mine.type == right.type
        if same and right.kind == "tensor":
            fits = mine.value.shape == right.value.shape and mine.value.dtype == right.value.dtype
            fits = fits and torch.equal(mine.value.isfinite(), right.value.isfinite())
            half = right.value.dtype == torch.bfloat16  # compared as loosely as its few digits ask for
            gap = 0.0 if half or not fits else (mine.value.double() - right.value.double()).abs().max().item()
            yield gap if fits else math.inf
        elif same and right.kind == "float":
            yield math.inf if math.isnan(mine.value) else abs(mine.value - right.value)
        elif not same or mine.value != right.value:
            yield math.inf


@pytest.mark.parametrize("exercise", [CROSS, ERROR], ids=lambda exercise: exercise.id)
def test_wrong_values_are_clearly_wrong(exercise: Exercise, seed: int):
    """No verdict hangs on the tolerance: where a mistake gives other numbers, they are fifty times as far away."""
    expected = run(exercise.side, exercise.reference, draw(exercise.side, seed), seed)
    for name, wrong in exercise.mistakes():
        assert max(gaps(exercise, run_mistake(exercise, wrong, seed), expected)) > 50 * exercise.judge.atol, name


@pytest.mark.parametrize("exercise", [CROSS, ERROR], ids=lambda exercise: exercise.id)
def test_right_answers_agree_ten_times_as_closely_as_they_must(exercise: Exercise, seed: int):
    expected = run(exercise.side, exercise.reference, draw(exercise.side, seed), seed)
    for right in exercise.alternatives:
        seen = run(exercise.side, right, draw(exercise.side, seed), seed)
        assert max(gaps(exercise, seen, expected)) < exercise.judge.atol / 10


def test_a_layer_that_keeps_something_loses_one_point_alone():
    """Each case gets a layer of its own, so what is kept shows where two calls are made of one."""
    kept = next(wrong for name, wrong in CROSS.mistakes() if name == "the first source is kept")
    assert {CROSS.grade(kept, seed).points for seed in range(5)} == {8}


def test_what_is_half_right_earns_its_part():
    """A wrong scale spoils every number and not who reads whom; a forgotten mask spoils that alone."""
    mistakes = {name: misconception.wrong for name, misconception in CROSS.misconceptions.items()}
    for name, points in (("no scale", 1), ("W_o is forgotten", 1), ("the mask is ignored", 4), ("there is a bias", 8)):
        assert {CROSS.grade(mistakes[name], seed).points for seed in range(5)} == {points}, name


@pytest.mark.parametrize("exercise", [PAIRS, ERROR], ids=lambda exercise: exercise.id)
def test_a_mistake_with_equals_alone_costs_one_point_alone(exercise: Exercise):
    equals = {name: wrong for name, wrong in exercise.mistakes() if "of equals" in name}
    assert {"the last of equals", "topk may take any of equals"} <= set(equals)
    for name, wrong in equals.items():
        assert {exercise.grade(wrong, seed).points for seed in range(5)} == {exercise.points - 1}, name


FUSED = """class CrossAttention(nn.Module):
    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        return F.scaled_dot_product_attention(decoder_hidden, encoder_output, encoder_output, encoder_mask)"""
WRAPPED = """class CrossAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        self.attention = nn.MultiheadAttention(d_model, num_heads)"""
OURS = """from course_lib import masks
def cross_attention_mask(source_lengths, max_len):
    return masks.create_padding_mask(source_lengths, max_len)"""
HELPED = """from course_lib.attention import split_heads
class CrossAttention(nn.Module):
    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        return split_heads(decoder_hidden, 2)"""
OWN = """def split(x, heads):
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)
class CrossAttention(nn.Module):
    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        return split(self.W_q(decoder_hidden), 2)"""


@pytest.mark.parametrize(
    ("exercise", "source", "said"),
    [
        (CROSS, FUSED, "CrossAttention uses scaled_dot_product_attention, which is attention made by torch"),
        (CROSS, WRAPPED, "CrossAttention uses MultiheadAttention, which is attention made by torch"),
        (CROSS, HELPED, "CrossAttention uses course_lib, which is what it is checked against"),
        (MASK, OURS, "cross_attention_mask uses course_lib, which is what it is checked against"),
        (CROSS, OWN, None),
    ],
)
def test_ready_made_attention_is_refused_and_helpers_of_ones_own_are_not(
    exercise: Exercise, source: str, said: str | None
):
    found = find_shortcut([source], exercise.side.name, exercise.forbidden, exercise.allowed)
    assert found is None if said is None else found.startswith(said)
