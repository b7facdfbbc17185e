"""Further ways to make the known mistakes of `find_leak`, by the name of the mistake."""

import torch

from course_lib.exercises.lesson05.bank.finders import every_step, finder, finite, values
from course_lib.exercises.lesson05.bank.missteps import (
    compared_with_the_last,
    cut_off,
    first_twenty,
    for_each_row_alone,
    into_rows,
    of_ids,
    on_its_side,
    one_behind,
    put_back_what_is_left,
    until_the_first_find,
)
from course_lib.exercises.lesson05.bank.slips import (
    above,
    all_close,
    all_that_follow,
    by_value_in_place,
    counts,
    in_one_row,
    last_or_first,
    marking,
    not_equal,
    one,
    rest,
    right,
    set_to_one,
    stepped,
    steps,
    sums,
    zero_or_one,
)

__all__ = ["VARIANTS"]

VARIANTS = {
    "nothing is ever found": (lambda model, ids, vocab_size: torch.zeros(2 * ids.shape[1:], dtype=torch.bool),),
    "all later tokens are replaced at once": (
        all_that_follow(lambda vocab: vocab - 1),
        all_that_follow(lambda vocab: 1),
        finder(change=rest(set_to_one)),
        finder(others=one(lambda tokens, vocab: (tokens + 1) % vocab), change=rest(stepped)),
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
        of_ids,
        finder(others=first_twenty(0)),
        finder(others=first_twenty(-1)),
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
    "rows and columns are swapped": (
        on_its_side,
        finder(tokens=lambda ids: range(ids.shape[1]), mark=into_rows(lambda j: slice(None))),
        finder(mark=into_rows(lambda j: slice(None))),
    ),
    "the text is cut off": (
        cut_off(lambda ids, changed, j: changed, lambda ids, changed, j: ids[:, :j]),
        cut_off(lambda ids, changed, j: ids, lambda ids, changed, j: changed[:, : j + 1]),
    ),
    "the token behind is replaced": (one_behind(lambda j: slice(j + 1)),),
    "the search ends at the first find": (until_the_first_find(values(0, 0)),),
    "compared with the answer before": (
        compared_with_the_last(every_step, 0),
        compared_with_the_last(values(0, 0), 1),
        compared_with_the_last(values(0, 0), 0),
    ),
    "the model writes into the copy": (put_back_what_is_left,),
    "another batch than ids": (for_each_row_alone,),
}
