"""DeBERTa (He et al. 2021; second and third version: He et al. 2023): attention that keeps content and distance apart.

Nothing is added to the embeddings; each layer looks up distances. Of the published models we have the encoder and a
plain masked-LM head, not the decoder between them that knows absolute positions (He et al. 2021, section 3.2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from reprlib import repr as shorten
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.attention import attention, merge_heads, split_heads
from course_lib.blocks import Block, PostNorm, Residual, Stack, initialise
from course_lib.config import Sizes, head_size, require_size
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.errors import CourseError
from course_lib.heads import MaskedLM
from course_lib.positions import Positions
from course_lib.zoo.checkpoint import Checkpoint, activation

__all__ = [
    "CONFIGS",
    "Deberta",
    "DebertaConfig",
    "DisentangledAttention",
    "DisentangledBlock",
    "OwnProjections",
    "clip_distances",
    "from_checkpoint",
    "log_buckets",
]

_NORM = partial(nn.LayerNorm, eps=1e-7)


def clip_distances(distances: Tensor, span: int) -> Tensor:
    """Give each distance (query position - key position) its row of 2 · span (He et al. 2021, equation 3).

    Whatever is `span` or more apart counts as the last distance on its side.
    Shapes: distances (...), whole numbers; returns (...), each in 0..2 · span - 1.

    >>> clip_distances(torch.tensor([-9, -3, -1, 0, 1, 2, 9]), span=3)
    tensor([0, 0, 2, 3, 4, 5, 5])
    """
    return distances.clamp(-span, span - 1) + span


def log_buckets(distances: Tensor, span: int, max_distance: int) -> Tensor:
    """Give each distance its row of 2 · span, where far ones share a row with ever more others.

    On each side, distances up to span // 2 have a row each, those up to max_distance - 1 share ever wider ones, and all
    beyond have the last there is (the published code of the second version, kept by He et al. 2023).
    Shapes: as in `clip_distances`.
    Raises ValueError if span is below 2, or max_distance - 1 lies within those of a row each.

    >>> log_buckets(torch.tensor([-99, -29, -4, 0, 4, 5, 7, 8, 29, 99]), span=8, max_distance=30)
    tensor([ 0,  1,  4,  8, 12, 13, 13, 14, 15, 15])
    """
    near = span // 2
    if near < 1:
        raise ValueError(f"span must be at least 2, got {span}")
    if max_distance - 1 <= near:
        raise ValueError(f"max_distance must be more than {near + 1} with a span of {span}, got {max_distance}")
    far = distances.abs().clamp(min=near).float()
    last = torch.full_like(far, max_distance - 1)  # a tensor, so that the same logarithm is taken and `last` gives 1
    growth = (far / near).log() / (last / near).log()
    wide = near + (growth * (near - 1)).ceil().long()
    return clip_distances(torch.where(distances.abs() <= near, distances, distances.sign() * wide), span)


class DisentangledAttention(nn.Module):
    """Self-attention whose scores have three parts (He et al. 2021, section 3.1, equation 4).

    Content to content: what a query asks and a key offers. Content to position: how much a query wants a key at this
    distance. Position to content: how much a key wants to be read from this distance. Here distances go through the
    matrices of the content, as in the second and third version (He et al. 2021, section 5.3).

    For the last part the paper takes the distance the other way round, from the key; its code, and with it all
    published weights, take the same for both, as we do. `attention` and errors as in `MultiHeadAttention`.

    >>> layer = DisentangledAttention(d_model=12, num_heads=3)
    >>> layer(torch.zeros(2, 5, 12), None, torch.zeros(9, 12)).shape
    torch.Size([2, 5, 12])
    """

    def __init__(self, d_model: int, num_heads: int, head_dim: int | None = None, bias: bool = True):
        super().__init__()
        self.attention = attention
        self.num_heads, self.head_dim = num_heads, head_size(d_model, num_heads, head_dim)
        width = num_heads * self.head_dim
        self.W_q, self.W_k, self.W_v = (nn.Linear(d_model, width, bias=bias) for _ in range(3))
        self.W_o = nn.Linear(width, d_model, bias=bias)

    def project(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Give the queries and the keys of distances.

        Shapes: distances (1, 2 · seq - 1, d_model); returns two of (1, 2 · seq - 1, num_heads · head_dim).
        """
        return self.W_q(distances), self.W_k(distances)

    def forward(self, x: Tensor, mask: Tensor | None, distances: Tensor) -> Tensor:
        """Let the tokens of x read one another; one that may attend to nothing gives W_o of zeros.

        distances: a vector for each distance a query can have from a key, from 1 - seq to seq - 1.
        Shapes: x (batch, seq, d_model), mask broadcasts to (batch, num_heads, seq, seq), True = may attend, distances
        (2 · seq - 1, d_model); returns (batch, seq, d_model).
        """
        q, k, v = (split_heads(W(x), self.num_heads) for W in (self.W_q, self.W_k, self.W_v))
        q_r, k_r = (split_heads(r, self.num_heads) for r in self.project(distances[None]))
        place = torch.arange(x.shape[1], device=x.device)
        row = place[:, None] - place + x.shape[1] - 1  # for query i and key j, which of the distances is theirs
        row = row.expand(*q.shape[:2], -1, -1)
        content_to_position = (q @ k_r.mT).gather(-1, row)  # (batch, heads, seq, distance) -> (batch, heads, seq, seq)
        position_to_content = (q_r @ k.mT).gather(-2, row)  # (batch, heads, distance, seq) -> the same
        # All three parts over √(3 · head_dim), of which √head_dim is already in the attention to content.
        bias = (content_to_position + position_to_content) / (3 * self.head_dim) ** 0.5
        return self.W_o(merge_heads(self.attention(q / 3**0.5, k, v, mask, bias, fused=True)))


class OwnProjections(DisentangledAttention):
    """The same, with matrices of their own for distances, as the paper writes it, and no bias in any keys.

    >>> layer = OwnProjections(d_model=12, num_heads=3)
    >>> layer(torch.zeros(2, 5, 12), None, torch.zeros(9, 12)).shape
    torch.Size([2, 5, 12])
    """

    def __init__(self, d_model: int, num_heads: int, head_dim: int | None = None, bias: bool = True):
        super().__init__(d_model, num_heads, head_dim, bias)
        width = num_heads * self.head_dim
        self.W_qr = nn.Linear(d_model, width, bias=bias)
        self.W_k, self.W_kr = (nn.Linear(d_model, width, bias=False) for _ in range(2))

    def project(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes: as in `DisentangledAttention`."""
        return self.W_qr(distances), self.W_kr(distances)


@dataclass(frozen=True, kw_only=True)
class DebertaConfig(EncoderConfig):
    """An encoder as the first DeBERTa has it.

    Raises ValueError if keys and values have fewer heads than queries, if span is below 1 or the buckets cannot be so
    many; TypeError if span is no whole number; and as `Sizes`.

    >>> DebertaConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48).span
    512
    """

    residual: Callable[[nn.Module, nn.Module, float], Residual] = PostNorm
    norm: Callable[[int], nn.Module] = _NORM
    position: Callable[[Sizes], Positions] = Positions  # nothing is added to the embeddings
    attention: Callable[[int, int, int | None, bool], nn.Module] = OwnProjections
    span: int = 512  # so many rows has the table of distances on each side
    bucket: Callable[[Tensor, int], Tensor] = clip_distances  # which row a distance has
    distance_norm: Callable[[int], nn.Module] = nn.Identity  # over these rows

    def __post_init__(self):
        super().__post_init__()
        require_size("span", self.span)
        if self.num_kv_heads not in (None, self.num_heads):
            raise ValueError(f"num_kv_heads must be num_heads in DeBERTa, got {self.num_kv_heads} and {self.num_heads}")
        self.bucket(torch.tensor([0]), self.span)  # what it cannot do, it says now


class DisentangledBlock(nn.Module):
    """The block of an encoder with disentangled attention; the vectors of distances are given to each.

    >>> config = DebertaConfig(vocab_size=9, d_model=6, num_layers=1, num_heads=2, d_ff=24)
    >>> DisentangledBlock(config)(torch.zeros(1, 5, 6), distances=torch.zeros(9, 6)).shape
    torch.Size([1, 5, 6])
    """

    def __init__(self, config: DebertaConfig):
        super().__init__()
        layer = config.attention(config.d_model, config.num_heads, config.head_dim, config.bias)
        self.self_attention = Block.with_residual(layer, config)
        self.feed_forward = Block.with_residual(config.feed_forward(config.d_model, config.d_ff, config.bias), config)

    def forward(self, x: Tensor, mask=None, rotation=None, bias=None, cache=None, distances=None) -> Tensor:
        """Shapes: x (batch, seq, d_model); returns the same. The rest as in `DisentangledAttention`.

        Raises ValueError if positions are told in another way too, or if there is a cache.
        """
        if any(other is not None for other in (rotation, bias, cache)):
            raise ValueError("disentangled attention tells distances by itself, without a rotation, a bias or a cache")
        return self.feed_forward(self.self_attention(x, mask, distances))


class Deberta(Encoder):
    """The encoder with what DeBERTa adds: one table of distances, which all layers read.

    >>> deberta = Deberta(DebertaConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> deberta(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 12])
    """

    def __init__(self, config: DebertaConfig, generator: torch.Generator | None = None):
        super().__init__(config, generator, stack=partial(Stack, block=DisentangledBlock))
        self.distances = nn.Embedding(2 * config.span, config.d_model)
        self.distance_norm = config.distance_norm(config.d_model)
        initialise(self.distances, generator)

    def forward(self, ids: Tensor, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Give the hidden states. Distances are counted between places in the sequence, whatever positions are given.

        Shapes: as in `Encoder.forward`.
        """
        positions = self._positions(ids, mask, positions)
        seq = ids.shape[1]
        rows = self.config.bucket(torch.arange(1 - seq, seq, device=ids.device), self.config.span)
        distances = self.stack.dropout(self.distance_norm(self.distances(rows)))
        return self.stack(self.embedding(ids), mask, positions, more=[(distances,)] * self.config.num_layers)


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, and its tensors under our names.

    What it is follows from its tensors: a bare encoder, or one with a masked-LM head. What published files hold beyond
    that is left out: absolute positions, and the head that found replaced tokens in the training of the third version.
    """
    config = _config(checkpoint)
    checkpoint.drop_prefix("deberta.")
    checkpoint.ignore("embeddings.position_ids", "embeddings.position_embeddings.weight")
    for part in ("dense", "LayerNorm", "classifier"):
        checkpoint.ignore(f"mask_predictions.{part}.weight", f"mask_predictions.{part}.bias")
    checkpoint.ignore_copy("cls.predictions.decoder.weight", "embeddings.word_embeddings.weight")
    checkpoint.ignore_copy("cls.predictions.decoder.bias", "cls.predictions.bias")
    ours = checkpoint.translate(_names(config))
    if config.attention is OwnProjections:
        for i in range(config.num_layers):
            layer = f"stack.blocks.{i}.self_attention.layer"
            # Stored head by head: queries, keys and values of the first, then those of the second.
            parts = ours.pop(f"{layer}.W_qkv.weight").split(config.d_model // config.num_heads)
            for place, x in enumerate("qkv"):
                ours[f"{layer}.W_{x}.weight"] = torch.cat(parts[place::3])
    model: nn.Module = Deberta(config)
    head = next((head for head in _HEADS if checkpoint.has(f"{head}.bias")), None)
    if head is not None:
        checkpoint.require("hidden_act", "gelu", missing=None)  # what `MaskedLM` transforms with
        model = MaskedLM(model)
        ours = {f"encoder.{name}": tensor for name, tensor in ours.items()}
        ours |= checkpoint.translate({mine: f"{head}.{theirs}" for mine, theirs in _HEADS[head].items()})
    return model, ours


def _config(checkpoint: Checkpoint) -> DebertaConfig:
    d_model, num_heads = checkpoint.size("hidden_size"), checkpoint.size("num_attention_heads")
    for setting, needed, missing in (
        ("relative_attention", True, False),
        ("position_biased_input", False, True),
        ("type_vocab_size", 0, 0),
        ("embedding_size", d_model, d_model),
        ("attention_head_size", d_model // num_heads, d_model // num_heads),
        ("talking_head", False, False),
        ("conv_kernel_size", 0, 0),
    ):
        checkpoint.require(setting, needed, missing)
    kinds = checkpoint.settings["pos_att_type"]
    kinds = kinds.split("|") if isinstance(kinds, str) else kinds
    if kinds not in (["c2p", "p2c"], ["p2c", "c2p"]):
        raise CourseError(f"pos_att_type of this checkpoint is {shorten(kinds)}; the course can load 'c2p|p2c' only.")
    norm = partial(nn.LayerNorm, eps=checkpoint.epsilon("layer_norm_eps"))
    max_distance = checkpoint.size("max_position_embeddings", most=2**31 - 1)
    if checkpoint.settings.get("max_relative_positions", -1) != -1:  # which says that it is the same
        max_distance = checkpoint.size("max_relative_positions", most=2**31 - 1)
    parts: dict[str, Any] = {"span": max_distance}
    if checkpoint.family == "deberta-v2":
        checkpoint.require("share_att_key", True, missing=False)
        checkpoint.require("norm_rel_ebd", "layer_norm", missing="none")
        parts = {
            "attention": DisentangledAttention,
            "span": checkpoint.size("position_buckets"),
            "bucket": partial(log_buckets, max_distance=max_distance),
            "distance_norm": norm,
        }
    return DebertaConfig(
        vocab_size=checkpoint.size("vocab_size"),
        d_model=d_model,
        num_layers=checkpoint.size("num_hidden_layers"),
        num_heads=num_heads,
        d_ff=checkpoint.size("intermediate_size"),
        norm=norm,
        feed_forward=activation(checkpoint.word("hidden_act"), gated=False),
        **parts,
    )


def _names(config: DebertaConfig) -> dict[str, str | tuple[str, ...]]:
    names: dict[str, str | tuple[str, ...]] = {
        "embedding.weight": "embeddings.word_embeddings.weight",
        "stack.norm_in": "embeddings.LayerNorm",
        "distances.weight": "encoder.rel_embeddings.weight",
    }
    if config.attention is DisentangledAttention:
        names["distance_norm"] = "encoder.LayerNorm"
        attention = {"W_q": "query_proj", "W_k": "key_proj", "W_v": "value_proj"}
    else:
        attention = {"W_qkv.weight": "in_proj.weight", "W_q.bias": "q_bias", "W_v.bias": "v_bias"}
        attention |= {"W_qr": "pos_q_proj", "W_kr": "pos_proj"}
    for i in range(config.num_layers):
        ours, theirs = f"stack.blocks.{i}", f"encoder.layer.{i}"
        for mine, name in attention.items():
            names[f"{ours}.self_attention.layer.{mine}"] = f"{theirs}.attention.self.{name}"
        names |= {
            f"{ours}.self_attention.layer.W_o": f"{theirs}.attention.output.dense",
            f"{ours}.self_attention.norm": f"{theirs}.attention.output.LayerNorm",
            f"{ours}.feed_forward.layer.W_in": f"{theirs}.intermediate.dense",
            f"{ours}.feed_forward.layer.W_out": f"{theirs}.output.dense",
            f"{ours}.feed_forward.norm": f"{theirs}.output.LayerNorm",
        }
    return names


_HEADS = {  # as files have it that transformers wrote, and as its authors have it
    "cls.predictions": {"transform.0": "transform.dense", "transform.2": "transform.LayerNorm", "bias": "bias"},
    "lm_predictions.lm_head": {"transform.0": "dense", "transform.2": "LayerNorm", "bias": "bias"},
}

CONFIGS = {
    "deberta-base": DebertaConfig(vocab_size=50265, d_model=768, num_layers=12, num_heads=12, d_ff=3072),
    "deberta-v3-base": DebertaConfig(
        vocab_size=128100,
        d_model=768,
        num_layers=12,
        num_heads=12,
        d_ff=3072,
        attention=DisentangledAttention,
        span=256,
        bucket=partial(log_buckets, max_distance=512),
        distance_norm=_NORM,
    ),
}
