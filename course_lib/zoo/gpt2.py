"""GPT-2 (Radford et al. 2019) and GPT-3 (Brown et al. 2020): our decoder as it is, with GELU in its tanh form."""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.blocks import FeedForward
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.zoo.checkpoint import Checkpoint, activation

__all__ = ["CONFIGS", "from_checkpoint"]

GELU_TANH = partial(FeedForward, activation=partial(F.gelu, approximate="tanh"))


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, and its tensors under our names."""
    for setting, needed in (
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("add_cross_attention", False),
    ):
        checkpoint.require(setting, needed, missing=needed)
    checkpoint.drop_prefix("transformer.")
    layers = range(checkpoint.size("n_layer"))
    checkpoint.ignore(*(f"h.{i}.attn.{mask}" for i in layers for mask in ("bias", "masked_bias")))
    if checkpoint.flag("tie_word_embeddings", missing=True):
        checkpoint.ignore_copy("lm_head.weight", "wte.weight")
    tied = not checkpoint.has("lm_head.weight")
    d_model = checkpoint.size("n_embd")
    config = DecoderConfig(
        vocab_size=checkpoint.size("vocab_size"),
        d_model=d_model,
        num_layers=len(layers),
        num_heads=checkpoint.size("n_head"),
        d_ff=checkpoint.size("n_inner", missing=4 * d_model),
        max_len=checkpoint.size("n_positions"),
        norm=partial(nn.LayerNorm, eps=checkpoint.epsilon("layer_norm_epsilon")),
        feed_forward=activation(checkpoint.word("activation_function"), gated=False),
        tied=tied,
    )
    names, columns = layer_names(len(layers))
    names |= {
        "embedding.weight": "wte.weight",
        "stack.position.table.weight": "wpe.weight",
        "stack.norm_out": "ln_f",
    }
    if not tied:
        names["head.weight"] = "lm_head.weight"
    return Decoder(config), turned(checkpoint.translate(names), columns)


def layer_names(num_layers: int) -> tuple[dict[str, str | tuple[str, ...]], list[str]]:
    """Give the names of the tensors of all blocks, ours and theirs, and which of ours are stored as columns: (in, out),
    the other way round than in a linear layer of torch."""
    names: dict[str, str | tuple[str, ...]] = {}
    columns = []
    for i in range(num_layers):
        ours, theirs = f"stack.blocks.{i}", f"h.{i}"
        names |= {f"{ours}.self_attention.norm": f"{theirs}.ln_1", f"{ours}.feed_forward.norm": f"{theirs}.ln_2"}
        linear = {
            f"{ours}.self_attention.layer.W_qkv": f"{theirs}.attn.c_attn",
            f"{ours}.self_attention.layer.W_o": f"{theirs}.attn.c_proj",
            f"{ours}.feed_forward.layer.W_in": f"{theirs}.mlp.c_fc",
            f"{ours}.feed_forward.layer.W_out": f"{theirs}.mlp.c_proj",
        }
        names |= linear
        columns += [f"{name}.weight" for name in linear]
    return names, columns


def turned(tensors: dict[str, Tensor], columns: list[str]) -> dict[str, Tensor]:
    """Turn those tensors that are stored as columns."""
    return tensors | {name: tensors[name].transpose(0, -1) for name in columns}


def _gpt(d_model: int, num_layers: int, num_heads: int, max_len: int = 1024) -> DecoderConfig:
    return DecoderConfig(
        vocab_size=50257,
        d_model=d_model,
        num_layers=num_layers,
        num_heads=num_heads,
        d_ff=4 * d_model,
        max_len=max_len,
        feed_forward=GELU_TANH,
    )


CONFIGS = {
    "gpt2": _gpt(768, 12, 12),
    "gpt2-medium": _gpt(1024, 24, 16),
    "gpt2-large": _gpt(1280, 36, 20),
    "gpt2-xl": _gpt(1600, 48, 25),
    "gpt3-175b": _gpt(12288, 96, 96, max_len=2048),  # some of its layers read a window only, which weighs nothing
}
