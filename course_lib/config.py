"""The numbers that shape a transformer, in one plain frozen dataclass; its parts are chosen in `blocks`."""

from dataclasses import dataclass

__all__ = ["Sizes", "head_size", "kv_heads", "require_size"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a transformer is.

    Raises ValueError where two numbers cannot go together, with both in the message, and TypeError where something is
    no whole number.

    >>> Sizes(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48).max_len
    512
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
        for name in ("vocab_size", "d_model", "num_layers", "num_heads", "d_ff", "max_len"):
            require_size(name, getattr(self, name))
        for name in ("bias", "tied"):
            if type(getattr(self, name)) is not bool:
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        head_size(self.d_model, self.num_heads, self.head_dim)
        kv_heads(self.num_heads, self.num_kv_heads)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")


def require_size(name: str, value: int) -> None:
    """Raise TypeError unless a size is a whole number, ValueError unless it is at least 1.

    >>> require_size("d_model", 0)
    Traceback (most recent call last):
    ValueError: d_model must be at least 1, got 0
    """
    if type(value) is not int:
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def head_size(d_model: int, num_heads: int, head_dim: int | None) -> int:
    """Give the width of one head: d_model / num_heads, unless it is said to be another (Vaswani et al. 2017, 3.2.2).

    Raises ValueError if d_model cannot be divided, and as `require_size` does.

    >>> head_size(12, 3, None), head_size(12, 3, 5)
    (4, 5)
    """
    require_size("num_heads", num_heads)
    if head_dim is not None:
        require_size("head_dim", head_dim)
        return head_dim
    if d_model % num_heads:
        raise ValueError(f"d_model must be divisible by num_heads, got {d_model} and {num_heads}")
    return d_model // num_heads


def kv_heads(num_heads: int, num_kv_heads: int | None) -> int:
    """Give the number of key and value heads: as many as query heads, unless said (Ainslie et al. 2023, section 2.2).

    Raises ValueError if they cannot be shared evenly, and as `require_size` does.

    >>> kv_heads(6, None), kv_heads(6, 2)
    (6, 2)
    """
    if num_kv_heads is None:
        return num_heads
    require_size("num_kv_heads", num_kv_heads)
    if num_heads % num_kv_heads:
        raise ValueError(f"num_heads must be divisible by num_kv_heads, got {num_heads} and {num_kv_heads}")
    return num_kv_heads
