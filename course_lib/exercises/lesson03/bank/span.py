"""Known mistakes and right answers for `best_span`."""

import torch

from course_lib import spans
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson03 import run
from course_lib.exercises.lesson03.bank.spanners import (
    as_pairs,
    by_best_ends,
    by_lengths,
    by_list_of_pairs,
    by_log_softmax,
    by_loops,
    by_low_number,
    cut_afterwards,
    each_alone,
    each_alone_clamped,
    each_alone_clamped_twice,
    each_alone_sorted,
    end_first,
    filled,
    from_0,
    last_best,
    latest_end,
    of_the_mean,
    one_for_all,
    over_the_edge,
    searching,
    shares,
    spanner,
    start_first,
    sums,
    tensors_over_the_edge,
    zeroed,
)

__all__ = ["SPAN"]

FORBIDDEN = ("decode_spans", "select_starts_ends")

SPAN = Exercise(
    side=run.SPAN,
    reference=spans.best_span,
    groups={run.PAIRS: 2, run.LENGTHS: 1, run.EDGES: 1},
    difficulty=3,
    minutes=10,
    misconceptions={
        "start and end each for itself": Misconception(
            each_alone,
            "You take the best start and the best end, each for itself, and the end may come before the start. Look "
            "for the best pair: among those allowed, the one with the largest sum.",
        ),
        "start and end each for itself, then put in order": Misconception(
            each_alone_sorted,
            "Where the best end comes before the best start, you swap the two or move one. That pair was never the "
            "best: its start was good as an end. Compare the sums of all pairs that are allowed.",
        ),
        "the start first, then an end behind it": Misconception(
            start_first(True),
            "You settle on the best start and then look for an end. A slightly worse start may have a much better end: "
            "compare the sums of all pairs.",
        ),
        "the end first, then a start before it": Misconception(
            end_first(True),
            "You settle on the best end and then look for a start. A slightly worse end may have a much better start: "
            "compare the sums of all pairs.",
        ),
        "the end may come before the start": Misconception(
            spanner(allowed=lambda pairs, max_len: pairs.tril(max_len - 1)),
            "Some of your spans end before they start. With starts in the rows and ends in the columns, the pairs with "
            "start <= end are the upper triangle, diagonal included.",
        ),
        "the end may not come behind the start": Misconception(
            spanner(allowed=lambda pairs, max_len: pairs.tril().triu(1 - max_len)),
            "Your spans end where they start, or before. With starts in the rows and ends in the columns it is the "
            "upper triangle that counts: triu, not tril.",
        ),
        "max_len is ignored": Misconception(
            spanner(allowed=lambda pairs, max_len: pairs.triu()),
            "Some of your spans hold more than max_len tokens. Allow end < start + max_len only; "
            "tril(max_len - 1) leaves those in the upper triangle.",
        ),
        "max_len is always the same": Misconception(
            spanner(allowed=lambda pairs, max_len: pairs.triu().tril(29)),
            "Your spans hold up to 30 tokens whatever max_len says. The number stands in your code: put max_len there.",
        ),
        "one token too many": Misconception(
            spanner(allowed=lambda pairs, max_len: pairs.triu().tril(max_len)),
            "Some of your spans hold max_len + 1 tokens. Both ends count: from start to end there are "
            "end - start + 1 of them.",
        ),
        "one token too few": Misconception(
            spanner(allowed=lambda pairs, max_len: pairs.triu().tril(max(max_len - 2, 0))),
            "Your spans stop at max_len - 1 tokens. range and slices leave out their upper end already.",
        ),
        "no span of one token": Misconception(
            spanner(allowed=lambda pairs, max_len: pairs.triu(1).tril(max(max_len - 1, 1))),
            "An answer may be a single token, where start and end are the same. The diagonal belongs to the pairs that "
            "are allowed: start <= end.",
        ),
        "cut to max_len afterwards": Misconception(
            cut_afterwards,
            "You look for the best pair of any length and shorten it. Its new end was never looked at: leave the long "
            "pairs out before you compare.",
        ),
        "the end is exclusive": Misconception(
            spanner(give=lambda start, end: as_pairs(start, end + 1)),
            "Your end is one place further on, as in a slice. Here the end is the last token of the span.",
        ),
        "start and end have changed places": Misconception(
            spanner(give=lambda start, end: as_pairs(end, start)),
            "The pairs are right and stand in the wrong order: (start, end). In a table with starts in the rows, the "
            "flat index is start * seq + end.",
        ),
        "start and end have changed roles": Misconception(
            spanner(scores=lambda start, end: sums(end, start)),
            "You add the end logit of the first token to the start logit of the last. The rows of the table are "
            "starts, start_logits[:, :, None], and the columns ends, end_logits[:, None, :].",
        ),
        "forbidden pairs count as 0": Misconception(
            spanner(hide=zeroed),
            "Where all allowed sums are negative, a forbidden pair wins: triu, tril and a product with a mask leave 0 "
            "there, and 0 is an ordinary sum. Fill them with minus infinity.",
        ),
        "forbidden sums are not low enough": Misconception(
            spanner(hide=filled(-1e9)),
            "Where padding is in every allowed sum, the best of them is about -3.4e38, and next to it your number, "
            "such as -1e9, is a good sum: a forbidden pair wins. Fill with minus infinity, or start from it.",
        ),
        "the best sum starts at 0": Misconception(
            from_0,
            "Where all sums are negative, none of them beats the 0 that your search starts from, and (0, 0) is left. "
            "Start from minus infinity.",
        ),
        "the end runs over the edge": Misconception(
            over_the_edge,
            "Near the end of the sequence start + max_len is beyond it. Let the ends go up to whichever comes first: "
            "min(start + max_len, seq).",
        ),
        "a product with the mask": Misconception(
            spanner(hide=lambda scores, allowed: scores * allowed),
            "Where all allowed sums are negative, a forbidden pair wins, since a product with the mask leaves 0 there; "
            "and 0 times the sum of two paddings is nan. masked_fill with minus infinity does neither.",
        ),
        "the latest of equals": Misconception(
            spanner(best=last_best),
            "Of spans that are equally good you take the last. The earliest start wins, and then the earliest end: "
            "in a loop compare with >, not >=; argmax gives the first by itself.",
        ),
        "products of small probabilities": Misconception(
            spanner(scores=shares, hide=lambda scores, allowed: scores * allowed),
            "You multiply probabilities. The order is the same, and then large logits make them so small that float32 "
            "holds 0 for all of them. Add logits instead.",
        ),
        "logits are multiplied": Misconception(
            spanner(scores=lambda start, end: start[:, :, None] * end[:, None, :]),
            "You multiply logits, and two bad ones make a good pair, since minus times minus is plus. Add them.",
        ),
        "one span for the whole batch": Misconception(
            spanner(best=one_for_all),
            "Every row gets the same span: your argmax runs over the batch as well. Flatten the pairs of each row "
            "alone, flatten(1), and take argmax(-1).",
        ),
        "places in a flat table": Misconception(
            spanner(best=lambda scores: (scores.flatten(1).argmax(-1), None), give=lambda place, _: place),
            "You give the place in the flat table of pairs. Divide it by the number of columns: // gives the start, "
            "% the end; put both side by side.",
        ),
        "the best sum instead of its place": Misconception(
            spanner(best=lambda scores: (scores.amax((1, 2)), scores.amax((1, 2)))),
            "You give back sums of logits. Asked for is where they stand: argmax, not max.",
        ),
        "another dtype": Misconception(
            spanner(give=lambda start, end: as_pairs(start, end).float()),
            "The pairs are right and their dtype is not: places are whole numbers, torch.int64, as argmax gives them. "
            "// keeps them whole, / does not.",
        ),
        "two tensors instead of one": Misconception(
            spanner(give=lambda start, end: (start, end)),
            "The places are right and come as two tensors. One of shape (batch, 2) is asked for: "
            "torch.stack((start, end), dim=-1).",
        ),
        "starts in one row, ends in the other": Misconception(
            spanner(give=lambda start, end: torch.stack((start, end))),
            "The places are right and the shape is (2, batch). torch.stack puts its new axis first unless told where: "
            "dim=-1.",
        ),
        "a list instead of a tensor": Misconception(
            lambda start_logits, end_logits, max_len=30: spans.best_span(start_logits, end_logits, max_len).tolist(),
            "The pairs are right, and a tensor of them is asked for: torch.tensor(pairs).",
        ),
    },
    variants={
        "start and end each for itself, then put in order": (each_alone_clamped, each_alone_clamped_twice),
        "the start first, then an end behind it": (start_first(False),),
        "the end first, then a start before it": (end_first(False),),
        "the end may come before the start": (
            spanner(allowed=lambda pairs, max_len: pairs.tril(max_len - 1).triu(1 - max_len)),
        ),
        "no span of one token": (
            spanner(allowed=lambda pairs, max_len: pairs.triu(1)),
            spanner(allowed=lambda pairs, max_len: pairs.triu(1).tril(max_len)),
            spanner(allowed=lambda pairs, max_len: pairs.triu(1).tril(max_len - 1)),
        ),
        "one token too few": (spanner(allowed=lambda pairs, max_len: pairs.triu().tril(max_len - 2)),),
        "forbidden pairs count as 0": (spanner(hide=lambda scores, allowed: scores.masked_fill(~allowed, 0.0)),),
        "forbidden sums are not low enough": (
            *(spanner(hide=filled(number)) for number in (-1e4, -1e6, -1e30)),
            spanner(hide=lambda scores, allowed: scores + ~allowed * -1e9),
            *map(searching, (-1e9, -1e4, -1e6, -1e30, torch.finfo(torch.float32).min)),
        ),
        "the latest of equals": (spanner(best=latest_end),),
        "products of small probabilities": (
            spanner(scores=shares, hide=zeroed),
            spanner(scores=shares),
        ),
        "one span for the whole batch": (spanner(best=of_the_mean),),
        "another dtype": (spanner(give=lambda start, end: as_pairs(start, end).int()),),
        "the end runs over the edge": (tensors_over_the_edge,),
        "two tensors instead of one": (spanner(give=lambda start, end: [start, end]),),
        "a list instead of a tensor": (
            lambda start_logits, end_logits, max_len=30: list(
                map(tuple, spans.best_span(start_logits, end_logits, max_len).tolist())),
            lambda start_logits, end_logits, max_len=30: list(
                spans.best_span(start_logits, end_logits, max_len)),
        ),
    },
    alternatives=[
        by_loops,
        by_log_softmax,
        by_lengths,
        by_best_ends,
        by_list_of_pairs,
        by_low_number,
    ],
    forbidden={
        name: f"best_span uses {name}, which finds the span itself; compare the pairs yourself." for name in FORBIDDEN
    },
    hints=(
        "Four tokens: write a table with starts in the rows, ends in the columns, and the sums in it. Which fields may "
        "be an answer? Which of them if max_len is 2?",
        "start_logits[:, :, None] + end_logits[:, None, :] is the table of each row. torch.ones(seq, seq).triu() marks "
        "the ends that are not before their start; tril(max_len - 1) the short ones among them.",
        "Fill all other fields with minus infinity, flatten(1), and take argmax(-1). Divided by seq, // gives the "
        "start and % the end; torch.stack((start, end), dim=-1).",
    ),
)  # fmt: skip
