"""Write explorer: choose or draw the next token again and again, and see what temperature, top-k and top-p cut off.

The functions above `write_explorer` compute plain values and HTML: they are tested without a browser.
"""

from collections.abc import Callable, Sequence
from html import escape

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.generation import sample
from course_lib.playground.explorer import sentence_field, status, token_button
from course_lib.playground.word_bars import (
    EXACT,
    MAX_WORDS,
    WORD_STYLE,
    Row,
    bars,
    checked,
    favourite,
    paragraphs,
    rest,
    strangers,
)
from course_lib.worlds.language import Language
from course_lib.worlds.special_tokens import EOS, SPECIAL_TOKENS
from course_lib.worlds.tokenizers import split_words

__all__ = ["candidates", "describe", "draw", "exact", "remarks", "render", "to_draw_from", "write_explorer"]

NextProbabilities = Callable[[list[str]], Tensor]
COUNT = 10
END = SPECIAL_TOKENS[EOS]
TOP_K = [*((str(k), k) for k in (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50)), ("off", 0)]
LEGEND = (
    "Each column adds up to 1. Hatched: exactly 0. Struck through: cut off, cannot be drawn. "
    f"{END} is the token that ends a sentence."
)


def to_draw_from(
    probabilities: Float[Tensor, " vocab"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, " vocab"]:
    """Give the distribution that `generation.sample` draws from: its rules, step by step.

    temperature, top_k, top_p: as in `sample`, whose errors are raised too.
    Shapes: probabilities (vocab,), as the model gives them; returns (vocab,).
    """
    logits = probabilities.log()
    sample(logits[None], temperature, top_k, top_p, torch.Generator().manual_seed(0))  # refuses what it cannot use
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), len(logits)).to(logits.dtype)
    kept, tokens = ((logits - logits.max()) / temperature).topk(min(top_k or len(logits), len(logits)))
    shares = kept.softmax(-1)
    if top_p is not None and top_p < 1:
        shares = shares * (shares.cumsum(-1) - shares < top_p)  # what lies before a token must not reach top_p yet
    return torch.zeros_like(logits).scatter(0, tokens, shares / shares.sum())


def draw(
    probabilities: Float[Tensor, " vocab"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> int:
    """Draw the id of a next token with `generation.sample`, whose parameters and errors these are."""
    return int(sample(probabilities.log()[None], temperature, top_k, top_p, generator))


def exact(language: Language, words: Sequence[str]) -> Float[Tensor, " vocab"] | None:
    """Give the language's own distribution of the next token, or None if no sentence begins so."""
    if strangers(language, words, [END]):
        return None
    try:
        return language.next_token_probabilities([words])[0, -1]
    except ValueError:  # no sentence begins so
        return None


def candidates(model: Float[Tensor, " vocab"], drawn: Float[Tensor, " vocab"]) -> list[int]:
    """Give the ids of the model's ten likeliest tokens; of equally likely ones, those that can be drawn first."""
    shares, chances = model.tolist(), drawn.tolist()
    order = sorted(range(len(shares)), key=lambda token: (-shares[token], -chances[token]))
    return [token for token in order[:COUNT] if shares[token] > 0]


def remarks(language: Language, words: Sequence[str]) -> list[str]:
    """Say what is special about the text so far: unknown words, a beginning of no sentence, its end."""
    strange = strangers(language, words, [END])
    if strange:
        names = ", ".join(f"'{word}'" for word in strange)
        return [f"Not a word of this language: {names}. The model reads <unk> there, and no exact answer exists."]
    if words[-1] == END:
        whole = exact(language, words) is not None
        return [f"This is {'a whole' if whole else 'no'} sentence of the language."]
    if exact(language, words) is None:
        return ["No sentence of this language begins so, so no exact answer exists; the model goes on all the same."]
    return []


def describe(
    words: Sequence[str],
    tokens: Sequence[str],
    model: Float[Tensor, " vocab"],
    drawn: Float[Tensor, " vocab"],
    truth: Float[Tensor, " vocab"] | None,
) -> str:
    """Say in plain words what is likeliest to come next, and among how many tokens a draw chooses."""
    count = int((drawn > 0).sum())
    choice = "A draw can only give one token" if count == 1 else f"A draw chooses among {count} tokens"
    known = "" if truth is None else f"; {EXACT} {favourite(truth, tokens)}"
    return f"Likeliest after '{words[-1]}': model {favourite(model, tokens)}{known}. {choice} of {len(tokens)}."


def render(
    model: Float[Tensor, " vocab"],
    language: Language,
    words: Sequence[str],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> str:
    """Write the view as HTML: a sentence, and a line of bars for each of the ten likeliest tokens.

    model: its probabilities of the next token. The columns: the model's, those a draw is made from, the language's own.
    All words are escaped. Errors as in `to_draw_from`.
    """
    tokens = language.tokenizer.tokens
    drawn, truth = to_draw_from(model, temperature, top_k, top_p), exact(language, words)
    columns = {"model": model, "after the sliders": drawn} | ({} if truth is None else {EXACT: truth})
    shown = candidates(model, drawn)
    rows = []
    for token in shown:
        look = "" if drawn[token] > 0 else "cut"
        rows.append(Row(tokens[token], [float(column[token]) for column in columns.values()], look=look))
    rows += rest([*columns.values()], shown)
    table = bars(f"What comes after '{words[-1]}'", rows, [*columns], exact=truth is not None)
    said = status(describe(words, tokens, model, drawn, truth)) + paragraphs(remarks(language, words))
    return f"{WORD_STYLE}{said}{table}{paragraphs([LEGEND])}"


def write_explorer(next_probabilities: NextProbabilities, language: Language, start: str = "the") -> widgets.VBox:
    """Make the explorer: click a token to append it, or draw one; move temperature, top-k and top-p; undo.

    next_probabilities: a function from the words so far to probabilities (vocab,) over the ids of language.tokenizer.
    start: the words to begin with; the learner can type others. At most 16 tokens are written. Draws come from a
    generator with a fixed seed, so that a page made anew draws the same.
    DOM classes: write-explorer, write-explorer-text (the text so far), write-explorer-candidate (each token's button),
    write-explorer-view (the output).
    Raises ValueError if start has no word, or if the model gives another shape or no probabilities.
    """
    return _Page(next_probabilities, language, start).box


class _Page:
    """The widgets, and what they share: the words so far, and what the model says of them."""

    def __init__(self, next_probabilities: NextProbabilities, language: Language, start: str) -> None:
        self.next_probabilities, self.language = next_probabilities, language
        self.generator = torch.Generator().manual_seed(0)
        self.start = sentence_field(start, "write_explorer", MAX_WORDS, "start")
        looks = {"style": {"description_width": "90px"}, "layout": {"width": "275px"}}
        self.temperature = widgets.FloatSlider(1.0, min=0.0, max=2.0, step=0.1, description="temperature", **looks)
        self.top_k = widgets.SelectionSlider(options=TOP_K, value=0, description="top-k", **looks)
        self.top_p = widgets.FloatSlider(1.0, min=0.05, max=1.0, step=0.05, description="top-p", **looks)
        self.drawing = widgets.Button(description="draw", icon="random", tooltip="Append a token drawn at random")
        self.undo = widgets.Button(description="undo", icon="undo", tooltip="Take the last token away")
        self.again = widgets.Button(description="start again", icon="refresh", tooltip="Go back to the start")
        self.text = widgets.HTML()
        self.text.add_class("explorer-view").add_class("write-explorer-text")
        self.candidates = widgets.HBox(layout={"flex_flow": "row wrap"})
        self.candidates.children = [
            token_button("write-explorer-candidate", lambda _, place=place: self._append(self.ids[place]))
            for place in range(COUNT)
        ]
        self.view = widgets.HTML()
        self.view.add_class("explorer-view").add_class("write-explorer-view")
        wrap = {"flex_flow": "row wrap"}
        rules = widgets.HBox([self.temperature, self.top_k, self.top_p], layout=wrap)
        actions = widgets.HBox([self.drawing, self.undo, self.again], layout=wrap)
        self.box = widgets.VBox([self.start, rules, self.text, self.candidates, actions, self.view])
        self.box.add_class("write-explorer")
        self._restart()
        self.start.observe(self._restart, "value")
        for control in (self.temperature, self.top_k, self.top_p):
            control.observe(self._show, "value")
        self.drawing.on_click(self._draw)
        self.undo.on_click(lambda _: self._write(self.words[:-1]))
        self.again.on_click(self._restart)

    def _rules(self) -> tuple[float, int | None, float]:
        return self.temperature.value, self.top_k.value or None, self.top_p.value

    def _restart(self, change: object = None) -> None:
        words = split_words(self.start.value)[:MAX_WORDS]
        if words:
            self.first = len(words)
            self._write(words)

    def _draw(self, button: widgets.Button) -> None:
        self._append(draw(self.model, *self._rules(), self.generator))

    def _append(self, token: int) -> None:
        self._write([*self.words, self.language.tokenizer.tokens[token]])

    def _write(self, words: list[str]) -> None:
        """Take these words as the text so far, and ask the model once, however the sliders move."""
        self.words = words
        self.over = words[-1] == END or len(words) >= MAX_WORDS
        if not self.over:
            shape = (self.language.tokenizer.vocab_size,)
            self.model = checked("next_probabilities", self.next_probabilities(list(words)), shape)
        self._show()

    def _show(self, change: object = None) -> None:
        """Write text, candidates and view anew; the buttons stay the same ones, so that the keyboard's focus stays."""
        chips = " ".join(f'<span class="word">{escape(word)}</span>' for word in self.words)
        chips += "" if self.over else ' <span class="word next">?</span>'
        self.text.value = f"{WORD_STYLE}<p>Text so far: {chips}</p>"
        self.ids = [] if self.over else candidates(self.model, to_draw_from(self.model, *self._rules()))
        for place, button in enumerate(self.candidates.children):
            given = place < len(self.ids)
            word = self.language.tokenizer.tokens[self.ids[place]] if given else ""
            button.description, button.tooltip = word, f"Append '{word}'"
            button.layout.display = None if given else "none"
        self.drawing.disabled = self.over
        self.undo.disabled = len(self.words) <= self.first
        if self.over:
            ended = self.words[-1] == END
            why = "The text has ended" if ended else f"{MAX_WORDS} tokens are as far as this page goes"
            lines = paragraphs(remarks(self.language, self.words))
            self.view.value = WORD_STYLE + status(f"{why}: undo, or start again.") + lines
        else:
            self.view.value = render(self.model, self.language, self.words, *self._rules())
