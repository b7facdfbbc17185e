"""BART (Lewis et al. 2020): our encoder-decoder with BERT's blocks and learned positions, a table for each side."""

from functools import partial

from torch import Tensor, nn

from course_lib.blocks import PostNorm
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from course_lib.zoo.checkpoint import Checkpoint, activation
from course_lib.zoo.offset import OffsetPositions

__all__ = ["CONFIGS", "from_checkpoint"]

_config = partial(EncoderDecoderConfig, residual=PostNorm, position=OffsetPositions)


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, and its tensors under our names."""
    checkpoint.require("scale_embedding", False, missing=False)
    num_heads, d_ff = checkpoint.size("encoder_attention_heads"), checkpoint.size("encoder_ffn_dim")
    checkpoint.require("decoder_attention_heads", num_heads, missing=None)
    checkpoint.require("decoder_ffn_dim", d_ff, missing=None)
    checkpoint.drop_prefix("model.")
    if checkpoint.flag("tie_word_embeddings", missing=True):
        checkpoint.ignore_copy("lm_head.weight", "shared.weight")
    for side in ("encoder", "decoder"):
        checkpoint.ignore_copy(f"{side}.embed_tokens.weight", "shared.weight")
    checkpoint.ignore_zeros("final_logits_bias")
    config = _config(
        vocab_size=checkpoint.size("vocab_size"),
        d_model=checkpoint.size("d_model"),
        num_layers=checkpoint.size("encoder_layers"),
        num_decoder_layers=checkpoint.size("decoder_layers"),
        num_heads=num_heads,
        d_ff=d_ff,
        max_len=checkpoint.size("max_position_embeddings"),
        feed_forward=activation(checkpoint.word("activation_function"), gated=False),
        tied=not checkpoint.has("lm_head.weight"),
    )
    return EncoderDecoder(config), checkpoint.translate(_names(config))


def _names(config: EncoderDecoderConfig) -> dict[str, str | tuple[str, ...]]:
    names: dict[str, str | tuple[str, ...]] = {"embedding.weight": "shared.weight"}
    if not config.tied:
        names["head.weight"] = "lm_head.weight"
    for side, layers in (("encoder", config.num_layers), ("decoder", config.decoder_side.num_layers)):
        names[f"{side}.position.table.weight"] = f"{side}.embed_positions.weight"
        names[f"{side}.norm_in"] = f"{side}.layernorm_embedding"
        for i in range(layers):
            ours, theirs = f"{side}.blocks.{i}", f"{side}.layers.{i}"
            names |= {
                f"{ours}.self_attention.layer.W_qkv": tuple(f"{theirs}.self_attn.{x}_proj" for x in "qkv"),
                f"{ours}.self_attention.layer.W_o": f"{theirs}.self_attn.out_proj",
                f"{ours}.self_attention.norm": f"{theirs}.self_attn_layer_norm",
                f"{ours}.feed_forward.layer.W_in": f"{theirs}.fc1",
                f"{ours}.feed_forward.layer.W_out": f"{theirs}.fc2",
                f"{ours}.feed_forward.norm": f"{theirs}.final_layer_norm",
            }
            if side == "decoder":
                names |= {f"{ours}.cross_attention.layer.W_{x}": f"{theirs}.encoder_attn.{x}_proj" for x in "qkv"}
                names[f"{ours}.cross_attention.layer.W_o"] = f"{theirs}.encoder_attn.out_proj"
                names[f"{ours}.cross_attention.norm"] = f"{theirs}.encoder_attn_layer_norm"
    return names


CONFIGS = {
    "bart-base": _config(vocab_size=50265, d_model=768, num_layers=6, num_heads=12, d_ff=3072, max_len=1024),
    "bart-large": _config(vocab_size=50265, d_model=1024, num_layers=12, num_heads=16, d_ff=4096, max_len=1024),
}
