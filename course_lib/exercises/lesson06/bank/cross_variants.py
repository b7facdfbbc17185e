"""Further ways to make the known mistakes of `CrossAttention`."""

import torch
from torch import nn

from course_lib.exercises.lesson06.bank.crossing import Steps, crossing, filled
from course_lib.exercises.lesson06.bank.slips import (
    KeepsAll,
    WithoutHeads,
    a_function,
    biased,
    called,
    clamped,
    cut_by_the_target,
    in_float32,
    lowered,
    made_of,
    masked_after,
    powers,
    shared_anew,
    softmax_over,
    turned,
    unmasked,
)

__all__ = ["VARIANTS"]

NAMES = ("W_q", "W_k", "W_v", "W_o")


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


def _reshaped(self, x, decoder):
    return self.W_o(x.transpose(1, 2).reshape(decoder.shape))


def _reshaped_last(self, x, decoder):
    return self.W_o(x.transpose(1, 2).flatten(2)).reshape(decoder.shape)


def _read_from_the_source(read, ends=(_reshaped, _reshaped_last)):
    """As many rows as the source has tokens, brought into the target's shape; the mask is there or not."""
    return tuple(
        crossing(**read, **weigh, merge=lambda self, x: x, project=end)
        for end in ends
        for weigh in ({}, {"weigh": unmasked})
    )


def _out_of_the_tokens(self, x):
    return x.reshape(x.shape[0], self.num_heads, x.shape[1], -1)


def _by_a_reshape(self, x):
    return x.reshape(x.shape[0], x.shape[2], -1)


def _without_a_mask(*steps):
    """What is written before the mask is thought of."""
    return tuple(crossing(**one, weigh=unmasked) for one in steps)


def _as_it_is(x):
    return x


def _no_nan(x):
    return x.nan_to_num(0.0)


def _never_by_zero(tiny, adds=True):
    """Divided by the sum and a tiny number, or by the sum and that number at least."""

    def share(weights):
        total = weights.sum(-1, keepdim=True)
        return weights / (total + tiny if adds else total.clamp(min=tiny))

    return share


def _exponentials(fill=None, end=_as_it_is, mend=_as_it_is, share=lambda powers: powers / powers.sum(-1, keepdim=True)):
    """The softmax by hand, on filled scores or with zeros for padding afterwards."""

    def weigh(self, scores, mask):
        if mask is not None and fill is not None:
            scores = scores.masked_fill(~mask, fill)
        exponentials = mend(scores.exp())
        if mask is not None and fill is None:
            exponentials = exponentials * mask
        return end(share(exponentials))

    return weigh


def _clamped_after(least, most):
    def weigh(self, scores, mask):
        if mask is None:
            return scores.clamp(least, most).softmax(-1)
        return scores.masked_fill(~mask, -1e9).clamp(least, most).softmax(-1) * mask

    return weigh


def _own_dtype(mask, scores):
    return mask.to(scores.dtype)


class WritesBetween(Steps):
    """Padding wiped out of the source after the keys are made."""

    def values(self, decoder, encoder):
        if self.mask is not None:
            encoder *= self.mask[:, 0, 0, :, None]
        return super().values(decoder, encoder)

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        self.mask = encoder_mask
        return super().forward(decoder_hidden, encoder_output, encoder_mask)


class CutsTheStates(Steps):
    """Of the source as many tokens as the target has, and all of its mask."""

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        return super().forward(decoder_hidden, encoder_output[:, : decoder_hidden.shape[1]], encoder_mask)


VARIANTS = {
    "the decoder reads itself": _without_a_mask(made_of("d", "d", "d")),
    "keys from the decoder": _without_a_mask(made_of("d", "d", "e")),
    "values from the decoder": _without_a_mask(made_of("d", "e", "d")),
    "queries from the encoder": (
        *_without_a_mask(made_of("e", "e", "e")),
        *_read_from_the_source(made_of("e", "e", "e")),
    ),
    "decoder and encoder have changed places": (
        *_without_a_mask(made_of("e", "d", "d")),
        *_read_from_the_source(made_of("e", "d", "d")),
    ),
    "the product is turned": _without_a_mask({"compare": turned}),
    "the source is cut to the target's length": (CutsTheStates, crossing(CutsTheStates, weigh=unmasked)),
    "heads cut with the decoder's length": (
        crossing(**cut_by_the_target("keys", "values", last=0)),
        crossing(**cut_by_the_target("values")),
        crossing(**cut_by_the_target("values", last=0)),
    ),
    "heads cut out of the tokens": (
        crossing(split=_out_of_the_tokens, merge=_by_a_reshape),
        *_without_a_mask({"split": _out_of_the_tokens}, {"split": _out_of_the_tokens, "merge": _by_a_reshape}),
    ),
    "heads merged by a reshape alone": _without_a_mask({"merge": _by_a_reshape}),
    "W_o is forgotten": _without_a_mask({"project": lambda self, x, decoder: x}),
    "the decoder's states are added": _without_a_mask({"project": lambda self, x, decoder: decoder + self.W_o(x)}),
    "the weights come back too": _without_a_mask({"give": lambda self, output, weights: (output, weights)}),
    "no scale": _without_a_mask({"scale": lambda self, q, k: 1}),
    "scaled by the root of d_model": _without_a_mask({"scale": lambda self, q, k: (q.shape[1] * q.shape[-1]) ** 0.5}),
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
        *_without_a_mask(
            {"values": lambda self, decoder, encoder: self.split(self.W_k(encoder))},
            {"keys": lambda self, decoder, encoder: self.split(self.W_q(encoder))},
        ),
    ),
    "a projection is missing": (
        crossing(keys=lambda self, decoder, encoder: self.split(encoder)),
        crossing(queries=lambda self, decoder, encoder: self.split(decoder)),
        crossing(
            keys=lambda self, decoder, encoder: self.split(encoder),
            values=lambda self, decoder, encoder: self.split(encoder),
        ),
        *_without_a_mask({"values": lambda self, decoder, encoder: self.split(encoder)}),
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
        *_without_a_mask({"scale": lambda self, q, k: q.shape[-1]}),
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
        *(crossing(weigh=filled(number)) for number in (-20.0, -50.0)),
        *(crossing(weigh=filled(number, zeros=False)) for number in (-1.0, -10.0, -20.0, -50.0, -100.0)),
        *(
            crossing(weigh=lowered(number, zeros, *numbers))
            for number in (-100.0, -1000.0)
            for zeros in (True, False)
            for numbers in ((), (_own_dtype,))
        ),
    ),
    "what is left is shared out anew": (
        crossing(weigh=shared_anew(lambda weights: (weights / weights.sum(-1, keepdim=True)).nan_to_num(0.0))),
        *(crossing(weigh=shared_anew(_never_by_zero(tiny))) for tiny in (1e-6, 1e-8, 1e-9, 1e-12)),
        *(crossing(weigh=shared_anew(_never_by_zero(tiny, adds=False))) for tiny in (1e-9, 1e-12)),
    ),
    "the sum has lost its axis": (
        crossing(weigh=lambda self, scores, mask: masked_after(self, scores, mask) / scores.softmax(-1).sum(-1)),
    ),
    "scores are clamped": (
        crossing(weigh=clamped(None, 50)),
        *(crossing(weigh=clamped(least, most)) for most in (10, 20, 30, 80, 100) for least in (-most, None)),
        *(crossing(weigh=_clamped_after(least, most)) for most in (50, 100) for least in (-most, None)),
    ),
    "exponentials that overflow": (
        *(crossing(weigh=_exponentials(fill, at)) for fill in (None, -1e9, -torch.inf) for at in (_as_it_is, _no_nan)),
        *(crossing(weigh=_exponentials(share=_never_by_zero(1e-9, adds), end=_no_nan)) for adds in (True, False)),
        crossing(weigh=_exponentials(mend=_no_nan)),
        crossing(weigh=_exponentials(mend=_no_nan, end=_no_nan)),
        crossing(weigh=powers, give=_zeros_for_nan),
        crossing(weigh=_exponentials(), give=_zeros_for_nan),
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
    "the inputs are written into": (WritesBetween,),
    "a float32 mask meets bfloat16": (
        crossing(weigh=lambda self, scores, mask: lowered(-1e9)(self, scores, mask).clamp(min=0.0)),
    ),
    "the weights have other names": (
        *(called(*(name if name != other else "other" for name in NAMES)) for other in NAMES),
        crossing(make=_in_a_list),
        crossing(make=_fused),
    ),
    "it is no nn.Module": (a_function,),
    "the first source is kept": (KeepsAll,),
    "another dtype comes back": (crossing(weigh=in_float32),),
}
