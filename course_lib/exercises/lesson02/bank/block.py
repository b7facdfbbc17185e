"""Known mistakes and right answers for `causal_self_attention`."""

import torch

from course_lib import attention
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson02 import run
from course_lib.exercises.lesson02.bank.attenders import (
    attender,
    by_additive_mask,
    by_einsum,
    by_flattening,
    by_heads,
    by_tokens,
    by_unbinding,
    in_order,
)
from course_lib.exercises.lesson02.bank.weights import MADE_BY_TORCH

__all__ = ["BLOCK"]


def _ones(scores):
    return torch.ones(scores.shape[-2:], dtype=torch.bool)


def _filled(number, dim=-1):
    return lambda scores, mask: scores.masked_fill(~mask, number).softmax(dim)


def _softmax_over(dim):
    return lambda scores, mask: scores.masked_fill(~mask, -1e9).softmax(dim) * mask


def _cut(cut, merge=attention.merge_heads, scale=lambda x, head_dim: head_dim**0.5):
    """Features cut into heads, and put together, in another way."""

    def split(x, W_qkv, num_heads):
        batch, seq, d_model = x.shape
        return [cut(part, batch, seq, num_heads, d_model // num_heads) for part in (x @ W_qkv).chunk(3, dim=-1)]

    return attender(split=split, merge=merge, scale=scale)


def _viewed(part, batch, seq, heads, head_dim):
    return part.reshape(batch, heads, seq, head_dim)


def _dealt_out(part, batch, seq, heads, head_dim):
    return part.reshape(batch, seq, head_dim, heads).permute(0, 3, 1, 2)


def _whole(part, batch, seq, heads, head_dim):
    return part[:, None]


def _head_by_head(x, W_qkv, num_heads):
    batch, seq, _ = x.shape
    return (x @ W_qkv).view(batch, seq, num_heads, 3, -1).permute(3, 0, 2, 1, 4).unbind(0)


def _every_third(x, W_qkv, num_heads):
    return [attention.split_heads((x @ W_qkv)[..., first::3], num_heads) for first in range(3)]


def _values_from_x(x, W_qkv, num_heads):
    q, k, _ = in_order("qkv")(x, W_qkv, num_heads)
    return q, k, attention.split_heads(x, num_heads)


def _takes(names):
    """Queries, keys and values, each the part that is named for it."""

    def split(x, W_qkv, num_heads):
        parts = in_order("qkv")(x, W_qkv, num_heads)
        return [parts["qkv".index(name)] for name in names]

    return split


def _one_head_scaled_as_many(x, W_qkv, W_o, num_heads):
    one_head = _cut(_whole, scale=lambda x, head_dim: (head_dim // num_heads) ** 0.5)
    return one_head(x, W_qkv, W_o, num_heads)


def _in_float32(x, W_qkv, num_heads):
    return [part.float() for part in in_order("qkv")(x, W_qkv, num_heads)]


def _detached(x, W_qkv, W_o, num_heads):
    return attention.causal_self_attention(x, W_qkv, W_o, num_heads).detach()


def _without_gradients(x, W_qkv, W_o, num_heads):
    with torch.no_grad():
        return attention.causal_self_attention(x, W_qkv, W_o, num_heads)


def _cut_off(*names):
    """Some of queries, keys and values cut off from what they are made of."""

    def split(x, W_qkv, num_heads):
        parts = zip("qkv", in_order("qkv")(x, W_qkv, num_heads), strict=True)
        return [part.detach() if name in names else part for name, part in parts]

    return attender(split=split)


def _float64(x, W_qkv, W_o, num_heads):
    return attention.causal_self_attention(x.double(), W_qkv.double(), W_o.double(), num_heads)


def _float32(x, W_qkv, W_o, num_heads):
    return attention.causal_self_attention(x.float(), W_qkv.float(), W_o.float(), num_heads)


def _with_x(x, W_qkv, W_o, num_heads):
    return x + attention.causal_self_attention(x, W_qkv, W_o, num_heads)


def _weights_turned(x, W_qkv, W_o, num_heads):
    return (x @ W_qkv.T).chunk(3, dim=-1)


def _linear(x, W_qkv, W_o, num_heads):
    return torch.nn.functional.linear(x, W_qkv).chunk(3, dim=-1)


BLOCK = Exercise(
    side=run.BLOCK,
    reference=attention.causal_self_attention,
    groups={run.OUTPUTS: 2, run.CAUSAL: 2, run.SINGLE: 1, run.REACHES: 1, run.DTYPE: 1},
    apart=(run.CAUSAL,),
    form=(run.DTYPE,),
    judge=Equality(atol=1e-5, dtype=run.DTYPE),
    difficulty=4,
    minutes=18,
    misconceptions={
        "the mask is missing": Misconception(
            attender(allowed=_ones),
            "Every token reads the whole sequence, those after it too. The block is causal: give the weights the mask "
            "of lesson 01, create_causal_mask(seq).",
        ),
        "the mask is transposed": Misconception(
            attender(allowed=lambda scores: _ones(scores).triu()),
            "Every token reads itself and those after it. Rows are queries, columns are keys: keep the lower "
            "triangle.",
        ),
        "a token does not read itself": Misconception(
            attender(allowed=lambda scores: _ones(scores).tril(-1)),
            "Every token reads those before it and not itself, so the first one reads nothing at all. The diagonal is "
            "allowed: j <= i.",
        ),
        "one token too far": Misconception(
            attender(allowed=lambda scores: _ones(scores).tril(1)),
            "Every token also reads the next one, the very one it has to predict. Look at the diagonal of your mask.",
        ),
        "the mask is inverted": Misconception(
            attender(weigh=lambda scores, mask: scores.masked_fill(mask, -torch.inf).softmax(-1)),
            "Every token reads the future alone. True means may attend, and masked_fill fills where it reads True: "
            "give it ~mask.",
        ),
        "forbidden scores are set to 0": Misconception(
            attender(weigh=_filled(0.0)),
            "The future still gets weight, since a score of 0 is an ordinary score: exp(0) is 1. (tril on scores does "
            "the same.) Forbidden scores are minus infinity before the softmax.",
        ),
        "masked after the softmax": Misconception(
            attender(weigh=lambda scores, mask: scores.softmax(-1) * mask),
            "The future is left out, and what remains does not add up to 1: the future had taken its share in the "
            "softmax before. Apply the mask to the scores.",
        ),
        "no softmax": Misconception(
            attender(weigh=lambda scores, mask: scores * mask),
            "The values are summed with the scores themselves, negative ones among them. A softmax over the keys makes "
            "shares of them.",
        ),
        "softmax over the queries": Misconception(
            attender(weigh=_softmax_over(-2)),
            "The softmax runs over the queries, so each key shares itself out. It is each query that shares out its "
            "attention among the keys: the last axis of the scores.",
        ),
        "softmax over the heads": Misconception(
            attender(weigh=_softmax_over(1)),
            "The softmax runs over the heads, as if they competed. Each head shares out its own attention among the "
            "keys: the last axis of the scores.",
        ),
        "no scale": Misconception(
            attender(scale=lambda x, head_dim: 1),
            "The scores were not divided by √head_dim, so that the weights are more extreme than they should be.",
        ),
        "scaled by √d_model": Misconception(
            attender(scale=lambda x, head_dim: x.shape[-1] ** 0.5),
            "The scores were divided by √d_model. A score is a sum over the features of one head, so it is √head_dim, "
            "the last axis of q after the split.",
        ),
        "scaled by another number": Misconception(
            attender(scale=lambda x, head_dim: head_dim),
            "The scores were divided by another number than √head_dim. Your own attention_weights has it right once "
            "its check passes: use it.",
        ),
        "queries and keys are swapped": Misconception(
            attender(split=in_order("kqv")),
            "Queries and keys have changed places. The columns of W_qkv hold queries, keys and values, in this order, "
            "and a score is q kᵀ, with the queries in the rows.",
        ),
        "another order of the three parts": Misconception(
            attender(split=in_order("qvk")),
            "The parts are right and are taken in another order. The columns of W_qkv hold queries, keys and values: "
            "the first d_model columns are the queries, the next the keys, the last the values.",
        ),
        "three parts for each head": Misconception(
            attender(split=_head_by_head),
            "You read W_qkv head by head, with q, k and v of head 0 in front. Here all queries come first: cut it into "
            "three parts of d_model columns, and each part into heads after that.",
        ),
        "every third column": Misconception(
            attender(split=_every_third),
            "You deal the columns of W_qkv out to q, k and v in turn. They stand in three blocks of d_model columns: "
            "chunk(3, dim=-1).",
        ),
        "one part is used twice": Misconception(
            attender(split=_takes("qqv")),
            "Queries, keys and values are three parts of x @ W_qkv. One of yours comes in twice, and another never "
            "does: the scores are q kᵀ, and the weights average v.",
        ),
        "the values are x": Misconception(
            attender(split=_values_from_x),
            "The weights are right, and they average x itself. What is averaged are the values, the third part of "
            "x @ W_qkv.",
        ),
        "no output projection": Misconception(
            attender(project=lambda merged, W_o: merged),
            "All is right up to the merged heads, and W_o is missing: it lets the heads' findings mix.",
        ),
        "W_o is transposed": Misconception(
            attender(project=lambda merged, W_o: merged @ W_o.T),
            "All is right up to the merged heads; the last step multiplies by W_o transposed. Here it is merged @ W_o; "
            "F.linear expects a weight that stands the other way round.",
        ),
        "W_qkv is transposed": Misconception(
            _weights_turned,
            "The projection does not fit: W_qkv is (d_model, 3 · d_model) and stands on the right, x @ W_qkv. "
            "F.linear expects a weight that lies the other way round.",
        ),
        "the heads are cut by a view alone": Misconception(
            _cut(_viewed, merge=lambda heads: heads.reshape(heads.shape[0], heads.shape[2], -1)),
            "Your heads mix tokens: view(batch, num_heads, seq, head_dim) reads on in memory. Cut the last axis first "
            "and swap two axes then, as in split_heads; merge_heads goes the same way back.",
        ),
        "a view of what is not in a row": Misconception(
            attender(merge=lambda heads: heads.transpose(1, 2).view(heads.shape[0], heads.shape[2], -1)),
            "view fails on numbers that do not lie in a row. Where heads are merged, reshape copies them into one. "
            "Where they are split, cut the last axis, (batch, seq, num_heads, head_dim), and swap two axes then.",
        ),
        "features dealt out like cards": Misconception(
            _cut(_dealt_out),
            "Your head h gets every num_heads-th feature. It should get head_dim features in a row: "
            "(batch, seq, num_heads, head_dim), as in split_heads.",
        ),
        "merged without swapping back": Misconception(
            attender(merge=lambda heads: heads.reshape(heads.shape[0], heads.shape[2], -1)),
            "All is right up to the heads' outputs, and putting them together mixes tokens. Swap heads and seq back "
            "before you join the last two axes, as in merge_heads.",
        ),
        "merged like cards": Misconception(
            attender(merge=lambda heads: heads.permute(0, 2, 3, 1).flatten(2)),
            "All is right up to the heads' outputs. Joined, they are feature 0 of all heads, then feature 1, and on. "
            "The heads stand side by side, each in one piece: (batch, seq, heads, head_dim) before they are joined.",
        ),
        "axes of size 1 are dropped": Misconception(
            lambda x, W_qkv, W_o, num_heads: attention.causal_self_attention(x, W_qkv, W_o, num_heads).squeeze(),
            "The numbers are right, and axes are missing: squeeze takes every axis of size 1. One sequence or one "
            "token is still an axis.",
        ),
        "one head only": Misconception(
            _cut(_whole),
            "There is one head as wide as d_model, whatever num_heads says. Split q, k and v into heads, so that each "
            "head has weights of its own.",
        ),
        "x is added": Misconception(
            _with_x,
            "You add x to the result. The residual connection belongs to the block around it, which comes later; here "
            "the output is the attention alone.",
        ),
        "cut off from the gradients": Misconception(
            _detached,
            "The outputs are right, and gradients do not go back to all that they are made of, so not all of it could "
            "be learnt. Leave out detach, .data, no_grad and new tensors made of numbers.",
        ),
        "another dtype comes back": Misconception(
            _float32,
            "The numbers are right, and a tensor is not in the dtype of x; the line below says which dtypes met. Leave "
            "out .float() and .double(), and give new tensors the dtype of x.",
        ),
    },
    variants={
        "a token does not read itself": (
            attender(allowed=lambda scores: _ones(scores).tril(-1), weigh=_filled(-torch.inf)),
            attender(allowed=lambda scores: _ones(scores).tril(-1), weigh=_filled(-1e9)),
        ),
        "the mask is inverted": (
            attender(weigh=lambda scores, mask: scores.masked_fill(mask, -1e9).softmax(-1)),
            attender(weigh=lambda scores, mask: scores.masked_fill(mask, -1e9).softmax(-1) * ~mask),
        ),
        "forbidden scores are set to 0": (attender(weigh=lambda scores, mask: scores.tril().softmax(-1)),),
        "no softmax": (
            attender(weigh=lambda scores, mask: scores.tril()),
            attender(weigh=lambda scores, mask: scores),
            attender(weigh=lambda scores, mask: scores.masked_fill(~mask, -1e9)),
            attender(weigh=lambda scores, mask: scores.masked_fill(~mask, -torch.inf)),
        ),
        "softmax over the heads": (
            attender(weigh=_filled(-1e9, dim=1)),
            attender(weigh=_filled(-torch.inf, dim=1)),
        ),
        "scaled by another number": (
            attender(scale=lambda x, head_dim: x.shape[1] ** 0.5),
            attender(scale=lambda x, head_dim: (x.shape[-1] // head_dim) ** 0.5),
            attender(scale=lambda x, head_dim: head_dim**-0.5),
            attender(scale=lambda x, head_dim: x.shape[-1]),
            attender(scale=lambda x, head_dim: head_dim / 2),
        ),
        "another order of the three parts": (
            attender(split=in_order("vqk")),
            attender(split=in_order("vkq")),
            attender(split=in_order("kvq")),
        ),
        "W_qkv is transposed": (_linear,),
        "the heads are cut by a view alone": (_cut(_viewed),),
        "a view of what is not in a row": (
            _cut(lambda part, batch, seq, heads, head_dim: part.view(batch, heads, seq, head_dim)),
        ),
        "features dealt out like cards": (_cut(_dealt_out, merge=lambda heads: heads.permute(0, 2, 3, 1).flatten(2)),),
        "one head only": (_cut(_whole, scale=lambda x, head_dim: 1), _one_head_scaled_as_many),
        "one part is used twice": (
            attender(split=_takes("kkv")),
            attender(split=_takes("qkk")),
            attender(split=_takes("qkq")),
        ),
        "cut off from the gradients": (
            _without_gradients,
            *(_cut_off(*names) for names in ("qkv", "qk", "q", "k", "v")),
            lambda x, W_qkv, W_o, num_heads: attention.causal_self_attention(x.detach(), W_qkv, W_o, num_heads),
            lambda x, W_qkv, W_o, num_heads: attention.causal_self_attention(x, W_qkv.detach(), W_o, num_heads),
            lambda x, W_qkv, W_o, num_heads: attention.causal_self_attention(x, W_qkv, W_o.detach(), num_heads),
        ),
        "another dtype comes back": (
            _float64,
            attender(split=_in_float32),
            attender(weigh=lambda scores, mask: scores.float().masked_fill(~mask, -1e9).softmax(-1)),
        ),
    },
    alternatives=[by_heads, by_einsum, by_additive_mask, by_unbinding, by_flattening, by_tokens],
    allowed=("course_lib.masks",),
    forbidden={
        name: f"causal_self_attention uses {name}, which is attention made by torch; put it together from your own "
        "split_heads, attention_weights and merge_heads."
        for name in MADE_BY_TORCH
    },
    hints=(
        "Write down the shape after each step: x, x @ W_qkv, its three parts, a part split into heads, the weights, "
        "the weighted values, the merged heads, the output. Which of your functions goes from one to the next?",
        "(x @ W_qkv).chunk(3, dim=-1) gives queries, keys and values. Split each into heads; attention_weights takes "
        "the first two and the causal mask; its result times the values is what merge_heads wants.",
        "weights = attention_weights(q, k, create_causal_mask(x.shape[1])), with q, k and v in heads; then "
        "merge_heads(weights @ v) @ W_o.",
    ),
)
