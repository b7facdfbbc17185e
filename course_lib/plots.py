"""Figures of the course; each function returns a Figure and leaves nothing open behind it."""

from collections.abc import Mapping, Sequence, Sized
from statistics import fmean

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator
from torch import Tensor

from course_lib.config import require_size
from course_lib.pictures import BLUE, FONT, GREEN, GREY, INK, ORANGE, PALE, SHADES, VERMILION, subplots
from course_lib.training import History

__all__ = [
    "plot_alignment",
    "plot_fills",
    "plot_history",
    "plot_lines",
    "plot_masks",
    "plot_pair_counts",
    "plot_panels",
    "plot_weights",
]

Lines = Mapping[str, Mapping[float, float]]  # name -> {x: y}

SERIES = ((BLUE, "o", "-"), (VERMILION, "s", "--"), (GREEN, "^", "-."), (ORANGE, "D", ":"))


def plot_masks(
    masks: Mapping[str, Tensor],
    tokens: Sequence[str],
    says: tuple[str, str] = ("may attend", "may not"),
    axes: tuple[str, str] = ("query: who looks", "key: who is looked at"),
) -> Figure:
    """Draw masks as grids: a row for each query, a column for each key, filled where it may attend.

    masks: title -> boolean mask, True = may attend, broadcastable to (1, 1, n, n).
    tokens: the n tokens along both axes. says: what True and False mean, for the legend. axes: what rows and columns
    are, where they are no queries and keys.
    Raises ValueError if there is no mask, or if one has more than one batch element or head.
    """
    if not masks:
        raise ValueError("plot_masks needs at least one mask, got none")
    n = len(tokens)
    grids = [_as_grid(mask, n, n) for mask in masks.values()]
    fig, panels = _panels(len(masks), side=1.4 + 0.38 * n)
    for ax, title, grid in zip(panels, masks, grids, strict=True):
        ax.imshow(grid.numpy(), cmap=ListedColormap([PALE, BLUE]), vmin=0, vmax=1)
        for i in range(n):
            for j in range(n):
                _write(ax, i, j, "✓" if grid[i, j] else "·", "white" if grid[i, j] else INK)
        _label(ax, tokens, tokens, title)
        ax.set_xlabel(axes[1], fontsize=FONT)
        if ax.get_ylabel():  # the first of a row
            ax.set_ylabel(axes[0], fontsize=FONT)
    allowed = Patch(facecolor=BLUE, label=f"✓ {says[0]}")
    forbidden = Patch(facecolor=PALE, edgecolor=INK, label=f"· {says[1]}")
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
    grids = [_as_grid(weight.detach(), n, n) for weight in weights.values()]
    fig, axes = _panels(len(weights), side=1.5 + 0.5 * n)
    for ax, title, grid in zip(axes, weights, grids, strict=True):
        _shade(ax, grid)
        _label(ax, tokens, tokens, title)
    return _finish(fig)


def plot_alignment(
    weights: Tensor, source: Sequence[str], target: Sequence[str], gold: Tensor | None = None, title: str = ""
) -> Figure:
    """Draw whom each target token looks at in the source: a heat map with numbers, the true pairs framed.

    weights: probabilities, broadcastable to (1, 1, target, source). gold: boolean, broadcastable likewise, True = the
    two tokens belong together.
    Raises ValueError if there is no token on one side, or if there is more than one batch element or head.
    """
    if not source or not target:
        raise ValueError(f"plot_alignment needs tokens on both sides, got {len(source)} and {len(target)}")
    shape = (len(target), len(source))
    grid = _as_grid(weights.detach(), *shape)
    pairs = [] if gold is None else _as_grid(gold, *shape).nonzero().tolist()
    fig, ax = subplots(figsize=(1.8 + 0.55 * shape[1], 1.9 + 0.45 * shape[0]))
    _shade(ax, grid)
    _label(ax, source, target, title)
    ax.set_xlabel("source: what is looked at", fontsize=FONT)
    ax.set_ylabel("target: who looks", fontsize=FONT)
    frame = {"fill": False, "edgecolor": VERMILION, "linewidth": 2.5}
    for i, j in pairs:
        ax.add_patch(Rectangle((j - 0.45, i - 0.45), 0.9, 0.9, **frame))
    if gold is None:
        return _finish(fig)
    truth = Patch(**frame, label="framed: belong together")
    fig.legend(handles=[truth], loc="lower center", frameon=False, fontsize=FONT)
    return _finish(fig, bottom=0.4)


def plot_fills(fills: Mapping[str, Mapping[str, float]], hidden: str | None = None) -> Figure:
    """Draw what each model puts in one place: bars of its words with their numbers, the likeliest on top.

    fills: name of the model -> {word: probability}. hidden: the word that stood there, marked with a triangle.
    Raises ValueError if there is no model, or a model without a word.
    """
    if not fills:
        raise ValueError("plot_fills needs at least one model, got none")
    for name, shares in fills.items():
        if not shares:
            raise ValueError(f"every model needs at least one word, got none for {name!r}")
    most = max(map(len, fills.values()))
    longest = max(max(shares.values()) for shares in fills.values()) or 1
    size = (3.4 * len(fills), 1.4 + 0.34 * most)
    fig, axes = subplots(1, len(fills), figsize=size, squeeze=False, sharex=True)
    for ax, (name, shares) in zip(axes[0], fills.items(), strict=True):
        words, numbers = zip(*sorted(shares.items(), key=lambda pair: -pair[1]), strict=True)
        ax.barh(range(len(words)), numbers, color=[ORANGE if word == hidden else BLUE for word in words], height=0.7)
        for place, number in enumerate(numbers):
            said = f"{number:.2f}" if number else "0"
            ax.text(number + 0.02 * longest, place, said, va="center", color=INK, fontsize=FONT)
        ax.set_yticks(range(len(words)), [f"▶ {word}" if word == hidden else word for word in words], fontsize=FONT)
        ax.set_ylim(most - 0.4, -0.6)
        ax.set_xlim(0, 1.25 * longest)  # room for the number behind the longest bar
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.tick_params(axis="x", labelsize=FONT)
        ax.set_xlabel("probability", fontsize=FONT)
        ax.set_ylabel("word", fontsize=FONT)
        ax.set_title(name, fontsize=FONT + 1)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right"]].set_visible(False)
    if hidden is None:
        return _finish(fig)
    marked = Patch(facecolor=ORANGE, label="▶ the hidden word")
    fig.legend(handles=[marked], loc="lower center", frameon=False, fontsize=FONT)
    return _finish(fig, bottom=0.35)


def plot_pair_counts(counts: Mapping[str, Mapping[int, int]]) -> Figure:
    """Draw how many pairs each mask allows as the sequence grows, one labelled line for each mask.

    counts: name of the mask -> {length: allowed pairs}. Errors as in `plot_panels`.
    """
    return plot_lines(counts, "tokens in the sequence", "allowed pairs")


def plot_lines(lines: Lines, xlabel: str, ylabel: str, log: bool = False) -> Figure:
    """Draw lines with their names at their ends.

    lines: name -> {x: y}. log: both axes logarithmic. Errors as in `plot_panels`.
    """
    return plot_panels({ylabel: lines}, xlabel, log)


def plot_panels(
    panels: Mapping[str, Lines], xlabel: str, log: bool = False, guides: Mapping[str, float] | None = None
) -> Figure:
    """Draw charts of lines side by side, such as time and memory against length; a name looks the same in each.

    panels: what the y axis shows -> name -> {x: y}. log: both axes logarithmic.
    guides: name -> power, such as {"n²": 2}: dotted lines that grow so, from below the smallest value; log only.
    Raises ValueError if there is nothing to draw, if there are more names than line styles, for guides without log,
    or if log is asked for numbers that are not above 0.
    """
    _require_lines({name: line for lines in panels.values() for name, line in lines.items()})
    for ylabel, lines in panels.items():
        if not lines:
            raise ValueError(f"every panel needs at least one line, got none for {ylabel!r}")
    if guides and not log:
        raise ValueError("guides are straight on logarithmic axes only: give log=True")
    lowest = min(number for lines in panels.values() for line in lines.values() for xy in line.items() for number in xy)
    if log and lowest <= 0:
        raise ValueError(f"logarithmic axes need numbers above 0, got {lowest}")
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    fig, axes = subplots(1, len(panels), figsize=(7 if len(panels) == 1 else 5.4 * len(panels), 4.2), squeeze=False)
    for ax, (ylabel, lines) in zip(axes[0], panels.items(), strict=True):
        for name, line in lines.items():
            x, y = zip(*sorted(line.items()), strict=True)
            colour, marker, dashes = SERIES[names.index(name)]
            ax.plot(x, y, color=colour, marker=marker, linestyle=dashes, linewidth=2)
            _name_end(ax, name, x[-1], y[-1], colour)
        for name, power in (guides or {}).items():
            _draw_guide(ax, name, power, lines)
        _dress(ax, xlabel, ylabel)
        if log:
            _make_logarithmic(ax)
        elif ax.dataLim.y0 >= 0:
            ax.set_ylim(bottom=0)
    return _finish_charts(fig)


def plot_history(
    histories: Mapping[str, History],
    floors: Mapping[str, float] | None = None,
    smooth: int = 20,
    ylabel: str = "loss (nats per token)",
    first: int = 1,
) -> Figure:
    """Draw the loss of training runs: the running mean, and behind it, pale, the loss of every step.

    histories: name -> what `training.train` gave. floors: name -> a loss that cannot be passed, such as the entropy
    of the language, drawn as a dotted line. smooth: steps in the running mean; 1 draws the steps themselves.
    first: the step to begin with; a later one than 1 leaves the steep part out, and what is below it becomes tall.
    Raises ValueError if there is nothing to draw, or if there are more runs than line styles.
    """
    require_size("first", first)
    _require_lines({name: history.loss[first - 1 :] for name, history in histories.items()})
    fig, ax = subplots(figsize=(7, 4.2))
    for k, ((name, history), (colour, marker, dashes)) in enumerate(zip(histories.items(), SERIES, strict=False)):
        steps, mean = range(first, history.steps + 1), _running_mean(history.loss, smooth)[first - 1 :]
        apart = max(len(mean) // 8, 1)  # few markers, and none on top of the marker of another run
        if smooth > 1:
            ax.plot(steps, history.loss[first - 1 :], color=colour, alpha=0.4, linewidth=1, zorder=1)
        markers = {"marker": marker, "markevery": (k * apart // len(histories), apart)}
        ax.plot(steps, mean, color=colour, linestyle=dashes, linewidth=2, **markers)
        _name_end(ax, name, history.steps, mean[-1], colour)
    longest = max(history.steps for history in histories.values())
    for name, value in (floors or {}).items():
        ax.plot([first, longest], [value, value], color=INK, linestyle=":", linewidth=1.5)
        _name_end(ax, name, longest, value, INK)
    _dress(ax, "training step", ylabel)
    return _finish_charts(fig)


def _require_lines(lines: Mapping[str, Sized]) -> None:
    if not lines:
        raise ValueError("a chart needs at least one line, got none")
    if len(lines) > len(SERIES):
        raise ValueError(f"a chart can tell at most {len(SERIES)} lines apart, got {len(lines)}")
    for name, line in lines.items():
        if not line:
            raise ValueError(f"a line needs at least one point, got none for {name!r}")


def _running_mean(values: Sequence[float], width: int) -> list[float]:
    """Average each value with its neighbours, `width` values in all; fewer at both ends."""
    left, right = width // 2, (width + 1) // 2
    windows = (values[max(i - left, 0) : i + right] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _draw_guide(ax: Axes, name: str, power: float, lines: Lines) -> None:
    """Draw a dotted line that grows like x to that power; all of a chart start in one point below what is drawn."""
    start, end = (pick(x for line in lines.values() for x in line) for pick in (min, max))
    low = min(y for line in lines.values() for y in line.values()) / 2
    high = low * (end / start) ** power
    ax.plot([start, end], [low, high], color=GREY, linestyle=":", linewidth=1.5, zorder=1)
    _name_end(ax, name, end, high, GREY)


def _dress(ax: Axes, xlabel: str, ylabel: str) -> None:
    """Give a chart of lines its labels, its grid and plain numbers."""
    ax.set_xlabel(xlabel, fontsize=FONT)
    ax.set_ylabel(ylabel, fontsize=FONT)
    ax.tick_params(labelsize=FONT - 1)
    if all(x == int(x) for line in ax.lines for x in line.get_xdata()):
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(_plain)
    ax.yaxis.set_major_formatter(_plain)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=GREY, alpha=0.1)  # faint on every page


def _make_logarithmic(ax: Axes) -> None:
    """Make both axes logarithmic, with at most eight ticks on x, at lengths that were measured."""
    ax.loglog()
    ticks = sorted({x for line in ax.lines for x in line.get_xdata()})
    ax.set_xticks(ticks[:: -(-len(ticks) // 8)])
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    ax.xaxis.set_major_formatter(_plain)
    ax.yaxis.set_major_formatter(_plain)
    ax.minorticks_off()


def _plain(number: float, position: int | None = None) -> str:
    """Write a number without powers of ten: 2,048 or 0.001."""
    return f"{number:,.9f}".rstrip("0").rstrip(".")


def _name_end(ax: Axes, name: str, x: float, y: float, colour: str) -> None:
    """Write a name for the line that ends there; `_finish_charts` puts it where it has room."""
    thread = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
    ax.annotate(name, (x, y), (x, y), color=INK, fontsize=FONT, va="center", arrowprops=thread, annotation_clip=False)


def _finish_charts(fig: Figure) -> Figure:
    """Put the names in a column where the longest line ends, each beside its own end or as near as it has room."""
    for _ in range(2):  # room taken by names makes the charts narrower, which moves their ends
        fig.tight_layout()
        for ax in fig.axes:
            ends = [ax.transData.transform(note.xy) for note in ax.texts]
            point = fig.dpi / 72
            floor, ceiling = ax.bbox.y0, ax.bbox.y1
            column = max(x for x, _ in ends) + 10 * point
            heights = _spread([y for _, y in ends], 1.3 * FONT * point, floor, ceiling)
            for note, height in zip(ax.texts, heights, strict=True):
                note.set_position(ax.transData.inverted().transform((column, height)))
    return _finish(fig)


def _spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move heights as little as possible so that they lie at least `gap` apart, between low and high."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    blocks: list[list[float]] = []  # heights that touch one another, less the gaps below them
    for rank, i in enumerate(order):
        blocks.append([heights[i] - rank * gap])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    level = [min(max(fmean(block), low), high - (len(order) - 1) * gap) for block in blocks for _ in block]
    return [level[rank] + rank * gap for rank in map(order.index, range(len(order)))]


def _panels(count: int, side: float) -> tuple[Figure, list[Axes]]:
    """Make `count` square panels, `side` inches each: up to three in a row, four as two by two."""
    columns = 2 if count == 4 else min(count, 3)
    rows = -(-count // columns)
    fig, axes = subplots(rows, columns, figsize=(side * columns + 0.4, side * rows + 0.6), squeeze=False)
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("query: who looks", fontsize=FONT)
    return fig, list(axes.flat[:count])


def _as_grid(values: Tensor, rows: int, columns: int) -> Tensor:
    """Drop leading axes of size 1 and spread the rest over (rows, columns)."""
    if any(size != 1 for size in values.shape[:-2]):
        raise ValueError(f"one figure shows one batch element and head, got shape {tuple(values.shape)}")
    return torch.broadcast_to(values.reshape(values.shape[-2:]), (rows, columns)).cpu()


def _shade(ax: Axes, grid: Tensor) -> None:
    """Draw probabilities as a heat map with the number in each cell; what is exactly 0 reads "0"."""
    ax.imshow(grid.numpy(), cmap=SHADES, vmin=0, vmax=1)
    for i, row in enumerate(grid.tolist()):
        for j, weight in enumerate(row):
            _write(ax, i, j, f"{weight:.2f}" if weight else "0", "black")


def _write(ax: Axes, row: int, column: int, text: str, colour: str) -> None:
    ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=FONT)


def _label(ax: Axes, columns: Sequence[str], rows: Sequence[str], title: str) -> None:
    """Put position and token on both axes, and lines between the cells."""
    across, down = ([f"{position} {token}" for position, token in enumerate(tokens)] for tokens in (columns, rows))
    ax.set_title(title, fontsize=FONT + 1)
    ax.set_xticks(range(len(across)), across, rotation=45, ha="right", rotation_mode="anchor", fontsize=FONT)
    ax.set_yticks(range(len(down)), down, fontsize=FONT)
    ax.set_xlabel("key: who is looked at", fontsize=FONT)
    ax.set_xticks([k - 0.5 for k in range(len(across) + 1)], minor=True)
    ax.set_yticks([k - 0.5 for k in range(len(down) + 1)], minor=True)
    ax.grid(which="minor", color="white", linewidth=2)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)


def _finish(fig: Figure, bottom: float = 0.0) -> Figure:
    """Lay the figure out with `bottom` inches kept free below, and close it for pyplot."""
    fig.tight_layout(rect=(0, bottom / fig.get_figheight(), 1, 1))
    plt.close(fig)
    return fig
