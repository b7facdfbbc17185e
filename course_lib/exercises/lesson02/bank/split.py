"""Known mistakes and right answers for `split_heads`."""

import torch

from course_lib import attention
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson02 import run
from course_lib.exercises.lesson02.bank.weights import MADE_BY_TORCH

__all__ = ["SPLIT"]


def _require(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError(f"{x.shape[-1]} features cannot be shared out among {num_heads} heads")


def _checked(split):
    """A way to split, behind the test that belongs to it."""

    def split_heads(x, num_heads):
        _require(x, num_heads)
        batch, seq, d_model = x.shape
        return split(x, batch, seq, num_heads, d_model // num_heads)

    return split_heads


def _asserts(x, num_heads):
    assert x.shape[-1] % num_heads == 0
    return attention.split_heads(x, num_heads)


def _asserts_with_a_sentence(x, num_heads):
    assert x.shape[-1] % num_heads == 0, "d_model must be divisible by num_heads"
    return attention.split_heads(x, num_heads)


def _leaves_it_to_torch(x, num_heads):
    batch, seq, d_model = x.shape
    return x.view(batch, seq, num_heads, d_model // num_heads).transpose(1, 2)


def _leaves_it_to_stack(x, num_heads):
    return torch.stack(x.split(max(x.shape[-1] // num_heads, 1), dim=-1), dim=1)


def _divides(x, num_heads):
    batch, seq, d_model = x.shape
    return x.view(batch, seq, num_heads, d_model / num_heads).transpose(1, 2)


def _divides_later(x, num_heads):
    return x.reshape(x.shape[0], x.shape[1], num_heads, x.shape[2] / num_heads).transpose(1, 2)


def _drops_the_rest(x, num_heads):
    head_dim = x.shape[-1] // num_heads
    return torch.stack([x[..., h * head_dim : (h + 1) * head_dim] for h in range(num_heads)], dim=1)


def _returns_nothing(x, num_heads):
    return attention.split_heads(x, num_heads) if x.shape[-1] % num_heads == 0 else None


def _returns_an_error(x, num_heads):
    return attention.split_heads(x, num_heads) if x.shape[-1] % num_heads == 0 else ValueError("no")


def _raises(error):
    def split_heads(x, num_heads):
        if x.shape[-1] % num_heads:
            raise error("d_model must be divisible by num_heads")
        return attention.split_heads(x, num_heads)

    return split_heads


def _split_by_chunks(x, num_heads):
    if x.size(-1) % num_heads != 0:
        raise ValueError("d_model must be divisible by num_heads")
    return torch.stack(x.chunk(num_heads, dim=-1), dim=1)


def _split_by_slices(x, num_heads):
    head_dim, rest = divmod(x.shape[2], num_heads)
    if rest:
        raise ValueError(f"{rest} features are left over")
    out = x.new_empty(x.shape[0], num_heads, x.shape[1], head_dim)
    for h in range(num_heads):
        out[:, h] = x[:, :, h * head_dim : (h + 1) * head_dim]
    return out


def _split_by_permuting(x, num_heads):
    batch, seq, d_model = x.shape
    if d_model != num_heads * (d_model // num_heads):
        raise ValueError
    return x.view(batch, seq, num_heads, d_model // num_heads).permute(0, 2, 1, 3).contiguous()


def _split_by_unflattening(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError("no")
    return x.unflatten(-1, (num_heads, -1)).movedim(2, 1)


def _split_by_indices(x, num_heads):
    if x.shape[-1] % num_heads > 0:
        raise ValueError("no")
    features = torch.arange(x.shape[-1]).reshape(num_heads, -1)
    return x[:, :, features].swapaxes(1, 2)


def _split_by_transposing_first(x, num_heads):
    if x.shape[-1] % num_heads:
        raise ValueError("no")
    return x.mT.reshape(x.shape[0], num_heads, -1, x.shape[1]).mT


SPLIT = Exercise(
    side=run.SPLIT,
    reference=attention.split_heads,
    groups={run.RUNS: 2, run.REFUSES: 1},
    difficulty=2,
    minutes=6,
    misconceptions={
        "cut by a view alone": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(batch, heads, seq, head_dim)),
            "The shape is right and the numbers are in wrong places: view and reshape read on in memory and mix "
            "tokens. Cut the last axis in two first, (batch, seq, num_heads, head_dim), then swap two axes.",
        ),
        "features dealt out like cards": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(batch, seq, head_dim, heads).permute(0, 3, 1, 2)),
            "Your head h gets every num_heads-th feature. It should get head_dim features in a row: when the last axis "
            "is cut in two, the head comes before the feature in it.",
        ),
        "the heads stand behind the tokens": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(batch, seq, heads, head_dim)),
            "The features are cut rightly, and the axes come as (batch, seq, num_heads, head_dim). Swap the middle "
            "two, so that each head has a sequence of its own.",
        ),
        "the heads come first": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(batch, seq, heads, head_dim).permute(2, 0, 1, 3)),
            "The heads are the first axis of yours. The batch stays in front: (batch, num_heads, seq, head_dim). "
            "torch.stack puts its new axis first unless told where, with dim=1.",
        ),
        "num_heads and head_dim are swapped": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(batch, seq, head_dim, heads).transpose(1, 2)),
            "You make head_dim heads of num_heads features each. num_heads says how many heads there are; how wide "
            "each is follows, d_model // num_heads.",
        ),
        "other axes are swapped": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(batch, seq, heads, head_dim).transpose(2, 3)),
            "After the cut the axes are (batch, seq, num_heads, head_dim), counted from 0. You swapped others than seq "
            "and num_heads, 1 and 2.",
        ),
        "tokens and features are swapped": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(batch, seq, heads, head_dim).permute(0, 2, 3, 1)),
            "Your heads lie on their side: (batch, num_heads, head_dim, seq). That is how keys stand when scores are "
            "made, and attention_weights turns them itself.",
        ),
        "every head gets all features": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x[:, None].expand(-1, heads, -1, -1)),
            "Each head holds a copy of all features. The heads share them out: head_dim is d_model // num_heads.",
        ),
        "num_heads is ignored": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x[:, None]),
            "There is one head, with all features, whatever num_heads says. Cut the last axis into num_heads runs.",
        ),
        "axes of size 1 are dropped": Misconception(
            lambda x, num_heads: attention.split_heads(x, num_heads).squeeze(),
            "The numbers are right, and axes are missing: squeeze takes every axis of size 1. One head, one sequence "
            "or one token is still an axis.",
        ),
        "a tuple of heads": Misconception(
            _checked(lambda x, batch, seq, heads, head_dim: x.chunk(heads, dim=-1)),
            "The features are cut rightly, and the heads come one by one in a tuple. What is asked for is one tensor: "
            "torch.stack joins them along a new axis; the heads stand on axis 1.",
        ),
        "/ instead of //": Misconception(
            _divides,
            "A size is a whole number: 12 / 3 is 4.0, a float, which no shape takes. d_model // num_heads is an int.",
        ),
        "another error instead of a ValueError": Misconception(
            _leaves_it_to_torch,
            "The heads are right. Where the features cannot be shared out another error comes up than a ValueError; "
            "torch's own speaks of shapes. Test for it first, with %, and raise a ValueError that names both numbers.",
        ),
        "an assert instead of a ValueError": Misconception(
            _asserts,
            "The heads are right, and your assert finds the wrong sizes. An assert is for the author of a function and "
            "can be switched off; whoever calls it gets a ValueError: if …: raise ValueError(…).",
        ),
        "what cannot be shared out is dropped": Misconception(
            _drops_the_rest,
            "The heads are right. With 10 features for 3 heads, yours drops one without a word. Better an error now "
            "than wrong numbers later: raise a ValueError.",
        ),
        "None instead of a ValueError": Misconception(
            _returns_nothing,
            "The heads are right. Where the features cannot be shared out, yours gives something back, and the error "
            "comes up somewhere else: raise a ValueError, do not return or print one.",
        ),
    },
    variants={
        "/ instead of //": (
            _divides_later,
            _checked(lambda x, batch, seq, heads, head_dim: _divides(x, heads)),
            _checked(lambda x, batch, seq, heads, head_dim: _divides_later(x, heads)),
            _checked(lambda x, batch, seq, heads, head_dim: torch.stack(x.split(x.shape[-1] / heads, dim=-1), dim=1)),
        ),
        "cut by a view alone": (
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(-1, heads, seq, head_dim)),
        ),
        "the heads come first": (_checked(lambda x, batch, seq, heads, head_dim: torch.stack(x.chunk(heads, -1))),),
        "num_heads and head_dim are swapped": (
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(batch, seq, -1, heads).transpose(1, 2)),
        ),
        "other axes are swapped": (
            _checked(lambda x, batch, seq, heads, head_dim: x.reshape(batch, seq, heads, head_dim).transpose(1, 3)),
        ),
        "a tuple of heads": (_checked(lambda x, batch, seq, heads, head_dim: list(x.split(head_dim, dim=-1))),),
        "another error instead of a ValueError": (_leaves_it_to_stack, _raises(TypeError), _raises(Exception)),
        "None instead of a ValueError": (_returns_an_error,),
        "an assert instead of a ValueError": (_asserts_with_a_sentence,),
    },
    alternatives=[
        _split_by_chunks,
        _split_by_slices,
        _split_by_permuting,
        _split_by_unflattening,
        _split_by_indices,
        _split_by_transposing_first,
    ],
    forbidden={
        name: f"split_heads uses {name}, which is attention made by torch; cut the features yourself."
        for name in MADE_BY_TORCH
    },
    hints=(
        "Take one token with the features 0 to 5 and two heads. Which features does head 0 get, and which head 1? What "
        "is the shape with one axis more?",
        "x.view(batch, seq, num_heads, head_dim) cuts the last axis and moves nothing in memory. Which two axes must "
        "be swapped after that?",
        "First the test, with % and raise ValueError(…). Then .view(batch, seq, num_heads, d_model // num_heads), and "
        ".transpose(1, 2) for (batch, num_heads, seq, head_dim).",
    ),
)
