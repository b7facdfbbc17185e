"""First attempts at the layer and the mask of lesson 06, by somebody who had not read it: each gets the name of what it
gets wrong."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from course_lib import exercises
from course_lib.exercises.exercise import Exercise
from tests.exercises.told import gets_its_name, passes, reads_on_the_card

CROSS, MASK, *_ = exercises.lesson("06")


def softly(scores, mask):
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = torch.softmax(scores, -1)
    return weights if mask is None else weights * mask


def without_mask(scores, mask):
    """The line with the mask is still to come."""
    return scores.softmax(-1)


def layer(
    read: Callable[..., Any] = lambda decoder, encoder: (decoder, encoder, encoder),
    weigh: Callable[..., torch.Tensor] = softly,
    product: Callable[..., torch.Tensor] = lambda q, k: q @ k.transpose(-2, -1),
    end: Callable[..., torch.Tensor] = lambda heads, decoder: heads.transpose(1, 2).flatten(2),
    first: Callable[..., Any] = lambda decoder, encoder, mask: (decoder, encoder, mask),
    names: str = "W_q W_k W_v W_o",
) -> type:
    """A layer in a few lines. read: what queries, keys and values are made of. first: what is done before all else."""

    class CrossAttention(nn.Module):
        def __init__(self, d_model, num_heads):
            super().__init__()
            if d_model % num_heads:
                raise ValueError("d_model must be a multiple of num_heads")
            self.num_heads = num_heads
            for name in names.split():
                setattr(self, name, nn.Linear(d_model, d_model, bias=False))

        def heads(self, x):
            return x.view(x.shape[0], x.shape[1], self.num_heads, -1).transpose(1, 2)

        def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
            decoder_hidden, encoder_output, encoder_mask = first(decoder_hidden, encoder_output, encoder_mask)
            of_q, of_k, of_v = read(decoder_hidden, encoder_output)
            q, k, v = self.heads(self.W_q(of_q)), self.heads(self.W_k(of_k)), self.heads(self.W_v(of_v))
            weights = weigh(product(q, k) / math.sqrt(q.shape[-1]), encoder_mask)
            return self.W_o(end(weights @ v, decoder_hidden))

    return CrossAttention


def where_there_is_one(change: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Weights that are changed where there is a mask."""
    return lambda scores, mask: scores.softmax(-1) if mask is None else change(scores, mask)


def adds(number: float, wipe: bool = True) -> Callable[..., torch.Tensor]:
    def change(scores, mask):
        weights = torch.softmax(scores + (1 - mask.float()) * number, dim=-1)
        return weights * mask if wipe else weights

    return where_there_is_one(change)


def fills(number: float, wipe: bool = True) -> Callable[..., torch.Tensor]:
    def change(scores, mask):
        weights = scores.masked_fill(mask == 0, number).softmax(-1)
        return weights * mask if wipe else weights

    return where_there_is_one(change)


def renews(share: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    return where_there_is_one(lambda scores, mask: share(scores.softmax(-1) * mask))


def powers(scores, mask):
    e = torch.exp(scores)
    if mask is not None:
        e = e * mask
    return torch.nan_to_num(e / e.sum(-1, keepdim=True))


def reshaped(heads, decoder):
    return heads.transpose(1, 2).reshape(decoder.shape)


def decoder_alone(decoder, encoder):
    return decoder, decoder, decoder


def the_other_way(decoder, encoder):
    return encoder, decoder, decoder


def encoder_alone(decoder, encoder):
    return encoder, encoder, encoder


def wiped(decoder, encoder, mask):
    if mask is not None:
        encoder *= mask[:, 0, 0, :, None]
    return decoder, encoder, mask


class WipedBetween(layer()):
    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        k = self.heads(self.W_k(encoder_output))
        if encoder_mask is not None:
            encoder_output *= encoder_mask.squeeze(1).squeeze(1).unsqueeze(-1)
        q, v = self.heads(self.W_q(decoder_hidden)), self.heads(self.W_v(encoder_output))
        weights = softly(q @ k.mT / math.sqrt(q.shape[-1]), encoder_mask)
        return self.W_o((weights @ v).transpose(1, 2).flatten(2))


def cut(decoder, encoder, mask):
    return decoder, encoder[:, : decoder.shape[1]], mask if mask is None else mask[..., : decoder.shape[1]]


CROSSED: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (CROSS, layer(product=lambda q, k: k @ q.transpose(-2, -1)), "the product is turned", 0),
    (CROSS, layer(product=lambda q, k: k @ q.mT, weigh=without_mask), "the product is turned", 0),
    (CROSS, layer(read=decoder_alone, weigh=without_mask), "the decoder reads itself", 0),
    (CROSS, layer(read=the_other_way, weigh=without_mask), "decoder and encoder have changed places", 0),
    (CROSS, layer(read=lambda d, e: (d, d, e), weigh=without_mask), "keys from the decoder", 0),
    (CROSS, layer(read=lambda d, e: (d, e, d), weigh=without_mask), "values from the decoder", 0),
    (CROSS, layer(read=encoder_alone, weigh=without_mask), "queries from the encoder", 0),
    (CROSS, layer(read=encoder_alone, end=reshaped), "queries from the encoder", 0),
    (CROSS, layer(read=encoder_alone, end=reshaped, weigh=without_mask), "queries from the encoder", 0),
    (CROSS, layer(read=the_other_way, end=reshaped), "decoder and encoder have changed places", 0),
    (CROSS, layer(end=lambda heads, d: heads.reshape(d.shape), weigh=without_mask),
     "heads merged by a reshape alone", 0),
    (CROSS, layer(weigh=without_mask), "the mask is ignored", 4),
    (CROSS, layer(weigh=adds(-1e9)), "a float32 mask meets bfloat16", 8),
    (CROSS, layer(weigh=where_there_is_one(lambda s, m: (s + ~m * -1e9).softmax(-1) * m)),
     "a float32 mask meets bfloat16", 8),
    (CROSS, layer(weigh=where_there_is_one(lambda s, m: (s + torch.where(m, 0.0, -1e9)).softmax(-1) * m.any(-1, True))),
     "a float32 mask meets bfloat16", 8),
    (CROSS, layer(weigh=adds(-1e9, wipe=False)), "an empty source is read evenly", 7),
    (CROSS, layer(weigh=adds(-100)), "forbidden scores are not low enough", 7),
    (CROSS, layer(weigh=adds(-1000)), "forbidden scores are not low enough", 7),
    (CROSS, layer(weigh=fills(-100)), "forbidden scores are not low enough", 8),
    (CROSS, layer(weigh=fills(-100, wipe=False)), "forbidden scores are not low enough", 7),
    (CROSS, layer(weigh=fills(-50)), "forbidden scores are not low enough", 8),
    (CROSS, layer(weigh=renews(lambda w: w / w.sum(-1, keepdim=True))), "what is left is shared out anew", 7),
    (CROSS, layer(weigh=renews(lambda w: w / (w.sum(-1, keepdim=True) + 1e-9))), "what is left is shared out anew", 8),
    (CROSS, layer(weigh=renews(lambda w: w / w.sum(-1, keepdim=True).clamp(min=1e-12))),
     "what is left is shared out anew", 8),
    (CROSS, layer(weigh=renews(lambda w: torch.nan_to_num(w / w.sum(-1, keepdim=True)))),
     "what is left is shared out anew", 7),
    (CROSS, layer(weigh=renews(lambda w: w / w.sum(-1))), "the sum has lost its axis", 4),
    (CROSS, layer(weigh=where_there_is_one(lambda s, m: s.softmax(-1) * m / s.softmax(-1).sum(-1, keepdim=True))),
     "masked after the softmax", 5),
    (CROSS, layer(weigh=where_there_is_one(lambda s, m: s.softmax(-1) * m / s.softmax(-1).sum(-1))),
     "the sum has lost its axis", 4),
    (CROSS, layer(weigh=lambda scores, mask: softly(scores.clamp(-50, 50), mask)), "scores are clamped", 8),
    (CROSS, layer(weigh=lambda scores, mask: softly(scores.clamp(max=80), mask)), "scores are clamped", 8),
    (CROSS, layer(weigh=powers), "exponentials that overflow", 7),
    (CROSS, layer(first=wiped), "the inputs are written into", 8),
    (CROSS, WipedBetween, "the inputs are written into", 7),
    (CROSS, layer(first=cut), "the source is cut to the target's length", 0),
    (CROSS, layer(first=lambda d, e, mask: (d, e[:, : d.shape[1]], mask)),
     "the source is cut to the target's length", 0),
    (CROSS, layer(first=lambda d, e, mask: (d, e[:, : d.shape[1]], None)),
     "the source is cut to the target's length", 0),
    (CROSS, layer(names="W_q W_k W_v W_out"), "the weights have other names", 0),
    (CROSS, layer(names="W_q Wk W_v W_o"), "the weights have other names", 0),
    (MASK, lambda n, length: (torch.arange(length, device=n.device) < n[:, None])[None, :, None, :],
     "the batch stands where the heads belong", 0),
]  # fmt: skip

test_a_layer_or_mask_gets_its_name = gets_its_name(CROSSED)

RIGHT: list[tuple[Exercise, Callable[..., Any]]] = [
    (CROSS, layer()),
    (CROSS, layer(weigh=fills(-1000))),
    (CROSS, layer(weigh=where_there_is_one(
        lambda s, m: (s + (1 - m.to(s.dtype)) * -1e9).softmax(-1) * m.any(-1, keepdim=True)))),
]  # fmt: skip

test_unusual_right_answers_pass = passes(RIGHT)


CARDS = [
    (CROSS, layer(names="W_q W_k W_v W_out"), "the layer has no W_o.weight: __init__ must make four nn.Linear, and "
     "call them self.W_q, self.W_k, self.W_v and self.W_o."),
    (CROSS, WipedBetween, "Make a new tensor instead."),
]  # fmt: skip

test_the_card_says_what_is_wrong_and_where = reads_on_the_card(CARDS)
