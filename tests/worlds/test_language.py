"""A language with known probabilities, against a list of all its sentences, by hand, and by drawing."""

import math
from itertools import product

import pytest
import torch
from torch.testing import assert_close

from course_lib.padding import left_pad, right_pad
from course_lib.worlds import english
from course_lib.worlds.language import Language
from course_lib.worlds.special_tokens import BOS, CLS, EOS, PAD, SEP
from tests.clock import works_within

# 2 · (2 + 4) + 2 = 14 sentences of different lengths, with beginnings and ends in common.
RULES = {
    "S": [(3, "BIRDS"), (1, "COINS")],
    "BIRDS": [(2, "DET crow FLEW"), (1, "DET crow FLEW NEAR .")],
    "FLEW": [(3, "flew"), (1, "sat")],
    "NEAR": [(1, "near it"), (4, "here")],
    "COINS": [(5, "DET crow fell .")],
    "DET": [(3, "the"), (2, "that")],
}


@pytest.fixture(scope="module")
def language():
    return Language(RULES, "S")


@pytest.fixture(scope="module")
def everything():
    """All sentences and their probabilities, written down by hand."""
    found = {}
    for (det, p), (verb, q) in product([("the", 3 / 5), ("that", 2 / 5)], [("flew", 3 / 4), ("sat", 1 / 4)]):
        found[det, "crow", verb] = 3 / 4 * 2 / 3 * p * q
        found[det, "crow", verb, "near", "it", "."] = 3 / 4 * 1 / 3 * p * q * 1 / 5
        found[det, "crow", verb, "here", "."] = 3 / 4 * 1 / 3 * p * q * 4 / 5
        found[det, "crow", "fell", "."] = 1 / 4 * p
    return found


def test_the_list_is_whole(everything):
    assert len(everything) == 14
    assert math.isclose(sum(everything.values()), 1)


def test_log_probabilities_are_those_of_the_list(language, everything):
    expected = torch.tensor(list(everything.values()), dtype=torch.float64).log()
    assert_close(language.log_probability(list(everything)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", "the", "the crow", "crow the flew", "the crow flew . .", "the crow fell near .", "the crow flew <sep> here ."],
)
def test_what_is_no_sentence_has_no_probability(language, text):
    assert language.log_probability([text.split()]).item() == -math.inf


def test_entropy_and_length_are_those_of_the_list(language, everything):
    entropy = -sum(p * math.log(p) for p in everything.values())
    length = sum(p * len(sentence) for sentence, p in everything.items())
    assert math.isclose(language.entropy_per_sentence, entropy, rel_tol=1e-12)
    assert math.isclose(language.mean_length, length, rel_tol=1e-12)
    assert math.isclose(language.entropy_per_token, entropy / (length + 1), rel_tol=1e-12)


def test_next_tokens_are_those_of_the_list(language, everything):
    tokens = language.tokenizer.tokens
    for sentence in everything:
        known = language.next_token_probabilities([sentence])[0]
        assert known.shape == (len(sentence) + 1, language.tokenizer.vocab_size)
        for place in range(len(sentence) + 1):
            expected = torch.zeros(len(tokens), dtype=torch.float64)
            for other, p in everything.items():
                if other[:place] == sentence[:place]:
                    expected[tokens.index((*other, "<eos>")[place])] += p
            assert_close(known[place], expected / expected.sum(), rtol=0, atol=1e-12)


def test_masked_words_are_those_of_the_list(language, everything):
    tokens = language.tokenizer.tokens
    for sentence in everything:
        for hidden in product([False, True], repeat=len(sentence)):
            shown = ["<mask>" if hide else word for word, hide in zip(sentence, hidden, strict=True)]
            expected = torch.zeros(len(sentence), len(tokens), dtype=torch.float64)
            for other, p in everything.items():
                fits = len(other) == len(shown) and all(s in ("<mask>", o) for s, o in zip(shown, other, strict=True))
                for place, word in enumerate(other if fits else ()):
                    expected[place, tokens.index(word)] += p
            expected /= expected.sum(-1, keepdim=True)
            assert_close(language.masked_probabilities([shown])[0], expected, rtol=0, atol=1e-12)


def test_topics_are_those_of_the_list(language, everything):
    assert language.topics == ("birds", "coins")
    for sentence in everything:
        topic = "coins" if "fell" in sentence else "birds"
        assert language.parse(sentence).topic == topic
        known = language.topic_probabilities([sentence])[0]
        assert_close(known[:3, 0], torch.full((3,), 0.75, dtype=torch.float64))
        assert known[3:, language.topics.index(topic)].eq(1).all()


def test_an_end_token_says_that_the_sentence_is_over():
    language = Language({"S": [(1, "A"), (3, "B")], "A": [(1, "a")], "B": [(1, "a b")]}, "S")
    open_end, ended = language.topic_probabilities([["a", "<mask>"], ["a", "<eos>"]])[:, -1]
    assert_close(open_end, torch.tensor([0, 1], dtype=torch.float64))
    assert_close(ended, torch.tensor([1, 0], dtype=torch.float64))


def test_without_symbols_by_themselves_there_is_one_topic():
    language = Language({"S": [(1, "A"), (1, "the A")], "A": [(1, "a")]}, "S")
    assert (language.topics, language.parse(["the", "a"]).topic) == (("s",), "s")


def test_a_parse_names_the_symbols_of_each_word(language):
    parse = language.parse("that crow sat here .".split())
    assert [symbols[-1] for symbols in parse.symbols] == ["DET", "BIRDS", "FLEW", "NEAR", "BIRDS"]
    assert parse.symbols[0] == ("S", "BIRDS", "DET")


def test_rows_of_a_batch_do_not_touch(language, everything):
    rows = [list(sentence) for sentence in everything]
    together = language.next_token_probabilities(rows)
    hidden = [["<mask>", *row[1:]] for row in rows]
    filled = language.masked_probabilities(hidden)
    for place, row in enumerate(rows):
        alone = language.next_token_probabilities([row])[0]
        assert_close(together[place, : len(row) + 1], alone, rtol=0, atol=1e-15)
        assert_close(together[place, -1], alone[-1], rtol=0, atol=1e-15)  # behind padding nothing has changed
        assert_close(filled[place, : len(row)], language.masked_probabilities([hidden[place]])[0], rtol=0, atol=1e-15)


def test_ids_are_taken_as_a_model_gets_them(language, everything):
    rows = [language.tokenizer.encode(list(sentence)) for sentence in everything]
    expected = language.log_probability(list(everything))
    for pad in (left_pad, right_pad):
        for framed in ([BOS, *row, EOS] for row in rows), ([CLS, *row, SEP] for row in rows), rows:
            assert torch.equal(language.log_probability(pad(list(framed), PAD)[0]), expected)


def test_draws_are_the_language(language, everything):
    drawn = language.sample(20_000, torch.Generator().manual_seed(1))
    for sentence, p in everything.items():  # 14 shares at 5 standard errors: a true one fails once in 120,000 seeds
        share = drawn.count(list(sentence)) / len(drawn)
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / len(drawn)), sentence


def test_the_same_seed_draws_the_same(language):
    def draws(seed, what):
        return what(500, torch.Generator().manual_seed(seed))

    for what in (language.sample, language.stream):
        assert draws(1, what) == draws(1, what) != draws(2, what)


def test_a_stream_is_whole_sentences_cut_once(language):
    flat = language.stream(1000, torch.Generator().manual_seed(0))
    assert len(flat) == 1000
    sentences = " ".join(flat).split(" <eos> ")
    for sentence in sentences[:-1]:
        language.parse(sentence.split())
    assert language.stream(0) == []
    assert language.sample(0) == []


def test_thousands_of_sentences_take_a_moment():
    default, generator = english.default(), torch.Generator().manual_seed(0)
    with works_within(2):
        sentences = default.sample(10_000, generator)
    with works_within(2):
        default.masked_probabilities([["<mask>", *sentence[1:]] for sentence in sentences[:1000]])
        default.next_token_probabilities(sentences[:1000])


def test_what_is_not_of_the_language_is_refused(language):
    with pytest.raises(ValueError, match=r"^prefixes must be of the language, but row 1 is 'crow the'$"):
        language.next_token_probabilities([["the"], ["crow", "the"]])
    with pytest.raises(ValueError, match=r"^prefixes must be of the language, but row 0 is '<unk>'$"):
        language.topic_probabilities([["zebra"]])
    with pytest.raises(ValueError, match=r"^sentences must be of the language, but row 0 is 'the <mask>'$"):
        language.masked_probabilities([["the", "<mask>"]])
    with pytest.raises(ValueError, match=r"^parse needs a sentence of the language, got 'the crow'$"):
        language.parse(["the", "crow"])
    with pytest.raises(ValueError, match=r"^each sentence must have one derivation, but 'a' has two$"):
        Language({"S": [(1, "a"), (1, "A")], "A": [(1, "a")]}, "S")
    with pytest.raises(ValueError, match=r"^count must not be negative, got -1$"):
        language.sample(-1)
    with pytest.raises(ValueError, match=r"^tokens must not be negative, got -1$"):
        language.stream(-1)
