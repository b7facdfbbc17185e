"""Encoder-decoder transformers (the T5 and BART family): an encoder reads the source, a decoder reads it and writes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.attention import CrossAttention, KeysValues
from course_lib.blocks import Block, Stack, TransformerConfig, initialise
from course_lib.cache import KVCache
from course_lib.checks import require_ids, require_padding_mask
from course_lib.config import Sizes, require_size
from course_lib.decoder import mask_and_positions
from course_lib.masks import create_causal_mask
from course_lib.positions import Positions, count_positions

__all__ = ["CrossBlock", "EncoderDecoder", "EncoderDecoderConfig", "Memory"]


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(TransformerConfig):
    """What an encoder-decoder is made of: see `TransformerConfig`; num_layers is of each stack unless said.

    Raises ValueError if num_decoder_layers is below 1, TypeError if it is no whole number, and as in `Sizes`.

    >>> config = EncoderDecoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48)
    >>> config.decoder_side.num_layers
    2
    """

    num_decoder_layers: int | None = None  # None: as many as the encoder has
    decoder_position: Callable[[Sizes], Positions] | None = None  # None: as in the encoder

    def __post_init__(self):
        super().__post_init__()
        if self.num_decoder_layers is not None:
            require_size("num_decoder_layers", self.num_decoder_layers)

    @property
    def decoder_side(self) -> TransformerConfig:
        """What the decoder's stack is made of."""
        return replace(
            self,
            num_layers=self.num_layers if self.num_decoder_layers is None else self.num_decoder_layers,
            position=self.decoder_position or self.position,
        )


class Memory(NamedTuple):
    """What the decoder knows of a source: its keys and values for each layer, and which of its tokens are real."""

    layers: list[KeysValues]
    mask: Tensor | None


class CrossBlock(Block):
    """The block with one layer more: between self-attention and feed-forward it reads the source.

    >>> config = EncoderDecoderConfig(vocab_size=9, d_model=6, num_layers=1, num_heads=2, d_ff=24)
    >>> CrossBlock(config)(torch.zeros(1, 5, 6), source=torch.zeros(1, 7, 6)).shape
    torch.Size([1, 5, 6])
    """

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        attention = CrossAttention(
            config.d_model, config.num_heads, config.head_dim, config.bias, config.num_kv_heads
        )
        self.cross_attention = self.with_residual(attention, config)

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        mask: Bool[Tensor, "..."] | None = None,
        rotation: tuple[Float[Tensor, "..."], Float[Tensor, "..."]] | None = None,
        bias: Float[Tensor, "..."] | None = None,
        cache: KVCache | None = None,
        source: Float[Tensor, "batch source d_model"] | KeysValues | None = None,
        source_mask: Bool[Tensor, "batch 1 1 source"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Shapes: x (batch, seq, d_model); returns the same. source as in `CrossAttention`, the rest as in `Block`."""
        x = self.self_attention(x, mask, rotation, bias, cache)
        return self.feed_forward(self.cross_attention(x, source, source_mask))


class EncoderDecoder(nn.Module):
    """Two stacks joined by cross-attention (Vaswani et al. 2017; Raffel et al. 2020): source in, target out.

    generator: draws the initial weights; without it, torch's global one does.
    Raises TypeError if the configuration is not an encoder-decoder's.

    >>> config = EncoderDecoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48)
    >>> model = EncoderDecoder(config)
    >>> model(torch.tensor([[5, 8, 2, 9]]), torch.tensor([[0, 7]])).shape
    torch.Size([1, 2, 100])
    """

    def __init__(self, config: EncoderDecoderConfig, generator: torch.Generator | None = None):
        super().__init__()
        if not isinstance(config, EncoderDecoderConfig):
            raise TypeError(f"an encoder-decoder is made of an EncoderDecoderConfig, got a {type(config).__name__}")
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)  # of both sides
        self.encoder = Stack(config)
        self.decoder = Stack(config.decoder_side, block=CrossBlock)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied:
            self.head.weight = self.embedding.weight
        initialise(self, generator)

    def encode(
        self, source: Int[Tensor, "batch source"], source_mask: Bool[Tensor, "batch 1 1 source"] | None = None
    ) -> Memory:
        """Read the source once; what comes back serves every step of writing.

        Shapes: source (batch, source), source_mask (batch, 1, 1, source), True = real.
        Raises ValueError or TypeError if they have another shape or type, or the source is longer than the positions
        reach.
        """
        require_ids(source)
        positions = None
        if source_mask is not None:
            require_padding_mask(source_mask, *source.shape)
            positions = count_positions(source_mask)
        output = self.encoder(self.embedding(source), source_mask, positions)
        return Memory([block.cross_attention.layer.keys_values(output) for block in self.decoder.blocks], source_mask)

    def hidden(
        self,
        ids: Int[Tensor, "batch target"],
        memory: Memory,
        mask: Bool[Tensor, "#batch 1 1 k_len"] | None = None,
        caches: Sequence[KVCache] | None = None,
    ) -> Float[Tensor, "batch target d_model"]:
        """Give the decoder's hidden states, from which the head reads the next token.

        mask: the padding mask of the target, also of the tokens in the caches; the causal mask is added here.
        Shapes: ids (batch, target), mask (batch, 1, 1, k_len); returns (batch, target, d_model).
        Raises ValueError or TypeError if ids or mask have another shape or type, or the target is longer than the
        positions reach.
        """
        mask, positions = mask_and_positions(create_causal_mask, ids, mask, caches)
        source = [(keys_values, memory.mask) for keys_values in memory.layers]
        return self.decoder(self.embedding(ids), mask, positions, caches, source)

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        target: Int[Tensor, "batch target"],
        source_mask: Bool[Tensor, "batch 1 1 source"] | None = None,
        target_mask: Bool[Tensor, "batch 1 1 target"] | None = None,
    ) -> Float[Tensor, "batch target vocab"]:
        """Give the logits of the token after each position of the target (its beginning is the start token).

        Shapes: source (batch, source), target (batch, target), masks (batch, 1, 1, source or target), True = real;
        returns (batch, target, vocab_size).
        """
        return self.head(self.hidden(target, self.encode(source, source_mask), target_mask))
