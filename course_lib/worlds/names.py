"""The words that records are made of: names from Faker, drawn once, and the few nouns in English and German.

The pools are small on purpose: a word-level model meets every name in training, in some other company.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from faker import Faker

__all__ = ["PRODUCTS", "ROLES", "SECTORS", "YEARS", "Names", "Product", "Role", "names"]

YEARS = range(2015, 2025)
_FAKER_SEED = 1  # the pools are the same for everyone; what is drawn from them depends on the caller's generator
_NAME = "[A-ZÄÖÜ][a-zäöüß]+"
_COMPANY = f"{_NAME} (LLC|Inc|Ltd|PLC|GmbH|AG|KG)"  # in German, all of these are feminine


class Role(NamedTuple):
    """A profession: English with its article, German for a woman and for a man, and what a query says instead.

    Source: our own.

    >>> ROLES["engineer"].german_woman
    'Ingenieurin'
    """

    english: str
    german_woman: str
    german_man: str
    query: str


class Product(NamedTuple):
    """What a company makes, in English and German, and the sector that makes it.

    Source: our own.

    >>> PRODUCTS["bread"].sector
    'food'
    """

    english: str
    german: str
    sector: str


ROLES = {
    "engineer": Role("an engineer", "Ingenieurin", "Ingenieur", "a technician"),
    "lawyer": Role("a lawyer", "Anwältin", "Anwalt", "a legal adviser"),
    "accountant": Role("an accountant", "Buchhalterin", "Buchhalter", "a bookkeeper"),
    "driver": Role("a driver", "Fahrerin", "Fahrer", "a chauffeur"),
    "designer": Role("a designer", "Designerin", "Designer", "a stylist"),
    "manager": Role("a manager", "Managerin", "Manager", "a boss"),
}

# Each sector, and what a query says instead.
SECTORS = {"food": "groceries", "energy": "power", "health": "care", "software": "code"}

PRODUCTS = {
    product.english: product
    for product in (
        Product("bread", "Brot", "food"),
        Product("cheese", "Käse", "food"),
        Product("juice", "Saft", "food"),
        Product("batteries", "Batterien", "energy"),
        Product("turbines", "Turbinen", "energy"),
        Product("heaters", "Heizungen", "energy"),
        Product("bandages", "Verbände", "health"),
        Product("vitamins", "Vitamine", "health"),
        Product("medicine", "Medikamente", "health"),
        Product("games", "Spiele", "software"),
        Product("apps", "Apps", "software"),
        Product("databases", "Datenbanken", "software"),
    )
}


class Names(NamedTuple):
    """The pools of names, half of them from the United States and half from Germany.

    Half of the companies bear a surname of the pool, so that a word alone does not tell a person from a company.

    Source: Faker.

    >>> names().women[0] in names().men
    False
    """

    women: tuple[str, ...]
    men: tuple[str, ...]
    surnames: tuple[str, ...]
    companies: tuple[str, ...]
    cities: tuple[str, ...]


@cache
def names() -> Names:
    """Give the pools: 12 first names of women, 12 of men, 24 surnames, 24 companies and 16 cities.

    Source: Faker.

    >>> [len(pool) for pool in names()]
    [12, 12, 24, 24, 16]
    """
    fakers = Faker("en_US"), Faker("de_DE")
    for faker in fakers:
        faker.seed_instance(_FAKER_SEED)
    taken: set[str] = set()

    def pool(size: int, draw: Callable[[Faker], str], form: str = _NAME) -> tuple[str, ...]:
        """Draw different names of the given form, by turns from each country."""
        found: list[str] = []
        while len(found) < size:
            name = draw(fakers[len(found) % 2])
            if re.fullmatch(form, name) and name not in taken:
                taken.add(name)
                found.append(name)
        return tuple(found)

    women = pool(12, lambda faker: faker.first_name_female())
    men = pool(12, lambda faker: faker.first_name_male())
    surnames = pool(24, lambda faker: faker.last_name())
    founders = iter(surnames * 100)  # not every form of company that is drawn is one that we take
    companies = pool(12, lambda faker: faker.company(), _COMPANY)
    companies += pool(12, lambda faker: f"{next(founders)} {faker.company_suffix()}", _COMPANY)
    return Names(women, men, surnames, companies, cities=pool(16, lambda faker: faker.city()))
