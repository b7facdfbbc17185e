"""Positions: their numbers by hand, what they leave invariant, and the published buckets."""

import math

import pytest
import torch

from course_lib.config import Sizes
from course_lib.positions import (
    LearnedPositions,
    Positions,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
    count_positions,
    relative_buckets,
    rope,
    rotate,
    rotation,
    sinusoids,
)

SIZES = Sizes(vocab_size=9, d_model=12, num_layers=1, num_heads=3, d_ff=5, max_len=7)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_sinusoids_by_hand():
    waves = sinusoids(torch.tensor([0, 3]), 4)
    expected = torch.tensor([[0.0, 1.0, 0.0, 1.0], [math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)]])
    torch.testing.assert_close(waves, expected, rtol=0, atol=1e-6)


def test_sinusoids_of_a_shift_are_a_rotation_of_the_first():
    """The property the paper chose them for: PE(p + k) is a linear function of PE(p)."""
    waves = sinusoids(torch.arange(30), 6).unflatten(-1, (3, 2))
    speeds = torch.tensor([1.0, 10_000 ** (-2 / 6), 10_000 ** (-4 / 6)]) * 4
    turn = torch.stack((torch.stack((speeds.cos(), speeds.sin()), -1), torch.stack((-speeds.sin(), speeds.cos()), -1)))
    shifted = torch.einsum("pfi,ifo->pfo", waves[:-4].flip(-1), turn)  # (cos, sin) of each wave, turned
    torch.testing.assert_close(shifted.flip(-1), waves[4:], rtol=0, atol=1e-5)


def test_rope_by_hand():
    """Feature pair 0 turns by the position, pair 1 a hundredth of it; pairs are (0, 2) and (1, 3)."""
    x = torch.tensor([[[[1.0, 0.0, 0.0, 2.0]]]])
    expected = torch.tensor([math.cos(5), -2 * math.sin(0.05), math.sin(5), 2 * math.cos(0.05)])
    torch.testing.assert_close(rope(x, torch.tensor([5]))[0, 0, 0], expected, rtol=0, atol=1e-6)


def test_rope_keeps_lengths_and_makes_scores_depend_on_distance_alone():
    q, k = draw(2, 3, 11, 10), draw(2, 3, 11, 10, seed=1)
    near, far = torch.arange(11), torch.arange(11) + 17
    torch.testing.assert_close(rope(q, far).norm(dim=-1), q.norm(dim=-1), rtol=1e-5, atol=0)
    torch.testing.assert_close(rope(q, near) @ rope(k, near).mT, rope(q, far) @ rope(k, far).mT, rtol=0, atol=1e-4)
    assert not torch.allclose(rope(q, near) @ rope(k, near).mT, rope(q, far) @ rope(k, near).mT, atol=0.1)


def test_rope_is_the_papers_up_to_the_order_of_features():
    """The paper turns neighbours (2i, 2i + 1), as complex numbers; scores are the same."""
    q, k, positions = draw(1, 1, 7, 8), draw(1, 1, 7, 8, seed=1), torch.arange(7)
    turns = torch.polar(torch.ones(7, 4), positions[:, None] * 10_000 ** (-torch.arange(0, 8, 2) / 8))

    def paper(x):
        return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (4, 2))) * turns).flatten(-2)

    order = [0, 2, 4, 6, 1, 3, 5, 7]  # first all the first of pairs, then all the second
    torch.testing.assert_close(rope(q[..., order], positions), paper(q)[..., order], rtol=0, atol=1e-6)
    ours = rope(q[..., order], positions) @ rope(k[..., order], positions).mT
    torch.testing.assert_close(ours, paper(q) @ paper(k).mT, rtol=0, atol=1e-5)


def test_each_row_may_have_positions_of_its_own():
    x, positions = draw(2, 3, 4, 6), torch.tensor([[0, 1, 2, 3], [0, 0, 5, 6]])
    together = rotate(x, *rotation(positions, 6))
    for row in range(2):
        assert torch.equal(together[row], rope(x[row : row + 1], positions[row])[0])


def test_rotate_keeps_the_dtype():
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert rope(draw(1, 1, 3, 4).to(dtype), torch.arange(3)).dtype == dtype


def test_the_buckets_as_published():
    """32 buckets, 128 far: eight of one distance, eight wider ones, on each side."""
    behind = -torch.tensor([0, 1, 7, 8, 11, 12, 15, 16, 22, 23, 31, 32, 45, 46, 63, 64, 90, 91, 127, 128, 9999])
    expected = [0, 1, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 15, 15]
    assert relative_buckets(behind).tolist() == expected
    assert relative_buckets(-behind)[1:].tolist() == [16 + bucket for bucket in expected[1:]]


def test_the_buckets_of_a_decoder_know_no_future():
    distances = torch.tensor([5, 1, 0, -1, -15, -16, -18, -19, -127, -128])
    assert relative_buckets(distances, bidirectional=False).tolist() == [0, 0, 0, 1, 15, 16, 16, 17, 31, 31]


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "far"), [(32, 128), (8, 16), (20, 50)])
def test_the_buckets_equal_a_published_implementation(bidirectional, buckets, far):
    from transformers.models.t5.modeling_t5 import T5Attention

    distances = torch.arange(-300, 301)
    theirs = T5Attention._relative_position_bucket(distances, bidirectional, buckets, far)
    assert torch.equal(relative_buckets(distances, bidirectional, buckets, far), theirs)


def test_the_bias_of_the_last_queries_is_the_bottom_of_the_whole():
    positions = RelativePositions(SIZES, num_buckets=8, max_distance=5)
    whole = positions.bias(6, 6)
    assert whole.shape == (1, 3, 6, 6)
    assert torch.equal(positions.bias(2, 6), whole[:, :, 4:])
    assert torch.equal(whole[0, :, 0, 1], positions.table.weight[4 + 1])  # one ahead: the other half of the buckets
    assert torch.equal(whole[0, :, 1, 0], positions.table.weight[1])


def test_positions_are_counted_from_the_first_real_token():
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]]).bool()[:, None, None]
    assert count_positions(mask).tolist() == [[0, 1, 2, 2], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_each_way_acts_in_one_place():
    x, where = draw(2, 5, 12), torch.arange(5)[None]
    for way, adds, turns, biases in (
        (Positions, False, False, False),
        (LearnedPositions, True, False, False),
        (SinusoidalPositions, True, False, False),
        (RotaryPositions, False, True, False),
        (RelativePositions, False, False, True),
    ):
        positions = way(SIZES)
        did = (not torch.equal(positions.add(x, where), x), positions.rotation(where) is not None,
               positions.bias(5, 5) is not None)
        assert did == (adds, turns, biases), way


def test_sinusoidal_embeddings_are_scaled_as_in_the_paper():
    x = torch.ones(1, 1, 12)
    added = SinusoidalPositions(SIZES).add(x, torch.tensor([[0]]))
    torch.testing.assert_close(added, 12**0.5 * x + torch.tensor([0.0, 1.0] * 6))


def test_odd_widths_are_refused():
    odd = Sizes(vocab_size=9, d_model=9, num_layers=1, num_heads=3, d_ff=5)
    with pytest.raises(ValueError, match=r"^d_model must be even, got 9$"):
        SinusoidalPositions(odd)
    with pytest.raises(ValueError, match=r"^head_dim must be even, got 3$"):
        RotaryPositions(odd)
    with pytest.raises(ValueError, match=r"^d_model must be even, got 7$"):
        sinusoids(torch.arange(3), 7)
    with pytest.raises(ValueError, match=r"^head_dim must be even, got 5$"):
        rope(draw(1, 1, 3, 5), torch.arange(3))


def test_sinusoids_are_added_at_every_position():
    x, where = draw(2, 5, 12), torch.tensor([[0, 1, 2, 3, 4], [7, 7, 8, 100, 1000]])
    expected = x * 12**0.5 + sinusoids(where, 12)
    torch.testing.assert_close(SinusoidalPositions(SIZES).add(x, where), expected, rtol=0, atol=1e-6)


def test_the_base_slows_the_waves_down():
    x, positions = draw(1, 1, 3, 4), torch.tensor([0, 5, 9])
    slow = RotaryPositions(SIZES, base=100.0)
    cos, sin = slow.rotation(positions[None])
    torch.testing.assert_close(rotate(x, cos, sin), rope(x, positions, base=100.0), rtol=0, atol=0)
    assert not torch.allclose(rope(x, positions, base=100.0), rope(x, positions), atol=0.01)


def test_angles_do_not_depend_on_the_default_dtype():
    expected = rotation(torch.tensor([[1001]]), 8)
    for dtype in (torch.float64, torch.bfloat16):
        torch.set_default_dtype(dtype)
        try:
            got = rotation(torch.tensor([[1001]]), 8)
        finally:
            torch.set_default_dtype(torch.float32)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize(("buckets", "far", "message"), [
    (3, 9, r"^num_buckets must be at least 2 for each direction, got 3$"),
    (8, 2, r"^max_distance must be more than 2, which have a bucket each, got 2$"),
])  # fmt: skip
def test_buckets_that_cannot_be_are_refused(buckets, far, message):
    with pytest.raises(ValueError, match=message):
        relative_buckets(torch.arange(5), True, buckets, far)
    with pytest.raises(ValueError, match=message):
        RelativePositions(SIZES, True, buckets, far)
