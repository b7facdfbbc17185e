"""A verdict and its card: what a learner reads after a check, as plain text of at most 79 columns."""

import re
import textwrap
from dataclasses import dataclass
from html import escape
from itertools import zip_longest

import torch
from torch import Tensor

from course_lib.exercises.comparing import Failure

__all__ = ["GroupResult", "Verdict", "colour", "render", "to_html", "wrap"]

WIDTH = 79
AXES = {-4: "sequences", -3: "heads", -2: "queries"}  # of a mask, from its end
LARGEST = 8  # rows and columns of a tensor that are shown
FEWEST = 4  # columns, where two tensors stand side by side for it
MOST_INPUTS = 3  # drawn beside an answer; one of more is no longer traced by eye
PASSED, FAILED, OPEN = "✓", "✗", "○"
WRAPPED = "white-space:pre-wrap;word-break:normal;overflow-wrap:break-word"  # Jupyter's own breaks inside words
# White on a ground of its own: a page decides what a colour is written on, and no red reads well on every ground.
BOLD, GREEN, RED, PLAIN = "\x1b[1m", "\x1b[38;5;231;48;5;22m", "\x1b[38;5;231;48;5;124m", "\x1b[0m"


@dataclass(frozen=True)
class GroupResult:
    """One case group: its name, the points it gave of those it could, and its first failure.

    counted: False while the idea of the exercise fails: a mask with the wrong pattern earns nothing for its device.
    """

    name: str
    points: float
    max_points: float
    failure: Failure | None
    counted: bool = True


@dataclass(frozen=True)
class Verdict:
    """What a piece of work is worth, and why.

    status: passed, failed, not written, forbidden, no evidence, limit hit (it had to be stopped), or checker failed,
        which is nobody's zero.
    optional: its points count nowhere, and its card has none.
    misconception: name of the known mistake the work looks like, else None; hint: what the bank says to it.
    """

    exercise: str
    status: str
    points: float
    max_points: float
    groups: tuple[GroupResult, ...] = ()
    misconception: str | None = None
    hint: str = ""
    reason: str = ""
    optional: bool = False

    @property
    def passed(self) -> bool:
        """Whether the work earns all points."""
        return self.status == "passed"

    @property
    def message(self) -> str:
        """The verdict card as plain text."""
        return render(self)


def render(verdict: Verdict) -> str:
    """Write the card of a verdict."""
    sign = PASSED if verdict.passed else OPEN if verdict.status in ("not written", "checker failed") else FAILED
    points = "optional" if verdict.optional else f"{verdict.points:g} of {verdict.max_points:g} points"
    lines = [f"{sign} {verdict.exercise} · {points}"]
    if verdict.reason:
        lines += ["", *wrap(verdict.reason)]
    if verdict.misconception is not None:  # the cure comes first: what is below may need scrolling
        lines += [*wrap(f"It looks like: {verdict.misconception}."), *wrap(verdict.hint), ""]
    width = max((len(result.name) for result in verdict.groups), default=0)
    for result in verdict.groups:
        mark = FAILED if result.failure else PASSED if result.counted else OPEN
        worth = "" if verdict.optional else f"{result.points:g}/{result.max_points:g}"
        lines.append(f"  {mark} {result.name:<{width}}  {worth}".rstrip())
    first = next((result.failure for result in verdict.groups if result.failure), None)
    if any(not result.counted and result.failure is None for result in verdict.groups):
        counts = "" if verdict.optional else ", and counted once the lines above it are right"
        lines.append(f"  ({OPEN} right so far{counts})")
    if first is not None:
        lines += ["", *_failure(first)]
    return "\n".join(lines)


def colour(card: str) -> str:
    """Add terminal colours to a card: green behind the mark of what passed, red of what did not, bold the diagnosis."""
    lines = []
    for number, line in enumerate(card.split("\n")):
        bold = BOLD if number == 0 or line.startswith("It looks like:") else ""
        mark = line.strip()[:1]
        tint = GREEN if mark == PASSED else RED if mark == FAILED else ""
        if tint:
            line = line.replace(mark, f"{tint}{mark}{PLAIN}{bold}", 1)
        lines.append(f"{bold}{line}{PLAIN}" if bold else line)
    return "\n".join(lines)


def to_html(card: str) -> str:
    """Show a card as HTML that reads well on light and dark pages, and breaks lines between words alone."""
    edge = "#1b7837" if card.startswith(PASSED) else "#b35806"
    head, _, rest = escape(card).partition("\n")
    return (
        f'<div role="status" style="border-left:6px solid {edge};padding:4px 12px;margin:2px 0">'
        f'<pre style="margin:0;line-height:1.35;{WRAPPED}"><b>{head}</b>\n{rest}</pre></div>'
    )


def _failure(failure: Failure) -> list[str]:
    first, _, rest = _capitalised(failure.sentence).rstrip().partition("\n")
    lines = [
        *(wrap(f"In {failure.shown}:") if failure.shown else []),
        *wrap(first if first.endswith((".", "!", "?")) else first + "."),
        *(wrap(rest) if rest else []),
    ]
    expected, got = failure.expected, failure.got
    if expected is None or got is None:
        return [*lines, *_tables(failure.inputs)]
    if expected.shape != got.shape:
        return lines
    if not (_is_drawable(expected) and _is_drawable(got)):
        return lines
    first_difference = [int(i) for i in re.findall(r"\[(\d+)\]", failure.sentence)]
    index, rows = _choose_matrix(expected, first_difference)
    last = min([1 + (first_difference or [0])[-1], *expected.shape[-1:]])  # of the columns that must be in view
    before = max(0, last - LARGEST)
    fewest = max(FEWEST, last - before)
    inputs = [(name, value.expand(expected.shape)[index]) for name, value in failure.inputs if _is_drawable(value)]
    outputs = [("expected", expected[index]), ("yours", got[index])]
    drawn = [value for _, value in [*inputs, *outputs] if value.dtype == torch.bool]
    means = f"True = may attend, · False; rows are {rows}" if expected.ndim == len(AXES) + 1 else "True, · False"
    legend = [f"  (■ {means})"] if drawn else []  # only what has a mask's four axes is read as one
    if 0 < len(inputs) <= MOST_INPUTS:
        return [*lines, "", *_beside(inputs, fewest, before), "", *_beside(outputs, fewest, before), *legend]
    return [*lines, "", *_beside(outputs, fewest, before), *legend]


def _tables(inputs: tuple[tuple[str, Tensor], ...]) -> list[str]:
    """Draw the inputs of an answer that is no picture, if they are small enough to be drawn whole."""
    if not 0 < len(inputs) <= MOST_INPUTS or not all(map(_is_small, (value for _, value in inputs))):
        return []
    legend = ["  (■ True, · False)"] if any(value.dtype == torch.bool for _, value in inputs) else []
    return ["", *_beside(list(inputs), max(value.shape[-1] for _, value in inputs)), *legend]


def _is_small(tensor: Tensor) -> bool:
    return _is_drawable(tensor) and tensor.ndim == 2 and max(tensor.shape) <= LARGEST


def _capitalised(sentence: str) -> str:
    """Begin a sentence with a capital, unless its first word is the name of a tensor: q stays q."""
    word = sentence.split(" ", 1)[0]
    return sentence if len(word) == 1 and word != "a" else sentence[:1].upper() + sentence[1:]


def _beside(pictures: list[tuple[str, Tensor]], fewest: int, before: int = 0) -> list[str]:
    """Draw matrices beside one another under their names, if need be with fewer columns; below one another where
    even the `fewest` are too wide. before: how many columns are left out in front of them."""
    for columns in range(LARGEST, fewest - 1, -1):
        blocks = [[name, *_picture(value, columns, before)] for name, value in pictures]
        widths = [max(map(len, block)) + 4 for block in blocks]
        if sum(widths) - 4 <= WIDTH - 2:
            break
    else:
        blocks = [[name, *_picture(value, LARGEST, before)] for name, value in pictures]
        return [f"  {line}".rstrip() for block in blocks for line in [*block, ""]][:-1]
    rows = (zip(row, widths, strict=True) for row in zip_longest(*blocks, fillvalue=""))
    return ["  " + "".join(f"{text:<{width}}" for text, width in row).rstrip() for row in rows]


def _is_drawable(tensor: Tensor) -> bool:
    return not tensor.is_meta and tensor.numel() > 0 and tensor.ndim <= 6


def _choose_matrix(tensor: Tensor, first: list[int]) -> tuple[tuple[int | slice, ...], str]:
    """Choose the two axes to draw, and where on the others: the first difference. Say what the rows are.

    The columns are the last axis, the rows the last one before it that has more than one entry.
    """
    wide = [axis for axis in range(tensor.ndim - 1) if tensor.shape[axis] > 1]
    drawn = {tensor.ndim - 1, *(wide[-1:] or [tensor.ndim - 2])}
    place = [*first, *[0] * tensor.ndim]
    index = tuple(slice(None) if axis in drawn else place[axis] for axis in range(tensor.ndim))
    rows = min(drawn) - tensor.ndim
    fixed = "".join(f", {AXES.get(axis - tensor.ndim, 'entries')[:-1]} {place[axis]}" for axis in wide[:-1])
    return index, AXES.get(rows, "entries") + fixed


def _picture(tensor: Tensor, columns: int, before: int) -> list[str]:
    rows = torch.atleast_2d(tensor)[:, before:]
    cells = [list(map(_cell, row[:columns])) for row in rows[:LARGEST]]
    width = max(len(cell) for row in cells for cell in row)
    fitting = min(columns, (WIDTH - 4 - 2 * (before > 0)) // (width + 1))
    shown = slice(-fitting, None) if before else slice(fitting)  # with columns left out, the last is the one to see
    less, more = "… " if before else "", " …" if rows.shape[1] > (columns if before else fitting) else ""
    lines = [less + " ".join(f"{cell:>{width}}" for cell in row[shown]) + more for row in cells]
    return [*lines, "…"] if rows.shape[0] > LARGEST else lines


def _cell(value: Tensor) -> str:
    if value.dtype == torch.bool:
        return "■" if value else "·"
    long = value.dtype.is_floating_point or abs(value.item()) >= 10**6
    return f"{value.item():.3g}" if long else str(value.item())


def wrap(text: str) -> list[str]:
    """Wrap a text, which may come from a learner's code: nothing in it may steer a terminal."""
    text = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    return [line for part in text.split("\n") for line in textwrap.wrap(part, WIDTH) or [""]]
