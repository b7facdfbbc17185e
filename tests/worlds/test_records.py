"""The facts: drawn evenly, by seed, in small pools of names, each record in one subset for good."""

import math
from collections import Counter

import pytest
import torch

from course_lib.worlds.names import PRODUCTS, ROLES, SECTORS, YEARS, names
from course_lib.worlds.records import STYLES, records
from course_lib.worlds.subsets import SUBSETS, require_subset, subset_of


@pytest.fixture(scope="module")
def drawn():
    return records(6000, torch.Generator().manual_seed(0))


def test_the_pools_are_small_and_fixed():
    pools = names()
    assert pools is names()
    assert [len(set(pool)) for pool in pools] == [12, 12, 24, 24, 16]
    every = [name for pool in pools for name in pool]
    assert len(set(every)) == len(every) == 88
    surnames = {company.split()[0] for company in pools.companies} & set(pools.surnames)
    assert len(surnames) >= 12
    assert Counter(product.sector for product in PRODUCTS.values()) == dict.fromkeys(SECTORS, 3)


def test_the_seed_decides():
    def draws(seed):
        return records(50, torch.Generator().manual_seed(seed))

    assert draws(1) == draws(1) != draws(2)
    assert records(0) == []


def test_employers_differ_in_every_fact(drawn):
    for record in drawn:
        now, before = record.now, record.before
        assert all(getattr(now, fact) != getattr(before, fact) for fact in ("company", "city", "sector", "staff"))
        assert (record.first_name in names().women) == record.is_woman
        assert 40 <= now.staff <= 400
        assert 40 <= before.staff <= 400


@pytest.mark.parametrize(
    ("fact", "values"),
    [
        (lambda record: record.now.sector, SECTORS),
        (lambda record: record.before.sector, SECTORS),
        (lambda record: record.now.product, PRODUCTS),
        (lambda record: record.role, ROLES),
        (lambda record: record.style, range(STYLES)),
        (lambda record: record.is_woman, (True, False)),
        (lambda record: record.now.city, names().cities),
        (lambda record: record.before.company, names().companies),
        (lambda record: record.surname, names().surnames),
        (lambda record: record.day.year, YEARS),
        (lambda record: record.day.month, range(1, 13)),
        (lambda record: record.day.day, range(1, 29)),
    ],
)
def test_every_value_is_equally_frequent(drawn, fact, values):
    counts = Counter(map(fact, drawn))
    assert set(counts) == set(values)
    share = 1 / len(values)
    error = math.sqrt(len(drawn) * share * (1 - share))
    # 5 standard errors for each of some 150 values: an even draw fails for one seed in 10,000.
    assert all(abs(count - len(drawn) * share) < 5 * error for count in counts.values())


def test_subsets_never_share_a_record(drawn):
    shares = Counter(record.subset for record in drawn)
    for subset, share in zip(SUBSETS, (0.8, 0.1, 0.1), strict=True):
        assert abs(shares[subset] - 6000 * share) < 5 * math.sqrt(6000 * share * (1 - share))
    told = {
        subset: {(record.person, record.before.company, record.now.company) for record in records(500, subset=subset)}
        for subset in SUBSETS
    }
    assert not told["train"] & told["test"]
    assert not told["train"] & told["validation"]


def test_a_subset_depends_on_the_key_alone():
    assert [subset_of("97"), subset_of("97")] == ["test", "test"]
    assert {subset_of(str(key)) for key in range(50)} == set(SUBSETS)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"^count must not be negative, got -1$"):
        records(-1)
    with pytest.raises(ValueError, match=r"^subset must be train, validation, test or None, got 'dev'$"):
        records(1, subset="dev")
    require_subset(None)
