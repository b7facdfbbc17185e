"""Figures of the course; each function returns a Figure and leaves nothing open behind it.

Colours are from the palette of Okabe and Ito (2008), which stays apart for colour-blind readers; no figure
relies on colour alone.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

__all__ = ["plot_masks", "plot_pair_counts", "plot_weights"]

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALE, INK = "#F2F2F2", "#222222"
SERIES = ((BLUE, "o", "-"), (VERMILION, "s", "--"), (GREEN, "^", "-."), (ORANGE, "D", ":"))
FONT = 11


def plot_masks(masks: Mapping[str, Tensor], tokens: Sequence[str]) -> Figure:
    """Draw masks as grids: a row for each query, a column for each key, filled where it may attend.

    masks: title -> boolean mask, True = may attend, broadcastable to (1, 1, n, n).
    tokens: the n tokens along both axes.
    Raises ValueError if there is no mask, or if one has more than one batch element or head.
    """
    if not masks:
        raise ValueError("plot_masks needs at least one mask, got none")
    n = len(tokens)
    fig, axes = _panels(len(masks), side=1.4 + 0.38 * n)
    for ax, (title, mask) in zip(axes, masks.items(), strict=True):
        grid = _as_grid(mask, n)
        ax.imshow(grid.numpy(), cmap=ListedColormap([PALE, BLUE]), vmin=0, vmax=1)
        for i in range(n):
            for j in range(n):
                _write(ax, i, j, "✓" if grid[i, j] else "·", "white" if grid[i, j] else INK)
        _label(ax, tokens, title)
    allowed = Patch(facecolor=BLUE, label="✓ may attend")
    forbidden = Patch(facecolor=PALE, edgecolor=INK, label="· may not")
    fig.legend(handles=[allowed, forbidden], loc="lower center", ncols=2, frameon=False, fontsize=FONT)
    return _finish(fig, bottom=0.45)


def plot_weights(weights: Mapping[str, Tensor], tokens: Sequence[str]) -> Figure:
    """Draw attention weights side by side as heat maps with the number in each cell; every row adds up to 1.

    weights: title -> probabilities, broadcastable to (1, 1, n, n).
    tokens: the n tokens along both axes.
    Raises ValueError if there is nothing to draw, or if weights have more than one batch element or head.
    """
    if not weights:
        raise ValueError("plot_weights needs at least one grid of weights, got none")
    n = len(tokens)
    fig, axes = _panels(len(weights), side=1.5 + 0.5 * n)
    shades = LinearSegmentedColormap.from_list("weights", ["white", BLUE])
    for ax, (title, weight) in zip(axes, weights.items(), strict=True):
        grid = _as_grid(weight.detach(), n)
        ax.imshow(grid.numpy(), cmap=shades, vmin=0, vmax=1)
        for i in range(n):
            for j in range(n):
                number = f"{grid[i, j]:.2f}" if grid[i, j] else "0"
                _write(ax, i, j, number, "white" if grid[i, j] > 0.55 else INK)
        _label(ax, tokens, title)
    return _finish(fig)


def plot_pair_counts(counts: Mapping[str, Mapping[int, int]]) -> Figure:
    """Draw how many pairs each mask allows as the sequence grows, one labelled line for each mask.

    counts: name of the mask -> {length: allowed pairs}.
    Raises ValueError with more masks than there are line styles to tell them apart.
    """
    if len(counts) > len(SERIES):
        raise ValueError(f"plot_pair_counts draws at most {len(SERIES)} masks, got {len(counts)}")
    fig, ax = plt.subplots(figsize=(7, 4.2))
    for (name, line), (colour, marker, dashes) in zip(counts.items(), SERIES, strict=False):
        lengths, pairs = list(line), list(line.values())
        ax.plot(lengths, pairs, color=colour, marker=marker, linestyle=dashes, linewidth=2)
        ax.text(lengths[-1] * 1.03, pairs[-1], name, color=INK, fontsize=FONT, va="center")
    ax.set_xlabel("tokens in the sequence", fontsize=FONT)
    ax.set_ylabel("allowed pairs", fontsize=FONT)
    ax.tick_params(labelsize=FONT - 1)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylim(bottom=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=PALE)
    return _finish(fig)


def _panels(count: int, side: float) -> tuple[Figure, list[Axes]]:
    """Make `count` square panels, `side` inches each: up to three in a row, four as two by two."""
    columns = 2 if count == 4 else min(count, 3)
    rows = -(-count // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(side * columns + 0.4, side * rows + 0.6), squeeze=False)
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("query: who looks", fontsize=FONT)
    return fig, list(axes.flat[:count])


def _as_grid(values: Tensor, n: int) -> Tensor:
    """Drop leading axes of size 1 and spread the rest over (n, n)."""
    if any(size != 1 for size in values.shape[:-2]):
        raise ValueError(f"one figure shows one batch element and head, got shape {tuple(values.shape)}")
    return torch.broadcast_to(values.reshape(values.shape[-2:]), (n, n)).cpu()


def _write(ax: Axes, row: int, column: int, text: str, colour: str) -> None:
    ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=FONT)


def _label(ax: Axes, tokens: Sequence[str], title: str) -> None:
    """Put position and token on both axes, and lines between the cells."""
    n = len(tokens)
    names = [f"{position} {token}" for position, token in enumerate(tokens)]
    ax.set_title(title, fontsize=FONT + 1)
    ax.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=FONT)
    ax.set_yticks(range(n), names, fontsize=FONT)
    ax.set_xlabel("key: who is looked at", fontsize=FONT)
    ax.set_xticks([k - 0.5 for k in range(n + 1)], minor=True)
    ax.set_yticks([k - 0.5 for k in range(n + 1)], minor=True)
    ax.grid(which="minor", color="white", linewidth=2)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)


def _finish(fig: Figure, bottom: float = 0.0) -> Figure:
    """Lay the figure out with `bottom` inches kept free below, and close it for pyplot."""
    fig.tight_layout(rect=(0, bottom / fig.get_figheight(), 1, 1))
    plt.close(fig)
    return fig
