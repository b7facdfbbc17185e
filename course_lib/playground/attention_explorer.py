"""Attention explorer: click a token and see its attention weights, and what mask, scale, positions and order do.

The functions above `attention_explorer` compute plain values and HTML: they are tested without a browser.
"""

import math
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from html import escape

import ipywidgets as widgets
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from course_lib.attention import attention_weights, split_heads
from course_lib.playground.explorer import STYLE, Cell, Explorer, build_mask, choice, status, table, title
from course_lib.positions import rope

__all__ = [
    "POSITIONS",
    "SCALES",
    "attention_explorer",
    "compare_rows",
    "describe",
    "evenness",
    "render",
    "shuffle",
    "weigh",
]

D_MODEL, HEADS = 16, 2
HEAD_DIM = D_MODEL // HEADS
SCALES = {"1": 1.0, "√head_dim": HEAD_DIM**0.5, "head_dim": float(HEAD_DIM)}
POSITIONS = ("none", "rotary")
SAME = 1e-9  # weights are float64: what differs by less is rounding
FORBIDDEN = Cell("·", "forbidden", "may not attend")
NOTE = (
    "Vectors and projections are random, nothing is trained: you see what mask, scale, positions and order do, "
    "not meaning."
)


def weigh(
    words: Sequence[str], mask: Bool[Tensor, "n n"], scale: str = "√head_dim", positions: str = "none"
) -> Float[Tensor, "heads n n"]:
    """Compute the attention weights of both heads; a word has the same vector wherever it stands.

    scale: one of SCALES, by which the scores are divided. positions: one of POSITIONS.
    Shapes: returns (2, n, n), float64; every row adds up to 1.
    Raises ValueError if the scale or the positions are unknown.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
    if positions not in POSITIONS:
        raise ValueError(f"positions must be one of {', '.join(POSITIONS)}, got {positions!r}")
    x = torch.stack([_vector(word) for word in words])[None]  # (1, n, d_model)
    q, k = (split_heads(x @ W, HEADS) for W in _projections())  # (1, heads, n, head_dim)
    if positions == "rotary":
        places = torch.arange(len(words))
        q, k = rope(q, places), rope(k, places)
    return attention_weights(q * HEAD_DIM**0.5 / SCALES[scale], k, mask)[0]  # which divides by √head_dim itself


def evenness(row: Float[Tensor, " n"]) -> float:
    """Say how many tokens, looked at equally, a row of weights is like: exp of its entropy."""
    return math.exp(torch.special.entr(row).sum())


def describe(words: Sequence[str], row: Float[Tensor, " n"], position: int) -> str:
    """Say in plain words what the token at `position` gives most weight to. row: its weights."""
    looked_at = [place for place in row.argsort(descending=True, stable=True).tolist() if row[place]]
    ranks = [sorted(rank) for rank in _group(looked_at, lambda a, b: (row[a] - row[b]).abs() < SAME)]
    who = f"'{words[position]}' (position {position})"
    if looked_at == [position]:
        return f"{who} gives all of its weight to itself."
    if len(ranks) == 1:
        return f"{who} gives the same weight, {row[looked_at[0]]:.2f}, to each of the {len(looked_at)} tokens it sees."
    shares = [
        f"{_name(words, rank, position)} ({row[rank[0]]:.2f}{' each' * (len(rank) > 1)})"
        for rank in ranks[:3] if row[rank[0]] >= 0.005
    ]  # fmt: skip
    return f"{who} gives most weight to {', then to '.join(shares)}."


def compare_rows(words: Sequence[str], weights: Float[Tensor, "n n"]) -> list[str]:
    """Say of each word that stands there more than once whether its rows of weights are equal."""
    said = []
    for word in dict.fromkeys(words):
        places = _places(words, word)
        if len(places) == 1:
            continue
        groups = _group(places, lambda a, b: (weights[a] - weights[b]).abs().max() < SAME)
        equal = [_join(group) for group in groups if len(group) > 1]
        if len(groups) == 1:
            said.append(f"The rows of '{word}' at {_join(places)} are equal.")
        elif not equal:
            said.append(f"The rows of '{word}' at {_join(places)} differ.")
        else:
            said.append(f"Of the rows of '{word}', those at {', those at '.join(equal)} are equal, the others differ.")
    return said


def shuffle(words: Sequence[str], seed: int) -> list[int]:
    """Give a random order of the positions that puts the words in another order, if there is one."""
    generator = torch.Generator().manual_seed(seed)
    order = list(range(len(words)))
    while len(set(words)) > 1 and [words[i] for i in order] == list(words):
        order = torch.randperm(len(words), generator=generator).tolist()
    return order


def render(
    words: Sequence[str],
    kind: str,
    size: int,
    position: int,
    head: int = 0,
    scale: str = "√head_dim",
    positions: str = "none",
) -> str:
    """Write the view as HTML: sentences, the grid of weights with the token's row marked, the rows of equal words.

    kind and size as in `build_mask`, scale and positions as in `weigh`. All words are escaped.
    """
    mask = build_mask(kind, len(words), size)
    weights = weigh(words, mask, scale, positions)[head]
    rows = [(f"{i} {word}", _cells(weights[i], mask[i]), i == position) for i, word in enumerate(words)]
    word, allowed = words[position], int(mask[position].sum())
    grid = table(
        f"Head {head + 1}, {title(kind, size)} mask: a row looks, a column is looked at", words, rows, position
    )
    same = _places(words, word)
    beside = table(f"The rows of '{word}' side by side", words, [rows[i] for i in same]) if len(same) > 1 else ""
    lines = [
        f"How even? This row is like looking at {evenness(weights[position]):.1f} tokens equally; "
        f"it may attend to {allowed}.",
        " ".join(compare_rows(words, weights)),
    ]
    legend = (
        "Each row adds up to 1. · hatched: may not attend, so exactly 0. "
        f"Solid lines: whom '{word}' looks at; dashed lines: who looks at '{word}'."
    )
    below = "".join(f"<p>{escape(line)}</p>" for line in (legend, NOTE))
    above = status(describe(words, weights[position], position)) + "".join(
        f"<p>{escape(line)}</p>" for line in lines if line
    )
    return f'{STYLE}{above}<div class="both">{grid}{beside}</div>{below}'


def attention_explorer(sentence: str = "the bank by the river flooded the bank") -> widgets.VBox:
    """Make the explorer: click a token; choose mask, head, scale and positions; shuffle the words.

    sentence: words separated by blanks, at most 12; the learner can type another.
    DOM classes: attention-explorer, attention-explorer-token (each token's button), attention-explorer-view (the
    output).
    Raises ValueError if the sentence has no word.
    """
    head = choice("head", [(str(h + 1), h) for h in range(HEADS)], 0, width=50)
    scale = choice("scores divided by", list(SCALES), "√head_dim", width=100)
    positions = choice("positions", POSITIONS, "none", width=80)
    mix = widgets.Button(description="shuffle words", tooltip="Put the same words in another order")
    mix.layout.align_self = "flex-end"
    spaced = {"flex_flow": "row wrap", "grid_gap": "0 20px", "margin": "0 0 8px 0"}
    row = widgets.HBox([head, scale, positions, mix], layout=spaced)
    seeds = iter(range(1, 10**9))

    def draw(words: Sequence[str], kind: str, size: int, position: int) -> str:
        return render(words, kind, size, position, head.value, scale.value, positions.value)

    explorer = Explorer(
        "attention-explorer", sentence, draw, "bidirectional", "What does '{word}' give weight to?",
        controls=[row],
    )  # fmt: skip

    def reorder(button: widgets.Button) -> None:
        order = shuffle(explorer.words, next(seeds))
        explorer.show([explorer.words[i] for i in order], order.index(explorer.position))

    for control in (head, scale, positions):
        control.observe(explorer.draw, "value")
    mix.on_click(reorder)
    return explorer.page


@cache
def _vector(word: str) -> Float[Tensor, " d_model"]:
    """Draw the vector of a word from N(0, 1): its letters are the seed, so that it is the same in every sentence."""
    generator = torch.Generator().manual_seed(zlib.crc32(word.encode()))
    return torch.randn(D_MODEL, generator=generator, dtype=torch.float64)


@cache
def _projections() -> tuple[Tensor, Tensor]:
    """Draw W_q and W_k, scaled so that queries and keys are N(0, 1) as well."""
    W_q, W_k = torch.randn(2, D_MODEL, D_MODEL, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return W_q / D_MODEL**0.5, W_k / D_MODEL**0.5


def _group(places: Sequence[int], alike: Callable[[int, int], bool]) -> list[list[int]]:
    """Put each place into the first group with whose first member it is alike."""
    groups: list[list[int]] = []
    for place in places:
        for group in groups:
            if alike(group[0], place):
                group.append(place)
                break
        else:
            groups.append([place])
    return groups


def _name(words: Sequence[str], same: list[int], position: int) -> str:
    """Name the tokens of one rank, with positions where the word alone would not tell which is meant."""
    if same == [position]:
        return "itself"
    names = []
    for word in dict.fromkeys(words[place] for place in same):
        places = [place for place in same if words[place] == word]
        names.append(f"'{word}'" + f" at {_join(places)}" * (len(_places(words, word)) > 1))
    return _join(names)


def _places(words: Sequence[str], word: str) -> list[int]:
    return [place for place, other in enumerate(words) if other == word]


def _join(parts: Sequence[object]) -> str:
    *front, last = map(str, parts)
    return f"{', '.join(front)} and {last}" if front else last


def _cells(row: Tensor, allowed: Tensor) -> list[Cell]:
    numbers = [f"{weight:.2f}" if weight else "0" for weight in row.tolist()]
    return [
        Cell(number, "shaded", number, weight) if may else FORBIDDEN
        for number, weight, may in zip(numbers, row.tolist(), allowed.tolist(), strict=True)
    ]
