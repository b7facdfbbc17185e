"""Known mistakes and right answers for `repair`."""

import copy
from dataclasses import fields, replace

import torch

from course_lib import cheating
from course_lib.decoder import DecoderConfig
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson05 import run
from course_lib.masks import create_bidirectional_mask, create_causal_mask

__all__ = ["REPAIR"]

ALL = range(1, 17)


def _looks_ahead(mask):
    return bool(mask.triu(1).any())


def _renewed(config, mask):
    return replace(config, mask=mask)


def _fixer(lengths=ALL, ahead=_looks_ahead, new=create_causal_mask, give=_renewed, leaks=any):
    """Make a repair from its steps; as they stand they make a right one.

    lengths: which are tried. ahead: does a mask look ahead? leaks: of the answers for all lengths.
    new: the mask in its place. give: what comes back, of (config, new).
    """

    def repair(config):
        return give(config, new) if leaks([ahead(config.mask(n)) for n in lengths]) else config

    return repair


def _made_of(function):
    """A mask function of (seq_len, device) from one of the bidirectional mask."""

    def mask(seq_len, device=None):
        return function(create_bidirectional_mask(seq_len, device))

    return mask


def _without_device(seq_len):
    return create_causal_mask(seq_len)


def _cut_from_16(seq_len, device=None):
    return create_causal_mask(16, device)[..., :seq_len, :seq_len]


def _sizes_alone(config, mask):
    names = ("vocab_size", "d_model", "num_layers", "num_heads", "d_ff")
    return DecoderConfig(**{name: getattr(config, name) for name in names}, mask=mask)


def _numbers_alone(config, mask):
    kept = {name: value for name, value in vars(config).items() if isinstance(value, int | float)}
    return DecoderConfig(**kept, mask=mask)


def _into_the_frozen(config, mask):
    config.mask = mask
    return config


def _into_the_given(config, mask):
    object.__setattr__(config, "mask", mask)
    return config


def _into_its_dict(config, mask):
    vars(config)["mask"] = mask
    return config


def _by_name(config):
    return replace(config, mask=create_causal_mask) if config.mask is create_bidirectional_mask else config


def _if_all_is_seen(mask):
    return bool(mask.all()) and mask.shape[-1] > 1


def _unlike_causal(mask):
    return not torch.equal(mask, create_causal_mask(mask.shape[-1]))


def _only_if_leaking(config):
    return replace(config, mask=create_causal_mask) if _fixer()(config) != config else None


def _by_rebuilding(config):
    parts = {field.name: getattr(config, field.name) for field in fields(config)}
    if any(torch.triu(parts["mask"](n)[0, 0], diagonal=1).sum() > 0 for n in ALL):
        parts["mask"] = create_causal_mask
    return DecoderConfig(**parts)


def _by_positions(config):
    for n in ALL:
        place = torch.arange(n)
        future = place > place[:, None]
        if (config.mask(n) & future).any():
            return replace(config, mask=create_causal_mask)
    return config


def _by_pairs(config):
    for n in range(16, 0, -1):
        allowed = config.mask(n, device="cpu").view(n, n).tolist()
        if any(allowed[i][j] for i in range(n) for j in range(i + 1, n)):
            return replace(config, mask=lambda n, device=None: torch.ones(1, 1, n, n, device=device).tril() > 0)
    return config


def _by_cutting(config):
    given = config.mask
    return replace(config, mask=lambda n, device=None: given(n, device=device) & create_causal_mask(n, device))


def _by_copying(config):
    new = copy.copy(config)
    if not all(torch.equal(config.mask(n), config.mask(n).tril()) for n in ALL):
        object.__setattr__(new, "mask", create_causal_mask)
    return new


def _by_keys(config):
    leaks = False
    for n in ALL:
        keys = config.mask(n).squeeze(0).squeeze(0).nonzero()
        leaks |= bool((keys[:, 1] > keys[:, 0]).any())
    return DecoderConfig(**{**vars(config), "mask": create_causal_mask}) if leaks else config


REPAIR = Exercise(
    side=run.REPAIR,
    reference=cheating.repair,
    groups={
        "a mask that looks ahead becomes causal": 1,
        "also where few lengths or few pairs look ahead": 1,
        run.KEPT: 1,
    },
    judge=Equality(),
    difficulty=2,
    minutes=9,
    misconceptions={
        "nothing is repaired": Misconception(
            lambda config: config,
            "The mask is the one that was given. A configuration is frozen: replace(config, mask=…) of dataclasses "
            "makes a new one, which you have to return.",
        ),
        "every mask is replaced": Misconception(
            _fixer(ahead=lambda mask: True),
            "You replace masks that never look ahead, such as a sliding window. The diagonal is no leak, and a mask "
            "may forbid more than the causal one: ask whether anything above the diagonal is True.",
        ),
        "only the bidirectional mask is recognised": Misconception(
            _by_name,
            "You recognise one mask. Another may see one token ahead, or a prefix: ask whether anything above the "
            "diagonal is True.",
        ),
        "not all lengths are tried": Misconception(
            _fixer(lengths=[8]),
            "A mask may be causal at the lengths you try and look ahead at another: try all from 1 to 16. And does "
            "each round of your loop write over what the rounds before it found? One length is enough.",
        ),
        "length 16 is left out": Misconception(
            _fixer(lengths=range(1, 16)),
            "A mask that looks ahead at 16 tokens alone passes: range(1, 16) ends with 15.",
        ),
        "a mask of no tokens is asked for": Misconception(
            _fixer(lengths=range(16)),
            "range(16) begins with 0, and there is no mask of no tokens. Lengths from 1 to 16 are range(1, 17).",
        ),
        "all lengths must look ahead": Misconception(
            _fixer(lengths=range(2, 17), leaks=all),
            "You repair a mask if it looks ahead at every length. One length is enough: any, not all.",
        ),
        "only the next token is looked at": Misconception(
            _fixer(ahead=lambda mask: bool(mask.diagonal(1, -2, -1).any())),
            "You look at the first diagonal above the main one. A token may see further ahead and not the next one: "
            "everything above the diagonal counts, triu(1).",
        ),
        "one token ahead is let through": Misconception(
            _fixer(ahead=lambda mask: bool(mask.triu(2).any())),
            "A token that sees the next one passes. triu(1) is all above the diagonal, triu(2) leaves the next token "
            "out.",
        ),
        "only the first token is looked at": Misconception(
            _fixer(ahead=lambda mask: bool(mask[..., 0, 1:].any())),
            "You look at what token 0 may see. Any other may look ahead too: all of the mask above the diagonal.",
        ),
        "everything must be visible": Misconception(
            _fixer(ahead=_if_all_is_seen),
            "You repair a mask only if every token sees every token. One pair above the diagonal is enough: .any().",
        ),
        "the question is inverted": Misconception(
            _fixer(leaks=lambda answers: not any(answers)),
            "You replace the masks that never look ahead and keep those that do.",
        ),
        "the diagonal is lost": Misconception(
            _fixer(new=_made_of(lambda mask: mask.tril(-1))),
            "In your new mask a token does not see itself, so that the first one sees nobody. The causal mask has the "
            "diagonal: tril().",
        ),
        "the new mask sees one token ahead": Misconception(
            _fixer(new=_made_of(lambda mask: mask.tril(1))),
            "Your new mask lets each token see the next one, which it has to predict: tril(), without the 1.",
        ),
        "the new mask is inverted": Misconception(
            _fixer(new=_made_of(lambda mask: mask.triu(1))),
            "Your new mask is True where it should forbid. True means may attend.",
        ),
        "the new mask is not boolean": Misconception(
            _fixer(new=_made_of(lambda mask: mask.tril().float())),
            "Your new mask holds numbers. A mask is boolean: create_causal_mask gives one.",
        ),
        "the new mask has two axes": Misconception(
            _fixer(new=_made_of(lambda mask: mask.tril()[0, 0])),
            "Your new mask is (seq, seq). A mask has four axes, (1, 1, seq, seq), as create_causal_mask gives it.",
        ),
        "a mask in place of a function": Misconception(
            lambda config: replace(config, mask=create_causal_mask(16)),
            "config.mask is a function, which the model calls with the number of tokens. Hand over "
            "create_causal_mask itself, without brackets behind it.",
        ),
        "the new mask takes no device": Misconception(
            _fixer(new=_without_device),
            "The model calls config.mask(seq_len, device=…), and yours takes the length alone. create_causal_mask "
            "itself takes both.",
        ),
        "the new mask ends at 16 tokens": Misconception(
            _fixer(new=_cut_from_16),
            "Your new mask is cut from one of 16 tokens, and a text may be longer. Put the function create_causal_mask "
            "in its place, which makes a mask of any length.",
        ),
        "the mask alone comes back": Misconception(
            _fixer(give=lambda config, mask: mask),
            "You give back the mask. The whole configuration is asked for: replace(config, mask=create_causal_mask).",
        ),
        "nothing comes back where nothing leaks": Misconception(
            _only_if_leaking,
            "A configuration that does not leak comes back as it is. Your function ends without a return there.",
        ),
        "other fields are lost": Misconception(
            _fixer(give=_sizes_alone),
            "Your configuration is built anew, and fields that you did not copy have their defaults again. "
            "replace(config, mask=…) of dataclasses keeps all others.",
        ),
        "the frozen configuration is written to": Misconception(
            _fixer(give=_into_the_frozen),
            "The configuration is frozen, and nothing can be assigned to its fields. replace(config, mask=…) of "
            "dataclasses makes a new one.",
        ),
        "the given configuration is changed": Misconception(
            _fixer(give=_into_the_given),
            "You found a way to write into the configuration that you were given, and whoever else holds it has "
            "another mask now. replace(config, mask=…) of dataclasses makes a new one.",
        ),
    },
    variants={
        "every mask is replaced": (
            _fixer(ahead=_unlike_causal),
            _fixer(ahead=lambda mask: bool(mask.triu().any())),
        ),
        "not all lengths are tried": (
            *(_fixer(lengths=[n]) for n in (2, 3, 4, 5, 6, 10, 16)),
            *(_fixer(lengths=range(*ends)) for ends in ((1, 3), (1, 5), (1, 11), (8, 17))),
            _fixer(lengths=(4, 8, 16)),
        ),
        "a mask of no tokens is asked for": (_fixer(lengths=range(17)),),
        "the new mask is not boolean": (_fixer(new=_made_of(lambda mask: mask.tril().long())),),
        "a mask in place of a function": (_fixer(new=create_causal_mask(8)),),
        "the mask alone comes back": (
            lambda config: create_causal_mask,
            _fixer(give=lambda config, mask: mask(16)),
        ),
        "nothing is repaired": (lambda config: replace(config),),
        "other fields are lost": (_fixer(give=_numbers_alone),),
        "the given configuration is changed": (_fixer(give=_into_its_dict),),
    },
    alternatives=[_by_rebuilding, _by_positions, _by_pairs, _by_cutting, _by_copying, _by_keys],
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
        "config.mask(n).triu(1).any() says whether the mask of n tokens looks ahead, and "
        "dataclasses.replace(config, mask=create_causal_mask) is the configuration repaired.",
    ),
)
