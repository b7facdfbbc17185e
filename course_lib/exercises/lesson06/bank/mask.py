"""Known mistakes and right answers for `cross_attention_mask`."""

import torch

from course_lib import alignments
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson06 import run

__all__ = ["MASK"]


def _real(lengths, max_len):
    return torch.arange(max_len, device=lengths.device) < lengths[:, None]


def _mask(source_lengths, max_len):
    return _real(source_lengths, max_len)[:, None, None]


def _changed(change):
    return lambda source_lengths, max_len: change(_mask(source_lengths, max_len))


def _with_lengths(change):
    def cross_attention_mask(source_lengths, max_len):
        return _mask(change(source_lengths), max_len)

    return cross_attention_mask


def _square(lengths, max_len):
    return torch.ones(max_len, max_len, dtype=torch.bool, device=lengths.device)


def _causal(source_lengths, max_len):
    return _mask(source_lengths, max_len) & _square(source_lengths, max_len).tril()


def _both(source_lengths, max_len):
    real = _real(source_lengths, max_len)
    return real[:, None, :, None] & real[:, None, None, :]


def _last_alone(source_lengths, max_len):
    return (torch.arange(max_len, device=source_lengths.device) == source_lengths[:, None] - 1)[:, None, None]


def _by_rows_on_the_default_device(source_lengths, max_len):
    mask = torch.zeros(len(source_lengths), 1, 1, max_len, dtype=torch.bool)
    for row, length in zip(mask, source_lengths.tolist(), strict=True):
        row[..., :length] = True
    return mask


def _zeros_and_ones(source_lengths, max_len):
    mask = torch.zeros(len(source_lengths), 1, 1, max_len)
    for row, length in zip(mask, source_lengths.tolist(), strict=True):
        row[..., :length] = 1
    return mask


def _of_the_longest(source_lengths, max_len):
    return _mask(source_lengths, int(source_lengths.max()))


def _additive(source_lengths, max_len):
    mask = _mask(source_lengths, max_len)
    return torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, -torch.inf)


def by_rows(source_lengths, max_len):
    mask = torch.zeros(len(source_lengths), 1, 1, max_len, dtype=torch.bool, device=source_lengths.device)
    for row, length in zip(mask, source_lengths, strict=True):
        row[..., :length] = True
    return mask


def by_comparing(source_lengths, max_len):
    places = torch.arange(max_len, device=source_lengths.device)
    return places.view(1, 1, 1, max_len) < source_lengths.view(-1, 1, 1, 1)


def by_leaving_out_padding(source_lengths, max_len):
    places = torch.arange(1, max_len + 1, device=source_lengths.device).expand(len(source_lengths), -1)
    return ~(places > source_lengths.unsqueeze(1))[:, None, None, :]


def by_counting(source_lengths, max_len):
    ones = torch.ones(source_lengths.shape[0], max_len, device=source_lengths.device)
    return (ones.cumsum(1) <= source_lengths[:, None]).unsqueeze(1).unsqueeze(2)


def by_stacking(source_lengths, max_len):
    places = torch.arange(max_len, device=source_lengths.device)
    return torch.stack([places < length for length in source_lengths])[:, None, None]


MASK = Exercise(
    side=run.MASK,
    reference=alignments.cross_attention_mask,
    groups={run.REAL: 1, run.EDGES: 1, run.BROADCAST: 1},
    form=(run.BROADCAST,),
    difficulty=2,
    minutes=6,
    misconceptions={
        "on the axis of the target": Misconception(
            _changed(lambda mask: mask.mT),
            "Your mask says which target tokens may ask. It is the source that has the padding, and it is asked: its "
            "tokens belong on the last axis of (batch, heads, target, source).",
        ),
        "the inner axes are missing": Misconception(
            _changed(lambda mask: mask[:, 0, 0]),
            "The pattern is right and two axes are missing. The scores are (batch, heads, target, source), so the "
            "batch comes first, the source last, and two axes of size 1 stand between them.",
        ),
        "one axis is missing": Misconception(
            _changed(lambda mask: mask[:, 0]),
            "The pattern is right and one axis is missing: between batch and source stand two, for the heads and for "
            "the target, both of size 1.",
        ),
        "the new axes stand in front": Misconception(
            _changed(lambda mask: mask[:, 0, 0][None, None]),
            "The two axes of size 1 went to the front, so that the batch lies where the target belongs. The order is "
            "(batch, heads, target, source): put the new axes in the middle.",
        ),
        "the batch stands where the heads belong": Misconception(
            _changed(lambda mask: mask[:, 0, 0][None, :, None]),
            "One axis of size 1 went in front, so that the batch lies where the heads belong. The order is (batch, "
            "heads, target, source): the batch comes first, and both new axes stand in the middle.",
        ),
        "the new axes stand behind": Misconception(
            _changed(lambda mask: mask[:, 0, 0, :, None, None]),
            "The two axes of size 1 went to the end, so that the source lies where the heads belong. The order is "
            "(batch, heads, target, source): put the new axes in the middle.",
        ),
        "a causal mask over the source": Misconception(
            _causal,
            "There is a triangle in your mask. The source is there in full before the first target token is written, "
            "so each target token may read all of it: only its padding is left out.",
        ),
        "causal alone": Misconception(
            lambda source_lengths, max_len: _square(source_lengths, max_len).tril()[None, None],
            "That is the causal mask of self-attention, and it knows nothing of the lengths. Each target token may "
            "read the whole source without its padding: one row a source, and no triangle.",
        ),
        "padded rows as well": Misconception(
            _both,
            "Your mask has a row for each token of the source. Its rows would be those who ask, and these are target "
            "tokens: the same holds for all of them, so that axis has size 1.",
        ),
        "inverted": Misconception(
            _changed(torch.logical_not),
            "Your mask marks the padding. In this course True means may attend, so the real tokens are True.",
        ),
        "all tokens are real": Misconception(
            _changed(lambda mask: mask | True),
            "Every entry is True, so that padding is read like text: the lengths have no effect yet. True only where "
            "the place is below the length.",
        ),
        "one token too many": Misconception(
            _with_lengths(lambda lengths: lengths + 1),
            "A padded token counts as real. Places start at 0: a source of length 2 has its real tokens at 0 and 1, so "
            "place 2 is padding already. Look at your comparison.",
        ),
        "one token too few": Misconception(
            _with_lengths(lambda lengths: lengths - 1),
            "The last real token counts as padding. A source of length 2 has its real tokens at 0 and 1: both are "
            "True.",
        ),
        "the padding in front": Misconception(
            _changed(lambda mask: mask.flip(-1)),
            "You keep the last tokens of each source. Here padding stands behind the real tokens, so the True values "
            "are at the start of a row.",
        ),
        "the lengths are sorted": Misconception(
            _with_lengths(lambda lengths: lengths.sort(descending=True).values),
            "The rows are right and in another order: row b belongs to source b. Leave the lengths as they come.",
        ),
        "one length for all sources": Misconception(
            _with_lengths(lambda lengths: lengths[:1].expand_as(lengths)),
            "All rows look alike. Each source has a length of its own: compare with the lengths as a column, so that "
            "row b meets source_lengths[b].",
        ),
        "lengths stand in a row": Misconception(
            lambda source_lengths, max_len: (torch.arange(max_len) < source_lengths)[:, None, None],
            "Places and lengths both lie along one axis, so they are compared one to one and do not fit. Stand the "
            "lengths in a column, source_lengths[:, None]: then each meets all places.",
        ),
        "only the last token": Misconception(
            _last_alone,
            "One token of each source is left. All its real tokens may be read: places below the length, not the "
            "place of the last token alone.",
        ),
        "as wide as the longest source": Misconception(
            _of_the_longest,
            "The last axis has as many entries as the longest source has tokens. The batch may be padded further: the "
            "width is max_len.",
        ),
        "an empty source counts as one token": Misconception(
            _with_lengths(lambda lengths: lengths.clamp(min=1)),
            "An empty source has no real token, so its row is all False. That attention then gives zeros is its "
            "business, not the mask's.",
        ),
        "numbers instead of booleans": Misconception(
            _changed(lambda mask: mask.float()),
            "The pattern is right and the dtype is not: masks here are boolean, so that ~ and & work on them. A "
            "comparison gives booleans by itself.",
        ),
        "minus infinity instead of booleans": Misconception(
            _additive,
            "That is an additive mask, made to be added to scores: 0 where allowed, minus infinity where not. The "
            "mask asked for is boolean, True where a token may be read.",
        ),
        "built on the default device": Misconception(
            _by_rows_on_the_default_device,
            "A tensor you make goes to the default device, which need not be where source_lengths is. Hand on its "
            "device when you make one: device=source_lengths.device.",
        ),
    },
    variants={
        "on the axis of the target": (_changed(lambda mask: mask[:, 0, 0][:, None, :, None]),),
        "a causal mask over the source": (
            lambda source_lengths, max_len: _both(source_lengths, max_len) & _square(source_lengths, max_len).tril(),
        ),
        "causal alone": (
            lambda source_lengths, max_len: _square(source_lengths, max_len).tril(),
            lambda source_lengths, max_len: (
                _square(source_lengths, max_len).tril().expand(len(source_lengths), 1, max_len, max_len)
            ),
        ),
        "padded rows as well": (
            lambda source_lengths, max_len: _mask(source_lengths, max_len).expand(-1, -1, max_len, -1),
        ),
        "the lengths are sorted": (_with_lengths(lambda lengths: lengths.sort().values),),
        "one length for all sources": (
            _with_lengths(lambda lengths: lengths.max().expand_as(lengths)),
            _with_lengths(lambda lengths: lengths[-1:].expand_as(lengths)),
        ),
        "numbers instead of booleans": (
            _changed(lambda mask: mask.long()),
            _changed(lambda mask: mask.int()),
            _zeros_and_ones,
        ),
        "lengths stand in a row": (
            lambda source_lengths, max_len: (torch.arange(max_len) < source_lengths)[None, None, None],
        ),
        "built on the default device": (
            lambda source_lengths, max_len: torch.arange(max_len) < source_lengths[:, None, None, None],
        ),
    },
    alternatives=[by_rows, by_comparing, by_leaving_out_padding, by_counting, by_stacking],
    hints=(
        "The scores are (batch, heads, target, source). Which of these axes may hold padding that must not be read, "
        "and does it matter which head or which target token asks?",
        "It is a mask you know from lesson 01: places of the source on the last axis, compared with the lengths, and "
        "size 1 wherever the answer is the same for all.",
        "torch.arange(max_len, device=source_lengths.device) < source_lengths[:, None] is (batch, max_len); two axes "
        "of size 1 are missing in the middle.",
    ),
)
