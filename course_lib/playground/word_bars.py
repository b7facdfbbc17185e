"""What the explorers of words share: probabilities of words as horizontal bars, and what is said of strange words."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.playground.explorer import STYLE
from course_lib.worlds.language import Language
from course_lib.worlds.special_tokens import FIRST_ORDINARY, MASK, SPECIAL_TOKENS

__all__ = [
    "EXACT",
    "MASK_TOKEN",
    "MAX_WORDS",
    "WORD_STYLE",
    "Row",
    "bars",
    "checked",
    "favourite",
    "number",
    "paragraphs",
    "rest",
    "strangers",
]

MAX_WORDS = 16
MASK_TOKEN = SPECIAL_TOKENS[MASK]
EXACT = "the language's own answer"
SAME = 1e-9  # probabilities are float64: what differs by less is rounding

# The bars of a column are told apart by its heading too, and what is exactly 0 by hatching and its number.
WORD_STYLE = f"""{STYLE}<style>
.explorer-view table.bars th {{font-weight: 400; text-align: left; border: none; padding: 1px 8px 1px 0;
    white-space: nowrap}}
.explorer-view table.bars thead th {{font-weight: 600}}
.explorer-view table.bars td {{border: none; text-align: left; white-space: nowrap; padding: 1px 8px 1px 0}}
.explorer-view table.bars tr, .explorer-view table.bars tr:hover {{background: transparent}}
.explorer-view table.bars tr.marked th, .explorer-view table.bars tr.marked td {{font-weight: 700}}
.explorer-view table.bars tr.rest th {{font-style: italic}}
.explorer-view .room {{display: inline-block; box-sizing: border-box; width: 150px; height: 13px; margin-right: 6px;
    vertical-align: -2px; border-left: 2px solid currentColor}}
.explorer-view .scroll {{overflow-x: auto}} .explorer-view > * {{min-width: 0}}
.explorer-view .both.lists {{align-items: flex-start; column-gap: 24px}} .explorer-view .lists .room {{width: 75px}}
.explorer-view .room.zero {{background: repeating-linear-gradient(
    135deg, transparent 0 5px, rgba(128, 128, 128, .5) 5px 6px)}}
.explorer-view .room span {{display: block; height: 100%; width: calc(100% * var(--share)); background: #0072B2}}
.explorer-view td.column-1 .room span {{background: #E69F00}}
.explorer-view td.exact .room span {{background: #009E73}}
.explorer-view .word {{display: inline-block; margin: 2px 4px 2px 0; padding: 1px 7px;
    border: 1px solid rgba(128, 128, 128, .6); border-radius: 3px}}
.explorer-view .word.next {{border: 2px dashed currentColor}}
.explorer-view p.heading {{font-weight: 700; margin-top: 14px; border-bottom: 1px solid rgba(128, 128, 128, .5)}}
</style>"""


class Row(NamedTuple):
    """One line of bars: a word, its probability in each column, a note behind them, and how the line looks.

    look: "" as usual, "marked" in bold behind a "▶", "cut" with the word struck through, "rest" in italics.
    """

    word: str
    shares: Sequence[float]
    note: str = ""
    look: str = ""


def number(share: float) -> str:
    """Write a probability with two digits, so that only what is 0 or 1 reads as 0 or 1."""
    if share <= 0 or share > 1 - 1e-6:
        return "0" if share <= 0 else "1"
    if not 0.005 <= share < 0.995:
        return "<0.01" if share < 0.005 else ">0.99"
    return f"{share:.2f}"


def bars(caption: str, rows: Sequence[Row], columns: Sequence[str] = (), exact: bool = False) -> str:
    """Write one table of bars with their numbers.

    columns: their headings, if they need any. exact: the last column holds exact answers. All words are escaped.
    """
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    head = f'<thead><tr><th scope="col">token</th>{heads}</tr></thead>' if columns else ""
    body = "".join(_line(row, exact) for row in rows)
    lines = f"<caption>{escape(caption)}</caption>{head}<tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="bars">{lines}</table></div>'


def rest(shares: Sequence[Float[Tensor, " vocab"]], shown: Sequence[int]) -> list[Row]:
    """Sum up all tokens that are not shown in one line; in none where all are shown. shares: one for each column."""
    others = torch.ones(len(shares[0]), dtype=torch.bool)
    others[list(shown)] = False
    count = int(others.sum())
    return [Row(f"all {count} others", [float(share[others].sum()) for share in shares], look="rest")] if count else []


def favourite(probabilities: Float[Tensor, " vocab"], tokens: Sequence[str]) -> str:
    """Name the likeliest word and its probability, and say so where others are just as likely."""
    best = float(probabilities.max())
    first, *others = (probabilities >= best - SAME).nonzero().flatten().tolist()
    more = f" and {len(others)} more" if others else ""
    return f"'{tokens[first]}'{more} ({number(best)}{' each' if others else ''})"


def checked(name: str, given: Tensor, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
    """Take what a model gave as float64 on the CPU.

    Raises ValueError if it has another shape, or if a row is no distribution (logits, say).
    """
    given = torch.as_tensor(given).detach().cpu().double()
    if given.shape != shape:
        raise ValueError(f"{name} must give probabilities of shape {shape}, got {tuple(given.shape)}")
    if not ((given >= 0).all() and ((given.sum(-1) - 1).abs() < 1e-3).all()):
        raise ValueError(f"{name} must give probabilities, each row adding up to 1, such as the softmax of logits")
    return given


def strangers(language: Language, words: Sequence[str], known: Sequence[str] = ()) -> list[str]:
    """Give the words, each once, that the language does not have. known: special tokens that are welcome."""
    welcome = {*language.tokenizer.tokens[FIRST_ORDINARY:], *known}
    return [word for word in dict.fromkeys(words) if word not in welcome]


def paragraphs(lines: Sequence[str]) -> str:
    """Write each line that is not empty as a paragraph, escaped."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines if line)


def _line(row: Row, exact: bool) -> str:
    word = {"cut": "<s>{}</s>", "marked": "▶ {}"}.get(row.look, "{}").format(escape(row.word))
    cells = "".join(
        f'<td class="{"exact" if exact and place == len(row.shares) - 1 else f"column-{place}"}">'
        f'<span class="room{"" if share > 0 else " zero"}" aria-hidden="true">'
        f'<span style="--share: {min(share, 1):.4f}"></span></span>{escape(number(share))}</td>'
        for place, share in enumerate(row.shares)
    )
    note = f"<td>{escape(row.note)}</td>" if row.note else ""
    return f'<tr{f" class={row.look}" if row.look else ""}><th scope="row">{word}</th>{cells}{note}</tr>'
