"""Ways to label tokens, right and wrong, from steps of which each can be another one."""

from itertools import groupby

from course_lib import spans
from course_lib.objectives import IGNORE

__all__ = [
    "all_nothing_is_zero",
    "all_without_special",
    "asserts_first",
    "begins_and_goes_on",
    "by_groups",
    "by_place",
    "by_previous",
    "by_seen",
    "by_writing",
    "by_zip",
    "checked",
    "compares_labels",
    "compares_with_none",
    "each_nothing_is_zero",
    "every_indexes_with_none",
    "first_by_place",
    "from_behind",
    "ignores_what_is_beyond",
    "in_turn",
    "in_turn_by_count",
    "indexes_with_none",
    "is_last",
    "labeller",
    "labels_seen_before",
    "looks_back_at_labels",
    "minds_only_the_end",
    "more_of",
    "nothing_is_zero",
    "of_equal_length",
    "tokens_of_words",
    "without_pieces",
    "without_special",
    "words_alone",
    "words_there",
    "words_up_to_the_last",
    "zero_is_nothing",
]


def checked(label):
    """A way to label, behind the test that belongs to it."""

    def token_labels(word_labels, word_ids):
        if any(word is not None and word not in range(len(word_labels)) for word in word_ids):
            raise ValueError("a word has no label")
        return label(word_labels, word_ids)

    return token_labels


def is_first(word_ids, i):
    return word_ids[i] is not None and (i == 0 or word_ids[i] != word_ids[i - 1])


def labeller(first=is_first, special=IGNORE, later=lambda label: IGNORE, look=lambda labels, word: labels[word]):
    """Make a token_labels from its steps; as they stand they make a right one, but for the ValueError.

    first: whether token i is the one that carries its word's label. special: label of special tokens; later: of the
    other tokens of a word, made of the word's. look: up a word's label.
    """

    def token_labels(word_labels, word_ids):
        labels = []
        for i, word in enumerate(word_ids):
            if word is None:
                labels.append(special)
            else:
                label = look(word_labels, word)
                labels.append(label if first(word_ids, i) else later(label))
        return labels

    return token_labels


def is_last(word_ids, i):
    return i == len(word_ids) - 1 or word_ids[i] != word_ids[i + 1]


def zero_is_nothing(word_labels, word_ids):
    labels, previous = [], None
    for word in word_ids:
        labels.append(word_labels[word] if word and word != previous else IGNORE)
        previous = word
    return labels


def nothing_is_zero(word_labels, word_ids):
    return spans.token_labels(word_labels, [word or 0 for word in word_ids])


def all_nothing_is_zero(word_labels, word_ids):
    return [word_labels[word or 0] for word in word_ids]


def each_nothing_is_zero(word_labels, word_ids):
    word_ids = [word or 0 for word in word_ids]
    return [word_labels[word] if is_first(word_ids, i) else IGNORE for i, word in enumerate(word_ids)]


def compares_labels(word_labels, word_ids):
    labels, previous = [], None
    for word in word_ids:
        label = None if word is None else word_labels[word]
        labels.append(IGNORE if word is None or label == previous else label)
        previous = label
    return labels


def looks_back_at_labels(word_labels, word_ids):
    labels = []
    for word in word_ids:
        fresh = word is not None and word_labels[word] not in labels[-1:]
        labels.append(word_labels[word] if fresh else IGNORE)
    return labels


def labels_seen_before(word_labels, word_ids):
    labels = []
    for word in word_ids:
        fresh = word is not None and word_labels[word] not in labels
        labels.append(word_labels[word] if fresh else IGNORE)
    return labels


def by_place(word_labels, word_ids):
    return [IGNORE if word is None else word_labels[i] for i, word in enumerate(word_ids)]


def first_by_place(word_labels, word_ids):
    return [word_labels[i] if is_first(word_ids, i) else IGNORE for i in range(len(word_ids))]


def in_turn(word_labels, word_ids):
    waiting = iter(word_labels)
    return [next(waiting) if is_first(word_ids, i) else IGNORE for i in range(len(word_ids))]


def in_turn_by_count(word_labels, word_ids):
    labels, count, previous = [], 0, None
    for word in word_ids:
        if word is None or word == previous:
            labels.append(IGNORE)
        else:
            labels.append(word_labels[count])
            count += 1
        previous = word
    return labels


def without_special(word_labels, word_ids):
    return labeller()(word_labels, [word for word in word_ids if word is not None])


def all_without_special(word_labels, word_ids):
    return [word_labels[word] for word in word_ids if word is not None]


def words_alone(word_labels, word_ids):
    return [word_labels[word] for i, word in enumerate(word_ids) if is_first(word_ids, i)]


def without_pieces(word_labels, word_ids):
    return [IGNORE if word is None else word_labels[word] for i, word in enumerate(word_ids)
            if word is None or is_first(word_ids, i)]  # fmt: skip


def indexes_with_none(word_labels, word_ids):
    return [word_labels[word] if i == 0 or word != word_ids[i - 1] else IGNORE for i, word in enumerate(word_ids)]


def every_indexes_with_none(word_labels, word_ids):
    return [word_labels[word] for word in word_ids]


def compares_with_none(word_labels, word_ids):
    return [word_labels[word] if word >= 0 else IGNORE for word in word_ids]


def begins_and_goes_on(label):
    return label + label % 2


def ignores_what_is_beyond(word_labels, word_ids):
    words = [None if word is None or word not in range(len(word_labels)) else word for word in word_ids]
    return labeller()(word_labels, words)


def minds_only_the_end(label):
    """A way to label, behind a test that lets negative numbers through."""

    def token_labels(word_labels, word_ids):
        if any(word is not None and word >= len(word_labels) for word in word_ids):
            raise ValueError
        return label(word_labels, word_ids)

    return token_labels


def of_equal_length(label, count=len):
    """A way to label, behind a test for as many labels as `count` finds in word_ids."""

    def token_labels(word_labels, word_ids):
        if len(word_labels) != count(word_ids):
            raise ValueError
        return label(word_labels, word_ids)

    return token_labels


def asserts_first(word_labels, word_ids):
    assert all(word is None or word in range(len(word_labels)) for word in word_ids)
    return labeller()(word_labels, word_ids)


def tokens_of_words(word_ids):
    return len([word for word in word_ids if word is not None])


def words_there(word_ids):
    return len({word for word in word_ids if word is not None})


def words_up_to_the_last(word_ids):
    return 1 + max(word for word in word_ids if word is not None)


def with_and_without(label):
    """A mistake with the test for words beyond, and as it stands."""
    return checked(label), label


def more_of(*more):
    """Further ways to make a mistake, each with the test for words beyond and as it stands."""
    return tuple(way for label in more for way in with_and_without(label))


def by_seen(word_labels, word_ids):
    out, seen = [], {None}
    for word in word_ids:
        if word in seen:
            out.append(-100)
            continue
        if not 0 <= word < len(word_labels):
            raise ValueError(f"word {word} has no label")
        out.append(word_labels[word])
        seen.add(word)
    return out


def by_previous(word_labels, word_ids):
    labels, previous = [], None
    for word in word_ids:
        if word is None:
            labels.append(-100)
        elif word != previous:
            if word < 0:
                raise ValueError("words are counted from 0")
            try:
                labels.append(word_labels[word])
            except IndexError:
                raise ValueError("word_ids points beyond word_labels") from None
        else:
            labels.append(-100)
        previous = word
    return labels


def by_writing(word_labels, word_ids):
    labels = [-100] * len(word_ids)
    for word in {word for word in word_ids if word is not None}:
        if word < 0 or not word < len(word_labels):
            raise ValueError(word)
        labels[word_ids.index(word)] = word_labels[word]
    return labels


def from_behind(word_labels, word_ids):
    there = [word for word in word_ids if word is not None]
    if there and (max(there) > len(word_labels) - 1 or min(there) < 0):
        raise ValueError("too few labels")
    first = {word: i for i, word in reversed(list(enumerate(word_ids)))}
    return [word_labels[word] if word is not None and first[word] == i else -100 for i, word in enumerate(word_ids)]


def by_zip(word_labels, word_ids):
    for word in word_ids:
        if word is not None and word not in range(len(word_labels)):
            raise ValueError("no such word")
    pairs = zip([None, *word_ids], word_ids, strict=False)
    return [-100 if new is None or new == old else word_labels[new] for old, new in pairs]


def by_groups(word_labels, word_ids):
    labels = []
    for word, tokens in groupby(word_ids):
        if word is not None and (word >= len(word_labels) or word < 0):
            raise ValueError(f"there is no label for word {word}")
        labels += [-100 if word is None else word_labels[word], *[-100 for _ in tokens][1:]]
    return labels
