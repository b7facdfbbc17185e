"""Encoder-only transformers (the BERT family): every token reads every other, and out come representations."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.blocks import Stack, TransformerConfig, initialise
from course_lib.checks import require_ids, require_mask
from course_lib.positions import count_positions

__all__ = ["Encoder", "EncoderConfig"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(TransformerConfig):
    """What an encoder is made of; see `TransformerConfig`.

    >>> EncoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48).max_len
    512
    """


class Encoder(nn.Module):
    """Token ids in, one vector a token out, each informed by the whole sequence (Devlin et al. 2018, section 3).

    generator: draws the initial weights; without it, torch's global one does. stack: makes the blocks.

    >>> config = EncoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48)
    >>> encoder = Encoder(config)
    >>> encoder(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 12])
    """

    def __init__(
        self,
        config: EncoderConfig,
        generator: torch.Generator | None = None,
        stack: Callable[[TransformerConfig], Stack] = Stack,
    ):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.stack = stack(config)
        initialise(self, generator)

    def forward(
        self,
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "#batch #heads #seq seq"] | None = None,
        positions: Int[Tensor, "#batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Give the hidden states.

        mask: who may look at whom; `create_padding_mask(lengths, seq)` where sequences were padded to one length.
        positions: where each token stands; without them real tokens are counted, so that padding moves nothing.
        Shapes: ids (batch, seq), mask (batch or 1, heads or 1, seq or 1, seq), positions (batch or 1, seq); returns
        (batch, seq, d_model).
        Raises ValueError or TypeError if ids or mask have another shape or type, or the sequence is longer than the
        positions reach.
        """
        return self.stack(self.embedding(ids), mask, self._positions(ids, mask, positions))

    def hidden(self, *args, **kwargs) -> Float[Tensor, "batch seq d_model"]:
        """Do what calling the encoder does, under the name that all models have for their hidden states.

        Shapes: as there.
        """
        return self(*args, **kwargs)

    def _positions(self, ids: Tensor, mask: Tensor | None, positions: Tensor | None) -> Tensor | None:
        """Check what is given, and count the real tokens where there is padding."""
        require_ids(ids)
        if mask is None:
            return positions
        require_mask(mask, ids.shape[0], self.config.num_heads, ids.shape[1], ids.shape[1])
        is_padding = mask.shape[1:3] == (1, 1)
        return count_positions(mask) if positions is None and is_padding else positions
