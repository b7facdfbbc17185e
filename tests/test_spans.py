"""Spans and labels of tokens: by hand, against a search through all pairs, and what is refused."""

from inspect import unwrap

import pytest
import torch

from course_lib.objectives import IGNORE
from course_lib.spans import best_span, token_labels

BATCH, SEQ = 3, 11
LOWEST = torch.finfo(torch.float32).min


def search(start, end, max_len):
    """Every allowed pair, one after the other."""
    found = []
    for starts, ends in zip(start.tolist(), end.tolist(), strict=True):
        pairs = [(i, j) for i in range(len(starts)) for j in range(i, len(ends)) if j < i + max_len]
        found.append(list(max(pairs, key=lambda pair: starts[pair[0]] + ends[pair[1]])))  # the first of equals
    return found


def test_best_span_by_hand():
    start = torch.tensor([[1.0, 5.0, 2.0], [0.0, 0.0, 0.0]])
    end = torch.tensor([[6.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    assert best_span(start, end).tolist() == [[1, 2], [0, 0]]  # 5 + 3 = 8; 5 + 6 ends before it starts
    assert best_span(start, end, max_len=1).tolist() == [[0, 0], [0, 0]]  # 7, 5 and 5


@pytest.mark.parametrize("max_len", [1, 2, 5, 30])
@pytest.mark.parametrize("seed", range(20))
def test_best_span_is_what_a_search_finds(max_len, seed):
    generator = torch.Generator().manual_seed(seed)
    start, end = torch.randn(2, BATCH, SEQ, generator=generator)
    assert best_span(start, end, max_len).tolist() == search(start, end, max_len)
    start, end = torch.randint(3, (2, BATCH, SEQ), generator=generator).float()  # many equals
    assert best_span(start, end, max_len).tolist() == search(start, end, max_len)


def test_padding_is_never_part_of_a_span():
    start, end = torch.randn(2, BATCH, SEQ, generator=torch.Generator().manual_seed(0)) - 9
    for row, length in enumerate([1, 5, SEQ]):
        start[row, length:] = end[row, length:] = LOWEST
    found = best_span(start, end)
    assert (found[:, 1] < torch.tensor([1, 5, SEQ])).all()
    assert found[0].tolist() == [0, 0]
    assert best_span(torch.full((1, 3), LOWEST), torch.full((1, 3), LOWEST)).tolist() == [[0, 0]]


def test_the_default_is_thirty_tokens():
    start, end = torch.zeros(1, 43), torch.zeros(1, 43)
    start[0, 2] = end[0, 31] = 1.0
    assert best_span(start, end).tolist() == [[2, 31]]
    end = end.roll(1)
    assert best_span(start, end).tolist() != [[2, 32]]


def test_a_wrong_length_and_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"^max_len must be at least 1, got 0$"):
        best_span(torch.zeros(2, 3), torch.zeros(2, 3), max_len=0)
    with pytest.raises(ValueError, match=r"^start_logits and end_logits must have .* got \(2, 3\) and \(2, 5\)$"):
        unwrap(best_span)(torch.zeros(2, 3), torch.zeros(2, 5))


def test_token_labels_by_hand():
    assert token_labels([3, 3, 0], [None, 0, 0, 1, 2, 2, 2, None]) == [IGNORE, 3, IGNORE, 3, 0, IGNORE, IGNORE, IGNORE]
    assert token_labels([3, 7, 5], [2, 2, None]) == [5, IGNORE, IGNORE]  # a window that begins behind the first words
    assert token_labels([], [None, None]) == [IGNORE, IGNORE]
    assert token_labels([4], []) == []


@pytest.mark.parametrize("word", [2, 9, -1])
def test_a_word_without_a_label_is_refused(word):
    with pytest.raises(ValueError, match=rf"^word_ids must be below the number of words, got {word} and 2 words$"):
        token_labels([3, 7], [None, 0, word])
