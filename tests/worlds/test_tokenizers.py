"""The table of special tokens, and two tokenizers that share it."""

import pytest
import torch

from course_lib.padding import left_pad, right_pad
from course_lib.worlds import special_tokens
from course_lib.worlds.special_tokens import BOS, EOS, FIRST_ORDINARY, MASK, PAD, SENTINELS, SPECIAL_TOKENS, UNK
from course_lib.worlds.tokenizers import ByteTokenizer, WordTokenizer, split_words

TEXTS = ["the bank by the river flooded .", ["veintidós", "siebenundneunzig"], "<mask> it's 3.50, now!"]
BOTH = [WordTokenizer(TEXTS), ByteTokenizer()]


def test_the_table_names_every_id_once():
    named = {"PAD": "<pad>", "UNK": "<unk>", "BOS": "<bos>", "EOS": "<eos>", "MASK": "<mask>", "CLS": "<cls>",
             "SEP": "<sep>"}  # fmt: skip
    for name, token in named.items():
        assert SPECIAL_TOKENS[getattr(special_tokens, name)] == token
    assert [SPECIAL_TOKENS[number] for number in SENTINELS] == [f"<extra_{place}>" for place in range(25)]
    assert (PAD, FIRST_ORDINARY, len(set(SPECIAL_TOKENS))) == (0, 32, 32)
    assert special_tokens.SPECIAL_IDS == tuple(range(32))


@pytest.mark.parametrize("tokenizer", BOTH)
def test_every_tokenizer_begins_with_the_table(tokenizer):
    assert tokenizer.tokens[:FIRST_ORDINARY] == SPECIAL_TOKENS
    assert len(set(tokenizer.tokens)) == tokenizer.vocab_size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the bank closed.", ["the", "bank", "closed", "."]),
        ("  ninety-seven,\tit's\n3.50!? ", ["ninety-seven", ",", "it's", "3.50", "!", "?"]),
        ("<extra_0> (Würzburg)", ["<extra_0>", "(", "Würzburg", ")"]),
        ("a<mask>b", ["a", "<mask>", "b"]),
        ("x - y", ["x", "-", "y"]),
        ("", []),
    ],
)
def test_words_by_hand(text, words):
    assert split_words(text) == words


def test_the_vocabulary_does_not_depend_on_the_order_of_the_texts():
    again = WordTokenizer([["now", "!"], *reversed(TEXTS)])
    assert again.tokens == BOTH[0].tokens
    assert again.tokens[FIRST_ORDINARY:] == tuple(sorted(again.tokens[FIRST_ORDINARY:]))


def test_words_go_to_ids_and_back():
    tokenizer = BOTH[0]
    ids = tokenizer.encode("the river <mask> <extra_3> zebra .", bos=True, eos=True)
    assert (ids[0], ids[3], ids[4], ids[5], ids[-1]) == (BOS, MASK, SENTINELS[3], UNK, EOS)
    assert tokenizer.decode(ids) == "<bos> the river <mask> <extra_3> <unk> . <eos>"
    assert tokenizer.decode(torch.tensor(ids), skip_special=True) == "the river ."
    assert tokenizer.encode(["the", "river"]) == tokenizer.encode("the river")


@pytest.mark.parametrize("text", ["", "the bank", "Grüße, dreißig veintidós 日本 🙂\n", "a <mask> b", "<0x41> <pad"])
def test_bytes_lose_nothing(text):
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode(text, bos=True, eos=True)) == f"<bos>{text}<eos>"


def test_bytes_by_hand():
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("Aé<mask>") == [32 + 0x41, 32 + 0xC3, 32 + 0xA9, MASK]
    assert tokenizer.decode([32 + 0xC3, 32 + 0x41]) == "�A"
    assert (tokenizer.vocab_size, tokenizer.tokens[32 + 0x41]) == (288, "<0x41>")


def test_any_ids_can_be_decoded_as_bytes():
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        ids = torch.randint(0, 288, (30,), generator=generator)
        assert isinstance(ByteTokenizer().decode(ids), str)


@pytest.mark.parametrize("tokenizer", BOTH)
def test_batches_are_made_by_padding(tokenizer):
    rows = [tokenizer.encode("the bank", eos=True), tokenizer.encode("the", eos=True)]
    for pad in (left_pad, right_pad):
        ids, mask = pad(rows, PAD)
        assert torch.equal(ids != PAD, mask[:, 0, 0])


@pytest.mark.parametrize("tokenizer", BOTH)
@pytest.mark.parametrize("wrong", [-1, 10_000])
def test_ids_outside_the_vocabulary_are_refused(tokenizer, wrong):
    with pytest.raises(ValueError, match=rf"^ids must be between 0 and {tokenizer.vocab_size - 1}, got {wrong}$"):
        tokenizer.decode([5, wrong])


def test_what_cannot_be_a_vocabulary_or_a_text_is_refused():
    with pytest.raises(ValueError, match=r"^texts must hold at least one word, got none$"):
        WordTokenizer(["", "<pad>"])
    with pytest.raises(ValueError, match=r"^texts must be several texts, got one: put it into brackets$"):
        WordTokenizer("the bank")
    with pytest.raises(ValueError, match=r"^text must be valid unicode, got '\\ud800'$"):
        ByteTokenizer().encode("a\ud800")
