"""Further ways to make the known mistakes of `mask_tokens`."""

import torch

from course_lib.exercises.lesson03.bank.maskers import drawn_from, masker
from course_lib.exercises.lesson03.bank.slips import (
    all_shuffled,
    as_many_whatever_the_length,
    asks_a_whole_draw,
    draws_whole_numbers_globally,
    every_id,
    first_column,
    first_row,
    fixed_share_of_all,
    global_seed,
    in_place,
    labels_in_place,
    not_mask_id,
    not_special_ids,
    nothing_special,
    one_copy,
    only_mask_id,
    only_special_ids,
    or_else,
    replaced_last,
    seeded_again,
    shared_lots,
    two_draws_that_overlap,
    wide_words,
    written_in,
)
from course_lib.objectives import IGNORE

__all__ = ["VARIANTS"]

VARIANTS = {
    "all selected tokens become the mask token": (
        masker(apply=lambda ids, masked, replaced, words, mask_id: ids.masked_fill(masked | replaced, mask_id),
               fates=lambda lot: (lot < 2, lot > 2)),
    ),
    "every token has a label": (
        masker(label=lambda ids, inputs, selected, masked, replaced: ids),
        masker(label=lambda ids, inputs, selected, masked, replaced: ids, special=nothing_special,
               draw=drawn_from(every_id)),
    ),
    "unselected tokens are masked too": (masker(everywhere=True, special=nothing_special),),
    "labels only where the mask token was put": (
        masker(label=lambda ids, inputs, selected, masked, replaced: torch.where(masked, ids, IGNORE),
               fates=lambda lot: (lot < 0.8, lot > 0.9)),
    ),
    "masked and random overlap": (
        masker(fates=lambda lot: (lot < 0.8, lot < 0.1), apply=replaced_last),
    ),
    "10 % of what is left": (two_draws_that_overlap(False),),
    "as many tokens in every row": (
        masker(select=fixed_share_of_all),
        masker(select=as_many_whatever_the_length),
    ),
    "the same places in every row": (masker(select=first_row, lots=shared_lots(0)),),
    "rows are selected, not tokens": (masker(select=first_column, lots=shared_lots(1)),),
    "one fate for a whole row": (masker(lots=shared_lots(0)),),
    "special tokens are selected too": (
        masker(special=only_mask_id, draw=drawn_from(not_mask_id)),
        masker(special=only_mask_id, draw=drawn_from(not_special_ids)),
        masker(special=only_mask_id, draw=drawn_from(every_id)),
    ),
    "special tokens are never drawn, and yet selected": (
        masker(special=nothing_special, draw=drawn_from(not_special_ids)),
    ),
    "nothing is special": (masker(special=nothing_special, draw=drawn_from(not_mask_id)),),
    "special tokens are minded halfway": (masker(special=only_special_ids, draw=drawn_from(not_mask_id)),),
    "the mask token does not count as special": (masker(special=only_special_ids),),
    "random tokens may be special": (masker(draw=drawn_from(not_mask_id)),),
    "random tokens come from the batch": (masker(draw=all_shuffled),),
    "labels hold what stands there now": (
        masker(apply=in_place, label=lambda ids, inputs, selected, masked, replaced: torch.where(
            selected, ids, IGNORE)),
    ),
    "another number than -100": (masker(label=or_else(-1)), masker(label=or_else(-10))),
    "another dtype": (
        masker(give=lambda inputs, labels: (inputs.float(), labels)),
        masker(give=lambda inputs, labels: (inputs, labels.float())),
    ),
    "int64 whatever ids are": (
        masker(draw=wide_words),
        masker(draw=wide_words, apply=written_in),
        masker(give=lambda inputs, labels: (inputs, labels.long())),
    ),
    "a question to a whole tensor": (asks_a_whole_draw,),
    "inputs and labels are one tensor": (one_copy,),
    "ids are overwritten": (labels_in_place,),
    "static masking": (masker(use=seeded_again), masker(use=global_seed)),
    "draws in the dtype of ids": (draws_whole_numbers_globally,),
}  # fmt: skip
