"""Lesson 04, run side: the models that a learner's loop writes with; no answers are in here."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from course_lib.decoder import Decoder, DecoderConfig

__all__ = ["by_plan", "writer"]


def writer(generator: torch.Generator, vocab: int) -> Decoder:
    """Make a small decoder in which every token of the sequence has a say; in float64, so that nothing is a tie."""
    config = DecoderConfig(vocab_size=vocab, d_model=10, num_layers=1, num_heads=2, d_ff=7, max_len=32, tied=False)
    with torch.random.fork_rng(devices=[]):  # its first weights, drawn anew below
        model = Decoder(config).double().requires_grad_(False).eval()
    strong = {"W_qkv.weight": 2.0, "W_o.weight": 3.0}  # so that attention decides more than the newest token does
    for name, weight in model.named_parameters():
        if "norm" not in name:
            scale = strong.get(".".join(name.split(".")[-2:]), 1.0)
            shrink = weight.shape[-1] ** 0.5 if ".W_" in name or name.startswith("head") else 1.0
            weight.copy_(scale * torch.randn(weight.shape, generator=generator) / shrink)
    return model


def by_plan(
    generator: torch.Generator, vocab: int, length: int, plan: Sequence[int]
) -> Callable[[Tensor], Tensor]:
    """Make a plain function that finds the tokens of the plan the likeliest, each at its place, whatever was written.

    length: of the prompt. The token behind it and those after the plan depend on the prompt's first token.
    """
    logits = torch.randn(vocab, 32, vocab, generator=generator, dtype=torch.float64)
    logits[:, length + torch.arange(len(plan)), torch.tensor(plan)] += 20
    return lambda ids: logits[ids[:, 0], : ids.shape[1]]
