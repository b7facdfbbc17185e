"""What learners get wrong in CrossAttention, one slip each."""

import math

import torch
from torch import nn

from course_lib.exercises.lesson06.bank.crossing import Steps, crossing, filled

__all__ = [
    "CutsTheSource",
    "KeepsAll",
    "KeepsTheFirst",
    "NotAModule",
    "NotInitialised",
    "WithoutHeads",
    "WritesIntoItsInputs",
    "a_function",
    "added",
    "asserted",
    "biased",
    "called",
    "causal_as_well",
    "clamped",
    "cut_by_the_target",
    "in_float32",
    "lowered",
    "made_of",
    "masked_after",
    "needs_a_mask",
    "of_one_head",
    "powers",
    "repaired",
    "shared_anew",
    "softmax_over",
    "turned",
    "uniform",
    "unmasked",
    "without_default",
]


def made_of(queries="d", keys="e", values="e"):
    """Where queries, keys and values come from: d, the decoder, or e, the encoder."""
    return {
        "queries": lambda self, decoder, encoder: self.split(self.W_q(decoder if queries == "d" else encoder)),
        "keys": lambda self, decoder, encoder: self.split(self.W_k(decoder if keys == "d" else encoder)),
        "values": lambda self, decoder, encoder: self.split(self.W_v(decoder if values == "d" else encoder)),
    }


def turned(self, q, k):
    """Keys times queries: a row for each source token."""
    return k @ q.transpose(-2, -1) / self.scale(q, k)


def unmasked(self, scores, mask):
    return scores.softmax(-1)


def masked_after(self, scores, mask):
    """The softmax first, then the mask."""
    return scores.softmax(-1) if mask is None else scores.softmax(-1) * mask


def shared_anew(share=lambda weights: weights / weights.sum(-1, keepdim=True)):
    """The softmax first, then the mask, and what is left divided by its sum."""

    def weigh(self, scores, mask):
        weights = masked_after(self, scores, mask)
        return weights if mask is None else share(weights)

    return weigh


def causal_as_well(self, scores, mask):
    earlier = torch.ones(scores.shape[-2:]).tril() > 0
    return filled(-1e9)(self, scores, earlier if mask is None else earlier & mask)


def softmax_over(dim, fill=-1e9):
    def weigh(self, scores, mask):
        if mask is None:
            return scores.softmax(dim)
        return (scores.masked_fill(~mask, fill).softmax(dim) * mask).nan_to_num(0.0)

    return weigh


def repaired(self, scores, mask):
    """Zeros in the place of nan, too late for the gradients: minus infinity was added."""
    if mask is None:
        return scores.softmax(-1)
    lowest = torch.zeros_like(mask, dtype=scores.dtype).masked_fill(~mask, -torch.inf)
    return (scores + lowest).softmax(-1).nan_to_num(0.0)


def added(number):
    """The mask turned into numbers and added to the scores."""

    def weigh(self, scores, mask):
        if mask is None:
            return scores.softmax(-1)
        return (scores + number * mask).softmax(-1)

    return weigh


def lowered(number, zeros=True, numbers=lambda mask, scores: mask.float()):
    """A number added to the forbidden scores. numbers: what the mask is turned into, of float32 in most notebooks."""

    def weigh(self, scores, mask):
        if mask is None:
            return scores.softmax(-1)
        weights = (scores + (1 - numbers(mask, scores)) * number).softmax(-1)
        return weights * mask if zeros else weights

    return weigh


def clamped(least, most):
    """Scores kept between two numbers before they are masked."""
    return lambda self, scores, mask: filled(-1e9)(self, scores.clamp(least, most), mask)


def powers(self, scores, mask):
    """Exponentials as they come, which overflow."""
    exponentials = scores.exp() if mask is None else scores.exp() * mask
    return exponentials / exponentials.sum(-1, keepdim=True).clamp(min=1e-9)


def needs_a_mask(self, scores, mask):
    return filled(-1e9)(self, scores, ~(~mask))


def in_float32(self, scores, mask):
    return filled(-1e9)(self, scores.float(), mask)


uniform = filled(-1e9, zeros=False)


def cut_by_the_target(*names, last=-1):
    """Keys and values cut into heads with the length of the decoder's sequence."""

    def cut(weight):
        def part(self, decoder, encoder):
            batch, target, d_model = decoder.shape
            width = last if last == -1 else d_model // self.num_heads
            return getattr(self, weight)(encoder).view(batch, target, self.num_heads, width).transpose(1, 2)

        return part

    return {name: cut({"keys": "W_k", "values": "W_v"}[name]) for name in names}


def of_one_head(self, d_model):
    """A `make` with layers as wide as one head."""
    width = d_model // self.num_heads
    self.W_q, self.W_k, self.W_v = (nn.Linear(d_model, width, bias=False) for _ in range(3))
    self.W_o = nn.Linear(d_model, d_model, bias=False)


def biased(*names):
    """A `make` in which some layers have a bias."""

    def layers(self, d_model):
        for name in ("W_q", "W_k", "W_v", "W_o"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=name in names))

    return layers


def without_default(self, decoder_hidden, encoder_output, encoder_mask):
    return Steps.forward(self, decoder_hidden, encoder_output, encoder_mask)


class Named(Steps):
    """Layers under names of one's own."""

    names = ("q_proj", "k_proj", "v_proj", "out_proj")

    def make(self, d_model):
        for name in self.names:
            setattr(self, name, nn.Linear(d_model, d_model, bias=False))

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        return getattr(self, self.names[0])(decoder_hidden)


def called(*names):
    return crossing(Named, names=names)


def asserted(self, d_model, num_heads):
    assert d_model % num_heads == 0, "d_model must be divisible by num_heads"


class NotInitialised(nn.Module):
    def __init__(self, d_model, num_heads):
        self.num_heads = num_heads
        self.W_q = nn.Linear(d_model, d_model, bias=False)


class NotAModule:
    def __init__(self, d_model, num_heads):
        if d_model % num_heads:
            raise ValueError("d_model must be divisible by num_heads")
        self.W_q = nn.Linear(d_model, d_model, bias=False)


def a_function(decoder_hidden, encoder_output, encoder_mask=None):
    return decoder_hidden @ encoder_output.mT / math.sqrt(decoder_hidden.shape[-1])


class WritesIntoItsInputs(Steps):
    """Padding wiped out of the source itself."""

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        if encoder_mask is not None:
            encoder_output *= encoder_mask[:, 0, 0, :, None]
        return super().forward(decoder_hidden, encoder_output, encoder_mask)


class CutsTheSource(Steps):
    """Of the source as many tokens as the target has."""

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        target = decoder_hidden.shape[1]
        encoder_mask = None if encoder_mask is None else encoder_mask[..., :target]
        return super().forward(decoder_hidden, encoder_output[:, :target], encoder_mask)


class KeepsTheFirst(Steps):
    """Keys and values of the first source, kept for all that follow."""

    kept = None

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        self.kept = encoder_output if self.kept is None else self.kept
        return super().forward(decoder_hidden, self.kept, encoder_mask)


class KeepsAll(Steps):
    """Keys and values joined to those of earlier calls."""

    kept = None

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        self.kept = encoder_output if self.kept is None else torch.cat((self.kept, encoder_output), dim=1)
        return super().forward(decoder_hidden, self.kept, encoder_mask)


class WithoutHeads(Steps):
    """Attention without heads: all of d_model at once."""

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        q, k, v = self.W_q(decoder_hidden), self.W_k(encoder_output), self.W_v(encoder_output)
        scores = q @ k.mT / self.scale(q, k)
        return self.W_o(self.weigh(scores, None if encoder_mask is None else encoder_mask[:, 0]) @ v)
