"""Encoder-only transformers (the BERT family): every token reads every other, and out come representations."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.blocks import Stack, TransformerConfig, initialise

__all__ = ["Encoder", "EncoderConfig"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(TransformerConfig):
    """What an encoder is made of; see `TransformerConfig`.

    >>> EncoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48).max_len
    512
    """


class Encoder(nn.Module):
    """Token ids in, one vector a token out, each informed by the whole sequence (Devlin et al. 2018, section 3).

    generator: draws the initial weights; without it, torch's global one does.

    >>> config = EncoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48)
    >>> encoder = Encoder(config)
    >>> encoder(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 12])
    """

    def __init__(self, config: EncoderConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.stack = Stack(config)
        initialise(self, generator)

    def hidden(
        self,
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "#batch #heads #seq seq"] | None = None,
        positions: Int[Tensor, "#batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Give the hidden states, under the name that all models have for them.

        mask: who may look at whom; `create_padding_mask(lengths, seq)` where sequences were padded to one length.
        Shapes: ids (batch, seq), mask broadcasts to (batch, heads, seq, seq), positions (batch or 1, seq), by default
        0, 1, 2 …; returns (batch, seq, d_model).
        Raises ValueError if the sequence is longer than the positions reach.
        """
        return self.stack(self.embedding(ids), mask, positions)

    def forward(self, *args, **kwargs) -> Float[Tensor, "batch seq d_model"]:
        """Do what `hidden` does: an encoder's output is its hidden states.

        Shapes: as there.
        """
        return self.hidden(*args, **kwargs)
