"""The one block of all three families, made of the parts it is given: norm, positions, feed-forward, residual.

A part is a class (or a `functools.partial` of one) named in the configuration: an encoder with rotary positions is
`EncoderConfig(..., position=RotaryPositions)`, not a flag that the model would have to ask for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.attention import MultiHeadAttention
from course_lib.cache import KVCache
from course_lib.config import Sizes
from course_lib.positions import LearnedPositions, Positions

__all__ = [
    "Block",
    "FeedForward",
    "GatedFeedForward",
    "PostNorm",
    "PreNorm",
    "Residual",
    "Stack",
    "TransformerConfig",
    "initialise",
]


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, for each token by itself (Vaswani et al. 2017, section 3.3).

    >>> FeedForward(d_model=6, d_ff=24, bias=True, activation=F.relu)(torch.zeros(1, 2, 6)).shape
    torch.Size([1, 2, 6])
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool, activation: Callable[[Tensor], Tensor] = F.gelu):
        super().__init__()
        self.activation = activation
        self.W_in = nn.Linear(d_model, d_ff, bias=bias)
        self.W_out = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        """Shapes: x (batch, seq, d_model); returns the same."""
        return self.W_out(self.activation(self.W_in(x)))


class GatedFeedForward(nn.Module):
    """A feed-forward layer in which one half opens and shuts the other (Shazeer 2020): SwiGLU, or GeGLU with F.gelu.

    >>> GatedFeedForward(d_model=6, d_ff=16, bias=False)(torch.zeros(1, 2, 6)).shape
    torch.Size([1, 2, 6])
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool, activation: Callable[[Tensor], Tensor] = F.silu):
        super().__init__()
        self.activation = activation
        self.W_in = nn.Linear(d_model, 2 * d_ff, bias=bias)  # the gate, then what passes through it
        self.W_out = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq d_model"]:
        """Shapes: x (batch, seq, d_model); returns the same."""
        gate, passing = self.W_in(x).chunk(2, dim=-1)
        return self.W_out(self.activation(gate) * passing)


class Residual(nn.Module):
    """A layer, the norm and the dropout that go with it; how they are put together is for PreNorm and PostNorm to say.

    >>> Residual(nn.Identity(), nn.LayerNorm(2), dropout=0.1).dropout.p
    0.1
    """

    def __init__(self, layer: nn.Module, norm: nn.Module, dropout: float):
        super().__init__()
        self.layer, self.norm, self.dropout = layer, norm, nn.Dropout(dropout)


class PreNorm(Residual):
    """A layer around which the input flows untouched: x + layer(norm(x)) (Xiong et al. 2020; GPT-2, T5, LLaMA).

    >>> PreNorm(nn.Identity(), nn.Identity(), dropout=0.0)(torch.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """

    def forward(self, x: Float[Tensor, "batch seq d_model"], *more) -> Float[Tensor, "batch seq d_model"]:
        """Shapes: x (batch, seq, d_model); returns the same. What the layer is given more is handed on."""
        return x + self.dropout(self.layer(self.norm(x), *more))


class PostNorm(Residual):
    """A layer whose sum with its input is normalised: norm(x + layer(x)) (Vaswani et al. 2017, section 3.1; BERT).

    >>> PostNorm(nn.Identity(), nn.LayerNorm(2), dropout=0.0)(torch.tensor([[[1.0, 3.0]]]))[0, 0].detach()
    tensor([-1.0000,  1.0000])
    """

    def forward(self, x: Float[Tensor, "batch seq d_model"], *more) -> Float[Tensor, "batch seq d_model"]:
        """Shapes: x (batch, seq, d_model); returns the same. What the layer is given more is handed on."""
        return self.norm(x + self.dropout(self.layer(x, *more)))


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(Sizes):
    """The sizes of a transformer and the parts it is made of. Errors as in `Sizes`.

    >>> from course_lib.positions import RotaryPositions
    >>> llama = TransformerConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=32, bias=False,
    ...     norm=nn.RMSNorm, position=RotaryPositions, feed_forward=GatedFeedForward)
    """

    norm: Callable[[int], nn.Module] = nn.LayerNorm
    position: Callable[[Sizes], Positions] = LearnedPositions
    feed_forward: Callable[[int, int, bool], nn.Module] = FeedForward
    residual: Callable[[nn.Module, nn.Module, float], Residual] = PreNorm


class Block(nn.Module):
    """One layer of a transformer: self-attention, then a feed-forward layer (Vaswani et al. 2017, section 3.1).

    >>> config = TransformerConfig(vocab_size=9, d_model=6, num_layers=1, num_heads=2, d_ff=24)
    >>> Block(config)(torch.zeros(1, 5, 6)).shape
    torch.Size([1, 5, 6])
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        attention = MultiHeadAttention(
            config.d_model, config.num_heads, config.num_kv_heads, config.head_dim, config.bias
        )
        self.self_attention = self.with_residual(attention, config)
        self.feed_forward = self.with_residual(config.feed_forward(config.d_model, config.d_ff, config.bias), config)

    @staticmethod
    def with_residual(layer: nn.Module, config: TransformerConfig) -> Residual:
        """Give a layer its norm, its dropout and its residual connection."""
        return config.residual(layer, config.norm(config.d_model), config.dropout)

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        mask: Bool[Tensor, "..."] | None = None,
        rotation: tuple[Float[Tensor, "..."], Float[Tensor, "..."]] | None = None,
        bias: Float[Tensor, "..."] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Shapes: x (batch, seq, d_model); returns the same. The rest as in `MultiHeadAttention`."""
        return self.feed_forward(self.self_attention(x, mask, rotation, bias, cache))


class Stack(nn.Module):
    """Blocks on top of one another, under one way of telling positions.

    Post-norm blocks expect normalised input, so it is normalised (BERT, BART); what pre-norm blocks give is normalised
    once, at the end (GPT-2, T5, LLaMA).

    >>> config = TransformerConfig(vocab_size=9, d_model=6, num_layers=2, num_heads=2, d_ff=24)
    >>> Stack(config)(torch.zeros(1, 5, 6)).shape
    torch.Size([1, 5, 6])
    """

    def __init__(self, config: TransformerConfig, block: Callable[[TransformerConfig], nn.Module] = Block):
        super().__init__()
        self.position = config.position(config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(block(config) for _ in range(config.num_layers))
        post_norm = isinstance(self.blocks[0].feed_forward, PostNorm)
        self.norm_in = config.norm(config.d_model) if post_norm else nn.Identity()
        self.norm_out = nn.Identity() if post_norm else config.norm(config.d_model)

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        mask: Bool[Tensor, "..."] | None = None,
        positions: Int[Tensor, "#batch seq"] | None = None,
        caches: Sequence[KVCache] | None = None,
        more: Sequence[tuple] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """Run embeddings through all blocks.

        positions: where each token stands; without them, one after another, behind those in the caches.
        caches: one for each block. more: for each block, what it is given beyond that, such as a source to read.
        Shapes: x (batch, seq, d_model), positions (batch or 1, seq), mask broadcasts to (batch, heads, seq, k_len);
        returns (batch, seq, d_model).
        Raises ValueError if the sequence is longer than the positions reach, or if caches are not as many as blocks.
        """
        if caches is not None and len(caches) != len(self.blocks):
            raise ValueError(f"caches must be one for each of {len(self.blocks)} blocks, got {len(caches)}")
        past = caches[0].length if caches else 0
        k_len = past + x.shape[1]
        if k_len > self.position.max_len:
            raise ValueError(f"the sequence must not be longer than max_len, got {k_len} and {self.position.max_len}")
        if positions is None:
            positions = torch.arange(past, k_len, device=x.device)[None]
        x = self.dropout(self.norm_in(self.position.add(x, positions)))
        rotation, bias = self.position.rotation(positions), self.position.bias(x.shape[1], k_len)
        for layer, block in enumerate(self.blocks):
            cache = caches[layer] if caches else None
            x = block(x, mask, rotation, bias, cache, *(more[layer] if more else ()))
        return self.norm_out(x)


@torch.no_grad()
def initialise(model: nn.Module, generator: torch.Generator | None = None, std: float = 0.02) -> None:
    """Draw weights of linear layers and embeddings from N(0, std²) (Radford et al. 2018, 4.1), and set biases to 0.

    With a generator the model depends on its seed alone; norms stay as they are.

    >>> layer = nn.Linear(2, 1)
    >>> initialise(layer, torch.Generator().manual_seed(0))
    >>> layer.bias.item()
    0.0
    """
    drawn = set()  # a tied weight is drawn once
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding) and module.weight not in drawn:
            drawn.add(module.weight)
            module.weight.normal_(0, std, generator=generator)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.zero_()
