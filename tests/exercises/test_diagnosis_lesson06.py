"""What learners write in lesson 06 and are told: the right name, or none and the counterexample; never a wrong one."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import exercises
from course_lib.exercises.exercise import Exercise
from tests.exercises.told import gets_its_name, passes, reads_on_the_card

CROSS, MASK, PAIRS, ERROR = exercises.lesson("06")


def tutorial(
    kv: Callable[..., Any] = lambda decoder, encoder: (encoder, encoder),
    bias: bool = False,
    fill: float = -1e9,
    scale: Callable[[int, int], float] = lambda d_k, d_model: math.sqrt(d_k),
    length: Callable[[int, int], int] = lambda target, source: source,
    mask: Callable[[torch.Tensor], torch.Tensor] = lambda mask: mask,
    wipe: bool = True,
    merge: Callable[..., torch.Tensor] = lambda out, b, t, d: out.transpose(1, 2).contiguous().view(b, t, d),
    dim: int = -1,
    checked: bool = True,
    end: Callable[..., Any] = lambda self, out, weights, decoder: self.W_o(out),
) -> type:
    """Cross-attention as tutorials write it, with a slip or two."""

    class CrossAttention(nn.Module):
        def __init__(self, d_model, num_heads):
            super().__init__()
            if checked and d_model % num_heads != 0:
                raise ValueError("d_model must be a multiple of num_heads")
            self.h, self.d_k = num_heads, d_model // num_heads
            self.W_q = nn.Linear(d_model, d_model, bias=bias)
            self.W_k = nn.Linear(d_model, d_model, bias=bias)
            self.W_v = nn.Linear(d_model, d_model, bias=bias)
            self.W_o = nn.Linear(d_model, d_model, bias=bias)

        def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
            B, T, D = decoder_hidden.shape
            S = length(T, encoder_output.shape[1])
            of_keys, of_values = kv(decoder_hidden, encoder_output)
            Q = self.W_q(decoder_hidden).view(B, T, self.h, self.d_k).transpose(1, 2)
            K = self.W_k(of_keys).view(B, S, self.h, self.d_k).transpose(1, 2)
            V = self.W_v(of_values).view(B, S, self.h, self.d_k).transpose(1, 2)
            scores = torch.matmul(Q, K.transpose(-2, -1)) / scale(self.d_k, D)
            if encoder_mask is not None:
                allowed = mask(encoder_mask)
                scores = scores.masked_fill(allowed == 0, fill)
            weights = F.softmax(scores, dim=dim)
            if encoder_mask is not None and wipe:
                weights = weights.masked_fill(allowed == 0, 0.0)
            return end(self, merge(torch.matmul(weights, V), B, T, D), weights, decoder_hidden)

    return CrossAttention


class Renamed(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("no")
        self.num_heads = num_heads
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        return self.out(self.query(decoder_hidden))


class Parameters(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("no")
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Parameter(torch.randn(d_model, d_model)) for _ in range(4))

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        return decoder_hidden @ self.W_q


class NoSuper(nn.Module):
    def __init__(self, d_model, num_heads):
        if d_model % num_heads:
            raise ValueError("no")
        self.W_q = nn.Linear(d_model, d_model, bias=False)


class Plain:
    def __init__(self, d_model, num_heads):
        self.W_q = nn.Linear(d_model, d_model)

    def __call__(self, decoder_hidden, encoder_output, encoder_mask=None):
        return self.W_q(decoder_hidden)


def cross_attention(decoder_hidden, encoder_output, encoder_mask=None):
    scores = decoder_hidden @ encoder_output.transpose(1, 2) / decoder_hidden.shape[-1] ** 0.5
    return scores.softmax(-1) @ encoder_output


class Cached(tutorial()):
    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads)
        self.source = None

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        if self.source is None:
            self.source = encoder_output
        return super().forward(decoder_hidden, self.source, encoder_mask)


class Half(nn.Module):
    """Written as far as the layers: forward is still to come."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        raise NotImplementedError


def lengths_mask(change: Callable[..., Any]) -> Callable[..., Any]:
    def answer(source_lengths, max_len):
        positions = torch.arange(max_len, device=source_lengths.device).unsqueeze(0)
        return change(positions, source_lengths.unsqueeze(1))

    return answer


def aligns(
    average: Callable[[torch.Tensor], torch.Tensor] = lambda weights: weights.mean(dim=0),
    columns: bool = True,
    pair: Callable[..., Any] = lambda target, source: (target, source),
    dim: int = -1,
) -> Callable[..., Any]:
    def answer(weights, source, target):
        average_weights = average(weights)
        pairs = []
        for i in range(len(target)):
            row = average_weights[i, : len(source)] if columns else average_weights[i]
            pairs.append(pair(target[i], source[torch.argmax(row, dim=dim).item()]))
        return pairs

    return answer


def errs(
    counts: Callable[[torch.Tensor], bool] = lambda row: bool(row.any()),
    right: Callable[..., bool] = lambda row, gold: bool(gold[row.argmax()]),
    nothing: Callable[[], Any] | None = None,
    give: Callable[[int, int], Any] = lambda wrong, total: wrong / total,
) -> Callable[..., Any]:
    def answer(weights, gold):
        wrong = total = 0
        for i in range(gold.shape[0]):
            if not counts(gold[i]):
                continue
            total += 1
            if not right(weights[i], gold[i]):
                wrong += 1
        if total == 0 or not gold.any():
            if nothing is None:
                raise ValueError("nobody has a partner")
            return nothing()
        return give(wrong, total)

    return answer


def both_decoder(decoder, encoder):
    return decoder, decoder


TOLD: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (CROSS, tutorial(kv=lambda d, e: (d, e), length=lambda t, s: -1), "keys from the decoder", 0),
    (CROSS, tutorial(kv=lambda d, e: (e, d), length=lambda t, s: -1), "values from the decoder", 0),
    (CROSS, tutorial(kv=both_decoder, length=lambda t, s: t), "the decoder reads itself", 0),
    (CROSS, tutorial(length=lambda t, s: t), "heads cut with the decoder's length", 0),
    (CROSS, tutorial(fill=float("-inf"), wipe=False), "nan for an empty source", 8),
    (CROSS, tutorial(wipe=False), "an empty source is read evenly", 8),
    (CROSS, tutorial(fill=float("-inf"), wipe=False, end=lambda self, out, weights, decoder:
                     torch.nan_to_num(self.W_o(out))), "nan is repaired too late", 8),
    (CROSS, tutorial(fill=float("-inf"), wipe=False, end=lambda self, out, weights, decoder:
                     self.W_o(torch.nan_to_num(out))), "nan is repaired too late", 8),
    (CROSS, tutorial(fill=torch.finfo(torch.float32).min), "a number too low for bfloat16", 8),
    (CROSS, tutorial(bias=True), "there is a bias", 8),
    (CROSS, tutorial(checked=False), "num_heads is not checked", 8),
    (CROSS, tutorial(scale=lambda d_k, d: 1.0), "no scale", 1),
    (CROSS, tutorial(scale=lambda d_k, d: d**0.5), "scaled by the root of d_model", 1),
    (CROSS, tutorial(scale=lambda d_k, d: d_k), "scaled by another number", 1),
    (CROSS, tutorial(dim=-2), "softmax over the queries", 0),
    (CROSS, tutorial(dim=1), "softmax over the heads", 1),
    (CROSS, tutorial(mask=lambda mask: ~mask), "the mask is inverted", 4),
    (CROSS, tutorial(mask=lambda mask: ~mask, wipe=False), "the mask is inverted", 4),
    (CROSS, tutorial(mask=lambda mask: mask.transpose(-1, -2)), "the mask lies on the axis of the target", 4),
    (CROSS, tutorial(mask=lambda mask: mask.unsqueeze(1).unsqueeze(2)), "the mask gets more axes", 4),
    (CROSS, tutorial(mask=lambda mask: mask.squeeze()), "the mask has lost axes", 4),
    (CROSS, tutorial(fill=0.0, wipe=False), "forbidden scores are set to 0", 4),
    (CROSS, tutorial(fill=0.0), "forbidden scores are set to 0", 6),
    (CROSS, tutorial(merge=lambda out, b, t, d: out.transpose(1, 2).view(b, t, d)),
     "a view of what is not in a row", 0),
    (CROSS, tutorial(merge=lambda out, b, t, d: out.reshape(b, t, d)), "heads merged by a reshape alone", 0),
    (CROSS, tutorial(end=lambda self, out, weights, decoder: out), "W_o is forgotten", 1),
    (CROSS, tutorial(end=lambda self, out, weights, decoder: decoder + self.W_o(out)),
     "the decoder's states are added", 1),
    (CROSS, tutorial(end=lambda self, out, weights, decoder: (self.W_o(out), weights)),
     "the weights come back too", 0),
    (CROSS, tutorial(scale=lambda d_k, d: 1.0, dim=-2), None, 0),
    (CROSS, Renamed, "the weights have other names", 0),
    (CROSS, Parameters, "the weights have other names", 0),
    (CROSS, NoSuper, "super().__init__() is missing", 0),
    (CROSS, Plain, "it is no nn.Module", 0),
    (CROSS, cross_attention, "it is no nn.Module", 0),
    (CROSS, Cached, "the first source is kept", 8),
    (MASK, lengths_mask(lambda p, n: p < n), "the inner axes are missing", 0),
    (MASK, lengths_mask(lambda p, n: (p < n).unsqueeze(1)), "one axis is missing", 0),
    (MASK, lengths_mask(lambda p, n: (p < n)[:, None, :, None]), "on the axis of the target", 0),
    (MASK, lengths_mask(lambda p, n: (p <= n)[:, None, None, :]), "one token too many", 0),
    (MASK, lengths_mask(lambda p, n: (p >= n)[:, None, None, :]), "inverted", 0),
    (MASK, lengths_mask(lambda p, n: (p < n)[:, None, None, :].float()), "numbers instead of booleans", 0),
    (MASK, lambda n, length: (torch.arange(length) < n)[:, None, None], "lengths stand in a row", 0),
    (MASK, lambda n, length: (torch.arange(length)[None] < n[:, None])[:, None, None],
     "built on the default device", 2),
    (MASK, lambda n, length: torch.ones(len(n), 1, 1, length, device=n.device).bool(), "all tokens are real", 0),
    (MASK, lengths_mask(lambda p, n: (p < n.max())[:, None, None, :]), None, 0),
    (PAIRS, aligns(columns=False), "padding may win", 2),
    (PAIRS, aligns(average=lambda weights: weights[0]), "one head alone", 0),
    (PAIRS, aligns(average=lambda weights: weights.max(dim=0).values), "the largest of all heads", 0),
    (PAIRS, aligns(pair=lambda target, source: (source, target)), "the pairs are turned round", 0),
    (PAIRS, aligns(pair=lambda target, source: source), "the source words alone", 0),
    (PAIRS, lambda w, source, target: zip(target, [source[int(i)] for i in w.mean(0)[: len(target), : len(source)]
                                                   .argmax(1)], strict=True), "not a list yet", 0),
    (PAIRS, lambda w, source, target: [(t, source[s]) for t, s in zip(target, w.mean(0).argmax(1), strict=False)],
     "padding may win", 2),
    (PAIRS, aligns(pair=lambda target, source: f"{target}-{source}"), "strings instead of pairs", 0),
    (PAIRS, aligns(pair=lambda target, source: f"<{target}|{source}>"), None, 0),
    (PAIRS, lambda w, source, target: dict(zip(target, [source[i] for i in w.mean(0)[: len(target), : len(source)]
                                                        .argmax(-1)], strict=True)), "a dict instead of a list", 0),
    (ERROR, errs(counts=lambda row: True), "tokens without a partner count as wrong", 3),
    (ERROR, errs(counts=lambda row: True, right=lambda row, gold: bool(gold[row.argmax()]) or not gold.any()),
     "tokens without a partner count as right", 3),
    (ERROR, errs(right=lambda row, gold: bool(((row > 0.5) & gold).any())), "a threshold instead of the largest", 0),
    (ERROR, errs(right=lambda row, gold: row.argmax() == gold.int().argmax()), "the first partner alone", 2),
    (ERROR, errs(give=lambda wrong, total: 1 - wrong / total), "the share that is right", 0),
    (ERROR, errs(give=lambda wrong, total: wrong), "how many instead of which share", 0),
    (ERROR, lambda w, gold: (~gold)[torch.arange(len(gold)), w.argmax(1)][gold.any(1)].mean().item(),
     "the mean of booleans", 0),
    (ERROR, lambda w, gold: (w.argmax(1) != gold.argmax(1))[gold.any(1)].float().mean().item(),
     "the place of gold's own largest", 0),
    (ERROR, errs(nothing=lambda: 0.0), "an answer where nothing counts", 4),
    (ERROR, errs(nothing=lambda: 0 / 0), "a division by zero where nothing counts", 4),
    (ERROR, errs(give=lambda wrong, total: torch.tensor(wrong / total)), "a tensor comes back", 4),
    (ERROR, errs(give=lambda wrong, total: wrong / total / 2), None, 0),
]  # fmt: skip


test_a_learners_code_gets_the_right_name_or_none = gets_its_name(TOLD)


RIGHT: list[tuple[Exercise, Callable[..., Any]]] = [
    (CROSS, tutorial()),
    (CROSS, tutorial(fill=-1e4)),
    (CROSS, tutorial(length=lambda target, source: -1)),
    (CROSS, tutorial(merge=lambda out, b, t, d: out.permute(0, 2, 1, 3).reshape(b, -1, d))),
    (MASK, lengths_mask(lambda p, n: (p < n)[:, None, None, :])),
    (MASK, lengths_mask(lambda p, n: (n - p > 0).view(len(n), 1, 1, -1))),
    (PAIRS, aligns()),
    (PAIRS, aligns(average=lambda weights: weights.sum(0))),
    (PAIRS, aligns(pair=lambda target, source: [target, source])),
    (ERROR, errs()),
    (ERROR, errs(right=lambda row, gold: row.argmax().item() in gold.nonzero().flatten().tolist())),
]


test_unusual_right_answers_pass = passes(RIGHT)


def test_layers_without_forward_are_not_written_yet():
    assert CROSS.grade(Half).status == "not written"
    assert CROSS.grade(Half).message.count("CrossAttention is not written yet") == 1


CARDS = [
    (CROSS, tutorial(bias=True), "Other parameters: expected 'none', got 'W_k.bias, W_o.bias, W_q.bias, W_v.bias'"),
    (CROSS, Renamed, "the layer has no W_q.weight: __init__ must make four nn.Linear, and call them self.W_q, "
     "self.W_k, self.W_v and self.W_o."),
    (CROSS, tutorial(kv=lambda d, e: (d, e), length=lambda t, s: -1), "Keys and values describe the same tokens"),
    (CROSS, tutorial(wipe=False), "the outputs of the empty source"),
    (CROSS, cross_attention, "CrossAttention must be a class that inherits from nn.Module"),
    (MASK, lengths_mask(lambda p, n: p < n), "two axes are missing"),
    (PAIRS, aligns(columns=False), "Columns behind the source words are padding"),
    (PAIRS, aligns(average=lambda weights: weights[0]), "; the source reads “"),
    (ERROR, errs(nothing=lambda: 0.0), "Expected a ValueError, and nothing was raised"),
]


test_the_card_says_what_is_wrong_and_where = reads_on_the_card(CARDS)
