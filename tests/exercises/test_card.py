"""The card: what a learner reads fits in 79 columns, shows the first failure, and survives any text."""

import pytest
import torch

from course_lib.exercises import card
from course_lib.exercises.card import GroupResult, Verdict
from course_lib.exercises.comparing import Failure


def failed(failure: Failure, **more) -> str:
    return Verdict("00.toy", "failed", 0, 2, (GroupResult("values", 0, 2, failure),), **more).message


def test_a_passed_card():
    verdict = Verdict("00.toy", "passed", 3, 3, (GroupResult("one", 2, 2, None), GroupResult("longer", 1, 1, None)))
    assert verdict.message == "✓ 00.toy · 3 of 3 points\n  ✓ one     2/2\n  ✓ longer  1/1"


def test_a_failed_card_shows_both_masks_and_the_diagnosis():
    right = torch.ones(1, 1, 3, 3).tril().bool()
    sentence = "3 of 9 values differ; the first is [0][0][0][1]: expected False, got True"
    failure = Failure(sentence, "f(3)", right, ~right)
    assert failed(failure, misconception="inverted", hint="Turn it round.") == "\n".join(
        [
            "✗ 00.toy · 0 of 2 points",
            "It looks like: inverted.",
            "Turn it round.",
            "",
            "  ✗ values  0/2",
            "",
            "In f(3):",
            "3 of 9 values differ; the first is [0][0][0][1]: expected False, got True.",
            "",
            "  expected    yours",
            "  ■ · ·       · ■ ■",
            "  ■ ■ ·       · · ■",
            "  ■ ■ ■       · · ·",
            "  (■ True = may attend, · False; rows are queries)",
        ]
    )


@pytest.mark.parametrize(
    ("shape", "first", "rows", "height"),
    [
        ((3, 1, 1, 4), "[2][0][0][1]", "rows are sequences", 3),
        ((1, 1, 2, 4), "[0][0][1][1]", "rows are queries", 2),
        ((3, 1, 2, 4), "[2][0][1][1]", "rows are queries, sequence 2", 2),
        ((3, 5, 2, 4), "[2][4][1][1]", "rows are queries, sequence 2, head 4", 2),
        ((1, 1, 1, 4), "[0][0][0][1]", "rows are queries", 1),
        ((3, 4), "[0][1]", "(■ True, · False)", 3),  # no mask: nobody attends to anything
        ((4,), "[1]", "(■ True, · False)", 1),
        ((), "", "(■ True, · False)", 1),
    ],
)
def test_the_matrix_that_differs_is_drawn(shape: tuple[int, ...], first: str, rows: str, height: int):
    expected = torch.zeros(shape, dtype=torch.bool)
    lines = failed(Failure(f"the first is {first}", "", expected, expected.logical_not())).split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("  expected"))
    assert rows in lines[-1]
    assert len(lines) - start == height + 2


def test_inputs_are_drawn_above_the_answer_as_they_broadcast():
    a, b = torch.ones(1, 1, 2, 2).tril().bool(), torch.tensor([[True, False], [True, True]])[:, None, None]
    failure = Failure("the first is [0][0][1][1]", "f(a, b)", a & b, a | b, (("a", a), ("b", b)))
    assert failed(failure).split("\n")[-9:] == [
        "",
        "  a      b",
        "  ■ ·    ■ ·",
        "  ■ ■    ■ ·",
        "",
        "  expected    yours",
        "  ■ ·         ■ ·",
        "  ■ ·         ■ ■",
        "  (■ True = may attend, · False; rows are queries, sequence 0)",
    ]


def test_numbers_are_drawn_under_their_mask():
    mask, weights = torch.ones(2, 2).tril().bool(), torch.tensor([[[[1.0, 0.0], [0.25, 0.75]]]])
    failure = Failure("the first is [0][0][0][1]", "f(mask)", weights, weights.mT, (("mask", mask),))
    assert failed(failure).split("\n")[-8:] == [
        "  mask",
        "  ■ ·",
        "  ■ ■",
        "",
        "  expected     yours",
        "     1    0       1 0.25",
        "  0.25 0.75       0 0.75",
        "  (■ True = may attend, · False; rows are queries)",
    ]


WEIGHTS, GOLD = torch.tensor([[0.6, 0.3, 0.1], [0.25, 0.35, 0.4]]), torch.tensor([[True, False, True], [False] * 3])


def test_small_inputs_of_an_answer_without_a_picture_are_drawn():
    failure = Failure("expected 0.5, got 1", "f(weights, gold)", inputs=(("weights", WEIGHTS), ("gold", GOLD)))
    assert failed(failure).split("\n")[-7:] == [
        "In f(weights, gold):",
        "Expected 0.5, got 1.",
        "",
        "  weights           gold",
        "   0.6  0.3  0.1    ■ · ■",
        "  0.25 0.35  0.4    · · ·",
        "  (■ True, · False)",
    ]


@pytest.mark.parametrize("shape", [(9, 3), (3, 9), (2, 3, 3), (0, 3)])
def test_inputs_that_cannot_be_drawn_whole_are_not_drawn(shape: tuple[int, ...]):
    large = Failure("expected 0.5, got 1", "f(x)", inputs=(("weights", WEIGHTS), ("x", torch.zeros(shape))))
    assert failed(large).endswith("\nExpected 0.5, got 1.")


@pytest.mark.parametrize(("column", "side_by_side"), [(0, True), (4, True), (6, False)])
def test_wide_numbers_lose_columns_to_stand_side_by_side_but_not_the_first_difference(column: int, side_by_side: bool):
    value = torch.full((2, 9), -0.123)
    text = failed(Failure(f"the first is [1][{column}]", "f(x)", value, value))
    assert any(line.split() == ["expected", "yours"] for line in text.split("\n")) is side_by_side
    shown = text.split("\n")[-1].split()
    assert shown.count("-0.123") == (10 if side_by_side else 8)


@pytest.mark.parametrize(("column", "width"), [(8, 9), (10, 12), (11, 12), (30, 9), (9, 10)])
@pytest.mark.parametrize("other", [0.5, -1.23e-5])
def test_a_difference_far_to_the_right_is_in_view(column: int, width: int, other: float):
    expected = torch.full((2, width), 0.25)
    got = expected.clone()
    got[1, min(column, width - 1)] = other
    lines = failed(Failure(f"the first is [1][{column}]", "f(x)", expected, got)).split("\n")
    assert f"{other:.3g}" in lines[-1]
    assert max(map(len, lines)) <= 79
    assert lines[-1].strip().startswith("…")
    assert lines[-1].endswith("…") is (column + 1 < width)


def test_the_line_that_raised_stands_alone():
    sentence = "your code raised ValueError: no\nIn line 3 of f: x = x & y"
    assert failed(Failure(sentence, "f(x)")).endswith(
        "In f(x):\nYour code raised ValueError: no.\nIn line 3 of f: x = x & y"
    )


@pytest.mark.parametrize(
    "value",
    [
        torch.randn(7, 9),
        torch.full((7, 9), -1.234e-5),
        torch.randn(2, 3, 5) * 1e30,
        torch.full((3, 3), -torch.inf),
        torch.arange(6) * 10**17,
        torch.empty(0, 3),
        torch.empty(2, 3, device="meta"),
        torch.randn(1, 1, 1, 1, 1, 1, 1),
        torch.randn(3).bfloat16(),
        torch.tensor(1.5),
    ],
    ids=lambda value: f"{tuple(value.shape)}",
)
def test_any_tensor_fits(value: torch.Tensor):
    text = failed(Failure("the first is [0][0]", "f(x)", value, value))
    assert max(map(len, text.split("\n"))) <= 79


def test_long_words_and_foreign_text_fit():
    text = failed(Failure("your code raised ValueError: " + "x" * 300 + "\n\x1b[2J<b>" + "é" * 100, "f(" + "9" * 200))
    assert max(map(len, text.split("\n"))) <= 79
    assert "\x1b" not in text


def test_a_sentence_ends_once():
    assert failed(Failure("broken!\n")).endswith("Broken!")
    assert failed(Failure("broken")).endswith("Broken.")


def test_the_page_cannot_be_written_into():
    html = card.to_html(failed(Failure("your code raised ValueError: <script>alert(1)</script>")))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_page_breaks_lines_between_words_alone():
    style = card.to_html("✓ 00.toy").partition("<pre")[2].partition(">")[0]
    assert "word-break:normal" in style
    assert "white-space:pre-wrap" in style


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [("q gets a gradient", "q gets a gradient."), ("a call failed", "A call failed."), ("expected 1", "Expected 1.")],
)
def test_a_tensor_keeps_its_name_at_the_start_of_a_sentence(sentence: str, shown: str):
    assert failed(Failure(sentence)).endswith(f"\n{shown}")


def test_an_optional_card_speaks_of_no_points():
    groups = (GroupResult("one", 0, 2, Failure("no")), GroupResult("two", 0, 1, None, counted=False))
    text = Verdict("00.toy", "failed", 0, 3, groups, optional=True).message
    assert text.split("\n")[:4] == [
        "✗ 00.toy · optional", "  ✗ one", "  ○ two", "  (○ right so far)",
    ]  # fmt: skip
    assert "point" not in text
    assert Verdict("00.toy", "passed", 3, 3, optional=True).message == "✓ 00.toy · optional"


def test_colours_are_added_and_nothing_is_lost():
    plain = failed(Failure("no"), misconception="a slip", hint="Look again.")
    coloured = card.colour(plain)
    assert coloured != plain
    for code in (card.BOLD, card.GREEN, card.RED, card.PLAIN):
        coloured = coloured.replace(code, "")
    assert coloured == plain


def test_an_open_verdict_is_not_a_cross():
    verdict = Verdict("00.toy", "not written", 0, 2, reason="toy is not written yet: give a number.")
    assert verdict.message == "○ 00.toy · 0 of 2 points\n\ntoy is not written yet: give a number."
