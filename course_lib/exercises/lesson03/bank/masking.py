"""Known mistakes and right answers for `mask_tokens`."""


import torch

from course_lib import objectives
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson03 import run
from course_lib.exercises.lesson03.bank.maskers import (
    by_bernoulli,
    by_loops,
    by_multinomial,
    by_numbers_in_order,
    by_one_draw,
    by_rejection,
    drawn_from,
    masker,
    ordinary_ids,
)
from course_lib.exercises.lesson03.bank.masking_variants import VARIANTS
from course_lib.exercises.lesson03.bank.signs import CORE, GROUPS, SYMPTOMS
from course_lib.exercises.lesson03.bank.slips import (
    adds_to_a_tuple,
    after_the_last_special,
    asks_a_whole_tensor,
    asks_for_a_tensor,
    draws_whole_numbers,
    every_id,
    first_column,
    first_row,
    fixed_seed,
    fixed_share,
    for_the_mask_alone,
    from_the_start,
    half_of_the_rest,
    in_place_with_labels,
    labels_at,
    left_out,
    not_special_ids,
    nothing_special,
    one_tensor,
    one_word,
    only_mask_id,
    only_special_ids,
    or_else,
    own_words,
    replaced_last,
    shared_lots,
    shuffled_tokens,
    two_draws_that_overlap,
    unseeded,
    without_defaults,
)
from course_lib.exercises.lesson03.bank.surveys import make_survey
from course_lib.exercises.lesson03.bank.symptoms import Symptoms
from course_lib.objectives import IGNORE

__all__ = ["MASKING"]

COLLATORS = (
    "DataCollatorForLanguageModeling",
    "DataCollatorForWholeWordMask",
    "torch_mask_tokens",
    "torch_call",
)

MASKING = Exercise(
    side=run.MASKING,
    reference=objectives.mask_tokens,
    groups=GROUPS,
    core=CORE,
    judge=Symptoms(SYMPTOMS, make_survey),
    difficulty=4,
    minutes=12,
    misconceptions={
        "all selected tokens become the mask token": Misconception(
            masker(fates=lambda lot: (lot < 1, lot < 0)),
            "Every selected token became the mask token. One in five should not: 10 % become a random token and 10 % "
            "stay, so that the model cannot trust the tokens it does see.",
        ),
        "one draw decides twice": Misconception(
            masker(lots=lambda draw, generator: draw),
            "Whether a token is selected and what becomes of it hang on the same number: whoever has drawn less than "
            "0.15 has drawn less than 0.8 too. Draw anew for the second question, or cut the first draw finer.",
        ),
        "every token has a label": Misconception(
            masker(label=lambda ids, inputs, selected, masked, replaced: ids.clone()),
            "Your labels hold the original ids everywhere, so the loss is taken on tokens that the model can simply "
            "copy. Where a token was not selected the label is -100.",
        ),
        "every token is selected": Misconception(
            masker(select=lambda ids, special, rate, draw: ~special),
            "80 % of the whole sentence is hidden, and every token has a label: 80, 10 and 10 % are shares of the "
            "selected tokens. First select each with probability rate, then decide what becomes of those.",
        ),
        "unselected tokens are masked too": Misconception(
            masker(everywhere=True),
            "Most tokens are hidden or replaced, and only a few of those have a label. What becomes of a token is a "
            "question about selected ones alone: join it with the selection, selected & (…).",
        ),
        "labels only where the mask token was put": Misconception(
            masker(label=labels_at(lambda selected, masked, replaced: masked)),
            "Tokens that were replaced by a random one, or kept, have no label. They were selected like the others: "
            "labels follow the selection, not the mask token. inputs == mask_id does not tell who was selected.",
        ),
        "kept tokens have no label": Misconception(
            masker(label=lambda ids, inputs, selected, masked, replaced: torch.where(inputs != ids, ids, IGNORE)),
            "A label stands only where inputs differ from ids, so that kept tokens have none. The model is to predict "
            "them too, though it sees them: it never knows whether a token it sees is the right one.",
        ),
        "random tokens have no label": Misconception(
            masker(label=labels_at(lambda selected, masked, replaced: selected & ~replaced)),
            "Tokens that were replaced by random ones have no label. They were selected like the others, and the model "
            "is to find out what stood there.",
        ),
        "no token is hidden": Misconception(
            masker(apply=lambda ids, masked, replaced, words, mask_id: ids.clone()),
            "Your inputs are the ids as they were. masked_fill and where give new tensors, and leave the old one: keep "
            "what they return.",
        ),
        "no random tokens": Misconception(
            masker(fates=lambda lot: (lot < 0.8, lot < 0)),
            "One in five of the selected tokens stays, and none becomes a random one. It is 80 % masked, 10 % random "
            "and 10 % kept.",
        ),
        "20 % random and none kept": Misconception(
            masker(fates=lambda lot: (lot < 0.8, lot >= 0.8)),
            "Every selected token that does not become the mask token becomes a random one. Half of them, 10 % of the "
            "selected, stay as they are.",
        ),
        "10 % of what is left": Misconception(
            half_of_the_rest(0.1),
            "About 2 % of the selected tokens are random and 18 % are kept: you take 10 % of the fifth that is left. "
            "Of that fifth, half becomes random; or ask one and the same number, below 0.8 and below 0.9.",
        ),
        "masked and random overlap": Misconception(
            two_draws_that_overlap(True),
            "Some tokens are chosen for both, the mask token and a random one, so fewer than 80 % end as mask tokens "
            "and more than 10 % stay. Let one number decide: below 0.8, below 0.9, or above.",
        ),
        "random tokens replace the mask tokens": Misconception(
            masker(fates=lambda lot: (lot < 0.8, lot < 0.9), apply=replaced_last),
            "No mask token is left: what is below 0.8 is below 0.9 too, and is replaced again. Random is what lies "
            "between the two.",
        ),
        "10 % masked and 80 % random": Misconception(
            masker(fates=lambda lot: (lot < 0.1, (lot >= 0.1) & (lot < 0.9))),
            "The shares have changed places: most of your selected tokens are random ones. It is 80 % for the mask "
            "token and 10 % for a random one.",
        ),
        "rate for the mask token alone": Misconception(
            masker(select=for_the_mask_alone),
            "You hide a share of `rate` under the mask token and select more on top of it. rate is for all three "
            "together: 12 % masked, 1.5 % random and 1.5 % kept where rate is 15 %.",
        ),
        "the comparison is turned round": Misconception(
            masker(select=lambda ids, special, rate, draw: (draw > rate) & ~special),
            "You select the other tokens: 85 % where rate is 0.15. A draw from 0 to 1 lies below rate with probability "
            "rate, so it is draw < rate.",
        ),
        "rate is ignored": Misconception(
            masker(select=lambda ids, special, rate, draw: (draw < 0.15) & ~special),
            "15 % of the tokens are selected whatever rate says. The number stands in your code: put rate there.",
        ),
        "as many tokens in every row": Misconception(
            masker(select=fixed_share),
            "The number of selected tokens is fixed for each row, as in BERT's own code. Here each token is drawn for "
            "itself, so one sentence has more of them and the next fewer: torch.rand(ids.shape) < rate.",
        ),
        "the same places in every row": Misconception(
            masker(select=first_row),
            "You drew once and use it for all rows, so the same places are hidden in every sentence. The draw has the "
            "shape of ids, one number for each token.",
        ),
        "rows are selected, not tokens": Misconception(
            masker(select=first_column),
            "You drew one number a row, so whole sentences are selected and others not at all. The draw has the shape "
            "of ids, one number for each token.",
        ),
        "one fate for a whole row": Misconception(
            masker(lots=shared_lots(1)),
            "All selected tokens of a row, of a place or of a whole call meet the same fate: that draw has too few "
            "numbers. It has the shape of ids, like the selection.",
        ),
        "special tokens are selected too": Misconception(
            masker(special=only_mask_id),
            "Padding, start and end are hidden like words, and the model learns to predict padding. Leave special_ids "
            "out of the selection: torch.isin(ids, torch.tensor(special_ids)) finds them.",
        ),
        "special tokens are never drawn, and yet selected": Misconception(
            masker(special=nothing_special),
            "No random token is special, as it should be, and yet special tokens are selected: nothing keeps the mask "
            "token and special_ids out of the selection. Leave them out of both.",
        ),
        "nothing is special": Misconception(
            masker(special=nothing_special, draw=drawn_from(every_id)),
            "special_ids has no effect: padding, start, end and the mask token are selected, and drawn as random "
            "tokens too. Leave them out of both; mask_id always belongs to them.",
        ),
        "special tokens are minded halfway": Misconception(
            masker(special=only_special_ids, draw=drawn_from(every_id)),
            "special_ids are left out of the selection and drawn as random tokens all the same; and mask_id, which is "
            "special too, is selected. Make one list of both, and leave it out of both.",
        ),
        "the mask token does not count as special": Misconception(
            masker(special=only_special_ids, draw=drawn_from(not_special_ids)),
            "mask_id is not among special_ids, and yet special: a token that is hidden already cannot be hidden, and "
            "no random token is the mask token. Add it to the others.",
        ),
        "the mask token is among the random ones": Misconception(
            masker(draw=drawn_from(not_special_ids)),
            "With two ordinary ids, more than 80 % of the selected tokens become the mask token: it is drawn as a "
            "random token now and then. mask_id is special too; leave it out of what you draw from.",
        ),
        "random tokens may be special": Misconception(
            masker(draw=drawn_from(every_id)),
            "Some words were replaced by padding, start or end. Random tokens come from the ids that are not special: "
            "make a tensor of those, and draw places in it.",
        ),
        "only ids above the special ones": Misconception(
            masker(draw=drawn_from(after_the_last_special)),
            "You draw from the ids behind the last special one. Special ids need not be the first of the vocabulary: "
            "gather all ids that are not special, and draw places among them.",
        ),
        "special draws are left out": Misconception(
            masker(draw=left_out),
            "Fewer tokens than 10 % are random: where the draw was a special token, yours keeps the old one. Draw from "
            "the ordinary ids alone, and no draw is lost.",
        ),
        "random tokens come from the batch": Misconception(
            masker(draw=shuffled_tokens),
            "You take random tokens from the sentences themselves, so that an id which occurs nowhere is never drawn. "
            "Draw from all ordinary ids below vocab_size.",
        ),
        "the last id is never drawn": Misconception(
            masker(draw=drawn_from(lambda mask_id, vocab_size, special_ids: ordinary_ids(
                mask_id, vocab_size - 1, special_ids))),
            "The highest id never comes up. torch.randint and range leave out their upper end already, so it is "
            "vocab_size, not vocab_size - 1.",
        ),
        "one random token for all": Misconception(
            masker(draw=one_word),
            "All random tokens of a call are the same one: you drew a single number. Draw one for each place, in the "
            "shape of ids.",
        ),
        "labels hold what stands there now": Misconception(
            masker(label=lambda ids, inputs, selected, masked, replaced: torch.where(selected, inputs, IGNORE)),
            "Your labels hold the mask token where a word was hidden, so there is nothing to find. Make the labels "
            "from the original ids, before anything is hidden or from a copy.",
        ),
        "another number than -100": Misconception(
            masker(label=or_else(0)),
            "The selection is right, and the other labels hold another number than -100. 0 is the id of a token, and "
            "F.cross_entropy would count it: the number it passes over is -100.",
        ),
        "another dtype": Misconception(
            masker(give=lambda inputs, labels: (inputs, labels.int())),
            "The values are right and a dtype is not: an embedding and F.cross_entropy want the whole numbers that "
            "ids are made of. torch.full_like(ids, -100) and torch.where keep their dtype.",
        ),
        "int64 whatever ids are": Misconception(
            masker(give=lambda inputs, labels: (inputs.long(), labels.long())),
            "The values are right, and int32 ids do not come back as int32. torch.randint and torch.tensor make int64, "
            "torch.where gives the wider of two dtypes, and writing the wider into the narrower fails. Draw in the "
            "dtype of ids: words.to(ids.dtype).",
        ),
        "labels come first": Misconception(
            masker(give=lambda inputs, labels: (labels, inputs)),
            "Both tensors are right and stand in the wrong order. Return inputs, labels.",
        ),
        "where instead of what": Misconception(
            masker(label=lambda ids, inputs, selected, masked, replaced: selected),
            "Your second tensor says where tokens were selected. Labels say what stood there: the original id where "
            "selected, -100 elsewhere.",
        ),
        "inputs and labels are one tensor": Misconception(
            one_tensor,
            "inputs hold -100, and labels hold what stands in inputs: both are the same tensor. labels = ids is a "
            "second name, not a copy; ids.clone() is one.",
        ),
        "ids are overwritten": Misconception(
            in_place_with_labels,
            "What you return is right, and the caller's ids were overwritten: the next epoch would start from hidden "
            "tokens. inputs = ids is a second name for one tensor; ids.clone() makes a copy.",
        ),
        "static masking": Misconception(
            masker(use=fixed_seed),
            "Every call hides the same tokens: a seed is set inside. So BERT did it, once for all epochs; RoBERTa "
            "draws anew each time. Take all chance from generator, as it comes.",
        ),
        "the generator starts anew in each call": Misconception(
            masker(use=from_the_start),
            "A second call with the same generator hides the same tokens again: yours sets it back to its seed. A "
            "generator goes on by itself with each draw; leave it alone.",
        ),
        "a new generator without a seed": Misconception(
            masker(use=unseeded),
            "Two calls without a generator hide the same tokens: torch.Generator() starts from the same seed every "
            "time. Hand on None as it is, then torch draws from its own.",
        ),
        "generator is not used": Misconception(
            masker(use=lambda generator: None),
            "Two generators with the same seed give different answers, so nobody can repeat your run. Hand generator "
            "on to every function that draws: generator=generator.",
        ),
        "random tokens without generator": Misconception(
            masker(draw=own_words),
            "With the same seed the same tokens are selected, and the random ones differ. One of your draws is made "
            "without generator, likely the one for random tokens.",
        ),
        "a question to a whole tensor": Misconception(
            asks_a_whole_tensor,
            "`in`, `and`, `or`, `not` and `if` want one answer, and a tensor has one for each token. For tensors write "
            "torch.isin, &, | and ~.",
        ),
        "the defaults are gone": Misconception(
            without_defaults,
            "The function is also called without special_ids, rate or generator. Leave the signature as it was, with "
            "its defaults.",
        ),
        "special_ids is a tuple": Misconception(
            asks_for_a_tensor,
            "torch.isin wants a tensor, and special_ids comes as a tuple: torch.tensor([mask_id, *special_ids]) makes "
            "one of it, with the mask token in it.",
        ),
        "a list added to a tuple": Misconception(
            adds_to_a_tuple,
            "special_ids is a tuple, and + joins a tuple with a tuple only. [mask_id, *special_ids] makes a list of "
            "both.",
        ),
        "draws in the dtype of ids": Misconception(
            draws_whole_numbers,
            "torch.rand_like takes the dtype of ids, and there are no draws between 0 and 1 in whole numbers. "
            "torch.rand(ids.shape, generator=generator) draws in float32.",
        ),
    },
    variants=VARIANTS,
    alternatives=[by_bernoulli, by_one_draw, by_loops, by_multinomial, by_rejection, by_numbers_in_order],
    forbidden={
        name: f"mask_tokens uses {name}, which masks tokens itself; write the draws yourself." for name in COLLATORS
    },
    hints=(
        "Throw two dice for each token of a short sentence: one says whether it is selected, the other what becomes of "
        "it. Write down inputs and labels. Which labels does the loss pass over?",
        "selected = (torch.rand(ids.shape, generator=generator) < rate) & ordinary, where ordinary says that a token "
        "is neither mask_id nor in special_ids. A second draw decides: below 0.8, from 0.8 to 0.9, or above.",
        "labels = ids.masked_fill(~selected, -100). For random tokens make a tensor of all ids that are not special, "
        "in the dtype of ids, and index it with torch.randint(len(words), ids.shape, generator=generator); torch.where "
        "puts them in.",
    ),
)  # fmt: skip
