"""Known mistakes and right answers for `create_causal_mask`."""

import torch

from course_lib import masks
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson01 import run

__all__ = ["CAUSAL", "MADE_BY_TORCH"]

MADE_BY_TORCH = (
    "generate_square_subsequent_mask",
    "_generate_square_subsequent_mask",
    "causal_lower_right",
    "causal_upper_left",
)


def _square(seq_len, device=None):
    return torch.ones(1, 1, seq_len, seq_len, dtype=torch.bool, device=device)


def _causal_by_comparing(seq_len, device=None):
    position = torch.arange(seq_len, device=device)
    return (position[None, :] <= position[:, None])[None, None]


def _causal_by_rows(seq_len, device=None):
    mask = torch.zeros((1, 1, seq_len, seq_len), dtype=torch.bool, device=device)
    for i in range(seq_len):
        mask[..., i, : i + 1] = True
    return mask


def _causal_by_lists(seq_len, device=None):
    rows = [[j <= i for j in range(seq_len)] for i in range(seq_len)]
    return torch.tensor([[rows]], device=device)


def _causal_by_excluding(seq_len, device=None):
    future = torch.triu(torch.ones(seq_len, seq_len, device=device), diagonal=1)
    return (future == 0).unsqueeze(0).unsqueeze(0)


def _causal_by_counting(seq_len, device=None):
    steps = torch.ones(seq_len, seq_len, dtype=torch.int64, device=device).cumsum(0)
    return (steps >= torch.arange(1, seq_len + 1, device=device)).view(1, 1, seq_len, seq_len)


CAUSAL = Exercise(
    side=run.CAUSAL,
    reference=masks.create_causal_mask,
    groups={"which pairs may attend": 2, "a single token": 1, "on the device asked for": 1},
    difficulty=1,
    minutes=5,
    misconceptions={
        "transposed": Misconception(
            lambda seq_len, device=None: _square(seq_len, device).triu(),
            "Each token sees itself and the future. Rows are queries (who looks), columns are keys (who is looked "
            "at): row 0, the first token, may look at column 0 alone. Keep the lower triangle.",
        ),
        "the diagonal is excluded": Misconception(
            lambda seq_len, device=None: _square(seq_len, device).tril(-1),
            "A token may look at itself: the rule is j <= i, not j < i. Without the diagonal the first token has "
            "nothing to look at.",
        ),
        "inverted": Misconception(
            lambda seq_len, device=None: ~_square(seq_len, device).tril(),
            "Your mask marks what is forbidden. In this course True means may attend, so the future is False.",
        ),
        "reaches one token too far": Misconception(
            lambda seq_len, device=None: _square(seq_len, device).tril(1),
            "Token i also sees token i + 1, the very token it has to predict. Look at the diagonal you keep.",
        ),
        "numbers instead of booleans": Misconception(
            lambda seq_len, device=None: _square(seq_len, device).tril().float(),
            "The pattern is right and the dtype is not: masks here are boolean, so that they combine with & and "
            "nobody mistakes 0.0 for a score. Ask for dtype=torch.bool, or compare.",
        ),
        "minus infinity instead of booleans": Misconception(
            lambda seq_len, device=None: torch.full((1, 1, seq_len, seq_len), -torch.inf, device=device).triu(1),
            "That is an additive mask, made to be added to scores: 0 where allowed, minus infinity where not. The "
            "mask asked for is boolean, True where a token may attend.",
        ),
        "the batch and head axes are missing": Misconception(
            lambda seq_len, device=None: _square(seq_len, device).tril()[0, 0],
            "The pattern is right and two axes are missing: the mask must broadcast over (batch, heads, queries, "
            "keys), so its shape is (1, 1, seq_len, seq_len).",
        ),
        "numbers, and two axes are missing": Misconception(
            lambda seq_len, device=None: torch.ones(seq_len, seq_len, device=device).tril(),
            "The pattern is right. Two things are missing: the mask is boolean (dtype=torch.bool), and its shape is "
            "(1, 1, seq_len, seq_len), so that it broadcasts over batch and heads.",
        ),
        "built on the default device": Misconception(
            lambda seq_len, device=None: _square(seq_len).tril(),
            "The mask is right and on the wrong device: hand `device` on to the function that makes the tensor.",
        ),
    },
    alternatives=[
        _causal_by_comparing,
        _causal_by_rows,
        _causal_by_lists,
        _causal_by_excluding,
        _causal_by_counting,
    ],
    forbidden={
        name: f"create_causal_mask uses {name}, which is the exercise itself, made by torch; build the mask from "
        "positions."
        for name in MADE_BY_TORCH
    },
    hints=(
        "Write the 4 × 4 table by hand: one row a query, one column a key. Which cells are True?",
        "torch.arange(seq_len) gives the positions. Compare a column of query positions with a row of key positions.",
        "position[None, :] <= position[:, None] has shape (seq_len, seq_len); add two leading axes, mind `device`.",
    ),
)
