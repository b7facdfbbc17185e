"""Known mistakes and right answers for `token_labels`."""


import numpy as np
import torch

from course_lib import spans
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson03 import run
from course_lib.exercises.lesson03.bank.labellers import (
    all_nothing_is_zero,
    all_without_special,
    asserts_first,
    begins_and_goes_on,
    by_groups,
    by_place,
    by_previous,
    by_seen,
    by_writing,
    by_zip,
    checked,
    compares_labels,
    compares_with_none,
    each_nothing_is_zero,
    every_indexes_with_none,
    first_by_place,
    from_behind,
    ignores_what_is_beyond,
    in_turn,
    in_turn_by_count,
    indexes_with_none,
    is_last,
    labeller,
    labels_seen_before,
    looks_back_at_labels,
    minds_only_the_end,
    more_of,
    nothing_is_zero,
    of_equal_length,
    tokens_of_words,
    without_pieces,
    without_special,
    words_alone,
    words_there,
    words_up_to_the_last,
    zero_is_nothing,
)
from course_lib.exercises.lesson03.bank.refusals import Refusals
from course_lib.objectives import IGNORE

__all__ = ["LABELS"]


def _explain(case):
    labels, word_ids = case.args
    without = [word for word in word_ids if word is not None and word not in range(len(labels))]
    if without:
        return f"word {without[0]} has no label among {len(labels)}"
    return f"in full, expected {spans.token_labels(labels, word_ids)}"


LABELS = Exercise(
    side=run.LABELS,
    reference=spans.token_labels,
    groups={run.SINGLE: 1, run.PIECES: 1, run.WINDOW: 1, run.BEYOND: 1},
    judge=Refusals(explain=_explain),
    difficulty=2,
    minutes=6,
    misconceptions={
        "every token of a word carries the label": Misconception(
            checked(labeller(first=lambda word_ids, i: True)),
            "Every token of a word has its label, so a long word counts several times in the loss and in the score. "
            "The first one speaks for the word; the others get -100.",
        ),
        "special tokens have a label": Misconception(
            checked(labeller(special=0)),
            "Special tokens carry a label of a word's, such as 0. Nothing is to be predicted there: -100, which the "
            "loss passes over.",
        ),
        "None is taken for word 0": Misconception(
            checked(each_nothing_is_zero),
            "Special tokens get the label of word 0: `word or 0` turns None into 0. Ask first whether word is None.",
        ),
        "word 0 is taken for None": Misconception(
            checked(zero_is_nothing),
            "The first word has lost its label: 0 counts as false, so `if word` is not asked of None alone. Write "
            "`if word is not None`.",
        ),
        "labels are compared instead of words": Misconception(
            checked(compares_labels),
            "Where two words side by side have the same label, the second one has lost it. A new word begins where "
            "the number of the word changes, not its label.",
        ),
        "labels by the token's place": Misconception(
            checked(first_by_place),
            "You look the label up by the place of the token. Tokens are not words: word_ids[i] says which word token "
            "i belongs to, and that is the place of its label.",
        ),
        "labels are dealt out in turn": Misconception(
            checked(in_turn),
            "You give each new word the next label. A window into a long text begins in the middle, and a word may "
            "have no token at all: look the label up by the word's number.",
        ),
        "the last token of a word": Misconception(
            checked(labeller(first=is_last)),
            "The label stands on the last token of each word. It belongs to the first one, where the word begins: "
            "compare with the token before, not with the one behind.",
        ),
        "later tokens carry another label": Misconception(
            checked(labeller(later=begins_and_goes_on)),
            "You give later tokens of a word the label for inside (I-). That is another scheme; here they are left out "
            "of the loss, with -100.",
        ),
        "later tokens get another number": Misconception(
            checked(labeller(later=lambda label: 0)),
            "Later tokens of a word get another number than -100, and the loss would take it for a label. -100 says "
            "that nothing is predicted there.",
        ),
        "special tokens are left out": Misconception(
            checked(without_special),
            "Your list has no place for special tokens, so it is shorter than word_ids and the labels slip. One label "
            "for each token: -100 where word is None.",
        ),
        "one label a word": Misconception(
            checked(without_pieces),
            "Your list is shorter than word_ids: tokens that begin no word are left out. They stay, with the label "
            "-100.",
        ),
        "the label of the word before": Misconception(
            checked(labeller(look=lambda labels, word: labels[word - 1])),
            "Your labels belong to the word before. Words are counted from 0, as word_labels is.",
        ),
        "None as a place": Misconception(
            checked(indexes_with_none),
            "A special token has no word: its number is None, and None is no place in a list. Ask `word is None` "
            "before you look anything up.",
        ),
        "None in a comparison": Misconception(
            checked(compares_with_none),
            "None cannot be compared with a number. Special tokens are found by `word is None`.",
        ),
        "another number than -100": Misconception(
            checked(labeller(special=-1, later=lambda label: -1)),
            "The labels stand where they should, and the other tokens have another number than -100. -100 is what "
            "F.cross_entropy passes over.",
        ),
        "a tensor instead of a list": Misconception(
            lambda word_labels, word_ids: torch.tensor(spans.token_labels(word_labels, word_ids)),
            "The labels are right, and a list is asked for: sentences of different lengths are padded later.",
        ),
        "an IndexError instead of a ValueError": Misconception(
            labeller(),
            "The labels are right. Where a word has no label, Python's IndexError comes up, which speaks of lists. "
            "Test for it, and raise a ValueError that names the word.",
        ),
        "an assert instead of a ValueError": Misconception(
            asserts_first,
            "The labels are right, and your assert finds the word without a label. An assert can be switched off; "
            "whoever calls the function gets a ValueError: if …: raise ValueError(…).",
        ),
        "a negative number counts from the end": Misconception(
            minds_only_the_end(labeller()),
            "The labels are right. A word number below 0 has no label, and Python takes -1 for the last of the list. "
            "Test for both ends: 0 <= word < len(word_labels).",
        ),
        "as many labels as tokens": Misconception(
            of_equal_length(labeller()),
            "You raise a ValueError unless labels and tokens are equally many. They need not be: a word may have "
            "several tokens, special ones have no word, and a window leaves words out. Refuse only a number without a "
            "label.",
        ),
        "a word without a token is refused": Misconception(
            checked(of_equal_length(labeller(), words_there)),
            "You raise a ValueError where a word has no token. A window of a longer text leaves words out, so a label "
            "may have no token. Refuse only a token whose word has no label.",
        ),
        "a word without a label is passed over": Misconception(
            ignores_what_is_beyond,
            "The labels are right. A word beyond word_labels gets -100 without a word, and nobody notices that labels "
            "and words do not belong together: raise a ValueError.",
        ),
    },
    variants={
        "every token of a word carries the label": (labeller(first=lambda word_ids, i: True),),
        "special tokens have a label": more_of(
            labeller(special=0), labeller(special=0, first=lambda word_ids, i: True)
        ),
        "None is taken for word 0": (each_nothing_is_zero, *more_of(nothing_is_zero, all_nothing_is_zero)),
        "word 0 is taken for None": (
            zero_is_nothing,
            *more_of(lambda word_labels, word_ids: [word_labels[word] if word else IGNORE for word in word_ids]),
        ),
        "labels are compared instead of words": (
            compares_labels,
            *more_of(looks_back_at_labels, labels_seen_before),
        ),
        "labels by the token's place": (
            first_by_place,
            *more_of(by_place, lambda word_labels, word_ids: [a for a, _ in zip(word_labels, word_ids, strict=False)]),
        ),
        "labels are dealt out in turn": (in_turn, in_turn_by_count, checked(in_turn_by_count)),
        "the last token of a word": (labeller(first=is_last),),
        "later tokens carry another label": (
            labeller(later=begins_and_goes_on),
            *more_of(labeller(later=lambda label: label + 1)),
        ),
        "later tokens get another number": (
            labeller(later=lambda label: 0),
            *more_of(labeller(later=lambda label: -1)),
        ),
        "special tokens are left out": (without_special, *more_of(all_without_special, words_alone)),
        "one label a word": (without_pieces,),
        "as many labels as tokens": (
            of_equal_length(labeller(first=lambda word_ids, i: True)),
            *(of_equal_length(label, tokens_of_words) for label in (labeller(), checked(labeller()))),
        ),
        "a word without a token is refused": (
            of_equal_length(labeller(), words_there),
            *(of_equal_length(label, words_up_to_the_last) for label in (labeller(), checked(labeller()))),
        ),
        "the label of the word before": (labeller(look=lambda labels, word: labels[word - 1]),),
        "None as a place": (indexes_with_none, *more_of(every_indexes_with_none)),
        "None in a comparison": (compares_with_none,),
        "another number than -100": more_of(
            labeller(special=-1, later=lambda label: -1),
            labeller(special=0, later=lambda label: 0),
            labeller(special=None, later=lambda label: None),
            labeller(special=100, later=lambda label: 100),
        ),
        "a tensor instead of a list": (
            lambda word_labels, word_ids: torch.tensor(labeller()(word_labels, word_ids)),
            lambda word_labels, word_ids: np.array(spans.token_labels(word_labels, word_ids)),
            lambda word_labels, word_ids: np.array(labeller()(word_labels, word_ids)),
        ),
    },
    alternatives=[by_seen, by_previous, by_writing, from_behind, by_zip, by_groups],
    hints=(
        "A tokenizer cuts [\"Anna\", \"sings\"] into [CLS] an ##na sings [SEP]. Write its word_ids below it, and below "
        "those the labels. Which tokens does the loss pass over?",
        "Go through word_ids and remember the number before. There are three kinds of tokens: None, the same number as "
        "before, and a new number.",
        "Append -100 where word is None or word == previous, otherwise word_labels[word]; then previous = word. Before "
        "that, raise a ValueError unless 0 <= word < len(word_labels).",
    ),
)
