"""The alignment explorer: what it says of a word, what it writes, and what clicks and another text do to it."""

import html as html_module
import re

import pytest
import torch

from course_lib.playground import alignment_explorer
from course_lib.playground.alignment_explorer import Look, describe, layer_and_head, render

SOURCE, TARGET = ["ninety", "seven"], ["sieben", "und", "neunzig"]
WEIGHTS = torch.tensor(
    [
        [[[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]], [[0.25, 0.75], [0.25, 0.75], [0.5, 0.5]]],
        [[[0.125, 0.875], [0.5, 0.5], [0.875, 0.125]], [[0.0, 1.0], [0.5, 0.5], [0.125, 0.875]]],
    ]
)
GOLD = torch.tensor([[False, True], [False, False], [True, False]])
LOOK = Look(SOURCE, TARGET, WEIGHTS, GOLD)


def text(html: str) -> str:
    plain = re.sub(r"<style.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL)
    return " ".join(html_module.unescape(plain).split())


def parts(page):
    field, layer, head, target, view = page.children
    return field, layer, head, target, view


@pytest.mark.parametrize(
    ("layer", "head", "row"), [(0, 0, [0.5, 0.5]), (0, None, [0.375, 0.625]), (1, 1, [0.0, 1.0])]
)
def test_a_head_or_the_mean_of_all_is_taken(layer, head, row):
    assert layer_and_head(LOOK, layer, head)[0].tolist() == row


@pytest.mark.parametrize(("layer", "head"), [(2, None), (0, 2), (-1, None)])
def test_a_layer_or_head_that_is_not_there_is_refused(layer, head):
    with pytest.raises(ValueError, match="2 layers and 2 heads"):
        layer_and_head(LOOK, layer, head)


def test_weights_of_other_words_are_refused():
    with pytest.raises(ValueError, match=r"\(layers, heads, 3, 1\)"):
        alignment_explorer(lambda text: Look(["seven"], TARGET, WEIGHTS), "seven")


def test_it_says_whom_a_word_looks_at_and_whether_that_is_true():
    first, last = WEIGHTS[1, 0], WEIGHTS[1, 1]
    assert describe(LOOK, first, 0) == "'sieben' (position 0) looks most at 'seven' (0.88). That is its true partner."
    assert describe(LOOK, last, 2).endswith("'seven' (0.88). Its true partner is 'ninety'.")
    assert "has no partner" in describe(LOOK, first, 1)
    assert describe(LOOK._replace(gold=None), first, 0) == "'sieben' (position 0) looks most at 'seven' (0.88)."


def test_the_view_marks_true_pairs_and_escapes_words():
    html = render(LOOK, 1, 0, 0)
    assert html.count("◆") == 2 + 1  # two pairs, and the legend
    assert "Layer 2, head 1" in html
    assert 'aria-label="sieben looks at seven: 0.88, its true partner"' in html
    evil = Look(["<b>"], ["<i>", "b", "c"], torch.ones(1, 1, 3, 1))
    html = render(evil, 0, None, 0)
    assert "<b>" not in html
    assert "<i>" not in html
    assert "◆" not in html


def test_a_click_chooses_a_word_and_the_knobs_a_layer_and_a_head():
    page = alignment_explorer(lambda text: LOOK, "ninety seven")
    _, layer, head, target, view = parts(page)
    assert [button.description for button in target.children] == ["0 sieben", "1 und", "2 neunzig"]
    assert "Layer 2, mean of all" in text(view.value)
    assert head.label == "mean of all"  # it is seen to be chosen
    target.children[2].click()
    assert "'neunzig' (position 2)" in text(view.value)
    assert [button.button_style for button in target.children] == ["", "", "primary"]
    layer.value, head.value = 0, 1
    assert "Layer 1, head 2" in text(view.value)


def test_another_text_is_asked_for_and_what_cannot_be_read_is_said():
    asked = []

    def ask(words):
        asked.append(words)
        if words == "zero":
            raise ValueError("numbers from 1 <please>")
        return LOOK

    field, _, _, target, view = parts(alignment_explorer(ask, "ninety seven"))
    target.children[1].click()
    field.value = "zero"
    assert asked == ["ninety seven", "zero"]
    assert text(view.value) == "numbers from 1 <please>"
    assert not target.children
    field.value = "ninety seven again"
    assert len(target.children) == 3
    assert "'sieben' (position 0)" in text(view.value)
    field.value = "  "
    assert len(asked) == 3
    assert text(view.value) == "the field is empty: type a text"
