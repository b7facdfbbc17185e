"""Numbers in words of four languages, with the alignment that is true: which words say the same part of the number.

The words are num2words' own. Written-together words are cut where a part is a word, or nearly one:

- German: "siebenundneunzig" is sieben und neunzig; "dreihundert" is drei hundert; 11 to 19 stay whole.
- English: at blanks and hyphens; the comma of "two thousand, three hundred" is a token.
- French: at blanks and hyphens, so "quatre-vingt-dix-sept" is four tokens.
- Spanish: also behind "dieci" and "veinti" and before "cientos", accents kept: "veintidós" is veinti dós, "doscientos"
  is dos cientos; "quinientos" stays whole. num2words writes "veintiuno mil", where Spaniards write "veintiún mil".

Parts of a number are its digits, by place, and the words hundred and thousand. Most tokens say one part; some say
more: "seventeen" the tens and the units, "cent" in 100 both the one and the hundred. French counts in twenties: in 97
quatre, vingt and dix together say the tens, sept the units, so "ninety" is aligned with three tokens; in 91 quatre and
vingt say the tens, and onze says both. Words that join ("and", "und", "et", "y", the comma) say no part.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool
from num2words import num2words
from torch import Tensor

from course_lib.worlds.subsets import require_subset, subset_of

__all__ = [
    "LANGUAGES",
    "PARTS",
    "NumberPair",
    "gold_alignment",
    "join",
    "number_pairs",
    "parts",
    "spelling",
    "split",
    "words",
]

LANGUAGES = ("de", "en", "es", "fr")
PARTS = ("thousands tens", "thousands units", "thousand", "hundreds", "hundred", "tens", "units")
LARGEST = 99_999

_VALUES = {
    "de": "null ein,eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
    "siebzehn achtzehn neunzehn",
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen",
    "es": "cero uno dos,dós tres,trés cuatro cinco seis,séis siete,sete ocho nueve,nove diez,dieci once doce trece "
    "catorce quince",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
}
_TENS = {
    "de": "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "es": "veinte,veinti treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "fr": "vingt,vingts trente quarante cinquante soixante",
}
_HUNDRED = {"de": "hundert", "en": "hundred", "es": "cien,ciento,cientos,quinientos", "fr": "cent,cents"}
_THOUSAND = {"de": "tausend", "en": "thousand", "es": "mil", "fr": "mille"}
_JOINING = {"de": "und", "en": "and ,", "es": "y", "fr": "et"}

# How tokens with a blank between them are written together: patterns, and what to write instead.
_FRENCH_UNITS = "un|deux|trois|quatre|cinq|six|sept|huit|neuf|dix|onze|douze|treize|quatorze|quinze|seize"
_WRITING = {
    "de": [(" ", "")],
    "en": [(" ,", ","), (r"ty (one|two|three|four|five|six|seven|eight|nine)\b", r"ty-\1")],
    "es": [(r"\b(dieci|veinti) ", r"\1"), (" cientos", "cientos")],
    "fr": [
        (r"\bquatre (vingts?)\b", r"quatre-\1"),
        (rf"\b(vingt|trente|quarante|cinquante|soixante|dix) (?=({_FRENCH_UNITS})\b)", r"\1-"),
    ],
}


class NumberPair(NamedTuple):
    """One number in the words of two languages; alignment (target, source) is True where two tokens share a part.

    Source: our own.

    >>> pair = NumberPair(7, ["seven"], ["sieben"], torch.tensor([[True]]))
    >>> pair.source, pair.target
    (['seven'], ['sieben'])
    """

    number: int
    source: list[str]
    target: list[str]
    alignment: Bool[Tensor, "target source"]


def number_pairs(
    count: int,
    generator: torch.Generator | None = None,
    source: str = "en",
    target: str = "de",
    low: int = 0,
    high: int = LARGEST,
    subset: str | None = None,
) -> list[NumberPair]:
    """Draw numbers from low to high, both included, all equally likely, in the words of two languages.

    subset: "train", "validation" or "test", to draw only numbers that `split` puts there.
    Raises ValueError if count is negative, no number is left to draw, or as `words` does. Source: our own.

    >>> pair = number_pairs(1, low=97, high=97)[0]
    >>> pair.source, pair.target
    (['ninety', 'seven'], ['sieben', 'und', 'neunzig'])
    >>> pair.alignment.int().tolist()  # sieben: seven; und: nothing; neunzig: ninety
    [[0, 1], [0, 0], [1, 0]]
    """
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    require_subset(subset)
    for number, language in ((low, source), (high, target)):
        _require(number, language)
    pool = [number for number in range(low, high + 1) if subset is None or split(number) == subset]
    if not pool:
        raise ValueError(
            f"at least one number must be left to draw, got none from {low} to {high} in {subset or 'all'}"
        )
    drawn = [pool[place] for place in torch.randint(len(pool), (count,), generator=generator).tolist()]
    return [
        NumberPair(number, words(number, source), words(number, target), gold_alignment(number, source, target))
        for number in drawn
    ]


def words(number: int, language: str) -> list[str]:
    """Give the tokens of a number's words.

    Raises ValueError if the number is not between 0 and 99,999, or the language not one of LANGUAGES. Source: our own
    cuts of the words of num2words.

    >>> words(2304, "de")
    ['zwei', 'tausend', 'drei', 'hundert', 'vier']
    >>> words(97, "fr"), words(522, "es")
    (['quatre', 'vingt', 'dix', 'sept'], ['quinientos', 'veinti', 'dós'])
    """
    return list(_words(number, language))


def parts(number: int, language: str) -> list[frozenset[str]]:
    """Give for each token of a number's words the parts of the number it says, names from PARTS.

    Errors as in `words`. Source: our own.

    >>> [sorted(said) for said in parts(1017, "en")]  # one thousand and seventeen
    [['thousands units'], ['thousand'], [], ['tens', 'units']]
    """
    tokens = _words(number, language)
    lexicon = _lexicon(language)
    values = [lexicon[token] for token in tokens]
    border = values.index(1000) if 1000 in values else -1
    said = []
    for place, (token, value) in enumerate(zip(tokens, values, strict=True)):
        group = "thousands " if place < border else ""
        following = values[place + 1] if place + 1 < len(values) else None
        if value is None:
            found = set()
        elif value == 1000:  # "mille" by itself is one thousand
            found = {"thousand"} if place else {"thousand", "thousands units"}
        elif value == 100:  # "cent" by itself is one hundred
            digit_before = place > border + 1 and token not in ("ciento", "cien", "quinientos")
            found = {"hundred"} if digit_before else {"hundred", "hundreds"}
        elif value < 10:
            if following == 100:
                found = {"hundreds"}
            elif (language, value, following) == ("fr", 4, 20):  # four twenties
                found = {"tens"}
            else:
                found = {"units"}
        elif value % 10 and value < 20:
            found = {"tens", "units"}
        else:
            found = {"tens"}
        said.append(frozenset(group + part if part in ("tens", "units") else part for part in found))
    return said


def gold_alignment(number: int, source: str = "en", target: str = "de") -> Bool[Tensor, "target source"]:
    """Say for each token of the target's words which tokens of the source's words say a part that it says too.

    Shapes: returns (target tokens, source tokens), boolean. A row without True is a word that only joins.
    Errors as in `words`. Source: our own.

    >>> gold_alignment(17, "en", "fr").tolist(), gold_alignment(90, "en", "fr").tolist()  # dix sept; quatre vingt dix
    ([[True], [True]], [[True], [True], [True]])
    """
    asked = parts(number, source)
    return torch.tensor([[bool(said & meant) for meant in asked] for said in parts(number, target)])


def spelling(number: int, language: str) -> str:
    """Give a number's words as num2words writes them.

    Errors as in `words`. Source: num2words.

    >>> spelling(97, "de")
    'siebenundneunzig'
    """
    _require(number, language)
    return num2words(number, lang=language)


def join(tokens: list[str], language: str) -> str:
    """Write tokens together as the language does: from the tokens of a number, its spelling.

    Any tokens are accepted, since a model may write what is no number.
    Raises ValueError if the language is not one of LANGUAGES. Source: our own.

    >>> join(["quatre", "vingt", "dix", "sept"], "fr"), join(["sieben", "und", "neunzig"], "de")
    ('quatre-vingt-dix-sept', 'siebenundneunzig')
    """
    _require(0, language)
    text = " ".join(tokens)
    for pattern, instead in _WRITING[language]:
        text = re.sub(pattern, instead, text)
    return text


def split(number: int) -> str:
    """Say where a number belongs, always the same: "train" (80 %), "validation" or "test" (10 % each).

    Source: our own, from a hash of the number.

    >>> split(97)
    'test'
    """
    return subset_of(str(number))


@lru_cache(maxsize=2**18)
def _words(number: int, language: str) -> tuple[str, ...]:
    """Cut the spelling into the tokens of the lexicon, the longest that fits first."""
    text = spelling(number, language)
    return tuple(_pattern(language).findall(text))


@lru_cache
def _pattern(language: str) -> re.Pattern[str]:
    longest_first = sorted(_lexicon(language), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))


@lru_cache
def _lexicon(language: str) -> dict[str, int | None]:
    """All tokens of a language with their values; joining words have none."""
    found: dict[str, int | None] = dict.fromkeys(_JOINING[language].split())
    found |= dict.fromkeys(_HUNDRED[language].split(","), 100)
    found[_THOUSAND[language]] = 1000
    for first, step, names in ((0, 1, _VALUES[language]), (20, 10, _TENS[language])):
        for place, forms in enumerate(names.split()):
            found |= dict.fromkeys(forms.split(","), first + step * place)
    return found


def _require(number: int, language: str) -> None:
    """Raise ValueError unless number and language are among those the lexicon knows."""
    if not 0 <= number <= LARGEST:
        raise ValueError(f"numbers must be between 0 and {LARGEST}, got {number}")
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}")
