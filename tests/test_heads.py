"""The heads: their values by hand, and that none of them reads padding."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.heads import MaskedLM, SequenceClassifier, SequenceRegressor, SpanQA, TokenClassifier, pool
from course_lib.masks import create_padding_mask
from course_lib.zoo.bert import Bert, BertConfig
from tests.models import BATCH, SEQ, SIZES, VOCAB, drawn, ids, other

LABELS = 5
HIDDEN = torch.tensor([[[1.0, 10.0], [3.0, 30.0], [8.0, 80.0]], [[2.0, 20.0], [4.0, 40.0], [9.0, 90.0]]])


def encoder() -> Encoder:
    return drawn(Encoder(EncoderConfig(**SIZES)))


def decoder() -> Decoder:
    return drawn(Decoder(DecoderConfig(**SIZES)))


def mask() -> torch.Tensor:
    return create_padding_mask(torch.tensor([SEQ, 7, 3]), SEQ)


@pytest.mark.parametrize(("how", "first", "second"), [
    ("mean", [2.0, 20.0], [2.0, 20.0]), ("first", [1.0, 10.0], [2.0, 20.0]), ("last", [3.0, 30.0], [2.0, 20.0])
])  # fmt: skip
def test_pool_by_hand(how, first, second):
    pooled = pool(HIDDEN, create_padding_mask(torch.tensor([2, 1]), 3), how)
    assert torch.equal(pooled, torch.tensor([first, second]))


def test_pool_with_padding_on_the_left():
    left = create_padding_mask(torch.tensor([2, 1]), 3).flip(-1)
    assert torch.equal(pool(HIDDEN, left, "first"), torch.tensor([[3.0, 30.0], [9.0, 90.0]]))
    assert torch.equal(pool(HIDDEN, left, "last"), torch.tensor([[8.0, 80.0], [9.0, 90.0]]))


def test_pool_without_a_mask_and_of_nothing():
    assert torch.equal(pool(HIDDEN), HIDDEN.mean(1))
    nothing = create_padding_mask(torch.tensor([0, 3]), 3)
    for how in ("mean", "first", "last"):
        assert torch.equal(pool(HIDDEN, nothing, how)[0], torch.zeros(2))


HEADS = {
    "masked LM": lambda: MaskedLM(encoder()),
    "classes": lambda: SequenceClassifier(encoder(), LABELS),
    "classes of a decoder": lambda: SequenceClassifier(decoder(), LABELS, how="last"),
    "regression": lambda: SequenceRegressor(encoder()),
    "tokens": lambda: TokenClassifier(encoder(), LABELS),
    "span": lambda: SpanQA(encoder()),
}
SHAPES = {
    "masked LM": (BATCH, SEQ, VOCAB),
    "classes": (BATCH, LABELS),
    "classes of a decoder": (BATCH, LABELS),
    "regression": (BATCH,),
    "tokens": (BATCH, SEQ, LABELS),
    "span": (2, BATCH, SEQ),
}


def run(model, tokens, mask):
    out = model(tokens, mask)
    return torch.stack(out) if isinstance(out, tuple) else out


@pytest.mark.parametrize("kind", HEADS)
def test_what_lies_in_the_padding_does_not_count(kind):
    model = drawn(HEADS[kind]())
    real = mask()[:, 0, 0]
    before = run(model, ids(), mask())
    after = run(model, torch.where(real, ids(), other(ids())), mask())
    assert before.shape == SHAPES[kind]
    if kind in ("masked LM", "tokens"):
        before, after = before[real], after[real]
    assert torch.equal(before, after)
    assert not torch.equal(run(model, other(ids()), mask()), run(model, ids(), mask()))


@pytest.mark.parametrize("kind", HEADS)
def test_a_generator_decides_the_weights_of_a_head(kind):
    made = {
        "masked LM": lambda body, g: MaskedLM(body, g),
        "classes": lambda body, g: SequenceClassifier(body, LABELS, generator=g),
        "classes of a decoder": lambda body, g: SequenceClassifier(decoder(), LABELS, "last", generator=g),
        "regression": lambda body, g: SequenceRegressor(body, generator=g),
        "tokens": lambda body, g: TokenClassifier(body, LABELS, generator=g),
        "span": lambda body, g: SpanQA(body, generator=g),
    }[kind]
    first, second = (made(encoder(), torch.Generator().manual_seed(3)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_no_answer_starts_or_ends_in_padding():
    model = drawn(SpanQA(encoder()))
    with torch.no_grad():
        model.linear.bias.fill_(-1000)
    for logits in model(ids(), mask()):
        assert (logits.argmax(-1) < torch.tensor([SEQ, 7, 3])).all()
        assert logits.isfinite().all()


def test_a_decoder_is_read_at_its_last_token_and_an_encoder_at_all():
    assert SequenceClassifier(decoder(), LABELS).how == SequenceRegressor(decoder()).how == "last"
    assert SequenceClassifier(encoder(), LABELS).how == SequenceRegressor(encoder()).how == "mean"


def test_the_masked_lm_head_shares_the_embedding():
    model = MaskedLM(encoder())
    added = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in model.encoder.parameters())
    assert added == 24 * 24 + 24 + 2 * 24 + VOCAB  # dense, norm and one bias a token


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"^num_labels must be at least 1, got 0$"):
        TokenClassifier(encoder(), 0)
    with pytest.raises(ValueError, match=r"^how must be 'first', 'last' or 'mean', got 'max'$"):
        SequenceClassifier(encoder(), LABELS, how="max")
    with pytest.raises(ValueError, match=r"^how must be 'first', 'last' or 'mean', got 'cls'$"):
        pool(HIDDEN, how="cls")


def test_the_masked_lm_head_by_hand():
    """Dense, GELU, the encoder's kind of norm, the embedding, and a bias for each token (BERT's own order)."""
    model = drawn(MaskedLM(Encoder(EncoderConfig(**SIZES, norm=nn.RMSNorm))))
    dense, norm = model.transform[0], model.transform[2]
    x = F.gelu(F.linear(model.encoder(ids()), dense.weight, dense.bias))
    x = F.rms_norm(x, (24,), norm.weight)
    expected = x @ model.encoder.embedding.weight.T + model.bias
    torch.testing.assert_close(model(ids()), expected, rtol=0, atol=1e-4)


def test_the_first_logit_of_a_span_is_its_start():
    model = drawn(SpanQA(encoder()))
    both = F.linear(model.body(ids()), model.linear.weight, model.linear.bias)
    start, end = model(ids())
    torch.testing.assert_close(start, both[..., 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(end, both[..., 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [MaskedLM, lambda body: SequenceClassifier(body, LABELS), SequenceRegressor,
                                  lambda body: TokenClassifier(body, LABELS), SpanQA])
def test_token_types_reach_the_encoder(make):
    model = drawn(make(Bert(BertConfig(**SIZES))))
    plain, paired = (run_with(model, types) for types in (torch.zeros_like(ids()), torch.ones_like(ids())))
    assert torch.equal(plain, run(model, ids(), None))
    assert not torch.equal(plain, paired)


def run_with(model, token_types):
    out = model(ids(), token_types=token_types)
    return torch.stack(out) if isinstance(out, tuple) else out
