"""Known mistakes and right answers for `attend_with_cache`."""

import torch

from course_lib import cached
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson04 import run
from course_lib.exercises.lesson04.bank.attending import (
    attending,
    by_additive_mask,
    by_cutting,
    by_einsum,
    by_one_at_a_time,
    by_positions,
    by_rows,
    filled,
    shifted,
)

__all__ = ["ATTEND"]

MADE_BY_TORCH = (
    "scaled_dot_product_attention",
    "_scaled_dot_product_attention",
    "_scaled_dot_product_attention_math",
    "MultiheadAttention",
    "multi_head_attention_forward",
    "flex_attention",
)


def _top_left(q_len, k_len):
    return torch.ones(q_len, k_len, dtype=torch.bool).tril()


def _everything(q_len, k_len):
    return torch.ones(q_len, k_len, dtype=torch.bool)


def _twice(k, v, cache):
    cache.append(k, v)
    return cache.append(k, v)


def _not_kept(k, v, cache):
    return k, v


def _in_a_new_cache(k, v, cache):
    return type(cache)(cache.max_len).append(k, v)


def _emptied_first(k, v, cache):
    cache.length = 0
    return cache.append(k, v)


def _kept_and_not_read(k, v, cache):
    cache.append(k, v)
    return k, v


def _with_the_new_again(k, v, cache):
    keys, values = cache.append(k, v)
    return torch.cat((keys, k), dim=2), torch.cat((values, v), dim=2)


def _past_alone(q, k, v, cache):
    past, values = cache.append(k[:, :, :0], v[:, :, :0])
    weights = (q @ past.mT / q.shape[-1] ** 0.5).softmax(-1)
    output = weights @ values
    cache.append(k, v)
    return output


def _beside_the_past(q, k, v, cache):
    """The new tokens are put beside the old ones for this call, and never into the cache."""
    past, values = cache.append(k[:, :, :0], v[:, :, :0])
    k, v = torch.cat((past, k), dim=2), torch.cat((values, v), dim=2)
    return attending(keep=lambda keys, values, cache: (keys, values))(q, k, v, cache)


def _new_values(q, k, v, cache):
    keys, _ = cache.append(k, v)
    scores = q @ keys.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~shifted()(*scores.shape[-2:]), -torch.inf).softmax(-1) @ v


def _new_keys(q, k, v, cache):
    _, values = cache.append(k, v)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~shifted()(*scores.shape[-2:]), -torch.inf).softmax(-1) @ values


def _writes_q(q, k, v, cache):
    q /= q.shape[-1] ** 0.5
    return attending(scale=lambda q, k: 1)(q, k, v, cache)


def _square_of_new(q_len, k_len):
    return torch.ones(q_len, q_len, dtype=torch.bool).tril()


def _square_of_all(q_len, k_len):
    return torch.ones(k_len, k_len, dtype=torch.bool).tril()


def _without_its_own(scores, mask):
    return scores.masked_fill(~mask, -torch.inf).softmax(-1).nan_to_num(0.0)


def _merged(weights, v):
    return (weights @ v).transpose(1, 2).flatten(2)


def _unturned(turn):
    """Scores of q and k with other axes swapped than the last two, or none."""

    def attend_with_cache(q, k, v, cache):
        k, v = cache.append(k, v)
        return (q @ turn(k) / q.shape[-1] ** 0.5).softmax(-1) @ v

    return attend_with_cache


def _asks(ask):
    def attend_with_cache(q, k, v, cache):
        cache.append(k, v)
        return attending(keep=lambda keys, values, cache: ask(cache))(q, k, v, cache)

    return attend_with_cache


ATTEND = Exercise(
    side=run.ATTEND,
    reference=cached.attend_with_cache,
    groups={
        "new tokens one by one": 2,
        "a prompt at once": 1,
        "several new tokens behind cached ones": 2,
        "the cache holds every token once": 1,
    },
    core=("new tokens one by one", "a prompt at once"),
    judge=Equality(atol=1e-5, untouched="the cache holds every token once"),
    difficulty=4,
    minutes=15,
    misconceptions={
        "the mask is aligned top-left": Misconception(
            attending(allowed=_top_left),
            "The first new token sees the first cached one alone, as if the new tokens stood at the start. They stand "
            "at the end: of the causal mask of all tokens, theirs are the last rows, and tril has a diagonal to shift.",
        ),
        "the mask is missing": Misconception(
            attending(allowed=_everything),
            "One new token may see everything, and of several each also sees those after it: there is no mask, or its "
            "diagonal is shifted too far, as by cache.length asked after the append.",
        ),
        "a token does not see itself": Misconception(
            attending(allowed=shifted(-1)),
            "Each new token sees those before it and not itself, so that the very first sees nobody. The diagonal is "
            "allowed: shift the mask by the number of cached tokens, which is asked before the append.",
        ),
        "one token too far": Misconception(
            attending(allowed=shifted(1)),
            "Each new token also sees the one after it, which it has to predict. Shift the diagonal by the number of "
            "cached tokens, and not by one more.",
        ),
        "the mask is inverted": Misconception(
            attending(weigh=lambda scores, mask: scores.masked_fill(mask, -torch.inf).softmax(-1)),
            "Each token sees only those after it. True means may attend, and masked_fill fills where it reads True: "
            "give it ~mask.",
        ),
        "the mask is as wide as the new tokens": Misconception(
            attending(allowed=_square_of_new),
            "Your mask has a column for each new token only, and the scores have one for each token so far. It is "
            "(new, cached + new): the cached columns come first and are all allowed.",
        ),
        "the mask has a row for each token so far": Misconception(
            attending(allowed=_square_of_all),
            "Your mask is square, with a row for the cached tokens too, and they ask no more. Only the new ones have "
            "queries: keep the last rows, mask[..., -new:, :].",
        ),
        "the cache is not filled": Misconception(
            attending(keep=_not_kept),
            "The new tokens do not find those of earlier calls: nothing was put into the cache, or it is emptied or "
            "made anew each time. k, v = cache.append(k, v) does both, it keeps them and gives all so far.",
        ),
        "what append gives back is not used": Misconception(
            attending(keep=_kept_and_not_read),
            "The cache is filled, and the new tokens see only one another: append gives back the keys and values of "
            "all tokens so far. k, v = cache.append(k, v).",
        ),
        "appended twice": Misconception(
            attending(keep=_twice),
            "Every token is in the cache twice: append was called twice, such as once for its keys and once for its "
            "values. One call takes both and gives both.",
        ),
        "the new tokens stand there twice": Misconception(
            attending(keep=_with_the_new_again),
            "What append gives back ends with the new keys and values, and you put them behind it once more, so that "
            "each new token is seen twice. Use what comes back as it is: nothing is left to join.",
        ),
        "appended after attending": Misconception(
            _past_alone,
            "The new tokens see the cached ones and neither themselves nor one another. Append first, then attend.",
        ),
        "the keys or the values of the new tokens alone": Misconception(
            _new_values,
            "There are weights for all tokens so far and values for the new ones only, or the other way round. append "
            "gives back the keys and the values of all: use both.",
        ),
        "keys and values have changed places": Misconception(
            attending(keep=lambda k, v, cache: cache.append(v, k)),
            "You score with the values and average the keys. append takes (k, v) and gives back (k, v), in this order.",
        ),
        "the wrong axes of k are swapped": Misconception(
            _unturned(lambda k: k),
            "The product wants (…, new, head_dim) @ (…, head_dim, tokens). Swap the last two axes of k, and no others.",
        ),
        "the cache is asked for its keys": Misconception(
            _asks(lambda cache: (cache.keys, cache.values)),
            "The cache has no such attribute. What append gives back are the keys and values of all tokens so far: "
            "k, v = cache.append(k, v).",
        ),
        "no scale": Misconception(
            attending(scale=lambda q, k: 1),
            "The weights are more extreme than they should be: the scores were not divided by √head_dim.",
        ),
        "scaled by the number of tokens": Misconception(
            attending(scale=lambda q, k: k.shape[-2] ** 0.5),
            "You divide by the root of a number of tokens, which grows with each call. A score is a sum over the "
            "features of one head: √head_dim, the last axis of q.",
        ),
        "scaled by another number": Misconception(
            attending(scale=lambda q, k: q.shape[-1]),
            "The scores were divided by another number than √head_dim, the root of the last axis of q.",
        ),
        "softmax over the queries": Misconception(
            attending(weigh=filled(-torch.inf, dim=-2)),
            "The softmax runs over the new tokens, so that they compete for a key. Each of them shares out its own "
            "attention among the keys: the last axis of the scores.",
        ),
        "no softmax": Misconception(
            attending(weigh=lambda scores, mask: scores * mask),
            "The values are summed with the scores themselves, negative ones among them. A softmax over the keys makes "
            "shares of them.",
        ),
        "forbidden scores are set to 0": Misconception(
            attending(weigh=filled(0.0)),
            "Later tokens still get weight, since a score of 0 is an ordinary score: exp(0) is 1 (tril on scores does "
            "the same). Forbidden scores are minus infinity before the softmax.",
        ),
        "forbidden scores are not low enough": Misconception(
            attending(weigh=filled(-100.0)),
            "Scores may be far below your number, and then the forbidden tokens get all the weight. Fill with minus "
            "infinity.",
        ),
        "masked after the softmax": Misconception(
            attending(weigh=lambda scores, mask: scores.softmax(-1) * mask),
            "Later tokens are left out, and what remains does not add up to 1: they had taken their share in the "
            "softmax before. Apply the mask to the scores.",
        ),
        "only the last token's output": Misconception(
            attending(give=lambda weights, v: weights[..., -1:, :] @ v),
            "Only the last new token gets an output. Each new token has one: the shape is that of q.",
        ),
        "the heads are moved or merged": Misconception(
            attending(give=_merged),
            "The output should have the shape of q, (batch, heads, new, head_dim), and yours has its axes swapped or "
            "merged. Merging the heads is for whoever calls this function.",
        ),
        "q is scaled in place": Misconception(
            _writes_q,
            "The outputs are right, and the caller's q was overwritten: q /= … writes into it. q = q / … makes a new "
            "one.",
        ),
    },
    variants={
        "the mask is aligned top-left": (attending(allowed=_top_left, weigh=filled(-1e9)),),
        "a token does not see itself": (
            attending(allowed=shifted(-1), weigh=filled(-1e9)),
            attending(allowed=shifted(-1), weigh=_without_its_own),
        ),
        "the keys or the values of the new tokens alone": (_new_keys,),
        "the mask is inverted": (
            attending(weigh=lambda scores, mask: scores.masked_fill(mask, -1e9).softmax(-1)),
            attending(weigh=lambda scores, mask: scores.masked_fill(mask, -torch.inf).softmax(-1).nan_to_num(0.0)),
        ),
        "the cache is not filled": (
            attending(keep=_in_a_new_cache),
            _beside_the_past,
            attending(keep=_not_kept, allowed=_everything),
            *(attending(keep=_emptied_first, allowed=mask) for mask in (shifted(), _everything)),
        ),
        "what append gives back is not used": (attending(keep=_kept_and_not_read, allowed=_everything),),
        "keys and values have changed places": (
            attending(keep=lambda k, v, cache: cache.append(k, v)[::-1]),
            attending(keep=lambda k, v, cache: cache.append(v, k), allowed=_everything),
            attending(keep=lambda k, v, cache: cache.append(v, k)[::-1]),
        ),
        "the wrong axes of k are swapped": (
            _unturned(lambda k: k.transpose(1, 2)),
            _unturned(lambda k: k.transpose(1, -1)),
        ),
        "the cache is asked for its keys": tuple(
            _asks(ask)
            for ask in (
                lambda cache: (cache.k, cache.v),
                lambda cache: (cache.key, cache.value),
                lambda cache: (cache[0], cache[1]),
                lambda cache: tuple(cache),
                lambda cache: cache.get(),
            )
        ),
        "the new tokens stand there twice": (attending(keep=_with_the_new_again, allowed=_everything),),
        "the heads are moved or merged": (attending(give=lambda weights, v: (weights @ v).transpose(1, 2)),),
        "no scale": tuple(attending(scale=lambda q, k: 1, allowed=mask) for mask in (_everything, _top_left)),
        "scaled by the number of tokens": (
            *(
                attending(scale=lambda q, k: k.shape[-2] ** 0.5, allowed=mask)
                for mask in (_everything, _top_left, _square_of_all)
            ),
            attending(scale=lambda q, k: q.shape[-2] ** 0.5),
            attending(scale=lambda q, k: q.shape[1] ** 0.5),
        ),
        "scaled by another number": (
            attending(scale=lambda q, k: q.shape[-1], allowed=_everything),
            attending(scale=lambda q, k: (q.shape[1] * q.shape[-1]) ** 0.5),
            attending(scale=lambda q, k: q.shape[-1] ** 1 / 2),
            attending(scale=lambda q, k: q.shape[-1] ** -0.5),
        ),
        "softmax over the queries": (
            attending(weigh=filled(-1e9, dim=-2)),
            attending(weigh=filled(-1e9, dim=-2), allowed=_everything),
        ),
        "no softmax": (attending(weigh=lambda scores, mask: scores, allowed=_everything),),
        "forbidden scores are set to 0": (attending(weigh=lambda scores, mask: (scores * mask).softmax(-1)),),
        "forbidden scores are not low enough": (
            attending(weigh=filled(-10.0)),
            attending(weigh=filled(-1.0)),
        ),
    },
    alternatives=[by_cutting, by_positions, by_one_at_a_time, by_rows, by_additive_mask, by_einsum],
    forbidden={
        name: f"attend_with_cache uses {name}, which is attention made by torch; make the weights from q and all keys "
        "yourself (torch.softmax may be used)."
        for name in MADE_BY_TORCH
    },
    allowed=("course_lib.cache", "course_lib.generation.KVCache", "course_lib.masks"),
    hints=(
        "Three tokens are in the cache, and two arrive together. Draw the table of who may see whom: how many rows has "
        "it, how many columns, and which of its cells are forbidden?",
        "cache.append(k, v) keeps the new keys and values and gives back those of all tokens so far, oldest first. "
        "With these it is attention as in lesson 02, and the mask is the last rows of the causal mask of all tokens.",
        "Let new = q.shape[-2] and total = k.shape[-2] after the append. create_causal_mask(total)[..., -new:, :] has "
        "the shape (1, 1, new, total) of the scores; fill where it is False, and take the softmax over the last axis.",
    ),
)
