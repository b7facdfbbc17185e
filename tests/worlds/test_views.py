"""Every view says what the facts say: texts, tags, answers, numbers, summaries, translations, by hand and by record."""

import re
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
import torch

from course_lib.worlds import views
from course_lib.worlds.baselines import (
    first_number,
    first_sector,
    majority_share,
    mean_error,
)
from course_lib.worlds.names import PRODUCTS, ROLES
from course_lib.worlds.records import Employer, Record, records
from course_lib.worlds.texts import day_in_words, document, note
from course_lib.worlds.tokenizers import WordTokenizer

ANNA = Record("Anna", "Kraus", True, "engineer", Employer("Kraus GmbH", "Gotha", "bread", 120),
              Employer("Smith LLC", "Lakeview", "games", 80), date(2021, 3, 7), style=0)  # fmt: skip
FACTS = {"person", "role", "day", "company", "city", "product", "staff", "old_company", "old_city", "old_product",
         "old_staff"}  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    return records(2000, torch.Generator().manual_seed(0))


def said(record):
    """What each fact is called in an English text."""
    facts = {"person": record.person, "surname": record.surname, "day": day_in_words(record.day).replace(",", " ,"),
             "role": ROLES[record.role].english, "she": "she" if record.is_woman else "he",
             "She": "She" if record.is_woman else "He"}  # fmt: skip
    for prefix, employer in (("", record.now), ("old_", record.before)):
        for fact in ("company", "city", "product", "staff"):
            facts[prefix + fact] = str(getattr(employer, fact))
    return facts


DOCUMENTS = [
    "Anna Kraus joined Kraus GmbH in Gotha as an engineer on March 7 , 2021 . Kraus GmbH makes bread and has 120 "
    "employees . She used to work for Smith LLC in Lakeview , which makes games and has 80 employees .",
    "Anna Kraus used to work for Smith LLC in Lakeview , where 80 people make games . On March 7 , 2021 , she became "
    "an engineer at Kraus GmbH in Gotha . This firm makes bread and has 120 employees .",
    "Kraus GmbH , which makes bread , hired Anna Kraus as an engineer on March 7 , 2021 . Its 120 employees work in "
    "Gotha . Before that , Kraus was at Smith LLC in Lakeview , where 80 people make games .",
    "Smith LLC in Lakeview , where 80 people make games , lost Anna Kraus to Kraus GmbH on March 7 , 2021 . She is now "
    "an engineer in Gotha , where 120 employees make bread .",
]
GERMAN = [
    "Anna Kraus begann am 7 . März 2021 als Ingenieurin bei der Kraus GmbH in Gotha . Vorher arbeitete sie für die "
    "Smith LLC in Lakeview .",
    "Am 7 . März 2021 stellte die Kraus GmbH in Gotha Anna Kraus als Ingenieurin ein . Die Firma stellt Brot her .",
    "Die Kraus GmbH stellt in Gotha Brot her . Anna Kraus arbeitet dort seit dem 7 . März 2021 als Ingenieurin .",
    "Anna Kraus verließ die Smith LLC am 7 . März 2021 . Jetzt arbeitet sie als Ingenieurin für die Kraus GmbH in "
    "Gotha .",
]


@pytest.mark.parametrize("style", range(4))
def test_texts_by_hand(style):
    record = replace(ANNA, style=style)
    assert " ".join(document(record).tokens) == DOCUMENTS[style]
    assert " ".join(note(record, "de").tokens) == GERMAN[style]
    man = replace(record, first_name="Jens", is_woman=False)
    german = " ".join(note(man, "de").tokens)
    assert german == GERMAN[style].replace("Anna", "Jens").replace("Ingenieurin", "Ingenieur").replace(" sie ", " er ")


def test_tags_and_answers_by_hand():
    tokens, tags = views.tag(ANNA)
    assert list(zip(tokens, tags, strict=True))[:15] == [
        ("Anna", "B-PER"), ("Kraus", "I-PER"), ("joined", "O"), ("Kraus", "B-ORG"), ("GmbH", "I-ORG"), ("in", "O"),
        ("Gotha", "B-LOC"), ("as", "O"), ("an", "O"), ("engineer", "O"), ("on", "O"), ("March", "B-DATE"),
        ("7", "I-DATE"), (",", "I-DATE"), ("2021", "I-DATE"),
    ]  # fmt: skip
    assert [(asked.fact, asked.start, asked.end) for asked in views.questions(ANNA)] == [
        ("company", 3, 4), ("city", 6, 6), ("staff", 22, 22), ("day", 11, 14), ("old_company", 30, 31),
        ("old_city", 33, 33),
    ]  # fmt: skip
    assert " ".join(views.questions(ANNA)[4].question) == "Which firm did Anna Kraus leave ?"


def test_the_other_views_by_hand():
    assert views.SECTOR_NAMES[views.sector(ANNA)[1]] == "food"
    assert views.staff(ANNA)[1] == 120
    assert " ".join(views.summarize(ANNA).target) == "Anna Kraus is now with Kraus GmbH in Gotha as an engineer ."
    source, target = views.describe(replace(ANNA, style=1))
    assert " ".join(source) == (
        "role = engineer | company = Kraus GmbH | city = Gotha | product = bread | date = 2021 3 7 | name = Anna Kraus"
    )
    assert " ".join(target) == (
        "On March 7 , 2021 , Anna Kraus joined Kraus GmbH , which makes bread in Gotha , as an engineer ."
    )


def test_every_fact_stands_in_the_document_where_its_span_says(drawn):
    for record in drawn:
        tokens, spans = document(record)
        facts = said(record)
        assert {fact for fact, _, _ in spans} - {"surname", "she", "She"} == FACTS
        assert all(" ".join(tokens[first : last + 1]) == facts[fact] for fact, first, last in spans)
        assert all(last < first for (_, _, last), (_, first, _) in pairwise(spans))


def test_tags_cover_exactly_the_names(drawn):
    """Found again from the facts alone: every name in the text is tagged, the longest first, and nothing else."""
    for record in drawn:
        tokens, tags = views.tag(record)
        assert set(tags) <= set(views.TAGS)
        facts = said(record)
        kinds = {facts["person"]: "PER", facts["company"]: "ORG", facts["old_company"]: "ORG", facts["city"]: "LOC",
                 facts["old_city"]: "LOC", facts["day"]: "DATE", facts["surname"]: "PER"}  # fmt: skip
        expected, place = ["O"] * len(tokens), 0
        while place < len(tokens):
            for name, kind in kinds.items():  # a surname by itself comes last
                length = len(name.split())
                if tokens[place : place + length] == name.split():
                    expected[place : place + length] = [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
                    place += length - 1
                    break
            place += 1
        assert tags == expected


def test_answers_are_the_facts(drawn):
    for record in drawn:
        facts = said(record)
        asked = views.questions(record)
        assert len({" ".join(one.question) for one in asked}) == len(asked) == 6
        assert all(" ".join(one.answer) == facts[one.fact] for one in asked)
        # It is the first place where the document says so.
        assert not any(f" {facts[one.fact]} " in f" {' '.join(one.context[: one.start])} " for one in asked)


def test_the_other_views_are_the_facts(drawn):
    for record in drawn:
        facts = said(record)
        assert views.SECTOR_NAMES[views.sector(record)[1]] == PRODUCTS[facts["product"]].sector
        assert views.staff(record)[1] == float(facts["staff"])
        summary = " ".join(views.summarize(record).target)
        assert all(facts[fact] in summary for fact in ("person", "company", "city", "role"))
        assert facts["old_company"] not in summary
        source, target = map(" ".join, views.describe(record))
        fields = dict(field.split(" = ") for field in source.split(" | "))
        day = date(*map(int, fields.pop("date").split()))
        assert fields == {"name": facts["person"], "role": record.role, "company": facts["company"],
                          "city": facts["city"], "product": facts["product"]}  # fmt: skip
        assert day == record.day
        assert all(facts[fact] in target for fact in ("person", "role", "company", "city", "product", "day"))


def test_translations_tell_the_same_facts(drawn):
    for record in drawn:
        english, german = note(record, "en"), note(record, "de")
        assert views.translate(record) == (english.tokens, german.tokens)
        assert {fact.lower() for fact, _, _ in english.spans} == {fact.lower() for fact, _, _ in german.spans}
        for fact, first, last in german.spans:
            if fact in ("person", "company", "old_company", "city", "old_city"):
                assert " ".join(german.tokens[first : last + 1]) == said(record)[fact]
        text = " ".join(german.tokens)
        assert not re.search(r"\b(she|he|the|in on|an engineer)\b", text)
        assert (ROLES[record.role].german_woman in german.tokens) == record.is_woman


def test_the_vocabulary_is_a_few_hundred_words(drawn, record_property):
    tokenizer = WordTokenizer(views.vocabulary(drawn))
    record_property("measured", f"records: {tokenizer.vocab_size - 32} words")
    assert 250 < tokenizer.vocab_size < 450
    unseen = WordTokenizer(views.vocabulary(records(500, torch.Generator().manual_seed(9))))
    assert set(unseen.tokens) <= set(tokenizer.tokens)


def test_simple_rules_stay_far_from_the_answers(drawn, record_property):
    """Chance is 1/4 for the sector, and a first mention is right for two styles of four."""
    classified = [views.sector(record) for record in drawn]
    majority = majority_share([label for _, label in classified])
    keyword = sum(first_sector(tokens) == label for tokens, label in classified) / len(drawn)
    counted = [views.staff(record) for record in drawn]
    mean = mean_error([target for _, target in counted])
    rule = sum(abs(first_number(tokens) - target) for tokens, target in counted) / len(drawn)
    record_property("measured", f"sector: majority {majority:.3f}, first product {keyword:.3f}; "
                                f"staff: mean {mean:.1f}, first number {rule:.1f} mean absolute error")  # fmt: skip
    assert majority < 0.25 + 5 * (0.25 * 0.75 / 2000) ** 0.5  # 5 standard errors
    assert abs(keyword - 0.5) < 5 * (0.25 / 2000) ** 0.5
    assert 85 < mean < 100  # 92.5 for an even draw from 40, 50, ..., 400
    assert 55 < rule < 72  # half the time right, else off by 126.7 in the mean


def test_baselines_by_hand():
    assert views.SECTOR_NAMES == ("energy", "food", "health", "software")
    assert first_sector("where 80 people make games and bread".split()) == 3
    assert first_sector(["nothing"], default=2) == 2
    assert first_number(["12", "2021", "40"]) == 40
    assert first_number([]) == 0
    with pytest.raises(ValueError, match=r"^labels must hold at least one, got none$"):
        majority_share([])
    with pytest.raises(ValueError, match=r"^targets must hold at least one, got none$"):
        mean_error([])


def test_other_languages_are_refused():
    for wrong in (lambda: note(ANNA, "fr"), lambda: day_in_words(ANNA.day, "fr")):
        with pytest.raises(ValueError, match=r"^language must be en or de, got 'fr'$"):
            wrong()
