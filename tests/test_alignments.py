"""Alignments by hand, with padding and ties, and from the cross-attention of a model."""

import pytest
import torch

from course_lib.alignments import alignment, alignment_error, cross_attention_mask
from course_lib.attention import CrossAttention
from course_lib.attention_maps import attention_maps
from course_lib.masks import create_padding_mask
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from course_lib.worlds.numbers import number_pairs
from tests.models import PARTS, SEQ, SIZES, drawn, ids

ENGLISH, GERMAN = ["ninety", "seven"], ["sieben", "und", "neunzig"]
HEADS = torch.tensor([[[0.0, 1.0], [0.9, 0.1], [0.2, 0.8]], [[0.4, 0.6], [0.3, 0.7], [0.9, 0.1]]])
GOLD = torch.tensor([[False, True], [False, False], [True, False]])  # sieben: seven; und: nothing; neunzig: ninety


def test_the_mask_is_the_padding_mask_of_the_source():
    lengths = torch.tensor([3, 0, 5], dtype=torch.int32)
    mask = cross_attention_mask(lengths, 5)
    assert torch.equal(mask, create_padding_mask(lengths, 5))
    assert mask[:, 0, 0].int().tolist() == [[1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]
    assert mask.shape == (3, 1, 1, 5)


def test_it_broadcasts_to_any_number_of_target_tokens():
    mask, source = cross_attention_mask(torch.tensor([3, 1]), 5), torch.randn(2, 5, 12)
    layer = CrossAttention(d_model=12, num_heads=3)
    for target in (1, 5, 7):
        asked = torch.randn(2, target, 12)
        whole = layer(asked, source, mask)
        for row, length in enumerate((3, 1)):
            alone = layer(asked[row : row + 1], source[row : row + 1, :length])
            torch.testing.assert_close(whole[row : row + 1], alone, rtol=1e-5, atol=1e-5)


def test_pairs_by_hand():
    """The heads' mean: sieben 0.2 and 0.8; und 0.6 and 0.4; neunzig 0.55 and 0.45."""
    assert alignment(HEADS, ENGLISH, GERMAN) == [("sieben", "seven"), ("und", "ninety"), ("neunzig", "ninety")]
    assert alignment(HEADS[:1], ENGLISH, GERMAN)[2] == ("neunzig", "seven")


def test_padding_behind_the_words_never_wins():
    padded = torch.full((2, 5, 4), 0.99)
    padded[:, :3, :2] = HEADS
    assert alignment(padded, ENGLISH, GERMAN) == alignment(HEADS, ENGLISH, GERMAN)


def test_of_equal_weights_the_first_counts():
    even = torch.full((3, 2, 4), 0.25)
    assert alignment(even, ["a", "b", "c", "d"], ["x", "y"]) == [("x", "a"), ("y", "a")]
    assert alignment_error(even[0], torch.eye(2, 4, dtype=torch.bool)) == 0.5


def test_an_empty_target_has_no_pairs():
    assert alignment(HEADS, ENGLISH, []) == []
    assert alignment(HEADS, [], []) == []


@pytest.mark.parametrize(("source", "target"), [(ENGLISH, [*GERMAN, "."]), ([*ENGLISH, "."], GERMAN), ([], GERMAN)])
def test_words_without_a_place_are_refused(source, target):
    given = f"{len(target)} and {len(source)} words for 3 rows and 2 columns"
    with pytest.raises(ValueError, match=f"each target word needs a row, .* got {given}"):
        alignment(HEADS, source, target)


def test_the_error_by_hand():
    """und does not count: of two tokens none, one or both look elsewhere."""
    assert alignment_error(HEADS.mean(0), GOLD) == 0.0
    assert alignment_error(HEADS[0], GOLD) == 0.5
    assert alignment_error(HEADS.mean(0), GOLD.flip(1)) == 1.0
    assert type(alignment_error(HEADS[0], GOLD)) is float


def test_any_of_several_partners_is_right_and_weights_need_not_be_large():
    gold = torch.tensor([[True, False, True, False, True]])
    for place in range(5):
        weights = torch.full((1, 5), 0.19)
        weights[0, place] = 0.24
        assert alignment_error(weights, gold) == float(place % 2)


def test_the_error_refuses_what_says_nothing():
    with pytest.raises(ValueError, match="at least one target token must have a partner, got none among 3"):
        alignment_error(HEADS[0], torch.zeros_like(GOLD))
    with pytest.raises(ValueError, match=r"one shape, got \(3, 2\) and \(2, 3\)"):
        alignment_error.__wrapped__(HEADS[0], GOLD.T)
    with pytest.raises(TypeError, match=r"gold must be boolean.*float32"):
        alignment_error.__wrapped__(HEADS[0], GOLD.float())


def test_a_perfect_reader_makes_no_error_and_one_who_reads_in_order_does():
    """Units come before tens in German, so word by word both are wrong; round tens are one word."""
    for pair in number_pairs(50, torch.Generator().manual_seed(1), low=21, high=99):
        gold = pair.alignment
        in_order = torch.arange(len(pair.target)).clamp(max=len(pair.source) - 1)
        assert alignment_error(gold.float(), gold) == 0.0
        assert alignment_error(torch.eye(len(pair.source))[in_order], gold) == float(pair.number % 10 > 0)


def test_the_maps_of_a_model_fit():
    model = drawn(EncoderDecoder(EncoderDecoderConfig(**SIZES | PARTS["2017"])))
    lengths = torch.tensor([SEQ, 4, 2])
    maps = attention_maps(model, ids(), ids(seq=5), cross_attention_mask(lengths, SEQ))
    cross = maps["decoder.blocks.1.cross_attention.layer"]
    source, target = [f"s{n}" for n in range(SEQ)], [f"t{n}" for n in range(5)]
    for row, length in zip(cross, lengths.tolist(), strict=True):
        found = alignment(row, source[:length], target)
        assert found == alignment(row, source, target)  # padding has no weight, so cutting it changes nothing
        assert [word for word, _ in found] == target
