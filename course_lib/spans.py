"""What stands around a head that works on tokens: reading a span from its logits, giving labels to pieces of words."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.objectives import IGNORE

__all__ = ["best_span", "token_labels"]


def best_span(
    start_logits: Float[Tensor, "batch seq"], end_logits: Float[Tensor, "batch seq"], max_len: int = 30
) -> Int[Tensor, "batch 2"]:
    """Find the span whose start logit and end logit together are largest (Devlin et al. 2018, section 4.2).

    A span is (start, end), both inclusive, with start <= end < start + max_len. Of equally good spans the earliest
    start wins, then the earliest end. Padding has the lowest finite number as its logits (`heads.SpanQA` gives it):
    two of them are added in float64, where they stay finite and below whatever is real.

    max_len: how many tokens a span may hold.
    Shapes: start_logits and end_logits (batch, seq); returns (batch, 2).
    Raises ValueError if max_len is below 1 or the shapes differ.

    >>> best_span(torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([[6.0, 0.0, 3.0]]))  # 5 + 3; 6 lies before 5
    tensor([[1, 2]])
    """
    if max_len < 1:
        raise ValueError(f"max_len must be at least 1, got {max_len}")
    if start_logits.shape != end_logits.shape:
        shapes = f"{tuple(start_logits.shape)} and {tuple(end_logits.shape)}"
        raise ValueError(f"start_logits and end_logits must have the same shape, got {shapes}")
    seq = start_logits.shape[-1]
    scores = start_logits.double()[:, :, None] + end_logits.double()[:, None, :]
    allowed = torch.ones(seq, seq, dtype=torch.bool, device=scores.device).triu().tril(max_len - 1)
    best = scores.masked_fill(~allowed, -torch.inf).flatten(1).argmax(-1)  # the first of equals, row by row
    return torch.stack((best // seq, best % seq), dim=-1)


def token_labels(word_labels: Sequence[int], word_ids: Sequence[int | None]) -> list[int]:
    """Give a sentence's tokens the labels of its words, for words that a tokenizer cuts into pieces.

    The first token of each word gets its label, every other token of it IGNORE, and special tokens too: one
    prediction a word, read where the word begins (Devlin et al. 2018, section 5.3).

    word_ids: for each token the number of its word, or None for a special token.
    Raises ValueError if a number points beyond word_labels.

    >>> token_labels([3, 7], [None, 0, 1, 1, None])  # [CLS] the un ##happy [SEP]
    [-100, 3, 7, -100, -100]
    """
    labels: list[int] = []
    seen: set[int] = set()
    for word in word_ids:
        if word is not None and not 0 <= word < len(word_labels):
            raise ValueError(f"word_ids must be below the number of words, got {word} and {len(word_labels)} words")
        labels.append(IGNORE if word is None or word in seen else word_labels[word])
        seen.add(word)
    return labels
