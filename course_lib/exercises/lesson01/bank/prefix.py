"""Known mistakes and right answers for `create_prefix_mask`."""

import torch

from course_lib import masks
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson01 import run
from course_lib.exercises.lesson01.bank.causal import MADE_BY_TORCH

__all__ = ["PREFIX"]


def _in_prefix(prefix_len, seq_len):
    return torch.arange(seq_len) < prefix_len


def _clamped(prefix_len, seq_len):
    return masks.create_prefix_mask(min(max(prefix_len, 0), seq_len), seq_len)


def _blocks(prefix_len, seq_len):
    in_prefix = _in_prefix(prefix_len, seq_len)
    return masks.create_causal_mask(seq_len) & (in_prefix == in_prefix[:, None]) | in_prefix & in_prefix[:, None]


def _roles_swapped(prefix_len, seq_len):
    in_prefix = _in_prefix(prefix_len, seq_len)
    return masks.create_causal_mask(seq_len) | ~in_prefix[:, None]


def _two_axes(prefix_len, seq_len):
    position = torch.arange(seq_len)
    return position <= position[:, None], position < prefix_len


def _python_or(prefix_len, seq_len):
    causal, in_prefix = _two_axes(prefix_len, seq_len)
    return (causal or in_prefix)[None, None]


def _chained(prefix_len, seq_len):
    position = torch.arange(seq_len)
    return (position <= position[:, None] | position < prefix_len)[None, None]


def _bar_before_the_comparison(prefix_len, seq_len):
    position = torch.arange(seq_len)
    return (position <= position[:, None] | (position < prefix_len))[None, None]


def _bar_before_the_second_comparison(prefix_len, seq_len):
    position = torch.arange(seq_len)
    return ((position < prefix_len) | position <= position[:, None])[None, None]


def _by_assigning(prefix_len, seq_len):
    mask = torch.tril(torch.ones(seq_len, seq_len, dtype=torch.bool))
    mask[:, :prefix_len] = True
    return mask.unsqueeze(0).unsqueeze(0)


def _by_lists(prefix_len, seq_len):
    return torch.tensor([[[[j <= max(i, prefix_len - 1) for j in range(seq_len)] for i in range(seq_len)]]])


def _by_reach(prefix_len, seq_len):
    position = torch.arange(seq_len)
    reach = position.clamp(min=prefix_len - 1)
    return (position <= reach[:, None]).expand(1, 1, seq_len, seq_len)


def _by_rows(prefix_len, seq_len):
    mask = torch.zeros(1, 1, seq_len, seq_len, dtype=torch.bool)
    for i in range(seq_len):
        mask[0, 0, i, : max(i + 1, prefix_len)] = True
    return mask


def _by_excluding(prefix_len, seq_len):
    future = torch.ones(1, 1, seq_len, seq_len).triu(1)
    future[..., :prefix_len] = 0
    return ~future.bool()


def _by_joining(prefix_len, seq_len):
    columns = torch.ones(seq_len, prefix_len, dtype=torch.bool)
    rest = torch.ones(seq_len, seq_len, dtype=torch.bool).tril()[:, prefix_len:]
    return torch.cat((columns, rest), dim=1)[None, None]


PREFIX = Exercise(
    side=run.PREFIX,
    reference=masks.create_prefix_mask,
    groups={"which pairs may attend": 2, "no prefix: the causal mask": 1, "all prefix: every pair": 1},
    difficulty=2,
    minutes=4,
    misconceptions={
        "inverted": Misconception(
            lambda prefix_len, seq_len: ~masks.create_prefix_mask(prefix_len, seq_len),
            "Your mask marks what is forbidden. In this course True means may attend.",
        ),
        "transposed": Misconception(
            lambda prefix_len, seq_len: masks.create_prefix_mask(prefix_len, seq_len).mT,
            "Rows and columns are swapped: rows are queries (who looks), columns are keys (who is looked at). In the "
            "first row you should find the whole prefix, and nothing else.",
        ),
        "the prefix one token too long": Misconception(
            lambda prefix_len, seq_len: _clamped(prefix_len + 1, seq_len),
            "One token too many counts as prefix. Positions start at 0, so a prefix of 2 tokens is the positions 0 "
            "and 1: compare with <, not <=.",
        ),
        "the prefix one token too short": Misconception(
            lambda prefix_len, seq_len: _clamped(prefix_len - 1, seq_len),
            "The last token of the prefix does not count as prefix. A prefix of 2 tokens is the positions 0 and 1.",
        ),
        "the prefix is counted from the end": Misconception(
            lambda prefix_len, seq_len: masks.create_prefix_mask(seq_len - prefix_len, seq_len),
            "You opened seq_len - prefix_len columns. The prefix is the first prefix_len of them: "
            "position < prefix_len.",
        ),
        "the arguments are swapped": Misconception(
            lambda seq_len, prefix_len: (torch.arange(seq_len) < max(prefix_len, 0)).expand(1, 1, seq_len, seq_len),
            "The side of your mask is prefix_len. The function is called as create_prefix_mask(prefix_len, seq_len), "
            "the prefix first: leave the signature as it was.",
        ),
        "| before the comparison": Misconception(
            _bar_before_the_comparison,
            "In Python | binds tighter than <= and <, so yours joins numbers first and compares afterwards. Put "
            "brackets round each comparison: (… <= …) | (… < …).",
        ),
        "one truth for a whole tensor": Misconception(
            _python_or,
            "`or`, `if` and a chain a <= b < c want to know whether a whole tensor is true, which has no answer. | "
            "works entry by entry, with brackets round each comparison: (… <= …) | (… < …).",
        ),
        "the prefix is ignored": Misconception(
            lambda prefix_len, seq_len: masks.create_causal_mask(seq_len),
            "That is the causal mask: prefix_len has no effect. Inside the prefix, tokens also see the ones "
            "behind them.",
        ),
        "everybody sees everything": Misconception(
            lambda prefix_len, seq_len: masks.create_bidirectional_mask(seq_len),
            "That is the bidirectional mask: behind the prefix, a token must not see the ones after it.",
        ),
        "the prefix sees the future": Misconception(
            lambda prefix_len, seq_len: (
                masks.create_causal_mask(seq_len) | _in_prefix(prefix_len, seq_len)[:, None]
            ),
            "You opened the rows of the prefix, so its tokens see the whole sequence, answer included. The prefix is "
            "what everybody may look at: open its columns.",
        ),
        "nobody sees beyond the prefix": Misconception(
            lambda prefix_len, seq_len: _in_prefix(prefix_len, seq_len).expand(1, 1, seq_len, seq_len),
            "Every token sees the prefix, and the tokens behind it see neither themselves nor each other. A key is "
            "allowed when it is in the prefix or not after the query.",
        ),
        "and instead of or": Misconception(
            lambda prefix_len, seq_len: masks.create_causal_mask(seq_len) & _in_prefix(prefix_len, seq_len),
            "You ask for both: not after the query and in the prefix. One of the two is enough, so the prefix adds "
            "pairs to the causal mask and takes none away.",
        ),
        "later tokens forget the prefix": Misconception(
            _blocks,
            "The prefix sees itself and the rest sees itself, as if they were two sequences. The tokens behind the "
            "prefix must see it too: it is the question they answer.",
        ),
        "the roles are swapped": Misconception(
            _roles_swapped,
            "Your prefix is causal and what follows sees everything. It is the other way round: the prompt is read in "
            "both directions, the answer is written from left to right.",
        ),
        "the suffix is open": Misconception(
            lambda prefix_len, seq_len: masks.create_causal_mask(seq_len) | ~_in_prefix(prefix_len, seq_len),
            "You opened the columns behind the prefix, so everybody sees the answer. The prefix is the positions "
            "below prefix_len.",
        ),
        "the diagonal is shifted": Misconception(
            lambda prefix_len, seq_len: masks.create_bidirectional_mask(seq_len).tril(prefix_len),
            "tril(prefix_len) lets every token see prefix_len tokens ahead, a band that moves along. The prefix is "
            "a fixed set of columns: position < prefix_len.",
        ),
        "the diagonal is shifted to fit the first row": Misconception(
            lambda prefix_len, seq_len: masks.create_bidirectional_mask(seq_len).tril(prefix_len - 1),
            "The first row is right, and each further row sees one token more. tril moves a band along; the prefix "
            "is a fixed set of columns: position < prefix_len.",
        ),
        "the diagonal is excluded": Misconception(
            lambda prefix_len, seq_len: (
                torch.ones(1, 1, seq_len, seq_len).tril(-1).bool() | _in_prefix(prefix_len, seq_len)
            ),
            "Behind the prefix, a token does not see itself. The rule is j <= i, not j < i.",
        ),
        "numbers instead of booleans": Misconception(
            lambda prefix_len, seq_len: masks.create_prefix_mask(prefix_len, seq_len).float(),
            "The pattern is right and the dtype is not: masks here are boolean, so that they combine with &. "
            "Ask for dtype=torch.bool, or compare.",
        ),
        "exclusive or": Misconception(
            lambda prefix_len, seq_len: masks.create_causal_mask(seq_len) ^ _in_prefix(prefix_len, seq_len),
            "Where both rules hold, yours says False. ^ asks whether they differ; one of them or both is enough, and "
            "that is |.",
        ),
        "a single column is open": Misconception(
            lambda prefix_len, seq_len: (
                masks.create_causal_mask(seq_len) | (torch.arange(seq_len) == prefix_len)
            ),
            "You opened one column, the one at prefix_len. The prefix is all the columns before it: a slice "
            "[..., :prefix_len], or position < prefix_len.",
        ),
        "numbers, and two axes are missing": Misconception(
            lambda prefix_len, seq_len: masks.create_prefix_mask(prefix_len, seq_len)[0, 0].float(),
            "The pattern is right. Two things are missing: the mask is boolean (dtype=torch.bool), and its shape is "
            "(1, 1, seq_len, seq_len), so that it broadcasts over batch and heads.",
        ),
        "the batch and head axes are missing": Misconception(
            lambda prefix_len, seq_len: masks.create_prefix_mask(prefix_len, seq_len)[0, 0],
            "The pattern is right and two axes are missing: the mask must broadcast over (batch, heads, queries, "
            "keys), so its shape is (1, 1, seq_len, seq_len).",
        ),
    },
    variants={
        "| before the comparison": (_bar_before_the_second_comparison,),
        "one truth for a whole tensor": (_chained,),
    },
    alternatives=[_by_assigning, _by_lists, _by_reach, _by_rows, _by_excluding, _by_joining],
    forbidden={
        name: f"create_prefix_mask uses {name}, which is exercise 1, made by torch; build the mask from positions, or "
        "use your own create_causal_mask."
        for name in MADE_BY_TORCH
    },
    hints=(
        "Draw the 4 × 4 table for a prefix of 2. Start from the causal mask: which cells become True as well?",
        "Two rules, either is enough: the key is not after the query; the key is in the prefix. The second rule asks "
        "about the key alone, so it opens whole columns.",
        "position < prefix_len is a row of seq_len booleans; with | it opens those columns in every row of the causal "
        "mask.",
    ),
)
