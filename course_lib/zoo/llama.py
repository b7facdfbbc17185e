"""LLaMA (Touvron et al. 2023) and Mistral (Jiang et al. 2023): our decoder with RMS norms, rotary positions and SwiGLU.

The larger ones have fewer heads of keys and values than of queries.
"""

from functools import partial

from torch import Tensor, nn

from course_lib.blocks import GatedFeedForward
from course_lib.config import head_size
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.masks import create_causal_mask, create_sliding_window_mask
from course_lib.positions import RotaryPositions
from course_lib.zoo.checkpoint import Checkpoint, activation

__all__ = ["CONFIGS", "from_checkpoint"]

_config = partial(
    DecoderConfig,
    bias=False,
    tied=False,
    norm=partial(nn.RMSNorm, eps=1e-5),
    position=RotaryPositions,
    feed_forward=GatedFeedForward,
)


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, and its tensors under our names.

    Mistral's window, where its settings give one, is a mask; that is all it has beyond LLaMA.
    """
    checkpoint.require("attention_bias", False, missing=False)
    checkpoint.require("mlp_bias", False, missing=False)
    windowed = checkpoint.settings.get("sliding_window") is not None
    window = checkpoint.size("sliding_window", most=2**31 - 1) if windowed else 0
    checkpoint.drop_prefix("model.")
    if checkpoint.flag("tie_word_embeddings", missing=False):
        checkpoint.ignore_copy("lm_head.weight", "embed_tokens.weight")
    num_heads = checkpoint.size("num_attention_heads")
    d_model = checkpoint.size("hidden_size")
    config = _config(
        vocab_size=checkpoint.size("vocab_size"),
        d_model=d_model,
        num_layers=checkpoint.size("num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=checkpoint.size("num_key_value_heads", missing=num_heads),
        head_dim=checkpoint.size("head_dim", missing=max(d_model // num_heads, 1)),
        d_ff=checkpoint.size("intermediate_size"),
        max_len=checkpoint.size("max_position_embeddings", most=2**31 - 1),
        norm=partial(nn.RMSNorm, eps=checkpoint.epsilon("rms_norm_eps")),
        position=partial(RotaryPositions, base=checkpoint.rope_base("rope_theta")),
        feed_forward=activation(checkpoint.word("hidden_act"), gated=True),
        tied=not checkpoint.has("lm_head.weight"),
        mask=partial(create_sliding_window_mask, window=window) if window else create_causal_mask,
    )
    each = head_size(d_model, num_heads, config.head_dim)
    rows = num_heads * each, config.num_kv_heads * each, config.num_kv_heads * each
    return Decoder(config), checkpoint.translate(_names(config), rows={"W_qkv": rows})


def _names(config: DecoderConfig) -> dict[str, str | tuple[str, ...]]:
    names: dict[str, str | tuple[str, ...]] = {"embedding.weight": "embed_tokens.weight", "stack.norm_out": "norm"}
    if not config.tied:
        names["head.weight"] = "lm_head.weight"
    for i in range(config.num_layers):
        ours, theirs = f"stack.blocks.{i}", f"layers.{i}"
        names |= {
            f"{ours}.self_attention.norm": f"{theirs}.input_layernorm",
            f"{ours}.self_attention.layer.W_qkv": tuple(f"{theirs}.self_attn.{x}_proj" for x in "qkv"),
            f"{ours}.self_attention.layer.W_o": f"{theirs}.self_attn.o_proj",
            f"{ours}.feed_forward.norm": f"{theirs}.post_attention_layernorm",
            f"{ours}.feed_forward.layer.W_in": (f"{theirs}.mlp.gate_proj", f"{theirs}.mlp.up_proj"),
            f"{ours}.feed_forward.layer.W_out": f"{theirs}.mlp.down_proj",
        }
    return names


_llama2 = partial(_config, vocab_size=32000, max_len=4096)
CONFIGS = {
    "llama-2-7b": _llama2(d_model=4096, num_layers=32, num_heads=32, d_ff=11008),
    "llama-2-13b": _llama2(d_model=5120, num_layers=40, num_heads=40, d_ff=13824),
    "llama-2-70b": _llama2(d_model=8192, num_layers=80, num_heads=64, num_kv_heads=8, d_ff=28672),
    "llama-3-8b": _config(
        vocab_size=128256, d_model=4096, num_layers=32, num_heads=32, num_kv_heads=8, d_ff=14336, max_len=8192,
        position=partial(RotaryPositions, base=500_000.0),
    ),
    "mistral-7b": _config(
        vocab_size=32000, d_model=4096, num_layers=32, num_heads=32, num_kv_heads=8, d_ff=14336, max_len=32768,
        mask=partial(create_sliding_window_mask, window=4096),
    ),
}  # fmt: skip
