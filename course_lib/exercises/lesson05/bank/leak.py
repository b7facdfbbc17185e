"""Known mistakes and right answers for `find_leak`."""

from course_lib import cheating
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson05 import run
from course_lib.exercises.lesson05.bank.finders import (
    by_batch,
    by_bits,
    by_closeness,
    by_numpy,
    by_pairs,
    by_value,
    every_step,
    finder,
    put_back,
)
from course_lib.exercises.lesson05.bank.leak_variants import VARIANTS
from course_lib.exercises.lesson05.bank.missteps import (
    asks_again_with_what_is_left,
    blame_all_before,
    compared_with_the_last,
    cut_off,
    in_one_large_batch,
    one_behind,
    one_row_too_low,
    until_the_first_find,
    without_nan,
)
from course_lib.exercises.lesson05.bank.slips import (
    as_a_square_of_rows,
    ask_the_last,
    blame_all,
    close,
    every_id,
    for_each_row,
    hands_ids_over,
    in_place,
    likeliest,
    marking,
    on_the_first_axis,
    one,
    rest,
    right,
    shares,
    stepped,
    steps,
    sums,
)
from course_lib.exercises.lesson05.bank.tables import Tables

__all__ = ["LEAK"]


LEAK = Exercise(
    side=run.LEAK,
    reference=cheating.find_leak,
    groups={
        "which position reads which later token": 2,
        "faint, rare and hidden leaks, and no others": 2,
        run.NAN: 1,
        run.UNTOUCHED: 1,
    },
    judge=Tables(untouched=run.UNTOUCHED),
    difficulty=4,
    minutes=18,
    misconceptions={
        "nothing is ever found": Misconception(
            finder(others=lambda tokens, vocab: [tokens]),
            "Your table is empty for every model. Is the new id another than the old one? Is the changed copy what the "
            "model is asked about, and are its logits compared with those of the unchanged ids? Does triu or tril keep "
            "the half that you filled?",
        ),
        "one answer for all positions": Misconception(
            finder(mark=blame_all),
            "You ask whether anything has moved at all. Position j and those behind it may move, and do: look at each "
            "position before j by itself.",
        ),
        "one answer for all positions before it": Misconception(
            finder(mark=blame_all_before),
            "You ask whether anything before token j has moved, and then mark every position before it. Each of them "
            "has a cell of its own: look at each by itself.",
        ),
        "only the last position is compared": Misconception(
            finder(mark=ask_the_last),
            "You look at the logits of the last position, [:, -1]. It has read every token and may move. Compare the "
            "positions before the replaced token.",
        ),
        "all later tokens are replaced at once": Misconception(
            finder(change=rest(stepped)),
            "You replace several tokens at once, and then nobody can say which of them was read. Replace token j "
            "alone, and leave all others as they were.",
        ),
        "the text is cut off": Misconception(
            cut_off(lambda ids, changed, j: ids, lambda ids, changed, j: ids[:, :j]),
            "You compare with the answer to a shorter text. What was cut off is gone all at once, and nobody can say "
            "which of its tokens was read. Leave the length as it is, and replace token j alone.",
        ),
        "the token behind is replaced": Misconception(
            one_behind(lambda j: slice(j)),
            "You replace token j + 1 and write what moves into column j. The column is the token that was replaced: "
            "the same number in both places.",
        ),
        "rows and columns are swapped": Misconception(
            finder(give=lambda leak: leak.T),
            "Your table lies on its side. The row is the position whose logits move, the column the token that was "
            "replaced: leak[i, j]. If you used torch.stack: it makes rows of what it is given, unless dim says "
            "otherwise.",
        ),
        "the rows are one too low": Misconception(
            finder(mark=one_row_too_low),
            "What moves at position i stands in row i + 1 of your table: the slice that you write to begins one later "
            "than the one that you read from. Row i is position i.",
        ),
        "the diagonal is counted": Misconception(
            finder(tokens=lambda ids: range(ids.shape[1]), mark=marking(lambda j: slice(j + 1))),
            "Position j may read token j: it has to predict the token after it. A leak has j > i, so the diagonal "
            "stays False.",
        ),
        "the past is counted": Misconception(
            finder(tokens=lambda ids: range(ids.shape[1]), mark=marking(lambda j: slice(None))),
            "You also mark positions at and behind the replaced token. They may read it. A leak has j > i: .triu(1) "
            "keeps what is above the diagonal.",
        ),
        "only the past is counted": Misconception(
            finder(tokens=lambda ids: range(ids.shape[1]), mark=marking(lambda j: slice(j + 1, None))),
            "You mark the positions behind the replaced token, which may read it. Those before it must not: i < j.",
        ),
        "only the position just before is compared": Misconception(
            finder(mark=marking(lambda j: slice(j - 1, j))),
            "You look at position j - 1 alone. A leak may reach further: compare all positions before j.",
        ),
        "the position just before is left out": Misconception(
            finder(mark=marking(lambda j: slice(max(j - 1, 0)))),
            "A model that reads just one token ahead passes. Your slice ends one too early: the positions before j are "
            "[:j].",
        ),
        "the last token is never replaced": Misconception(
            finder(tokens=lambda ids: range(1, ids.shape[1] - 1)),
            "The last column is always empty. Look at where your range ends: range(1, seq) stops before seq already.",
        ),
        "only the first row counts": Misconception(
            finder(rows=lambda moved: moved[0]),
            "You replace or compare in the first row of the batch alone. The leak may show in another: any row counts.",
        ),
        "only the last row counts": Misconception(
            finder(rows=lambda moved: moved[-1]),
            "You replace or compare in the last row of the batch alone. The leak may show in another: any row counts.",
        ),
        "every row must move": Misconception(
            finder(rows=lambda moved: moved.all(0)),
            "You mark a leak only if it shows in all rows. One is enough: .any() over the batch.",
        ),
        "every logit must move": Misconception(
            finder(differ=lambda a, b: (a != b).all(-1)),
            "You mark a leak only if all logits of a position move. One is enough: .any() over the vocabulary.",
        ),
        "a tolerance hides the leak": Misconception(
            finder(differ=close),
            "A faint leak passes: isclose and allclose forgive small differences, and so does a threshold of your own. "
            "A causal model cannot move earlier logits at all, so compare exactly, with !=.",
        ),
        "only the likeliest token is compared": Misconception(
            finder(differ=likeliest),
            "You compare which token is the likeliest. A leak may move the logits and leave their order as it was: "
            "compare the logits themselves.",
        ),
        "probabilities are compared": Misconception(
            finder(differ=shares),
            "You compare what a softmax makes of the logits. It does not feel it if all of them rise by the same "
            "amount: compare the logits themselves.",
        ),
        "sums are compared": Misconception(
            finder(differ=sums(lambda logits: logits.sum(-1))),
            "You compare sums or means of logits. One may rise by what another falls: compare number by number, and "
            "then .any().",
        ),
        "only one new id counts": Misconception(
            finder(others=one(lambda tokens, vocab: (tokens + 1) % vocab)),
            "In the end one new id of each token counts. Either you try only one, or each writes over what those "
            "before it have shown (leak[:j, j] = … in place of |= …). The model may feel any: every other id counts.",
        ),
        "some ids are never tried": Misconception(
            finder(others=steps(1, -1)),
            "You try several ids, and not all: the model may feel exactly the one that you leave out. Every other id "
            "has its turn: look at both ends of your range; those of the text, or some drawn at random, are too few.",
        ),
        "the search ends at the first find": Misconception(
            until_the_first_find(every_step),
            "You stop trying ids as soon as one has moved something. Another id may move another position, which this "
            "one left alone: every other id has its turn.",
        ),
        "every id must show it": Misconception(
            every_id,
            "You mark a leak only if every new id shows it. One is enough: any, not all.",
        ),
        "ids are changed in place": Misconception(
            in_place(lambda ids: ids),
            "You write into the caller's ids: changed = ids is a second name for the same tensor. Begin with a fresh "
            "copy for each question: changed = ids.clone().",
        ),
        "the changes pile up": Misconception(
            in_place(lambda ids: ids.clone()),
            "Tokens that you have tried before are still changed when the next one has its turn. Begin with a fresh "
            "copy of ids for each question.",
        ),
        "compared with the answer before": Misconception(
            compared_with_the_last(every_step, 1),
            "You compare each answer with the one before it. In that question another id stood there, or another token "
            "was replaced. Ask about the unchanged ids once, and compare with that answer each time.",
        ),
        "the model gets ids themselves": Misconception(
            hands_ids_over,
            "Your table is right for well-behaved models. This one writes into what it gets, and you handed it the "
            "caller's ids: model(ids.clone()).",
        ),
        "the model writes into the copy": Misconception(
            asks_again_with_what_is_left,
            "Your table is right for well-behaved models. This one writes into what it gets, and you ask the next "
            "question with what it left there: a fresh copy of ids for each question, not one for each token.",
        ),
        "another batch than ids": Misconception(
            in_one_large_batch,
            "You compare the answer to ids with answers to more or fewer rows at once. For another number of rows a "
            "kernel adds up in another order, so that the last bits of a real model differ, leak or not. Each question "
            "has the shape of ids.",
        ),
        "an id beyond the vocabulary": Misconception(
            finder(others=lambda tokens, vocab: [tokens + step for step in range(1, vocab)]),
            "There is no such id: they go from 0 to vocab_size - 1. % vocab_size brings a sum back into the "
            "vocabulary; range(vocab_size) gives all ids.",
        ),
        "one answer instead of a table": Misconception(
            lambda model, ids, vocab_size: bool(right(model, ids, vocab_size).any()),
            "You say whether there is a leak. The question is where: a boolean table of shape (seq, seq).",
        ),
        "a list of pairs instead of a table": Misconception(
            lambda model, ids, vocab_size: right(model, ids, vocab_size).nonzero(),
            "You give the pairs themselves. Give a boolean table of shape (seq, seq) that is True at these pairs.",
        ),
        "a table for each row": Misconception(
            for_each_row,
            "You give a table for each row of the batch. One is asked for, True where any row shows the leak: .any(0).",
        ),
        "numbers instead of True and False": Misconception(
            finder(give=lambda leak: leak.long()),
            "Your table holds numbers. Make it with dtype=torch.bool, or compare at the end: counts > 0.",
        ),
        "nan is called a change": Misconception(
            finder(differ=lambda a, b: (a != b).any(-1)),
            "nan != nan is True, so that a logit that is nan all the time looks changed. Leave out where both are nan: "
            "before.isnan() & after.isnan().",
        ),
        "minus infinity is subtracted": Misconception(
            finder(differ=lambda a, b: ((a - b) != 0).any(-1)),
            "You subtract logits, and minus infinity less minus infinity is nan, which is not 0. Compare with !=, and "
            "leave out where both are nan.",
        ),
        "a nan that appears is missed": Misconception(
            finder(differ=lambda a, b: ((a - b).abs() > 0).any(-1)),
            "Where a logit becomes nan, so does the difference, and nan > 0 is False. Compare with !=, and leave out "
            "where both are nan.",
        ),
        "nan is taken for 0": Misconception(
            finder(differ=without_nan),
            "torch.nan_to_num makes a 0 of nan, so that a logit that was 0 and becomes nan looks unchanged. Compare "
            "the logits as they are, and leave out where both are nan.",
        ),
        "len(ids) is taken for the number of tokens": Misconception(
            as_a_square_of_rows,
            "len(ids) is the number of rows. The tokens are on the second axis: ids.shape[1].",
        ),
        "the first axis is taken for the tokens": Misconception(
            finder(change=on_the_first_axis),
            "ids[j] is row number j, since the first axis is the batch. Token j of every row is ids[:, j].",
        ),
        "True where nothing moves": Misconception(
            finder(give=lambda leak: (~leak).triu(1)),
            "Your table is True where the model does not look. It should be True where it does.",
        ),
    },
    variants=VARIANTS,
    alternatives=[by_value, by_pairs, by_batch, by_closeness, by_numpy, by_bits, put_back],
    hints=(
        "The model is a sealed box: ids in, logits out. What may you do to one token, and which logits would a model "
        "that cannot see the future then have to leave exactly as they were?",
        "Ask about the unchanged ids once. Then, for each token j and each other id: a fresh copy, token j replaced in "
        "all rows, ask again, and note in column j which positions before j have moved, in any row.",
        "after != before is (batch, seq, vocab), and calls nan unlike nan: leave out where both are. .any over two of "
        "its axes gives one answer a position. Which part of column j may it be written to, and what becomes there of "
        "what earlier ids have shown?",
    ),
)
