"""What a model costs, counted before anything runs."""

import torch

from course_lib.config import Sizes, head_size, kv_heads

__all__ = ["cache_bytes"]


def cache_bytes(config: Sizes, length: int, batch: int = 1, dtype: torch.dtype = torch.float16) -> int:
    """Count the bytes of the keys and values that all layers keep for `batch` sequences of `length` tokens.

    Each token leaves one key and one value of head_dim numbers in each key and value head of each layer (Shazeer
    2019, section 2.4); grouped queries share these heads, so that there are fewer (Ainslie et al. 2023, section 2.2).
    config: num_layers, num_heads and d_model; num_kv_heads, None = num_heads; head_dim, None = d_model / num_heads.
    Units: bytes, not bits; length in tokens, prompt and answer together.
    Raises ValueError if length is negative or batch below 1.

    >>> llama_2_7b = Sizes(vocab_size=32000, d_model=4096, num_layers=32, num_heads=32, d_ff=11008)
    >>> cache_bytes(llama_2_7b, length=4096) / 2**30  # GiB
    2.0
    """
    _require_counts(length, batch)
    numbers = kv_heads(config.num_heads, config.num_kv_heads) * head_size(
        config.d_model, config.num_heads, config.head_dim
    )
    return 2 * config.num_layers * numbers * length * batch * dtype.itemsize


def _require_counts(length: int, batch: int) -> None:
    if length < 0:
        raise ValueError(f"length must be at least 0, got {length}")
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
