"""Records: who changed to which company, where, when and as what. All views of `views` are made from these facts.

Each record is a world of its own: the same name in another record is another company. So no name tells the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import torch

from course_lib.worlds.names import PRODUCTS, ROLES, SECTORS, YEARS, names
from course_lib.worlds.subsets import require_subset, subset_of

__all__ = ["STYLES", "Employer", "Record", "records"]

T = TypeVar("T")

STYLES = 4  # ways to tell a record
_STAFF = range(40, 410, 10)  # above the days of a month, so that a number's meaning is not in doubt


@dataclass(frozen=True)
class Employer:
    """A company as one record has it; staff is the number of its employees.

    Source: our own.

    >>> Employer("Kraus GmbH", "Gotha", "bread", 120).sector
    'food'
    """

    company: str
    city: str
    product: str
    staff: int

    @property
    def sector(self) -> str:
        """The sector of its product, one of SECTORS."""
        return PRODUCTS[self.product].sector


@dataclass(frozen=True)
class Record:
    """The facts: a person left an employer, `before`, for another, `now`, on a day, to work there in a role.

    style: how the record is told, from 0 to STYLES - 1. It is part of the record, so that a view is a function of it.
    Source: our own.

    >>> record = records(1, torch.Generator().manual_seed(0))[0]
    >>> record.now.company != record.before.company, record.now.sector != record.before.sector
    (True, True)
    """

    first_name: str
    surname: str
    is_woman: bool
    role: str
    now: Employer
    before: Employer
    day: date
    style: int

    @property
    def person(self) -> str:
        """The full name."""
        return f"{self.first_name} {self.surname}"

    @property
    def subset(self) -> str:
        """Where the record belongs, by the person and both companies: one of `subsets.SUBSETS`."""
        return subset_of(f"{self.person}, {self.before.company}, {self.now.company}")


def records(count: int, generator: torch.Generator | None = None, subset: str | None = None) -> list[Record]:
    """Draw records; sectors, roles, names, days and styles are each equally likely.

    The two employers of a record differ in company, city, sector and staff. subset: "train", "validation" or "test", to
    draw only records that belong there. Raises ValueError if count is negative, or for another subset.
    Source: our own; the names are Faker's.

    >>> {record.subset for record in records(5, subset="test")}
    {'test'}
    """
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    require_subset(subset)
    found: list[Record] = []
    while len(found) < count:
        # One row of 18 even numbers from 0 to 1 for each record, of which each fact takes one.
        for row in torch.rand(count, 18, generator=generator, dtype=torch.float64).tolist():
            record = _record(row)
            if subset in (None, record.subset):
                found.append(record)
    return found[:count]


def _record(draws: list[float]) -> Record:
    """Make the record that the draws stand for."""
    pools, rest = names(), iter(draws)

    def one(pool: Sequence[T]) -> T:
        return pool[int(next(rest) * len(pool))]

    def two(pool: Sequence[T]) -> tuple[T, T]:
        """Draw two that differ: the second from what is left."""
        first = int(next(rest) * len(pool))
        second = int(next(rest) * (len(pool) - 1))
        return pool[first], pool[second + (second >= first)]

    companies, cities, sectors, staffs = (two(pool) for pool in (pools.companies, pools.cities, [*SECTORS], _STAFF))
    products = [one([name for name, product in PRODUCTS.items() if product.sector == sector]) for sector in sectors]
    now, before = (Employer(*facts) for facts in zip(companies, cities, products, staffs, strict=True))
    is_woman = one((True, False))
    return Record(
        first_name=one(pools.women if is_woman else pools.men),
        surname=one(pools.surnames),
        is_woman=is_woman,
        role=one([*ROLES]),
        now=now,
        before=before,
        day=date(one(YEARS), one(range(1, 13)), one(range(1, 29))),
        style=one(range(STYLES)),
    )
