"""BERT (Devlin et al. 2018): our encoder with token types, a pooler, and blocks that normalise last."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.blocks import PostNorm, Residual, initialise
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.heads import MaskedLM
from course_lib.zoo.checkpoint import Checkpoint, activation

__all__ = ["CONFIGS", "Bert", "BertConfig", "BertForPreTraining", "from_checkpoint"]

_NORM = partial(nn.LayerNorm, eps=1e-12)


@dataclass(frozen=True, kw_only=True)
class BertConfig(EncoderConfig):
    """An encoder as BERT has it.

    >>> BertConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48).num_token_types
    2
    """

    residual: Callable[[nn.Module, nn.Module, float], Residual] = PostNorm
    norm: Callable[[int], nn.Module] = _NORM
    num_token_types: int = 2  # the first and the second of two sentences
    pooler: bool = True


class Bert(Encoder):
    """The encoder with what BERT adds: a vector for each token type, and a pooler over the first token.

    >>> bert = Bert(BertConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> bert(torch.tensor([[5, 8, 2]]), token_types=torch.tensor([[0, 0, 1]])).shape
    torch.Size([1, 3, 12])
    """

    def __init__(self, config: BertConfig, generator: torch.Generator | None = None):
        super().__init__(config, generator)
        self.token_types = nn.Embedding(config.num_token_types, config.d_model)
        self.pooler = nn.Linear(config.d_model, config.d_model) if config.pooler else None
        for added in (self.token_types, self.pooler):
            if added is not None:
                initialise(added, generator)

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Give the hidden states; token_types (batch, seq) says which sentence a token belongs to, 0 if not given.

        Shapes: as in `Encoder.forward`.
        """
        positions = self._positions(ids, mask, positions)
        types = torch.zeros_like(ids) if token_types is None else token_types
        return self.stack(self.embedding(ids) + self.token_types(types), mask, positions)

    def pooled(self, hidden: Tensor) -> Tensor:
        """Sum up hidden states in the first token's (Devlin et al. 2018, section 3.1), the input of its heads.

        Shapes: hidden (batch, seq, d_model); returns (batch, d_model).
        Raises ValueError if the model was made without a pooler.
        """
        if self.pooler is None:
            raise ValueError("this BERT has no pooler: its checkpoint came without one, or its config has pooler=False")
        return self.pooler(hidden[:, 0]).tanh()


class BertForPreTraining(MaskedLM):
    """BERT with both heads it was pretrained with: masked tokens, and whether one sentence follows the other.

    >>> bert = Bert(BertConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> BertForPreTraining(bert)(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 100])
    """

    def __init__(self, encoder: Bert, generator: torch.Generator | None = None):
        super().__init__(encoder, generator)
        self.next_sentence = nn.Linear(encoder.config.d_model, 2)
        initialise(self.next_sentence, generator)


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, and its tensors under our names.

    What it is follows from its tensors: a bare encoder, one with a masked-LM head, or one with both heads.
    """
    checkpoint.drop_prefix("bert.")
    return encoder_from(checkpoint, _HEAD)


def encoder_from(
    checkpoint: Checkpoint, head: dict[str, str], unused: int = 0, **parts: Any
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make a BERT and its tensors, as `from_checkpoint` does.

    head: what the parts of a masked-LM head are called there. unused: rows of the table of positions without a token.
    parts: what it is made of besides.
    """
    checkpoint.require("position_embedding_type", "absolute", missing="absolute")
    checkpoint.require("is_decoder", False, missing=False)
    config = BertConfig(
        vocab_size=checkpoint.size("vocab_size"),
        d_model=checkpoint.size("hidden_size"),
        num_layers=checkpoint.size("num_hidden_layers"),
        num_heads=checkpoint.size("num_attention_heads"),
        d_ff=checkpoint.size("intermediate_size"),
        max_len=checkpoint.size("max_position_embeddings") - unused,
        num_token_types=checkpoint.size("type_vocab_size"),
        norm=partial(nn.LayerNorm, eps=checkpoint.epsilon("layer_norm_eps")),
        feed_forward=activation(checkpoint.word("hidden_act"), gated=False),
        pooler=checkpoint.has("pooler.dense.weight"),
        **parts,
    )
    checkpoint.rename(("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))
    checkpoint.ignore("embeddings.position_ids")
    output = head["bias"].removesuffix("bias") + "decoder"
    checkpoint.ignore_copy(f"{output}.weight", "embeddings.word_embeddings.weight")
    checkpoint.ignore_copy(f"{output}.bias", head["bias"])
    ours = checkpoint.translate(_names(config))
    model: nn.Module = Bert(config)
    if checkpoint.has(head["bias"]):
        checkpoint.require("hidden_act", "gelu", missing=None)  # what `MaskedLM` transforms with
        both = checkpoint.has(f"{_NEXT_SENTENCE}.weight")
        model = BertForPreTraining(model) if both else MaskedLM(model)
        ours = {f"encoder.{name}": tensor for name, tensor in ours.items()}
        ours |= checkpoint.translate(head | ({"next_sentence": _NEXT_SENTENCE} if both else {}))
    return model, ours


def _names(config: BertConfig) -> dict[str, str | tuple[str, ...]]:
    names: dict[str, str | tuple[str, ...]] = {
        "embedding.weight": "embeddings.word_embeddings.weight",
        "token_types.weight": "embeddings.token_type_embeddings.weight",
        "stack.position.table.weight": "embeddings.position_embeddings.weight",
        "stack.norm_in": "embeddings.LayerNorm",
    }
    for i in range(config.num_layers):
        ours, theirs = f"stack.blocks.{i}", f"encoder.layer.{i}"
        names |= {
            f"{ours}.self_attention.layer.W_qkv": tuple(
                f"{theirs}.attention.self.{x}" for x in ("query", "key", "value")
            ),
            f"{ours}.self_attention.layer.W_o": f"{theirs}.attention.output.dense",
            f"{ours}.self_attention.norm": f"{theirs}.attention.output.LayerNorm",
            f"{ours}.feed_forward.layer.W_in": f"{theirs}.intermediate.dense",
            f"{ours}.feed_forward.layer.W_out": f"{theirs}.output.dense",
            f"{ours}.feed_forward.norm": f"{theirs}.output.LayerNorm",
        }
    return names | ({"pooler": "pooler.dense"} if config.pooler else {})


_HEAD = {
    "transform.0": "cls.predictions.transform.dense",
    "transform.2": "cls.predictions.transform.LayerNorm",
    "bias": "cls.predictions.bias",
}
_NEXT_SENTENCE = "cls.seq_relationship"

CONFIGS = {
    "bert-base-uncased": BertConfig(vocab_size=30522, d_model=768, num_layers=12, num_heads=12, d_ff=3072),
    "bert-large-uncased": BertConfig(vocab_size=30522, d_model=1024, num_layers=24, num_heads=16, d_ff=4096),
    "all-minilm-l6-v2": BertConfig(vocab_size=30522, d_model=384, num_layers=6, num_heads=12, d_ff=1536),
}
