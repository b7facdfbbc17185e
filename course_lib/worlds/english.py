"""The English of the course: a small language whose entropy is known, about rivers, about money and about the house.

"bank" has two senses. When it begins a sentence, both are exactly equally likely until a clue comes ("the bank near
the river flooded ."); when it ends one, the clue has passed ("the lawyer robbed the bank ."). The verb of a sentence
about the house agrees with a noun that may be far away ("the keys to the old cabinet are lost .").
"""

from functools import cache
from typing import NamedTuple

import torch

from course_lib.worlds.grammar import Rules
from course_lib.worlds.language import Language

__all__ = ["RULES", "BankSentence", "bank_sentences", "default"]

# NATURE and MONEY begin with the bank equally often, and the words up to and including it are drawn alike.
RULES: Rules = {
    "SENTENCE": [(1, "NATURE"), (1, "MONEY"), (1, "HOME")],
    "NATURE": [
        (3, "BANK NEAR WATER RIVER_NEWS"),
        (1, "BANK RIVER_VERB END"),
        (2, "WALKER RESTED on BANK END"),
        (2, "WALKER RESTED NEAR WATER END"),
    ],
    "RIVER_NEWS": [(2, "RIVER_VERB END"), (1, "STAYED ADJ END")],
    "RIVER_VERB": [(1, "flooded"), (1, "froze"), (1, "dried")],
    "WATER": [(1, "DET WATERS"), (1, "DET ADJ WATERS")],
    "WATERS": [(1, "river"), (1, "lake"), (1, "canal")],
    "WALKER": [(1, "DET WALKERS"), (1, "DET ADJ WALKERS")],
    "WALKERS": [(2, "fisherman"), (2, "child"), (1, "farmer"), (1, "doctor")],
    "RESTED": [(1, "sat"), (1, "slept"), (1, "waited")],
    "MONEY": [
        (3, "BANK NEAR TOWN CITY_NEWS"),
        (1, "BANK CITY_VERB END"),
        (2, "CLIENT DEALT BANK END"),
        (2, "CLIENT DEALT CLIENT END"),
    ],
    "CITY_NEWS": [(2, "CITY_VERB END"), (1, "STAYED ADJ END")],
    "CITY_VERB": [(1, "closed"), (1, "opened"), (1, "LENT money to CLIENT")],
    "LENT": [(1, "lent"), (1, "gave")],
    "TOWN": [(1, "DET TOWNS"), (1, "DET ADJ TOWNS")],
    "TOWNS": [(1, "city"), (1, "market"), (1, "station")],
    "CLIENT": [(1, "DET CLIENTS"), (1, "DET ADJ CLIENTS")],
    "CLIENTS": [(2, "lawyer"), (2, "baker"), (1, "farmer"), (1, "doctor")],
    "DEALT": [(1, "called"), (1, "paid"), (1, "robbed")],
    "BANK": [(1, "DET bank"), (1, "DET ADJ bank")],
    "HOME": [(1, "ONE is STATE END"), (1, "ONE was STATE END"), (1, "MANY are STATE END"), (1, "MANY were STATE END")],
    "ONE": [(1, "DET THING"), (2, "DET THING WITH PLACE"), (1, "DET ADJ THING WITH PLACE")],
    "MANY": [(1, "DETS THINGS"), (2, "DETS THINGS WITH PLACE"), (1, "DETS ADJ THINGS WITH PLACE")],
    "THING": [(1, "key"), (1, "letter"), (1, "picture")],
    "THINGS": [(1, "keys"), (1, "letters"), (1, "pictures")],
    "WITH": [(1, "to"), (1, "from"), (2, "NEAR")],
    "PLACE": [(1, "DET ROOM"), (1, "DET ADJ ROOM"), (1, "DETS ROOMS"), (1, "DETS ADJ ROOMS")],
    "ROOM": [(1, "cabinet"), (1, "door"), (1, "window")],
    "ROOMS": [(1, "cabinets"), (1, "doors"), (1, "windows")],
    "STATE": [(1, "lost"), (1, "broken"), (2, "ADJ")],
    "DET": [(1, "the"), (1, "this"), (1, "our")],
    "DETS": [(1, "the"), (1, "these"), (1, "our")],
    "ADJ": [(1, word) for word in "old new small large quiet famous lonely strange".split()],
    "NEAR": [(1, "near"), (1, "behind"), (1, "by"), (1, "beside")],
    "STAYED": [(1, "looked"), (1, "seemed")],
    "END": [(1, "STOP"), (1, "WHEN STOP")],
    "WHEN": [(1, "again"), (1, "today"), (1, "now"), (1, "indeed"), (1, "there")],
    "STOP": [(2, "."), (1, "!")],
}


_SENSES = {"nature": "river", "money": "money"}


class BankSentence(NamedTuple):
    """A sentence with "bank" in it: where it stands, what it means, and on which side of it one learns that.

    sense: "river" or "money". clue: "left" if the words before it tell the sense, "right" if they leave both equally
    likely. Source: our own.

    >>> BankSentence(["the", "bank", "froze", "."], position=1, sense="river", clue="right").clue
    'right'
    """

    sentence: list[str]
    position: int
    sense: str
    clue: str


@cache
def default() -> Language:
    """Give the English of the course, built once.

    Source: our own.

    >>> from course_lib.worlds import english
    >>> language = english.default()
    >>> language.parse("the keys to the old cabinet are lost .".split()).topic
    'home'
    """
    return Language(RULES, "SENTENCE")


def bank_sentences(count: int, generator: torch.Generator | None = None) -> list[BankSentence]:
    """Draw sentences of the default language that hold the word "bank", as often as the language says them.

    Both senses are equally frequent, and in each two clues in three stand to the right.
    Raises ValueError if count is negative. Source: our own.

    >>> drawn = bank_sentences(2, torch.Generator().manual_seed(0))
    >>> [one.sentence[one.position] for one in drawn]
    ['bank', 'bank']
    """
    language = default()
    found: list[BankSentence] = []
    while len(found) < count or count < 0:  # a negative count is refused by sample
        for sentence in language.sample(2 * count, generator):
            if "bank" in sentence:
                topic, symbols = language.parse(sentence)
                position = sentence.index("bank")
                begins = symbols[0][2] == "BANK"  # (SENTENCE, topic, BANK): the bank is the subject
                found.append(BankSentence(sentence, position, _SENSES[topic], clue="right" if begins else "left"))
    return found[:count]
