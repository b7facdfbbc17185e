"""Alignment explorer: click a target word and see which source words it looks at, in each layer and head.

The functions above `alignment_explorer` compute plain values and HTML: they are tested without a browser.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import ipywidgets as widgets
from jaxtyping import Bool, Float
from torch import Tensor

from course_lib.playground.explorer import STYLE, Cell, choice, sentence_field, status, table, token_button
from course_lib.playground.word_bars import number, paragraphs

__all__ = ["Look", "alignment_explorer", "describe", "layer_and_head", "render"]

MAX_WORDS = 16
MEAN, ALL_HEADS = "mean of all", -1  # None would look as if nothing were chosen
LEGEND = "Each row adds up to 1. ◆ the two words say the same part: this is the true alignment."


class Look(NamedTuple):
    """What a translator did with one text.

    weights: (layers, heads, target, source), whom each target token looks at while it is written.
    gold: (target, source), True where two tokens belong together; None if nobody knows.
    """

    source: Sequence[str]
    target: Sequence[str]
    weights: Float[Tensor, "layers heads target source"]
    gold: Bool[Tensor, "target source"] | None = None


def layer_and_head(look: Look, layer: int, head: int | None) -> Float[Tensor, "target source"]:
    """Give the weights of one layer: of one head, or the mean of all heads where head is None.

    Shapes: returns (target, source).
    Raises ValueError if the weights do not fit the words, or if there is no such layer or head.
    """
    wanted = (len(look.target), len(look.source))
    if look.weights.ndim != 4 or tuple(look.weights.shape[2:]) != wanted:
        raise ValueError(f"weights must be (layers, heads, {wanted[0]}, {wanted[1]}), got {tuple(look.weights.shape)}")
    layers, heads = look.weights.shape[:2]
    if not 0 <= layer < layers or (head is not None and not 0 <= head < heads):
        raise ValueError(f"there are {layers} layers and {heads} heads, got layer {layer} and head {head}")
    return look.weights[layer].mean(0) if head is None else look.weights[layer, head]


def describe(look: Look, weights: Float[Tensor, "target source"], position: int) -> str:
    """Say whom one target word looks at most, and who its true partners are."""
    row, word = weights[position], look.target[position]
    best = int(row.argmax())
    said = f"'{word}' (position {position}) looks most at '{look.source[best]}' ({number(float(row[best]))})."
    if look.gold is None:
        return said
    partners = look.gold[position].nonzero().flatten().tolist()
    if not partners:
        return f"{said} It has no partner: it says no part of what the source says."
    if best in partners:
        return f"{said} That is its true partner."
    return f"{said} Its true partner is {' and '.join(repr(look.source[place]) for place in partners)}."


def render(look: Look, layer: int, head: int | None, position: int) -> str:
    """Write the view as HTML: a sentence, and the weights with the chosen word's row marked. All words are escaped."""
    weights = layer_and_head(look, layer, head)
    rows = []
    for i, word in enumerate(look.target):
        cells = [_cell(look, weights, i, j) for j in range(len(look.source))]
        rows.append((f"{i} {word}", cells, i == position))
    which = MEAN if head is None else f"head {head + 1}"
    caption = f"Layer {layer + 1}, {which}: target words (rows) looking at source words (columns)"
    said = status(describe(look, weights, position))
    legend = paragraphs([LEGEND if look.gold is not None else "Each row adds up to 1."])
    return f'{STYLE}{said}<div style="overflow-x: auto">{table(caption, look.source, rows)}</div>{legend}'


def alignment_explorer(ask: Callable[[str], Look], text: str, question: str = "text") -> widgets.VBox:
    """Make the explorer: type a text, click a word of its translation, choose layer and head.

    ask: gives what the translator does with a text; a ValueError it raises is shown to the learner.
    text: to begin with. question: the name of the field.
    DOM classes: alignment-explorer, alignment-explorer-target (each target word's button), alignment-explorer-view.
    Raises ValueError if text has no word, or if the weights do not fit the words.
    """
    return _Page(ask, text, question).box


class _Page:
    """The widgets, and what they share: the translation, and which of its words is chosen."""

    def __init__(self, ask: Callable[[str], Look], text: str, question: str) -> None:
        self.ask, self.question, self.position = ask, question, 0
        self.text = sentence_field(text, "alignment_explorer", MAX_WORDS, question)
        self.look = ask(text)
        layer_and_head(self.look, 0, None)  # refuses weights that do not fit
        layers, heads = self.look.weights.shape[:2]
        self.layer = choice("layer", [(str(n + 1), n) for n in range(layers)], layers - 1, width=60)
        self.head = choice("head", [(MEAN, ALL_HEADS), *((str(n + 1), n) for n in range(heads))], ALL_HEADS, width=120)
        self.target = widgets.HBox(layout={"flex_flow": "row wrap"})
        self.view = widgets.HTML()
        self.view.add_class("explorer-view").add_class("alignment-explorer-view")
        self.box = widgets.VBox([self.text, self.layer, self.head, self.target, self.view])
        self.box.add_class("alignment-explorer")
        self._new_words()
        self.text.observe(self._new_text, "value")
        for control in (self.layer, self.head):
            control.observe(self._show, "value")

    def _new_text(self, change: object = None) -> None:
        try:
            if not self.text.value.split():
                raise ValueError(f"the field is empty: type a {self.question}")
            self.look = self.ask(self.text.value)
        except ValueError as error:
            self.target.children = []
            self.view.value = f'{STYLE}<p role="alert">{escape(str(error))}</p>'
            return
        self.position = 0
        self._new_words()

    def _new_words(self) -> None:
        self.target.children = [
            token_button(
                "alignment-explorer-target",
                lambda _, position=position: self._choose(position),
                description=f"{position} {word}",
                tooltip=f"Whom does '{word}' look at?",
            )
            for position, word in enumerate(self.look.target)
        ]
        self._show()

    def _choose(self, position: int) -> None:
        self.position = position
        self._show()

    def _show(self, change: object = None) -> None:
        for position, button in enumerate(self.target.children):
            button.button_style = "primary" if position == self.position else ""
        if self.target.children:
            head = None if self.head.value == ALL_HEADS else self.head.value
            self.view.value = render(self.look, self.layer.value, head, self.position)


def _cell(look: Look, weights: Tensor, i: int, j: int) -> Cell:
    weight = float(weights[i, j])
    true = look.gold is not None and bool(look.gold[i, j])
    label = f"{look.target[i]} looks at {look.source[j]}: {number(weight)}{', its true partner' if true else ''}"
    return Cell(f"{number(weight)}{' ◆' if true else ''}", "shaded", escape(label, quote=True), weight)
