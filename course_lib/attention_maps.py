"""Looking inside: who attended to whom, in each layer and head, while a model ran."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.attention import CrossAttention, MultiHeadAttention, attention_weights

__all__ = ["attention_maps"]


@torch.no_grad()
def attention_maps(model: nn.Module, *inputs, **named_inputs) -> dict[str, Float[Tensor, "batch heads q_len k_len"]]:
    """Run a model and give the attention weights of each of its layers, by the layer's name in the model.

    The fused kernel never holds the weights, so they are computed once more beside it; the output does not change. What
    such weights do and do not explain: Jain and Wallace 2019; Wiegreffe and Pinter 2019.

    Shapes: each of (batch, heads, q_len, k_len), every row adding up to 1, or to 0 where nothing may be attended to.

    >>> from course_lib.decoder import Decoder, DecoderConfig
    >>> model = Decoder(DecoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> maps = attention_maps(model, torch.tensor([[5, 8, 2]]))
    >>> list(maps), maps["stack.blocks.0.self_attention.layer"].shape
    (['stack.blocks.0.self_attention.layer', 'stack.blocks.1.self_attention.layer'], torch.Size([1, 3, 3, 3]))
    """
    maps: dict[str, Tensor] = {}
    kinds = MultiHeadAttention | CrossAttention
    layers = {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
    own = {name: vars(layer)["attention"] for name, layer in layers.items() if "attention" in vars(layer)}
    try:
        for name, layer in layers.items():
            watched = partial(_attend_and_keep, layer.attention, partial(maps.__setitem__, name))
            vars(layer)["attention"] = watched  # found before the class's own, or a part of that name
        model(*inputs, **named_inputs)
    finally:
        for name, layer in layers.items():
            vars(layer).pop("attention")
            if name in own:
                vars(layer)["attention"] = own[name]
    return maps


def _attend_and_keep(
    attend: Callable[..., Tensor],
    keep: Callable[[Tensor], None],
    q: Float[Tensor, "batch heads q_len head_dim"],
    k: Float[Tensor, "batch kv_heads k_len head_dim"],
    v: Float[Tensor, "batch kv_heads k_len v_dim"],
    mask: Bool[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
    fused: bool = False,
) -> Float[Tensor, "batch heads q_len v_dim"]:
    keep(attention_weights(q, k.repeat_interleave(q.shape[1] // k.shape[1], dim=1), mask, bias))
    return attend(q, k, v, mask, bias, fused)
