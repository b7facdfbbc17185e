"""Known mistakes and right answers for `merge_heads`."""

import torch

from course_lib import attention
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson02 import run
from course_lib.exercises.lesson02.bank.weights import MADE_BY_TORCH

__all__ = ["MERGE"]


def _merge_by_viewing(x):
    batch, heads, seq, head_dim = x.shape
    return x.transpose(1, 2).contiguous().view(batch, seq, heads * head_dim)


def _merge_by_joining(x):
    return torch.cat([x[:, h] for h in range(x.shape[1])], dim=-1)


def _merge_by_unbinding(x):
    return torch.cat(x.unbind(dim=1), dim=2)


def _merge_by_permuting(x):
    return x.permute(0, 2, 1, 3).flatten(start_dim=-2)


def _merge_by_slices(x):
    batch, heads, seq, head_dim = x.shape
    out = torch.empty(batch, seq, heads * head_dim, dtype=x.dtype)
    for h in range(heads):
        out[:, :, h * head_dim : (h + 1) * head_dim] = x[:, h]
    return out


def _merge_by_columns(x):
    return x.mT.reshape(x.shape[0], -1, x.shape[2]).mT


MERGE = Exercise(
    side=run.MERGE,
    reference=attention.merge_heads,
    groups={run.SIDE_BY_SIDE: 1, run.INVERSE: 1},
    difficulty=2,
    minutes=4,
    misconceptions={
        "merged by a reshape alone": Misconception(
            lambda x: x.reshape(x.shape[0], x.shape[2], -1),
            "The shape is right and the numbers are in wrong places: reshape reads on in memory, through all tokens of "
            "head 0 first. Bring a token's heads next to one another before: swap seq and heads.",
        ),
        "a view of what is not in a row": Misconception(
            lambda x: x.transpose(1, 2).view(x.shape[0], x.shape[2], -1),
            "You swapped the right axes, and then view fails: after transpose the numbers no longer lie in a row in "
            "memory. reshape copies where it must; so does .contiguous() before view.",
        ),
        "a view of x": Misconception(
            lambda x: x.view(x.shape[0], x.shape[2], -1),
            "The shape is right and the numbers are in wrong places, and view fails on a tensor that split_heads made. "
            "Bring a token's heads next to one another first (swap seq and heads), then reshape.",
        ),
        "features dealt out like cards": Misconception(
            lambda x: x.permute(0, 2, 3, 1).flatten(2),
            "Your tokens hold feature 0 of all heads, then feature 1, and so on. The heads stand side by side, each in "
            "one piece: (batch, seq, heads, head_dim) before the last two axes are joined.",
        ),
        "axes of size 1 are dropped": Misconception(
            lambda x: attention.merge_heads(x).squeeze(),
            "The numbers are right, and axes are missing: squeeze takes every axis of size 1. One sequence or one "
            "token is still an axis.",
        ),
        "the heads are added up": Misconception(
            lambda x: x.sum(1),
            "The heads were added up, so it is lost who said what. They stand side by side, heads · head_dim features, "
            "and W_o mixes them afterwards.",
        ),
        "the heads are averaged": Misconception(
            lambda x: x.mean(1),
            "The heads were averaged, so it is lost who said what. They stand side by side, heads · head_dim features, "
            "and W_o mixes them afterwards.",
        ),
        "one head alone": Misconception(
            lambda x: x[:, 0],
            "One head is left, the others are gone. All of them stand side by side: heads · head_dim features.",
        ),
        "the last two axes are not joined": Misconception(
            lambda x: x.transpose(1, 2),
            "The axes are in the right order, (batch, seq, heads, head_dim). Join the last two: flatten(2) or reshape.",
        ),
        "heads and tokens are joined": Misconception(
            lambda x: x.flatten(1, 2),
            "You joined heads and tokens to a longer sequence. The number of tokens stays; their features grow to "
            "heads · head_dim, so cat wants dim=-1 and flatten the last two axes.",
        ),
        "other axes are swapped": Misconception(
            lambda x: x.transpose(2, 3).reshape(x.shape[0], x.shape[2], -1),
            "The shape is right and the numbers are in wrong places: you swapped others than heads and seq, the axes 1 "
            "and 2 counted from 0.",
        ),
        "features and tokens are swapped": Misconception(
            lambda x: x.transpose(2, 3).flatten(1, 2),
            "Your result lies on its side: (batch, d_model, seq). The tokens come first: (batch, seq, d_model).",
        ),
        "batch and tokens are joined": Misconception(
            lambda x: x.transpose(1, 2).flatten(2).flatten(0, 1),
            "The features are right, and all sequences became one. The batch stays an axis of its own: "
            "(batch, seq, heads · head_dim).",
        ),
        "the batch is taken for the heads": Misconception(
            lambda x: torch.cat(list(x), dim=-1),
            "You joined the sequences of the batch: going over a tensor goes over its first axis. The heads are axis "
            "1: x.unbind(1), or swap axes and reshape.",
        ),
    },
    variants={
        "a view of what is not in a row": (
            lambda x: x.contiguous().transpose(1, 2).view(x.shape[0], x.shape[2], -1),
            lambda x: x.permute(0, 2, 1, 3).view(x.shape[0], -1, x.shape[1] * x.shape[3]),
        ),
        "one head alone": (lambda x: x[:, -1],),
        "heads and tokens are joined": (
            lambda x: x.transpose(1, 2).flatten(1, 2),
            lambda x: torch.cat(x.unbind(1), dim=1),
        ),
        "other axes are swapped": (lambda x: x.transpose(1, 3).reshape(x.shape[0], x.shape[2], -1),),
        "batch and tokens are joined": (lambda x: x.transpose(1, 2).reshape(-1, x.shape[1] * x.shape[3]),),
    },
    alternatives=[
        _merge_by_viewing,
        _merge_by_joining,
        _merge_by_unbinding,
        _merge_by_permuting,
        _merge_by_slices,
        _merge_by_columns,
    ],
    forbidden={
        name: f"merge_heads uses {name}, which is attention made by torch; join the features yourself."
        for name in MADE_BY_TORCH
    },
    hints=(
        "One token, two heads of three features: what are its six features afterwards? Which numbers must therefore "
        "be neighbours?",
        "split_heads did two things; undo them in reverse. Which axes were swapped last?",
        "x.transpose(1, 2) is (batch, seq, heads, head_dim); reshape joins the last two axes (view cannot, since "
        "the numbers no longer lie in a row).",
    ),
)
