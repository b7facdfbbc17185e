"""The one table of special tokens: the same names and ids in every tokenizer, ahead of the ordinary tokens."""

__all__ = [
    "BOS",
    "CLS",
    "EOS",
    "FIRST_ORDINARY",
    "MASK",
    "PAD",
    "SENTINELS",
    "SEP",
    "SPECIAL_IDS",
    "SPECIAL_TOKENS",
    "UNK",
]

_NAMED = ("<pad>", "<unk>", "<bos>", "<eos>", "<mask>", "<cls>", "<sep>")
_NUM_SENTINELS = 25  # enough for span corruption of 500 tokens, and it makes the table 32 long

# Names by id.
SPECIAL_TOKENS = (*_NAMED, *(f"<extra_{number}>" for number in range(_NUM_SENTINELS)))

PAD, UNK, BOS, EOS, MASK, CLS, SEP = range(len(_NAMED))
SENTINELS = tuple(range(len(_NAMED), len(SPECIAL_TOKENS)))  # the ids of <extra_0>, <extra_1>, ...
SPECIAL_IDS = tuple(range(len(SPECIAL_TOKENS)))
FIRST_ORDINARY = len(SPECIAL_TOKENS)  # the id of the first token that is not special
