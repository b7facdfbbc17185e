"""What a cache costs: by hand, by the tensors a cache really holds, and for published models."""

import pytest
import torch

from course_lib import zoo
from course_lib.config import Sizes
from course_lib.costs import cache_bytes
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.generation import Session

SMALL = {"vocab_size": 13, "d_model": 12, "num_layers": 5, "num_heads": 6, "d_ff": 7}


@pytest.mark.parametrize(
    ("more", "arguments", "expected"),
    [
        ({}, {}, 2 * 5 * 12 * 11 * 2),
        ({"num_kv_heads": 2}, {}, 2 * 5 * 2 * 2 * 11 * 2),
        ({"num_kv_heads": 1, "head_dim": 7}, {"batch": 3}, 2 * 5 * 7 * 11 * 3 * 2),
        ({"head_dim": 7}, {"dtype": torch.float32}, 2 * 5 * 6 * 7 * 11 * 4),
        ({}, {"batch": 3, "dtype": torch.int8}, 2 * 5 * 12 * 11 * 3),
    ],
)
def test_by_hand(more, arguments, expected):
    for kind in (Sizes, DecoderConfig):
        assert cache_bytes(kind(**SMALL, **more), 11, **arguments) == expected


@pytest.mark.parametrize("more", [{}, {"num_kv_heads": 3}, {"num_kv_heads": 2, "head_dim": 7}])
def test_as_many_as_a_model_at_work_holds(more):
    config = DecoderConfig(**SMALL, **more)
    session = Session(Decoder(config), max_len=9)
    session.step(torch.zeros(2, 9, dtype=torch.long))
    held = [part for cache in session.caches for part in (cache._keys, cache._values)]
    assert sum(part.numel() * part.element_size() for part in held) == cache_bytes(config, 9, 2, torch.float32)


def test_a_published_model():
    llama_2_7b = Sizes(vocab_size=32000, d_model=4096, num_layers=32, num_heads=32, d_ff=11008)
    assert cache_bytes(llama_2_7b, 4096) == 2 * 2**30
    assert cache_bytes(zoo.config("gpt2"), 1024, dtype=torch.float32) == 2 * 12 * 768 * 1024 * 4


def test_no_tokens_cost_nothing_and_fewer_are_refused():
    config = Sizes(**SMALL)
    assert cache_bytes(config, 0) == 0
    with pytest.raises(ValueError, match="length must be at least 0, got -1"):
        cache_bytes(config, -1)
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        cache_bytes(config, 1, batch=0)
