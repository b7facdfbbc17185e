"""The eighth view of the records: documents to search, and queries that ask for one of them in other words."""

from typing import NamedTuple

import torch

from course_lib.worlds.names import ROLES, SECTORS
from course_lib.worlds.records import Record, records
from course_lib.worlds.texts import document

__all__ = ["Corpus", "corpus", "is_relevant", "query"]

_MOST = 1000  # of 3,840 combinations of what queries ask for


class Corpus(NamedTuple):
    """Documents, queries, and for each query the places of the documents that answer it: exactly one.

    Source: our own.

    >>> made = corpus(3)
    >>> len(made.documents), len(made.queries), made.relevant
    (3, 3, [{0}, {1}, {2}])
    """

    records: list[Record]
    documents: list[list[str]]
    queries: list[list[str]]
    relevant: list[set[int]]


def corpus(count: int, generator: torch.Generator | None = None, subset: str | None = None) -> Corpus:
    """Draw as many documents as are asked for, each with a query that it alone answers.

    Other documents share the query's city or year, also as those of a former employer. subset: as in `records`.
    Raises ValueError if count is not between 1 and 1,000, and as `records` does. Source: our own.

    >>> made = corpus(20, torch.Generator().manual_seed(0))
    >>> all(is_relevant(made.records[place], made.records[place]) for place in range(20))
    True
    """
    if not 1 <= count <= _MOST:
        raise ValueError(f"count must be between 1 and {_MOST}, got {count}")
    found: dict[tuple[str, ...], Record] = {}
    while len(found) < count:
        for record in records(count, generator, subset):
            if len(found) < count:
                found.setdefault(_asked(record), record)
    kept = list(found.values())
    relevant = [{place for place, other in enumerate(kept) if is_relevant(other, record)} for record in kept]
    return Corpus(kept, [document(record).tokens for record in kept], [query(record) for record in kept], relevant)


def query(record: Record) -> list[str]:
    """Ask for a record by role and sector, in words that no document uses, and by city and year.

    Source: our own.

    >>> asked = query(records(1)[0])
    >>> asked[0], asked[-1]
    ('Find', '.')
    """
    role, sector, city, year = _asked(record)
    return f"Find {ROLES[role].query} , new to {city} during {year} , busy with {SECTORS[sector]} .".split()


def is_relevant(candidate: Record, asked: Record) -> bool:
    """Say whether a record answers the query for another: role, sector, city and year are the same.

    Source: our own.

    >>> one, other = corpus(2).records
    >>> is_relevant(one, other)
    False
    """
    return _asked(candidate) == _asked(asked)


def _asked(record: Record) -> tuple[str, ...]:
    """The facts that a query names."""
    return record.role, record.now.sector, record.now.city, str(record.day.year)
