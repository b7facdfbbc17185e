"""A corpus in which each query names the facts of one document, in other words."""

import pytest
import torch

from course_lib.worlds.baselines import overlap_ranking
from course_lib.worlds.names import ROLES, SECTORS, YEARS, names
from course_lib.worlds.retrieval import corpus, is_relevant, query
from course_lib.worlds.texts import document


@pytest.fixture(scope="module")
def made():
    return corpus(500, torch.Generator().manual_seed(0))


def test_each_query_is_answered_by_its_own_document_alone(made):
    assert made.relevant == [{place} for place in range(500)]
    keys = {(record.role, record.now.sector, record.now.city, record.day.year) for record in made.records}
    assert len(keys) == 500
    for place, record in enumerate(made.records):
        assert made.documents[place] == document(record).tokens
        assert made.queries[place] == query(record)
        assert [other for other in range(500) if is_relevant(made.records[other], record)] == [place]


def test_queries_name_the_facts_in_other_words(made):
    shared = {*names().cities, *map(str, YEARS), "a", "to", ",", "."}
    assert set().union(*made.queries) & set().union(*made.documents) <= shared
    for record, asked in zip(made.records, made.queries, strict=True):
        text = " ".join(asked)
        assert [role for role in ROLES if f"{ROLES[role].query} ," in text] == [record.role]
        assert [sector for sector in SECTORS if f"with {SECTORS[sector]} ." in text] == [record.now.sector]
        assert record.now.city in asked
        assert str(record.day.year) in asked
        assert record.now.company not in text


def test_keywords_alone_seldom_find_the_document(made, record_property):
    first = [overlap_ranking(asked, made.documents)[0] == place for place, asked in enumerate(made.queries)]
    record_property("measured", f"retrieval: keywords put the document first in {sum(first) / 5:.1f} % of 500 queries")
    assert 0.05 < sum(first) / 500 < 0.3


def test_the_seed_decides_and_subsets_are_kept():
    def draws(seed):
        return corpus(30, torch.Generator().manual_seed(seed)).documents

    assert draws(1) == draws(1) != draws(2)
    assert {record.subset for record in corpus(30, subset="validation").records} == {"validation"}


@pytest.mark.parametrize("count", [0, 1001])
def test_too_few_or_too_many_documents_are_refused(count):
    with pytest.raises(ValueError, match=rf"^count must be between 1 and 1000, got {count}$"):
        corpus(count)
