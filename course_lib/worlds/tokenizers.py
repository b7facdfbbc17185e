"""Two tokenizers with one small interface: whole words, or the bytes of UTF-8.

Both have `tokens` (names by id), `vocab_size`, `encode` and `decode`; both begin with the table of `special_tokens`.
Batches are made by `padding.right_pad` and `padding.left_pad`.
"""

import re
from collections.abc import Iterable, Sequence

from jaxtyping import Int
from torch import Tensor

from course_lib.worlds.special_tokens import BOS, EOS, FIRST_ORDINARY, SPECIAL_TOKENS, UNK

__all__ = ["ByteTokenizer", "WordTokenizer", "split_words"]

_SPECIAL = re.compile("(" + "|".join(map(re.escape, SPECIAL_TOKENS)) + ")")
# A special token, or letters and digits that one mark may join ("ninety-seven", "3.50"), or one mark by itself.
_WORD = re.compile(_SPECIAL.pattern + r"|\w+(?:[-'’.,:/]\w+)*|[^\w\s]")
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_ID = {token: number for number, token in enumerate(SPECIAL_TOKENS)}


def split_words(text: str) -> list[str]:
    """Split a text at blanks, detach its punctuation, and leave special tokens and inner marks whole.

    Source: our own.

    >>> split_words("the bank, <mask> closed at 10:30.")
    ['the', 'bank', ',', '<mask>', 'closed', 'at', '10:30', '.']
    """
    return [match.group() for match in _WORD.finditer(text)]


class WordTokenizer:
    """A tokenizer of whole words: its vocabulary is every word of `texts`, in the order of the alphabet.

    texts: texts, split as by `split_words`, or lists of tokens, taken as they are. tokens: names by id. The name of a
    special token, written in a text, is that token.
    Raises ValueError if there is no word, or if texts is one text. Source: our own.

    >>> tokenizer = WordTokenizer(["the bank closed.", ["the", "river"]])
    >>> tokenizer.vocab_size, tokenizer.tokens[32:]
    (37, ('.', 'bank', 'closed', 'river', 'the'))
    >>> tokenizer.encode("the <mask> slept.", eos=True)
    [36, 4, 1, 32, 3]
    >>> tokenizer.decode([36, 4, 1, 32, 3])
    'the <mask> <unk> . <eos>'
    """

    def __init__(self, texts: Iterable[str | Sequence[str]]) -> None:
        if isinstance(texts, str):
            raise ValueError("texts must be several texts, got one: put it into brackets")
        words = {word for text in texts for word in _words(text)} - set(SPECIAL_TOKENS)
        if not words:
            raise ValueError("texts must hold at least one word, got none")
        self.tokens: tuple[str, ...] = (*SPECIAL_TOKENS, *sorted(words))
        self._id_of = {token: number for number, token in enumerate(self.tokens)}

    @property
    def vocab_size(self) -> int:
        """How many ids there are, special tokens included."""
        return len(self.tokens)

    def encode(self, text: str | Sequence[str], bos: bool = False, eos: bool = False) -> list[int]:
        """Give the ids of a text, or of a list of tokens; a word that is not in the vocabulary is UNK.

        bos, eos: whether a start and an end token are added. Source: our own.
        """
        return _framed([self._id_of.get(word, UNK) for word in _words(text)], bos, eos)

    def decode(self, ids: Sequence[int] | Int[Tensor, " n"], skip_special: bool = False) -> str:
        """Give the tokens with a blank between them; skip_special leaves the special ones out.

        Shapes: ids (n,). Raises ValueError if an id is not in the vocabulary. Source: our own.
        """
        return " ".join(self.tokens[token] for token in _checked(ids, self.vocab_size, skip_special))


class ByteTokenizer:
    """A tokenizer of the bytes of UTF-8: it knows every text, and decodes it without loss.

    tokens: names by id, a byte being named by its number. The name of a special token, written in a text, is that
    token. Source: byte-level models such as ByT5 (Xue et al. 2022, section 3.1), with the ids of this course.

    >>> tokenizer = ByteTokenizer()
    >>> tokenizer.vocab_size, tokenizer.encode("né", eos=True)
    (288, [142, 227, 201, 3])
    >>> tokenizer.decode([142, 227, 201, 3], skip_special=True)
    'né'
    """

    tokens: tuple[str, ...] = (*SPECIAL_TOKENS, *_BYTES)

    @property
    def vocab_size(self) -> int:
        """How many ids there are: 256 and the special tokens."""
        return len(self.tokens)

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        """Give the ids of the bytes of a text.

        bos, eos: whether a start and an end token are added. Raises ValueError if the text is not valid, which in
        Python is half of a surrogate pair. Source: our own.
        """
        ids = []
        for place, part in enumerate(_SPECIAL.split(text)):  # every second part is a special token
            try:
                ids += [_ID[part]] if place % 2 else [FIRST_ORDINARY + byte for byte in part.encode()]
            except UnicodeEncodeError as error:
                raise ValueError(f"text must be valid unicode, got {error.object[error.start]!r}") from None
        return _framed(ids, bos, eos)

    def decode(self, ids: Sequence[int] | Int[Tensor, " n"], skip_special: bool = False) -> str:
        """Give the text of the bytes; bytes that are no UTF-8 become the replacement character.

        skip_special leaves the special tokens out, which are otherwise written by name.
        Shapes: ids (n,). Raises ValueError if an id is not in the vocabulary, and for nothing else. Source: our own.
        """
        parts = bytearray()
        for token in _checked(ids, self.vocab_size, skip_special):
            if token < FIRST_ORDINARY:
                parts += SPECIAL_TOKENS[token].encode()
            else:
                parts.append(token - FIRST_ORDINARY)
        return parts.decode(errors="replace")


def _words(text: str | Sequence[str]) -> Sequence[str]:
    """Take a text as its words, whether it is given as one string or as a list of tokens."""
    return split_words(text) if isinstance(text, str) else text


def _framed(ids: list[int], bos: bool, eos: bool) -> list[int]:
    """Add the start and the end token that are asked for."""
    return [BOS] * bos + ids + [EOS] * eos


def _checked(ids: Sequence[int] | Tensor, vocab_size: int, skip_special: bool) -> list[int]:
    """Give the ids as a list, without the special ones if they are to be skipped."""
    tokens = ids.tolist() if isinstance(ids, Tensor) else list(ids)
    for token in tokens:
        if not 0 <= token < vocab_size:
            raise ValueError(f"ids must be between 0 and {vocab_size - 1}, got {token}")
    return [token for token in tokens if token >= FIRST_ORDINARY or not skip_special]
