"""The key-value cache: what a decoder need not compute again for the next token."""

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["KVCache"]


class KVCache:
    """The keys and values of one attention layer, for the tokens seen so far (Shazeer 2019, section 2.4).

    The room for `max_len` tokens is taken once, at the first `append`; a new token is then one small copy, where
    `torch.cat` would copy everything again. For generating, under `torch.no_grad()` or `torch.inference_mode()`.

    max_len: tokens it can hold. Attribute `length`: tokens it holds now.

    >>> cache = KVCache(max_len=4)
    >>> k, v = cache.append(torch.ones(1, 2, 3, 5), torch.ones(1, 2, 3, 5))  # a prompt of three tokens
    >>> k, v = cache.append(torch.ones(1, 2, 1, 5), torch.ones(1, 2, 1, 5))  # the next token
    >>> k.shape, cache.length
    (torch.Size([1, 2, 4, 5]), 4)
    """

    def __init__(self, max_len: int):
        if max_len < 1:
            raise ValueError(f"max_len must be at least 1, got {max_len}")
        self.max_len = max_len
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(
        self, k: Float[Tensor, "batch kv_heads new head_dim"], v: Float[Tensor, "batch kv_heads new head_dim"]
    ) -> tuple[Float[Tensor, "batch kv_heads k_len head_dim"], Float[Tensor, "batch kv_heads k_len head_dim"]]:
        """Add the keys and values of new tokens and give those of all tokens so far, oldest first.

        Shapes: k and v (batch, kv_heads, new, head_dim); returns two views (batch, kv_heads, length, head_dim) of the
        cache's own memory, which `reorder` overwrites.
        Raises ValueError if there is no room for them, or batch or heads are others.
        """
        new = k.shape[-2]
        end = self.length + new
        if end > self.max_len:
            raise ValueError(f"the cache has room for {self.max_len} tokens, got {end}")
        if self._keys is None or self._values is None:
            self._keys = k.new_empty(*k.shape[:-2], self.max_len, k.shape[-1])
            self._values = v.new_empty(*v.shape[:-2], self.max_len, v.shape[-1])
        if k.shape[:2] != self._keys.shape[:2]:
            held, given = tuple(self._keys.shape[:2]), tuple(k.shape[:2])
            raise ValueError(f"the cache holds (batch, kv_heads) = {held}, got {given}")
        self._keys.narrow(2, self.length, new).copy_(k)
        self._values.narrow(2, self.length, new).copy_(v)
        self.length = end
        return self._keys.narrow(2, 0, end), self._values.narrow(2, 0, end)

    def reorder(self, rows: Int[Tensor, " batch"]) -> None:
        """Let row i of the batch go on from what was row rows[i], as beam search wants when it drops a hypothesis.

        Shapes: rows (batch,); there may be more or fewer rows than before.
        """
        if self._keys is None or self._values is None:
            return
        keys, values = self._keys[rows, :, : self.length], self._values[rows, :, : self.length]
        if len(rows) != len(self._keys):
            self._keys = keys.new_empty(len(rows), *self._keys.shape[1:])
            self._values = values.new_empty(len(rows), *self._values.shape[1:])
        self._keys[:, :, : self.length] = keys
        self._values[:, :, : self.length] = values
