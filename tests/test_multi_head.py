"""Attention with heads: loops == in the open == fused == torch's module == a published model; and cross-attention."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.attention import (
    CrossAttention,
    MultiHeadAttention,
    attention,
    causal_self_attention,
    merge_heads,
    split_heads,
)
from course_lib.cache import KVCache
from course_lib.masks import combine_masks, create_causal_mask, create_padding_mask, create_sliding_window_mask
from tests.models import DTYPES, assert_same

BATCH, HEADS, KV_HEADS, Q_LEN, K_LEN, HEAD_DIM = 2, 6, 2, 5, 7, 11
D_MODEL = HEADS * HEAD_DIM


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def in_loops(x, W_qkv, W_o, num_heads):
    """Causal self-attention number by number, as one would do it on paper."""
    batch, n, d_model = x.shape
    head_dim = d_model // num_heads
    out = torch.zeros_like(x)
    for b in range(batch):
        projected = x[b] @ W_qkv
        q, k, v = projected[:, :d_model], projected[:, d_model : 2 * d_model], projected[:, 2 * d_model :]
        merged = torch.zeros(n, d_model, dtype=x.dtype)
        for h in range(num_heads):
            mine = slice(h * head_dim, (h + 1) * head_dim)
            for i in range(n):
                powers = [math.exp((q[i, mine] @ k[j, mine]).item() / math.sqrt(head_dim)) for j in range(i + 1)]
                for j in range(i + 1):
                    merged[i, mine] += powers[j] / sum(powers) * v[j, mine]
        out[b] = merged @ W_o
    return out


def module_with(W_qkv, W_o) -> MultiHeadAttention:
    layer = MultiHeadAttention(D_MODEL, HEADS, bias=False).to(W_qkv.dtype)
    with torch.no_grad():
        layer.W_qkv.weight.copy_(W_qkv.T)
        layer.W_o.weight.copy_(W_o.T)
    return layer


def weights(dtype=torch.float64):
    """Scores of a few units: weights are neither all alike nor all on one token."""
    W_qkv = draw(D_MODEL, 3 * D_MODEL, seed=1, dtype=dtype) / D_MODEL**0.5
    return draw(BATCH, Q_LEN, D_MODEL, dtype=dtype), W_qkv, draw(D_MODEL, D_MODEL, seed=2, dtype=dtype)


def test_loops_and_vectors_and_torch_agree():
    x, W_qkv, W_o = weights()
    expected = in_loops(x, W_qkv, W_o, HEADS)
    torch.testing.assert_close(causal_self_attention(x, W_qkv, W_o, HEADS), expected, rtol=0, atol=1e-12)
    mask = create_causal_mask(Q_LEN)
    torch.testing.assert_close(module_with(W_qkv, W_o)(x, mask), expected, rtol=0, atol=1e-12)
    theirs = nn.MultiheadAttention(D_MODEL, HEADS, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(W_qkv.T)
        theirs.out_proj.weight.copy_(W_o.T)
    output, _ = theirs(x, x, x, attn_mask=~mask[0, 0])  # theirs says True = may not attend
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)


def test_they_agree_in_float32_to_a_millionth_of_the_largest_number():
    x, W_qkv, W_o = weights(torch.float32)
    expected = in_loops(*(t.double() for t in weights(torch.float32)), HEADS)
    for output in (causal_self_attention(x, W_qkv, W_o, HEADS),
                   module_with(W_qkv, W_o)(x, create_causal_mask(Q_LEN))):
        assert (output - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_a_published_model_agrees():
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertSelfAttention

    theirs = BertSelfAttention(BertConfig(hidden_size=D_MODEL, num_attention_heads=HEADS)).double().eval()
    layer = MultiHeadAttention(D_MODEL, HEADS).double()
    with torch.no_grad():
        parts = [theirs.query, theirs.key, theirs.value]
        for part in parts:
            part.bias.normal_(generator=torch.Generator().manual_seed(0))
        layer.W_qkv.weight.copy_(torch.cat([part.weight for part in parts]))
        layer.W_qkv.bias.copy_(torch.cat([part.bias for part in parts]))
        layer.W_o.weight.copy_(torch.eye(D_MODEL))
        layer.W_o.bias.zero_()
    x = draw(BATCH, K_LEN, D_MODEL, dtype=torch.float64)
    mask = create_padding_mask(torch.tensor([K_LEN, 3]), K_LEN)
    forbidden = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    torch.testing.assert_close(layer(x, mask), theirs(x, attention_mask=forbidden)[0], rtol=0, atol=1e-12)


# In the open and fused.


def qkv(kv_heads: int = HEADS, dtype: torch.dtype = torch.float32, requires_grad: bool = False):
    shapes = ((HEADS, Q_LEN), (kv_heads, K_LEN), (kv_heads, K_LEN))
    made = [draw(BATCH, *shape, HEAD_DIM, seed=seed, dtype=dtype) for seed, shape in enumerate(shapes)]
    return [tensor.requires_grad_(requires_grad) for tensor in made]


MASKS = {
    "none": None,
    "padding": create_padding_mask(torch.tensor([4, K_LEN]), K_LEN),
    "empty row": create_padding_mask(torch.tensor([0, 3]), K_LEN),
    "bottom right": create_causal_mask(K_LEN)[..., K_LEN - Q_LEN :, :],
    "window": create_sliding_window_mask(K_LEN, 2)[..., K_LEN - Q_LEN :, :],
    "of each head": draw(BATCH, HEADS, Q_LEN, K_LEN, seed=5) > 0.5,
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("kv_heads", [HEADS, KV_HEADS, 1])
def test_fused_equals_open_to_a_millionth_of_the_largest_number_and_so_do_gradients(mask, biased, kv_heads):
    bias = draw(1, HEADS, Q_LEN, K_LEN, seed=7).requires_grad_() if biased else None
    results = []
    for fused in (False, True):
        inputs = qkv(kv_heads, requires_grad=True)
        output = attention(*inputs, mask, bias, fused=fused)
        leaves = [*inputs, bias] if biased else inputs
        results.append([output, *torch.autograd.grad(output.square().sum(), leaves)])
    (in_the_open, *gradients), (fused, *fused_gradients) = results
    torch.testing.assert_close(fused, in_the_open, rtol=0, atol=1e-6 * max(1, in_the_open.abs().max().item()))
    for gradient, fused_gradient in zip(gradients, fused_gradients, strict=True):  # which go through more products
        limit = 5e-6 * max(1, gradient.abs().max().item())
        torch.testing.assert_close(fused_gradient, gradient, rtol=0, atol=limit)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fused_equals_open_in_every_dtype(dtype):
    for mask in MASKS.values():
        in_the_open, fused = (attention(*qkv(dtype=dtype), mask, fused=fused) for fused in (False, True))
        assert in_the_open.dtype == fused.dtype == dtype
        assert_same(fused, in_the_open)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_empty_row_gives_zeros_and_zero_gradients(fused, biased, dtype):
    q, k, v = qkv(dtype=dtype, requires_grad=True)
    bias = draw(1, HEADS, Q_LEN, K_LEN, seed=7, dtype=dtype) if biased else None
    output = attention(q, k, v, MASKS["empty row"], bias, fused=fused)
    assert (output[0] == 0).all()
    assert (output[1] != 0).any()
    output.square().sum().backward()
    for tensor in (q, k, v):
        assert (tensor.grad[0] == 0).all()
        assert tensor.grad.isfinite().all()


def test_grouped_heads_share_in_runs():
    q, k, v = qkv(KV_HEADS)
    grouped = attention(q, k, v)
    for head in range(HEADS):
        served_by = head // (HEADS // KV_HEADS)
        alone = attention(q[:, head], k[:, served_by], v[:, served_by])
        torch.testing.assert_close(grouped[:, head], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_heads_that_cannot_be_shared_are_refused(fused):
    q, k, v = qkv(4)
    with pytest.raises(ValueError, match=r"^the heads of q must be divisible by those of k, got 6 and 4$"):
        attention(q, k, v, fused=fused)


def test_the_bias_is_added_to_the_scores():
    q, k, v = qkv()
    bias = torch.zeros(1, 1, 1, K_LEN)
    bias[..., 3] = 100.0
    expected = v[:, :, 3:4].expand(BATCH, HEADS, Q_LEN, HEAD_DIM)
    torch.testing.assert_close(attention(q, k, v, bias=bias), expected, rtol=0, atol=1e-6)


# Heads.


def test_heads_are_runs_of_features():
    x = torch.arange(BATCH * 3 * 10.0).view(BATCH, 3, 10)
    heads = split_heads(x, 5)
    assert heads.shape == (BATCH, 5, 3, 2)
    assert torch.equal(heads[1, 4, 2], x[1, 2, 8:])
    assert torch.equal(merge_heads(heads), x)
    with pytest.raises(ValueError, match=r"^the features must be divisible by num_heads, got 10 and 3$"):
        split_heads(x, 3)


def test_all_numbers_by_hand():
    """Two heads of one feature, two tokens; W_o swaps the heads."""
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    queries, keys, values = torch.eye(2), math.log(3) * torch.eye(2), torch.tensor([[4.0, 0.0], [0.0, 8.0]])
    W_o = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    output = causal_self_attention(x, torch.cat((queries, keys, values), dim=1), W_o, num_heads=2)
    # Token 1, head 0: query 0, so weights 1/2, 1/2 on values 4, 0. Head 1: scores 0 and log 3: 1/4, 3/4 on 0, 8.
    torch.testing.assert_close(output, torch.tensor([[[0.0, 4.0], [6.0, 2.0]]]))


# Self-attention with a cache, cross-attention.


def test_a_cached_query_sees_what_came_before():
    layer = MultiHeadAttention(D_MODEL, HEADS, KV_HEADS).double()
    x = draw(BATCH, K_LEN, D_MODEL, dtype=torch.float64)
    with torch.no_grad():
        whole = layer(x, create_causal_mask(K_LEN))
        cache = KVCache(K_LEN)
        parts = [layer(x[:, i : i + 1], cache=cache) for i in range(K_LEN)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-12)
    assert cache.append(x.new_zeros(BATCH, KV_HEADS, 0, HEAD_DIM),
                        x.new_zeros(BATCH, KV_HEADS, 0, HEAD_DIM))[0].shape == (BATCH, KV_HEADS, K_LEN, HEAD_DIM)


def cross(dtype=torch.float64) -> CrossAttention:
    layer = CrossAttention(D_MODEL, HEADS).to(dtype)
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=number) / D_MODEL**0.5)
    return layer


def test_cross_attention_agrees_with_torch():
    layer = cross()
    x, source = draw(BATCH, Q_LEN, D_MODEL, dtype=torch.float64), draw(BATCH, K_LEN, D_MODEL, seed=1).double()
    mask = create_padding_mask(torch.tensor([4, K_LEN]), K_LEN)
    theirs = nn.MultiheadAttention(D_MODEL, HEADS, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat((layer.W_q.weight, layer.W_k.weight, layer.W_v.weight)))
        theirs.out_proj.weight.copy_(layer.W_o.weight)
    expected, _ = theirs(x, source, source, key_padding_mask=~mask[:, 0, 0])
    torch.testing.assert_close(layer(x, source, mask), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer(x, layer.keys_values(source), mask), expected, rtol=0, atol=1e-12)


def test_cross_attention_shares_keys_and_values_too():
    layer = CrossAttention(D_MODEL, HEADS, num_kv_heads=KV_HEADS)
    x, source = draw(BATCH, Q_LEN, D_MODEL), draw(BATCH, K_LEN, D_MODEL, seed=1)
    keys, values = layer.keys_values(source)
    assert keys.shape == values.shape == (BATCH, KV_HEADS, K_LEN, HEAD_DIM)
    q = split_heads(layer.W_q(x), HEADS)
    expected = layer.W_o(merge_heads(attention(q, keys, values)))
    torch.testing.assert_close(layer(x, source), expected, rtol=0, atol=1e-5)


def test_cross_attention_has_the_shapes_and_names_the_course_promises():
    layer = CrossAttention(64, 8)
    assert layer(torch.zeros(2, 8, 64), torch.zeros(2, 12, 64)).shape == (2, 8, 64)
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {
        f"W_{name}.weight": (64, 64) for name in "qkvo"
    }


def test_an_empty_source_gives_zeros_and_finite_gradients():
    layer = cross(torch.float32)
    x, source = draw(BATCH, Q_LEN, D_MODEL).requires_grad_(), draw(BATCH, K_LEN, D_MODEL, seed=1).requires_grad_()
    output = layer(x, source, create_padding_mask(torch.tensor([0, 3]), K_LEN))
    assert (output[0] == 0).all()
    output.square().sum().backward()
    assert x.grad.isfinite().all()
    assert (source.grad[0] == 0).all()


def test_sizes_that_cannot_be_are_refused():
    for layer in (MultiHeadAttention, CrossAttention):
        with pytest.raises(ValueError, match=r"^d_model must be divisible by num_heads, got 10 and 3$"):
            layer(10, 3)
    with pytest.raises(ValueError, match=r"^num_heads must be divisible by num_kv_heads, got 6 and 4$"):
        MultiHeadAttention(12, 6, 4)
    with pytest.raises(ValueError, match=r"^num_kv_heads must be at least 1, got 0$"):
        MultiHeadAttention(12, 6, 0)


def test_torch_has_not_changed_its_empty_rows():
    """We rely on zeros there; of old, torch gave NaN."""
    q, k, v = qkv()
    mask = combine_masks(MASKS["empty row"], torch.ones(1, 1, Q_LEN, 1, dtype=torch.bool))
    assert (F.scaled_dot_product_attention(q, k, v, attn_mask=mask)[0] == 0).all()
