"""Known mistakes and right answers for `sample`."""

import torch

from course_lib import generation
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson04 import run
from course_lib.exercises.lesson04.bank.chances import Chances, chances_of
from course_lib.exercises.lesson04.bank.draws import (
    after_the_fact,
    all_but_the_crossing,
    all_but_the_crossing_but_one,
    arrangement,
    as_a_threshold,
    as_floats,
    by_sums,
    column,
    column_of_draws,
    column_of_its_own,
    column_of_own_draws,
    draws_as_cleaned,
    either_or,
    evenly,
    filters_alone,
    first_with_it,
    flattened,
    of_first_row,
    of_gathered,
    of_its_own,
    of_powers,
    of_sorted,
    of_weakest_row,
    one_more,
    one_point_for_all,
    one_point_in_order,
    places,
    reseeded,
    sorted_upwards,
    top_p_alone,
    under,
    unfiltered,
    unsorted,
    with_a_threshold_in_a_row,
    with_seed,
    without_generator,
    without_keepdim,
    writes_filters,
    writes_temperature,
    zeroed_chances,
)
from course_lib.exercises.lesson04.bank.samplers import (
    as_hugging_face_does,
    by_a_race,
    by_clamping,
    by_gumbel,
    by_inverting,
    by_ranks,
    by_sorting,
    by_zeroing,
    drawn,
    kept,
    nucleus,
    sampler,
)

__all__ = ["SAMPLE"]


def _filled(number, few, reach):
    """What a filter drops gets a number for its logit."""
    return sampler(
        few=lambda logits, top_k: kept(logits, top_k).masked_fill(kept(logits, top_k).isinf(), number) if few else
        kept(logits, top_k),
        reach=lambda logits, top_p: nucleus(logits, top_p).masked_fill(nucleus(logits, top_p).isinf(), number)
        if reach else nucleus(logits, top_p),
    )


SAMPLE = Exercise(
    side=run.SAMPLE,
    reference=generation.sample,
    groups={
        "drawn as often as the softmax says": 1,
        "temperature, and 0 takes the likeliest": 1,
        "top_k: the k likeliest of each row": 1,
        "top_p: the likeliest that reach p together": 1,
        "temperature first, then top_k, then top_p": 1,
        "one token a row, from the generator alone": 1,
    },
    judge=Chances(
        chances_of,
        Equality(untouched="one token a row, from the generator alone"),
        mixed=("temperature first, then top_k, then top_p",),
    ),
    difficulty=4,
    minutes=18,
    misconceptions={
        "always the likeliest": Misconception(
            sampler(draw=lambda logits, generator: logits.argmax(-1)),
            "The same token comes every time: argmax draws nothing. Only temperature 0 takes the likeliest; otherwise "
            "each token comes as often as its probability says, as torch.multinomial draws.",
        ),
        "drawn evenly": Misconception(
            sampler(draw=evenly),
            "All tokens that remain come equally often. The likelier ones should come more often: draw with the "
            "probabilities that the softmax gives.",
        ),
        "logits are drawn from": Misconception(
            sampler(draw=lambda logits, generator: torch.multinomial(logits, 1, generator=generator)[:, 0]),
            "torch.multinomial takes probabilities and was given logits, or their logarithms, which are negative here "
            "and there. Take the softmax before you draw.",
        ),
        "softmax twice": Misconception(
            sampler(draw=lambda logits, generator: drawn(logits.softmax(-1), generator)),
            "Your draws are nearly even: a softmax of probabilities sees numbers between 0 and 1, which hardly differ. "
            "Take it once, of the logits.",
        ),
        "softmax over the batch": Misconception(
            sampler(draw=lambda logits, generator: torch.multinomial(logits.softmax(0), 1, generator=generator)[:, 0]),
            "The softmax runs down the batch, so that rows compete with one another for a token. It is the tokens of "
            "one row that share its probability: the last axis.",
        ),
        "one random number for all rows": Misconception(
            sampler(draw=one_point_for_all),
            "All rows of a kind got the same token: one random number decides for the whole batch. Each row needs a "
            "draw of its own.",
        ),
        "the temperature has no effect": Misconception(
            after_the_fact,
            "The draws are the same at any temperature. Dividing probabilities changes none of their proportions, and "
            "multinomial looks at nothing else: divide the logits, before the softmax.",
        ),
        "multiplied by the temperature": Misconception(
            sampler(heat=lambda logits, temperature: logits * temperature),
            "A high temperature makes your draws sharper, and a low one flatter. It is the other way round: divide "
            "the logits by it.",
        ),
        "temperature 0 divides by 0": Misconception(
            sampler(zero=None),
            "At temperature 0 the division gives infinities and nan. It means the likeliest token, with no chance in "
            "it: give logits.argmax(-1) back before anything is divided.",
        ),
        "temperature 0 is taken for 1": Misconception(
            draws_as_cleaned,
            "At temperature 0 your function draws, as if the temperature were 1; `temperature or 1` and `if "
            "temperature` do that. 0 takes the likeliest token of each row.",
        ),
        "the temperature is forgotten beside a filter": Misconception(
            filters_alone,
            "Where top_k or top_p is given, the temperature has no effect. Divide the logits first, in any case, and "
            "let the filters work on what comes out.",
        ),
        "the filters come before the temperature": Misconception(
            sampler(order="kpt"),
            "top_p chooses by the probabilities at temperature 1, and the temperature comes after it. A higher one "
            "spreads the probability, and then it takes more tokens to reach top_p: temperature first.",
        ),
        "top_k has no effect": Misconception(
            sampler(few=lambda logits, top_k: logits),
            "All tokens still come: top_k has no effect. masked_fill without an underscore gives a new tensor, which "
            "must be kept.",
        ),
        "top_p has no effect": Misconception(
            sampler(reach=lambda logits, top_p: logits),
            "All tokens still come: top_p has no effect. Sort each row downwards, add up the probabilities, and drop "
            "what comes after top_p is reached.",
        ),
        "one threshold for all rows": Misconception(
            sampler(few=of_first_row),
            "One logit is the threshold of all rows, and what is high in one row may be low in another. Each row has "
            "its own k-th logit: topk along the last axis, and keep that axis with size 1.",
        ),
        "top_k keeps one too many": Misconception(
            sampler(few=lambda logits, top_k: kept(logits, top_k + 1)),
            "Your top_k keeps k + 1 tokens. Sorted downwards the k-th largest logit has the index k - 1, and what is "
            "smaller than it goes.",
        ),
        "top_k keeps one too few": Misconception(
            sampler(few=lambda logits, top_k: logits.masked_fill(logits <= kept(logits, top_k)[
                kept(logits, top_k).isfinite()].view(len(logits), -1).amin(-1, keepdim=True), -torch.inf)),
            "Your top_k keeps k - 1 tokens: the k-th itself is dropped too. Only what is smaller than the k-th logit "
            "goes: <, not <=.",
        ),
        "top_k is larger than the vocabulary": Misconception(
            sampler(few=lambda logits, top_k: logits.masked_fill(logits < logits.topk(top_k).values[:, -1:],
                -torch.inf)),
            "topk cannot give more tokens than there are. A top_k beyond the vocabulary keeps them all: "
            "min(top_k, logits.shape[-1]).",
        ),
        "keepdim is missing": Misconception(
            sampler(few=without_keepdim),
            "The k-th logits of all rows stand in a row, where a column is needed to compare each with its own row. "
            "Keep the last axis with size 1: values[:, -1:].",
        ),
        "filtered logits become 0": Misconception(
            _filled(0.0, True, True),
            "Tokens that were dropped still come: a logit of 0 is an ordinary one, since exp(0) is 1. What must never "
            "come has a logit of minus infinity, or a probability of 0.",
        ),
        "top_p drops the token that crosses": Misconception(
            sampler(reach=all_but_the_crossing),
            "What remains does not reach top_p: the token with which the sum crosses it is dropped too. Ask what the "
            "tokens before it add up to; as long as that is below top_p, a token stays. So one always does.",
        ),
        "top_p keeps one too many": Misconception(
            sampler(reach=one_more),
            "One token more than needed stays in. The token with which the sum reaches top_p is the last: look at how "
            "far you shift.",
        ),
        "top_p without sorting": Misconception(
            sampler(reach=unsorted),
            "The probabilities are added up in the order of the vocabulary, so that chance decides which tokens stay. "
            "top_p asks for the likeliest: sort downwards first.",
        ),
        "top_p sorts upwards": Misconception(
            sampler(reach=sorted_upwards),
            "The unlikeliest tokens stay, and the likeliest go: sort gives the smallest first unless told "
            "descending=True.",
        ),
        "what to drop is not put back in its place": Misconception(
            sampler(reach=of_sorted),
            "You found in the sorted list how many to drop, and dropped tokens at these places of the unsorted one. "
            "Bring the mask back with scatter and the indices of the sort, or stay in the sorted list to the end.",
        ),
        "a place in the sorted list is not a token": Misconception(
            places,
            "You draw a place in the sorted list and give it back as a token: place 0 is the likeliest token, "
            "whichever it is. The indices that sort or topk gave turn places into tokens: gather.",
        ),
        "top_p is a threshold for each token": Misconception(
            sampler(reach=as_a_threshold(lambda chances, top_p: 1 - top_p)),
            "You compare each token's own probability with a limit. top_p limits what the likeliest tokens have "
            "together: sort, and add up.",
        ),
        "top_p adds up what top_k has dropped": Misconception(
            first_with_it,
            "top_p adds up the probabilities that the tokens had before top_k dropped some. Those that remain share "
            "the whole probability anew: take the softmax after top_k, and add that up.",
        ),
        "top_p is ignored beside top_k": Misconception(
            either_or,
            "Where both are given, only top_k has an effect. They are two steps, not a choice: if and if, not if and "
            "elif.",
        ),
        "top_k is ignored beside top_p": Misconception(
            top_p_alone,
            "Where both are given, only top_p has an effect. They are two steps, not a choice: if and if, not if and "
            "elif.",
        ),
        "exponentials that overflow": Misconception(
            sampler(draw=of_powers),
            "A logit of 100 at temperature 0.5 is 200, and its exponential is more than float32 holds: inf / inf is "
            "nan. torch.softmax knows how to avoid it.",
        ),
        "tokens as floating-point numbers": Misconception(
            as_floats,
            "The tokens are right, as floating-point numbers, and no embedding can be asked for token 3.0. Tokens are "
            "whole numbers, torch.int64.",
        ),
        "an axis is left over": Misconception(
            column,
            "The tokens are right and stand in a column: multinomial gives (batch, 1). Take the last axis off: "
            "[:, 0], or squeeze(-1).",
        ),
        "the generator is not used": Misconception(
            of_its_own,
            "The draws come from torch's own generator, so that a seed cannot repeat them. Hand the generator on: "
            "torch.multinomial(…, generator=generator).",
        ),
        "seeded anew with each call": Misconception(
            reseeded,
            "Every call gives the same tokens again, since the generator is set back each time. Use it as it comes: it "
            "moves on by itself.",
        ),
        "logits are overwritten": Misconception(
            writes_filters,
            "The tokens are right, and the caller's logits are changed: /= and [...] = write into them. Make new "
            "tensors: logits / temperature, masked_fill without an underscore.",
        ),
    },
    variants={
        "logits are drawn from": (
            sampler(draw=lambda logits, generator: torch.multinomial(logits.log_softmax(-1), 1)[:, 0]),
        ),
        "one random number for all rows": tuple(
            sampler(draw=own(draw), few=few, reach=reach)
            for draw in (one_point_for_all, one_point_in_order)
            for own in (lambda draw: draw, without_generator)
            for few, reach in ((kept, nucleus), (kept, unfiltered), (unfiltered, unfiltered))
        )[1:],
        "the temperature has no effect": (
            sampler(heat=lambda logits, temperature: logits),
            sampler(heat=lambda logits, temperature: logits, zero=None),
        ),
        "the temperature is forgotten beside a filter": (under("top_k"), under("top_p")),
        "one threshold for all rows": (
            sampler(few=flattened),
            sampler(few=of_weakest_row),
            sampler(few=lambda logits, top_k: flattened(logits, min(top_k, logits.shape[-1]))),
        ),
        "keepdim is missing": (sampler(few=with_a_threshold_in_a_row),),
        "top_k keeps one too many": (
            sampler(few=lambda logits, top_k: logits if top_k >= logits.shape[-1] else kept(logits, top_k + 1)),
        ),
        "filtered logits become 0": (_filled(0.0, True, False), _filled(0.0, False, True)),
        "top_p drops the token that crosses": (
            sampler(reach=all_but_the_crossing_but_one),
            zeroed_chances(lambda chances, top_p: chances.cumsum(-1) <= top_p),
            zeroed_chances(lambda chances, top_p: chances.cumsum(-1) < top_p),
            zeroed_chances(lambda chances, top_p: chances.cumsum(-1) <= top_p, is_shared=True),
        ),
        "top_p without sorting": (sampler(reach=by_sums),),
        "what to drop is not put back in its place": (sampler(reach=of_gathered),),
        "a place in the sorted list is not a token": (
            arrangement(True, False),
            arrangement(False, True),
            sampler(draw=lambda logits, generator: drawn(logits.sort(descending=True).values, generator)),
        ),
        "top_p is a threshold for each token": (
            sampler(reach=as_a_threshold(lambda chances, top_p: top_p)),
            sampler(reach=as_a_threshold(lambda chances, top_p: top_p * chances.amax(-1, keepdim=True))),
            sampler(reach=as_a_threshold(lambda chances, top_p: 1 - top_p, low=-1e9)),
            sampler(reach=as_a_threshold(lambda chances, top_p: top_p, low=-1e9)),
            zeroed_chances(lambda chances, top_p: chances >= 1 - top_p),
            zeroed_chances(lambda chances, top_p: chances >= top_p),
        ),
        "top_p adds up what top_k has dropped": (sampler(order="tpk"),),
        "an axis is left over": (
            column_of_its_own,
            sampler(draw=column_of_draws),
            sampler(draw=column_of_own_draws),
        ),
        "seeded anew with each call": (with_seed,),
        "logits are overwritten": (writes_temperature,),
    },
    alternatives=[
        by_sorting,
        as_hugging_face_does,
        by_gumbel,
        by_inverting,
        by_ranks,
        by_zeroing,
        by_a_race,
        by_clamping,
    ],
    hints=(
        "Take five tokens with the probabilities 0.4, 0.3, 0.15, 0.1 and 0.05. Which ones stay with top_k 3? And "
        "with top_p 0.6, where the first alone is not enough? And in which order do the two and the temperature work?",
        "Temperature 0 is argmax, and nothing else. Otherwise divide the logits, and sort each row downwards: "
        "then top_k keeps the first k places, and top_p those before which the sum is still below top_p. multinomial "
        "draws a place, and the indices of the sort say which token stands there.",
        "values, tokens = (logits / temperature).topk(k) with k at most the vocabulary; p = values.softmax(-1); "
        "before = p.cumsum(-1) - p is what the likelier tokens have together, and p * (before < top_p) is what to draw "
        "from, with the generator. tokens.gather(-1, place) turns the (batch, 1) places into tokens.",
    ),
)
