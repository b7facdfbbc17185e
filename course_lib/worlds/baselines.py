"""What can be reached without understanding: a model is worth its cost only above these."""

from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import fmean

from course_lib.worlds.names import PRODUCTS
from course_lib.worlds.views import SECTOR_NAMES

__all__ = ["first_number", "first_sector", "majority_share", "mean_error", "overlap_ranking"]


def majority_share(labels: Sequence[Hashable]) -> float:
    """Give the accuracy of always answering the most frequent label.

    Raises ValueError without labels. Source: our own.

    >>> majority_share(["a", "b", "a", "c"])
    0.5
    """
    if not labels:
        raise ValueError("labels must hold at least one, got none")
    return Counter(labels).most_common(1)[0][1] / len(labels)


def first_sector(tokens: Sequence[str], default: int = 0) -> int:
    """Classify by keyword: the sector of the first product named, as its place in `views.SECTOR_NAMES`.

    Source: our own.

    >>> SECTOR_NAMES[first_sector(["makes", "bread", ",", "not", "apps"])]
    'food'
    """
    sectors = [SECTOR_NAMES.index(PRODUCTS[token].sector) for token in tokens if token in PRODUCTS]
    return sectors[0] if sectors else default


def first_number(tokens: Sequence[str], default: float = 0.0) -> float:
    """Regress by rule: the first number that is neither a day nor a year.

    Source: our own.

    >>> first_number("on March 7 , 2021 , its 120 employees".split())
    120.0
    """
    numbers = [float(token) for token in tokens if token.isdecimal() and 31 < int(token) < 1000]
    return numbers[0] if numbers else default


def mean_error(targets: Sequence[float]) -> float:
    """Give the mean absolute error of always answering the mean.

    Raises ValueError without targets. Source: our own.

    >>> mean_error([10.0, 20.0, 30.0, 40.0])
    10.0
    """
    if not targets:
        raise ValueError("targets must hold at least one, got none")
    mean = fmean(targets)
    return fmean(abs(target - mean) for target in targets)


def overlap_ranking(query: Sequence[str], documents: Sequence[Sequence[str]]) -> list[int]:
    """Search by keyword: the places of the documents, those that share most different words with the query first.

    Source: our own.

    >>> overlap_ranking(["in", "Gotha"], [["in", "Rehau"], ["in", "Gotha"]])
    [1, 0]
    """
    words = set(query)
    return sorted(range(len(documents)), key=lambda place: -len(words & set(documents[place])))
