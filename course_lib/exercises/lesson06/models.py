"""Lesson 06, run side: a learner's layer, made, called and looked at; no answers are in here."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.exercises.running import Case

__all__ = ["EMPTY", "FORM", "GRADIENTS", "READS", "REFUSES", "SECOND", "WEIGHTS", "call_layer"]

# The case groups in which more is looked at than the output.
READS = "who reads whom: all real source tokens, no padding"
EMPTY = "an empty source gives zeros, and finite gradients"
REFUSES = "ValueError where num_heads does not divide d_model"
FORM = "four weights without bias, the dtype, and no memory"

WEIGHTS = ("W_q.weight", "W_k.weight", "W_v.weight", "W_o.weight")
ASKED_FOR = "__init__ must make four nn.Linear, and call them self.W_q, self.W_k, self.W_v and self.W_o"
GRADIENTS = ", backwards"
SECOND = ", called after another source"
# What `_who_reads_whom` looks at.
SHAPED, SOURCE = "an output for each target token", "a changed source token changes every output"
NOTHING, OWN = "changed padding changes nothing", "a changed target token changes its own output alone"
MOVED = 1e-6  # what is left out has a weight of exactly 0, and moves nothing at all


def _made(student: Any, case: Case) -> nn.Module:
    """Make a layer and give it the case's weights; a bias that should not be there says nothing."""
    if not (isinstance(student, type) and issubclass(student, nn.Module)):
        raise TypeError("CrossAttention must be a class that inherits from nn.Module")
    layer = student(case.init["d_model"], case.init["num_heads"])
    if case.args and case.args[0].dtype != torch.float32:
        layer.to(case.args[0].dtype)
    own = layer.state_dict()
    for name, weight in case.weights.items():
        if name not in own:
            raise AttributeError(f"the layer has no {name}: {ASKED_FOR}")
        if own[name].shape != weight.shape:
            sizes = f"{tuple(own[name].shape)}, and {tuple(weight.shape)} is needed"
            raise ValueError(f"{name} has the shape {sizes}")
        own[name].copy_(weight)
    for name, value in own.items():
        if name.endswith("bias"):
            value.zero_()
    return layer


def call_layer(student: Any, case: Case) -> Any:
    """Make a layer and call it; in some groups, look at a part of what comes back, or at the layer itself."""
    if case.group == REFUSES:
        _must_be_written(student, 4, 2)
        student(*case.args)
        return None
    if case.group == READS:
        return _who_reads_whom(student, case)
    layer = _made(student, case)
    if not case.args:
        _must_be_written(student, *case.init.values())
        found = {name: str(tuple(value.shape)) for name, value in layer.named_parameters()}
        others = ", ".join(sorted(set(found) - set(WEIGHTS))) or "none"
        return {name: found.get(name, "none") for name in WEIGHTS} | {"other parameters": others}
    if case.shown.endswith(SECOND):
        decoder, encoder = (part.flip(1)[:, 1:].clone() for part in case.args)
        with suppress(Exception):  # what comes of another length, and of a mask, is asked for elsewhere
            layer(decoder, encoder, (torch.arange(encoder.shape[1]) > 0).expand(len(encoder), 1, 1, -1).clone())
    if case.shown.endswith(GRADIENTS):
        return _gradients(layer, case)
    output = layer(*case.args)
    if case.group != EMPTY or not isinstance(output, Tensor) or output.shape != case.args[0].shape:
        return output
    return output[~case.args[2].any(-1)[:, 0, 0]]


def _who_reads_whom(student: Any, case: Case) -> dict[str, bool]:
    """Change a token and see which outputs move, each time in a new layer; this needs no right numbers."""
    decoder, encoder, mask = case.args
    real = int(mask[0].sum())

    def outputs(asked: Tensor, read: Tensor) -> Any:
        return _made(student, case)(asked.clone(), read.clone(), mask.clone())

    def swapped(sequence: Tensor, token: int) -> Tensor:
        changed = sequence.clone()
        changed[:, token] = sequence.roll(1, dims=0)[:, token]
        return changed

    before = outputs(decoder, encoder)
    if not isinstance(before, Tensor) or before.shape != decoder.shape:
        return dict.fromkeys((SHAPED, SOURCE, NOTHING, OWN), False)
    first, last, padding = (
        ~((outputs(decoder, swapped(encoder, token)) - before).abs() <= MOVED).all(-1) for token in (0, real - 1, real)
    )  # nan has moved
    own = ~((outputs(swapped(decoder, 1), encoder) - before).abs() <= MOVED).all(-1)
    return {
        SHAPED: True,
        SOURCE: bool(first.all() and last.all()),
        NOTHING: not padding.any(),
        OWN: bool(own[:, 1].all()) and int(own.sum()) == len(own),
    }


def _must_be_written(student: Any, d_model: int, num_heads: int) -> None:
    """Call a layer, so that what is not written yet says so; any other mistake is looked for elsewhere."""
    try:
        student(d_model, num_heads)(*(torch.zeros(1, length, d_model) for length in (2, 3)))
    except NotImplementedError:
        raise
    except Exception:
        return


def _gradients(layer: nn.Module, case: Case) -> dict[str, bool]:
    """Go back from the outputs: which inputs and weights does a gradient reach, and is it finite?"""
    decoder, encoder, mask = case.args
    leaves = {"decoder_hidden": decoder.clone().requires_grad_(), "encoder_output": encoder.clone().requires_grad_()}
    output = layer(*(leaf.clone() for leaf in leaves.values()), mask)  # copies, which may be written into
    if isinstance(output, Tensor) and output.requires_grad:
        output.square().sum().backward()
    leaves |= {name: value for name, value in layer.named_parameters() if name in WEIGHTS}
    found = {f"a gradient reaches {name}": leaf.grad is not None and bool(leaf.grad.any())
             for name, leaf in leaves.items()}  # fmt: skip
    return found | {
        f"the gradient of {name} is finite": leaf.grad is not None and bool(leaf.grad.isfinite().all())
        for name, leaf in leaves.items()
    }
