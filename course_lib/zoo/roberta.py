"""RoBERTa (Liu et al. 2019): BERT with another training. Of the model it changed one token type for two, and positions
that begin at the third row of their table."""

from functools import partial

from torch import Tensor, nn

from course_lib.zoo.bert import BertConfig, encoder_from
from course_lib.zoo.checkpoint import Checkpoint
from course_lib.zoo.offset import OffsetPositions

__all__ = ["CONFIGS", "from_checkpoint"]

_HEAD = {"transform.0": "lm_head.dense", "transform.2": "lm_head.layer_norm", "bias": "lm_head.bias"}
_config = partial(
    BertConfig, vocab_size=50265, num_token_types=1, norm=partial(nn.LayerNorm, eps=1e-5), position=OffsetPositions
)


def from_checkpoint(checkpoint: Checkpoint) -> tuple[nn.Module, dict[str, Tensor]]:
    """Make the model of a checkpoint, without weights, with its head if it has one, and its tensors under our names."""
    checkpoint.drop_prefix("roberta.")
    unused = checkpoint.size("pad_token_id") + 1
    return encoder_from(checkpoint, _HEAD, unused, position=partial(OffsetPositions, unused=unused))


CONFIGS = {
    "roberta-base": _config(d_model=768, num_layers=12, num_heads=12, d_ff=3072),
    "roberta-large": _config(d_model=1024, num_layers=24, num_heads=16, d_ff=4096),
}
