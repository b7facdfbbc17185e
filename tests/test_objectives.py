"""Objectives: losses by hand and against torch, which positions count, and what is refused."""

import math
import re
from inspect import unwrap

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.objectives import (
    IGNORE,
    masked_lm_loss,
    next_token_labels,
    next_token_loss,
    prefix_lm_labels,
    prefix_lm_loss,
    shift_right,
    token_loss,
)

BATCH, N, VOCAB = 3, 7, 13
START, END, PAD = 1, 2, 0


def padding(mask):
    """The padding mask as models take it."""
    return None if mask is None else mask[:, None, None]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, shape, generator=seeded(seed))


def draw_logits(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, VOCAB, generator=seeded(seed), dtype=dtype)


def real_tokens(*rows: str) -> Tensor:
    """Turn rows such as "..xx" into a mask: x is a real token, a point padding."""
    return torch.tensor([[mark == "x" for mark in row] for row in rows])


# token_loss


def test_token_loss_by_hand():
    logits = torch.tensor([[[3.0, 1.0], [9.0, 1.0]], [[1.0, 7.0], [1.0, 3.0]]]).log()
    labels = torch.tensor([[0, IGNORE], [1, 0]])  # probabilities 3/4, 7/8 and 1/4
    expected = (math.log(4 / 3) + math.log(8 / 7) + math.log(4)) / 3
    assert token_loss(logits, labels).item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_token_loss_agrees_with_torch_on_the_kept_positions(dtype, atol):
    logits, labels = draw_logits(BATCH, N, dtype=dtype), draw_ids(BATCH, N, seed=1)
    labels[draw_ids(BATCH, N, seed=2) > 5] = IGNORE
    kept = labels.flatten() != IGNORE
    expected = F.cross_entropy(logits.flatten(0, 1)[kept], labels.flatten()[kept])
    torch.testing.assert_close(token_loss(logits, labels), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_token_loss_of_half_precision_logits_is_taken_in_single_precision(dtype):
    logits, labels = draw_logits(BATCH, N).to(dtype), draw_ids(BATCH, N, seed=1)
    loss = token_loss(logits, labels)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, token_loss(logits.float(), labels))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32])
def test_labels_may_have_any_signed_integer_dtype(dtype):
    logits, labels = draw_logits(BATCH, N), draw_ids(BATCH, N, seed=1)
    labels[:, 3] = IGNORE
    assert torch.equal(token_loss(logits, labels.to(dtype)), token_loss(logits, labels))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 5)])
def test_token_loss_takes_any_number_of_axes(shape):
    logits, labels = draw_logits(*shape), draw_ids(*shape, seed=1)
    expected = F.cross_entropy(logits.reshape(-1, VOCAB), labels.flatten())
    torch.testing.assert_close(token_loss(logits, labels), expected, rtol=0, atol=1e-6)


def test_what_stands_where_no_label_is_changes_nothing_and_gets_no_gradient():
    logits, labels = draw_logits(BATCH, N), draw_ids(BATCH, N, seed=1)
    labels[:, 2] = IGNORE
    before = token_loss(logits, labels)
    logits[:, 2] = torch.tensor([1e30, 7.0, -1e30])[:, None]
    logits.requires_grad_()
    after = token_loss(logits, labels)
    after.backward()
    assert torch.equal(before, after)
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, 2] == 0).all()
    assert (logits.grad[:, [0, 1, 3]] != 0).all()


def test_masked_lm_loss_is_the_loss_of_the_labelled_positions_by_hand():
    logits = torch.tensor([[[3.0, 1.0], [1.0, 7.0], [9.0, 1.0]]]).log()
    labels = torch.tensor([[0, 1, IGNORE]])
    assert masked_lm_loss(logits, labels).item() == pytest.approx((math.log(4 / 3) + math.log(8 / 7)) / 2, abs=1e-7)


# next_token


def test_next_token_labels_by_hand():
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, PAD, PAD], [PAD, PAD, 5, 6], [PAD, 5, PAD, PAD]])
    mask = real_tokens("xxxx", "xx..", "..xx", ".x..")
    none = [IGNORE] * 4
    assert next_token_labels(ids, padding(mask)).tolist() == [
        [6, 7, 8, IGNORE],
        [6, IGNORE, IGNORE, IGNORE],
        [IGNORE, IGNORE, 6, IGNORE],
        none,
    ]
    assert next_token_labels(ids[:2]).tolist() == [[6, 7, 8, IGNORE], [6, PAD, PAD, IGNORE]]
    assert next_token_labels(ids[:1, :1]).tolist() == [[IGNORE]]


def test_next_token_labels_agree_with_a_loop():
    ids, mask = draw_ids(BATCH, N), draw_ids(BATCH, N, seed=1) > 3
    for b, row in enumerate(next_token_labels(ids, padding(mask)).tolist()):
        for t, label in enumerate(row):
            counts = t + 1 < N and mask[b, t] and mask[b, t + 1]
            assert label == (ids[b, t + 1] if counts else IGNORE)


def test_next_token_loss_by_hand():
    ids = torch.tensor([[0, 1, 1]])
    logits = torch.tensor([[[1.0, 3.0], [1.0, 7.0], [5.0, 1.0]]]).log()  # the last position predicts nothing
    expected = (math.log(4 / 3) + math.log(8 / 7)) / 2
    assert next_token_loss(logits, ids).item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_next_token_loss_agrees_with_torch(dtype):
    logits, ids = draw_logits(BATCH, N).to(dtype), draw_ids(BATCH, N)
    wide = logits.double() if dtype == torch.float64 else logits.float()
    expected = F.cross_entropy(wide[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(next_token_loss(logits, ids), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pads", [(2, 0, 3), (1, 2, 4)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_leaves_the_loss_of_the_bare_sequences(side, pads):
    logits, ids = draw_logits(BATCH, N), draw_ids(BATCH, N)
    mask = torch.ones(BATCH, N, dtype=torch.bool)
    losses, counts = [], []
    for b, pad in enumerate(pads):
        real = slice(pad, N) if side == "left" else slice(0, N - pad)
        mask[b] = False
        mask[b, real] = True
        losses.append(next_token_loss(logits[b : b + 1, real], ids[b : b + 1, real]) * (N - pad - 1))
        counts.append(N - pad - 1)
    expected = sum(losses) / sum(counts)
    torch.testing.assert_close(next_token_loss(logits, ids, padding(mask)), expected, rtol=0, atol=1e-6)
    changed = torch.where(mask, ids, (ids + 1) % VOCAB)  # another padding token changes nothing
    assert torch.equal(next_token_loss(logits, changed, padding(mask)), next_token_loss(logits, ids, padding(mask)))


def test_a_model_that_knows_the_next_token_has_no_loss():
    ids = draw_ids(BATCH, N)
    knowing = 100 * F.one_hot(ids.roll(-1, dims=1), VOCAB).float()
    copying = 100 * F.one_hot(ids, VOCAB).float()
    assert next_token_loss(knowing, ids) == 0
    assert next_token_loss(copying, ids) > 50


# prefix_lm


def test_prefix_labels_by_hand():
    ids = torch.tensor([[5, 6, 7, 8]] * 5)
    assert prefix_lm_labels(ids, torch.arange(5)).tolist() == [
        [6, 7, 8, IGNORE],
        [6, 7, 8, IGNORE],
        [IGNORE, 7, 8, IGNORE],
        [IGNORE, IGNORE, 8, IGNORE],
        [IGNORE, IGNORE, IGNORE, IGNORE],
    ]


def test_prefix_labels_with_padding_by_hand():
    ids = torch.tensor([[5, 6, 7, 8, PAD], [PAD, 5, 6, 7, 8]])
    labels = prefix_lm_labels(ids, torch.tensor([2, 3]), padding(real_tokens("xxxx.", ".xxxx")))
    assert labels.tolist() == [[IGNORE, 7, 8, IGNORE, IGNORE], [IGNORE, IGNORE, 7, 8, IGNORE]]


@pytest.mark.parametrize("mask", [None, torch.ones(BATCH, N, dtype=torch.bool).tril(4)], ids=["bare", "padded"])
def test_prefix_loss_counts_the_targets_behind_the_prefix(mask):
    logits, ids = draw_logits(BATCH, N), draw_ids(BATCH, N)
    assert torch.equal(prefix_lm_loss(logits, ids, 0, padding(mask)), next_token_loss(logits, ids, padding(mask)))
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
    for prefix in range(1, N - 2):
        kept = real[:, prefix:].flatten()
        predictions, targets = logits[:, prefix - 1 : -1].flatten(0, 1), ids[:, prefix:].flatten()
        expected = F.cross_entropy(predictions[kept], targets[kept])
        torch.testing.assert_close(prefix_lm_loss(logits, ids, prefix, padding(mask)), expected, rtol=0, atol=1e-6)


def test_one_prefix_length_is_the_same_for_every_sequence():
    ids = draw_ids(BATCH, N)
    assert torch.equal(prefix_lm_labels(ids, 3), prefix_lm_labels(ids, torch.full((BATCH,), 3)))
    assert torch.equal(prefix_lm_labels(ids, 3), prefix_lm_labels(ids, torch.full((BATCH,), 3, dtype=torch.int32)))


# shift_right


def test_shift_right_by_hand():
    labels = torch.tensor([[7, 8, 9, END], [7, END, IGNORE, IGNORE]])
    assert shift_right(labels, START, PAD).tolist() == [[START, 7, 8, 9], [START, 7, END, PAD]]
    assert shift_right(labels[0], START).tolist() == [START, 7, 8, 9]
    assert shift_right(labels[:1, :1], START).tolist() == [[START]]


def test_each_decoder_input_is_the_label_before():
    labels = draw_ids(BATCH, N)
    inputs = shift_right(labels, START)
    assert (inputs[:, 0] == START).all()
    assert torch.equal(inputs[:, 1:], labels[:, :-1])
    # Predicting the labels from there is predicting the next token of start + labels.
    logits = draw_logits(BATCH, N + 1)
    whole = torch.cat([inputs[:, :1], labels], dim=1)
    torch.testing.assert_close(token_loss(logits[:, :-1], labels), next_token_loss(logits, whole), rtol=0, atol=1e-6)


# all of them


def test_nothing_is_changed_in_place():
    ids, mask, prefix = draw_ids(BATCH, N), draw_ids(BATCH, N, seed=1) > 3, torch.tensor([0, 2, 3])
    labels = ids.masked_fill(~mask, IGNORE)
    logits = draw_logits(BATCH, N)
    given = (ids, mask, prefix, labels, logits)
    kept = [tensor.clone() for tensor in given]
    next_token_labels(ids, padding(mask))
    next_token_loss(logits, ids, padding(mask))
    prefix_lm_labels(ids, prefix, padding(mask))
    prefix_lm_loss(logits, ids, prefix, padding(mask))
    shift_right(labels, START, PAD)
    shift_right(ids, START)
    masked_lm_loss(logits, labels)
    assert all(torch.equal(now, then) for now, then in zip(given, kept, strict=True))


IDS, LOGITS = torch.tensor([[4, 5, 6]]), torch.zeros(1, 3, 7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: token_loss(LOGITS, torch.full((1, 3), IGNORE)),
            "at least one label must differ from -100, got 3 labels and none does",
        ),
        (
            lambda: next_token_loss(LOGITS[:, :1], IDS[:, :1]),
            "at least one label must differ from -100, got 1 labels and none does",
        ),
        (
            lambda: prefix_lm_loss(LOGITS, IDS, 3),
            "at least one label must differ from -100, got 3 labels and none does",
        ),
        (lambda: token_loss(LOGITS, IDS + 1), "labels other than -100 must be between 0 and 6, got 7"),
        (lambda: token_loss(LOGITS, IDS - 5), "labels other than -100 must be between 0 and 6, got -1"),
        (lambda: prefix_lm_labels(IDS, 9), "prefix_lengths must be between 0 and 3, got 9"),
        (lambda: prefix_lm_labels(IDS, torch.tensor([-1])), "prefix_lengths must be between 0 and 3, got -1"),
        (
            lambda: shift_right(torch.tensor([5, IGNORE, IGNORE]), START),
            "pad_id is needed where labels are -100, got None and 2 such labels",
        ),
        # The tests check annotations too; unwrapped, the functions speak as they do to a learner.
        (
            lambda: unwrap(token_loss)(LOGITS, IDS[:, :2]),
            "labels must have the shape of the logits without vocab, got (1, 2) and (1, 3, 7)",
        ),
        (
            lambda: unwrap(next_token_labels)(IDS, real_tokens("xx")),
            "mask must be a padding mask, (batch, 1, 1, k_len) = (1, 1, 1, 3), got (1, 2)",
        ),
        (
            lambda: unwrap(prefix_lm_labels)(IDS, torch.tensor([1, 2])),
            "prefix_lengths must be one number or have shape (1,), got (2,)",
        ),
    ],
)
def test_wrong_values_are_refused_with_the_numbers(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_a_mask_that_is_not_boolean_is_refused():
    with pytest.raises(TypeError, match=r"^mask must be boolean, True = may attend, got torch\.int64$"):
        unwrap(next_token_labels)(IDS, torch.ones_like(IDS))


def test_bytes_have_room_for_ignore():
    ids = torch.tensor([[200, 3, 7, 250]], dtype=torch.uint8)
    assert unwrap(next_token_labels)(ids).tolist() == [[3, 7, 250, IGNORE]]
    with pytest.raises(TypeError, match=r"^labels must be signed whole numbers, got torch\.uint8$"):
        unwrap(token_loss)(torch.zeros(1, 4, 256), ids)
    with pytest.raises(TypeError, match=r"^labels must be signed whole numbers, got torch\.float32$"):
        unwrap(token_loss)(torch.zeros(1, 4, 256), ids.float())
