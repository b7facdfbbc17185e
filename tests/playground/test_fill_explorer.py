"""The fill explorer: what it computes and writes, and what clicks and sentences do to it."""

import re

import pytest
import torch

from course_lib.playground import fill_explorer
from course_lib.playground.fill_explorer import ask, describe, likeliest, remarks, render
from course_lib.playground.word_bars import EXACT, bars, checked, favourite, number
from course_lib.worlds import english
from course_lib.worlds.language import Language

TINY = Language(
    {"S": [(1, "A"), (3, "B")], "A": [(1, "she rows")], "B": [(1, "he V")], "V": [(1, "rows"), (3, "swims")]}, "S"
)
TOKENS = TINY.tokenizer.tokens
HE, ROWS, SHE, SWIMS = TINY.tokenizer.encode("he rows she swims")


def certain(words: list[str]) -> torch.Tensor:
    """Answer "he" everywhere, with 0.75, and "she" else."""
    answer = torch.zeros(len(words), len(TOKENS))
    answer[:, HE], answer[:, SHE] = 0.75, 0.25
    return answer


def even(words: list[str]) -> torch.Tensor:
    return torch.full((len(words), len(TOKENS)), 1 / len(TOKENS))


def parts(page):
    top, tokens, view = page.children
    return *top.children, tokens, view


def text(view) -> str:
    return view.value.replace("&#x27;", "'").replace("&lt;", "<").replace("&gt;", ">")


def lists(html: str) -> dict[str, list[tuple[str, str]]]:
    """Read every list of bars: its caption, and word and number of each line."""
    found = {}
    for table in re.findall(r"<table.*?</table>", html):
        words = re.findall(r'<th scope="row">(.*?)</th>', table)
        numbers = re.findall(r"</span></span>(.*?)</td>", table)
        found[re.search(r"<caption>(.*?)</caption>", table)[1]] = list(zip(words, numbers, strict=True))
    return found


@pytest.mark.parametrize(
    ("share", "written"),
    [(0, "0"), (1e-9, "<0.01"), (0.004, "<0.01"), (0.005, "0.01"), (0.5, "0.50"), (0.994, "0.99"), (0.996, ">0.99"),
     (1 - 1e-7, "1"), (1, "1")],
)  # fmt: skip
def test_only_what_is_zero_or_one_reads_as_zero_or_one(share, written):
    assert number(share) == written


def test_what_is_no_distribution_of_the_right_shape_is_refused():
    with pytest.raises(ValueError, match=r"^encoder must give probabilities of shape \(2, 36\), got \(36,\)$"):
        checked("encoder", torch.full((36,), 1 / 36), (2, 36))
    for wrong in (torch.ones(2, 36), torch.tensor([[1.5, -0.5]]), torch.tensor([[torch.nan, 1]])):
        with pytest.raises(ValueError, match=r"^m must give probabilities, each row adding up to 1, such as"):
            checked("m", wrong, tuple(wrong.shape))
    given = checked("m", torch.tensor([0.25, 0.75], requires_grad=True), (2,))
    assert given.dtype == torch.float64
    assert not given.requires_grad


def test_the_favourite_names_one_word_and_owns_up_to_ties():
    assert favourite(torch.tensor([0.1, 0.6, 0.3]), "abc") == "'b' (0.60)"
    assert favourite(torch.tensor([0.4, 0.2, 0.4]), "abc") == "'a' and 1 more (0.40 each)"


def test_the_exact_answer_is_the_language_s_and_models_read_the_mask():
    seen = []
    answers = ask({"m": lambda words: seen.append(words) or certain(words)}, TINY, ["<mask>", "rows"])
    assert list(answers) == ["m", EXACT]
    assert seen == [["<mask>", "rows"]]
    # she rows: 1/4; he rows: 3/4 · 1/4
    assert answers[EXACT][0, [SHE, HE]].tolist() == pytest.approx([4 / 7, 3 / 7])
    assert answers["m"].dtype == torch.float64


@pytest.mark.parametrize("sentence", ["she swims", "<mask> dives", "he <pad>", "he rows rows", "<eos> rows"])
def test_no_exact_answer_without_a_sentence_of_the_language(sentence):
    assert list(ask({"m": even}, TINY, sentence.split())) == ["m"]


def test_five_words_are_listed_the_hidden_one_wherever_it_ranks_and_all_others_in_one_line():
    shares = torch.tensor([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05, 0])
    rows = likeliest(shares, "abcdefgh", "g")
    assert [row.word for row in rows] == [*"abcdeg", "all 2 others"]
    assert [row.look for row in rows] == [""] * 5 + ["marked", "rest"]
    assert rows[5].note == "rank 7"
    assert sum(row.shares[0] for row in rows) == pytest.approx(1)
    assert rows[-1].shares == [pytest.approx(0.08)]
    assert [(row.word, row.note) for row in likeliest(shares, "abcdefgh", "h")][5] == ("h", "")  # it has no rank
    assert [row.look for row in likeliest(shares, "abcdefgh", "b")][1] == "marked"
    assert all(row.look != "marked" for row in likeliest(shares, "abcdefgh", "<mask>"))
    assert all(row.look != "marked" for row in likeliest(shares, "abcdefgh", "dog"))


def test_among_equally_likely_words_the_hidden_one_comes_first_and_impossible_ones_are_left_to_the_others():
    assert likeliest(torch.full((8,), 0.125), "abcdefgh", "g")[0].word == "g"
    rows = likeliest(torch.tensor([0, 1.0, 0, 0]), "abcd", "b")
    assert [(row.word, row.shares) for row in rows] == [("b", [1]), ("all 3 others", [0])]


def test_all_words_shown_leave_no_line_for_others():
    assert [row.word for row in likeliest(torch.tensor([0.25, 0.75]), "ab", "b")] == ["b", "a"]


def test_the_description_says_what_is_likeliest_and_only_where_if_many_are_hidden():
    answers = {"m": torch.tensor([[0.75, 0.25], [0.5, 0.5]])}
    assert describe({}, "ab", ["a", "b"], []).startswith("Nothing is hidden yet: click a word")
    assert describe(answers, "ab", ["a", "<mask>"], [1, 0]) == (
        "Likeliest where 'a' is hidden (position 0): m 'a' (0.75). "
        "Likeliest where a word is hidden (position 1): m 'a' and 1 more (0.50 each)."
    )
    assert describe({}, "ab", list("abab"), {3, 0, 2}) == "3 words are hidden, at positions 0, 2, 3."


@pytest.mark.parametrize(
    ("sentence", "hidden", "said"),
    [
        ("he rows", [], []),
        ("he rows", [0], []),
        ("the dog rows", [], ["Not a word of this language: 'the', 'dog'. Models read <unk> there"]),
        ("dog rows", [0], ["Hidden, but not a word of this language, so that nobody can guess it: 'dog'."]),
        ("she swims", [], ["No sentence of this language reads so"]),
        ("she he swims", [1], ["No sentence of this language has these words in these places"]),
        ("he rows", [0, 1], ["Each hidden word is answered by itself"]),
    ],
)
def test_what_is_special_about_a_sentence_is_said_kindly(sentence, hidden, said):
    lines = remarks(TINY, sentence.split(), hidden)
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))


def test_the_view_puts_every_model_and_the_exact_answer_side_by_side():
    html = render({"sure": certain}, TINY, ["he", "rows"], [0])
    assert lists(html) == {
        "sure": [("▶ he", "0.75"), ("she", "0.25"), (f"all {len(TOKENS) - 2} others", "0")],
        EXACT.replace("'", "&#x27;"): [("she", "0.57"), ("▶ he", "0.43"), (f"all {len(TOKENS) - 2} others", "0")],
    }
    assert html.count('class="room zero"') == 2
    assert 'role="status"' in html
    assert 'role="group" aria-label="Position 0: &#x27;he&#x27; is hidden"' in html
    assert html.count('aria-hidden="true"') == 6  # bars repeat what the numbers say


def test_a_sentence_outside_the_language_keeps_the_models_and_drops_the_exact_answer():
    html = render({"sure": certain, "even": even}, TINY, ["she", "swims", "today"], [1])
    assert list(lists(html)) == ["sure", "even"]
    assert "Not a word of this language: &#x27;today&#x27;" in html


def test_nothing_hidden_asks_no_model():
    def fail(words: list[str]) -> torch.Tensor:
        raise AssertionError("asked")

    html = render({"m": fail}, TINY, ["he", "rows"], [])
    assert "Nothing is hidden yet" in html
    assert "<table" not in html


def test_words_are_escaped_wherever_they_appear():
    evil = "<img src=x>"
    for hidden in ([], [0], [0, 1], [0, 1, 2]):
        html = render({evil: even}, TINY, [evil, "\"'&", "he"], hidden)
        assert "<img" not in html
        assert "&lt;img" in html
    assert "<img" not in bars(evil, likeliest(torch.tensor([1.0]), [evil], evil), [evil])


def test_a_click_hides_a_word_and_a_second_one_shows_it_again():
    *_, tokens, view = parts(fill_explorer({"sure": certain}, TINY, "he rows"))
    assert "Nothing is hidden yet" in view.value
    button = tokens.children[0]
    button.click()
    assert "Likeliest where 'he' is hidden (position 0): sure 'he' (0.75)" in text(view)
    assert (button.description, button.button_style, button.tooltip) == ("0 <mask>", "primary", "Show 'he' again")
    assert tokens.children[0] is button  # the keyboard's focus stays where it is
    button.click()
    assert "Nothing is hidden yet" in view.value
    assert (button.description, button.button_style, button.tooltip) == ("0 he", "", "Hide 'he'")


def test_another_sentence_keeps_the_hidden_positions_and_an_empty_one_changes_nothing():
    sentence, _, tokens, view = parts(fill_explorer({"sure": certain}, TINY, "he rows", hidden=[1]))
    assert "where 'rows' is hidden (position 1)" in text(view)
    sentence.value = "she rows."
    assert [button.description for button in tokens.children] == ["0 she", "1 <mask>", "2 ."]
    sentence.value = "  "
    assert len(tokens.children) == 3
    sentence.value = "she"
    assert "Nothing is hidden yet" in view.value
    sentence.value = "word " * 40
    assert len(tokens.children) == 16
    assert "Only the first 16 words are used." in view.value


def test_a_mask_that_was_typed_is_a_hidden_word_nobody_knows():
    sentence, _, tokens, view = parts(fill_explorer({"sure": certain}, TINY, "he rows"))
    sentence.value = "<mask> rows"
    assert "Likeliest where a word is hidden (position 0)" in text(view)
    assert "▶ " not in "".join(word for lines in lists(view.value).values() for word, _ in lines)
    before = view.value
    tokens.children[0].click()
    assert view.value == before
    assert tokens.children[0].tooltip == "Type a word in place of <mask>"


def test_sentences_are_drawn_from_the_language_and_again_in_a_page_made_anew():
    drawn = []
    for _ in range(2):
        sentence, another, *_ = parts(fill_explorer({"sure": certain}, TINY, "he rows"))
        drawn.append([another.click() or sentence.value for _ in range(8)])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) <= {"she rows", "he rows", "he swims"}
    assert len(set(drawn[0])) > 1


def test_the_exact_answer_of_the_course_s_english_needs_the_right_side():
    language = english.default()
    model = {"exact": lambda words: language.masked_probabilities([words])[0]}
    *_, tokens, view = parts(fill_explorer(model, language))
    tokens.children[1].click()
    assert f"{EXACT} 'bank' (1)" in text(view)
    tokens.children[1].click()
    tokens.children[5].click()
    assert f"{EXACT} 'dried' and 2 more (0.33 each)" in text(view)


def test_a_browser_test_finds_its_way_by_class_names():
    page = fill_explorer({"sure": certain}, TINY, "he rows")
    *_, tokens, view = parts(page)
    assert "fill-explorer" in page._dom_classes
    assert all("fill-explorer-token" in button._dom_classes for button in tokens.children)
    assert "fill-explorer-view" in view._dom_classes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fill_explorer({}, TINY), "fill_explorer needs at least one model, got none"),
        (lambda: fill_explorer({"m": even}, TINY, " "), "fill_explorer needs a sentence with at least one word"),
        (
            lambda: fill_explorer({"m": even}, TINY, "he rows", hidden=[2]),
            "hidden positions must be between 0 and 1, got 2",
        ),
        (
            lambda: fill_explorer({EXACT: even}, TINY),
            """a model must not be called "the language's own answer": that is the name of the exact answer""",
        ),
        (
            lambda: fill_explorer({"m": lambda words: torch.ones(3)}, TINY, "he rows", hidden=[0]),
            f"m must give probabilities of shape (2, {len(TOKENS)}), got (3,)",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(make, message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        make()
