"""The mask explorer: what it computes and writes, and what a click, a slide and a new sentence do."""

import re

import pytest
import torch

from course_lib.masks import create_prefix_mask
from course_lib.playground import mask_explorer
from course_lib.playground.mask_explorer import KINDS, build_mask, describe, render, seen_by, sees

CAT = "The cat sat on the mat".split()


def parts(page):
    sentence, kind, size, tokens, view = page.children
    return sentence, kind, size, tokens, view


def rows(html: str) -> list[str]:
    """Read the marks of every table row that has some, both tables in order."""
    found = ["".join(re.findall(r">([✓·])</td>", row)) for row in re.findall(r"<tr.*?</tr>", html)]
    return [row for row in found if row]


@pytest.mark.parametrize(
    ("kind", "size", "looks", "looked_at"),
    [
        ("bidirectional", 0, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),
        ("causal", 3, [0, 1, 2], [2, 3, 4, 5]),
        ("prefix", 4, [0, 1, 2, 3], [0, 1, 2, 3, 4, 5]),
        ("prefix", 2, [0, 1, 2], [2, 3, 4, 5]),
        ("sliding window", 2, [1, 2], [2, 3]),
    ],
)
def test_whom_a_token_sees_and_who_sees_it(kind, size, looks, looked_at):
    mask = build_mask(kind, 6, size)
    assert sees(mask, 2) == looks
    assert seen_by(mask, 2) == looked_at


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"^kind must be one of bidirectional, causal, .*, got 'odd'$"):
        build_mask("odd", 3)


def test_a_prefix_longer_than_the_sentence_and_a_window_of_nothing_are_mended():
    assert torch.equal(build_mask("prefix", 3, 9), create_prefix_mask(3, 3)[0, 0])
    assert torch.equal(build_mask("sliding window", 3, 0), torch.eye(3, dtype=torch.bool))


def test_the_description_is_a_sentence_that_stands_alone():
    assert describe(CAT, build_mask("causal", 6), 2) == (
        "'sat' (position 2) may attend to 3 of 6 tokens: The, cat, sat. "
        "4 of 6 may attend to it: sat, on, the, mat."
    )


def test_the_view_shows_the_grid_and_the_token_under_every_mask():
    html = render(["a", "b", "c"], "causal", 2, 1)
    grid, compared = ["✓··", "✓✓·", "✓✓✓"], ["✓✓✓", "✓✓·", "✓✓·", "✓✓·"]
    assert rows(html) == grid + compared
    assert html.count('aria-label="may attend"') == "".join(grid + compared).count("✓")
    assert 'role="status"' in html


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_escaped_wherever_they_appear(kind):
    html = render(["<script>alert(1)</script>", "'\"&"], kind, 1, 0)
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_click_moves_the_view_to_that_token():
    _, _, _, tokens, view = parts(mask_explorer(" ".join(CAT)))
    tokens.children[2].click()
    assert "&#x27;sat&#x27; (position 2) may attend to 3 of 6 tokens" in view.value
    assert [button.button_style for button in tokens.children] == ["", "", "primary", "", "", ""]


def test_the_slider_follows_the_mask_and_moves_the_view():
    _, kind, size, tokens, view = parts(mask_explorer(" ".join(CAT)))
    assert size.layout.visibility == "hidden"
    kind.value = "prefix"
    assert (size.layout.visibility, size.description, size.min, size.max) == ("visible", "prefix length", 0, 6)
    size.value = 5
    assert "may attend to 5 of 6 tokens" in view.value
    size.value = 0
    kind.value = "sliding window"
    assert (size.description, size.min, size.value) == ("window length", 1, 1)
    tokens.children[4].click()
    assert "may attend to 1 of 6 tokens: the." in view.value
    kind.value = "bidirectional"
    assert "may attend to 6 of 6 tokens" in view.value
    assert size.layout.visibility == "hidden"


def test_another_sentence_brings_new_tokens_and_an_empty_one_changes_nothing():
    sentence, kind, size, tokens, view = parts(mask_explorer(" ".join(CAT)))
    kind.value = "prefix"
    size.value = 6
    tokens.children[5].click()
    sentence.value = "only two"
    assert [button.description for button in tokens.children] == ["0 only", "1 two"]
    assert (size.max, size.value) == (2, 2)
    assert "&#x27;two&#x27; (position 1)" in view.value
    sentence.value = "   "
    assert len(tokens.children) == 2
    sentence.value = "word " * 40
    assert len(tokens.children) == 12


def test_a_browser_test_finds_its_way_by_class_names():
    page = mask_explorer()
    *_, tokens, view = parts(page)
    assert "mask-explorer" in page._dom_classes
    assert all("mask-explorer-token" in button._dom_classes for button in tokens.children)
    assert "mask-explorer-view" in view._dom_classes


def test_no_word_no_explorer():
    with pytest.raises(ValueError, match=r"^mask_explorer needs a sentence with at least one word$"):
        mask_explorer("  ")
