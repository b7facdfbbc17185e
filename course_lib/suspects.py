"""Three decoders that are handed over in lesson 05. Two of them cheat: find out which before you read on."""

from course_lib.decoder import DecoderConfig
from course_lib.masks import create_bidirectional_mask, create_causal_mask

__all__ = ["suspects"]


def _off_by_one(seq_len, device=None):
    """A slip that is easily made: token i may also look at token i + 1, the very one it is asked for."""
    mask = create_bidirectional_mask(seq_len, device)
    return mask.tril(diagonal=1)


def suspects(**sizes) -> dict[str, DecoderConfig]:
    """Give three configurations of the same sizes: one honest, two with a mask that lets them look ahead.

    >>> [*suspects(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48)]
    ['Ash', 'Birch', 'Cedar']
    """
    masks = {"Ash": _off_by_one, "Birch": create_causal_mask, "Cedar": create_bidirectional_mask}
    return {name: DecoderConfig(**sizes, mask=mask) for name, mask in masks.items()}
