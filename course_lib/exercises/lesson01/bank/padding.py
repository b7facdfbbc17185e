"""Known mistakes and right answers for `create_padding_mask`."""

import torch

from course_lib import masks
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson01 import run

__all__ = ["PADDING"]


def _position(lengths, max_len):
    return torch.arange(max_len, device=lengths.device)


def _is_real(lengths, max_len):
    return _position(lengths, max_len) < lengths[:, None]


def _square(lengths, max_len):
    is_real = _is_real(lengths, max_len)
    return is_real[:, None, :, None] & is_real[:, None, None, :]


def _additive(lengths, max_len):
    return torch.zeros_like(lengths, dtype=torch.float32)[:, None, None, None].masked_fill(
        ~_is_real(lengths, max_len)[:, None, None], -torch.inf
    )


def _on_the_default_device(lengths, max_len):
    mask = torch.zeros(len(lengths), 1, 1, max_len, dtype=torch.bool)
    for b, length in enumerate(lengths.tolist()):
        mask[b, ..., :length] = True
    return mask


def _by_rows(lengths, max_len):
    mask = torch.zeros(len(lengths), 1, 1, max_len, dtype=torch.bool, device=lengths.device)
    for b, length in enumerate(lengths):
        mask[b, ..., :length] = True
    return mask


def _by_lists(lengths, max_len):
    rows = [[[[j < length for j in range(max_len)]]] for length in lengths.tolist()]
    return torch.tensor(rows, device=lengths.device)


def _by_excluding(lengths, max_len):
    padding = _position(lengths, max_len).expand(len(lengths), max_len) >= lengths.unsqueeze(-1)
    return padding.logical_not().unsqueeze(1).unsqueeze(1)


def _by_counting(lengths, max_len):
    ones = torch.ones(lengths.shape[0], 1, 1, max_len, device=lengths.device)
    return ones.cumsum(-1) <= lengths.view(-1, 1, 1, 1)


def _by_stacking(lengths, max_len):
    position = _position(lengths, max_len)
    return torch.stack([position < length for length in lengths]).reshape(-1, 1, 1, max_len)


PADDING = Exercise(
    side=run.PADDING,
    reference=masks.create_padding_mask,
    groups={"which keys are real": 1, "empty and full sequences": 1, run.DEVICE: 1},
    difficulty=2,
    minutes=8,
    misconceptions={
        "inverted": Misconception(
            lambda lengths, max_len: ~masks.create_padding_mask(lengths, max_len),
            "Your mask marks the padding. In this course True means may attend, so the real tokens are True.",
        ),
        "one token too many": Misconception(
            lambda lengths, max_len: masks.create_padding_mask(lengths + 1, max_len),
            "A padded token counts as real. Positions start at 0: a sequence of length 2 has its real tokens at the "
            "positions 0 and 1, so position 2 is padding already. Look at your comparison.",
        ),
        "one token too few": Misconception(
            lambda lengths, max_len: masks.create_padding_mask(lengths - 1, max_len),
            "The last real token counts as padding. A sequence of length 2 has its real tokens at the positions 0 "
            "and 1: both are True.",
        ),
        "lengths stand in a row": Misconception(
            lambda lengths, max_len: (_position(lengths, max_len) < lengths)[:, None, None, :],
            "Positions and lengths both lie along the same axis, so they are compared one to one and do not fit. Stand "
            "the lengths in a column, lengths[:, None]: then each length meets all positions.",
        ),
        "the padding in front": Misconception(
            lambda lengths, max_len: masks.create_padding_mask(lengths, max_len).flip(-1),
            "You keep the last tokens of each row. Here the padding stands behind the real tokens, so the True "
            "values are at the start of the row.",
        ),
        "the inner axes are missing": Misconception(
            lambda lengths, max_len: _is_real(lengths, max_len),
            "The pattern is right and two axes are missing: the mask must broadcast over (batch, heads, queries, "
            "keys), so the batch comes first, the keys last, and two axes of size 1 stand between them.",
        ),
        "on the axis of the queries": Misconception(
            lambda lengths, max_len: _is_real(lengths, max_len)[:, None, :, None],
            "Your mask says which tokens may look. Padding is about who may be looked at, and those are the keys: "
            "the tokens belong on the last axis.",
        ),
        "the batch in the place of the queries": Misconception(
            lambda lengths, max_len: _is_real(lengths, max_len)[None, None],
            "The two axes of size 1 went to the front, so the batch landed where the queries belong. The order is "
            "(batch, heads, queries, keys): put the new axes in the middle.",
        ),
        "queries masked as well": Misconception(
            _square,
            "You also forbid padded tokens to look. Only the keys are masked here, so the axis of the queries has "
            "size 1: what a padded query computes is never used, and a row without keys only makes trouble.",
        ),
        "numbers instead of booleans": Misconception(
            lambda lengths, max_len: masks.create_padding_mask(lengths, max_len).float(),
            "The pattern is right and the dtype is not: masks here are boolean, so that they combine with &. A "
            "comparison gives booleans by itself.",
        ),
        "minus infinity instead of booleans": Misconception(
            _additive,
            "That is an additive mask, made to be added to scores: 0 where allowed, minus infinity where not. The "
            "mask asked for is boolean, True where a token may be attended to.",
        ),
        "as wide as the longest sequence": Misconception(
            lambda lengths, max_len: masks.create_padding_mask(lengths, int(lengths.max())),
            "The last axis has as many entries as the longest sequence has tokens. The batch may be padded further "
            "than that: the width is max_len.",
        ),
        "one length for all sequences": Misconception(
            lambda lengths, max_len: masks.create_padding_mask(lengths[:1].expand_as(lengths), max_len),
            "All rows look like the first one. Each sequence has a length of its own: compare with lengths as a "
            "column, so that row b meets lengths[b].",
        ),
        "a length of 0 counts as 1": Misconception(
            lambda lengths, max_len: masks.create_padding_mask(lengths.clamp(min=1), max_len),
            "An empty sequence has no real token, so its row is all False. What attention makes of such a row is "
            "not the mask's business.",
        ),
        "built on the default device": Misconception(
            lambda lengths, max_len: torch.arange(max_len) < lengths[:, None, None, None],
            "A tensor you make goes to the default device, which need not be where lengths is. Hand on the device "
            "of lengths when you make one: device=lengths.device.",
        ),
    },
    variants={
        "built on the default device": (
            _on_the_default_device,
            lambda lengths, max_len: torch.tensor([[[[j < n for j in range(max_len)]]] for n in lengths.tolist()]),
        ),
        "lengths stand in a row": (
            lambda lengths, max_len: (torch.arange(max_len) < lengths)[:, None, None, :],
        ),
    },
    alternatives=[_by_rows, _by_lists, _by_excluding, _by_counting, _by_stacking],
    hints=(
        "Take lengths [1, 3] and max_len 4, and write down the two rows by hand. Which positions are real in each?",
        "torch.arange(max_len, device=lengths.device) gives the positions. A row of positions compared with a "
        "column of lengths gives all sequences at once.",
        "torch.arange(max_len, device=lengths.device) < lengths[:, None] has shape (batch, max_len); two axes are "
        "missing between batch and keys.",
    ),
)
