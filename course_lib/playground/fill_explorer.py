"""Fill explorer: click words to hide them, and see what each model puts there, beside the language's exact answer.

The functions above `fill_explorer` compute plain values and HTML: they are tested without a browser.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from html import escape

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.playground.explorer import sentence_field, status, token_button
from course_lib.playground.word_bars import (
    EXACT,
    MASK_TOKEN,
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
from course_lib.worlds.tokenizers import split_words

__all__ = ["Models", "ask", "describe", "fill_explorer", "likeliest", "remarks", "render"]

Models = Mapping[str, Callable[[list[str]], Tensor]]
COUNT = 5  # words that each model shows
LEGEND = "Bars are probabilities, each list adding up to 1. ▶ the hidden word. Hatched: exactly 0."


def ask(models: Models, language: Language, shown: Sequence[str]) -> dict[str, Float[Tensor, "length vocab"]]:
    """Give what every model and, last, the language itself say about each position; no exact answer, no entry.

    shown: the words, "<mask>" standing for a hidden one.
    Shapes: each of (length, vocab), float64. Raises ValueError if a model gives another shape or no probabilities.
    """
    shape = (len(shown), language.tokenizer.vocab_size)
    answers = {name: checked(name, model(list(shown)), shape) for name, model in models.items()}
    if not strangers(language, shown, [MASK_TOKEN]) and language.log_probability([shown])[0] > -torch.inf:
        answers[EXACT] = language.masked_probabilities([shown])[0]
    return answers


def likeliest(probabilities: Float[Tensor, " vocab"], tokens: Sequence[str], hidden: str) -> list[Row]:
    """Give a line for each of the five likeliest words, for the hidden one wherever it ranks, and for all others.

    hidden: the word that stood there, "<mask>" if none is known; it comes first among equally likely words.
    """
    shares = probabilities.tolist()
    order = sorted(range(len(tokens)), key=lambda token: (-shares[token], tokens[token] != hidden))
    shown = [token for token in order[:COUNT] if shares[token] > 0]
    if hidden in tokens and hidden != MASK_TOKEN and tokens.index(hidden) not in shown:
        shown.append(tokens.index(hidden))
    rows = []
    for token in shown:
        rank = order.index(token)
        note = f"rank {rank + 1}" if rank >= COUNT and shares[token] > 0 else ""
        look = "marked" if tokens[token] == hidden != MASK_TOKEN else ""
        rows.append(Row(tokens[token], [shares[token]], note, look))
    return rows + rest([probabilities], shown)


def describe(
    answers: Mapping[str, Float[Tensor, "length vocab"]],
    tokens: Sequence[str],
    words: Sequence[str],
    hidden: Collection[int],
) -> str:
    """Say in plain words what each answer holds likeliest at the hidden positions; only where, if they are many."""
    if not hidden:
        return "Nothing is hidden yet: click a word above, and see what is put in its place."
    if len(hidden) > 2:
        return f"{len(hidden)} words are hidden, at positions {', '.join(map(str, sorted(hidden)))}."
    sentences = []
    for place in sorted(hidden):
        said = "; ".join(f"{name} {favourite(answer[place], tokens)}" for name, answer in answers.items())
        sentences.append(f"Likeliest where {_who(words[place])} (position {place}): {said}.")
    return " ".join(sentences)


def remarks(language: Language, words: Sequence[str], hidden: Collection[int]) -> list[str]:
    """Say what is special about this sentence: unknown words, no sentence of the language, several hidden words."""
    shown = _hide(words, hidden)
    said = []
    strange = strangers(language, shown, [MASK_TOKEN])
    if strange:
        names = ", ".join(f"'{word}'" for word in strange)
        said.append(f"Not a word of this language: {names}. Models read <unk> there, and no exact answer exists.")
    elif language.log_probability([shown])[0] == -torch.inf:
        said.append(
            f"No sentence of this language {'has these words in these places' if hidden else 'reads so'}, "
            "so no exact answer exists; models answer all the same."
        )
    lost = strangers(language, [words[place] for place in sorted(hidden)], [MASK_TOKEN])
    if lost:
        names = ", ".join(f"'{word}'" for word in lost)
        said.append(f"Hidden, but not a word of this language, so that nobody can guess it: {names}.")
    if len(hidden) > 1:
        said.append("Each hidden word is answered by itself: no answer knows what was put in another place.")
    return said


def render(models: Models, language: Language, words: Sequence[str], hidden: Collection[int]) -> str:
    """Write the view as HTML: a sentence, and bars for each hidden word. All words are escaped.

    hidden: positions; where the word is "<mask>", it is hidden anyway. Errors as in `ask`.
    """
    hidden = _all_hidden(words, hidden)
    tokens = language.tokenizer.tokens
    answers = ask(models, language, _hide(words, hidden)) if hidden else {}
    parts = [WORD_STYLE, status(describe(answers, tokens, words, hidden))]
    parts.append(paragraphs(remarks(language, words, hidden)))
    for place in sorted(hidden):
        tables = "".join(
            bars(name, likeliest(answer[place], tokens, words[place]), exact=name == EXACT)
            for name, answer in answers.items()
        )
        heading = escape(f"Position {place}: {_who(words[place])}")
        parts.append(
            f'<div role="group" aria-label="{heading}"><p class="heading">{heading}</p>'
            f'<div class="both lists">{tables}</div></div>'
        )
    if hidden:
        parts.append(paragraphs([LEGEND]))
    return "".join(parts)


def fill_explorer(
    models: Models,
    language: Language,
    sentence: str = "the bank near the river flooded .",
    hidden: Collection[int] = (),
) -> widgets.VBox:
    """Make the explorer: click words to hide them, click again to show them; type another sentence, or draw one.

    models: name -> a function from words, "<mask>" for hidden ones, to probabilities (length, vocab) over the ids of
    language.tokenizer. sentence: at most 16 words. hidden: the positions to begin with; they stay hidden when the
    sentence changes.
    DOM classes: fill-explorer, fill-explorer-token (each word's button), fill-explorer-view (the output).
    Raises ValueError without a model, without a word, if a hidden position is not in the sentence, or as `ask` does.
    """
    if not models:
        raise ValueError("fill_explorer needs at least one model, got none")
    if EXACT in models:
        raise ValueError(f"a model must not be called {EXACT!r}: that is the name of the exact answer")
    page = _Page(models, language, sentence, hidden)
    return page.box


class _Page:
    """The widgets, and what they share: the words, and which positions are hidden."""

    def __init__(self, models: Models, language: Language, sentence: str, hidden: Collection[int]) -> None:
        self.models, self.language, self.hidden = models, language, set(hidden)
        self.sentence = sentence_field(sentence, "fill_explorer", MAX_WORDS)
        length = len(split_words(sentence)[:MAX_WORDS])
        for place in sorted(self.hidden):
            if not 0 <= place < length:
                raise ValueError(f"hidden positions must be between 0 and {length - 1}, got {place}")
        another = widgets.Button(description="another sentence", tooltip="Draw a sentence of the language")
        self.generator = torch.Generator().manual_seed(0)
        self.tokens = widgets.HBox(layout={"flex_flow": "row wrap"})
        self.view = widgets.HTML()
        self.view.add_class("explorer-view").add_class("fill-explorer-view")
        top = widgets.HBox([self.sentence, another], layout={"flex_flow": "row wrap"})
        self.box = widgets.VBox([top, self.tokens, self.view])
        self.box.add_class("fill-explorer")
        self._new_sentence()
        self.sentence.observe(self._new_sentence, "value")
        another.on_click(self._draw_sentence)

    def _new_sentence(self, change: object = None) -> None:
        words = split_words(self.sentence.value)
        if not words:
            return
        self.left_out, self.words = words[MAX_WORDS:], words[:MAX_WORDS]
        self.tokens.children = [
            token_button("fill-explorer-token", lambda _, place=place: self._toggle(place))
            for place in range(len(self.words))
        ]
        self._show()

    def _draw_sentence(self, button: widgets.Button) -> None:
        drawn = self.language.sample(1, self.generator)[0]
        self.sentence.value = " ".join(drawn)

    def _toggle(self, place: int) -> None:
        self.hidden ^= {place}
        self._show()

    def _show(self) -> None:
        hidden = _all_hidden(self.words, self.hidden)
        for place, (word, button) in enumerate(zip(self.words, self.tokens.children, strict=True)):
            button.description = f"{place} {MASK_TOKEN if place in hidden else word}"
            button.tooltip = f"Show '{word}' again" if place in hidden else f"Hide '{word}'"
            if word == MASK_TOKEN:  # typed by the learner: there is no word to show
                button.tooltip = f"Type a word in place of {MASK_TOKEN}"
            button.button_style = "primary" if place in hidden else ""
        short = [f"Only the first {MAX_WORDS} words are used."] if self.left_out else []
        self.view.value = render(self.models, self.language, self.words, hidden) + paragraphs(short)


def _all_hidden(words: Sequence[str], hidden: Collection[int]) -> set[int]:
    return {place for place, word in enumerate(words) if place in hidden or word == MASK_TOKEN}


def _hide(words: Sequence[str], hidden: Collection[int]) -> list[str]:
    return [MASK_TOKEN if place in hidden else word for place, word in enumerate(words)]


def _who(word: str) -> str:
    return "a word is hidden" if word == MASK_TOKEN else f"'{word}' is hidden"
