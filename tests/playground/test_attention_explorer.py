"""The attention explorer: what it computes and writes, and what a click, a choice and a shuffle do."""

import math
import re

import pytest
import torch

from course_lib.attention import attention_weights
from course_lib.playground import attention_explorer
from course_lib.playground.attention_explorer import (
    SCALES,
    compare_rows,
    describe,
    evenness,
    render,
    shuffle,
    weigh,
)
from course_lib.playground.explorer import KINDS, build_mask

BANK = "the bank by the river flooded the bank".split()
EVERY_WAY = [(scale, positions) for scale in SCALES for positions in ("none", "rotary")]


def everyone(n: int) -> torch.Tensor:
    return build_mask("bidirectional", n)


def parts(page):
    sentence, kind, size, row, tokens, view = page.children
    return sentence, kind, size, *row.children, tokens, view


def text(view) -> str:
    return view.value.replace("&#x27;", "'")


def shares(view) -> list[str]:
    """Read the weights in the sentence above the grid."""
    return re.findall(r"0\.\d\d", re.search(r'role="status".*?</p>', view.value)[0])


def tables(html: str) -> list[list[list[str]]]:
    """Read the cells of every row of every table."""
    found = []
    for table in re.findall(r"<table.*?</table>", html):
        rows = [re.findall(r"<td [^>]*aria-label[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr.*?</tr>", table)]
        found.append([row for row in rows if row])
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("scale", "positions"), EVERY_WAY)
def test_rows_add_up_to_one_and_what_is_forbidden_is_exactly_zero(kind, scale, positions):
    mask = build_mask(kind, 8, 3)
    weights = weigh(BANK, mask, scale, positions)
    assert weights.shape == (2, 8, 8)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 8, dtype=torch.float64))
    assert torch.equal(weights == 0, ~mask.expand(2, 8, 8))


def test_the_scale_divides_the_scores():
    logs = {scale: weigh(BANK, everyone(8), scale).log() for scale in SCALES}
    scores = {scale: log - log.mean(-1, keepdim=True) for scale, log in logs.items()}
    for scale, divisor in {"1": 1, "√head_dim": math.sqrt(8), "head_dim": 8}.items():
        torch.testing.assert_close(scores[scale] * divisor, scores["1"])


def test_the_usual_scale_is_the_courses_own_attention_of_normal_queries_and_keys(monkeypatch):
    seen = []
    monkeypatch.setitem(weigh.__globals__, "attention_weights", lambda q, k, mask: seen.append((q, k)) or q @ k.mT)
    weigh([f"word{i}" for i in range(2000)], everyone(2000))
    for side in seen[0]:
        assert side.shape == (1, 2, 2000, 8)
        assert abs(side.mean()) < 0.05
        assert abs(side.std() - 1) < 0.05
    monkeypatch.undo()
    q, k = (side[:, :, :5] for side in seen[0])
    expected = attention_weights(q, k)[0]
    torch.testing.assert_close(weigh([f"word{i}" for i in range(5)], everyone(5)), expected)


def test_a_word_has_its_vector_whatever_the_sentence_so_a_new_order_moves_the_weights_along():
    order = shuffle(BANK, 3)
    assert order != list(range(8))
    mixed = weigh([BANK[i] for i in order], everyone(8))
    torch.testing.assert_close(mixed, weigh(BANK, everyone(8))[:, order][:, :, order])
    turned = weigh([BANK[i] for i in order], everyone(8), positions="rotary")
    assert not torch.allclose(turned, weigh(BANK, everyone(8), positions="rotary")[:, order][:, :, order], atol=1e-3)


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match=r"^scale must be one of 1, √head_dim, head_dim, got 'd'$"):
        weigh(BANK, everyone(8), scale="d")
    with pytest.raises(ValueError, match=r"^positions must be one of none, rotary, got 'learned'$"):
        weigh(BANK, everyone(8), positions="learned")


@pytest.mark.parametrize(
    ("row", "tokens"), [([0.25] * 4, 4), ([1.0, 0, 0, 0], 1), ([0.5, 0.5, 0, 0], 2), ([0.5, 0.25, 0.25, 0], 2**1.5)]
)
def test_evenness_counts_tokens(row, tokens):
    assert evenness(torch.tensor(row)) == pytest.approx(tokens)


@pytest.mark.parametrize(
    ("sentence", "row", "said"),
    [
        ("a b c d e", [0.1, 0.2, 0.4, 0.25, 0.05],
         "most weight to 'c' (0.40), then to 'd' (0.25), then to itself (0.20)."),
        ("a b a d e", [0.3, 0.2, 0.3, 0.1, 0.1],
         "most weight to 'a' at 0 and 2 (0.30 each), then to itself (0.20), then to 'd' and 'e' (0.10 each)."),
        ("b b a a c", [0.3, 0.3, 0.25, 0.15, 0],
         "most weight to 'b' at 0 and 1 (0.30 each), then to 'a' at 2 (0.25), then to 'a' at 3 (0.15)."),
        ("a b c d e", [0.002, 0.997, 0.001, 0, 0], "most weight to itself (1.00)."),
        ("a b c d e", [0, 1.0, 0, 0, 0], "all of its weight to itself."),
        ("a b c d e", [0.25, 0.25, 0.25, 0.25, 0], "the same weight, 0.25, to each of the 4 tokens it sees."),
    ],
)  # fmt: skip
def test_the_description_is_a_sentence_that_stands_alone(sentence, row, said):
    words = sentence.split()
    assert describe(words, torch.tensor(row, dtype=torch.float64), 1) == f"'{words[1]}' (position 1) gives {said}"


@pytest.mark.parametrize(
    ("kind", "size", "positions", "said"),
    [
        ("bidirectional", 0, "none", ["'the' at 0, 3 and 6 are equal.", "'bank' at 1 and 7 are equal."]),
        ("bidirectional", 0, "rotary", ["'the' at 0, 3 and 6 differ.", "'bank' at 1 and 7 differ."]),
        ("causal", 0, "none", ["'the' at 0, 3 and 6 differ.", "'bank' at 1 and 7 differ."]),
        ("prefix", 5, "none", ["'the', those at 0 and 3 are equal, the others differ.", "'bank' at 1 and 7 differ."]),
    ],
)
def test_the_rows_of_equal_words_are_compared(kind, size, positions, said):
    for scale in SCALES:
        weights = weigh(BANK, build_mask(kind, 8, size), scale, positions)
        for head in weights:
            assert [line.partition("rows of ")[2] for line in compare_rows(BANK, head)] == said


def test_words_that_stand_there_once_are_not_compared():
    assert compare_rows(["a", "b"], weigh(["a", "b"], everyone(2))[0]) == []


def test_a_shuffle_keeps_the_words_changes_the_order_and_can_be_repeated():
    for words in (BANK, ["a", "b"], ["a", "a", "b"]):
        for seed in range(5):
            order = shuffle(words, seed)
            assert sorted(order) == list(range(len(words)))
            assert [words[i] for i in order] != words
            assert order == shuffle(words, seed)
    assert shuffle(["a", "a"], 0) == [0, 1]
    assert shuffle(["a"], 0) == [0]


def test_the_view_shows_every_weight_marks_what_is_forbidden_and_puts_rows_of_one_word_side_by_side():
    words = ["a", "b", "a"]
    html = render(words, "causal", 0, 2, head=1, scale="1", positions="rotary")
    weights = weigh(words, build_mask("causal", 3), "1", "rotary")[1]
    grid = [[f"{weights[i, j]:.2f}" if j <= i else "·" for j in range(3)] for i in range(3)]
    assert tables(html) == [grid, [grid[0], grid[2]]]
    assert html.count('class="forbidden') == html.count('aria-label="may not attend"') == 3 + 2
    assert html.count("<tr class=chosen>") == 2
    assert 'role="status"' in html
    assert f"looking at {evenness(weights[2]):.1f} tokens equally; it may attend to 3." in html
    assert "random" in html
    assert tables(render(words, "causal", 0, 1))[1:] == []


def test_a_weight_that_vanished_but_was_allowed_is_a_zero_and_not_a_forbidden_cell(monkeypatch):
    monkeypatch.setitem(render.__globals__, "weigh", lambda *_: torch.eye(2).expand(2, 2, 2))
    assert tables(render(["a", "b"], "causal", 0, 0)) == [[["1.00", "·"], ["0", "1.00"]]]


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_escaped_wherever_they_appear(kind):
    html = render(["<script>alert(1)</script>", "'\"&"] * 2, kind, 2, 0)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 8


def test_a_click_moves_the_view_to_that_token():
    *_, tokens, view = parts(attention_explorer())
    tokens.children[4].click()
    assert "'river' (position 4) gives most weight to 'by'" in text(view)
    assert [button.button_style for button in tokens.children] == ["", "", "", "", "primary", "", "", ""]


def test_every_control_moves_the_view():
    _, kind, size, head, scale, positions, _, tokens, view = parts(attention_explorer())
    tokens.children[1].click()
    assert "The rows of 'bank' at 1 and 7 are equal." in text(view)
    seen = {view.value}
    for control, value in [(head, 1), (scale, "1"), (scale, "head_dim"), (positions, "rotary"), (kind, "causal")]:
        control.value = value
        assert view.value not in seen
        seen.add(view.value)
    assert "Head 2, causal mask" in view.value
    assert "The rows of 'bank' at 1 and 7 differ." in text(view)
    kind.value = "sliding window"
    size.value = 1
    assert (size.layout.visibility, size.description) == ("visible", "window length")
    assert "'bank' (position 1) gives all of its weight to itself." in text(view)


def test_a_shuffle_writes_the_new_order_and_follows_the_chosen_word():
    sentence, *_, mix, tokens, view = parts(attention_explorer())
    tokens.children[5].click()
    before = shares(view)
    orders = [sentence.value]
    for _ in range(3):
        mix.click()
        orders.append(sentence.value)
        words = sentence.value.split()
        assert sorted(words) == sorted(BANK)
        assert [button.description for button in tokens.children] == [f"{i} {word}" for i, word in enumerate(words)]
        chosen = words.index("flooded")
        assert tokens.children[chosen].button_style == "primary"
        assert f"'flooded' (position {chosen}) gives" in text(view)
        assert shares(view) == before
    assert len(set(orders)) == 4
    sentence_again, *_, mix_again, _, _ = parts(attention_explorer())
    mix_again.click()
    assert sentence_again.value == orders[1]


def test_another_sentence_brings_new_tokens_and_an_empty_one_changes_nothing():
    sentence, *_, mix, tokens, view = parts(attention_explorer())
    tokens.children[7].click()
    sentence.value = "the the"
    assert "'the' (position 1) gives the same weight, 0.50, to each of the 2 tokens it sees." in text(view)
    sentence.value = "   "
    assert len(tokens.children) == 2
    mix.click()
    assert sentence.value == "the the"
    sentence.value = "word " * 40
    assert len(tokens.children) == 12


def test_a_browser_test_finds_its_way_by_class_names():
    page = attention_explorer()
    *_, tokens, view = parts(page)
    assert "attention-explorer" in page._dom_classes
    assert all("attention-explorer-token" in button._dom_classes for button in tokens.children)
    assert "attention-explorer-view" in view._dom_classes


def test_no_word_no_explorer():
    with pytest.raises(ValueError, match=r"^attention_explorer needs a sentence with at least one word$"):
        attention_explorer("  ")
