"""Known mistakes and right answers for `find_leak`."""

import torch

from course_lib import cheating
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception, Pattern
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
    finite,
    put_back,
    values,
)
from course_lib.exercises.lesson05.bank.slips import (
    above,
    all_close,
    all_that_follow,
    as_a_square_of_rows,
    ask_the_last,
    blame_all,
    by_value_in_place,
    close,
    counts,
    every_id,
    for_each_row,
    hands_ids_over,
    in_one_row,
    in_place,
    last_or_first,
    likeliest,
    marking,
    not_equal,
    on_the_first_axis,
    one,
    rest,
    right,
    set_to_one,
    shares,
    stepped,
    steps,
    sums,
    zero_or_one,
)

__all__ = ["LEAK"]


def _explain(case):
    """Say which token shows a leak of this model, and how."""
    model, ids, vocab = case.args
    before = model(ids.clone())
    for j in range(1, ids.shape[1]):
        for new in every_step(ids[:, j], vocab):
            changed = ids.clone()
            changed[:, j] = new
            moved = finite(torch.ne)(before, model(changed))[:, :j]
            if moved.any():
                b, i = moved.nonzero()[0].tolist()
                return f"in row {b}, the logits at position {i} change when token {j} becomes {new[b]}"
    return "this model is causal: no later token moves any logit"


class ApartFromNan(Equality):
    """Equality, where nan, and a model that writes into ids, have no say in the name of a mistake that shows elsewhere.

    Who has not thought of them makes other mistakes as well, and it is these that should be named.
    """

    def telling(self, mine: Pattern) -> list[int]:
        return super().telling(_elsewhere(mine) or mine)

    def alike(self, mine: Pattern, theirs: Pattern) -> float:
        mine = _elsewhere(mine) or mine
        return super().alike(mine, _elsewhere(theirs) or theirs)


def _elsewhere(pattern: Pattern) -> Pattern:
    return {key: wrong for key, wrong in pattern.items() if not key or wrong.group not in (run.NAN, run.UNTOUCHED)}


LEAK = Exercise(
    side=run.LEAK,
    reference=cheating.find_leak,
    groups={
        "which position reads which later token": 2,
        "faint, rare and hidden leaks": 2,
        run.NAN: 1,
        run.UNTOUCHED: 1,
    },
    judge=ApartFromNan(untouched=run.UNTOUCHED, explain=_explain),
    difficulty=4,
    minutes=18,
    misconceptions={
        "nothing is ever found": Misconception(
            finder(others=lambda tokens, vocab: [tokens]),
            "Your table is empty for every model. Is the new id another than the old one? Is the changed copy what the "
            "model is asked about, and are its logits compared with those of the unchanged ids?",
        ),
        "one answer for all positions": Misconception(
            finder(mark=blame_all),
            "You ask whether anything has moved at all. Position j and those behind it may move, and do: look at each "
            "position before j by itself.",
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
        "rows and columns are swapped": Misconception(
            finder(give=lambda leak: leak.T),
            "Your table lies on its side. The row is the position whose logits move, the column the token that was "
            "replaced: leak[i, j].",
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
            "has its turn; look at both ends of your range.",
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
        "the model gets ids themselves": Misconception(
            hands_ids_over,
            "Your table is right for well-behaved models. This one writes into what it gets, and you handed it the "
            "caller's ids: model(ids.clone()).",
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
    variants={
        "nothing is ever found": (lambda model, ids, vocab_size: torch.zeros(2 * ids.shape[1:], dtype=torch.bool),),
        "all later tokens are replaced at once": (
            all_that_follow,
            finder(change=rest(set_to_one)),
        ),
        "the diagonal is counted": (finder(mark=marking(lambda j: slice(j + 1))),),
        "ids are changed in place": (by_value_in_place(lambda ids: ids),),
        "the changes pile up": (by_value_in_place(lambda ids: ids.clone()),),
        "the past is counted": (finder(mark=marking(lambda j: slice(None))),),
        "only the past is counted": (
            finder(mark=marking(lambda j: slice(j + 1, None))),
            finder(tokens=lambda ids: range(ids.shape[1]), mark=marking(lambda j: slice(j, None))),
        ),
        "only the first row counts": (finder(change=in_one_row(0)),),
        "only the last row counts": (finder(change=in_one_row(-1)),),
        "a tolerance hides the leak": (
            finder(differ=all_close),
            *(finder(differ=above(number)) for number in (1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-9)),
        ),
        "sums are compared": (
            finder(differ=sums(lambda logits: logits.mean(-1))),
            finder(differ=lambda a, b: finite(torch.ne)(a.sum((0, 2))[None, :, None], b.sum((0, 2))[None, :, None])),
        ),
        "probabilities are compared": (
            finder(differ=lambda a, b: finite(torch.ne)(a.log_softmax(-1), b.log_softmax(-1))),
        ),
        "only one new id counts": (
            finder(mark=marking(slice, lambda old, moved: moved)),
            finder(others=values(0, 0), mark=marking(slice, lambda old, moved: moved)),
            finder(others=one(zero_or_one)),
            finder(others=one(last_or_first)),
            finder(others=one(lambda tokens, vocab: (tokens - 1) % vocab)),
            finder(others=one(lambda tokens, vocab: (tokens + vocab // 2) % vocab)),
            finder(others=one(lambda tokens, vocab: (tokens + torch.randint(1, vocab, tokens.shape)) % vocab)),
            finder(others=one(lambda tokens, vocab: torch.zeros_like(tokens))),
            finder(others=one(lambda tokens, vocab: torch.full_like(tokens, vocab - 1))),
        ),
        "some ids are never tried": (
            finder(others=steps(2, 0)),
            finder(others=values(1, 0)),
            finder(others=values(0, -1)),
            finder(others=lambda tokens, vocab: [(tokens + 1) % vocab, (tokens - 1) % vocab]),
            finder(others=lambda tokens, vocab: [(tokens + step) % vocab for step in (1, 2)]),
        ),
        "an id beyond the vocabulary": (
            finder(others=values(1, 1)),
            finder(others=values(0, 1)),
            finder(others=lambda tokens, vocab: [tokens + 1]),
            finder(others=one(lambda tokens, vocab: torch.full_like(tokens, vocab))),
            finder(others=one(lambda tokens, vocab: torch.full_like(tokens, -1))),
        ),
        "a nan that appears is missed": (
            finder(differ=lambda a, b: (a - b).abs().amax(-1) > 0),
            finder(differ=lambda a, b: ((a - b).abs().amax((0, 2)) > 0).expand(len(a), -1)),
        ),
        "one answer instead of a table": (lambda model, ids, vocab_size: right(model, ids, vocab_size).any(),),
        "a list of pairs instead of a table": (
            lambda model, ids, vocab_size: [tuple(p) for p in right(model, ids, vocab_size).nonzero().tolist()],
        ),
        "numbers instead of True and False": (finder(give=lambda leak: leak.float()), counts),
        "nan is called a change": (finder(differ=not_equal),),
        "True where nothing moves": (finder(give=lambda leak: ~leak),),
    },
    alternatives=[by_value, by_pairs, by_batch, by_closeness, by_numpy, by_bits, put_back],
    hints=(
        "The model is a sealed box: ids in, logits out. What may you do to one token, and which logits would a model "
        "that cannot see the future then have to leave exactly as they were?",
        "Ask about the unchanged ids once. Then, for each token j and each other id: a fresh copy, token j replaced in "
        "all rows, ask again, and note in column j which positions before j have moved, in any row.",
        "moved = (after != before) & ~(after.isnan() & before.isnan()) is (batch, seq, vocab); .any(-1).any(0) makes "
        "it (seq,). leak[:j, j] |= moved[:j] keeps what earlier ids have shown.",
    ),
)
