"""What the explorers share: a sentence, a mask and a chosen token on one page, and tables of token against token.

The functions above `Explorer` compute plain values and HTML: they are tested without a browser.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import ipywidgets as widgets
from jaxtyping import Bool
from torch import Tensor

from course_lib.masks import (
    create_bidirectional_mask,
    create_causal_mask,
    create_prefix_mask,
    create_sliding_window_mask,
)

__all__ = [
    "KEEP_KEYS",
    "KINDS",
    "MAX_TOKENS",
    "STYLE",
    "Cell",
    "Explorer",
    "build_mask",
    "choice",
    "sentence_field",
    "status",
    "table",
    "title",
    "token_button",
]

KINDS = ("bidirectional", "causal", "prefix", "sliding window")
SIZED = ("prefix", "sliding window")  # the kinds that have a length to set
MAX_TOKENS = 12
LABELS = {"description_width": "110px"}

# What a style of the page runs when it is shown. JupyterLab takes plain keys (an arrow goes to another cell, an x cuts
# the cell) from all that has no such attribute; keys with Shift or Control stay JupyterLab's.
KEEP_KEYS = escape(
    """this.closest('.widget-vbox')?.classList.add('keeps-keys');
window.keepKeys ??= ({target, ctrlKey, metaKey, altKey, shiftKey}) => {
    if (target.closest?.('.keeps-keys'))
        target.toggleAttribute('data-lm-suppress-shortcuts', !(ctrlKey || metaKey || altKey || shiftKey));
};
window.addEventListener('keydown', window.keepKeys, true);""",
    quote=False,
)

# Colours: Okabe and Ito's blue and orange; text and lines take the colour of whatever theme surrounds them. At its
# strongest the blue of a shaded cell keeps a fifth of the page, so that dark and light text both stay readable on it.
STYLE = (
    f'<style onload="{KEEP_KEYS}">'
    + """
.explorer-view table {border-collapse: collapse; margin: 8px 0; color: inherit}
.explorer-view table, .explorer-view p {font-size: 14px; line-height: 1.4}
.explorer-view caption {text-align: left; font-weight: 600; padding: 4px 0; color: inherit}
.explorer-view th, .explorer-view td {background: transparent; color: inherit; padding: 3px 8px}
.explorer-view th {font-weight: 400} .explorer-view th[scope=row] {text-align: right}
.explorer-view td {border: 1px solid rgba(128, 128, 128, .5); text-align: center; min-width: 24px}
.explorer-view td.may {background: #0072B2; color: #fff}
.explorer-view td.shaded {background: rgba(0, 114, 178, calc(.8 * var(--weight)))}
.explorer-view td.forbidden {background: repeating-linear-gradient(
    135deg, transparent 0 5px, rgba(128, 128, 128, .4) 5px 6px)}
.explorer-view td.corner {border: none}
.explorer-view td.looked-at {border-left: 3px dashed #E69F00; border-right: 3px dashed #E69F00}
.explorer-view tr.chosen td {border-top: 3px solid #E69F00; border-bottom: 3px solid #E69F00}
.explorer-view tr.chosen th, .explorer-view th.chosen {font-weight: 700; text-decoration: underline}
.explorer-view p {margin: 4px 0; color: inherit}
.explorer-view .both {display: flex; flex-wrap: wrap; column-gap: 40px}
.keeps-keys :is(button, .noUi-handle):focus-visible {outline: 3px solid #D55E00; outline-offset: 1px}
</style>"""
)


class Cell(NamedTuple):
    """One cell of a table: what it shows, its CSS class, what a screen reader says, and how strongly it is shaded."""

    text: str
    look: str
    label: str
    weight: float | None = None


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


def title(kind: str, size: int) -> str:
    """Name a mask, with its length where it has one."""
    if kind == "sliding window":
        size = max(size, 1)
    return f"{kind} {size}" if kind in SIZED else kind


def status(sentence: str) -> str:
    """Write the sentence that says what the view shows, for eyes and for screen readers."""
    return f'<p role="status" aria-live="polite">{escape(sentence)}</p>'


def table(
    caption: str,
    tokens: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell], bool]],
    column: int | None = None,
) -> str:
    """Write one table: a heading for each token, then a line for each (name, cells, is it chosen).

    column: the column to mark, if any. All words are escaped.
    """
    heads = "".join(
        f'<th scope="col"{" class=chosen" if j == column else ""}>{j} {escape(token)}</th>'
        for j, token in enumerate(tokens)
    )
    body = "".join(
        f'<tr{" class=chosen" if chosen else ""}><th scope="row">{escape(name)}</th>'
        f"{''.join(_cell(cell, j == column) for j, cell in enumerate(cells))}</tr>"
        for name, cells, chosen in rows
    )
    top = f'<tr><td class="corner"></td>{heads}</tr>'
    return f"<table><caption>{escape(caption)}</caption>{top}{body}</table>"


def choice(description: str, options: Sequence, value: object, width: int = 120) -> widgets.ToggleButtons:
    """Make a row of buttons of which one is down, that of `value`. width: of each, in pixels."""
    buttons = widgets.ToggleButtons(options=options, value=value, description=description, style=LABELS)
    buttons.style.button_width = f"{width}px"
    return buttons


def sentence_field(sentence: str, name: str, most: int, description: str = "sentence") -> widgets.Text:
    """Make the field in which the learner types another sentence. most: how many words of it are used.

    name: the function that needs it. Raises ValueError if the sentence has no word.
    """
    if not sentence.split():
        raise ValueError(f"{name} needs a sentence with at least one word")
    field = widgets.Text(sentence, description=description, continuous_update=False, style=LABELS)
    field.layout.width = "min(100%, 500px)"
    field.tooltip = f"Type up to {most} words and press Enter"
    return field


def token_button(dom_class: str, click: Callable[[widgets.Button], None], **traits) -> widgets.Button:
    """Make a button as wide as its token. dom_class: by which a test finds it. traits: further ones of the button."""
    button = widgets.Button(layout={"width": "auto"}, **traits)
    button.add_class(dom_class)
    button.on_click(click)
    return button


class Explorer:
    """The widgets of an explorer, and what they share: the words, and which of them is chosen.

    name: DOM class of the page; its tokens have `name`-token, its view `name`-view.
    render: (words, kind, size, position) -> the view, in HTML. kind: the mask to begin with.
    question: what a token's button asks, with {word} in it. controls: further widgets, shown above the tokens.
    Raises ValueError if the sentence has no word.
    """

    def __init__(
        self,
        name: str,
        sentence: str,
        render: Callable[[Sequence[str], str, int, int], str],
        kind: str,
        question: str,
        controls: Sequence[widgets.Widget] = (),
    ) -> None:
        self.name, self.render, self.question = name, render, question
        self.position = 0
        self.sentence = sentence_field(sentence, name.replace("-", "_"), MAX_TOKENS)
        self.kind = choice("mask", KINDS, kind)
        self.size = widgets.IntSlider(2, 0, 2, description="prefix length", style=LABELS)
        self.tokens = widgets.HBox(layout={"flex_flow": "row wrap"})
        self.view = widgets.HTML()
        self.view.add_class("explorer-view").add_class(f"{name}-view")
        self.page = widgets.VBox([self.sentence, self.kind, self.size, *controls, self.tokens, self.view])
        self.page.add_class(name)
        self._new_sentence()
        self.sentence.observe(self._new_sentence, "value")
        self.kind.observe(self._new_kind, "value")
        self.size.observe(self.draw, "value")

    def show(self, words: Sequence[str], position: int) -> None:
        """Show another sentence, with the token at `position` chosen."""
        self.position = position
        self.sentence.value = " ".join(words)

    def draw(self, change: object = None) -> None:
        """Write the view anew."""
        for position, button in enumerate(self.tokens.children):
            button.button_style = "primary" if position == self.position else ""
        self.view.value = self.render(self.words, self.kind.value, self.size.value, self.position)

    def _new_sentence(self, change: object = None) -> None:
        words = self.sentence.value.split()[:MAX_TOKENS]
        if not words:
            return
        self.words = words
        self.position = min(self.position, len(words) - 1)
        self.tokens.children = [
            token_button(
                f"{self.name}-token",
                lambda _, position=position: self._choose(position),
                description=f"{position} {word}",
                tooltip=self.question.format(word=word),
            )
            for position, word in enumerate(words)
        ]
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
        self.draw()

    def _choose(self, position: int) -> None:
        self.position = position
        self.draw()


def _cell(cell: Cell, looked_at: bool) -> str:
    shade = "" if cell.weight is None else f' style="--weight: {cell.weight:.3f}"'
    looks = f"{cell.look}{' looked-at' if looked_at else ''}"
    return f'<td class="{looks}"{shade} aria-label="{cell.label}">{cell.text}</td>'
