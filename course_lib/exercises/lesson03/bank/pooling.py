"""Known mistakes and right answers for `pool`."""

import torch

from course_lib import heads
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson03 import run
from course_lib.exercises.lesson03.bank.alone import OneAlone
from course_lib.exercises.lesson03.bank.poolers import (
    at_place,
    by_count,
    by_indices,
    by_mending,
    by_products,
    by_rows,
    by_selecting,
    by_weights,
    first_of,
    first_true,
    five_axes,
    highest_place,
    ignored_mask,
    inverted_mask,
    last_of,
    last_true,
    maximum,
    maximum_of_all,
    mean_of,
    mean_of_places,
    multiplies_in_place,
    nan_mean,
    needs_a_mask,
    of_squeezed,
    of_the_first,
    one_too_far,
    pooler,
    raises_assertion,
    raises_key_error,
    raises_not_implemented,
    raises_unbound,
    second_last,
    selected,
    squeezed,
    wiped,
    wipes,
    zeroed,
)

__all__ = ["POOL"]

POOL = Exercise(
    side=run.POOL,
    reference=heads.pool,
    groups={run.POOL_MEAN: 1, run.POOL_ENDS: 1, run.POOL_EMPTY: 1, run.POOL_EDGES: 1},
    core=(run.POOL_MEAN, run.POOL_ENDS),
    judge=OneAlone(),
    difficulty=3,
    minutes=10,
    misconceptions={
        "padding is in the mean": Misconception(
            pooler(mean=mean_of_places),
            "Your mean is over all places, padding too, so it depends on how long the longest sentence of the batch "
            "is. Add up the real tokens alone, and divide by how many there are.",
        ),
        "divided by all places": Misconception(
            pooler(mean=lambda hidden, real: (hidden * real[..., None]).sum(1) / hidden.shape[1]),
            "You add up the real tokens and divide by the number of places, so a short sentence gets a short vector. "
            "Divide by how many tokens are real in it.",
        ),
        "not divided": Misconception(
            pooler(mean=lambda hidden, real: (hidden * real[..., None]).sum(1)),
            "You give the sum of the real tokens: a long sentence gets a long vector. Divide by how many there are.",
        ),
        "divided by the tokens of the batch": Misconception(
            pooler(mean=lambda hidden, real: (hidden * real[..., None]).sum(1) / real.sum().clamp(min=1)),
            "You divide by the real tokens of the whole batch. Each sequence has a count of its own: sum the mask over "
            "the sequence alone, and keep an axis to divide by.",
        ),
        "the largest instead of the mean": Misconception(
            pooler(mean=maximum),
            "You give the largest value of each feature. That is a pooling too; asked for is the mean.",
        ),
        "something is added to the count": Misconception(
            pooler(mean=lambda hidden, real: (hidden * real[..., None]).sum(1) / (real.sum(1, keepdim=True) + 1)),
            "You divide by one more than there are tokens, which makes every vector too short. clamp(min=1) changes "
            "only a count of 0.",
        ),
        "one mean for the batch": Misconception(
            pooler(mean=lambda hidden, real: hidden[real].mean(0)),
            "hidden[mask] lays the tokens of all sequences in one row, so you get one mean for the whole batch. "
            "Multiply by the mask and add up over axis 1.",
        ),
        "first and last have changed places": Misconception(
            pooler(first=last_of, last=first_of),
            "For 'first' you give the last real token, and for 'last' the first.",
        ),
        "one axis too many": Misconception(
            lambda hidden, mask=None, how="mean": pooler()(hidden, mask, how)[:, None],
            "Your answer has the shape (batch, 1, d_model). Leave the axis of the tokens away: sum(1) does, an index "
            "does, keepdim=True does not.",
        ),
        "padding instead of tokens": Misconception(
            pooler(real=inverted_mask),
            "You pool the padding. In this course True means a real token; ~mask is the padding.",
        ),
        "the mask is ignored": Misconception(
            pooler(real=ignored_mask),
            "The mask has no effect: padding is in the mean, and the first and last place count instead of the first "
            "and last real token.",
        ),
        "one mask for all": Misconception(
            pooler(real=of_the_first),
            "You use the first sequence's mask for all of them. mask[:, 0, 0] has one row for each sequence; "
            "mask[0, 0, 0] is a single row.",
        ),
        "padding is always behind": Misconception(
            pooler(first=zeroed(at_place(0)), last=zeroed(by_count)),
            "With padding in front, your first or last token is not a real one: place 0 may be padding, and the count "
            "of real tokens is no place. Ask the mask where the first and the last True stand.",
        ),
        "the last place is the last token": Misconception(
            pooler(last=zeroed(at_place(-1))),
            "Place -1 is padding wherever a sentence is shorter than the longest. The last token is where the mask has "
            "its last True.",
        ),
        "the first and the last place": Misconception(
            pooler(first=zeroed(at_place(0)), last=zeroed(at_place(-1))),
            "You take the first and the last place, whatever stands there. The mask says where a sentence begins and "
            "ends: at its first True and its last.",
        ),
        "one place beside the last": Misconception(
            pooler(last=zeroed(one_too_far)),
            "Your last token is one place off. Counting from 0, the last of n tokens stands at n - 1.",
        ),
        "no zeros for a sequence of padding": Misconception(
            pooler(mean=nan_mean, first=first_true, last=last_true),
            "In a sequence without real tokens 0 / 0 is nan, and argmax of a row without True is place 0, so you give "
            "nan or a token of padding. Divide by at least 1, clamp(min=1), and multiply by mask.any(…).",
        ),
        "the first of no tokens": Misconception(
            pooler(mean=by_selecting, first=selected(0), last=selected(-1)),
            "In a sequence without real tokens there is no first and no last one, and indexing fails. Ask whether any "
            "token is real, and give zeros where none is.",
        ),
        "hidden is overwritten": Misconception(
            pooler(mean=wipes),
            "The mean is right, and the caller's hidden states were overwritten, so whoever pools them again gets "
            "other vectors. masked_fill without an underscore, torch.where and * make new tensors.",
        ),
        "squeeze takes the batch away": Misconception(
            pooler(real=squeezed),
            "squeeze() drops every axis of size 1, and with one sequence that is the batch too. Take the axes you "
            "mean: mask[:, 0, 0].",
        ),
        "the mask has too many axes": Misconception(
            pooler(mean=lambda hidden, real: (hidden * real[:, None, None]).sum(1)),
            "hidden has the axes (batch, seq, d_model), the mask (batch, 1, 1, seq). Bring seq to the same place: "
            "mask[:, 0, 0, :, None] is (batch, seq, 1).",
        ),
        "the mask lacks an axis": Misconception(
            pooler(mean=lambda hidden, real: (hidden * real).sum(1) / real.sum(1, keepdim=True).clamp(min=1)),
            "(batch, seq) does not fit beside (batch, seq, d_model): torch aligns axes from the end. One more at the "
            "end, [..., None], stretches the mask over the features.",
        ),
        "the count lacks an axis": Misconception(
            pooler(mean=lambda hidden, real: (hidden * real[..., None]).sum(1) / real.sum(1).clamp(min=1)),
            "You divide (batch, d_model) by (batch,), and torch aligns axes from the end. Keep the axis: "
            "sum(1, keepdim=True).",
        ),
        "the mean over another axis": Misconception(
            pooler(mean=lambda hidden, real: hidden.mean(-1)),
            "Your mean runs over the features, or over the batch. It runs over the tokens, axis 1, and leaves "
            "(batch, d_model).",
        ),
        "the tokens are not joined": Misconception(
            pooler(mean=lambda hidden, real: hidden * real[..., None]),
            "You set padding to zero and give all tokens back. One vector for each sequence is asked for: add them up, "
            "and divide by their number.",
        ),
        "mask may be None": Misconception(
            pooler(real=needs_a_mask(lambda mask: mask[:, 0, 0])),
            "Without a mask there is nothing to index. Where mask is None every token is real: make a mask of ones, or "
            "go another way.",
        ),
        "another how is not refused": Misconception(
            pooler(other=lambda hidden, real, how: None),
            "For a `how` that does not exist your function gives something back, or None. Whoever mistypes it should "
            "be told: raise a ValueError.",
        ),
        "another error than a ValueError": Misconception(
            pooler(other=raises_key_error),
            "For a `how` that does not exist another error comes up than the one asked for. Test for it, and raise a "
            "ValueError that names what may stand there.",
        ),
    },
    variants={
        "padding is in the mean": (pooler(mean=zeroed(mean_of_places)),),
        "divided by the tokens of the batch": (
            pooler(mean=lambda hidden, real: (hidden * real[..., None]).sum(1) / real.sum()),
        ),
        "the largest instead of the mean": (
            pooler(mean=maximum_of_all),
            pooler(mean=lambda hidden, real: (hidden * real[..., None]).amax(1)),
            pooler(mean=lambda hidden, real: hidden.masked_fill(~real[..., None], -torch.inf).amax(1)),
            pooler(mean=lambda hidden, real: hidden.masked_fill(~real[..., None], -1e9).amax(1)),
            pooler(mean=lambda hidden, real: hidden.max(1)),
        ),
        "padding is always behind": (
            pooler(first=zeroed(at_place(0))),
            pooler(first=at_place(0)),
            pooler(last=zeroed(by_count)),
            pooler(last=by_count),
            pooler(first=at_place(0), last=by_count),
            pooler(first=at_place(0), last=by_count, mean=nan_mean),
        ),
        "the last place is the last token": (pooler(last=at_place(-1)), pooler(last=at_place(-1), mean=nan_mean)),
        "the first and the last place": (
            pooler(first=at_place(0), last=at_place(-1)),
            pooler(first=at_place(0), last=at_place(-1), mean=nan_mean),
        ),
        "one place beside the last": (
            pooler(last=one_too_far),
            pooler(last=zeroed(second_last)),
        ),
        "no zeros for a sequence of padding": (
            pooler(mean=nan_mean),
            pooler(mean=by_selecting),
            pooler(first=first_true),
            pooler(last=last_true),
            pooler(last=highest_place),
            pooler(first=first_true, last=last_true),
            pooler(first=first_true, last=highest_place),
            pooler(mean=nan_mean, first=first_true, last=highest_place),
            pooler(mean=nan_mean, first=first_true),
            pooler(mean=nan_mean, last=last_true),
            pooler(mean=nan_mean, last=highest_place),
        ),
        "the first of no tokens": (
            pooler(first=selected(0), last=selected(-1)),
            pooler(mean=nan_mean, first=selected(0), last=selected(-1)),
        ),
        "squeeze takes the batch away": (
            pooler(real=needs_a_mask(lambda mask: mask.squeeze())),
            pooler(mean=of_squeezed(mean_of)),
            pooler(mean=of_squeezed(nan_mean)),
        ),
        "one axis too many": (pooler(mean=lambda hidden, real: mean_of(hidden, real)[:, None]),),
        "hidden is overwritten": (
            pooler(mean=multiplies_in_place),
            pooler(real=wiped),
            pooler(real=wiped, mean=nan_mean),
        ),
        "the mask has too many axes": (
            pooler(mean=lambda hidden, real: (hidden * real[:, None, None, :]).sum(2)),
            pooler(mean=lambda hidden, real: hidden[real[:, None, None]].mean(0)),
            pooler(mean=lambda hidden, real: five_axes(hidden, real).sum(1)),
            pooler(mean=lambda hidden, real: five_axes(hidden, real).sum(1) / real[:, None, None].sum(-1)),
        ),
        "the mean over another axis": (pooler(mean=lambda hidden, real: hidden.mean(0)),),
        "mask may be None": (
            pooler(real=needs_a_mask(lambda mask: mask.squeeze(1).squeeze(1))),
            pooler(real=needs_a_mask(lambda mask: mask.view(mask.shape[0], -1))),
            pooler(real=needs_a_mask(lambda mask: mask.reshape(mask.shape[0], -1))),
            pooler(real=needs_a_mask(lambda mask: mask.flatten(1))),
        ),
        "another how is not refused": (
            pooler(other=lambda hidden, real, how: mean_of(hidden, real)),
            pooler(other=lambda hidden, real, how: last_of(hidden, real)),
            pooler(other=lambda hidden, real, how: first_of(hidden, real)),
            pooler(other=lambda hidden, real, how: ValueError(how)),
            pooler(other=lambda hidden, real, how: hidden),
        ),
        "another error than a ValueError": (
            pooler(other=raises_assertion),
            pooler(other=raises_unbound),
            pooler(other=raises_not_implemented),
        ),
    },
    alternatives=[by_weights, by_rows, by_indices, by_mending, by_products],
    hints=(
        "A sentence of two tokens stands beside one of five, in three places of padding. What should its mean not "
        "depend on? Where is its last token, if the padding stands in front?",
        "mask[:, 0, 0] is (batch, seq). hidden * mask[:, 0, 0, :, None] leaves the real tokens; real.cumsum(1) counts "
        "them from the front, so the first is where it is 1, and the last where it is the whole count.",
        "Make weights of shape (batch, seq): the real tokens, or the first or last of them alone, divided by their "
        "sum, which clamp(min=1) keeps from being 0. The answer is (weights[:, None] @ hidden)[:, 0].",
    ),
)
