"""Mask explorer: click a token and see what it may attend to, and who may attend to it, under four masks.

The functions above `mask_explorer` compute plain values and HTML: they are tested without a browser.
"""

from collections.abc import Sequence
from html import escape

import ipywidgets as widgets
from jaxtyping import Bool
from torch import Tensor

from course_lib.playground.explorer import KINDS, STYLE, Cell, Explorer, build_mask, status, table, title

__all__ = ["KINDS", "build_mask", "describe", "mask_explorer", "render", "seen_by", "sees"]

ALLOWED = Cell("✓", "may", "may attend")
FORBIDDEN = Cell("·", "may-not", "may not attend")


def sees(mask: Bool[Tensor, "n n"], position: int) -> list[int]:
    """Give the positions that the token at `position` may attend to: its row of the (n, n) mask."""
    return mask[position].nonzero().flatten().tolist()


def seen_by(mask: Bool[Tensor, "n n"], position: int) -> list[int]:
    """Give the positions that may attend to the token at `position`: its column of the (n, n) mask."""
    return mask[:, position].nonzero().flatten().tolist()


def describe(tokens: Sequence[str], mask: Bool[Tensor, "n n"], position: int) -> str:
    """Say in plain words what one token may attend to, and who may attend to it."""
    n = len(tokens)
    looks, seen = sees(mask, position), seen_by(mask, position)
    return (
        f"'{tokens[position]}' (position {position}) may attend to {len(looks)} of {n} tokens: "
        f"{', '.join(tokens[j] for j in looks)}. "
        f"{len(seen)} of {n} may attend to it: {', '.join(tokens[i] for i in seen)}."
    )


def render(tokens: Sequence[str], kind: str, size: int, position: int) -> str:
    """Write the view as HTML: a sentence, the grid with the token's row marked, its row under every mask.

    size: length of the prefix or of the window, as in `build_mask`. All words are escaped.
    """
    mask = build_mask(kind, len(tokens), size)
    rows = [(f"{i} {token}", _cells(mask[i]), i == position) for i, token in enumerate(tokens)]
    compared = [(title(k, size), _cells(build_mask(k, len(tokens), size)[position]), k == kind) for k in KINDS]
    word = tokens[position]
    grid = table(f"{title(kind, size)} mask: a row looks, a column is looked at", tokens, rows, position)
    compare = table(f"What '{word}' may attend to under each mask", tokens, compared)
    legend = f"✓ may attend, · may not; solid lines: whom '{word}' sees, dashed lines: who sees '{word}'"
    sentence = status(describe(tokens, mask, position))
    return f'{STYLE}{sentence}<div class="both">{grid}{compare}</div><p>{escape(legend)}</p>'


def mask_explorer(sentence: str = "the bank by the river flooded") -> widgets.VBox:
    """Make the explorer: choose a mask, set its length, click a token.

    sentence: words separated by blanks, at most 12; the learner can type another.
    DOM classes: mask-explorer, mask-explorer-token (each token's button), mask-explorer-view (the output).
    Raises ValueError if the sentence has no word.
    """
    return Explorer("mask-explorer", sentence, render, "causal", "What may '{word}' attend to?").page


def _cells(row: Bool[Tensor, " n"]) -> list[Cell]:
    return [ALLOWED if allowed else FORBIDDEN for allowed in row.tolist()]
