"""The leak detector: every kind of look ahead is found, and a causal model is never accused."""

import pytest
import torch

from course_lib.attention import attention
from course_lib.leaks import leaks_future
from course_lib.masks import create_bidirectional_mask, create_causal_mask, create_prefix_mask

BATCH, N, D = 3, 7, 5
GENERATOR_SEEDS = range(5)


def x_like(seed: int = 0, n: int = N, d: int = D) -> torch.Tensor:
    return torch.randn(BATCH, n, d, generator=torch.Generator().manual_seed(seed))


def self_attention(mask):
    return lambda x: attention(x, x, x, mask[:, 0])


def next_token(x):
    """Give each position the token after it, and zeros to the last."""
    return torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], dim=1)


CAUSAL = {
    "identity": lambda x: x,
    "running sum": lambda x: x.cumsum(1),
    "previous token": lambda x: x.roll(1, dims=1) * (torch.arange(x.shape[1]) > 0)[:, None],
    "causal attention": self_attention(create_causal_mask(N)),
    "two causal layers": lambda x: self_attention(create_causal_mask(N))(self_attention(create_causal_mask(N))(x)),
    "norm over features": lambda x: x / x.norm(dim=-1, keepdim=True),
    "constant": lambda x: torch.zeros(BATCH, N, 2),
    "not a number": lambda x: x * float("nan"),
}

LEAKING = {
    "bidirectional attention": self_attention(create_bidirectional_mask(N)),
    "a prefix of two": self_attention(create_prefix_mask(2, N)),
    "off by one": self_attention(create_causal_mask(N) | create_causal_mask(N).roll(1, dims=-1)),
    "mean over time": lambda x: x - x.mean(1, keepdim=True),
    "a tiny leak": lambda x: x.cumsum(1) + 1e-6 * next_token(x),
    "behind a ReLU": lambda x: next_token(x).relu(),
    "behind a ReLU, turned": lambda x: (-next_token(x)).relu(),
    "behind a layer norm": lambda x: next_token(x - x.mean(-1, keepdim=True)),
    "one batch element": lambda x: torch.cat([x[:1], x[1:2], next_token(x[2:])]),
    "one feature": lambda x: torch.cat([x[..., :-1], next_token(x[..., -1:])], dim=-1),
    "only the first sees the last": lambda x: torch.cat([x[:, :1] + x[:, -1:], x[:, 1:]], dim=1),
    "only the last but one": lambda x: torch.cat([x[:, :-2], x[:, -1:], x[:, -1:]], dim=1),
}


@pytest.mark.parametrize("seed", GENERATOR_SEEDS)
@pytest.mark.parametrize("fn", CAUSAL.values(), ids=CAUSAL.keys())
def test_a_causal_function_is_not_accused(fn, seed):
    assert leaks_future(fn, x_like(seed)) is False


@pytest.mark.parametrize("seed", GENERATOR_SEEDS)
@pytest.mark.parametrize("fn", LEAKING.values(), ids=LEAKING.keys())
def test_a_look_ahead_is_found(fn, seed):
    assert leaks_future(fn, x_like(seed)) is True


@pytest.mark.parametrize("start", [-100.0, 100.0])
def test_a_leak_that_is_switched_off_at_the_start_is_found(start):
    x = x_like() + start
    assert leaks_future(lambda x: next_token(x).relu(), x)
    assert leaks_future(lambda x: (-next_token(x)).relu(), x)


def test_one_token_has_no_future():
    assert leaks_future(lambda x: x.flip(1), x_like(n=1)) is False


def test_one_feature_is_enough():
    assert leaks_future(lambda x: x.flip(1), x_like(d=1)) is True


@pytest.mark.parametrize("fn", [lambda x: x.flip(1), lambda x: x.add_(1), lambda x: x.cumsum(1)])
def test_x_is_not_changed_even_by_a_function_that_works_in_place(fn):
    x = x_like()
    kept = x.clone()
    leaks_future(fn, x)
    assert torch.equal(x, kept)


def test_a_function_that_works_in_place_is_judged_fairly():
    assert leaks_future(lambda x: x.mul_(2), x_like()) is False


def test_double_precision_is_kept():
    seen = []
    leaks_future(lambda x: seen.append(x.dtype) or x, x_like().double())
    assert set(seen) == {torch.float64}
