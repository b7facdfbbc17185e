"""Denoising objectives: damage the text, and let an encoder-decoder write what is missing.

T5 cuts spans out and asks for the spans alone; BART damages the text and asks for all of it back. Randomness comes
from `generator` alone; without one, from torch's own default generator.
"""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import chain, pairwise

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = [
    "join_spans",
    "permute_sentences",
    "raw_length_for",
    "span_corrupt",
    "span_corruption_lengths",
    "text_infilling",
]


def span_corruption_lengths(raw_length: int, density: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    """Give the lengths of the inputs and the targets that `span_corrupt` makes from raw_length tokens.

    noise = round(raw_length · density), at least 1 and at most raw_length - 1; spans = round(noise / mean_span), at
    least 1; a half is rounded to the even number. Each span costs one sentinel on both sides, and both sides end in
    one end token: inputs = raw_length - noise + spans + 1, targets = noise + spans + 1 (Raffel et al. 2020, section
    3.3.4, and its published code). There are never more spans than kept tokens, a case the published rule leaves open.

    Raises ValueError if raw_length is below 2, density not between 0 and 1, or mean_span below 1.

    Examples:
    >>> span_corruption_lengths(568)  # 85 tokens in 28 spans: 483 + 28 + 1 and 85 + 28 + 1
    (512, 114)
    """
    noise, spans = _noise_and_spans(raw_length, density, mean_span)
    return raw_length - noise + spans + 1, noise + spans + 1


def raw_length_for(input_length: int, density: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    """Give the largest raw length whose inputs fit into input_length, and the length of its targets.

    The published code of T5 (Raffel et al. 2020) does the same, but takes one token less if density is 0.5 and the
    targets would otherwise be longer than the inputs.

    Raises ValueError if input_length is below 3, which is what two raw tokens need; for the rest as in
    `span_corruption_lengths`.

    Examples:
    >>> raw_length_for(512)
    (568, 114)
    """
    if input_length < 3:
        raise ValueError(f"input_length must be at least 3, got {input_length}")
    _require_density_and_span(density, mean_span)
    # The inputs of one raw token more are as long or longer by one, and hold at least raw · (1 - density) tokens.
    candidates = range(2, int(input_length / (1 - density)) + 1)
    fitting = bisect_right(candidates, input_length, key=lambda n: span_corruption_lengths(n, density, mean_span)[0])
    raw_length = candidates[fitting - 1]
    return raw_length, span_corruption_lengths(raw_length, density, mean_span)[1]


def span_corrupt(
    ids: Int[Tensor, " n"],
    sentinel_ids: Sequence[int],
    eos_id: int,
    density: float = 0.15,
    mean_span: float = 3.0,
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, " n_inputs"], Int[Tensor, " n_targets"]]:
    """Cut random spans out of a text: the inputs keep the rest, the targets hold the spans (Raffel et al. 2020, 3.3.4).

    Noise and kept tokens are each cut into the same number of non-empty parts, all ways to cut equally likely. The
    parts alternate, kept text first, so the last token is always noise. Each noise part is one fresh sentinel in the
    inputs, in the order of sentinel_ids, and stands behind the same sentinel in the targets. One span, from
    mean_span = math.inf, leaves a prefix and asks for its continuation: the S-denoiser of UL2 (Tay et al. 2022).

    What closes the targets is eos_id, not a sentinel: the 114 targets of 568 tokens are 85 noise tokens, 28 sentinels,
    one for each span, and eos_id. Section 3.1.4 and figure 2 of the paper close them with a final sentinel instead,
    which would stand for kept words at the end; here a text never ends in any.

    ids: one sequence without its end token.
    Shapes: ids (n,); returns inputs and targets, (n_inputs,) and (n_targets,) as `span_corruption_lengths(n)` says.
    Raises ValueError if ids are not one sequence, sentinels too few, not all different or found in ids; for numbers as
    in `span_corruption_lengths`.

    Examples:
    >>> ids = torch.tensor([10, 11, 12, 13])  # with as many spans as kept tokens there is one way to cut
    >>> inputs, targets = span_corrupt(ids, sentinel_ids=(99, 98), eos_id=1, density=0.5, mean_span=1)
    >>> inputs.tolist(), targets.tolist()
    ([10, 99, 12, 98, 1], [99, 11, 98, 13, 1])
    """
    _require_one_sequence(ids)
    noise, spans = _noise_and_spans(len(ids), density, mean_span)
    if len(sentinel_ids) < spans:
        raise ValueError(f"sentinel_ids must hold at least {spans} ids, one for each span, got {len(sentinel_ids)}")
    if len({*sentinel_ids, eos_id}) <= len(sentinel_ids):
        raise ValueError(f"sentinel_ids and eos_id must all differ, got {list(sentinel_ids)} and {eos_id}")
    clashes = set(ids.tolist()) & set(sentinel_ids)
    if clashes:
        raise ValueError(f"ids must not hold a sentinel, got {min(clashes)}")
    kept_lengths = _random_parts(len(ids) - noise, spans, generator)
    noise_lengths = _random_parts(noise, spans, generator)
    parts = ids.split(list(chain.from_iterable(zip(kept_lengths, noise_lengths, strict=True))))
    sentinels = ids.new_tensor(list(sentinel_ids[:spans])).split(1)
    end = ids.new_tensor([eos_id])
    inputs = chain.from_iterable(zip(parts[0::2], sentinels, strict=True))
    targets = chain.from_iterable(zip(sentinels, parts[1::2], strict=True))
    return torch.cat([*inputs, end]), torch.cat([*targets, end])


def join_spans(
    inputs: Int[Tensor, " n_inputs"], targets: Int[Tensor, " n_targets"], sentinel_ids: Sequence[int], eos_id: int
) -> Int[Tensor, " n"]:
    """Put the spans of the targets back into the inputs: the inverse of `span_corrupt`.

    Shapes: inputs (n_inputs,), targets (n_targets,); returns (n,).
    Raises ValueError if a side does not end in eos_id, the targets do not begin with a sentinel, or a side's
    sentinels are not the first ones of sentinel_ids, in order, equally many on both sides.

    Examples:
    >>> inputs, targets = torch.tensor([10, 99, 12, 98, 1]), torch.tensor([99, 11, 98, 13, 1])
    >>> join_spans(inputs, targets, sentinel_ids=(99, 98), eos_id=1).tolist()
    [10, 11, 12, 13]
    """
    kept = _split_at_sentinels("inputs", inputs, sentinel_ids, eos_id)
    spans = _split_at_sentinels("targets", targets, sentinel_ids, eos_id)
    if len(kept) != len(spans):
        counts = f"{len(kept) - 1} and {len(spans) - 1}"
        raise ValueError(f"inputs and targets must hold equally many sentinels, got {counts}")
    if len(spans[0]):
        raise ValueError(f"targets must begin with a sentinel, got {spans[0][0]}")
    return torch.cat(list(chain.from_iterable(zip(spans, kept, strict=True))))


def text_infilling(
    ids: Int[Tensor, " n"],
    mask_id: int,
    density: float = 0.3,
    mean_span: float = 3.0,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " n_inputs"]:
    """Replace random spans by one mask token each, so that a model must also find how much is missing.

    Span lengths are drawn from a Poisson distribution until round(n · density) tokens are covered, the last one cut to
    fit; a span of length 0 inserts a mask where nothing is missing (Lewis et al. 2020, section 2.2). Spans and kept
    tokens are put into random order, all orders equally likely. Spans never overlap, but may lie side by side: each
    has its own mask all the same, so the masks are as many as the spans. A text so short that no token would be
    covered comes back whole. The target is `ids` itself.

    Shapes: ids (n,); returns (n_inputs,), n - round(n · density) kept tokens and one mask for each span.
    Raises ValueError if density is not between 0 and 1, mean_span below 1, ids hold mask_id or are not one sequence.

    Examples:
    >>> inputs = text_infilling(torch.arange(10), mask_id=99, density=0.3)
    >>> int((inputs != 99).sum())
    7
    """
    _require_one_sequence(ids)
    _require_density_and_span(density, mean_span)
    if (ids == mask_id).any():
        raise ValueError(f"ids must not hold mask_id, got {mask_id}")
    noise = round(len(ids) * density)
    device = _drawing_device(generator)
    means = torch.full((noise,), float(min(mean_span, 1e9)), device=device)  # torch.poisson overflows from about 1e19
    lengths = means.new_zeros(0)
    while lengths.sum() < noise:
        lengths = torch.cat([lengths, torch.poisson(means, generator=generator)])
    ends = lengths.cumsum(0).clamp(max=noise).long()
    ends = ends[: int((ends < noise).sum()) + 1]
    # A row of slots, each a span or one kept token; a slot's first token is where the slots before it end.
    slots = len(ids) - noise + len(ends)
    span_slots = torch.randperm(slots, generator=generator, device=device)[: len(ends)]
    widths = torch.ones(slots, dtype=torch.long, device=device)
    widths[span_slots] = ends.diff(prepend=ends.new_zeros(1))
    first = (widths.cumsum(0) - widths).clamp(max=len(ids) - 1)
    inputs = ids[first.to(ids.device)]
    inputs[span_slots.to(ids.device)] = mask_id
    return inputs


def permute_sentences(
    ids: Int[Tensor, " n"], end_ids: Collection[int], generator: torch.Generator | None = None
) -> Int[Tensor, " n"]:
    """Put the sentences of a text into random order, all orders equally likely (Lewis et al. 2020, section 2.2).

    end_ids: tokens that end a sentence, such as the full stop. Tokens behind the last of them are a sentence too, which
    then runs on into the one that follows it.
    Shapes: ids (n,); returns (n,), the same tokens.
    Raises ValueError if ids are not one sequence.

    Examples:
    >>> moved = permute_sentences(torch.tensor([4, 5, 0, 6, 0]), end_ids=(0,))
    >>> moved.tolist() in ([4, 5, 0, 6, 0], [6, 0, 4, 5, 0])
    True
    """
    _require_one_sequence(ids)
    ends = torch.isin(ids, ids.new_tensor(list(end_ids))).long()
    sentence = ends.cumsum(0) - ends  # the number of the sentence each token belongs to
    count = int(ends.sum()) + 1
    place = torch.randperm(count, generator=generator, device=_drawing_device(generator)).to(ids.device)
    return ids[place[sentence].argsort(stable=True)]


def _noise_and_spans(raw_length: int, density: float, mean_span: float) -> tuple[int, int]:
    """Give how many of raw_length tokens are noise, and in how many spans."""
    _require_density_and_span(density, mean_span)
    if raw_length < 2:
        raise ValueError(f"raw length must be at least 2, got {raw_length}")
    noise = min(max(1, round(raw_length * density)), raw_length - 1)
    return noise, min(max(1, round(noise / mean_span)), raw_length - noise)


def _random_parts(total: int, parts: int, generator: torch.Generator | None) -> list[int]:
    """Cut `total` into `parts` positive lengths, all ways equally likely."""
    cuts = torch.randperm(total - 1, generator=generator, device=_drawing_device(generator))[: parts - 1] + 1
    return [end - start for start, end in pairwise([0, *sorted(cuts.tolist()), total])]


def _split_at_sentinels(name: str, side: Tensor, sentinel_ids: Sequence[int], eos_id: int) -> list[Tensor]:
    """Split what stands before the end token at its sentinels, which are left out."""
    if side[-1:].tolist() != [eos_id]:
        raise ValueError(f"{name} must end in eos_id {eos_id}, got {side[-1:].tolist()}")
    body = side[:-1]
    places = torch.isin(body, side.new_tensor(list(sentinel_ids))).nonzero().flatten().tolist()
    found, expected = body[places].tolist(), list(sentinel_ids[: len(places)])
    if found != expected:
        raise ValueError(f"{name} must hold the sentinels {expected} in this order, got {found}")
    return [body[start + 1 : end] for start, end in pairwise([-1, *places, len(body)])]


def _drawing_device(generator: torch.Generator | None) -> torch.device | str:
    """A generator draws on its own device only; what it drew is moved afterwards."""
    return "cpu" if generator is None else generator.device


def _require_one_sequence(ids: Tensor) -> None:
    if ids.ndim != 1:
        raise ValueError(f"ids must be one sequence of shape (n,), got {tuple(ids.shape)}: give each row by itself")


def _require_density_and_span(density: float, mean_span: float) -> None:
    if not 0 < density < 1:
        raise ValueError(f"density must be above 0 and below 1, got {density}")
    if not mean_span >= 1:  # so written, it refuses nan too
        raise ValueError(f"mean_span must be at least 1, got {mean_span}")
