"""Attention: values by hand, agreement with torch, and what a mask does to information."""

import math
from inspect import unwrap

import pytest
import torch
from torch.nn import functional as F

from course_lib.attention import attention, attention_weights
from course_lib.masks import combine_masks, create_causal_mask, create_padding_mask, create_prefix_mask

BATCH, HEADS, Q_LEN, K_LEN, HEAD_DIM, V_DIM = 2, 3, 5, 7, 11, 13


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def qkv(q_len: int = Q_LEN, k_len: int = K_LEN):
    shape = (BATCH, HEADS)
    return draw(*shape, q_len, HEAD_DIM), draw(*shape, k_len, HEAD_DIM, seed=1), draw(*shape, k_len, V_DIM, seed=2)


def test_weights_by_hand():
    q = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    k = torch.tensor([[math.log(3), 0, 0, 0], [0, 1.0, 0, 0], [math.log(4), 0, 0, 0]])
    weights = attention_weights(q, k)  # scores 2·(log 3, 0, log 4) / √4
    torch.testing.assert_close(weights, torch.tensor([[3 / 8, 1 / 8, 4 / 8]]), rtol=0, atol=1e-7)


def test_masked_weights_and_output_by_hand():
    q = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    k = torch.tensor([[math.log(3), 0, 0, 0], [0, 1.0, 0, 0], [math.log(4), 0, 0, 0]])
    v = torch.tensor([[8.0, 0.0], [0.0, 4.0], [100.0, 100.0]])
    mask = torch.tensor([[True, True, False]])
    torch.testing.assert_close(attention_weights(q, k, mask), torch.tensor([[0.75, 0.25, 0.0]]))
    torch.testing.assert_close(attention(q, k, v, mask), torch.tensor([[6.0, 1.0]]))


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_torch_under_a_random_mask(seed):
    q, k, v = qkv()
    mask = draw(BATCH, 1, Q_LEN, K_LEN, seed=seed) > 0
    mask[..., seed] = True  # torch and we may differ only where a row is empty
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(attention(q, k, v, mask), expected, rtol=0, atol=1e-6)


def test_agrees_with_torch_without_a_mask_and_with_causal():
    q, k, v = qkv(q_len=K_LEN)
    expected = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attention(q, k, v), expected, rtol=0, atol=1e-6)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(attention(q, k, v, create_causal_mask(K_LEN)), expected, rtol=0, atol=1e-6)


def test_rows_add_up_to_one_and_forbidden_weights_are_exactly_zero():
    q, k, _ = qkv(q_len=K_LEN)
    mask = create_causal_mask(K_LEN)
    weights = attention_weights(q, k, mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, HEADS, K_LEN), rtol=0, atol=1e-6)
    assert (weights[(~mask).expand_as(weights)] == 0).all()


def test_a_query_that_may_attend_to_nothing_gives_zeros_and_a_finite_gradient():
    q, k, v = qkv()
    q.requires_grad_()
    out = attention(q, k, v, create_padding_mask(torch.tensor([4, 0]), K_LEN))
    assert (out[1] == 0).all()
    assert (out[0] != 0).all()
    out.sum().backward()
    assert q.grad.isfinite().all()
    assert (q.grad[1] == 0).all()


def test_a_changed_future_token_leaves_earlier_outputs_bit_equal():
    x = draw(BATCH, HEADS, K_LEN, HEAD_DIM)
    changed = x.clone()
    changed[..., 4, :] += 10
    mask = create_causal_mask(K_LEN)
    before, after = attention(x, x, x, mask), attention(changed, changed, changed, mask)
    assert torch.equal(before[..., :4, :], after[..., :4, :])
    assert (before[..., 4:, :] != after[..., 4:, :]).any(-1).all()


def test_a_changed_padding_token_changes_nothing():
    q, k, v = qkv()
    mask = create_padding_mask(torch.tensor([3, 5]), K_LEN)
    before = attention(q, k, v, mask)
    k[0, :, 3:] += 10
    v[1, :, 5:] -= 10
    assert torch.equal(before, attention(q, k, v, mask))


def test_prefix_ends_give_bit_equal_outputs():
    q, k, v = qkv(q_len=K_LEN)
    causal, everything = create_causal_mask(K_LEN), None
    assert torch.equal(attention(q, k, v, create_prefix_mask(0, K_LEN)), attention(q, k, v, causal))
    assert torch.equal(attention(q, k, v, create_prefix_mask(K_LEN, K_LEN)), attention(q, k, v, everything))


def test_one_mask_broadcasts_over_batch_and_heads():
    q, k, v = qkv(q_len=K_LEN)
    mask = combine_masks(create_causal_mask(K_LEN), create_padding_mask(torch.tensor([5, 3]), K_LEN))
    spread = mask.expand(BATCH, HEADS, K_LEN, K_LEN)
    assert torch.equal(attention(q, k, v, mask), attention(q, k, v, spread))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_is_kept_and_the_softmax_is_not_taken_in_half_precision(dtype):
    q, k, _ = qkv()
    weights = attention_weights(q.to(dtype), k.to(dtype), torch.ones(1, 1, Q_LEN, K_LEN, dtype=torch.bool))
    assert weights.dtype == dtype
    scores = (q.to(dtype) @ k.to(dtype).transpose(-2, -1)) / HEAD_DIM**0.5
    wide = scores.double() if dtype == torch.float64 else scores.float()
    assert torch.equal(weights, wide.softmax(-1).to(dtype))


def test_inputs_are_not_changed():
    q, k, v = qkv()
    mask = create_padding_mask(torch.tensor([3, 0]), K_LEN)
    kept = [t.clone() for t in (q, k, v, mask)]
    attention(q, k, v, mask)
    assert all(torch.equal(now, then) for now, then in zip((q, k, v, mask), kept, strict=True))


def test_a_mask_that_is_not_boolean_is_refused():
    q, k, _ = qkv()
    with pytest.raises(TypeError, match=r"^mask must be boolean, True = may attend, got torch\.float32$"):
        unwrap(attention_weights)(q, k, torch.zeros(Q_LEN, K_LEN))
