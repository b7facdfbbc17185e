"""Known mistakes and right answers for `combine_masks`."""

from functools import reduce
from operator import and_, or_, xor

import torch

from course_lib import masks
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson01 import run

__all__ = ["COMBINE"]

UNTOUCHED = "the masks stay as they are"


def _in_place(*masks):
    combined = masks[0]
    for mask in masks[1:]:
        combined &= mask
    return combined


def _in_place_where_it_fits(*masks):
    combined = masks[0]
    for mask in masks[1:]:
        if torch.broadcast_shapes(combined.shape, mask.shape) == combined.shape:
            combined &= mask
        else:
            combined = combined & mask
    return combined


def _in_place_on_a_copy(*masks):
    combined = masks[0].clone()
    for mask in masks[1:]:
        combined &= mask
    return combined


def _in_place_on_ones(*masks):
    combined = torch.ones(masks[0].shape, dtype=torch.bool)
    for mask in masks:
        combined &= mask
    return combined


def _returns_in_the_loop(*masks):
    for mask in masks[1:]:
        return masks[0] & mask
    return None


def _forgetful(*masks):
    combined = masks[0]
    for mask in masks[1:]:
        combined = masks[0] & mask
    return combined


def _turned(*masks_):
    return masks.combine_masks(*(mask.mT if mask.shape[-2] == 1 else mask for mask in masks_))


def _python_and(*masks):
    combined = masks[0]
    for mask in masks[1:]:
        combined = combined and mask
    return combined


def _by_stacking(*masks):
    return torch.stack(torch.broadcast_tensors(*masks)).all(dim=0)


def _by_counting(*masks):
    return sum(mask.int() for mask in masks) == len(masks)


def _by_excluding(*masks):
    forbidden = ~masks[0]
    for mask in masks[1:]:
        forbidden = forbidden | ~mask
    return ~forbidden


def _by_filling(*masks):
    combined = torch.ones(torch.broadcast_shapes(*(mask.shape for mask in masks)), dtype=torch.bool)
    for mask in masks:
        combined.masked_fill_(~mask, False)
    return combined


def _by_recursion(*masks):
    if len(masks) == 1:
        return masks[0].clone()
    return torch.where(masks[0], _by_recursion(*masks[1:]), False)


def _by_multiplying(*masks):
    product = torch.tensor(True)
    for mask in masks:
        product = product * mask
    return product


COMBINE = Exercise(
    side=run.COMBINE,
    reference=masks.combine_masks,
    groups={"allowed by both masks": 1, "any number of masks": 1, UNTOUCHED: 1},
    judge=Equality(untouched=UNTOUCHED, inputs=lambda case: dict(zip("abcd", case.args, strict=False))),
    difficulty=2,
    minutes=4,
    misconceptions={
        "or instead of and": Misconception(
            lambda *masks: reduce(or_, masks),
            "A pair is allowed as soon as one mask allows it, so the future comes back through the padding mask. True "
            "means may attend, and every mask must agree: that is &, not |.",
        ),
        "exclusive or": Misconception(
            lambda *masks: reduce(xor, masks),
            "Where both masks say True, yours says False. ^ asks whether the masks differ; a pair is allowed "
            "where they all say True.",
        ),
        "inverted": Misconception(
            lambda *masks_: ~masks.combine_masks(*masks_),
            "Your result marks what is forbidden. In this course True means may attend, in the masks that come in "
            "and in the one that goes out.",
        ),
        "only the first two masks": Misconception(
            lambda *masks_: masks.combine_masks(*masks_[:2]),
            "The third mask has no effect. `*masks` collects all of them in a tuple, however many there are: loop "
            "over it.",
        ),
        "always two masks": Misconception(
            lambda *masks: masks[0] & masks[1],
            "You reach for exactly two masks, so one alone fails and a third has no effect. Start with the first "
            "and loop over the rest, however many there are.",
        ),
        "the star is missing": Misconception(
            lambda masks: reduce(and_, masks),
            "The function is called with each mask as an argument of its own, combine_masks(a, b), and yours takes one "
            "argument. The star in `def combine_masks(*masks)` collects them in a tuple.",
        ),
        "a signature for two masks": Misconception(
            lambda a, b: a & b,
            "Your function takes exactly two masks, and it is called with one, three or four as well. Leave the "
            "signature as it was, `*masks`: it collects them all in a tuple. Loop over it.",
        ),
        "a return inside the loop": Misconception(
            _returns_in_the_loop,
            "Your loop ends in its first round, since `return` stands inside it: one mask alone gives None, and the "
            "third is never met. Move `return` to the left, below the loop.",
        ),
        "only the first mask": Misconception(
            lambda *masks: masks[0].expand(torch.broadcast_shapes(*(mask.shape for mask in masks))),
            "What comes back is the first mask: the others have no effect. Is there a `return` inside your loop, or "
            "a result that nobody keeps?",
        ),
        "only the last mask": Misconception(
            lambda *masks: masks[-1].expand(torch.broadcast_shapes(*(mask.shape for mask in masks))),
            "What comes back is the last mask. Your loop replaces the result in each round: combine the new mask "
            "with what you have so far.",
        ),
        "the loop forgets what came before": Misconception(
            _forgetful,
            "With three masks, the second one has no effect: each round starts from the first mask again. Carry the "
            "result of one round into the next.",
        ),
        "masks must have equal shapes": Misconception(
            lambda *masks: torch.stack(masks).all(dim=0),
            "torch.stack wants equal shapes, and masks come as (1, 1, n, n) and (batch, 1, 1, n). & stretches axes of "
            "size 1 by itself; or stretch the masks yourself first (torch.broadcast_tensors).",
        ),
        "keys turned into queries": Misconception(
            _turned,
            "A mask with one row for all queries was turned into a column, so it says who may look, not who may be "
            "looked at. The axes are in their places already: no transposing, no moving.",
        ),
        "Python's and": Misconception(
            _python_and,
            "`and` wants to know whether a whole tensor is true, which has no answer. & works entry by entry.",
        ),
        "one answer for everything": Misconception(
            lambda *masks: torch.stack([mask.all() for mask in masks]).all(),
            "A single value came back, for whole masks at once. The question is asked anew for each pair: combine "
            "the masks entry by entry.",
        ),
        "numbers instead of booleans": Misconception(
            lambda *masks_: masks.combine_masks(*masks_).float(),
            "The pattern is right and the dtype is not: a mask is boolean. & keeps booleans, arithmetic with "
            "numbers does not.",
        ),
        "masks added up": Misconception(
            lambda *masks: sum(mask.int() for mask in masks),
            "You count how many masks allow a pair. A pair is allowed when that count reaches the number of masks; "
            "& says so directly, and stays boolean.",
        ),
        "combined in place": Misconception(
            _in_place,
            "`&=` writes into the first mask, which belongs to the caller, and it cannot grow when the second mask has "
            "more rows or sequences. Make a new tensor in each round: x = x & y.",
        ),
        "a result that cannot grow": Misconception(
            _in_place_on_a_copy,
            "`&=` writes into a tensor that keeps its shape, and the result has more rows or sequences than the first "
            "mask. x = x & y makes a new tensor, as large as it must be.",
        ),
        "combined in place where it fits": Misconception(
            _in_place_where_it_fits,
            "The result is right, and the first mask was overwritten: whoever uses it again gets the combination. Make "
            "a new tensor in each round: x = x & y.",
        ),
    },
    variants={
        "a result that cannot grow": (_in_place_on_ones,),
        "only the first mask": (lambda *masks: masks[0], lambda *masks: masks[0].clone()),
        "only the last mask": (lambda *masks: masks[-1],),
    },
    alternatives=[_by_stacking, _by_counting, _by_excluding, _by_filling, _by_recursion, _by_multiplying],
    hints=(
        "Two guards stand at one door: who gets in? What if there are three guards, or one?",
        "& combines two boolean tensors entry by entry and stretches axes of size 1. `masks` is a tuple.",
        "Begin with masks[0] and go over masks[1:], each time making a new tensor from the result so far and the mask.",
    ),
)
