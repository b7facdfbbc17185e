"""ModernBERT (Warner et al. 2024): our encoder with rotary positions, GeGLU, and two kinds of layers in turn.

Every third layer reads the whole text, the others what is near; each kind turns its queries and keys at its own pace.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.blocks import GatedFeedForward, Stack
from course_lib.config import Sizes
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.errors import CourseError
from course_lib.heads import MaskedLM
from course_lib.positions import Positions, RotaryPositions
from course_lib.zoo.checkpoint import Checkpoint, activation

__all__ = ["CONFIGS", "ModernBert", "ModernBertConfig", "ModernBertForMaskedLM", "create_local_mask", "from_checkpoint"]


_NORM = partial(nn.LayerNorm, eps=1e-5, bias=False)
_GEGLU = partial(GatedFeedForward, activation=F.gelu)
_FAR = partial(RotaryPositions, base=160_000.0)


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig(EncoderConfig):
    """An encoder as ModernBERT has it (Warner et al. 2024, section 2.1); `position` is of the layers that read all.

    >>> ModernBertConfig(vocab_size=100, d_model=12, num_layers=4, num_heads=3, d_ff=16).reads_all(3)
    True
    """

    bias: bool = False
    max_len: int = 8192
    norm: Callable[[int], nn.Module] = _NORM
    feed_forward: Callable[[int, int, bool], nn.Module] = _GEGLU
    position: Callable[[Sizes], Positions] = _FAR
    local_position: Callable[[Sizes], Positions] = RotaryPositions
    window: int = 128  # what the other layers read: so many tokens, half of them on each side
    every: int = 3  # the first layer reads all, and then each so many-th

    def reads_all(self, layer: int) -> bool:
        """Say whether a layer, counted from 0, reads the whole text."""
        return layer % self.every == 0


class AlternatingStack(Stack):
    """Blocks of which most read their neighbourhood alone; the first one's input is normalised already.

    >>> config = ModernBertConfig(vocab_size=9, d_model=12, num_layers=4, num_heads=3, d_ff=16)
    >>> AlternatingStack(config)(torch.zeros(1, 5, 12)).shape
    torch.Size([1, 5, 12])
    """

    def __init__(self, config: ModernBertConfig):
        super().__init__(config)
        self.config = config
        self.local_position = config.local_position(config)
        self.norm_in = config.norm(config.d_model)
        self.blocks[0].self_attention.norm = nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Shapes: as in `Stack.forward`."""
        seq = x.shape[1]
        if positions is None:
            positions = torch.arange(seq, device=x.device)[None]
        near = create_local_mask(seq, self.config.window, x.device)
        everywhere = mask, self.position.rotation(positions)
        nearby = near if mask is None else mask & near, self.local_position.rotation(positions)
        x = self.dropout(self.norm_in(x))
        for layer, block in enumerate(self.blocks):
            x = block(x, *(everywhere if self.config.reads_all(layer) else nearby))
        return self.norm_out(x)


class ModernBert(Encoder):
    """The encoder with such a stack.

    >>> config = ModernBertConfig(vocab_size=100, d_model=12, num_layers=4, num_heads=3, d_ff=16)
    >>> ModernBert(config)(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 12])
    """

    def __init__(self, config: ModernBertConfig, generator: torch.Generator | None = None):
        super().__init__(config, generator, stack=AlternatingStack)


class ModernBertForMaskedLM(MaskedLM):
    """The masked-LM head, whose first layer has no bias here.

    >>> config = ModernBertConfig(vocab_size=100, d_model=12, num_layers=4, num_heads=3, d_ff=16)
    >>> ModernBertForMaskedLM(ModernBert(config))(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 100])
    """

    def __init__(self, encoder: ModernBert, generator: torch.Generator | None = None):
        super().__init__(encoder, generator)
        self.transform[0].register_parameter("bias", None)


def create_local_mask(seq_len: int, window: int, device: torch.device | str | None = None) -> Tensor:
    """Let each token attend to those at most window / 2 places away, on both sides (Beltagy et al. 2020, section 3.1).

    Shapes: returns (1, 1, seq_len, seq_len), boolean.

    >>> create_local_mask(4, window=2).int()
    tensor([[[[1, 1, 0, 0],
              [1, 1, 1, 0],
              [0, 1, 1, 1],
              [0, 0, 1, 1]]]], dtype=torch.int32)
    """
    places = torch.arange(seq_len, device=device)
    return ((places - places[:, None]).abs() <= window // 2)[None, None]


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, with its head if it has one, and its tensors under our names."""
    for setting in ("attention_bias", "mlp_bias", "norm_bias", "classifier_bias"):
        checkpoint.require(setting, False, missing=False)
    num_layers = checkpoint.size("num_hidden_layers")
    every = _every(checkpoint, num_layers)
    norm = partial(nn.LayerNorm, eps=checkpoint.epsilon("norm_eps"), bias=False)
    config = ModernBertConfig(
        vocab_size=checkpoint.size("vocab_size"),
        d_model=checkpoint.size("hidden_size"),
        num_layers=num_layers,
        num_heads=checkpoint.size("num_attention_heads"),
        d_ff=checkpoint.size("intermediate_size"),
        max_len=checkpoint.size("max_position_embeddings", most=2**31 - 1),
        norm=norm,
        feed_forward=activation(checkpoint.word("hidden_activation"), gated=True),
        position=partial(RotaryPositions, base=checkpoint.rope_base("global_rope_theta", "full_attention")),
        local_position=partial(RotaryPositions, base=checkpoint.rope_base("local_rope_theta", "sliding_attention")),
        window=checkpoint.size("local_attention", most=2**31 - 1),
        every=every,
    )
    checkpoint.drop_prefix("model.")
    checkpoint.ignore_copy("decoder.weight", "embeddings.tok_embeddings.weight")
    ours = checkpoint.translate(_names(config))
    if not checkpoint.has("head.dense.weight"):
        return ModernBert(config), ours
    checkpoint.require("classifier_activation", "gelu", missing="gelu")  # what `MaskedLM` transforms with
    checkpoint.require("decoder_bias", True, missing=True)
    ours = {f"encoder.{name}": tensor for name, tensor in ours.items()}
    return ModernBertForMaskedLM(ModernBert(config)), ours | checkpoint.translate(_HEAD)


def _every(checkpoint: Checkpoint, num_layers: int) -> int:
    """How many layers apart those are that read all: files of old give the number, those of today a list of kinds."""
    kinds = checkpoint.settings.get("layer_types")
    if kinds is None:
        return checkpoint.size("global_attn_every_n_layers", most=2**31 - 1)
    every = next((n for n in range(1, num_layers) if kinds[n : n + 1] == ["full_attention"]), num_layers)
    expected = ["sliding_attention" if layer % every else "full_attention" for layer in range(num_layers)]
    if kinds != expected:
        raise CourseError("layer_types of this checkpoint are not one layer that reads all in every so many.")
    return every


def _names(config: ModernBertConfig) -> dict[str, str | tuple[str, ...]]:
    names: dict[str, str | tuple[str, ...]] = {
        "embedding.weight": "embeddings.tok_embeddings.weight",
        "stack.norm_in": "embeddings.norm",
        "stack.norm_out": "final_norm",
    }
    for i in range(config.num_layers):
        ours, theirs = f"stack.blocks.{i}", f"layers.{i}"
        names |= {f"{ours}.self_attention.norm": f"{theirs}.attn_norm"} if i else {}
        names |= {
            f"{ours}.self_attention.layer.W_qkv": f"{theirs}.attn.Wqkv",
            f"{ours}.self_attention.layer.W_o": f"{theirs}.attn.Wo",
            f"{ours}.feed_forward.norm": f"{theirs}.mlp_norm",
            f"{ours}.feed_forward.layer.W_in": f"{theirs}.mlp.Wi",
            f"{ours}.feed_forward.layer.W_out": f"{theirs}.mlp.Wo",
        }
    return names


_HEAD = {"transform.0": "head.dense", "transform.2": "head.norm", "bias": "decoder.bias"}
CONFIGS = {
    "modernbert-base": ModernBertConfig(vocab_size=50368, d_model=768, num_layers=22, num_heads=12, d_ff=1152),
    "modernbert-large": ModernBertConfig(vocab_size=50368, d_model=1024, num_layers=28, num_heads=16, d_ff=2624),
}
