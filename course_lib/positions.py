"""Where a token stands: four ways to tell a block, which by itself cannot know the order of what it reads.

Each way acts in one of three places: it is added to the embeddings (learned, sinusoidal), turns queries and keys
(rotary), or is added to the scores (relative).
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.config import Sizes, head_size

__all__ = [
    "LearnedPositions",
    "Positions",
    "RelativePositions",
    "RotaryPositions",
    "SinusoidalPositions",
    "count_positions",
    "relative_buckets",
    "rope",
    "rotate",
    "rotation",
    "sinusoids",
]


class Positions(nn.Module):
    """No positions at all, and what every way of telling them may do; each way overrides one method of the three.

    A model makes its own from its sizes and shares it among its layers.

    >>> sizes = Sizes(vocab_size=9, d_model=8, num_layers=1, num_heads=2, d_ff=16)
    >>> x = torch.zeros(1, 3, 8)
    >>> Positions(sizes).add(x, torch.arange(3)[None]) is x
    True
    """

    max_len: float = math.inf  # the longest sequence it can tell the order of

    def __init__(self, sizes: Sizes):
        super().__init__()

    def add(self, x: Float[Tensor, "batch seq d_model"], positions: Int[Tensor, "#batch seq"]) -> Tensor:
        """Add positions to embeddings. Shapes: x (batch, seq, d_model), positions (batch or 1, seq); returns x's."""
        return x

    def rotation(self, positions: Int[Tensor, "#batch seq"]) -> tuple[Tensor, Tensor] | None:
        """Give the cosines and sines that turn queries and keys, or None.

        Shapes: positions (batch or 1, seq); returns two of (batch or 1, 1, seq, head_dim).
        """
        return None

    def bias(self, q_len: int, k_len: int) -> Tensor | None:
        """Give what is added to the scores of the last q_len of k_len tokens, or None.

        Shapes: returns (1, heads, q_len, k_len).
        """
        return None


class LearnedPositions(Positions):
    """One learned vector a position, added to the embeddings (Gehring et al. 2017, section 3.1; BERT, GPT-2).

    >>> sizes = Sizes(vocab_size=9, d_model=8, num_layers=1, num_heads=2, d_ff=16, max_len=5)
    >>> LearnedPositions(sizes).table.weight.shape
    torch.Size([5, 8])
    """

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        self.max_len = sizes.max_len
        self.table = nn.Embedding(sizes.max_len, sizes.d_model)

    def add(self, x: Float[Tensor, "batch seq d_model"], positions: Int[Tensor, "#batch seq"]) -> Tensor:
        return x + self.table(positions)


class SinusoidalPositions(Positions):
    """Fixed waves added to the embeddings, which are scaled up by √d_model first (Vaswani et al. 2017, 3.4, 3.5).

    Raises ValueError if d_model is odd.

    >>> sizes = Sizes(vocab_size=9, d_model=4, num_layers=1, num_heads=2, d_ff=16)
    >>> SinusoidalPositions(sizes).add(torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.long))
    tensor([[[0., 1., 0., 1.]]])
    """

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        self.d_model = sizes.d_model
        _require_even("d_model", sizes.d_model)

    def add(self, x: Float[Tensor, "batch seq d_model"], positions: Int[Tensor, "#batch seq"]) -> Tensor:
        return x * self.d_model**0.5 + sinusoids(positions, self.d_model).to(x.dtype)


class RotaryPositions(Positions):
    """Queries and keys turned by angles that grow with the position (Su et al. 2021; LLaMA), so that a score depends
    on their distance alone.

    base: the longest wave turns once in about 2π · base positions.
    Raises ValueError if head_dim is odd.

    >>> sizes = Sizes(vocab_size=9, d_model=8, num_layers=1, num_heads=2, d_ff=16)
    >>> cos, sin = RotaryPositions(sizes).rotation(torch.arange(5)[None])
    >>> cos.shape
    torch.Size([1, 1, 5, 4])
    """

    def __init__(self, sizes: Sizes, base: float = 10_000.0):
        super().__init__(sizes)
        self.head_dim, self.base = head_size(sizes.d_model, sizes.num_heads, sizes.head_dim), base
        _require_even("head_dim", self.head_dim)

    def rotation(self, positions: Int[Tensor, "#batch seq"]) -> tuple[Tensor, Tensor]:
        return rotation(positions, self.head_dim, self.base)


class RelativePositions(Positions):
    """A learned number for each distance and head, added to the scores (Raffel et al. 2020, section 2.1; T5).

    bidirectional: tell tokens behind from tokens ahead, as an encoder must; a decoder has nothing ahead. Distances are
    counted between places in the sequence, whatever positions are given. Errors as in `relative_buckets`.

    >>> sizes = Sizes(vocab_size=9, d_model=8, num_layers=1, num_heads=2, d_ff=16)
    >>> RelativePositions(sizes).bias(q_len=1, k_len=5).shape
    torch.Size([1, 2, 1, 5])
    """

    def __init__(self, sizes: Sizes, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128):
        super().__init__(sizes)
        _require_buckets(bidirectional, num_buckets, max_distance)
        self.bidirectional, self.num_buckets, self.max_distance = bidirectional, num_buckets, max_distance
        self.table = nn.Embedding(num_buckets, sizes.num_heads)

    def bias(self, q_len: int, k_len: int) -> Tensor:
        keys = torch.arange(k_len, device=self.table.weight.device)
        distances = keys - keys[k_len - q_len :, None]
        buckets = relative_buckets(distances, self.bidirectional, self.num_buckets, self.max_distance)
        return self.table(buckets).permute(2, 0, 1)[None]


def count_positions(padding_mask: Bool[Tensor, "batch 1 1 seq"]) -> Int[Tensor, "batch seq"]:
    """Number the real tokens of each sequence from 0; padding, on whichever side, does not count.

    Shapes: padding_mask (batch, 1, 1, seq), True = real; returns (batch, seq).

    >>> count_positions(torch.tensor([[[[False, False, True, True]]]]))
    tensor([[0, 0, 0, 1]])
    """
    return (padding_mask[:, 0, 0].cumsum(-1) - 1).clamp(min=0)


def sinusoids(positions: Int[Tensor, "*shape"], d_model: int) -> Float[Tensor, "*shape {d_model}"]:
    """Give each position its waves: sines in the even features, cosines in the odd (Vaswani et al. 2017, section 3.5).

    Shapes: positions (...); returns (..., d_model), float32.
    Raises ValueError if d_model is odd.

    >>> sinusoids(torch.tensor([0]), 4)
    tensor([[0., 1., 0., 1.]])
    """
    _require_even("d_model", d_model)
    angles = _angles(positions, d_model, 10_000.0)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


def rotation(
    positions: Int[Tensor, "batch seq"], head_dim: int, base: float = 10_000.0
) -> tuple[Float[Tensor, "batch 1 seq {head_dim}"], Float[Tensor, "batch 1 seq {head_dim}"]]:
    """Give the cosines and sines for `rotate`: feature pair i of position p turns by p · base^(-2i/head_dim).

    Shapes: positions (batch, seq); returns two of (batch, 1, seq, head_dim), float32 (Su et al. 2021, section 3.2.2).
    Raises ValueError if head_dim is odd.

    >>> cos, sin = rotation(torch.tensor([[0, 1]]), head_dim=2)
    >>> cos[0, 0]
    tensor([[1.0000, 1.0000],
            [0.5403, 0.5403]])
    """
    _require_even("head_dim", head_dim)
    angles = _angles(positions, head_dim, base)[:, None].repeat(1, 1, 1, 2)
    return angles.cos(), angles.sin()


def rotate(
    x: Float[Tensor, "batch heads seq head_dim"], cos: Float[Tensor, "..."], sin: Float[Tensor, "..."]
) -> Float[Tensor, "batch heads seq head_dim"]:
    """Turn each pair of features (i, i + head_dim/2) by its angle (Su et al. 2021, section 3.4.2).

    The paper and LLaMA's own code pair neighbours (2i, 2i + 1); GPT-NeoX and the transformers library pair the
    halves. The one is the other with the features in another order, so scores are the same.
    Shapes: x (batch, heads, seq, head_dim), cos and sin as `rotation` gives them; returns x's shape and dtype.

    >>> x = torch.tensor([[[[1.0, 0.0]]]])
    >>> rotate(x, *rotation(torch.tensor([[1]]), head_dim=2))
    tensor([[[[0.5403, 0.8415]]]])
    """
    left, right = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat((-right, left), dim=-1) * sin.to(x.dtype)


def rope(
    x: Float[Tensor, "batch heads seq head_dim"], positions: Int[Tensor, " seq"], base: float = 10_000.0
) -> Float[Tensor, "batch heads seq head_dim"]:
    """Turn queries or keys by their positions (rotary position embedding, Su et al. 2021, section 3.4.2).

    Shapes: x (batch, heads, seq, head_dim), positions (seq,); returns x's shape and dtype.
    Raises ValueError if head_dim is odd.

    >>> q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))
    >>> near = rope(q, torch.tensor([2])) @ rope(k, torch.tensor([0])).mT
    >>> far = rope(q, torch.tensor([9])) @ rope(k, torch.tensor([7])).mT
    >>> torch.allclose(near, far, atol=1e-6)  # only the distance counts
    True
    """
    return rotate(x, *rotation(positions[None], x.shape[-1], base))


def relative_buckets(
    distances: Int[Tensor, "*shape"], bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Int[Tensor, "*shape"]:
    """Give each distance (key position - query position) its bucket (Raffel et al. 2020, section 2.1).

    Half of the buckets hold one short distance each, the others ever wider ranges up to max_distance, and all beyond
    it. If bidirectional, each side has half of them; if not, whatever lies ahead counts as distance 0.
    Shapes: distances (...), whole numbers; returns (...), each in 0..num_buckets - 1.
    Raises ValueError if there are too few buckets, or max_distance lies within those of one distance each.

    >>> relative_buckets(torch.tensor([0, -1, -2, 1, 2, -500]))
    tensor([ 0,  1,  2, 17, 18, 15])
    """
    _require_buckets(bidirectional, num_buckets, max_distance)
    ahead = torch.zeros_like(distances)
    if bidirectional:
        num_buckets //= 2
        ahead = (distances > 0).long() * num_buckets
        far = distances.abs()
    else:
        far = (-distances).clamp(min=0)
    exact = num_buckets // 2
    growth = (far.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)
    wide = (exact + (growth * (num_buckets - exact)).long()).clamp(max=num_buckets - 1)
    return ahead + torch.where(far < exact, far, wide)


def _require_buckets(bidirectional: bool, num_buckets: int, max_distance: int) -> None:
    if num_buckets < (4 if bidirectional else 2):
        raise ValueError(f"num_buckets must be at least 2 for each direction, got {num_buckets}")
    exact = num_buckets // (4 if bidirectional else 2)
    if max_distance <= exact:
        raise ValueError(f"max_distance must be more than {exact}, which have a bucket each, got {max_distance}")


def _angles(positions: Tensor, features: int, base: float) -> Tensor:
    pairs = torch.arange(0, features, 2, device=positions.device, dtype=torch.float32)
    speeds = base ** (-pairs / features)
    return positions[..., None] * speeds


def _require_even(name: str, value: int) -> None:
    if value % 2:
        raise ValueError(f"{name} must be even, got {value}")
