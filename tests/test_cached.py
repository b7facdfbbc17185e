"""Attention with a cache: equal to attention over everything at once, however the sequence is cut into calls."""

import pytest
import torch
from torch.nn import functional as F

from course_lib.cache import KVCache
from course_lib.cached import attend_with_cache

BATCH, HEADS, HEAD_DIM = 2, 3, 5


def qkv(seq, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seq)
    return [torch.randn(BATCH, HEADS, seq, HEAD_DIM, generator=generator).to(dtype) for _ in range(3)]


def in_chunks(q, k, v, sizes, cache):
    parts = zip(*(part.split(sizes, dim=2) for part in (q, k, v)), strict=True)
    return torch.cat([attend_with_cache(*new, cache) for new in parts], dim=2)


@pytest.mark.parametrize("sizes", [[11], [1] * 11, [3, 1, 7], [7, 3, 1], [1, 10], [2, 2, 2, 5]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cached_is_uncached(sizes, dtype):
    q, k, v = qkv(11, dtype)
    cache = KVCache(max_len=13)
    got = in_chunks(q, k, v, sizes, cache)
    torch.testing.assert_close(got, F.scaled_dot_product_attention(q, k, v, is_causal=True), rtol=1e-5, atol=1e-6)
    assert cache.length == 11


def test_a_later_token_changes_nothing_before_it():
    q, k, v = qkv(7)
    before = in_chunks(q, k, v, [3, 2, 2], KVCache(7))
    q, k, v = (torch.cat((part[:, :, :4], part[:, :, 4:] + 1), dim=2) for part in (q, k, v))
    after = in_chunks(q, k, v, [3, 2, 2], KVCache(7))
    assert torch.equal(before[:, :, :4], after[:, :, :4])
    assert not torch.equal(before[:, :, 4:], after[:, :, 4:])


def test_by_hand():
    """Equal scores: token 0 reads 1; the two after it, together, read the means of 1, 3 and of 1, 3, 8."""
    q = k = torch.zeros(1, 1, 3, 2)
    v = torch.tensor([[1.0, 0.0], [3.0, 0.0], [8.0, 6.0]])[None, None]
    assert in_chunks(q, k, v, [1, 2], KVCache(3)).tolist() == [[[[1, 0], [2, 0], [4, 2]]]]


def test_a_full_cache_and_another_batch_are_refused():
    cache, (q, k, v) = KVCache(max_len=4), qkv(3)
    attend_with_cache(q, k, v, cache)
    with pytest.raises(ValueError, match="the cache has room for 4 tokens, got 6"):
        attend_with_cache(q, k, v, cache)
    with pytest.raises(ValueError, match=r"holds \(batch, kv_heads\) = \(2, 3\), got \(1, 3\)"):
        attend_with_cache(q[:1, :, :1], k[:1, :, :1], v[:1, :, :1], cache)
