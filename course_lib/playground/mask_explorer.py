"""Mask explorer: click a token and see what it may attend to, and who may attend to it, under four masks.

The functions above `mask_explorer` compute plain values and HTML: they are tested without a browser.
"""

from collections.abc import Sequence
from html import escape

import ipywidgets as widgets
from jaxtyping import Bool
from torch import Tensor

from course_lib.masks import (
    create_bidirectional_mask,
    create_causal_mask,
    create_prefix_mask,
    create_sliding_window_mask,
)

__all__ = ["KINDS", "build_mask", "describe", "mask_explorer", "render", "seen_by", "sees"]

KINDS = ("bidirectional", "causal", "prefix", "sliding window")
SIZED = ("prefix", "sliding window")  # the kinds that have a length to set
MAX_TOKENS = 12

# Colours: Okabe and Ito's blue and orange; text and lines take the colour of whatever theme surrounds them.
STYLE = """<style>
.mask-explorer-view table {border-collapse: collapse; margin: 8px 0; color: inherit}
.mask-explorer-view table, .mask-explorer-view p {font-size: 14px; line-height: 1.4}
.mask-explorer-view caption {text-align: left; font-weight: 600; padding: 4px 0; color: inherit}
.mask-explorer-view th, .mask-explorer-view td {background: transparent; color: inherit; padding: 3px 8px}
.mask-explorer-view th {font-weight: 400} .mask-explorer-view th[scope=row] {text-align: right}
.mask-explorer-view td {border: 1px solid rgba(128, 128, 128, .5); text-align: center; min-width: 24px}
.mask-explorer-view td.may {background: #0072B2; color: #fff}
.mask-explorer-view td.corner {border: none}
.mask-explorer-view td.looked-at {border-left: 3px dashed #E69F00; border-right: 3px dashed #E69F00}
.mask-explorer-view tr.chosen td {border-top: 3px solid #E69F00; border-bottom: 3px solid #E69F00}
.mask-explorer-view tr.chosen th, .mask-explorer-view th.chosen {font-weight: 700; text-decoration: underline}
.mask-explorer-view p {margin: 4px 0; color: inherit}
.mask-explorer-view .both {display: flex; flex-wrap: wrap; column-gap: 40px}
</style>"""


def build_mask(kind: str, seq_len: int, size: int = 1) -> Bool[Tensor, "n n"]:
    """Make the mask of that kind as a grid.

    kind: one of KINDS. size: length of the prefix or of the window; the other two kinds ignore it.
    Shapes: returns (seq_len, seq_len), boolean, True = may attend.
    Raises ValueError if the kind is unknown.
    """
    if kind == "bidirectional":
        mask = create_bidirectional_mask(seq_len)
    elif kind == "causal":
        mask = create_causal_mask(seq_len)
    elif kind == "prefix":
        mask = create_prefix_mask(min(size, seq_len), seq_len)
    elif kind == "sliding window":
        mask = create_sliding_window_mask(seq_len, max(size, 1))
    else:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    return mask[0, 0]


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
    rows = [(f"{i} {token}", mask[i], i == position) for i, token in enumerate(tokens)]
    compared = [(_title(k, size), build_mask(k, len(tokens), size)[position], k == kind) for k in KINDS]
    word = tokens[position]
    grid = _table(f"{_title(kind, size)} mask: a row looks, a column is looked at", tokens, rows, position)
    compare = _table(f"What '{word}' may attend to under each mask", tokens, compared)
    sentence = f'<p role="status" aria-live="polite">{escape(describe(tokens, mask, position))}</p>'
    legend = f"✓ may attend, · may not; solid lines: whom '{word}' sees, dashed lines: who sees '{word}'"
    return f'{STYLE}{sentence}<div class="both">{grid}{compare}</div><p>{escape(legend)}</p>'


def mask_explorer(sentence: str = "the bank by the river flooded") -> widgets.VBox:
    """Make the explorer: choose a mask, set its length, click a token.

    sentence: words separated by blanks, at most 12; the learner can type another.
    DOM classes: mask-explorer, mask-explorer-token (each token's button), mask-explorer-view (the output).
    Raises ValueError if the sentence has no word.
    """
    if not sentence.split():
        raise ValueError("mask_explorer needs a sentence with at least one word")
    return _Explorer(sentence).page


class _Explorer:
    """The widgets and the one thing they share: which token is chosen."""

    def __init__(self, sentence: str) -> None:
        self.position = 0
        wide = {"description_width": "110px"}
        self.sentence = widgets.Text(sentence, description="sentence", continuous_update=False, style=wide)
        self.sentence.layout.width = "min(100%, 500px)"
        self.sentence.tooltip = f"Type up to {MAX_TOKENS} words and press Enter"
        self.kind = widgets.ToggleButtons(options=KINDS, value="causal", description="mask", style=wide)
        self.kind.style.button_width = "120px"
        self.size = widgets.IntSlider(2, 0, 2, description="prefix length", style=wide)
        self.tokens = widgets.HBox(layout={"flex_flow": "row wrap"})
        self.view = widgets.HTML()
        self.view.add_class("mask-explorer-view")
        self.page = widgets.VBox([self.sentence, self.kind, self.size, self.tokens, self.view])
        self.page.add_class("mask-explorer")
        self._new_sentence()
        self.sentence.observe(self._new_sentence, "value")
        self.kind.observe(self._new_kind, "value")
        self.size.observe(self._draw, "value")

    def _new_sentence(self, change: object = None) -> None:
        words = self.sentence.value.split()[:MAX_TOKENS]
        if not words:
            return
        self.words = words
        self.position = min(self.position, len(words) - 1)
        buttons = []
        for position, word in enumerate(words):
            button = widgets.Button(description=f"{position} {word}", tooltip=f"What may '{word}' attend to?")
            button.layout.width = "auto"
            button.add_class("mask-explorer-token")
            button.on_click(lambda _, position=position: self._choose(position))
            buttons.append(button)
        self.tokens.children = buttons
        self._new_kind()

    def _new_kind(self, change: object = None) -> None:
        """Give the slider the name and range that suit the mask; hide it where there is nothing to set."""
        window = self.kind.value == "sliding window"
        with self.size.hold_trait_notifications():
            self.size.max = len(self.words)
            self.size.min = 1 if window else 0
            self.size.value = min(max(self.size.value, self.size.min), self.size.max)
        self.size.description = "window length" if window else "prefix length"
        self.size.layout.visibility = "visible" if self.kind.value in SIZED else "hidden"
        self._draw()

    def _choose(self, position: int) -> None:
        self.position = position
        self._draw()

    def _draw(self, change: object = None) -> None:
        for position, button in enumerate(self.tokens.children):
            button.button_style = "primary" if position == self.position else ""
        self.view.value = render(self.words, self.kind.value, self.size.value, self.position)


def _title(kind: str, size: int) -> str:
    if kind == "sliding window":
        size = max(size, 1)
    return f"{kind} {size}" if kind in SIZED else kind


def _table(
    caption: str, tokens: Sequence[str], rows: Sequence[tuple[str, Tensor, bool]], column: int | None = None
) -> str:
    """Write one table: a heading for each token, then a line for each (name, boolean row, is it chosen).

    column: the column to mark, if any.
    """
    heads = "".join(
        f'<th scope="col"{" class=chosen" if j == column else ""}>{j} {escape(token)}</th>'
        for j, token in enumerate(tokens)
    )
    body = "".join(
        f'<tr{" class=chosen" if chosen else ""}><th scope="row">{escape(name)}</th>'
        f"{''.join(_cell(allowed, j == column) for j, allowed in enumerate(row.tolist()))}</tr>"
        for name, row, chosen in rows
    )
    top = f'<tr><td class="corner"></td>{heads}</tr>'
    return f"<table><caption>{escape(caption)}</caption>{top}{body}</table>"


def _cell(allowed: bool, looked_at: bool) -> str:
    look = "may" if allowed else "may-not"
    label = "may attend" if allowed else "may not attend"
    mark = "✓" if allowed else "·"
    return f'<td class="{look}{" looked-at" if looked_at else ""}" aria-label="{label}">{mark}</td>'
