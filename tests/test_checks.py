"""Ids and masks that torch would broadcast into wrong numbers are refused by every model."""

from inspect import unwrap

import pytest
import torch

from course_lib.checks import require_ids, require_mask, require_padding_mask
from course_lib.decoder import Decoder, DecoderConfig, mask_and_positions
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.heads import pool
from course_lib.masks import create_causal_mask
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from tests.models import BATCH, SEQ, SIZES, ids


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bool)


@pytest.mark.parametrize("shape", [(1, 1, 1, 11), (3, 1, 1, 11), (3, 4, 11, 11), (1, 4, 1, 11), (1, 1, 11, 11)])
def test_masks_that_fit_are_let_through(shape):
    require_mask(ones(*shape), 3, 4, 11, 11)


@pytest.mark.parametrize("shape", [
    (3, 11), (11, 11), (3, 1, 11), (3, 1, 11, 1), (2, 1, 1, 11), (3, 2, 11, 11), (3, 1, 5, 11), (3, 1, 1, 1),
    (3, 1, 1, 7),
])  # fmt: skip
def test_masks_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"^mask must fit \(batch, heads, q_len, k_len\) = \(3, 4, 11, 11\), got"):
        require_mask(ones(*shape), 3, 4, 11, 11)


@pytest.mark.parametrize("shape", [(3, 11), (3, 1, 11, 11), (3, 1, 1, 1), (3, 1, 1, 12), (2, 1, 1, 11), (1, 1, 11, 11)])
def test_only_a_padding_mask_is_a_padding_mask(shape):
    with pytest.raises(ValueError, match=r"^mask must be a padding mask, \(batch, 1, 1, k_len\) = \(3, 1, 1, 11\)"):
        require_padding_mask(ones(*shape), 3, 11)
    require_padding_mask(ones(1, 1, 1, 11), 3, 11)


@pytest.mark.parametrize("given", [torch.ones(3, 1, 1, 11), [[True]], torch.ones(3, 1, 1, 11, dtype=torch.long)])
def test_masks_are_boolean(given):
    for check in (lambda: require_mask(given, 3, 4, 11, 11), lambda: require_padding_mask(given, 3, 11)):
        with pytest.raises(TypeError, match=r"^mask must be boolean, True = may attend, got "):
            check()


def test_ids_are_whole_numbers_in_a_batch():
    with pytest.raises(TypeError, match=r"^ids must be a tensor of shape .*, got a list$"):
        require_ids([[1, 2]])
    for shape in ((5,), (2, 3, 4), (2, 0)):
        with pytest.raises(ValueError, match=r"^ids must have shape"):
            require_ids(torch.zeros(shape, dtype=torch.long))
    for dtype in (torch.float32, torch.bool):
        with pytest.raises(TypeError, match=r"^ids must be whole numbers, got "):
            require_ids(torch.zeros(2, 3, dtype=dtype))


ENCODER, DECODER = Encoder(EncoderConfig(**SIZES)), Decoder(DecoderConfig(**SIZES))
BOTH = EncoderDecoder(EncoderDecoderConfig(**SIZES))


def test_every_model_asks(monkeypatch):
    for module in ("decoder", "seq2seq"):  # as where shapes in signatures are not checked
        monkeypatch.setattr(f"course_lib.{module}.mask_and_positions", unwrap(mask_and_positions))
    flat, causal = ones(BATCH, SEQ), create_causal_mask(SEQ)
    hidden, write = unwrap(Decoder.hidden), unwrap(EncoderDecoder.hidden)
    with pytest.raises(ValueError, match="mask must fit"):
        unwrap(Encoder.forward)(ENCODER, ids(), flat)
    for mask in (flat, causal):
        with pytest.raises(ValueError, match="mask must be a padding mask"):
            hidden(DECODER, ids(), mask)
        with pytest.raises(ValueError, match="mask must be a padding mask"):
            unwrap(EncoderDecoder.encode)(BOTH, ids(), mask)
        with pytest.raises(ValueError, match="mask must be a padding mask"):
            write(BOTH, ids(), BOTH.encode(ids()), mask)
    for run in (unwrap(Encoder.forward), hidden):
        with pytest.raises(ValueError, match="ids must have shape"):
            run(ENCODER if run is not hidden else DECODER, ids()[0])


def test_a_configuration_of_another_family_is_refused():
    with pytest.raises(TypeError, match=r"^a decoder is made of a DecoderConfig, got a EncoderConfig$"):
        unwrap(Decoder.__init__)(Decoder.__new__(Decoder), EncoderConfig(**SIZES))
    with pytest.raises(TypeError, match=r"^an encoder-decoder is made of an EncoderDecoderConfig, got a DecoderC"):
        unwrap(EncoderDecoder.__init__)(EncoderDecoder.__new__(EncoderDecoder), DecoderConfig(**SIZES))


def test_a_float_mask_does_not_pool():
    with pytest.raises(TypeError, match=r"^mask must be boolean"):
        unwrap(pool)(torch.zeros(BATCH, SEQ, 2), torch.ones(BATCH, 1, 1, SEQ))
