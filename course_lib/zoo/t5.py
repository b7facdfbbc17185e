"""T5 (Raffel et al. 2020), Flan-T5 (Chung et al. 2022) and mT5 (Xue et al. 2021): our encoder-decoder with relative
positions, RMS norms and no biases.

T5 does not divide scores by √head_dim, and where its head is tied it divides the logits by √d_model. Both are only
scales, so they go into the weights when they are loaded: into W_q, and into the decoder's last norm.

Flan-T5 and mT5 are of its version 1.1: GeGLU, and a head of its own.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.blocks import FeedForward, GatedFeedForward
from course_lib.positions import RelativePositions
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from course_lib.zoo.checkpoint import Checkpoint, activation

__all__ = ["CONFIGS", "from_checkpoint"]


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, and its tensors under our names."""
    projection = checkpoint.word("feed_forward_proj")
    gated, name = projection.startswith("gated-"), projection.removeprefix("gated-")
    relative = partial(
        RelativePositions,
        num_buckets=checkpoint.size("relative_attention_num_buckets"),
        max_distance=checkpoint.size("relative_attention_max_distance", missing=128, most=2**31 - 1),
    )
    num_layers = checkpoint.size("num_layers")
    if checkpoint.flag("tie_word_embeddings", missing=True):
        checkpoint.ignore_copy("lm_head.weight", "shared.weight")
    config = EncoderDecoderConfig(
        vocab_size=checkpoint.size("vocab_size"),
        d_model=checkpoint.size("d_model"),
        num_layers=num_layers,
        num_decoder_layers=checkpoint.size("num_decoder_layers", missing=num_layers),
        num_heads=checkpoint.size("num_heads"),
        head_dim=checkpoint.size("d_kv"),
        d_ff=checkpoint.size("d_ff"),
        bias=False,
        norm=partial(nn.RMSNorm, eps=checkpoint.epsilon("layer_norm_epsilon")),
        feed_forward=activation("gelu_new" if gated and name == "gelu" else name, gated=gated),
        position=partial(relative, bidirectional=True),
        decoder_position=partial(relative, bidirectional=False),
        tied=not checkpoint.has("lm_head.weight"),  # the tensors decide: some settings say otherwise
    )
    checkpoint.ignore_copy("encoder.embed_tokens.weight", "shared.weight")
    checkpoint.ignore_copy("decoder.embed_tokens.weight", "shared.weight")
    checkpoint.ignore("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight")  # of old, and not used
    tensors = checkpoint.translate(_names(config, gated))
    d_kv = checkpoint.size("d_kv")
    for name in tensors:  # in double precision, so that the weights are rounded once, to the type they will have
        if name.endswith("self_attention.layer.W_qkv.weight"):
            tensors[name] = tensors[name].double()
            tensors[name][: config.num_heads * d_kv] *= d_kv**0.5
        elif name.endswith("cross_attention.layer.W_q.weight"):
            tensors[name] = tensors[name].double() * d_kv**0.5
    # Files of today say whether logits are scaled; those of old had it follow from the head.
    if checkpoint.flag("scale_decoder_outputs", missing=config.tied):
        tensors["decoder.norm_out.weight"] = tensors["decoder.norm_out.weight"].double() / config.d_model**0.5
    return EncoderDecoder(config), tensors


def _names(config: EncoderDecoderConfig, gated: bool) -> dict[str, str | tuple[str, ...]]:
    names: dict[str, str | tuple[str, ...]] = {"embedding.weight": "shared.weight"}
    if not config.tied:
        names["head.weight"] = "lm_head.weight"
    for side, layers in (("encoder", config.num_layers), ("decoder", config.decoder_side.num_layers)):
        names[f"{side}.norm_out"] = f"{side}.final_layer_norm"
        table = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        names[f"{side}.position.table.weight"] = table
        for i in range(layers):
            ours, theirs = f"{side}.blocks.{i}", f"{side}.block.{i}.layer"
            last = 2 if side == "decoder" else 1
            into = tuple(f"{theirs}.{last}.DenseReluDense.{wi}" for wi in (("wi_0", "wi_1") if gated else ("wi",)))
            names |= {
                f"{ours}.self_attention.norm": f"{theirs}.0.layer_norm",
                f"{ours}.self_attention.layer.W_qkv": tuple(f"{theirs}.0.SelfAttention.{x}" for x in "qkv"),
                f"{ours}.self_attention.layer.W_o": f"{theirs}.0.SelfAttention.o",
                f"{ours}.feed_forward.norm": f"{theirs}.{last}.layer_norm",
                f"{ours}.feed_forward.layer.W_in": into,
                f"{ours}.feed_forward.layer.W_out": f"{theirs}.{last}.DenseReluDense.wo",
            }
            if side == "decoder":
                names[f"{ours}.cross_attention.norm"] = f"{theirs}.1.layer_norm"
                names |= {f"{ours}.cross_attention.layer.W_{x}": f"{theirs}.1.EncDecAttention.{x}" for x in "qkvo"}
    return names


_t5 = partial(
    EncoderDecoderConfig,
    vocab_size=32128,
    head_dim=64,
    bias=False,
    norm=partial(nn.RMSNorm, eps=1e-6),
    feed_forward=partial(FeedForward, activation=F.relu),
    position=partial(RelativePositions, bidirectional=True),
    decoder_position=partial(RelativePositions, bidirectional=False),
)
_t5_v1_1 = partial(
    _t5, tied=False, feed_forward=partial(GatedFeedForward, activation=partial(F.gelu, approximate="tanh"))
)
_V1_1 = {
    "small": partial(_t5_v1_1, d_model=512, num_layers=8, num_heads=6, d_ff=1024),
    "base": partial(_t5_v1_1, d_model=768, num_layers=12, num_heads=12, d_ff=2048),
    "large": partial(_t5_v1_1, d_model=1024, num_layers=24, num_heads=16, d_ff=2816),
    "xl": partial(_t5_v1_1, d_model=2048, num_layers=24, num_heads=32, d_ff=5120),
    "xxl": partial(_t5_v1_1, d_model=4096, num_layers=24, num_heads=64, d_ff=10240),
}
CONFIGS = {
    "t5-small": _t5(d_model=512, num_layers=6, num_heads=8, d_ff=2048),
    "t5-base": _t5(d_model=768, num_layers=12, num_heads=12, d_ff=3072),
    "t5-large": _t5(d_model=1024, num_layers=24, num_heads=16, d_ff=4096),
    "t5-3b": _t5(d_model=1024, num_layers=24, num_heads=32, d_ff=16384, head_dim=128),
    "t5-11b": _t5(d_model=1024, num_layers=24, num_heads=128, d_ff=65536, head_dim=128),
}
CONFIGS |= {f"flan-t5-{size}": make() for size, make in _V1_1.items()}
CONFIGS |= {f"mt5-{size}": make(vocab_size=250112) for size, make in _V1_1.items()}
