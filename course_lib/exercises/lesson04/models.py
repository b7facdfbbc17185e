"""Lesson 04, run side: the models that a learner's loop writes with; no answers are in here."""

from collections.abc import Sequence

import torch

from course_lib.decoder import Decoder, DecoderConfig

__all__ = ["by_plan", "writer"]


def writer(generator: torch.Generator, vocab: int, d_model: int = 10) -> Decoder:
    """Make a small decoder in which every token of the sequence has a say; in float64, so that nothing is a tie."""
    sizes = {"vocab_size": vocab, "d_model": d_model, "num_layers": 1, "num_heads": 2, "d_ff": 7, "max_len": 32}
    with torch.random.fork_rng(devices=[]):  # its first weights, drawn anew below
        model = Decoder(DecoderConfig(**sizes, tied=False)).double().requires_grad_(False).eval()
    strong = {"W_qkv.weight": 2.0, "W_o.weight": 3.0}  # so that attention decides more than the newest token does
    for name, weight in model.named_parameters():
        if "norm" not in name:
            scale = strong.get(".".join(name.split(".")[-2:]), 1.0)
            shrink = weight.shape[-1] ** 0.5 if ".W_" in name or name.startswith("head") else 1.0
            weight.copy_(scale * torch.randn(weight.shape, generator=generator) / shrink)
    return model


def by_plan(generator: torch.Generator, vocab: int, length: int, plan: Sequence[int]) -> Decoder:
    """Make a decoder that writes the plan, from the second new token on, whatever it has read.

    length: of the prompt.
    """
    d_model = 14  # as many as the vocabulary has, or more
    model = writer(generator, vocab, d_model)
    model.head.weight.copy_(torch.eye(vocab, d_model))
    model.stack.position.table.weight[length : length + len(plan)] = 100 * torch.eye(d_model).double()[list(plan)]
    return model
