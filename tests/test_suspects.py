"""Of the three decoders that are handed over, one is honest, and the two others cheat in two ways."""

import torch

from course_lib.decoder import Decoder
from course_lib.masks import create_causal_mask
from course_lib.suspects import suspects

SIZES = {"vocab_size": 11, "d_model": 12, "num_layers": 2, "num_heads": 3, "d_ff": 24}


def test_one_mask_is_causal_one_is_wrong_by_one_place_and_one_hides_nothing():
    masks = {name: config.mask(5)[0, 0] for name, config in suspects(**SIZES).items()}
    assert masks["Ash"].int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
    ]
    assert torch.equal(masks["Birch"], create_causal_mask(5)[0, 0])
    assert masks["Cedar"].all()


def test_they_differ_in_nothing_else_and_can_be_built():
    configs = suspects(**SIZES).values()
    assert len({(c.vocab_size, c.d_model, c.num_layers, c.num_heads, c.d_ff) for c in configs}) == 1
    for config in configs:
        assert Decoder(config)(torch.tensor([[1, 2, 3]])).shape == (1, 3, 11)
