"""All published models in one table and one figure: how large they are, and what their cache weighs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from rich.table import Table

from course_lib.costs import cache_bytes
from course_lib.decoder import DecoderConfig
from course_lib.pictures import BLUE, FONT, GREEN, GREY, VERMILION, subplots
from course_lib.seq2seq import EncoderDecoderConfig
from course_lib.zoo.catalogue import CLOSED, Config, config, count_parameters, names

__all__ = ["ORDERS", "Row", "as_table", "closed", "in_units", "plot_zoo", "row", "rows"]

ENCODER, DECODER, BOTH = "encoder-only", "decoder-only", "encoder-decoder"
MARKS = {ENCODER: (BLUE, "o"), DECODER: (VERMILION, "s"), BOTH: (GREEN, "^")}
UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


@dataclass(frozen=True)
class Row:
    """A model in numbers. layers: of the encoder and the decoder, 0 where there is none; cache: bytes, likewise.

    >>> row("bart-base", length=1024).layers
    (6, 6)
    """

    name: str
    family: str
    layers: tuple[int, int]
    d_model: int
    num_heads: int
    num_kv_heads: int
    d_ff: int
    vocab_size: int
    parameters: int
    cache: int


ORDERS: dict[str, Callable[[Row], tuple]] = {
    "family": lambda row: (list(MARKS).index(row.family),),  # and as in the catalogue
    "name": lambda row: (row.name,),
    "layers": lambda row: (sum(row.layers),),
    "width": lambda row: (row.d_model,),
    "heads": lambda row: (row.num_heads,),
    "vocabulary": lambda row: (row.vocab_size,),
    "parameters": lambda row: (row.parameters,),
    "cache": lambda row: (row.cache,),
}


def row(name: str, length: int) -> Row:
    """Give a published model in numbers, with its cache for one sequence of `length` tokens in 16 bits.

    An encoder keeps nothing. A decoder with a window keeps what lies in it, and none keeps more tokens than it has
    positions for. An encoder-decoder keeps the tokens it wrote, and as many of a source of the same length.
    Raises ValueError for an unknown name, or if length is negative.

    >>> row("t5-small", length=512).cache / 2**20  # MiB
    12.0
    """
    chosen = config(name)
    encoder, decoder = _layers(chosen)
    cache = cache_bytes(chosen, min(length, _most_kept(chosen))) // chosen.num_layers * decoder
    return Row(
        name=name,
        family=BOTH if encoder and decoder else DECODER if decoder else ENCODER,
        layers=(encoder, decoder),
        d_model=chosen.d_model,
        num_heads=chosen.num_heads,
        num_kv_heads=chosen.num_kv_heads or chosen.num_heads,
        d_ff=chosen.d_ff,
        vocab_size=chosen.vocab_size,
        parameters=count_parameters(name),
        cache=2 * cache if encoder else cache,
    )


def rows(
    length: int,
    order: str = "family",
    which: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """Give published models in numbers, all of them or these, sorted by one of ORDERS, the smallest first.

    progress: is told how many are done, and of how many.
    Raises KeyError for an unknown order, and as `row` does.

    >>> [row.name for row in rows(1024, order="parameters", which=["gpt2", "t5-small"])]
    ['t5-small', 'gpt2']
    """
    found: list[Row] = []
    for name in (chosen := which or names()):
        found.append(row(name, length))
        progress(len(found), len(chosen))
    return sorted(found, key=ORDERS[order])


def as_table(found: Sequence[Row], length: int) -> Table:
    """Make the table of the command line.

    >>> as_table([row("gpt2", 1024)], 1024).row_count
    1
    """
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "family"):
        table.add_column(heading, no_wrap=True)
    for heading in ("layers", "width", "heads", "inside", "vocabulary", "parameters", f"cache at {length:,}"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        layers = " + ".join(str(count) for count in one.layers if count)
        heads = str(one.num_heads) if one.num_kv_heads == one.num_heads else f"{one.num_heads} ({one.num_kv_heads})"
        sizes = (f"{size:,}" for size in (one.d_ff, one.vocab_size, one.parameters))
        table.add_row(one.name, one.family, layers, f"{one.d_model:,}", heads, *sizes, in_units(one.cache))
    return table


def in_units(count: int) -> str:
    """Write a number of bytes as a person reads it, and none as a dash.

    >>> in_units(36 * 2**20), in_units(0)
    ('36 MiB', '–')
    """
    size, unit = next(((size, unit) for size, unit in UNITS if count >= size), (1, "bytes"))
    return f"{count / size:.4g} {unit}" if count else "–"


def closed() -> str:
    """Say what is known of the models that nobody can load, and by whom.

    >>> closed().split(":")[0]
    'Closed, and so in no table'
    """
    return "Closed, and so in no table:\n" + "\n".join(f"  {name}: {known}." for name, known in CLOSED.items())


def plot_zoo(found: Sequence[Row], length: int) -> Figure:
    """Draw how many parameters each model has and how large its cache is, on logarithmic axes, a mark for each family.

    Raises ValueError if there is nothing to draw.

    >>> len(plot_zoo([row("gpt2", 1024)], length=1024).axes)
    2
    """
    if not found:
        raise ValueError("plot_zoo needs at least one model, got none")
    fig, axes = subplots(1, 2, figsize=(11, 1.4 + 0.24 * len(found)), sharey=True)
    panels = ("parameters (millions)", [one.parameters / 1e6 for one in found]), (
        f"cache at {length:,} tokens (MiB)",
        [one.cache / 2**20 for one in found],
    )
    for ax, (label, values) in zip(axes, panels, strict=True):
        for family, (colour, mark) in MARKS.items():
            places = [place for place, one in enumerate(found) if one.family == family and values[place]]
            ax.plot([values[place] for place in places], places, mark, color=colour, label=family, markersize=7)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        ax.set_xlabel(label, fontsize=FONT)
        ax.grid(color=GREY, alpha=0.1)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(found)), [one.name for one in found], fontsize=FONT - 2)
    axes[0].invert_yaxis()
    axes[0].legend(frameon=False, fontsize=FONT - 1)
    fig.tight_layout()
    plt.close(fig)
    return fig


def _layers(chosen: Config) -> tuple[int, int]:
    """How many the encoder has, and the decoder."""
    if isinstance(chosen, EncoderDecoderConfig):
        return chosen.num_layers, chosen.decoder_side.num_layers
    return (0, chosen.num_layers) if isinstance(chosen, DecoderConfig) else (chosen.num_layers, 0)


def _most_kept(chosen: Config) -> float:
    """How many tokens a model reads at most: what its window holds, or its table of positions."""
    with torch.device("meta"):
        longest = chosen.position(chosen).max_len
    return getattr(getattr(chosen, "mask", None), "keywords", {}).get("window", longest)
