"""A model that cheats: find where it looks ahead, see whether it uses it, and give it a mask that hides the future."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from course_lib.decoder import DecoderConfig
from course_lib.masks import create_causal_mask

__all__ = ["copy_rate", "find_leak", "repair"]

Model = Callable[[Tensor], Tensor]  # from ids (batch, seq) to logits (batch, seq, vocab)
LONGEST = 16


def find_leak(model: Model, ids: Int[Tensor, "batch seq"], vocab_size: int) -> Bool[Tensor, "seq seq"]:
    """Say which position's logits depend on which later token.

    Each token after the first is replaced by every other id of the vocabulary in turn, in all rows, and the rest stays.
    A model without a leak cannot move the logits before that token at all, so that any change is one, however small;
    nan counts as equal to nan. All questions have the shape of ids: a model's last bits may depend on the batch.
    model: deterministic (in eval mode), no row of a batch reads another. It gets copies of ids.
    Shapes: ids (batch, seq), model: (batch, seq) to (batch, seq, vocab); returns (seq, seq) on the CPU, True at
    [i, j] where j > i and the logits at position i move, in any row, when token j does.

    >>> def reads_the_next(ids):
    ...     return torch.nn.functional.one_hot(ids.roll(-1, dims=1), 7).float()
    >>> find_leak(reads_the_next, torch.tensor([[3, 1, 5]]), vocab_size=7).int()
    tensor([[0, 1, 0],
            [0, 0, 1],
            [0, 0, 0]], dtype=torch.int32)
    """
    seq = ids.shape[1]
    before = model(ids.clone())
    leak = torch.zeros(seq, seq, dtype=torch.bool)
    for j in range(1, seq):
        for step in range(1, vocab_size):
            changed = ids.clone()
            changed[:, j] = (ids[:, j] + step) % vocab_size
            after = model(changed)
            moved = (after != before) & ~(after.isnan() & before.isnan())
            leak[:, j] |= moved.any(-1).any(0).cpu()
    return leak.triu(1)


def copy_rate(
    model: Model, ids: Int[Tensor, "batch seq"], vocab_size: int, generator: torch.Generator | None = None
) -> float:
    """Say how often a model merely repeats the token that it ought to predict.

    Each token after the first is replaced, it alone, by another id, drawn evenly for each row. It is a copy if the
    likeliest token at the position before is the id that was drawn. A model that cannot see the future repeats it by
    chance alone, 1 / (vocab_size - 1) of the time at most; a perfect cheat always does.
    model, ids: as for `find_leak`. generator: draws the ids; without it, torch's global one does.
    Shapes: ids (batch, seq); returns a share of all rows and positions, from 0 to 1.
    Raises ValueError if ids hold a single token a row, so that nothing is predicted, or vocab_size is below 2.

    >>> def copies(ids):
    ...     return torch.nn.functional.one_hot(ids.roll(-1, dims=1), 7).float()
    >>> copy_rate(copies, torch.tensor([[3, 1, 5]]), vocab_size=7)
    1.0
    """
    batch, seq = ids.shape
    if seq < 2:
        raise ValueError(f"nothing is predicted in a sequence of {seq} tokens; it takes 2 at least")
    if vocab_size < 2:
        raise ValueError(f"there must be another id to replace a token by, got a vocabulary of {vocab_size}")
    copies = 0
    for t in range(seq - 1):
        steps = torch.randint(1, vocab_size, (batch,), generator=generator).to(ids.device)
        drawn = (ids[:, t + 1] + steps) % vocab_size
        changed = ids.clone()
        changed[:, t + 1] = drawn
        copies += (model(changed)[:, t].argmax(-1) == drawn).sum().item()
    return copies / (batch * (seq - 1))


def repair(config: DecoderConfig) -> DecoderConfig:
    """Give a configuration without a leak: a mask that looks ahead at some length gives way to the causal mask.

    All lengths from 1 to 16 are tried. A mask that never looks ahead stays as it is, such as a sliding window, and so
    do all other fields, and the configuration that was given.

    >>> from course_lib.masks import create_bidirectional_mask
    >>> sizes = dict(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48)
    >>> repair(DecoderConfig(**sizes, mask=create_bidirectional_mask)) == DecoderConfig(**sizes)
    True
    """
    if any(config.mask(seq_len).triu(1).any() for seq_len in range(1, LONGEST + 1)):
        return replace(config, mask=create_causal_mask)
    return config
