"""Further ways to make the known mistakes of `CrossAttention`."""

import torch
from torch import nn

from course_lib.exercises.lesson06.bank.crossing import crossing, filled
from course_lib.exercises.lesson06.bank.slips import (
    KeepsAll,
    WithoutHeads,
    a_function,
    biased,
    called,
    cut_by_the_target,
    in_float32,
    softmax_over,
)

__all__ = ["VARIANTS"]


def _masked_softmax(fill):
    return lambda self, scores, mask: scores.softmax(-1) if mask is None else fill(scores, mask).softmax(-1)


def _fused(self, d_model):
    self.W_qkv, self.W_o = nn.Linear(d_model, 3 * d_model, bias=False), nn.Linear(d_model, d_model, bias=False)


def _in_a_list(self, d_model):
    self.layers = [nn.Linear(d_model, d_model, bias=False) for _ in range(4)]


def _zeros_for_nan(self, output, weights):
    return torch.where(output.isnan(), torch.zeros_like(output), output)


def _in_the_targets_shape(self, x, decoder):
    return self.W_o(x.transpose(1, 2).contiguous().view(decoder.shape))


VARIANTS = {
    "heads cut with the decoder's length": (
        crossing(**cut_by_the_target("keys", "values", last=0)),
        crossing(**cut_by_the_target("values")),
        crossing(**cut_by_the_target("values", last=0)),
    ),
    "heads cut out of the tokens": (
        crossing(
            split=lambda self, x: x.reshape(x.shape[0], self.num_heads, x.shape[1], -1),
            merge=lambda self, x: x.reshape(x.shape[0], x.shape[2], -1),
        ),
    ),
    "features dealt out like cards": (
        crossing(split=lambda self, x: x.reshape(*x.shape[:2], -1, self.num_heads).permute(0, 3, 1, 2)),
        crossing(merge=lambda self, x: x.permute(0, 2, 3, 1).flatten(2)),
    ),
    "the heads stay beside the tokens": (crossing(split=lambda self, x: x.reshape(*x.shape[:2], self.num_heads, -1)),),
    "all heads as one": (crossing(WithoutHeads, scale=lambda self, q, k: (q.shape[-1] // self.num_heads) ** 0.5),),
    "one weight used twice": (
        crossing(keys=lambda self, decoder, encoder: self.split(self.W_v(encoder))),
        crossing(keys=lambda self, decoder, encoder: self.split(self.W_q(encoder))),
        crossing(queries=lambda self, decoder, encoder: self.split(self.W_k(decoder))),
        crossing(values=lambda self, decoder, encoder: self.split(self.W_q(encoder))),
        crossing(
            keys=lambda self, decoder, encoder: self.split(self.W_v(encoder)),
            values=lambda self, decoder, encoder: self.split(self.W_k(encoder)),
        ),
        crossing(
            queries=lambda self, decoder, encoder: self.split(self.W_k(decoder)),
            keys=lambda self, decoder, encoder: self.split(self.W_q(encoder)),
        ),
    ),
    "a projection is missing": (
        crossing(keys=lambda self, decoder, encoder: self.split(encoder)),
        crossing(queries=lambda self, decoder, encoder: self.split(decoder)),
        crossing(
            keys=lambda self, decoder, encoder: self.split(encoder),
            values=lambda self, decoder, encoder: self.split(encoder),
        ),
    ),
    "the wrong axes of k are swapped": (
        crossing(turn=lambda self, k: k.transpose(1, 2)),
        crossing(turn=lambda self, k: k.transpose(1, -1)),
        crossing(turn=lambda self, k: k.permute(3, 2, 1, 0)),
    ),
    "scaled by another number": (
        crossing(scale=lambda self, q, k: q.shape[1] * q.shape[-1]),
        crossing(scale=lambda self, q, k: q.shape[-1] ** 1 / 2),
        crossing(scale=lambda self, q, k: q.shape[-1] ** -0.5),
        crossing(scale=lambda self, q, k: k.shape[-2] ** 0.5),
        crossing(scale=lambda self, q, k: q.shape[1] ** 0.5),
    ),
    "softmax over the queries": (crossing(weigh=softmax_over(-2, fill=-torch.inf)),),
    "no softmax": (crossing(weigh=lambda self, scores, mask: scores),),
    "the mask is inverted": (
        crossing(weigh=_masked_softmax(lambda scores, mask: scores.masked_fill(mask, -torch.inf))),
        crossing(weigh=_masked_softmax(lambda scores, mask: scores.masked_fill(mask, -1e9))),
    ),
    "the mask lies on the axis of the target": (
        crossing(hide=lambda self, mask: mask.transpose(-1, -2), weigh=filled(-torch.inf, zeros=False)),
    ),
    "the mask has lost axes": (
        crossing(hide=lambda self, mask: mask[:, 0]),
        crossing(hide=lambda self, mask: mask.squeeze()),
    ),
    "the mask gets more axes": (
        *(
            crossing(hide=axes, merge=lambda self, x: x, project=_in_the_targets_shape)
            for axes in (
                lambda self, mask: mask[:, None, None, :],
                lambda self, mask: mask.unsqueeze(1).unsqueeze(2),
                lambda self, mask: mask.unsqueeze(1),
            )
        ),
        crossing(hide=lambda self, mask: mask[:, None, None, :], weigh=filled(-torch.inf, zeros=False)),
        crossing(hide=lambda self, mask: mask.unsqueeze(1).unsqueeze(2)),
        crossing(hide=lambda self, mask: mask.unsqueeze(1)),
    ),
    "forbidden scores are set to 0": (
        crossing(weigh=filled(0.0)),
        crossing(weigh=_masked_softmax(lambda scores, mask: scores * mask)),
    ),
    "forbidden scores are not low enough": (
        crossing(weigh=filled(-100.0, zeros=False)),
        crossing(weigh=filled(-10.0, zeros=False)),
        crossing(weigh=filled(-1.0, zeros=False)),
    ),
    "an empty source is read evenly": (
        crossing(weigh=_masked_softmax(lambda scores, mask: scores + (1 - mask.to(scores.dtype)) * -1e9)),
    ),
    "nan is repaired too late": (
        crossing(weigh=filled(-torch.inf, zeros=False), give=lambda self, output, weights: output.nan_to_num(0.0)),
        crossing(
            weigh=filled(-torch.inf, zeros=False),
            merge=lambda self, x: x.nan_to_num(0.0).transpose(1, 2).flatten(2),
        ),
        crossing(weigh=filled(-torch.inf, zeros=False), give=_zeros_for_nan),
    ),
    "cut off from the gradients": (crossing(give=lambda self, output, weights: output.detach()),),
    "there is a bias": (
        crossing(make=biased("W_o")),
        crossing(make=biased("W_q", "W_k", "W_v")),
    ),
    "the weights have other names": (
        called("Wq", "Wk", "Wv", "Wo"),
        called("query", "key", "value", "W_o"),
        crossing(make=_in_a_list),
        crossing(make=_fused),
    ),
    "it is no nn.Module": (a_function,),
    "the first source is kept": (KeepsAll,),
    "another dtype comes back": (crossing(weigh=in_float32),),
}
