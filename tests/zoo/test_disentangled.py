"""DeBERTa: the paper's equations one pair of tokens at a time, and what holds of any encoder made of them."""

import math
from functools import partial

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from course_lib import zoo
from course_lib.heads import MaskedLM
from course_lib.positions import LearnedPositions, RelativePositions, RotaryPositions
from course_lib.zoo import catalogue
from course_lib.zoo.deberta import (
    Deberta,
    DebertaConfig,
    DisentangledAttention,
    OwnProjections,
    clip_distances,
    log_buckets,
)
from tests.models import SIZES, assert_padding_does_not_count, drawn, ids, padding
from tests.zoo import published
from tests.zoo.published import deberta, deberta_v2

LATER = {
    "attention": DisentangledAttention,
    "span": 4,
    "bucket": partial(log_buckets, max_distance=9),
    "distance_norm": nn.LayerNorm,
}
PARTS = {"first": {"span": 3}, "later": LATER}
every_version = pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def model(parts: dict, dtype: torch.dtype = torch.float64) -> Deberta:
    encoder = drawn(catalogue.build(DebertaConfig(**SIZES, **parts)), dtype=dtype)
    encoder.distances.weight.mul_(encoder.config.d_model**0.5)  # as loud as the content
    return encoder


# The equations


def test_each_distance_has_its_row_up_to_the_last():
    """Equation 3 of the paper: 0 from -span on, 2 · span - 1 from span on, and distance + span between them."""
    assert clip_distances(torch.tensor([-100, -4, -3, -2, 0, 2, 3, 100]), span=3).tolist() == [0, 0, 0, 1, 3, 5, 5, 5]


def test_buckets_by_hand():
    """With a span of 8, 0..4 have a row each, and 4 grows to 29 in three steps of 7.25^(1/3): 7.7, 15.0, 29."""
    rows = {0: 8, 1: 9, 2: 10, 3: 11, 4: 12, 5: 13, 7: 13, 8: 14, 14: 14, 15: 15, 29: 15, 30: 15, 500: 15}
    rows |= {-1: 7, -4: 4, -5: 3, -7: 3, -8: 2, -14: 2, -15: 1, -29: 1, -30: 0, -500: 0}
    given = log_buckets(torch.tensor(list(rows)), span=8, max_distance=30)
    assert dict(zip(rows, given.tolist(), strict=True)) == rows


@pytest.mark.parametrize(("span", "most"), [(256, 512), (32, 512), (256, 1024), (2, 3), (7, 30), (48, 101)])
def test_buckets_of_all_distances(span, most):
    distances = torch.arange(-3 * most, 3 * most + 1)
    theirs = make_log_bucket_position(distances, span, most).long()
    assert torch.equal(log_buckets(distances, span, most), (theirs + span).clamp(0, 2 * span - 1))


def by_hand(layer: DisentangledAttention, x: Tensor, allowed: Tensor, distances: Tensor) -> Tensor:
    """Equation 4 and what follows it, for one sequence, one pair of tokens at a time."""
    seq, width = len(x), layer.head_dim
    q_r, k_r = (r[0] for r in layer.project(distances[None]))
    q, k, v = layer.W_q(x), layer.W_k(x), layer.W_v(x)
    heads = torch.zeros(seq, layer.num_heads * width, dtype=x.dtype)
    for h in range(layer.num_heads):
        own = slice(h * width, (h + 1) * width)
        for i in range(seq):
            scores = {}
            for j in range(seq):
                if allowed[i, j]:
                    far = i - j + seq - 1
                    content = q[i, own] @ k[j, own]
                    position = q[i, own] @ k_r[far, own] + q_r[far, own] @ k[j, own]
                    scores[j] = math.exp((content + position) / math.sqrt(3 * width))
            for j, score in scores.items():
                heads[i, own] += score / sum(scores.values()) * v[j, own]
    return layer.W_o(heads)


@pytest.mark.parametrize("head_dim", [None, 5])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [DisentangledAttention, OwnProjections])
def test_attention_by_hand(kind, bias, head_dim):
    layer = drawn(kind(d_model=12, num_heads=3, head_dim=head_dim, bias=bias), dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 7, 12, dtype=torch.float64, generator=generator)
    distances = torch.randn(13, 12, dtype=torch.float64, generator=generator)
    allowed = torch.rand(2, 1, 7, 7, generator=generator) < 0.6
    allowed[0, 0, 3] = False
    expected = torch.stack([by_hand(layer, x[b], allowed[b, 0], distances) for b in range(2)])
    torch.testing.assert_close(layer(x, allowed, distances), expected, rtol=0, atol=1e-12)


def test_a_query_that_may_attend_to_nothing_gives_zeros():
    layer = drawn(DisentangledAttention(d_model=12, num_heads=3))
    allowed = torch.ones(5, 5, dtype=torch.bool)
    allowed[2] = False
    got = layer(torch.randn(2, 5, 12), allowed, torch.randn(9, 12))
    assert torch.equal(got[:, 2], layer.W_o.bias.expand(2, 12))
    assert got.isfinite().all()
    assert not torch.equal(got[:, 1], got[:, 2])


# The model


@every_version
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_padding_does_not_count(parts, side, dtype):
    encoder = model(parts, dtype)
    assert_padding_does_not_count(encoder, side)
    assert_padding_does_not_count(drawn(MaskedLM(encoder), dtype=dtype), side)


@every_version
def test_the_order_of_tokens_counts_and_where_the_sequence_stands_does_not(parts):
    encoder = model(parts)
    tokens = ids()
    assert (encoder(tokens.flip(1)).flip(1) - encoder(tokens)).abs().max() > 0.01
    elsewhere = encoder(tokens, positions=torch.arange(3, 14)[None])
    assert torch.equal(elsewhere, encoder(tokens))


@every_version
def test_positions_may_be_added_and_not_be_told_in_another_way(parts):
    learned = model(parts | {"position": LearnedPositions})
    assert (learned(ids()) - learned(ids(), positions=torch.arange(3, 14)[None])).abs().max() > 0.1
    for position in (RelativePositions, RotaryPositions):
        with pytest.raises(ValueError, match="disentangled attention tells distances by itself"):
            model(parts | {"position": position})(ids())


@every_version
def test_what_is_given_is_checked(parts):
    encoder = model(parts)
    with pytest.raises(ValueError, match="mask must fit"):
        encoder(ids(), padding("left")[:, 0, 0])
    with pytest.raises(TypeError, match="mask must be boolean"):
        encoder(ids(), padding("left").long())
    with pytest.raises(ValueError, match="ids must have shape"):
        encoder(ids()[0])


@every_version
def test_a_generator_decides_all_weights(parts):
    config = DebertaConfig(**SIZES, **parts)
    one, same, other = (Deberta(config, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name])
        assert torch.equal(tensor, other.state_dict()[name]) == ("norm" in name or name.endswith("bias"))
    assert 0.01 < one.distances.weight.std() < 0.03


def test_dropout_reaches_the_distances():
    encoder = model({"span": 3, "dropout": 0.5}).train()
    encoder.stack.dropout = nn.Dropout(0.5)
    for block in encoder.stack.blocks:
        block.self_attention.dropout.p = block.feed_forward.dropout.p = 0.0
    encoder.embedding.weight.zero_()
    encoder.stack.norm_in.weight.zero_()
    encoder.stack.norm_in.bias.zero_()  # nothing to drop in the content
    assert not torch.equal(encoder(ids()), encoder(ids()))
    assert torch.equal(encoder.eval()(ids()), encoder(ids()))


def test_counts_by_hand():
    """With different primes wherever they may be: v tokens, width d, L layers, f inside, s distances on each side."""
    v, L, h, c, f, s = 101, 3, 2, 13, 31, 7
    d = h * c
    sizes = {"vocab_size": v, "d_model": d, "num_layers": L, "num_heads": h, "d_ff": f, "span": s}
    rest = 2 * d * f + f + d + 2 * 2 * d  # the feed-forward layer and two norms
    first = v * d + 2 * s * d + 2 * d + L * (6 * d * d + 4 * d + rest)
    assert zoo.count_parameters(DebertaConfig(**sizes)) == first
    assert zoo.count_parameters(deberta()) == first
    later = v * d + 2 * s * d + 2 * d + 2 * d + L * (4 * d * d + 4 * d + rest)
    assert zoo.count_parameters(DebertaConfig(**sizes | LATER | {"span": s})) == later
    assert zoo.count_parameters(deberta_v2(position_buckets=s)) == later


@pytest.mark.parametrize(
    ("error", "changed", "said"),
    [
        (ValueError, {"num_kv_heads": 2}, "num_kv_heads must be num_heads in DeBERTa, got 2 and 4"),
        (ValueError, {"span": 0}, "span must be at least 1, got 0"),
        (TypeError, {"span": 7.0}, "span must be a whole number, got 7.0"),
        (ValueError, LATER | {"span": 1}, "span must be at least 2, got 1"),
        (ValueError, LATER | {"span": 16}, "max_distance must be more than 9 with a span of 16, got 9"),
        (ValueError, {"num_heads": 5}, "d_model must be divisible by num_heads, got 24 and 5"),
    ],
)
def test_sizes_that_cannot_go_together(error, changed, said):
    with pytest.raises(error, match=f"^{said}$"):
        DebertaConfig(**SIZES | changed)


def test_the_published_head_is_the_one_of_the_course():
    """A `MaskedLM` has as many parameters as the published one, whose output matrix is the embedding."""
    ours = MaskedLM(Deberta(DebertaConfig(vocab_size=101, d_model=26, num_layers=3, num_heads=2, d_ff=31, span=7)))
    theirs = transformers.DebertaForMaskedLM(transformers.DebertaConfig(**published.DEBERTA))
    assert zoo.count_parameters(ours) == zoo.count_parameters(theirs)
