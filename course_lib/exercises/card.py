"""The verdict card: what a learner reads after a check, as plain text of at most 79 columns."""

import re
import textwrap
from html import escape
from itertools import zip_longest

import torch
from torch import Tensor

from course_lib.exercises.exercise import Verdict
from course_lib.exercises.judging import Failure

__all__ = ["colour", "render", "to_html"]

WIDTH = 79
LARGEST = 8  # rows and columns of a tensor that are shown
PASSED, FAILED, OPEN = "✓", "✗", "○"
BOLD, GREEN, RED, PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


def render(verdict: Verdict) -> str:
    """Write the card of a verdict."""
    sign = PASSED if verdict.passed else OPEN if verdict.status in ("not written", "checker failed") else FAILED
    points = f"{verdict.points:g} of {verdict.max_points:g} points"
    lines = [f"{sign} {verdict.exercise} · {points}"]
    if verdict.reason:
        lines += ["", *_wrap(verdict.reason)]
    width = max((len(result.name) for result in verdict.groups), default=0)
    for result in verdict.groups:
        mark = FAILED if result.failure else PASSED if result.counted else OPEN
        lines.append(f"  {mark} {result.name:<{width}}  {result.points:g}/{result.max_points:g}")
    first = next((result.failure for result in verdict.groups if result.failure), None)
    if not all(result.counted for result in verdict.groups):
        lines.append(f"  ({OPEN} right, and counted once the first line is right)")
    if first is not None:
        lines += ["", *_failure(first)]
    if verdict.misconception is not None:
        lines += ["", *_wrap(f"It looks like: {verdict.misconception}."), *_wrap(verdict.hint)]
    return "\n".join(lines)


def colour(card: str) -> str:
    """Add terminal colours to a card: green for what passed, red for what did not, bold for the diagnosis."""
    lines = []
    for number, line in enumerate(card.split("\n")):
        mark = line.strip()[:1]
        tint = GREEN if mark == PASSED else RED if mark == FAILED else ""
        if number == 0 or line.startswith("It looks like:"):
            tint = BOLD + tint
        lines.append(f"{tint}{line}{PLAIN}" if tint else line)
    return "\n".join(lines)


def to_html(card: str) -> str:
    """Show a card as HTML that reads well on light and dark pages."""
    edge = "#1b7837" if card.startswith(PASSED) else "#b35806"
    head, _, rest = escape(card).partition("\n")
    return (
        f'<div role="status" style="border-left:6px solid {edge};padding:4px 12px;margin:2px 0">'
        f'<pre style="margin:0;line-height:1.35"><b>{head}</b>\n{rest}</pre></div>'
    )


def _failure(failure: Failure) -> list[str]:
    lines = _wrap(f"In {failure.shown}:") if failure.shown else []
    lines += _wrap(failure.sentence[:1].upper() + failure.sentence[1:] + ".")
    if failure.expected is None or failure.got is None or failure.expected.shape != failure.got.shape:
        return lines
    left, right = _picture(failure.expected, failure), _picture(failure.got, failure)
    if not left or not right:
        return lines
    left, right = ["expected", *left], ["yours", *right]
    column = max(map(len, left)) + 4
    if column + max(map(len, right)) > WIDTH - 2:
        side = [*left, "", *right]
    else:
        side = [f"{a:<{column}}{b}" for a, b in zip_longest(left, right, fillvalue="")]
    legend = ["  (■ True = may attend, · False; rows are queries)"] if failure.expected.dtype == torch.bool else []
    return [*lines, "", *(f"  {line}".rstrip() for line in side), *legend]


def _picture(tensor: Tensor, failure: Failure) -> list[str]:
    """Draw the matrix of a tensor that holds the first difference; nothing if it is too deep or on no device."""
    if tensor.is_meta or tensor.numel() == 0 or tensor.ndim > 6:
        return []
    lead = [int(i) for i in re.findall(r"\[(\d+)\]", failure.sentence)][: max(tensor.ndim - 2, 0)]
    while tensor.ndim > 2:
        tensor = tensor[lead.pop(0) if lead else 0]
    rows = torch.atleast_2d(tensor)
    more = rows.shape[1] > LARGEST
    lines = [" ".join(map(_cell, row[:LARGEST])) + (" …" if more else "") for row in rows[:LARGEST]]
    return [*lines, "…"] if rows.shape[0] > LARGEST else lines


def _cell(value: Tensor) -> str:
    if value.dtype == torch.bool:
        return "■" if value else "·"
    if value.dtype.is_floating_point:
        return f"{value.item():7.3g}"
    return f"{value.item():4d}"


def _wrap(text: str) -> list[str]:
    return [line for part in text.split("\n") for line in textwrap.wrap(part, WIDTH) or [""]]
