"""The English of the course: one derivation each, both senses of a word, agreement at a distance, known entropy."""

import math
from collections import Counter

import pytest
import torch

from course_lib.worlds import english


@pytest.fixture(scope="module")
def language():
    return english.default()


@pytest.fixture(scope="module")
def drawn(language):
    return language.sample(20_000, torch.Generator().manual_seed(0))


def test_its_size(language, drawn, record_property):
    words = language.tokenizer.vocab_size - 32
    per_token, per_sentence = language.entropy_per_token, language.entropy_per_sentence
    record_property("measured", f"{words} words, {language.mean_length:.4f} to a sentence; entropy {per_sentence:.4f} "
                                f"nats for each sentence, {per_token:.4f} for each token")  # fmt: skip
    assert words == 73
    assert 1.5 < per_token < 2.3
    assert {len(sentence) for sentence in drawn} == set(range(4, 16))
    assert sum(6 <= len(sentence) <= 14 for sentence in drawn) > 0.85 * len(drawn)


def test_the_mean_surprise_of_draws_is_the_entropy(language, drawn):
    surprise = -torch.cat([language.log_probability(drawn[start : start + 1000]) for start in range(0, 20_000, 1000)])
    error = surprise.std() / math.sqrt(len(drawn))
    # 5 standard errors: a right entropy fails for one seed in 1.7 million.
    assert abs(surprise.mean() - language.entropy_per_sentence) < 5 * error
    assert error < 0.002 * language.entropy_per_sentence
    lengths = torch.tensor([len(sentence) for sentence in drawn], dtype=torch.float64)
    assert abs(lengths.mean() - language.mean_length) < 5 * lengths.std() / math.sqrt(len(drawn))


def test_the_losses_of_the_next_tokens_add_up_to_the_sentence(language, drawn):
    for sentence in drawn[:50]:
        known = language.next_token_probabilities([sentence])[0]
        ids = language.tokenizer.encode(sentence, eos=True)
        total = sum(known[place, token].log() for place, token in enumerate(ids))
        assert torch.isclose(total, language.log_probability([sentence])[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("the bank near the river flooded .", "nature"),
        ("our old bank behind this market closed again .", "money"),
        ("the bank lent money to the farmer .", "money"),
        ("the fisherman sat on the bank .", "nature"),
        ("this lawyer robbed the bank !", "money"),
        ("the key to the old cabinets is lost .", "home"),
        ("the keys to the old cabinet are lost .", "home"),
    ],
)
def test_sentences_it_must_have(language, text, topic):
    assert language.parse(text.split()).topic == topic


@pytest.mark.parametrize("text", ["the key to the old cabinets are lost .", "the keys to the old cabinet is lost .",
                                  "these key is lost .", "the bank near the river closed ."])  # fmt: skip
def test_sentences_it_must_not_have(language, text):
    assert language.log_probability([text.split()]).item() == -math.inf


def test_topics_are_equally_frequent(language, drawn):
    topics = Counter(language.parse(sentence).topic for sentence in drawn[:9000])
    assert set(topics) == {"home", "money", "nature"} == set(language.topics)
    assert all(abs(count - 3000) < 5 * math.sqrt(9000 * 2 / 9) for count in topics.values())  # 5 standard errors


@pytest.mark.parametrize("text", ["the bank", "our strange bank", "this bank beside", "the bank near the small"])
def test_until_the_clue_both_senses_are_exactly_equally_likely(language, text):
    home, money, nature = language.topic_probabilities([text.split()])[0, -1].tolist()
    assert home == 0
    assert math.isclose(money, nature, rel_tol=1e-12)


def test_bank_sentences(language):
    drawn = english.bank_sentences(3000, torch.Generator().manual_seed(0))
    assert len(drawn) == 3000
    before = language.topic_probabilities([one.sentence[: one.position + 1] for one in drawn])[:, -1]
    whole = language.topic_probabilities([one.sentence for one in drawn])[:, -1]
    for one, early, late in zip(drawn, before, whole, strict=True):
        sense = language.topics.index({"river": "nature", "money": "money"}[one.sense])
        assert one.sentence[one.position] == "bank"
        assert one.sentence.count("bank") == 1
        assert late[sense] == 1
        assert abs(early[sense] - {"left": 1, "right": 0.5}[one.clue]) < 1e-12
    for sense in ("river", "money"):
        kinds = Counter(one.clue for one in drawn if one.sense == sense)
        assert abs(kinds.total() - 1500) < 5 * math.sqrt(3000 / 4)  # 5 standard errors
        assert abs(kinds["right"] - 1000) < 5 * math.sqrt(3000 * 2 / 9)


def test_bank_sentences_by_seed():
    def draws(seed):
        return english.bank_sentences(50, torch.Generator().manual_seed(seed))

    assert draws(1) == draws(1) != draws(2)
    assert english.bank_sentences(0) == []
    with pytest.raises(ValueError, match=r"^count must not be negative, got -2$"):
        english.bank_sentences(-1)


def test_the_number_of_the_subject_decides_the_verb(language):
    tokens = language.tokenizer
    for text, verbs in [("the key to these old cabinets", "is was"), ("the keys behind our cabinet", "are were")]:
        known = language.next_token_probabilities([text.split()])[0, -1]
        assert known[tokens.encode(verbs)].tolist() == pytest.approx([0.5, 0.5])
