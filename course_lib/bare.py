"""A model without what nn.Module adds to every call, for writing token by token.

At one token a step a small model spends more time in nn.Module's bookkeeping than in arithmetic: each call looks for
hooks, each attribute is searched for in three dictionaries, each dropout asks whether it is learning. The same code on
the same weights, without all that, writes about one and a half times as fast.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

__all__ = ["bare", "evaluating"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_KNOWN = ("torch.nn.modules.", "course_lib.")  # whose modules are known to keep no state and to alias nothing


def bare(model: nn.Module) -> Any:
    """Give the model as a plain object that does the same: its methods, its very weights, dropout off.

    Weights are shared, not copied. A model with anything unusual in it (hooks, buffers, parametrisations, a module of
    somebody else's making) is given back as it is, since only what is known can be stripped without changing it.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    >>> x = torch.ones(1, 2)
    >>> torch.equal(bare(model)(x), model[0](x))
    True
    """
    watched = torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks
    return model if watched or not all(map(_is_ordinary, model.modules())) else _stripped(model)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off, which is for learning, and back on wherever it was on.

    >>> model = nn.Dropout(0.5)
    >>> with evaluating(model):
    ...     print(model.training)
    False
    >>> model.training
    True
    """
    learning = [module for module in model.modules() if module.training] if model.training else []
    try:
        for module in learning:
            module.training = False
        yield
    finally:
        for module in learning:
            module.training = True


def _is_ordinary(module: nn.Module) -> bool:
    kind = type(module)
    return (
        f"{kind.__module__}.".startswith(_KNOWN)
        and kind.__call__ is nn.Module.__call__
        and "forward" not in vars(module)
        and not any(vars(module)[hooks] for hooks in _HOOKS)
        and not module._buffers
        and not parametrize.is_parametrized(module)
    )


def _stripped(module: nn.Module) -> Any:
    """Make an object whose weights and parts are plain attributes, found at once."""
    if type(module) is nn.ModuleList:
        return [_stripped(child) for child in module]
    plain = object.__new__(_called_directly(type(module)))
    parts = {name: None if child is None else _stripped(child) for name, child in module._modules.items()}
    plain.__dict__.update(vars(module) | {"training": False, "_modules": parts} | module._parameters | parts)
    return plain


@cache
def _called_directly(kind: type) -> type:
    """Derive a class whose objects, when called, go straight to forward, or to what does the same with less ado."""
    return type(kind.__name__, (kind,), {"__call__": _SHORTER.get(kind.forward, kind.forward)})


def _give_back(self: nn.Module, x: Any) -> Any:
    return x


def _layer_norm(self: nn.LayerNorm, x: Tensor) -> Tensor:
    return torch.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


_SHORTER: dict[Callable, Callable] = {
    nn.Dropout.forward: _give_back,  # which is off
    nn.Identity.forward: _give_back,
    nn.LayerNorm.forward: _layer_norm,
}
