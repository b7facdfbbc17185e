"""Pretraining objectives: which tokens a model must predict, from what it is shown, and what a mistake costs.

An objective is two things: labels, which hold the token to predict or IGNORE, and one loss, the same for all of them.
Objectives that cut spans out of the text are in `denoising`. Randomness comes from `generator` alone; without one,
from torch's own default generator.
"""

from collections.abc import Collection

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from course_lib.checks import require_padding_mask

__all__ = [
    "IGNORE",
    "mask_tokens",
    "masked_lm_loss",
    "next_token_labels",
    "next_token_loss",
    "prefix_lm_labels",
    "prefix_lm_loss",
    "shift_right",
    "token_loss",
]

IGNORE = -100  # the label of a position that is not predicted; also the default ignore_index of F.cross_entropy


def token_loss(logits: Float[Tensor, "*shape vocab"], labels: Int[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Give the mean cross-entropy, in nats, over the positions whose label is not IGNORE.

    It is the negative log-likelihood of the labels (Goodfellow et al. 2016, section 5.5), divided by their number.
    Logits at positions without a label do not count. Every predicted token weighs the same, so a
    batch's loss is not the mean of its rows' losses when the rows have unequal numbers of labels.

    Shapes: logits (..., vocab), labels (...), any signed integer dtype; returns a scalar, in at least float32.
    Raises ValueError if the shapes disagree, no position has a label, or a label is outside the vocabulary, and
    TypeError if labels are not signed whole numbers.

    Examples:
    >>> logits = torch.tensor([[3.0, 1.0], [9.0, 9.0]]).log()
    >>> round(token_loss(logits, torch.tensor([0, IGNORE])).exp().item(), 4)  # 1 / P(0) = 4 / 3
    1.3333
    """
    if labels.dtype not in (torch.int8, torch.int16, torch.int32, torch.int64):
        raise TypeError(f"labels must be signed whole numbers, got {labels.dtype}")
    if logits.shape[:-1] != labels.shape:
        shapes = f"{tuple(labels.shape)} and {tuple(logits.shape)}"
        raise ValueError(f"labels must have the shape of the logits without vocab, got {shapes}")
    counts = labels != IGNORE
    targets = labels[counts].long()
    if not len(targets):
        raise ValueError(f"at least one label must differ from {IGNORE}, got {labels.numel()} labels and none does")
    for label in targets.aminmax():
        _require_between(f"labels other than {IGNORE}", label.item(), 0, logits.shape[-1] - 1)
    if 2 * len(targets) > labels.numel():  # a copy of most logits costs more than passing over some
        kept, targets = logits.reshape(-1, logits.shape[-1]), labels.flatten().long()
    else:
        kept = logits[counts]
    if kept.dtype in (torch.float16, torch.bfloat16):
        kept = kept.float()
    return F.cross_entropy(kept, targets, ignore_index=IGNORE)


def masked_lm_loss(logits: Float[Tensor, "*shape vocab"], labels: Int[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Give the loss on the positions that `mask_tokens` selected, and on no other (Devlin et al. 2018, section 3.1).

    Shapes: logits (..., vocab), labels (...); returns a scalar. Errors as in `token_loss`.

    Examples:
    >>> logits = torch.zeros(1, 3, 8)  # every token of 8 equally likely
    >>> round(masked_lm_loss(logits, torch.tensor([[IGNORE, 5, IGNORE]])).exp().item(), 4)
    8.0
    """
    return token_loss(logits, labels)


def mask_tokens(
    ids: Int[Tensor, "*shape"],
    mask_id: int,
    vocab_size: int,
    special_ids: Collection[int] = (),
    rate: float = 0.15,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, "*shape"], Int[Tensor, "*shape"]]:
    """Hide tokens for a masked language model to find (Devlin et al. 2018, section 3.1).

    Each token that is not special is selected with probability `rate`, independently of the others, as most
    implementations do (BERT's own code takes a fixed share of each sequence). A selected token becomes the mask token
    with probability `mask_share`, a random token with probability `random_share`, drawn evenly from all ids that are
    not special (so now and then it is the same token), and otherwise stays. A short sequence may have no token
    selected. Each call draws anew: called for each batch it is the dynamic masking of RoBERTa (Liu et al. 2019,
    section 4.1), called once for a data set it is the static masking that RoBERTa replaced.

    special_ids: padding, start, end and the like, never selected and never drawn; mask_id always belongs to them.
    Shapes: ids (...); returns inputs and labels, both new and shaped like ids. Labels hold the original id where a
    token was selected, IGNORE elsewhere.
    Raises ValueError if an id is outside the vocabulary, a share is not a probability, or no id is left to draw.

    Examples:
    >>> ids = torch.tensor([[1, 10, 11, 12, 2]])
    >>> inputs, labels = mask_tokens(ids, 3, 20, special_ids=(1, 2), rate=1, mask_share=1, random_share=0)
    >>> inputs.tolist(), labels.tolist()
    ([[1, 3, 3, 3, 2]], [[-100, 10, 11, 12, -100]])
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate must be above 0 and at most 1, got {rate}")
    _require_between("mask_share", mask_share, 0, 1)
    _require_between("random_share", random_share, 0, 1)
    if mask_share + random_share > 1:
        raise ValueError(f"mask_share + random_share must be at most 1, got {mask_share} and {random_share}")
    special = {mask_id, *special_ids}
    for name, values in (("mask_id", [mask_id]), ("special_ids", special), ("ids", ids.unique().tolist())):
        for value in values:
            _require_between(name, value, 0, vocab_size - 1)
    if len(special) == vocab_size:
        raise ValueError(f"vocab_size must be above the number of special ids, got {vocab_size} and {len(special)}")
    is_special = torch.zeros(vocab_size, dtype=torch.bool, device=ids.device)
    is_special[list(special)] = True
    ordinary = (~is_special).nonzero().flatten().to(ids.dtype)

    device = "cpu" if generator is None else generator.device  # a generator draws on its own device only
    draws = torch.rand(2, *ids.shape, generator=generator, device=device).to(ids.device)
    choices = torch.randint(len(ordinary), ids.shape, generator=generator, device=device).to(ids.device)
    selected = (draws[0] < rate) & ~is_special[ids.long()]
    becomes_mask = selected & (draws[1] < mask_share)
    becomes_random = selected & ~becomes_mask & (draws[1] < mask_share + random_share)
    inputs = torch.where(becomes_random, ordinary[choices], ids).masked_fill(becomes_mask, mask_id)
    return inputs, _signed(ids).masked_fill(~selected, IGNORE)


def next_token_labels(
    ids: Int[Tensor, "batch n"], mask: Bool[Tensor, "#batch 1 1 n"] | None = None
) -> Int[Tensor, "batch n"]:
    """Label each position with the token after it (Radford et al. 2018, section 3.1).

    The last position has no token after it. Padding on either side is left out: a real token does not predict
    padding, and padding in front of a sequence does not predict its first token.

    mask: the padding mask, True = real token, as `masks.create_padding_mask` makes it.
    Shapes: ids (batch, n), mask (batch, 1, 1, n); returns (batch, n), IGNORE where nothing is predicted.
    Raises TypeError if the mask is not boolean, ValueError if its shape is another.

    Examples:
    >>> next_token_labels(torch.tensor([[7, 8, 9, 0]]), create_padding_mask(torch.tensor([3]), 4)).tolist()
    [[8, 9, -100, -100]]
    """
    labels = _signed(ids).roll(-1, dims=1)
    labels[:, -1:] = IGNORE
    if mask is None:
        return labels
    require_padding_mask(mask, *ids.shape)
    real = mask[:, 0, 0]
    return labels.masked_fill(~(real & real.roll(-1, dims=1)), IGNORE)


def next_token_loss(
    logits: Float[Tensor, "batch n vocab"],
    ids: Int[Tensor, "batch n"],
    mask: Bool[Tensor, "#batch 1 1 n"] | None = None,
) -> Float[Tensor, ""]:
    """Give the loss of a causal language model: the logits at position t predict token t + 1.

    Every real token but a sequence's first is a target (Radford et al. 2018, section 3.1).
    Shapes: logits (batch, n, vocab), ids (batch, n), mask (batch, 1, 1, n); returns a scalar. The shift is made here:
    logits and ids come from the same positions. Labels as in `next_token_labels`, errors also as in `token_loss`.

    Examples:
    >>> ids = torch.tensor([[0, 1, 1]])
    >>> logits = torch.tensor([[[1.0, 3.0], [1.0, 3.0], [9.0, 1.0]]]).log()  # the last has nothing to predict
    >>> round(next_token_loss(logits, ids).exp().item(), 4)
    1.3333
    """
    return token_loss(logits, next_token_labels(ids, mask))


def prefix_lm_labels(
    ids: Int[Tensor, "batch n"],
    prefix_lengths: int | Int[Tensor, " batch"],
    mask: Bool[Tensor, "#batch 1 1 n"] | None = None,
) -> Int[Tensor, "batch n"]:
    """Label each position with the token after it, if that token lies behind the prefix (Raffel et al. 2020, 3.2.1).

    The prefix is read in both directions, so its tokens are seen, not predicted; its last position predicts the first
    token behind it. Prefix 0 and prefix 1 give `next_token_labels`, since nothing predicts the first token.

    prefix_lengths: one number, or one for each sequence, counted from position 0, padding included.
    Shapes: ids (batch, n), prefix_lengths () or (batch,), mask (batch, 1, 1, n); returns (batch, n), IGNORE where
    nothing is predicted.
    Raises ValueError if a prefix length is not in 0..n or their shape is wrong; for the mask as in
    `next_token_labels`.

    Examples:
    >>> prefix_lm_labels(torch.tensor([[5, 6, 7, 8]]), 2).tolist()
    [[-100, 7, 8, -100]]
    """
    batch, n = ids.shape
    prefix = torch.as_tensor(prefix_lengths, device=ids.device)
    if prefix.shape not in ((), (batch,)):
        raise ValueError(f"prefix_lengths must be one number or have shape ({batch},), got {tuple(prefix.shape)}")
    for length in prefix.flatten().tolist():
        _require_between("prefix_lengths", length, 0, n)
    target = torch.arange(1, n + 1, device=ids.device)
    return next_token_labels(ids, mask).masked_fill(target < prefix.reshape(-1, 1), IGNORE)


def prefix_lm_loss(
    logits: Float[Tensor, "batch n vocab"],
    ids: Int[Tensor, "batch n"],
    prefix_lengths: int | Int[Tensor, " batch"],
    mask: Bool[Tensor, "#batch 1 1 n"] | None = None,
) -> Float[Tensor, ""]:
    """Give the loss of a prefix language model: next-token prediction, on the tokens behind the prefix only.

    Source: Raffel et al. 2020, section 3.2.1.
    Shapes: logits (batch, n, vocab); the others, and errors, as in `prefix_lm_labels` and `token_loss`. A prefix of
    all n tokens leaves nothing to predict, which is an error if it is so in every sequence.

    Examples:
    >>> logits, ids = torch.zeros(1, 3, 8), torch.tensor([[5, 6, 7]])
    >>> bool(prefix_lm_loss(logits, ids, 0) == next_token_loss(logits, ids))
    True
    """
    return token_loss(logits, prefix_lm_labels(ids, prefix_lengths, mask))


def shift_right(labels: Int[Tensor, "*batch n"], start_id: int, pad_id: int | None = None) -> Int[Tensor, "*batch n"]:
    """Turn labels into the inputs of a decoder under teacher forcing: a start token first, the last token dropped.

    Position t then reads the labels before t and predicts label t, so the loss is `token_loss(logits, labels)`, with
    no further shift (Vaswani et al. 2017, section 3.1: "offset by one position").

    pad_id: what stands for IGNORE, which a decoder cannot read; needed only if labels hold it.
    Shapes: labels (..., n); returns a new tensor of the same shape.
    Raises ValueError if labels hold IGNORE and there is no pad_id.

    Examples:
    >>> shift_right(torch.tensor([[7, 8, 2, IGNORE]]), start_id=1, pad_id=0).tolist()
    [[1, 7, 8, 2]]
    """
    ignored = labels == IGNORE
    if pad_id is not None:
        labels = labels.masked_fill(ignored, pad_id)
    elif ignored.any():
        raise ValueError(f"pad_id is needed where labels are {IGNORE}, got None and {ignored.sum()} such labels")
    inputs = labels.roll(1, dims=-1)
    inputs[..., :1] = start_id
    return inputs


def _signed(ids: Tensor) -> Tensor:
    """Bytes have no room for IGNORE."""
    return ids.long() if ids.dtype == torch.uint8 else ids


def _require_between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {value}")
