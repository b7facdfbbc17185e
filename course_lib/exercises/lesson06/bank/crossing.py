"""Cross-attention right and wrong, from steps of which each can be another one; and right, written differently."""

import math

import torch
from torch import nn

__all__ = [
    "ByAddedMask",
    "ByEinsum",
    "ByExponentials",
    "ByHeads",
    "ByMaskedValues",
    "ByMending",
    "BySequences",
    "Steps",
    "crossing",
    "filled",
]


def filled(number, zeros=True):
    """Forbidden scores replaced by a number; after the softmax, zeros in their places or not."""

    def weigh(self, scores, mask):
        if mask is None:
            return scores.softmax(-1)
        weights = scores.masked_fill(~mask, number).softmax(-1)
        return weights * mask if zeros else weights

    return weigh


class Steps(nn.Module):
    """Cross-attention in steps; as they stand they make a right one."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.check(d_model, num_heads)
        self.num_heads = num_heads
        self.make(d_model)

    def check(self, d_model, num_heads):
        if d_model % num_heads:
            raise ValueError(f"d_model must be divisible by num_heads, got {d_model} and {num_heads}")

    def make(self, d_model):
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))

    def split(self, x):
        return x.reshape(*x.shape[:2], self.num_heads, -1).transpose(1, 2)

    def queries(self, decoder, encoder):
        return self.split(self.W_q(decoder))

    def keys(self, decoder, encoder):
        return self.split(self.W_k(encoder))

    def values(self, decoder, encoder):
        return self.split(self.W_v(encoder))

    def turn(self, k):
        return k.transpose(-2, -1)

    def scale(self, q, k):
        return q.shape[-1] ** 0.5

    def compare(self, q, k):
        return q @ self.turn(k) / self.scale(q, k)

    def hide(self, mask):
        return mask

    weigh = filled(-1e9)

    def merge(self, x):
        return x.transpose(1, 2).flatten(2)

    def project(self, x, decoder):
        return self.W_o(x)

    def give(self, output, weights):
        return output

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        q, k, v = (part(decoder_hidden, encoder_output) for part in (self.queries, self.keys, self.values))
        scores = self.compare(q, k)
        weights = self.weigh(scores, None if encoder_mask is None else self.hide(encoder_mask))
        return self.give(self.project(self.merge(weights @ v), decoder_hidden), weights)


def crossing(base=Steps, **steps):
    """Make a CrossAttention in which some steps are others."""
    return type("CrossAttention", (base,), steps)


class ByEinsum(Steps):
    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        width = decoder_hidden.shape[-1] // self.num_heads
        projected = self.W_q(decoder_hidden), self.W_k(encoder_output), self.W_v(encoder_output)
        q, k, v = (part.unflatten(-1, (self.num_heads, width)) for part in projected)
        scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(width)
        if encoder_mask is not None:
            scores = scores.masked_fill(encoder_mask.logical_not(), torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        if encoder_mask is not None:
            weights = weights.masked_fill(encoder_mask.logical_not(), 0.0)
        return self.W_o(torch.einsum("bhts,bshd->bthd", weights, v).flatten(2))


class ByHeads(Steps):
    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        q, k, v = self.W_q(decoder_hidden), self.W_k(encoder_output), self.W_v(encoder_output)
        width = q.shape[2] // self.num_heads
        outputs = []
        for head in range(self.num_heads):
            own = slice(head * width, (head + 1) * width)
            scores = q[..., own] @ k[..., own].mT / width**0.5
            if encoder_mask is None:
                weights = torch.softmax(scores, dim=2)
            else:
                allowed = encoder_mask[:, 0]
                weights = torch.softmax(torch.where(allowed, scores, -1e9), dim=2) * allowed
            outputs.append(weights @ v[..., own])
        return self.W_o(torch.cat(outputs, dim=2))


class BySequences(Steps):
    """Takes the padding out of each source, so that an empty one has nothing to read."""

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        rows = []
        for number, states in enumerate(encoder_output):
            real = states if encoder_mask is None else states[encoder_mask[number, 0, 0]]
            q = self.W_q(decoder_hidden[number]).chunk(self.num_heads, dim=-1)
            k, v = (part(real).chunk(self.num_heads, dim=-1) for part in (self.W_k, self.W_v))
            heads = [(q[h] @ k[h].T / q[h].shape[-1] ** 0.5).softmax(-1) @ v[h] for h in range(self.num_heads)]
            rows.append(torch.cat(heads, dim=-1))
        return self.W_o(torch.stack(rows))


class ByAddedMask(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("num_heads must divide d_model")
        self.heads, self.d_k = num_heads, d_model // num_heads
        self.W_q = nn.Linear(d_model, d_model, bias=False)
        self.W_k = nn.Linear(d_model, d_model, bias=False)
        self.W_v = nn.Linear(d_model, d_model, bias=False)
        self.W_o = nn.Linear(d_model, d_model, bias=False)

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        batch, target, d_model = decoder_hidden.size()
        source = encoder_output.size(1)
        q = self.W_q(decoder_hidden).view(batch, target, self.heads, self.d_k).permute(0, 2, 1, 3)
        k = self.W_k(encoder_output).view(batch, source, self.heads, self.d_k).permute(0, 2, 3, 1)
        v = self.W_v(encoder_output).view(batch, source, self.heads, self.d_k).permute(0, 2, 1, 3)
        scores = torch.matmul(q / self.d_k**0.5, k)
        if encoder_mask is not None:
            scores = scores + torch.zeros_like(encoder_mask, dtype=scores.dtype).masked_fill(~encoder_mask, -1e9)
        output = torch.matmul(torch.softmax(scores, dim=-1), v)
        output = output.permute(0, 2, 1, 3).contiguous().view(batch, target, d_model)
        output = self.W_o(output)
        if encoder_mask is not None:
            output = output * encoder_mask.any(-1)[:, 0, :, None]
        return output


class ByExponentials(Steps):
    """The softmax by hand, with the largest allowed score taken off, and a sum that is never 0."""

    def weigh(self, scores, mask):
        if mask is None:
            mask = torch.ones_like(scores, dtype=torch.bool)
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        powers = torch.exp(scores - scores.amax(-1, keepdim=True)) * mask
        return powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)


class ByMaskedValues(Steps):
    """Nobody to read: the row may look at everything, and its values are zeros."""

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        q, k, v = self.queries(decoder_hidden, None), self.keys(None, encoder_output), self.values(None, encoder_output)
        scores = q @ k.mT * q.size(-1) ** -0.5
        if encoder_mask is not None:
            nobody = ~encoder_mask.any(dim=-1, keepdim=True)
            scores = scores.masked_fill(~(encoder_mask | nobody), float("-inf"))
            v = v.masked_fill(nobody, 0.0)
        return self.W_o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class ByMending(Steps):
    """nan turned into zeros; backwards, masked_fill lets nothing of it through."""

    def forward(self, decoder_hidden, encoder_output, encoder_mask=None):
        projected = self.W_q(decoder_hidden), self.W_k(encoder_output), self.W_v(encoder_output)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).movedim(2, 1) for part in projected)
        scores = q @ k.transpose(2, 3) / q.shape[3] ** 0.5
        if encoder_mask is not None:
            scores = scores.masked_fill(encoder_mask == False, float("-inf"))  # noqa: E712 (as tutorials write it)
        weights = torch.nan_to_num(torch.softmax(scores, dim=-1), nan=0.0)
        return self.W_o((weights @ v).movedim(1, 2).reshape(decoder_hidden.shape))
