"""Positions that begin at a later row of their table, as RoBERTa and BART store them."""

from torch import Tensor, nn

from course_lib.config import Sizes
from course_lib.positions import Positions

__all__ = ["OffsetPositions"]


class OffsetPositions(Positions):
    """Learned positions, of which the first `unused` rows belong to no real token.

    In fairseq, where both models come from, padding had a position too, and real tokens were counted from behind it: so
    RoBERTa has 514 rows for 512 tokens, and BART 1026 for 1024. They count as parameters.

    >>> sizes = Sizes(vocab_size=9, d_model=8, num_layers=1, num_heads=2, d_ff=16, max_len=5)
    >>> positions = OffsetPositions(sizes)
    >>> positions.table.weight.shape, positions.max_len
    (torch.Size([7, 8]), 5)
    """

    def __init__(self, sizes: Sizes, unused: int = 2):
        super().__init__(sizes)
        self.max_len, self.unused = sizes.max_len, unused
        self.table = nn.Embedding(sizes.max_len + unused, sizes.d_model)

    def add(self, x: Tensor, positions: Tensor) -> Tensor:
        """Shapes: x (batch, seq, d_model), positions (batch or 1, seq); returns x's."""
        return x + self.table(positions + self.unused)
