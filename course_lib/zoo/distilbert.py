"""DistilBERT (Sanh et al. 2019): our encoder with BERT's blocks, half as many, without token types or a pooler."""

from functools import partial

from torch import Tensor, nn

from course_lib.blocks import PostNorm
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.heads import MaskedLM
from course_lib.zoo.checkpoint import Checkpoint, activation

__all__ = ["CONFIGS", "from_checkpoint"]

_config = partial(EncoderConfig, residual=PostNorm, norm=partial(nn.LayerNorm, eps=1e-12))


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, with its head if it has one, and its tensors under our names."""
    config = _config(
        vocab_size=checkpoint.size("vocab_size"),
        d_model=checkpoint.size("dim"),
        num_layers=checkpoint.size("n_layers"),
        num_heads=checkpoint.size("n_heads"),
        d_ff=checkpoint.size("hidden_dim"),
        max_len=checkpoint.size("max_position_embeddings"),
        feed_forward=activation(checkpoint.word("activation"), gated=False),
    )
    checkpoint.drop_prefix("distilbert.")
    checkpoint.ignore_copy("vocab_projector.weight", "embeddings.word_embeddings.weight")
    ours = checkpoint.translate(_names(config))
    if not checkpoint.has("vocab_projector.bias"):
        return Encoder(config), ours
    checkpoint.require("activation", "gelu", missing=None)  # what `MaskedLM` transforms with
    ours = {f"encoder.{name}": tensor for name, tensor in ours.items()}
    return MaskedLM(Encoder(config)), ours | checkpoint.translate(_HEAD)


def _names(config: EncoderConfig) -> dict[str, str | tuple[str, ...]]:
    names: dict[str, str | tuple[str, ...]] = {
        "embedding.weight": "embeddings.word_embeddings.weight",
        "stack.position.table.weight": "embeddings.position_embeddings.weight",
        "stack.norm_in": "embeddings.LayerNorm",
    }
    for i in range(config.num_layers):
        ours, theirs = f"stack.blocks.{i}", f"transformer.layer.{i}"
        names |= {
            f"{ours}.self_attention.layer.W_qkv": tuple(f"{theirs}.attention.{x}_lin" for x in "qkv"),
            f"{ours}.self_attention.layer.W_o": f"{theirs}.attention.out_lin",
            f"{ours}.self_attention.norm": f"{theirs}.sa_layer_norm",
            f"{ours}.feed_forward.layer.W_in": f"{theirs}.ffn.lin1",
            f"{ours}.feed_forward.layer.W_out": f"{theirs}.ffn.lin2",
            f"{ours}.feed_forward.norm": f"{theirs}.output_layer_norm",
        }
    return names


_HEAD = {"transform.0": "vocab_transform", "transform.2": "vocab_layer_norm", "bias": "vocab_projector.bias"}
CONFIGS = {
    "distilbert-base-uncased": _config(vocab_size=30522, d_model=768, num_layers=6, num_heads=12, d_ff=3072),
}
