"""Known mistakes and right answers for `attention_weights`."""

from functools import partial

import torch

from course_lib import attention
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson02 import run
from course_lib.exercises.lesson02.bank.slips import (
    asks_a_mask,
    clamped_powers,
    drops_axes,
    four_axes,
    in_float32,
    indexed,
    mended,
    needs_a_mask,
    of_all,
    of_its_row,
    one_more,
    renormalised,
    scales_in_place,
    scales_weights,
    shared_out,
    swapped,
    wipes_in_place,
    with_keys,
)
from course_lib.exercises.lesson02.bank.weighers import (
    added_later,
    by_hand,
    by_logarithm,
    by_lowest_and_zeros,
    by_query,
    by_safe_rows,
    by_scaling_first,
    by_upcasting,
    filled,
    filled_and_mended,
    forgotten,
    uncleaned,
    weigher,
)
from course_lib.exercises.lesson02.bank.weights_variants import VARIANTS

__all__ = ["MADE_BY_TORCH", "WEIGHTS"]

MADE_BY_TORCH = (
    "scaled_dot_product_attention",
    "_scaled_dot_product_attention",
    "_scaled_dot_product_attention_math",
    "MultiheadAttention",
    "multi_head_attention_forward",
    "flex_attention",
)
UNTOUCHED = "q and k stay as they are"


WEIGHTS = Exercise(
    side=run.WEIGHTS,
    reference=attention.attention_weights,
    groups={
        run.PLAIN: 2,
        run.MASKED: 2,
        run.NOBODY: 1,
        run.LARGE: 1,
        run.AXES: 1,
        UNTOUCHED: 1,
    },
    core=(run.PLAIN, run.MASKED),
    form=(run.AXES,),
    judge=Equality(
        atols={run.NOBODY: 0.0, run.LARGE: 1e-3},  # a logarithm near 800 has four digits behind the point
        untouched=UNTOUCHED,
        dtype=run.AXES,
        inputs=lambda case: {"mask": case.args[2]} if case.group == run.MASKED else {},
    ),
    difficulty=3,
    minutes=15,
    misconceptions={
        "no scale": Misconception(
            weigher(scale=lambda scores, q, k: scores),
            "Your weights are more extreme than they should be: the scores were not divided by √head_dim. Sums of "
            "head_dim products grow like √head_dim, and without the scale the softmax picks one winner.",
        ),
        "scaled by head_dim, not by its root": Misconception(
            weigher(scale=lambda scores, q, k: scores / q.shape[-1]),
            "Your weights are too even: the scores were divided by head_dim. The spread of a sum of head_dim products "
            "grows like its square root, so that is what to divide by.",
        ),
        "multiplied instead of divided": Misconception(
            weigher(scale=lambda scores, q, k: scores * q.shape[-1] ** 0.5),
            "Your weights are nearly all on one key: the scores were multiplied by √head_dim. The scale makes them "
            "smaller: divide by d ** 0.5, or multiply by d ** -0.5, and not both signs at once.",
        ),
        "half instead of the root": Misconception(
            weigher(scale=lambda scores, q, k: scores / (q.shape[-1] / 2)),
            "Your scale is no root: in Python ** binds tighter than /, so d ** 1/2 is (d ** 1) / 2. Write d ** 0.5.",
        ),
        "the root of another size": Misconception(
            weigher(scale=lambda scores, q, k: scores / k.shape[-2] ** 0.5),
            "You divide by the root of a size that is not head_dim. A score is a sum over the features of one head, so "
            "the size that counts is the last axis of q.",
        ),
        "scaled after the softmax": Misconception(
            scales_weights,
            "Your weights do not add up to 1: they were divided by √head_dim. Divide the scores, before the softmax; "
            "what comes out of it is finished.",
        ),
        "softmax over the queries": Misconception(
            weigher(normalise=partial(torch.softmax, dim=-2)),
            "Your columns add up to 1, and the rows should: each query shares out one unit of attention among the "
            "keys. The keys are the last axis of the scores.",
        ),
        "softmax over the heads": Misconception(
            weigher(normalise=partial(torch.softmax, dim=1)),
            "The weights of a pair add up to 1 over the heads, as if heads competed. Each head shares out its own "
            "attention among the keys, which are the last axis.",
        ),
        "softmax over the batch": Misconception(
            weigher(normalise=partial(torch.softmax, dim=0)),
            "The softmax runs along the first axis, so the sequences of a batch compete with one another. Take it over "
            "the keys, the last axis.",
        ),
        "one softmax for all pairs": Misconception(
            weigher(normalise=lambda scores: scores.flatten(-2).softmax(-1).view_as(scores)),
            "All the weights of a head together add up to 1. Each query has one unit of attention to share out, so "
            "each row of its own adds up to 1.",
        ),
        "no softmax": Misconception(
            weigher(normalise=lambda scores: scores, hide=filled(-torch.inf), clean=uncleaned),
            "These are scores, negative ones among them. Weights are shares: a softmax over the keys makes them "
            "positive, and lets each row add up to 1.",
        ),
        "the logarithm of the weights": Misconception(
            weigher(normalise=partial(torch.log_softmax, dim=-1), hide=filled(-torch.inf), clean=uncleaned),
            "All your numbers are negative: log_softmax gives the logarithms of the weights. What is asked for is the "
            "weights themselves.",
        ),
        "exponentials that are not normalised": Misconception(
            weigher(normalise=torch.exp),
            "You take the exponential of the scores and stop there, so the rows add up to any number. Divide each row "
            "by its sum; torch.softmax does both.",
        ),
        "something is added to the sum": Misconception(
            weigher(normalise=one_more),
            "Your rows add up to less than 1, as if each query had one key more. Divide by the sum of the exponentials "
            "alone, and find another way for a row without keys.",
        ),
        "queries and keys are swapped": Misconception(
            swapped,
            "Your rows belong to the keys and your columns to the queries. It is q kᵀ: whoever asks stands in the "
            "rows, (…, q_len, k_len).",
        ),
        "the wrong axes of k are swapped": Misconception(
            with_keys(lambda k: k),
            "The product wants (…, q_len, head_dim) @ (…, head_dim, k_len). Swap the last two axes of k, and no "
            "others.",
        ),
        "always four axes": Misconception(
            four_axes,
            "Your code asks for four axes by number. Count from the end, where the axes have a meaning: -1 is "
            "head_dim, -2 the sequence. Then any axes may stand before them.",
        ),
        "mask may be None": Misconception(
            needs_a_mask,
            "Without a mask there is nothing to fill, and ~None is an error. Apply the mask where there is one: "
            "if mask is not None.",
        ),
        "mask has no default": Misconception(
            lambda q, k, mask: attention.attention_weights(q, k, mask),
            "The function is also called as attention_weights(q, k). Leave the signature as it was: mask=None.",
        ),
        "keepdim is missing": Misconception(
            weigher(normalise=lambda scores: torch.exp(scores) / torch.exp(scores).sum(-1)),
            "The sum of a row loses the axis of the keys, so it no longer stands beside its row. Keep that axis with "
            "size 1: keepdim=True.",
        ),
        "the mask is ignored": Misconception(
            weigher(hide=forgotten, clean=uncleaned),
            "Forbidden keys get weight: the mask has no effect. masked_fill without an underscore gives a new tensor, "
            "which must be kept.",
        ),
        "the mask is inverted": Misconception(
            weigher(hide=lambda scores, mask: scores.masked_fill(mask, -torch.inf), clean=uncleaned),
            "The weight went to the keys that are forbidden. In this course True means may attend, and masked_fill "
            "fills where it reads True: give it ~mask.",
        ),
        "forbidden scores are set to 0": Misconception(
            weigher(hide=filled(0.0), clean=uncleaned),
            "Forbidden keys still get weight, since a score of 0 is an ordinary score: exp(0) is 1. What gets no "
            "weight has a score of minus infinity, or a very low one.",
        ),
        "the mask is added to the scores": Misconception(
            weigher(hide=lambda scores, mask: scores + mask, clean=uncleaned),
            "Adding a boolean mask adds 1 to the allowed scores and 0 to the others, so that all keys still get "
            "weight. Forbidden scores must become very low, and the others stay.",
        ),
        "masked after the softmax": Misconception(
            weigher(hide=forgotten),
            "Forbidden keys get nothing, and the rest does not add up to 1: they had taken their share in the softmax "
            "before. Apply the mask to the scores.",
        ),
        "forbidden scores are not low enough": Misconception(
            weigher(hide=filled(-1.0), clean=uncleaned),
            "Forbidden keys still get a little weight: your number is about as large as ordinary scores. Take one far "
            "below any of them, such as minus infinity or the lowest that the dtype has.",
        ),
        "the mask is transposed": Misconception(
            weigher(hide=lambda scores, mask: scores.masked_fill(~mask.mT, -torch.inf), clean=uncleaned),
            "The mask does not fit, since you swapped its last two axes. Its rows are the queries and its columns the "
            "keys, as those of the scores are: use it as it comes.",
        ),
        "the mask is used as an index": Misconception(
            weigher(hide=indexed, clean=uncleaned),
            "scores[~mask] wants a mask of exactly the shape of the scores. This one may have size 1 where it counts "
            "for all, and masked_fill or torch.where broadcast it; indexing does not.",
        ),
        "a mask in an if": Misconception(
            asks_a_mask,
            "`if mask` and `not mask` ask for one truth value, and a mask holds many. Ask `if mask is not None`, and "
            "turn each value round with ~mask.",
        ),
        "nan from infinity": Misconception(
            weigher(hide=lambda scores, mask: scores + ~mask * -torch.inf, clean=uncleaned),
            "One nan makes its whole row nan, and 0 · inf and inf - inf are nan. Multiply nothing by infinity: put "
            "minus infinity only where a key is forbidden, with masked_fill or torch.where.",
        ),
        "nan for a query with nobody to attend to": Misconception(
            weigher(hide=filled(-torch.inf), clean=uncleaned),
            "A row without keys gives 0 / 0: in a softmax where all scores are minus infinity, and in a division by "
            "the row's sum. Fill with a very low finite number, and give forbidden keys exactly 0 after that.",
        ),
        "a sum of 0 is divided by": Misconception(
            renormalised,
            "A query with nobody to attend to has no weight to share out: you divide its row by the row's sum, and 0 / "
            "0 is nan. Let no sum be 0, with clamp(min=…), or let no row be empty before the softmax.",
        ),
        "a query with nobody to attend to attends to all": Misconception(
            weigher(hide=filled(-1e9), clean=uncleaned),
            "In a row where all scores are equally low, the softmax sees no difference and gives every key the same. "
            "Set the weights of forbidden keys to 0 after the softmax too; elsewhere they are 0 already.",
        ),
        "nan is repaired too late": Misconception(
            weigher(hide=added_later(-torch.inf), clean=mended),
            "The weights are right and the gradients are nan: backwards, a nan that was replaced is multiplied by 0, "
            "and that is nan again. Let none come up: a finite fill, then zeros for forbidden keys.",
        ),
        "weights are overwritten in place": Misconception(
            weigher(clean=wipes_in_place),
            "The weights are right, and the way back fails: the softmax needs its own result for the gradients, and "
            "you wrote into it. Make a new tensor: weights * mask, or masked_fill without an underscore.",
        ),
        "cut off from the gradients": Misconception(
            lambda q, k, mask=None: attention.attention_weights(q, k, mask).detach(),
            "The weights are right, and no gradient goes back to q or to k, so whatever made it learns nothing. Leave "
            "out detach, .data, no_grad and new tensors made of numbers.",
        ),
        "exponentials that overflow": Misconception(
            weigher(normalise=clamped_powers),
            "A score of 100 is nothing unusual, and its exponential is more than float32 holds: inf / inf is nan. "
            "Subtract each row's largest score first, which changes no weight, or use torch.softmax.",
        ),
        "the largest of all scores is subtracted": Misconception(
            shared_out(of_all, least=1e-30),
            "You subtract one number from all scores. Where a row lies far below the largest score of all, its "
            "exponentials are all 0. Subtract from each row its own largest: amax(-1, keepdim=True).",
        ),
        "a forbidden score is the largest": Misconception(
            shared_out(of_its_row, least=1e-30),
            "A forbidden key takes part until its weight is wiped. Where its score is far above the allowed ones, "
            "nothing is left for them. Lower forbidden scores first, before the maximum and the softmax.",
        ),
        "forbidden scores that are not the lowest": Misconception(
            weigher(hide=filled(-100.0)),
            "Scores may lie near -800, and then your number for forbidden keys is the largest of its row and takes all "
            "the weight. Take minus infinity, or torch.finfo(scores.dtype).min.",
        ),
        "another dtype comes back": Misconception(
            in_float32,
            "The weights are right and their dtype is not; what was expected and what came is said below. Give back "
            "q's dtype, with .to(q.dtype) at the end, or with helpers made in q's dtype.",
        ),
        "axes of size 1 are dropped": Misconception(
            drops_axes,
            "The numbers are right, and axes are missing: squeeze takes every axis of size 1. One query, one head or "
            "one sequence is still an axis.",
        ),
        "a number too low for bfloat16": Misconception(
            weigher(hide=filled(torch.finfo(torch.float32).min)),
            "The lowest number of float32 does not fit into bfloat16. Ask the scores for theirs: "
            "torch.finfo(scores.dtype).min.",
        ),
        "q or k is scaled in place": Misconception(
            scales_in_place,
            "The weights are right, and the caller's tensor was overwritten: q /= … writes into it. Whoever uses it "
            "again gets other numbers. q = q / … makes a new one.",
        ),
    },
    variants=VARIANTS,
    alternatives=[
        by_hand,
        by_safe_rows,
        by_lowest_and_zeros,
        by_scaling_first,
        by_upcasting,
        by_logarithm,
        by_query,
        filled_and_mended,
    ],
    forbidden={
        name: f"attention_weights uses {name}, which is attention made by torch; make the weights from q and k "
        "yourself (torch.softmax may be used)."
        for name in MADE_BY_TORCH
    },
    hints=(
        "Take one query and three keys, and write down the three scores. What makes positive numbers of them that add "
        "up to 1? What must the score of a forbidden key be so that its share is 0, and what if all are forbidden?",
        "q @ k.transpose(-2, -1) gives all scores at once. Scale them, fill the forbidden ones with a very low finite "
        "number, and take the softmax over the last axis.",
        "scores.masked_fill(~mask, torch.finfo(scores.dtype).min) keeps every row finite; (…).softmax(-1) * mask then "
        "gives forbidden keys exactly 0, and a row without keys nothing at all. mask may be None.",
    ),
)
