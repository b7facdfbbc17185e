"""Seven views of a record, so that tasks are compared on the same facts: each is a function of the record alone.

Inputs and outputs in words are lists of tokens for `tokenizers.WordTokenizer`. The eighth view, a corpus to search, is
in `retrieval`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from course_lib.worlds.names import ROLES, SECTORS
from course_lib.worlds.records import Record
from course_lib.worlds.texts import day_in_words, document, note
from course_lib.worlds.tokenizers import split_words

__all__ = [
    "SECTOR_NAMES",
    "TAGS",
    "Pair",
    "Question",
    "describe",
    "questions",
    "sector",
    "staff",
    "summarize",
    "tag",
    "translate",
    "vocabulary",
]

SECTOR_NAMES = tuple(sorted(SECTORS))
_ENTITIES = {
    "person": "PER",
    "surname": "PER",
    "company": "ORG",
    "old_company": "ORG",
    "city": "LOC",
    "old_city": "LOC",
    "day": "DATE",
}
TAGS = ("O", *(f"{begin}-{kind}" for kind in ("DATE", "LOC", "ORG", "PER") for begin in "BI"))

_QUESTIONS = {
    "company": "Which firm does {person} work for now ?",
    "city": "Where does {person} work now ?",
    "staff": "How many people work for the new firm ?",
    "day": "When did {person} change firms ?",
    "old_company": "Which firm did {person} leave ?",
    "old_city": "Where did {person} work before ?",
}


class Pair(NamedTuple):
    """What is read, and what is to be written.

    Source: our own.

    >>> Pair(["hello"], ["hallo"]).target
    ['hallo']
    """

    source: list[str]
    target: list[str]


class Question(NamedTuple):
    """A question whose answer is context[start] to context[end], both included; `fact` is what it asks for.

    Source: our own.

    >>> Question("city", ["Where", "?"], ["In", "Gotha"], start=1, end=1).answer
    ['Gotha']
    """

    fact: str
    question: list[str]
    context: list[str]
    start: int
    end: int

    @property
    def answer(self) -> list[str]:
        """The tokens of the answer."""
        return self.context[self.start : self.end + 1]


def sector(record: Record) -> tuple[list[str], int]:
    """Classify: the document, and the sector where the person works now, as its place in SECTOR_NAMES.

    The former employer's sector is another, and named in the same words. Source: our own.

    >>> from course_lib.worlds.records import records
    >>> record = records(1)[0]
    >>> SECTOR_NAMES[sector(record)[1]] == record.now.sector
    True
    """
    return document(record).tokens, SECTOR_NAMES.index(record.now.sector)


def tag(record: Record) -> Pair:
    """Recognise names: the document, and for each of its tokens one of TAGS, B- where a name begins, I- inside.

    Source: the tags are those of Ramshaw and Marcus (1995) with B- at every beginning; the rest is our own.

    >>> from course_lib.worlds.records import records
    >>> tokens, tags = tag(records(1)[0])
    >>> len(tokens) == len(tags), "B-PER" in tags
    (True, True)
    """
    tokens, spans = document(record)
    tags = ["O"] * len(tokens)
    for fact, first, last in spans:
        if fact in _ENTITIES:
            kind = _ENTITIES[fact]
            tags[first : last + 1] = [f"B-{kind}", *[f"I-{kind}"] * (last - first)]
    return Pair(tokens, tags)


def questions(record: Record) -> list[Question]:
    """Ask for spans of the document: six questions; the answer is where the fact is first told.

    Source: our own.

    >>> from course_lib.worlds.records import records
    >>> record = records(1)[0]
    >>> [" ".join(asked.answer) for asked in questions(record) if asked.fact == "old_city"] == [record.before.city]
    True
    """
    tokens, spans = document(record)
    places = {fact: (first, last) for fact, first, last in reversed(spans)}
    return [
        Question(fact, text.format(person=record.person).split(), tokens, *places[fact])
        for fact, text in _QUESTIONS.items()
    ]


def staff(record: Record) -> tuple[list[str], float]:
    """Regress: the document, and how many employees the present employer has, from 40 to 400.

    The former employer's number stands in the same text. Source: our own.

    >>> from course_lib.worlds.records import records
    >>> record = records(1)[0]
    >>> staff(record)[1] == record.now.staff
    True
    """
    return document(record).tokens, float(record.now.staff)


def summarize(record: Record) -> Pair:
    """Summarise: the document, and one sentence that says where the person works now, and as what.

    Source: our own.

    >>> from course_lib.worlds.records import records
    >>> summarize(records(1)[0]).target[2:5]
    ['is', 'now', 'with']
    """
    text = f"{record.person} is now with {record.now.company} in {record.now.city} as {ROLES[record.role].english} ."
    return Pair(document(record).tokens, text.split())


def describe(record: Record) -> Pair:
    """Turn data into text: fields in an order that depends on the style, and the one sentence that tells them.

    Month and day are numbers in the fields and words in the text. Source: our own.

    >>> from course_lib.worlds.records import records
    >>> source, target = describe(records(1)[0])
    >>> source.count("|"), target[-1]
    (5, '.')
    """
    fields = [
        f"name = {record.person}",
        f"role = {record.role}",
        f"company = {record.now.company}",
        f"city = {record.now.city}",
        f"product = {record.now.product}",
        f"date = {record.day.year} {record.day.month} {record.day.day}",
    ]
    turned = fields[record.style :] + fields[: record.style]
    day = " ".join(split_words(day_in_words(record.day)))
    text = (
        f"On {day} , {record.person} joined {record.now.company} , which makes {record.now.product} in "
        f"{record.now.city} , as {ROLES[record.role].english} ."
    )
    return Pair(" | ".join(turned).split(), text.split())


def translate(record: Record) -> Pair:
    """Translate: two sentences in English, and the same in German.

    Source: our own.

    >>> from course_lib.worlds.records import records
    >>> record = records(1)[0]
    >>> record.now.city in translate(record).source and record.now.city in translate(record).target
    True
    """
    return Pair(note(record, "en").tokens, note(record, "de").tokens)


def vocabulary(drawn: Sequence[Record]) -> list[list[str]]:
    """Give all token lists of all seven views of some records, to build a tokenizer from.

    Source: our own.

    >>> from course_lib.worlds.records import records
    >>> from course_lib.worlds.tokenizers import WordTokenizer
    >>> "Where" in WordTokenizer(vocabulary(records(3))).tokens
    True
    """
    texts = []
    for record in drawn:
        texts.append(document(record).tokens)
        texts += [asked.question for asked in questions(record)]
        for pair in (summarize(record), describe(record), translate(record)):
            texts += [pair.source, pair.target]
    return texts
