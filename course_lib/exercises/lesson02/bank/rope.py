"""Known mistakes and right answers for `rope`."""

import torch

from course_lib import positions
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson02 import run

__all__ = ["ROPE"]

UNTOUCHED = "x stays as it was"


def _speeds(head_dim):
    return 10_000.0 ** (-torch.arange(0, head_dim, 2) / head_dim)


def _halves(x):
    return x.chunk(2, dim=-1)


def _turned(x, cos, sin):
    left, right = _halves(x)
    return torch.cat((left * cos - right * sin, left * sin + right * cos), dim=-1)


def turner(speeds=_speeds, count=lambda x, positions: positions, turn=_turned):
    """Make a rope from its steps; as they stand they make a right one.

    speeds: the angle of each pair at position 1. count: the positions that are used. turn: x by cosines and sines.
    """

    def rope(x, positions):
        angles = count(x, positions)[:, None] * speeds(x.shape[-1])
        return turn(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype))

    return rope


def _neighbours(x, cos, sin):
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def _neighbours_put_in_halves(x, cos, sin):
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.cat((even * cos - odd * sin, even * sin + odd * cos), dim=-1)


def _half_turned(x, cos, sin):
    left, right = _halves(x)
    return x * cos.repeat_interleave(2, -1) + torch.cat((-right, left), dim=-1) * sin.repeat_interleave(2, -1)


def _neighbours_turned(x, cos, sin):
    partner = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    return x * cos.repeat(1, 2) + partner * sin.repeat(1, 2)


def _swapped(x, cos, sin):
    left, right = _halves(x)
    return torch.cat((left * cos - right * sin, right * cos - left * sin), dim=-1)


def _both_plus(x, cos, sin):
    left, right = _halves(x)
    return torch.cat((left * cos + right * sin, right * cos + left * sin), dim=-1)


def _minus_below(x, cos, sin):
    left, right = _halves(x)
    return torch.cat((left * cos - right * sin, left * sin - right * cos), dim=-1)


def _left_alone(x, cos, sin):
    left, right = _halves(x)
    return torch.cat((left * cos - right * sin, right), dim=-1)


def _without_partner(x, cos, sin):
    return x * cos.repeat(1, 2) + x * sin.repeat(1, 2)


def _cosines_alone(x, cos, sin):
    return x * cos.repeat(1, 2)


def _sinusoids_added(x, cos, sin):
    return x + torch.stack((sin, cos), dim=-1).flatten(-2)


def _halves_added(x, cos, sin):
    return x + torch.cat((sin, cos), dim=-1)


def _updated_too_soon(x, cos, sin):
    left, right = _halves(x)
    left = left * cos - right * sin
    right = left * sin + right * cos
    return torch.cat((left, right), dim=-1)


def _joined_in_between(x, cos, sin):
    left, right = _halves(x)
    return torch.stack((left * cos - right * sin, left * sin + right * cos), dim=-1).flatten(-2)


def _mixed_dtypes(x, positions):
    angles = positions[:, None] * _speeds(x.shape[-1])
    return _turned(x, angles.cos(), angles.sin())


def _angles_in_the_dtype_of_x(x, positions):
    angles = positions[:, None].to(x.dtype) * _speeds(x.shape[-1]).to(x.dtype)
    return _turned(x, angles.cos(), angles.sin())


def _writes_into_x(x, positions):
    turned = _by_rolling(x, positions)
    x[:] = turned
    return x


def _by_half_turns(x, positions):
    frequencies = 1.0 / 10_000 ** (torch.arange(0, x.shape[-1], 2).float() / x.shape[-1])
    angles = torch.outer(positions.float(), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    left, right = x.chunk(2, dim=-1)
    return x * angles.cos().to(x.dtype) + torch.cat((-right, left), dim=-1) * angles.sin().to(x.dtype)


def _by_complex_numbers(x, positions):
    half = x.shape[-1] // 2
    speeds = 10_000.0 ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = positions[:, None] * speeds
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    numbers = torch.complex(wide[..., :half].contiguous(), wide[..., half:].contiguous())
    turned = numbers * torch.complex(angles.cos().to(wide.dtype), angles.sin().to(wide.dtype))
    return torch.cat((turned.real, turned.imag), dim=-1).to(x.dtype)


def _by_matrices(x, positions):
    half = x.shape[-1] // 2
    angles = positions[:, None] * _speeds(x.shape[-1])
    rows = torch.stack((angles.cos(), -angles.sin(), angles.sin(), angles.cos()), dim=-1)
    pairs = torch.stack((x[..., :half], x[..., half:]), dim=-1)
    turned = torch.einsum("nirc,bhnic->bhnir", rows.unflatten(-1, (2, 2)).to(x.dtype), pairs)
    return turned.transpose(-1, -2).flatten(-2)


def _by_pairs(x, positions):
    half = x.shape[-1] // 2
    out = torch.empty_like(x)
    for i in range(half):
        angle = positions * 10_000.0 ** torch.tensor(-2 * i / x.shape[-1])
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        out[..., i] = x[..., i] * cos - x[..., i + half] * sin
        out[..., i + half] = x[..., i] * sin + x[..., i + half] * cos
    return out


def _by_rolling(x, positions):
    half = x.shape[-1] // 2
    angles = (positions[:, None] * _speeds(x.shape[-1])).repeat(1, 2)
    sign = torch.ones(x.shape[-1])
    sign[:half] = -1
    return (x * angles.cos() + x.roll(half, dims=-1) * (sign * angles.sin())).to(x.dtype)


ROPE = Exercise(
    side=run.ROPE,
    reference=positions.rope,
    groups={run.TURNED: 2, run.ELSEWHERE: 1, run.DISTANCE: 1, run.DTYPE: 1, UNTOUCHED: 1},
    core=(run.TURNED, run.ELSEWHERE),
    form=(run.DTYPE,),
    judge=Equality(atol=2e-5, dtype=run.DTYPE, untouched=UNTOUCHED),
    optional=True,
    difficulty=4,
    minutes=15,
    misconceptions={
        "neighbours are paired": Misconception(
            turner(turn=_neighbours),
            "You turn neighbours, (0, 1), (2, 3), …, as the paper does, and the scores are as good. Here the pairs are "
            "made of the two halves, features m and m + head_dim/2, as in GPT-NeoX and the transformers library.",
        ),
        "halves turned by the angles of neighbours": Misconception(
            turner(turn=_half_turned),
            "Your pairs are the halves, and the angles are laid out for neighbours (a, a, b, b, …), so the two of a "
            "pair turn by different angles. Lay them out as the halves are: a, b, …, a, b, ….",
        ),
        "neighbours turned by the angles of halves": Misconception(
            turner(turn=_neighbours_turned),
            "Your pairs are neighbours, and the angles are laid out for halves (a, b, …, a, b, …), so the two of a "
            "pair turn by different angles. Take the halves for the pairs too: features m and m + head_dim/2.",
        ),
        "turned backwards": Misconception(
            turner(turn=lambda x, cos, sin: _turned(x, cos, -sin)),
            "You turn the other way round. A positive angle takes (1, 0) to (cos, sin): the first of a pair becomes "
            "left · cos - right · sin, the second left · sin + right · cos.",
        ),
        "both signs are minus": Misconception(
            turner(turn=_swapped),
            "The first half is right and the second has a sign too many: right · cos plus left · sin. With two "
            "minuses lengths change, and a rotation keeps them.",
        ),
        "both signs are plus": Misconception(
            turner(turn=_both_plus),
            "The second half is right and the first has the wrong sign: left · cos minus right · sin. With two "
            "pluses lengths change, and a rotation keeps them.",
        ),
        "the second half has the wrong sign": Misconception(
            turner(turn=_minus_below),
            "The first half is right and the second has the wrong sign: left · sin plus right · cos. With a minus "
            "there the pair is mirrored, not turned.",
        ),
        "cosine and sine are swapped": Misconception(
            turner(turn=lambda x, cos, sin: _turned(x, sin, cos)),
            "Cosine and sine have changed places. At position 0 the angle is 0, and x should stay as it is: there the "
            "cosine is 1.",
        ),
        "the second half stays": Misconception(
            turner(turn=_left_alone),
            "The first half of the features is right and the second is as it was. A rotation moves both of a pair: the "
            "second becomes left · sin + right · cos.",
        ),
        "no partner": Misconception(
            turner(turn=_without_partner),
            "Each feature is multiplied by its own cosine and sine. The sine belongs to its partner in the other half: "
            "torch.cat((-right, left), dim=-1).",
        ),
        "the cosines alone": Misconception(
            turner(turn=_cosines_alone),
            "Features are multiplied by the cosine and shrink. What a feature loses its partner gains: the part with "
            "the sine is missing.",
        ),
        "the new half is used too soon": Misconception(
            turner(turn=_updated_too_soon),
            "The first half is right, and the second is made from the new first half. Keep the old one under its own "
            "name until both are done.",
        ),
        "the halves are joined in turn": Misconception(
            turner(turn=_joined_in_between),
            "The numbers are right and stand in another order: you put the two of a pair side by side. The halves stay "
            "halves: torch.cat of both along the last axis.",
        ),
        "added instead of turned": Misconception(
            turner(turn=_sinusoids_added),
            "You add sines and cosines, as sinusoidal positions do to embeddings. Rotary positions add nothing: they "
            "turn each pair of features, and lengths stay.",
        ),
        "all pairs turn alike": Misconception(
            turner(speeds=lambda head_dim: torch.ones(head_dim // 2)),
            "All pairs turn by the position itself. Each pair has a speed of its own, 10000^(-2m/head_dim): the first "
            "turns by 1 a position, the last hardly at all.",
        ),
        "the exponent is not divided by head_dim": Misconception(
            turner(speeds=lambda head_dim: 10_000.0 ** -torch.arange(0.0, head_dim, 2)),
            "Only the first pair turns as it should: the others hardly move. The exponent is -2m / head_dim, from 0 to "
            "nearly -1.",
        ),
        "m instead of 2m": Misconception(
            turner(speeds=lambda head_dim: 10_000.0 ** (-torch.arange(head_dim // 2) / head_dim)),
            "Your pairs turn too fast, all but the first: the exponent goes from 0 to -1/2. It is -2m / head_dim, "
            "where m counts pairs; torch.arange(0, head_dim, 2) is 2m.",
        ),
        "the 2 is counted twice": Misconception(
            turner(speeds=lambda head_dim: 10_000.0 ** (-torch.arange(0, head_dim, 2) / (head_dim // 2))),
            "Your pairs turn too slowly, all but the first: the exponent goes from 0 to -2. arange(0, head_dim, 2) is "
            "2m already: divide it by head_dim, and multiply by no other 2.",
        ),
        "the sign of the exponent": Misconception(
            turner(speeds=lambda head_dim: 10_000.0 ** (torch.arange(0, head_dim, 2) / head_dim)),
            "Your later pairs turn thousands of times as fast as the first. The exponent is negative: each pair turns "
            "more slowly than the one before.",
        ),
        "another base": Misconception(
            turner(speeds=lambda head_dim: 1_000.0 ** (-torch.arange(0, head_dim, 2) / head_dim)),
            "Only your first pair turns at its speed, and the others are the farther off the later they stand: the "
            "base is 10000. Count the zeros.",
        ),
        "positions are ignored": Misconception(
            turner(count=lambda x, positions: torch.arange(x.shape[-2])),
            "You number the tokens 0, 1, 2, … yourself. Use the positions that are given: with a cache the next token "
            "comes alone, and its position is not 0.",
        ),
        "positions start at 1": Misconception(
            turner(count=lambda x, positions: positions + 1),
            "Every token is turned one step too far. The positions come as they are to be used, and position 0 stays "
            "as it is.",
        ),
        "another dtype comes back": Misconception(
            _mixed_dtypes,
            "The numbers are right and the dtype is not; what was expected and what came is said below. Make the "
            "angles in float32, and give cosines and sines, or the result, the dtype of x.",
        ),
        "angles in half precision": Misconception(
            _angles_in_the_dtype_of_x,
            "Far from the start your angles are wrong in bfloat16, which has three digits: of 1027 it makes 1024, "
            "three radians away. Make the angles in float32, and round cosines and sines alone.",
        ),
        "x is overwritten": Misconception(
            _writes_into_x,
            "The numbers are right, and the caller's x was overwritten: x[…] = … and chunks of x with *= write into "
            "it. Make a new tensor, with torch.cat or torch.empty_like(x).",
        ),
    },
    variants={
        "neighbours are paired": (turner(turn=_neighbours_put_in_halves),),
        "another base": (turner(speeds=lambda head_dim: 100_000.0 ** (-torch.arange(0, head_dim, 2) / head_dim)),),
        "added instead of turned": (turner(turn=_halves_added),),
        "positions are ignored": (turner(count=lambda x, positions: positions - positions[0]),),
        "another dtype comes back": (
            lambda x, p: positions.rope(x.float(), p),
            lambda x, p: positions.rope(x.double(), p),
        ),
        "the 2 is counted twice": (
            turner(speeds=lambda head_dim: 10_000.0 ** (-2 * torch.arange(0, head_dim, 2) / head_dim)),
        ),
    },
    alternatives=[_by_half_turns, _by_complex_numbers, _by_matrices, _by_pairs, _by_rolling],
    hints=(
        "A clock hand at (1, 0) is turned by an angle: where does it point? And one at (a, b)? Each pair of features "
        "is such a hand, and its angle grows with the position.",
        "angles = positions[:, None] * speeds has shape (seq, head_dim/2), with the speeds 10000^(-2m/head_dim). Take "
        "cosines and sines, and cut x into a left and a right half.",
        "The left half becomes left · cos - right · sin, the right half left · sin + right · cos; join them along the "
        "last axis, in the dtype of x.",
    ),
)
