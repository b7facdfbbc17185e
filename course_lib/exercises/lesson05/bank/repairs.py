"""Repairing a configuration, right and wrong, from steps of which each can be another one."""

import copy
from dataclasses import fields, replace

import torch

from course_lib import masks
from course_lib.decoder import DecoderConfig

__all__ = [
    "always_anew",
    "as_a_dict",
    "as_a_mask",
    "as_a_tensor",
    "by_copying",
    "by_first_name",
    "by_identity",
    "by_keys",
    "by_name",
    "by_pairs",
    "by_positions",
    "by_rebuilding",
    "by_text",
    "cut",
    "cut_from_16",
    "cut_if_it_leaks",
    "fixer",
    "handed_to_torch",
    "if_all_is_seen",
    "in_the_first_round",
    "into_its_dict",
    "into_the_frozen",
    "into_the_given",
    "looks_ahead",
    "made_of",
    "numbers_alone",
    "only_if_leaking",
    "renewed",
    "seen_too_often",
    "sizes_alone",
    "unlike_causal",
    "without_device",
]

ALL = range(1, 17)


def looks_ahead(mask):
    return bool(mask.triu(1).any())


def renewed(config, mask):
    return replace(config, mask=mask)


def fixer(lengths=ALL, ahead=looks_ahead, new=masks.create_causal_mask, give=renewed, leaks=any):
    """Make a repair from its steps; as they stand they make a right one.

    lengths: which are tried. ahead: does a mask look ahead? leaks: of the answers for all lengths.
    new: the mask in its place. give: what comes back, of (config, new).
    """

    def repair(config):
        return give(config, new) if leaks([ahead(config.mask(n)) for n in lengths]) else config

    return repair


def made_of(function):
    """A mask function of (seq_len, device) from one of the bidirectional mask."""

    def mask(seq_len, device=None):
        return function(masks.create_bidirectional_mask(seq_len, device))

    return mask


def without_device(seq_len):
    return masks.create_causal_mask(seq_len)


def as_a_tensor(config):
    """Put a mask where a function belongs, also where types are checked as a configuration is made."""
    new = copy.copy(config)
    object.__setattr__(new, "mask", masks.create_causal_mask(16))
    return new


def cut_from_16(seq_len, device=None):
    return masks.create_causal_mask(16, device)[..., :seq_len, :seq_len]


def sizes_alone(config, mask):
    names = ("vocab_size", "d_model", "num_layers", "num_heads", "d_ff")
    return DecoderConfig(**{name: getattr(config, name) for name in names}, mask=mask)


def numbers_alone(config, mask):
    kept = {name: value for name, value in vars(config).items() if isinstance(value, int | float)}
    return DecoderConfig(**kept, mask=mask)


def into_the_frozen(config, mask):
    config.mask = mask
    return config


def into_the_given(config, mask):
    object.__setattr__(config, "mask", mask)
    return config


def into_its_dict(config, mask):
    vars(config)["mask"] = mask
    return config


def by_identity(config):
    return fixer()(config) if config.mask is masks.create_bidirectional_mask else config


def by_name(config):
    return fixer()(config) if getattr(config.mask, "__name__", "") == "create_bidirectional_mask" else config


def if_all_is_seen(mask):
    return bool(mask.all()) and mask.shape[-1] > 1


def unlike_causal(mask):
    return not torch.equal(mask, masks.create_causal_mask(mask.shape[-1]))


def only_if_leaking(config):
    return replace(config, mask=masks.create_causal_mask) if fixer()(config) != config else None


def cut(config):
    """Keep of the old mask what the causal one allows."""
    given = config.mask
    return replace(config, mask=lambda n, device=None: given(n, device=device) & masks.create_causal_mask(n, device))


def cut_if_it_leaks(config):
    return fixer(give=lambda config, mask: cut(config))(config)


def by_first_name(config):
    """Ask the mask for its name, which a partial function has not."""
    return fixer()(config) if config.mask.__name__ == "create_bidirectional_mask" else config


def by_text(config):
    return replace(config, mask=masks.create_causal_mask) if "bidirectional" in str(config.mask) else config


def in_the_first_round(config):
    for n in ALL:
        return replace(config, mask=masks.create_causal_mask) if config.mask(n).triu(1).any() else config
    return None


def seen_too_often(mask):
    """Count the pairs that are allowed."""
    n = mask.shape[-1]
    return bool(mask.sum() > n * (n + 1) // 2)


def as_a_mask(config):
    return replace(config, mask=masks.create_causal_mask) if config.mask.triu(1).any() else config


def handed_to_torch(config):
    return replace(config, mask=masks.create_causal_mask) if torch.triu(config.mask, 1).any() else config


def as_a_dict(config, mask):
    return {**vars(config), "mask": mask}


def always_anew(build):
    """Build a configuration whether its mask looks ahead or not. build: of (config, mask)."""

    def repair(config):
        return build(config, fixer()(config).mask)

    return repair


def by_rebuilding(config):
    parts = {field.name: getattr(config, field.name) for field in fields(config)}
    if any(torch.triu(parts["mask"](n)[0, 0], diagonal=1).sum() > 0 for n in ALL):
        parts["mask"] = masks.create_causal_mask
    return DecoderConfig(**parts)


def by_positions(config):
    for n in ALL:
        place = torch.arange(n)
        future = place > place[:, None]
        if (config.mask(n) & future).any():
            return replace(config, mask=masks.create_causal_mask)
    return config


def by_pairs(config):
    for n in range(16, 0, -1):
        allowed = config.mask(n, device="cpu").view(n, n).tolist()
        if any(allowed[i][j] for i in range(n) for j in range(i + 1, n)):
            return replace(config, mask=lambda n, device=None: torch.ones(1, 1, n, n, device=device).tril() > 0)
    return config


def by_copying(config):
    new = copy.copy(config)
    if not all(torch.equal(config.mask(n), config.mask(n).tril()) for n in ALL):
        object.__setattr__(new, "mask", masks.create_causal_mask)
    return new


def by_keys(config):
    leaks = False
    for n in ALL:
        keys = config.mask(n).squeeze(0).squeeze(0).nonzero()
        leaks |= bool((keys[:, 1] > keys[:, 0]).any())
    return DecoderConfig(**{**vars(config), "mask": masks.create_causal_mask}) if leaks else config
