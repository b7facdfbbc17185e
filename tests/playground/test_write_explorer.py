"""The write explorer: what it computes and writes, what is drawn, and what clicks and sliders do to it."""

import re
from collections import Counter

import pytest
import torch

from course_lib.playground import write_explorer
from course_lib.playground.word_bars import EXACT
from course_lib.playground.write_explorer import candidates, describe, draw, exact, remarks, render, to_draw_from
from course_lib.worlds import english
from course_lib.worlds.language import Language

TINY = Language(
    {"S": [(1, "A"), (3, "B")], "A": [(1, "she rows")], "B": [(1, "he V")], "V": [(1, "rows"), (3, "swims")]}, "S"
)
TOKENS = TINY.tokenizer.tokens
EOS, HE, ROWS, SHE, SWIMS = TINY.tokenizer.encode("<eos> he rows she swims")
FIVE = torch.tensor([0.1, 0.4, 0.3, 0.15, 0.05], dtype=torch.float64)


def model(words: list[str]) -> torch.Tensor:
    """Answer after everything: rows 0.5, the end 0.3, swims 0.2."""
    answer = torch.zeros(len(TOKENS))
    answer[[ROWS, EOS, SWIMS]] = torch.tensor([0.5, 0.3, 0.2])
    return answer


def parts(page):
    start, rules, so_far, tokens, actions, view = page.children
    return start, *rules.children, so_far, tokens, *actions.children, view


def text(view) -> str:
    plain = re.sub(r"<style.*?</style>|<[^>]*>", "", view.value, flags=re.DOTALL)
    return plain.replace("&#x27;", "'").replace("&lt;", "<").replace("&gt;", ">")


def offered(tokens) -> list[str]:
    return [button.description for button in tokens.children if button.layout.display != "none"]


def lines(html: str) -> list[list[str]]:
    """Read each line of the table: its token and its numbers."""
    rows = re.findall(r"<tr[^>]*><th scope=\"row\">(.*?)</th>(.*?)</tr>", html)
    return [[word, *re.findall(r"</span></span>(.*?)</td>", cells)] for word, cells in rows]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((1.0, None, None), [0.1, 0.4, 0.3, 0.15, 0.05]),
        ((0.0, None, None), [0, 1, 0, 0, 0]),
        ((0.5, None, None), [0.01 / 0.285, 0.16 / 0.285, 0.09 / 0.285, 0.0225 / 0.285, 0.0025 / 0.285]),
        ((1.0, 2, None), [0, 4 / 7, 3 / 7, 0, 0]),
        ((1.0, 99, None), [0.1, 0.4, 0.3, 0.15, 0.05]),
        ((1.0, None, 0.6), [0, 4 / 7, 3 / 7, 0, 0]),  # 0.4 is less than 0.6, so the one that crosses it is in
        ((1.0, None, 0.05), [0, 1, 0, 0, 0]),
        ((1.0, None, 1.0), [0.1, 0.4, 0.3, 0.15, 0.05]),
        ((1.0, 3, 0.6), [0, 4 / 7, 3 / 7, 0, 0]),  # of 8/17, 6/17 and 3/17 the first two reach 0.6
        ((1.0, 2, 0.5), [0, 1, 0, 0, 0]),  # after top-k the first has 4/7
        ((0.5, None, 0.6), [0, 0.64, 0.36, 0, 0]),
    ],
)
def test_temperature_comes_first_then_top_k_then_top_p(rules, expected):
    torch.testing.assert_close(to_draw_from(FIVE, *rules), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    "rules", [(1.0, None, 1.0), (0.0, None, None), (0.5, None, None), (2.0, 6, None), (1.0, None, 0.7), (1.6, 5, 0.8)]
)
@pytest.mark.parametrize("ties", [False, True])
def test_draws_are_as_frequent_as_what_is_shown(rules, ties):
    """A right implementation fails with odds below 1 in 100,000: 5 standard deviations, for at most 8 tokens."""
    given = torch.rand(8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    given = torch.tensor([1, 2, 2, 2, 2, 2, 2, 3]).double() if ties else given
    shares = to_draw_from(given / given.sum(), *rules)
    assert shares.sum() == pytest.approx(1)
    generator, count = torch.Generator().manual_seed(0), 4000
    drawn = Counter(draw(given / given.sum(), *rules, generator) for _ in range(count))
    for token, share in enumerate(shares.tolist()):
        allowed = 5 * (count * share * (1 - share)) ** 0.5
        assert abs(drawn[token] - count * share) <= allowed  # never drawn where the share is 0, always where it is 1


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((-1.0, None, None), "temperature must be at least 0, got -1.0"),
        ((1.0, 0, None), "top_k must be at least 1, got 0"),
        ((1.0, None, 0.0), "top_p must be above 0 and at most 1, got 0.0"),
    ],
)
def test_rules_that_sample_refuses_are_refused(rules, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        to_draw_from(FIVE, *rules)


def test_the_exact_answer_is_the_language_s_as_long_as_a_sentence_begins_so():
    assert exact(TINY, ["he"])[[ROWS, SWIMS]].tolist() == [0.25, 0.75]
    assert exact(TINY, ["he", "rows"])[EOS] == 1
    assert exact(TINY, ["she", "swims"]) is None
    assert exact(TINY, ["dog"]) is None
    assert exact(TINY, ["he", "<eos>", "rows"]) is None


def test_ten_candidates_at_most_none_impossible_and_what_can_be_drawn_first_among_equals():
    shares = torch.tensor([0.05] * 8 + [0.2, 0.1, 0.1, 0, 0.2])
    drawn = torch.zeros(13)
    drawn[[3, 12]] = torch.tensor([0.2, 0.8])
    assert candidates(shares, drawn) == [12, 8, 9, 10, 3, 0, 1, 2, 4, 5]
    assert candidates(torch.tensor([0, 1.0, 0]), torch.tensor([0, 1.0, 0])) == [1]


def test_the_description_is_a_sentence_that_stands_alone():
    own = torch.tensor([0, 0, 1.0])
    said = describe(["x", "y"], "abc", torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0, 0.6, 0.4]), own)
    assert said == f"Likeliest after 'y': model 'b' (0.50); {EXACT} 'c' (1). A draw chooses among 2 tokens of 3."
    said = describe(["y"], "abc", torch.tensor([0.2, 0.5, 0.3]), own, None)
    assert said == "Likeliest after 'y': model 'b' (0.50). A draw can only give one token of 3."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("he", []),
        ("the he", ["Not a word of this language: 'the'. The model reads <unk> there"]),
        ("she swims", ["No sentence of this language begins so"]),
        ("he swims <eos>", ["This is a whole sentence of the language."]),
        ("he <eos>", ["This is no sentence of the language."]),
    ],
)
def test_what_is_special_about_the_text_is_said_kindly(words, said):
    found = remarks(TINY, words.split())
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def test_the_view_shows_model_rules_and_exact_answer_and_what_is_cut_off():
    html = render(model([]).double(), TINY, ["he"], top_k=2)
    others = f"all {len(TOKENS) - 3} others"
    assert lines(html) == [
        ["rows", "0.50", "0.62", "0.25"],
        ["&lt;eos&gt;", "0.30", "0.38", "0"],
        ["<s>swims</s>", "0.20", "0", "0.75"],
        [others, "0", "0", "0"],
    ]
    assert re.findall(r'<th scope="col">(.*?)</th>', html) == [
        "token", "model", "after the sliders", "the language&#x27;s own answer",
    ]  # fmt: skip
    assert html.count('class="room zero"') == 5
    assert 'role="status"' in html
    assert "draw chooses among 2 tokens" in html


def test_a_text_outside_the_language_keeps_the_model_and_drops_the_exact_answer():
    html = render(model([]).double(), TINY, ["she", "swims"])
    assert lines(html)[0] == ["rows", "0.50", "0.50"]
    assert "No sentence of this language begins so" in html


def test_words_are_escaped_wherever_they_appear():
    page = write_explorer(model, TINY, "<img src=x> \"'&")
    *_, so_far, _, _, _, _, view = parts(page)
    for html in (so_far.value, view.value):
        assert "<img" not in html
        assert "&lt;" in html


def test_a_click_appends_its_token_undo_takes_it_back_and_the_end_ends():
    *_, so_far, tokens, drawing, undo, _, view = parts(write_explorer(model, TINY, "he"))
    assert text(so_far) == "Text so far: he ?"
    assert offered(tokens) == ["rows", "<eos>", "swims"]
    assert undo.disabled
    tokens.children[2].click()
    assert text(so_far) == "Text so far: he swims ?"
    assert f"Likeliest after 'swims': model 'rows' (0.50); {EXACT} '<eos>' (1)." in text(view)
    tokens.children[1].click()
    assert text(so_far) == "Text so far: he swims <eos>"
    assert offered(tokens) == []
    assert drawing.disabled
    assert text(view) == "The text has ended: undo, or start again.This is a whole sentence of the language."
    undo.click()
    undo.click()
    assert text(so_far) == "Text so far: he ?"
    assert undo.disabled
    assert not drawing.disabled


def test_sliders_change_what_is_drawn_from_and_do_not_ask_the_model_again():
    asked = []
    page = write_explorer(lambda words: asked.append(words) or model(words), TINY, "he")
    _, temperature, top_k, top_p, so_far, _, drawing, *_, view = parts(page)
    assert [row[1:3] for row in lines(view.value)[:3]] == [["0.50", "0.50"], ["0.30", "0.30"], ["0.20", "0.20"]]
    top_p.value = 0.6
    assert [row[2] for row in lines(view.value)[:3]] == ["0.62", "0.38", "0"]
    top_p.value = 1.0
    top_k.value = 1
    assert [row[2] for row in lines(view.value)[:3]] == ["1", "0", "0"]
    top_k.value = 0
    temperature.value = 2.0
    assert [row[2] for row in lines(view.value)[:3]] == ["0.42", "0.32", "0.26"]
    temperature.value = 0.0
    assert "A draw can only give one token" in text(view)
    assert asked == [["he"]]
    drawing.click()
    assert text(so_far) == "Text so far: he rows ?"
    assert asked == [["he"], ["he", "rows"]]


def test_draws_differ_and_are_the_same_in_a_page_made_anew():
    drawn = []
    for _ in range(2):
        *_, so_far, _, drawing, undo, again, _ = parts(write_explorer(model, TINY, "he"))
        words = []
        for back in (undo, again) * 20:
            drawing.click()
            words.append(text(so_far).split()[4])
            back.click()
        drawn.append(words)
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {"rows", "<eos>", "swims"}


def test_another_start_starts_again_and_an_empty_one_changes_nothing():
    start, *_, so_far, _, drawing, undo, again, view = parts(write_explorer(model, TINY, "he"))
    start.value = "she rows"
    assert text(so_far) == "Text so far: she rows ?"
    assert undo.disabled
    start.value = "  "
    assert text(so_far) == "Text so far: she rows ?"
    start.value = "dog"
    assert "Not a word of this language: 'dog'." in text(view)
    again.click()
    assert text(so_far) == "Text so far: dog ?"
    start.value = "he " * 40
    assert text(so_far).split()[3:] == ["he"] * 16
    assert drawing.disabled
    assert text(view).startswith("16 tokens are as far as this page goes: undo, or start again.")


def test_the_text_grows_to_sixteen_tokens_and_no_further():
    *_, so_far, tokens, drawing, undo, _, _ = parts(write_explorer(model, TINY, "he"))
    while offered(tokens):
        tokens.children[0].click()
    assert text(so_far).split()[3:] == ["he"] + ["rows"] * 15
    assert drawing.disabled
    undo.click()
    assert offered(tokens) == ["rows", "<eos>", "swims"]


def test_with_the_course_s_english_itself_as_model_every_text_is_a_sentence():
    language = english.default()
    page = write_explorer(lambda words: language.next_token_probabilities([words])[0, -1], language)
    *_, so_far, tokens, drawing, _, again, view = parts(page)
    assert len(offered(tokens)) == 10
    for _ in range(5):
        again.click()
        while not drawing.disabled:
            drawing.click()
        assert text(so_far).endswith("<eos>")
        assert "This is a whole sentence of the language." in text(view)


def test_a_browser_test_finds_its_way_by_class_names():
    page = write_explorer(model, TINY, "he")
    *_, so_far, tokens, _, _, _, view = parts(page)
    assert "write-explorer" in page._dom_classes
    assert "write-explorer-text" in so_far._dom_classes
    assert all("write-explorer-candidate" in button._dom_classes for button in tokens.children)
    assert "write-explorer-view" in view._dom_classes


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match=r"^write_explorer needs a sentence with at least one word$"):
        write_explorer(model, TINY, " ")
    with pytest.raises(ValueError, match=r"^next_probabilities must give probabilities of shape \(36,\), got \(3,\)$"):
        write_explorer(lambda words: torch.ones(3), TINY, "he")
