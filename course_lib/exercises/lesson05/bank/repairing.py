"""Known mistakes and right answers for `repair`."""

from dataclasses import replace

from course_lib import cheating, masks
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson05 import run
from course_lib.exercises.lesson05.bank.configurations import Configurations
from course_lib.exercises.lesson05.bank.repairs import (
    always_anew,
    as_a_dict,
    as_a_mask,
    as_a_tensor,
    by_copying,
    by_first_name,
    by_identity,
    by_keys,
    by_name,
    by_pairs,
    by_positions,
    by_rebuilding,
    by_text,
    cut,
    cut_from_16,
    cut_if_it_leaks,
    fixer,
    handed_to_torch,
    if_all_is_seen,
    in_the_first_round,
    into_its_dict,
    into_the_frozen,
    into_the_given,
    made_of,
    numbers_alone,
    only_if_leaking,
    seen_too_often,
    sizes_alone,
    unlike_causal,
    without_device,
)

__all__ = ["REPAIR"]


REPAIR = Exercise(
    side=run.REPAIR,
    reference=cheating.repair,
    groups={
        run.ALWAYS: 1,
        run.SELDOM: 1,
        run.KEPT: 1,
    },
    judge=Configurations(),
    difficulty=2,
    minutes=9,
    misconceptions={
        "nothing is repaired": Misconception(
            lambda config: config,
            "The mask is the one that was given. A configuration is frozen: replace(config, mask=…) of dataclasses "
            "makes a new one, which you have to return.",
        ),
        "no answer leads to a repair": Misconception(
            fixer(ahead=lambda mask: bool(mask.triu(1).all())),
            "You ask the mask, and the configuration that comes back still has it. Is the answer ever yes? triu(1) "
            "makes all else False, so that .all() of it never is: one True is enough, .any(). Or is the answer right, "
            "and what replace(config, mask=…) makes not returned?",
        ),
        "the loop ends in its first round": Misconception(
            in_the_first_round,
            "Your function comes back in the first round of its loop, with the mask of a single token. That no length "
            "looks ahead is known behind the loop alone: return config stands there.",
        ),
        "every mask is replaced": Misconception(
            fixer(ahead=lambda mask: True),
            "You replace masks that never look ahead, such as a sliding window. Is there a `not` too many in your "
            "question? If not: the diagonal is no leak, and a mask may forbid more than the causal one, so ask whether "
            "anything above the diagonal is True.",
        ),
        "the past is taken for the future": Misconception(
            fixer(ahead=lambda mask: bool(mask.tril(-1).any())),
            "You look below the diagonal, where a token sees those before it. Rows are the tokens that see, columns "
            "those that are seen: the future is above the diagonal, where j > i.",
        ),
        "only the bidirectional mask is recognised": Misconception(
            by_name,
            "You recognise one mask. Another may see one token ahead, or a prefix: ask whether anything above the "
            "diagonal is True.",
        ),
        "not all lengths are tried": Misconception(
            fixer(lengths=[8]),
            "A mask may be causal at the lengths you try and look ahead at another: try all from 1 to 16. And does "
            "each round of your loop write over what the rounds before it found? One length is enough.",
        ),
        "length 16 is left out": Misconception(
            fixer(lengths=range(1, 16)),
            "A mask that looks ahead at 16 tokens alone passes: range(1, 16) ends with 15.",
        ),
        "a mask of no tokens is asked for": Misconception(
            fixer(lengths=range(16)),
            "range(16) begins with 0, and there is no mask of no tokens. Lengths from 1 to 16 are range(1, 17).",
        ),
        "all lengths must look ahead": Misconception(
            fixer(lengths=range(2, 17), leaks=all),
            "You repair a mask if it looks ahead at every length. One length is enough: any, not all.",
        ),
        "only the next token is looked at": Misconception(
            fixer(ahead=lambda mask: bool(mask.diagonal(1, -2, -1).any())),
            "You look at the first diagonal above the main one. A token may see further ahead and not the next one: "
            "everything above the diagonal counts, triu(1).",
        ),
        "one token ahead is let through": Misconception(
            fixer(ahead=lambda mask: bool(mask.triu(2).any())),
            "A token that sees the next one passes. triu(1) is all above the diagonal, triu(2) leaves the next token "
            "out.",
        ),
        "only the first token is looked at": Misconception(
            fixer(ahead=lambda mask: bool(mask[..., 0, 1:].any())),
            "You look at what token 0 may see. Any other may look ahead too: all of the mask above the diagonal.",
        ),
        "only the last column is looked at": Misconception(
            fixer(ahead=lambda mask: bool(mask[..., :-1, -1].any())),
            "You look at who sees the last token. Another one may be seen too early as well: all of the mask above the "
            "diagonal counts.",
        ),
        "everything must be visible": Misconception(
            fixer(ahead=if_all_is_seen),
            "You repair a mask only if every token sees every token. One pair above the diagonal is enough: .any().",
        ),
        "the pairs are counted": Misconception(
            fixer(ahead=seen_too_often),
            "You count how many pairs a mask allows. One that forbids some of the past may look ahead and allow no "
            "more than the causal mask: look at where it is True, not at how often.",
        ),
        "the question is inverted": Misconception(
            fixer(leaks=lambda answers: not any(answers)),
            "You replace the masks that never look ahead and keep those that do.",
        ),
        "the diagonal is lost": Misconception(
            fixer(new=made_of(lambda mask: mask.tril(-1))),
            "In your new mask a token does not see itself, so that the first one sees nobody. The causal mask has the "
            "diagonal: tril().",
        ),
        "the new mask sees one token ahead": Misconception(
            fixer(new=made_of(lambda mask: mask.tril(1))),
            "Your new mask lets each token see the next one, which it has to predict: tril(), without the 1.",
        ),
        "the new mask is inverted": Misconception(
            fixer(new=made_of(lambda mask: mask.triu(1))),
            "Your new mask is True where it should forbid. True means may attend.",
        ),
        "the old mask is only cut": Misconception(
            cut,
            "Your new mask allows what the old one did, less the future. If that hid some of the past, yours still "
            "does: put masks.create_causal_mask itself in the place of a mask that looks ahead.",
        ),
        "the new mask is not boolean": Misconception(
            fixer(new=made_of(lambda mask: mask.tril().float())),
            "Your new mask holds numbers. A mask is boolean: masks.create_causal_mask gives one.",
        ),
        "the new mask has two axes": Misconception(
            fixer(new=made_of(lambda mask: mask.tril()[0, 0])),
            "Your new mask is (seq, seq). A mask has four axes, (1, 1, seq, seq), as masks.create_causal_mask gives.",
        ),
        "a mask in place of a function": Misconception(
            as_a_tensor,
            "config.mask is a function, which the model calls with the number of tokens. Hand over the function "
            "itself, without brackets behind its name.",
        ),
        "config.mask is taken for a mask": Misconception(
            as_a_mask,
            "config.mask is a function. It gives a mask when it is called with a number of tokens, config.mask(n), "
            "another one for each n.",
        ),
        "the new mask takes no device": Misconception(
            fixer(new=without_device),
            "The model calls config.mask(seq_len, device=…), and yours takes the length alone. The causal one "
            "of masks takes both.",
        ),
        "the new mask ends at 16 tokens": Misconception(
            fixer(new=cut_from_16),
            "Your new mask is cut from one of 16 tokens, and a text may be longer. Hand over the function from masks, "
            "which makes one of any length.",
        ),
        "the mask alone comes back": Misconception(
            fixer(give=lambda config, mask: mask),
            "You give back the mask. The whole configuration is asked for, with another mask in it: replace of "
            "dataclasses makes one.",
        ),
        "a dict comes back": Misconception(
            fixer(give=as_a_dict),
            "You give a dict of the fields. A DecoderConfig is asked for; replace of dataclasses makes one in which a "
            "single field is another.",
        ),
        "nothing comes back where nothing leaks": Misconception(
            only_if_leaking,
            "A configuration that does not leak comes back as it is. Your function ends without a return there.",
        ),
        "other fields are lost": Misconception(
            fixer(give=sizes_alone),
            "Your configuration is built anew, and fields that you did not copy have their defaults again. "
            "replace(config, mask=…) of dataclasses keeps all others.",
        ),
        "the frozen configuration is written to": Misconception(
            fixer(give=into_the_frozen),
            "The configuration is frozen, and nothing can be assigned to its fields. replace(config, mask=…) of "
            "dataclasses makes a new one.",
        ),
        "the given configuration is changed": Misconception(
            fixer(give=into_the_given),
            "You found a way to write into the configuration that you were given, and whoever else holds it has "
            "another mask now. replace(config, mask=…) of dataclasses makes a new one.",
        ),
    },
    variants={
        "every mask is replaced": (
            fixer(ahead=unlike_causal),
            fixer(ahead=lambda mask: bool(mask.triu().any())),
        ),
        "not all lengths are tried": (
            *(fixer(lengths=[n]) for n in (2, 3, 4, 5, 6, 10, 16)),
            *(fixer(lengths=range(*ends)) for ends in ((1, 3), (1, 5), (1, 11), (8, 17))),
            fixer(lengths=(4, 8, 16)),
        ),
        "a mask of no tokens is asked for": (fixer(lengths=range(17)),),
        "the new mask is not boolean": (fixer(new=made_of(lambda mask: mask.tril().long())),),
        "a mask in place of a function": (
            lambda config: replace(config, mask=masks.create_causal_mask(16)),
            fixer(new=masks.create_causal_mask(8)),
        ),
        "the mask alone comes back": (
            lambda config: masks.create_causal_mask,
            fixer(give=lambda config, mask: mask(16)),
        ),
        "nothing is repaired": (lambda config: replace(config),),
        "only the bidirectional mask is recognised": (by_identity, by_first_name, by_text),
        "the old mask is only cut": (cut_if_it_leaks,),
        "config.mask is taken for a mask": (handed_to_torch,),
        "a dict comes back": (always_anew(as_a_dict),),
        "other fields are lost": (
            fixer(give=numbers_alone),
            always_anew(sizes_alone),
            lambda config: sizes_alone(config, masks.create_causal_mask),
        ),
        "the given configuration is changed": (fixer(give=into_its_dict),),
    },
    alternatives=[by_rebuilding, by_positions, by_pairs, by_copying, by_keys],
    allowed=(
        "course_lib.blocks",
        "course_lib.config",
        "course_lib.decoder",
        "course_lib.masks",
        "course_lib.positions",
    ),
    hints=(
        "config.mask(5) is a mask of 5 tokens. In which part of it must a decoder find nothing that is True?",
        "Ask each mask from 1 to 16 tokens whether anything above its diagonal is True. If one says yes, give a new "
        "configuration; else the one you got. dataclasses.replace changes one field of a frozen configuration.",
        "mask.triu(1) keeps what is above the diagonal and makes the rest False. What must be asked of it, and of the "
        "masks of which lengths? And dataclasses.replace takes the old configuration, and by its name the field that "
        "becomes another: a function, as it stands in masks.",
    ),
)
