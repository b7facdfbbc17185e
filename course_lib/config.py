"""The numbers that shape a transformer, in one plain frozen dataclass; its parts are chosen in `blocks`."""

from dataclasses import dataclass

__all__ = ["Sizes"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a transformer is.

    Raises ValueError where two numbers cannot go together, with both in the message, and TypeError where something is
    no whole number.

    >>> Sizes(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48).head_size
    4
    >>> Sizes(vocab_size=100, d_model=10, num_layers=2, num_heads=3, d_ff=40)
    Traceback (most recent call last):
    ValueError: d_model must be divisible by num_heads, got 10 and 3
    """

    vocab_size: int
    d_model: int  # width of the hidden states
    num_layers: int
    num_heads: int
    d_ff: int  # width inside the feed-forward layer
    max_len: int = 512  # longest sequence, where positions come from a table
    num_kv_heads: int | None = None  # fewer than num_heads: grouped-query attention; None: as many
    head_dim: int | None = None  # None: d_model / num_heads
    dropout: float = 0.0
    bias: bool = True  # do the linear layers of attention and feed-forward have a bias?
    tied: bool = True  # is the output head the embedding matrix itself?

    def __post_init__(self):
        for name in ("vocab_size", "d_model", "num_layers", "num_heads", "d_ff", "max_len", "num_kv_heads", "head_dim"):
            value = getattr(self, name)
            if type(value) is not int and not (value is None and name in ("num_kv_heads", "head_dim")):
                raise TypeError(f"{name} must be a whole number, got {value!r}")
        for name in ("bias", "tied"):
            if type(getattr(self, name)) is not bool:
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        for name in ("vocab_size", "d_model", "num_layers", "num_heads", "d_ff", "max_len"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.head_dim is None and self.d_model % self.num_heads:
            raise ValueError(f"d_model must be divisible by num_heads, got {self.d_model} and {self.num_heads}")
        if self.kv_heads < 1 or self.num_heads % self.kv_heads:
            raise ValueError(f"num_heads must be divisible by num_kv_heads, got {self.num_heads} and {self.kv_heads}")
        if self.head_size < 1:
            raise ValueError(f"head_dim must be at least 1, got {self.head_dim}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")

    @property
    def kv_heads(self) -> int:
        """The number of key and value heads (Ainslie et al. 2023, section 2.2)."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    @property
    def head_size(self) -> int:
        """The width of one head."""
        return self.d_model // self.num_heads if self.head_dim is None else self.head_dim
