"""Small models of every kind for the tests, with weights that are not small, since small ones hide mistakes."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.blocks import FeedForward, GatedFeedForward, PostNorm
from course_lib.masks import create_padding_mask, create_sliding_window_mask
from course_lib.positions import RelativePositions, RotaryPositions, SinusoidalPositions

BATCH, SEQ, VOCAB = 3, 11, 29
SIZES = {"vocab_size": VOCAB, "d_model": 24, "num_layers": 2, "num_heads": 4, "d_ff": 37, "max_len": 23}
# What the published families are made of, and ours; each is one set of parts.
PARTS = {
    "gpt-2": {},
    "llama": {
        "norm": nn.RMSNorm,
        "position": RotaryPositions,
        "feed_forward": GatedFeedForward,
        "num_kv_heads": 2,
        "bias": False,
        "tied": False,
    },
    "t5": {
        "norm": nn.RMSNorm,
        "position": partial(RelativePositions, num_buckets=8, max_distance=9),
        "feed_forward": partial(FeedForward, activation=F.relu),
        "head_dim": 5,
        "bias": False,
    },
    "2017": {
        "position": SinusoidalPositions,
        "feed_forward": partial(FeedForward, activation=F.relu),
        "residual": PostNorm,
    },
}
DECODER_PARTS = PARTS | {"window": {"mask": partial(create_sliding_window_mask, window=3), "num_kv_heads": 1}}
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def drawn(model: nn.Module, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Draw every parameter from N(0, 1), biases and norms too, matrices divided by the root of their inputs.

    So every layer gives numbers about as large as it gets: N(0, 1) throughout makes a network in which rounding alone
    changes the result by several per cent (in bfloat16), and in which a test could not be strict.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 1.0
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return model.to(dtype).eval()


def talkative(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights drawn so that what is written depends on what was read.

    Biases would prefer one token for ever; loud embeddings let the tokens be heard.
    """
    drawn(model, seed, torch.float64)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif name == "embedding.weight":
                parameter.mul_(10)
    return model


def ids(batch: int = BATCH, seq: int = SEQ, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCAB, (batch, seq), generator=torch.Generator().manual_seed(seed))


LENGTHS = [SEQ, 7, 3]  # how much of each row is real, where rows are padded


def padding(side: str) -> torch.Tensor:
    mask = create_padding_mask(torch.tensor(LENGTHS), SEQ)
    return mask.flip(-1) if side == "left" else mask


def assert_padding_does_not_count(run: Callable[..., torch.Tensor], side: str) -> None:
    """Other tokens in the padding change nothing, bit for bit, and each row is what it is alone."""
    tokens, mask = ids(), padding(side)
    real = mask[:, 0, 0]
    assert real.sum(-1).tolist() == LENGTHS
    before, after = run(tokens, mask), run(torch.where(real, tokens, other(tokens)), mask)
    assert torch.equal(before[real], after[real])
    assert before.isfinite().all()
    for row in range(BATCH):
        assert_same(before[row, real[row]], run(tokens[row, real[row]][None])[0])


def other(tokens: torch.Tensor) -> torch.Tensor:
    """Other tokens, each different from the one in its place."""
    return (tokens + 1) % VOCAB


def assert_same(ours: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal up to rounding: 30 units in the last place of the largest number, in bfloat16 7.

    Five times what other orders of summation were seen to make of it (6 units in float64 and float32, 1.4 in
    bfloat16); a mistake differs by the numbers themselves.
    """
    units = 7 if ours.dtype == torch.bfloat16 else 30
    tolerance = units * torch.finfo(ours.dtype).eps * expected.abs().max().item()
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance)
