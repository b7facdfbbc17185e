"""A leak detector: does a sequence model look into the future?"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["leaks_future"]


def leaks_future(fn: Callable[[Tensor], Tensor], x: Float[Tensor, "batch n d"]) -> bool:
    """Say whether some output of `fn` depends on a token that comes after it.

    Token j is replaced, for each j in turn, and every output before j is compared bit for bit: a causal model cannot
    move them at all, so any difference, however small, is a leak. Each token is pushed in two directions, since a
    unit such as a ReLU may be blind in one, and unevenly over its features, since a layer norm does not feel a shift
    that is the same in all of them. `x` is not changed, even by a `fn` that works in place.

    fn: deterministic (a model in eval mode), maps (batch, n, d) floats to (batch, n, d_out).
    Shapes: x (batch, n, d); returns a Python bool.

    >>> leaks_future(lambda x: x.cumsum(1), torch.ones(1, 4, 2))
    False
    >>> leaks_future(lambda x: x - x.mean(1, keepdim=True), torch.ones(1, 4, 2))
    True
    """
    before = fn(x.clone())
    push = (1 + x.abs().amax()) * torch.linspace(1, 2, x.shape[-1], dtype=x.dtype, device=x.device)
    for j in range(1, x.shape[1]):
        for direction in (push, -push):
            changed = x.clone()
            changed[:, j] += direction
            after = fn(changed)
            if not torch.allclose(before[:, :j], after[:, :j], rtol=0, atol=0, equal_nan=True):
                return True
    return False
