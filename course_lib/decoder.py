"""Decoder-only transformers (the GPT and LLaMA family): the encoder's blocks under a causal mask, and a next token."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.blocks import Stack, TransformerConfig, initialise
from course_lib.cache import KVCache
from course_lib.checks import require_ids, require_padding_mask
from course_lib.masks import create_causal_mask
from course_lib.positions import count_positions

__all__ = ["Decoder", "DecoderConfig", "last_rows", "mask_and_positions"]


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(TransformerConfig):
    """What a decoder is made of: see `TransformerConfig`, and its mask.

    mask: gives the mask for a number of tokens and a device. With `partial(create_sliding_window_mask, window=64)`
    each token reads the last 64 only; with `create_bidirectional_mask` the decoder cheats.

    >>> DecoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48).mask is create_causal_mask
    True
    """

    mask: Callable[..., Tensor] = create_causal_mask


class Decoder(nn.Module):
    """Token ids in, logits of the token that comes next out, at each position (Radford et al. 2019).

    generator: draws the initial weights; without it, torch's global one does.
    Raises TypeError if the configuration is not a decoder's.

    >>> config = DecoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48)
    >>> Decoder(config)(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 100])
    """

    def __init__(self, config: DecoderConfig, generator: torch.Generator | None = None):
        super().__init__()
        if not isinstance(config, DecoderConfig):
            raise TypeError(f"a decoder is made of a DecoderConfig, got a {type(config).__name__}")
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.stack = Stack(config)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied:  # a token is recognised by the vector that stands for it (Press and Wolf 2017)
            self.head.weight = self.embedding.weight
        initialise(self, generator)

    def hidden(
        self,
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "#batch 1 1 k_len"] | None = None,
        positions: Int[Tensor, "#batch seq"] | None = None,
        caches: Sequence[KVCache] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Give the hidden states, from which the head reads the next token.

        mask: the padding mask, also of the tokens in the caches; the causal mask is added here. Positions count the
        real tokens, so that padding on the left moves nothing.
        caches: one for each layer, holding what came before ids (see `generation`).
        Shapes: ids (batch, seq), mask (batch, 1, 1, k_len) where k_len counts cached tokens too, positions
        (batch or 1, seq); returns (batch, seq, d_model).
        Raises ValueError or TypeError if ids or mask have another shape or type, or the sequence is longer than the
        positions reach.
        """
        mask, counted = mask_and_positions(self.config.mask, ids, mask, caches)
        return self.stack(self.embedding(ids), mask, counted if positions is None else positions, caches)

    def forward(
        self,
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "#batch 1 1 k_len"] | None = None,
        positions: Int[Tensor, "#batch seq"] | None = None,
        caches: Sequence[KVCache] | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        """Give the logits of the next token at each position.

        Shapes: as for `hidden`; returns (batch, seq, vocab_size).
        """
        return self.head(self.hidden(ids, mask, positions, caches))


def mask_and_positions(
    create_mask: Callable[..., Tensor],
    ids: Int[Tensor, "batch seq"],
    padding_mask: Bool[Tensor, "#batch 1 1 k_len"] | None = None,
    caches: Sequence[KVCache] | None = None,
) -> tuple[Bool[Tensor, "#batch 1 #seq k_len"] | None, Int[Tensor, "#batch seq"] | None]:
    """Give what new tokens may see of themselves and of those in the caches, and where they stand.

    create_mask and padding_mask as in `last_rows`.
    Shapes: ids (batch, seq); returns the mask of `last_rows`, and positions (batch or 1, seq) that count real tokens,
    or None where there is no padding to count around.
    Raises ValueError or TypeError if ids or padding_mask have another shape or type.

    >>> mask, positions = mask_and_positions(create_causal_mask, torch.tensor([[5, 8]]))
    >>> mask.shape, positions
    (torch.Size([1, 1, 2, 2]), None)
    """
    require_ids(ids)
    q_len = ids.shape[1]
    k_len = q_len + (caches[0].length if caches else 0)
    if padding_mask is None:
        return last_rows(create_mask, q_len, k_len, device=ids.device), None
    require_padding_mask(padding_mask, len(ids), k_len)
    mask = last_rows(create_mask, q_len, k_len, padding_mask, ids.device)
    return mask, count_positions(padding_mask)[:, -q_len:]


def last_rows(
    create_mask: Callable[..., Tensor],
    q_len: int,
    k_len: int,
    padding_mask: Bool[Tensor, "#batch 1 1 k_len"] | None = None,
    device: torch.device | None = None,
) -> Bool[Tensor, "#batch 1 #q_len k_len"] | None:
    """Give what the last q_len of k_len tokens may see: a mask aligned bottom-right, as cached decoding needs it.

    create_mask: makes the mask of k_len tokens, such as `create_causal_mask`.
    Shapes: padding_mask (batch, 1, 1, k_len); returns (batch or 1, 1, q_len or 1, k_len), or None if all is allowed.

    >>> last_rows(create_causal_mask, q_len=2, k_len=4).int()
    tensor([[[[1, 1, 1, 0],
              [1, 1, 1, 1]]]], dtype=torch.int32)
    """
    if q_len == 1 and create_mask is create_causal_mask:
        return padding_mask  # the last token sees all: no need to make a square to cut its last row off
    mask = create_mask(k_len, device=device)[..., k_len - q_len :, :]
    return mask if padding_mask is None else mask & padding_mask
