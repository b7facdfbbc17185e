"""Known mistakes and right answers for `attention_weights`."""

from functools import partial

import torch

from course_lib import attention
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson02 import run
from course_lib.exercises.lesson02.bank.slips import (
    assigns_in_place,
    compares_none,
    four_axes,
    four_letters,
    in_float32,
    mended,
    needs_a_mask,
    one_more,
    one_more_of_safe,
    plain_powers,
    powers_mended,
    scales_in_place,
    scales_k_in_place,
    scales_weights,
    swapped,
    wipes_in_place,
    with_keys,
    without_gradients,
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
    wiped,
)

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
WITH_MASK = "weights with a mask"


WEIGHTS = Exercise(
    side=run.WEIGHTS,
    reference=attention.attention_weights,
    groups={
        "weights without a mask": 2,
        WITH_MASK: 2,
        "a query with nobody to attend to gives zeros": 1,
        "numbers and gradients stay finite": 1,
        "any axes before the last two, and q's dtype": 1,
        UNTOUCHED: 1,
    },
    judge=Equality(
        untouched=UNTOUCHED,
        inputs=lambda case: {"mask": case.args[2]} if case.group == WITH_MASK else {},
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
            "smaller: / d ** 0.5 or * d ** -0.5, and not both signs at once.",
        ),
        "half instead of the root": Misconception(
            weigher(scale=lambda scores, q, k: scores / (q.shape[-1] / 2)),
            "The scores were divided by head_dim / 2. In Python ** binds tighter than /, so d ** 1/2 is (d ** 1) / 2. "
            "Write d ** 0.5.",
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
            "The weight went to the keys that are forbidden. In this course True means *may attend*, and masked_fill "
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
        "nan for a query with nobody to attend to": Misconception(
            weigher(hide=filled(-torch.inf), clean=uncleaned),
            "Where all scores are minus infinity, the softmax divides 0 by 0. Fill with a very low finite number, and "
            "then see to it that forbidden keys get exactly 0.",
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
            "The weights are right, and no gradient goes back to q and k, so nothing could be learnt. Leave out "
            "detach, .data, no_grad and new tensors made of numbers.",
        ),
        "exponentials that overflow": Misconception(
            weigher(normalise=plain_powers),
            "A score of 100 is nothing unusual, and its exponential is more than float32 holds: inf / inf is nan. "
            "Subtract each row's largest score first, which changes no weight, or use torch.softmax.",
        ),
        "float32 comes back": Misconception(
            in_float32,
            "The weights are right and their dtype is not: bfloat16 came in and float32 went out. Give back q's dtype, "
            "with .to(q.dtype) at the end, or with helpers made in q's dtype.",
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
    variants={
        "the root of another size": (
            weigher(scale=lambda scores, q, k: scores / k.shape[2] ** 0.5),
            weigher(scale=lambda scores, q, k: scores / q.shape[-2] ** 0.5),
            weigher(scale=lambda scores, q, k: scores / q.shape[1] ** 0.5),
            weigher(scale=lambda scores, q, k: scores / q.shape[0] ** 0.5),
            weigher(scale=lambda scores, q, k: scores / (q.shape[1] * q.shape[-1]) ** 0.5),
        ),
        **{
            name: tuple(
                weigher(normalise=partial(torch.softmax, dim=dim), hide=filled(number), clean=uncleaned)
                for number in (-torch.inf, -1e9)
            )
            for name, dim in (
                ("softmax over the queries", -2),
                ("softmax over the heads", 1),
                ("softmax over the batch", 0),
            )
        },
        "mask may be None": (compares_none,),
        "no softmax": (
            weigher(normalise=lambda scores: scores, hide=filled(-1e9), clean=uncleaned),
            weigher(normalise=lambda scores: scores, clean=uncleaned),
            weigher(normalise=lambda scores: scores, hide=forgotten),
        ),
        "the logarithm of the weights": (
            weigher(normalise=partial(torch.log_softmax, dim=-1), hide=filled(-1e9), clean=uncleaned),
            weigher(normalise=partial(torch.log_softmax, dim=-1), clean=uncleaned),
        ),
        "exponentials that are not normalised": (
            weigher(normalise=lambda scores: (scores - scores.amax(-1, keepdim=True)).exp()),
        ),
        "something is added to the sum": (weigher(normalise=one_more_of_safe),),
        "the wrong axes of k are swapped": (
            with_keys(lambda k: k.transpose(0, 1)),
            with_keys(lambda k: k.transpose(-3, -2)),
            with_keys(lambda k: k.transpose(1, -1)),
        ),
        "always four axes": (
            four_letters,
            with_keys(lambda k: k.permute(0, 1, 3, 2)),
            with_keys(lambda k: k.transpose(2, 3)),
        ),
        "the mask is inverted": (
            weigher(hide=lambda scores, mask: scores.masked_fill(mask, -1e9), clean=uncleaned),
            weigher(hide=lambda scores, mask: scores.masked_fill(mask, -1e9), clean=lambda w, mask: w * ~mask),
            weigher(hide=lambda scores, mask: scores + mask * -1e9, clean=uncleaned),
        ),
        "forbidden scores are set to 0": (weigher(hide=wiped),),
        "forbidden scores are not low enough": (weigher(hide=filled(-10.0), clean=uncleaned),),
        "nan for a query with nobody to attend to": (weigher(hide=added_later(-torch.inf), clean=uncleaned),),
        "a query with nobody to attend to attends to all": (
            weigher(clean=uncleaned),
            weigher(hide=added_later(-1e9), clean=lambda weights, mask: weights),
            weigher(hide=lambda scores, mask: scores + ~mask * -1e9, clean=uncleaned),
            weigher(hide=lambda scores, mask: scores + ~mask * -1e4, clean=uncleaned),
        ),
        "nan is repaired too late": (powers_mended,),
        "weights are overwritten in place": (weigher(clean=assigns_in_place),),
        "cut off from the gradients": (without_gradients,),
        "float32 comes back": (
            weigher(clean=lambda weights, mask: weights * mask.float()),
            weigher(hide=added_later(-1e9)),
        ),
        "q or k is scaled in place": (scales_k_in_place,),
    },
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
