"""GPT (Radford et al. 2018), the first: our decoder with blocks that normalise last, as BERT's do after it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from course_lib.blocks import PostNorm, Residual
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.zoo.checkpoint import Checkpoint, activation
from course_lib.zoo.gpt2 import GELU_TANH, layer_names, turned

__all__ = ["CONFIGS", "Gpt1", "Gpt1Config", "from_checkpoint"]


@dataclass(frozen=True, kw_only=True)
class Gpt1Config(DecoderConfig):
    """A decoder as GPT has it.

    >>> Gpt1Config(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48).residual is PostNorm
    True
    """

    residual: Callable[[nn.Module, nn.Module, float], Residual] = PostNorm
    feed_forward: Callable[[int, int, bool], nn.Module] = GELU_TANH


class Gpt1(Decoder):
    """The decoder, into whose first block the embeddings go as they are.

    >>> config = Gpt1Config(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48)
    >>> Gpt1(config)(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 100])
    """

    def __init__(self, config: Gpt1Config, generator: torch.Generator | None = None):
        super().__init__(config, generator)
        self.stack.norm_in = nn.Identity()


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, and its tensors under our names."""
    checkpoint.drop_prefix("transformer.")
    checkpoint.ignore_copy("lm_head.weight", "tokens_embed.weight")
    checkpoint.ignore("position_ids", *(f"h.{i}.attn.bias" for i in range(checkpoint.size("n_layer"))))
    d_model = checkpoint.size("n_embd")
    name = checkpoint.word("afn")  # its "gelu" is the tanh form, "swish" another name of silu
    config = Gpt1Config(
        vocab_size=checkpoint.size("vocab_size"),
        d_model=d_model,
        num_layers=checkpoint.size("n_layer"),
        num_heads=checkpoint.size("n_head"),
        d_ff=4 * d_model,
        max_len=checkpoint.size("n_positions"),
        norm=partial(nn.LayerNorm, eps=checkpoint.epsilon("layer_norm_epsilon")),
        feed_forward=activation({"gelu": "gelu_new", "swish": "silu"}.get(name, name), gated=False),
        tied=not checkpoint.has("lm_head.weight"),
    )
    names, columns = layer_names(config.num_layers)
    names |= {"embedding.weight": "tokens_embed.weight", "stack.position.table.weight": "positions_embed.weight"}
    if not config.tied:
        names["head.weight"] = "lm_head.weight"
    return Gpt1(config), turned(checkpoint.translate(names), columns)


CONFIGS = {
    "openai-gpt": Gpt1Config(vocab_size=40478, d_model=768, num_layers=12, num_heads=12, d_ff=3072),
}
