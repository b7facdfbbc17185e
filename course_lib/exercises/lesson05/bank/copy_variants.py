"""Further ways to make the known mistakes of `copy_rate`, by the name of the mistake."""

import torch

from course_lib.exercises.lesson05.bank.copiers import counter
from course_lib.exercises.lesson05.bank.miscounts import (
    as_doubles,
    divides_by_nothing,
    drawn_again_once,
    drawn_once,
    kept_in_range,
    nan_if_nothing,
    of_drawn,
    refuse_nothing,
    seeds_the_given_one,
    seeds_torch,
    stepping,
    whole_rows,
)
from course_lib.exercises.lesson05.bank.tallies import (
    adder,
    asks_about_ids,
    but_the_first,
    but_the_last,
    by_numbers,
    in_the_first_row,
    is_the_step,
    means,
    of_other_rows,
    one_place_for_all,
    one_place_in_each_row,
    questions,
    sampling,
)

__all__ = ["VARIANTS"]

VARIANTS = {
    "all tokens are replaced at once": (whole_rows,),
    "the drawn id may be the original": (
        counter(draw=lambda tokens, vocab, g: (tokens + torch.randint(vocab, tokens.shape, generator=g)) % vocab),
        counter(draw=lambda tokens, vocab, g: (torch.rand(tokens.shape, generator=g) * vocab).long()),
        counter(draw=lambda tokens, vocab, g: torch.randint(vocab - 1, tokens.shape, generator=g)),
        counter(draw=drawn_again_once),
    ),
    "some ids are never drawn": (
        counter(draw=stepping(2, 0)),
        *(counter(draw=stepping(1, end)) for end in (-2, -3, -5)),
    ),
    "some ids are drawn more often": (counter(draw=kept_in_range),),
    "an id beyond the vocabulary": (
        counter(draw=lambda tokens, vocab, g: torch.full_like(tokens, vocab)),
    ),
    "one draw for all rows": (drawn_once(lambda ids: (1,)),),
    "the probability is averaged": (
        counter(read=lambda logits, t: logits[:, t], count=of_drawn),
    ),
    "the generator is not used": (
        seeds_torch,
        counter(draw=by_numbers(one=False)),
        counter(draw=by_numbers(one=True)),
    ),
    "seeded anew in each call": (seeds_the_given_one,),
    "nothing to predict is not an error": (divides_by_nothing, nan_if_nothing, counter(refuse=refuse_nothing)),
    "a count instead of a share": (counter(give=lambda copies: int(copies.sum())),),
    "a rate for each row": (
        counter(give=as_doubles(lambda copies: copies.mean(0).tolist())),
        counter(give=as_doubles(lambda copies: copies.mean(1))),
    ),
    "a tensor instead of a float": (counter(give=lambda copies: copies.float().mean()),),
    "the last token is left out": (
        adder(but_the_last),
        adder(but_the_last, lambda ids: len(ids) * (ids.shape[1] - 2)),
        counter(positions=but_the_last),
        means(but_the_last),
    ),
    "position 0 is left out": (
        adder(but_the_first),
        adder(but_the_first, lambda ids: len(ids) * (ids.shape[1] - 2)),
        counter(positions=but_the_first),
        means(but_the_first),
    ),
    "the first row alone": (
        adder(count=lambda copies: copies[0]),
        in_the_first_row(questions),
        in_the_first_row(lambda ids: ids.shape[1] - 1),
    ),
    "a position counts once": (adder(count=torch.any),),
    "all rows must copy": (adder(count=torch.all),),
    "no copy is ever counted": (is_the_step, asks_about_ids),
    "what the model says is drawn": (sampling(own=False),),
    "one position of each row is asked": (
        one_place_in_each_row(place_first=False, own=True),
        one_place_in_each_row(place_first=True, own=False),
        one_place_in_each_row(place_first=False, own=False),
        *(one_place_for_all(own) for own in (True, False)),
    ),
    "tokens of other rows are drawn": (of_other_rows(own=True),),
}
