"""The parts of a block by hand, and the two places of the norm."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.blocks import (
    Block,
    FeedForward,
    GatedFeedForward,
    PostNorm,
    PreNorm,
    Stack,
    TransformerConfig,
    initialise,
)
from tests.models import BATCH, SEQ, SIZES, drawn


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


class MinusOne(nn.Module):
    def forward(self, x):
        return x - 1


def test_feed_forward_by_hand():
    layer = FeedForward(2, 3, bias=True, activation=F.relu)
    with torch.no_grad():
        layer.W_in.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        layer.W_in.bias.copy_(torch.tensor([0.0, -5.0, 1.0]))
        layer.W_out.weight.copy_(torch.tensor([[1.0, 10.0, 100.0], [0.0, 0.0, 1.0]]))
        layer.W_out.bias.copy_(torch.tensor([0.5, 0.0]))
    # Inside: (2, 3 - 5, 2 + 3 + 1), of which the second is cut off.
    assert torch.equal(layer(torch.tensor([[[2.0, 3.0]]])), torch.tensor([[[602.5, 6.0]]]))


@pytest.mark.parametrize("activation", [F.silu, F.gelu])
def test_a_gate_multiplies_what_passes_through_it(activation):
    layer = drawn(GatedFeedForward(6, 5, bias=False, activation=activation))
    x = draw(2, 3, 6)
    gate, passing = x @ layer.W_in.weight[:5].T, x @ layer.W_in.weight[5:].T
    expected = (activation(gate) * passing) @ layer.W_out.weight.T
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-5)


def test_the_norm_stands_before_the_layer_or_after_the_sum():
    x = torch.tensor([[[3.0, 5.0]]])
    assert torch.equal(PreNorm(Double(), MinusOne(), 0.0)(x), x + 2 * (x - 1))
    assert torch.equal(PostNorm(Double(), MinusOne(), 0.0)(x), x + 2 * x - 1)


def test_dropout_acts_on_the_layer_and_never_on_the_residual():
    x = torch.ones(1, 1000, 2)
    dropped = PreNorm(Double(), nn.Identity(), 0.5)(x)
    assert set(dropped.unique().tolist()) == {1.0, 5.0}  # 1 + 0, or 1 + 2 / 0.5


def test_pre_norm_ends_in_a_norm_and_post_norm_starts_with_one():
    pre, post = (Stack(TransformerConfig(**SIZES, residual=residual)) for residual in (PreNorm, PostNorm))
    partly = Stack(TransformerConfig(**SIZES, residual=partial(PostNorm)))
    assert type(partly.norm_in) is nn.LayerNorm
    assert (type(pre.norm_in), type(pre.norm_out)) == (nn.Identity, nn.LayerNorm)
    assert (type(post.norm_in), type(post.norm_out)) == (nn.LayerNorm, nn.Identity)


@pytest.mark.parametrize(("residual", "norm_first"), [(PreNorm, True), (PostNorm, False)])
def test_a_block_agrees_with_torch(residual, norm_first):
    """The same weights in nn.TransformerEncoderLayer, whose layout is the same as ours."""
    block = drawn(Block(TransformerConfig(**SIZES, residual=residual))).double()
    theirs = nn.TransformerEncoderLayer(24, 4, 37, 0.0, F.gelu, batch_first=True, norm_first=norm_first).double()
    pairs = {
        "self_attn.in_proj_weight": "self_attention.layer.W_qkv.weight",
        "self_attn.in_proj_bias": "self_attention.layer.W_qkv.bias",
        "self_attn.out_proj.weight": "self_attention.layer.W_o.weight",
        "self_attn.out_proj.bias": "self_attention.layer.W_o.bias",
        "linear1.weight": "feed_forward.layer.W_in.weight", "linear1.bias": "feed_forward.layer.W_in.bias",
        "linear2.weight": "feed_forward.layer.W_out.weight", "linear2.bias": "feed_forward.layer.W_out.bias",
        "norm1.weight": "self_attention.norm.weight", "norm1.bias": "self_attention.norm.bias",
        "norm2.weight": "feed_forward.norm.weight", "norm2.bias": "feed_forward.norm.bias",
    }  # fmt: skip
    ours = block.state_dict()
    assert sorted(pairs.values()) == sorted(ours)
    theirs.load_state_dict({name: ours[mine] for name, mine in pairs.items()})
    x = draw(BATCH, SEQ, 24).double()
    torch.testing.assert_close(block(x), theirs(x), rtol=0, atol=1e-12)


def test_all_blocks_of_a_stack_are_used_in_order():
    stack = drawn(Stack(TransformerConfig(**SIZES)))
    x = draw(BATCH, SEQ, 24)
    by_hand = stack.position.add(x, torch.arange(SEQ)[None])
    for block in stack.blocks:
        by_hand = block(by_hand)
    assert torch.equal(stack(x), stack.norm_out(by_hand))


def test_initial_weights_are_small_and_biases_zero():
    model = Stack(TransformerConfig(**SIZES | {"d_model": 96, "d_ff": 384}))
    initialise(model, torch.Generator().manual_seed(0), std=0.1)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:  # 5 standard errors
            assert abs(parameter.std() - 0.1) < 5 * 0.1 / (2 * parameter.numel()) ** 0.5, name
