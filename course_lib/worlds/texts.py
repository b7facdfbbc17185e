"""Records told in English and German, with the place of each fact in the text.

Four styles tell the same facts in different orders: in two of them the present employer comes first, in two the former
one, so neither "the first product" nor "the last number" is a good answer. In German the verb waits at the end.
"""

from datetime import date
from typing import NamedTuple

from babel.dates import format_date

from course_lib.worlds.names import PRODUCTS, ROLES
from course_lib.worlds.records import Record
from course_lib.worlds.tokenizers import split_words

__all__ = ["Text", "day_in_words", "document", "note"]

_DOCUMENTS = (
    "{person} joined {company} in {city} as {role} on {day} . {company} makes {product} and has {staff} employees . "
    "{She} used to work for {old_company} in {old_city} , which makes {old_product} and has {old_staff} employees .",
    "{person} used to work for {old_company} in {old_city} , where {old_staff} people make {old_product} . "
    "On {day} , {she} became {role} at {company} in {city} . This firm makes {product} and has {staff} employees .",
    "{company} , which makes {product} , hired {person} as {role} on {day} . Its {staff} employees work in {city} . "
    "Before that , {surname} was at {old_company} in {old_city} , where {old_staff} people make {old_product} .",
    "{old_company} in {old_city} , where {old_staff} people make {old_product} , lost {person} to {company} on {day} . "
    "{She} is now {role} in {city} , where {staff} employees make {product} .",
)
# Short notes that say the same in both languages.
_NOTES = {
    "en": (
        "{person} joined {company} in {city} as {role} on {day} . {She} used to work for {old_company} in {old_city} .",
        "On {day} , {company} in {city} hired {person} as {role} . The firm makes {product} .",
        "{company} makes {product} in {city} . {person} has worked there as {role} since {day} .",
        "{person} left {old_company} on {day} . Now {she} works as {role} for {company} in {city} .",
    ),
    "de": (
        "{person} begann am {day} als {role} bei der {company} in {city} . "
        "Vorher arbeitete {she} für die {old_company} in {old_city} .",
        "Am {day} stellte die {company} in {city} {person} als {role} ein . Die Firma stellt {product} her .",
        "Die {company} stellt in {city} {product} her . {person} arbeitet dort seit dem {day} als {role} .",
        "{person} verließ die {old_company} am {day} . Jetzt arbeitet {she} als {role} für die {company} in {city} .",
    ),
}
_LOCALES = {"en": "en_US", "de": "de_DE"}


class Text(NamedTuple):
    """Word tokens, and for each fact in them its name and the places of its first and last token.

    Source: our own.

    >>> text = Text(["Kraus", "GmbH", "in", "Gotha"], [("company", 0, 1), ("city", 3, 3)])
    >>> text.tokens[text.spans[0][1] : text.spans[0][2] + 1]
    ['Kraus', 'GmbH']
    """

    tokens: list[str]
    spans: list[tuple[str, int, int]]


def document(record: Record) -> Text:
    """Tell all facts of a record in English, in its style.

    Source: our own.

    >>> from course_lib.worlds.records import records
    >>> record = records(1)[0]
    >>> text = document(record)
    >>> [" ".join(text.tokens[first : last + 1]) for fact, first, last in text.spans if fact == "old_city"] == [
    ...     record.before.city]
    True
    """
    return _fill(_DOCUMENTS[record.style], _facts(record, "en"))


def note(record: Record, language: str = "en") -> Text:
    """Tell some facts of a record in two sentences, the same in English and in German, in the record's style.

    Raises ValueError if the language is neither "en" nor "de". Source: our own.

    >>> from course_lib.worlds.records import records
    >>> record = records(1)[0]
    >>> "und" in note(record, "de").tokens, record.surname in note(record, "de").tokens
    (False, True)
    """
    if language not in _NOTES:
        raise ValueError(f"language must be en or de, got {language!r}")
    return _fill(_NOTES[language][record.style], _facts(record, language))


def day_in_words(day: date, language: str = "en") -> str:
    """Write a date as the language does.

    Raises ValueError if the language is neither "en" nor "de". Source: Babel, from the Unicode CLDR.

    >>> day_in_words(date(2021, 3, 7)), day_in_words(date(2021, 3, 7), "de")
    ('March 7, 2021', '7. März 2021')
    """
    if language not in _LOCALES:
        raise ValueError(f"language must be en or de, got {language!r}")
    return format_date(day, "long", locale=_LOCALES[language])


def _facts(record: Record, language: str) -> dict[str, str]:
    """Give every fact in words of a language."""
    role = ROLES[record.role]
    if language == "de":
        she, word = ("sie" if record.is_woman else "er"), role.german_woman if record.is_woman else role.german_man
    else:
        she, word = ("she" if record.is_woman else "he"), role.english
    facts = {"person": record.person, "surname": record.surname, "she": she, "She": she.capitalize(), "role": word}
    for prefix, employer in (("", record.now), ("old_", record.before)):
        product = PRODUCTS[employer.product]
        facts |= {
            f"{prefix}company": employer.company,
            f"{prefix}city": employer.city,
            f"{prefix}product": product.german if language == "de" else product.english,
            f"{prefix}staff": str(employer.staff),
        }
    return {**facts, "day": day_in_words(record.day, language)}


def _fill(template: str, facts: dict[str, str]) -> Text:
    """Put the facts into a template, and note where they stand."""
    text = Text([], [])
    for item in template.split():
        fact = item.strip("{}")
        if fact == item:
            text.tokens.append(item)
            continue
        words = split_words(facts[fact])
        text.spans.append((fact, len(text.tokens), len(text.tokens) + len(words) - 1))
        text.tokens.extend(words)
    return text
