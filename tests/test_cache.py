"""The key-value cache: what goes in comes out in order, in memory taken once."""

import pytest
import torch

from course_lib.cache import KVCache

BATCH, HEADS, HEAD_DIM = 2, 3, 5


def draw(new: int, seed: int) -> torch.Tensor:
    return torch.randn(BATCH, HEADS, new, HEAD_DIM, generator=torch.Generator().manual_seed(seed))


def filled(*lengths: int) -> tuple[KVCache, torch.Tensor, torch.Tensor]:
    cache = KVCache(max_len=7)
    keys = [draw(length, seed) for seed, length in enumerate(lengths)]
    values = [draw(length, seed + 100) for seed, length in enumerate(lengths)]
    for k, v in zip(keys, values, strict=True):
        cache.append(k, v)
    return cache, torch.cat(keys, dim=2), torch.cat(values, dim=2)


def held(cache: KVCache) -> tuple[torch.Tensor, torch.Tensor]:
    return cache.append(draw(0, 0), draw(0, 0))


@pytest.mark.parametrize("lengths", [(1,), (4,), (4, 1, 1), (2, 3, 2), (7,)])
def test_everything_comes_back_in_order(lengths):
    cache, keys, values = filled(*lengths)
    assert cache.length == sum(lengths)
    for got, expected in zip(held(cache), (keys, values), strict=True):
        assert torch.equal(got, expected)


def test_memory_is_taken_once():
    cache = KVCache(max_len=7)
    places = {cache.append(draw(1, step), draw(1, step))[0].data_ptr() for step in range(7)}
    assert len(places) == 1


def test_a_full_cache_says_so_and_stays_as_it_is():
    cache, keys, _ = filled(4, 2)
    with pytest.raises(ValueError, match=r"^the cache has room for 7 tokens, got 8$"):
        cache.append(draw(2, 9), draw(2, 9))
    assert cache.length == 6
    assert torch.equal(held(cache)[0], keys)
    with pytest.raises(ValueError, match=r"^max_len must be at least 1, got 0$"):
        KVCache(0)


@pytest.mark.parametrize("rows", [[1, 0], [1, 1], [0, 0, 1, 1, 0], [1]])
def test_rows_go_on_from_others(rows):
    cache, keys, values = filled(3, 1)
    cache.reorder(torch.tensor(rows))
    k, v = held_rows(cache, len(rows))
    assert torch.equal(k, keys[rows])
    assert torch.equal(v, values[rows])
    assert k.shape[2] == 4


def held_rows(cache: KVCache, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    nothing = torch.empty(batch, HEADS, 0, HEAD_DIM)
    return cache.append(nothing, nothing)


def test_another_batch_is_refused():
    cache, _, _ = filled(2)
    for rows in (1, 3):
        other = torch.zeros(rows, HEADS, 1, HEAD_DIM)
        with pytest.raises(ValueError, match=rf"^the cache holds \(batch, kv_heads\) = \(2, 3\), got \({rows}, 3\)$"):
            cache.append(other, other)
    one_head = torch.zeros(BATCH, 1, 1, HEAD_DIM)
    with pytest.raises(ValueError, match=r"got \(2, 1\)$"):
        cache.append(one_head, one_head)


def test_an_empty_cache_can_be_reordered():
    cache = KVCache(3)
    cache.reorder(torch.tensor([1, 0]))
    assert cache.length == 0
