"""Number words and their alignment: by hand, by the digits of the number, and back to num2words' own spelling."""

import math
from collections import Counter

import pytest
import torch

from course_lib.worlds.numbers import (
    LANGUAGES,
    PARTS,
    gold_alignment,
    join,
    number_pairs,
    parts,
    spelling,
    split,
    words,
)

# All up to 2000, where every kind of word occurs, and every 37th above: all 100,000 take a minute and a half.
SAMPLE = [*range(2001), *range(2001, 100_000, 37), 99_999]
SIZES = {"de": 32, "en": 32, "es": 37, "fr": 27}
JOINING = {"and", ",", "und", "et", "y"}

# Tokens by hand: English, German, French, Spanish.
TOKENS = {
    0: ("zero", "null", "zéro", "cero"),
    17: ("seventeen", "siebzehn", "dix sept", "dieci siete"),
    21: ("twenty one", "ein und zwanzig", "vingt et un", "veinti uno"),
    71: ("seventy one", "ein und siebzig", "soixante et onze", "setenta y uno"),
    75: ("seventy five", "fünf und siebzig", "soixante quinze", "setenta y cinco"),
    80: ("eighty", "achtzig", "quatre vingts", "ochenta"),
    91: ("ninety one", "ein und neunzig", "quatre vingt onze", "noventa y uno"),
    97: ("ninety seven", "sieben und neunzig", "quatre vingt dix sept", "noventa y siete"),
    100: ("one hundred", "ein hundert", "cent", "cien"),
    500: ("five hundred", "fünf hundert", "cinq cents", "quinientos"),
    1001: ("one thousand and one", "ein tausend eins", "mille un", "mil uno"),
    2304: ("two thousand , three hundred and four", "zwei tausend drei hundert vier", "deux mille trois cent quatre",
           "dos mil tres cientos cuatro"),
}  # fmt: skip
# Links by hand, for the numbers above in their order: source-target, counted from 0.
GOLD = {
    ("en", "de"): ["0-0", "0-0", "0-2 1-0", "0-2 1-0", "0-2 1-0", "0-0", "0-2 1-0", "0-2 1-0", "0-0 1-1", "0-0 1-1",
                   "0-0 1-1 3-2", "0-0 1-1 3-2 4-3 6-4"],
    ("en", "fr"): ["0-0", "0-0 0-1", "0-0 1-2", "0-0 0-2 1-2", "0-0 0-1 1-1", "0-0 0-1", "0-0 0-1 0-2 1-2",
                   "0-0 0-1 0-2 1-3", "0-0 1-0", "0-0 1-1", "0-0 1-0 3-1", "0-0 1-1 3-2 4-3 6-4"],
    ("en", "es"): ["0-0", "0-0 0-1", "0-0 1-1", "0-0 1-2", "0-0 1-2", "0-0", "0-0 1-2", "0-0 1-2", "0-0 1-0", "0-0 1-0",
                   "0-0 1-0 3-1", "0-0 1-1 3-2 4-3 6-4"],
    ("de", "fr"): ["0-0", "0-0 0-1", "0-2 2-0", "0-2 2-0 2-2", "0-1 2-0 2-1", "0-0 0-1", "0-2 2-0 2-1 2-2",
                   "0-3 2-0 2-1 2-2", "0-0 1-0", "0-0 1-1", "0-0 1-0 2-1", "0-0 1-1 2-2 3-3 4-4"],
    ("de", "es"): ["0-0", "0-0 0-1", "0-1 2-0", "0-2 2-0", "0-2 2-0", "0-0", "0-2 2-0", "0-2 2-0", "0-0 1-0", "0-0 1-0",
                   "0-0 1-0 2-1", "0-0 1-1 2-2 3-3 4-4"],
    ("fr", "es"): ["0-0", "0-0 1-1", "0-0 2-1", "0-0 2-0 2-2", "0-0 1-0 1-2", "0-0 1-0", "0-0 1-0 2-0 2-2",
                   "0-0 1-0 2-0 3-2", "0-0", "0-0 1-0", "0-0 1-1", "0-0 1-1 2-2 3-3 4-4"],
}  # fmt: skip


@pytest.mark.parametrize("place", range(4))
def test_tokens_by_hand(place):
    language = ("en", "de", "fr", "es")[place]
    for number, texts in TOKENS.items():
        assert words(number, language) == texts[place].split()


@pytest.mark.parametrize(("source", "target"), GOLD)
def test_alignments_by_hand(source, target):
    for number, links in zip(TOKENS, GOLD[source, target], strict=True):
        found = gold_alignment(number, source, target)
        assert found.shape == (len(words(number, target)), len(words(number, source)))
        assert sorted(f"{s}-{t}" for t, s in found.nonzero().tolist()) == links.split(), number
        assert torch.equal(gold_alignment(number, target, source), found.T)


def test_ninety_seven_crosses():
    """sieben und neunzig / ninety seven: the first is last, and the last first."""
    assert gold_alignment(97).tolist() == [[False, True], [False, False], [True, False]]


@pytest.mark.parametrize("language", LANGUAGES)
def test_tokens_written_together_are_the_spelling(language, record_property):
    seen = set()
    for number in SAMPLE:
        tokens = words(number, language)
        assert join(tokens, language) == spelling(number, language)
        seen |= set(tokens)
    record_property("measured", f"{language}: {len(seen)} words for 0 to 99,999")
    assert len(seen) == SIZES[language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_parts_said_are_the_digits(language):
    """So every part is said in every language, and every token but the joining ones is aligned."""
    for number in SAMPLE:
        said = parts(number, language)
        assert [not part for part in said] == [token in JOINING for token in words(number, language)], number
        places = ("thousands tens", "thousands units", "hundreds", "tens", "units")
        digits = zip(places, f"{number:05}", strict=True)
        expected = {place for place, digit in digits if digit != "0"} or {"units"}
        expected |= {"thousand"} if number >= 1000 else set()
        expected |= {"hundred"} if number % 1000 >= 100 else set()
        assert set().union(*said) == expected <= set(PARTS), number


def test_a_pair_is_its_parts():
    for pair in number_pairs(200, torch.Generator().manual_seed(0), source="fr", target="es"):
        assert pair.source == words(pair.number, "fr")
        assert pair.target == words(pair.number, "es")
        assert torch.equal(pair.alignment, gold_alignment(pair.number, "fr", "es"))


def test_what_is_no_number_can_be_written_too():
    assert join(["und", "und", "<eos>"], "de") == "undund<eos>"
    assert join([], "fr") == ""


def test_draws_are_even_and_depend_on_the_seed():
    def draws(seed):
        return [pair.number for pair in number_pairs(2000, torch.Generator().manual_seed(seed), low=10, high=29)]

    assert draws(1) == draws(1) != draws(2)
    counts = Counter(draws(0))
    assert set(counts) == set(range(10, 30))
    # 20 shares of 1/20, 5 standard errors: an even draw fails for one seed in 80,000.
    assert all(abs(count - 100) < 5 * math.sqrt(2000 / 20 * 19 / 20) for count in counts.values())


def test_the_split_is_a_function_of_the_number():
    shares = Counter(split(number) for number in range(100_000))
    assert set(shares) == {"train", "validation", "test"}
    assert abs(shares["test"] - 10_000) < 500
    assert abs(shares["validation"] - 10_000) < 500
    drawn = {subset: {pair.number for pair in number_pairs(300, high=999, subset=subset)} for subset in shares}
    assert not drawn["train"] & drawn["test"]
    assert all(split(number) == subset for subset, numbers in drawn.items() for number in numbers)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: words(100_000, "en"), "numbers must be between 0 and 99999, got 100000"),
        (lambda: words(-1, "en"), "numbers must be between 0 and 99999, got -1"),
        (lambda: parts(1, "it"), "language must be one of de, en, es, fr, got 'it'"),
        (lambda: join(["uno"], "it"), "language must be one of de, en, es, fr, got 'it'"),
        (lambda: number_pairs(1, high=100_000), "numbers must be between 0 and 99999, got 100000"),
        (lambda: number_pairs(-1), "count must not be negative, got -1"),
        (lambda: number_pairs(1, low=5, high=4),
         "at least one number must be left to draw, got none from 5 to 4 in all"),
        (lambda: number_pairs(1, subset="dev"), "subset must be train, validation, test or None, got 'dev'"),
    ],
)
def test_what_has_no_words_is_refused(wrong, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared)
        wrong()
    assert str(caught.value) == message
