"""Writing with a model that reads both ways: begin with masks alone and fill them, the surest first."""

from collections.abc import Callable, Collection

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.config import require_size
from course_lib.worlds.special_tokens import FIRST_ORDINARY, MASK

__all__ = ["fill_masks"]

Filler = Callable[[Int[Tensor, "batch seq"], Bool[Tensor, "batch 1 1 seq"]], Float[Tensor, "batch seq vocab"]]


@torch.no_grad()
def fill_masks(
    model: Filler,
    ids: Int[Tensor, "batch seq"],
    mask: Bool[Tensor, "batch 1 1 seq"],
    steps: int,
    generator: torch.Generator | None = None,
    special_ids: Collection[int] = range(FIRST_ORDINARY),
) -> Int[Tensor, "batch seq"]:
    """Fill every MASK in `steps` rounds: draw a token for each, keep the likeliest of them, mask the rest again.

    Each round keeps an equal share of what is still hidden, so that one round draws all places at once, and as many
    rounds as places fill them one by one. A place that is filled is not changed again; Mask-Predict (Ghazvininejad et
    al. 2019), which this follows, lets the model take back what it is least sure of.

    model: gives logits from ids and their padding mask. special_ids: never drawn. ids is not changed.
    Shapes: ids (batch, seq), mask (batch, 1, 1, seq); returns (batch, seq).
    Raises ValueError if steps is below 1.

    >>> always = torch.zeros(1, 3, 50).index_fill(2, torch.tensor([40]), 9e9)  # a model that knows one word
    >>> hidden = torch.tensor([[MASK, 33, MASK]])
    >>> fill_masks(lambda ids, mask: always, hidden, torch.ones(1, 1, 1, 3, dtype=torch.bool), steps=2)
    tensor([[40, 33, 40]])
    """
    require_size("steps", steps)
    ids = ids.clone()
    for round_number in range(steps):
        hidden = ids == MASK
        if not hidden.any():
            break
        logits = model(ids, mask).index_fill(-1, torch.tensor([*special_ids], device=ids.device), -torch.inf)
        chances = logits.softmax(-1)
        drawn = torch.multinomial(chances.flatten(0, 1), 1, generator=generator).view_as(ids)
        sureness = chances.gather(-1, drawn[..., None])[..., 0].masked_fill(~hidden, -1)
        keep = (hidden.sum(-1, keepdim=True) / (steps - round_number)).ceil()
        rank = sureness.argsort(-1, descending=True).argsort(-1)
        ids = torch.where(hidden & (rank < keep), drawn, ids)
    return ids
