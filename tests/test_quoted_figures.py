"""No figure stands in the prose about results unless the shipped results of every seed bear it out."""

import json
import re

import nbformat
import pytest

from course_lib import labbook
from course_lib.layout import Course
from tests.quoted_figures import FACTS, figures
from tools.reference_results import ROOT, SEEDED, SEEDS

SHIPPED = json.loads(labbook.REFERENCE.read_text(encoding="utf-8"))
BY_SEED = [{key: values[seed] for key, values in SHIPPED.items()} for seed in range(SEEDS)]
ROWS = [(*rows[0][:2], [value for *_, value in rows]) for rows in zip(*map(figures, BY_SEED), strict=True)]
CELLS = {
    f"{lesson.number}/{cell.id}": cell
    for lesson in Course(ROOT).lessons()
    for cell in nbformat.read(lesson.file(Course(ROOT).solutions), as_version=4).cells
}
PROSE = [name for name, cell in CELLS.items() if cell.cell_type == "markdown" and not name.endswith("-statement")]
READ_RESULTS = ("-reading", "-answers", "-rubric", "-static-text", "/recap")  # cells that speak of what cells gave
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
IN_WORDS = r"(?:two|three|nine) (?:in|of) (?:three|four|five|ten)\b|\b\w+ times as\b|\bper cent\b|\b(?:a|two) thirds?\b"
ELSEWHERE = r"\d[\d,.]* %|\d\.\d+|\d of 100?\b"  # what is certain to be a figure, in any other cell
NO_FIGURE = re.compile(
    r"`[^`]*`|\b(?:19|20)\d\d\b|[Ss]ections? \d+(?:\.\d)*(?: and \d)?|[Ll]essons? \d\d"
    r"|(?:layer|Prefix|prefix|GPT|LLaMA)[ -]\d|\*\d [a-z]+\*|^#.*$|^\*\*\d\.\*\*",
    re.MULTILINE,
)


def holds(phrase, values):
    """Whether the phrase is true of all values: "3 to 9" names their ends, "3" what all round to."""
    if any(isinstance(value, bool) for value in values):
        return all(value is True for value in values)
    numbers = [number.replace(",", "") for number in NUMBER.findall(phrase)]
    ends = (min(values), max(values)) if " to " in phrase else values
    wanted = numbers if " to " in phrase else [numbers[0]] * len(values)
    return all(f"{end:.{len(text.partition('.')[2])}f}" == text for end, text in zip(ends, wanted, strict=True))


@pytest.mark.parametrize(("cell", "phrase", "values"), ROWS, ids=lambda given: given if isinstance(given, str) else "")
def test_what_is_said_of_results_is_true_of_every_seed(cell, phrase, values):
    assert phrase in CELLS[cell].source
    assert holds(phrase, values), f"{cell} says {phrase!r}, the seeds gave {values}"


@pytest.mark.parametrize("name", PROSE)
def test_no_figure_stands_in_the_prose_unheld(name):
    left = CELLS[name].source
    for phrase in [*(row[1] for row in ROWS if row[0] == name), *FACTS.get(name, ())]:
        assert phrase in left, f"{name} no longer says {phrase!r}"
        left = left.replace(phrase, " ")
    figure = f"{NUMBER.pattern}|{IN_WORDS}" if name.endswith(READ_RESULTS) else ELSEWHERE
    found = re.findall(figure, NO_FIGURE.sub(" ", left))
    assert not found, f"{name} quotes {found}: let the cell print it, or add a row to tests/quoted_figures.py"


@pytest.mark.parametrize(
    ("phrase", "values", "true"),
    [
        ("3 to 9 %", [3.4, 9.2, 5], True),
        ("3 to 9 %", [3.4, 8.2, 5], False),
        ("2 to 9 %", [3.4, 9.2, 5], False),
        ("1.54 nats", [1.541, 1.538], True),
        ("1.54 nats", [1.541, 1.55], False),
        ("the first is better", [True, False], False),
    ],
)
def test_a_figure_that_a_seed_contradicts_is_found(phrase, values, true):
    assert holds(phrase, values) is true


def test_a_seed_moves_every_random_number_of_a_notebook():
    for name, cell in CELLS.items():
        if cell.cell_type == "code":
            assert len(SEEDED.findall(cell.source)) == cell.source.count("manual_seed("), name
