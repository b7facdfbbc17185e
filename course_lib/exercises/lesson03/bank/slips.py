"""Masking with slips that are more than one of the steps of `masker` made wrong."""

from functools import partial

import torch

from course_lib import objectives
from course_lib.exercises.lesson03.bank.maskers import drawn_from, ordinary_ids
from course_lib.objectives import IGNORE

__all__ = [
    "adds_to_a_tuple",
    "after_the_last_special",
    "all_shuffled",
    "as_many_whatever_the_length",
    "asks_a_whole_draw",
    "asks_a_whole_tensor",
    "asks_for_a_tensor",
    "draws_whole_numbers",
    "draws_whole_numbers_globally",
    "every_id",
    "first_column",
    "first_row",
    "fixed_seed",
    "fixed_share",
    "fixed_share_of_all",
    "for_the_mask_alone",
    "from_the_start",
    "global_seed",
    "half_of_the_rest",
    "in_place",
    "in_place_with_labels",
    "labels_at",
    "labels_in_place",
    "left_out",
    "not_mask_id",
    "not_special_ids",
    "nothing_special",
    "one_copy",
    "one_tensor",
    "one_word",
    "only_mask_id",
    "only_special_ids",
    "or_else",
    "own_words",
    "replaced_last",
    "seeded_again",
    "shared_lots",
    "shuffled_tokens",
    "two_draws_that_overlap",
    "unseeded",
    "wide_words",
    "without_defaults",
    "written_in",
]


def labels_at(where):
    """Labels that hold the originals in other places than where a token was selected."""
    return lambda ids, inputs, selected, masked, replaced: torch.where(where(selected, masked, replaced), ids, IGNORE)


def or_else(number):
    return lambda ids, inputs, selected, masked, replaced: torch.where(selected, ids, number)


def only_special_ids(ids, mask_id, special_ids):
    return torch.isin(ids, torch.tensor(special_ids, dtype=torch.long))


def only_mask_id(ids, mask_id, special_ids):
    return ids == mask_id


def nothing_special(ids, mask_id, special_ids):
    return torch.zeros_like(ids, dtype=torch.bool)


def every_id(mask_id, vocab_size, special_ids):
    return list(range(vocab_size))


def not_special_ids(mask_id, vocab_size, special_ids):
    return [v for v in range(vocab_size) if v not in special_ids]


def not_mask_id(mask_id, vocab_size, special_ids):
    return [v for v in range(vocab_size) if v != mask_id]


def after_the_last_special(mask_id, vocab_size, special_ids):
    return list(range(max(mask_id, *special_ids, 0) + 1, vocab_size))


def left_out(ids, mask_id, vocab_size, special_ids, generator):
    words = torch.randint(vocab_size, ids.shape, generator=generator, dtype=ids.dtype)
    return torch.where(torch.isin(words, torch.tensor([mask_id, *special_ids])), ids, words)


def one_word(ids, mask_id, vocab_size, special_ids, generator):
    words = ordinary_ids(mask_id, vocab_size, special_ids)
    return torch.full_like(ids, words[int(torch.randint(len(words), (), generator=generator))])


def shuffled_tokens(ids, mask_id, vocab_size, special_ids, generator):
    there = ids[~torch.isin(ids, torch.tensor([mask_id, *special_ids]))]
    return there[torch.randint(len(there), ids.shape, generator=generator)]


def all_shuffled(ids, mask_id, vocab_size, special_ids, generator):
    return ids.flatten()[torch.randperm(ids.numel(), generator=generator)].view(ids.shape)


def first_row(ids, special, rate, draw):
    return (draw[:1] < rate) & ~special


def first_column(ids, special, rate, draw):
    return (draw[:, :1] < rate) & ~special


def fixed_share(ids, special, rate, draw):
    order = draw.masked_fill(special, 2.0).argsort(-1).argsort(-1)
    return order < (rate * (~special).sum(-1, keepdim=True)).round()


def as_many_whatever_the_length(ids, special, rate, draw):
    order = draw.masked_fill(special, 2.0).argsort(-1).argsort(-1)
    return (order < int(rate * ids.shape[-1])) & ~special


def fixed_share_of_all(ids, special, rate, draw):
    return (draw.argsort(-1).argsort(-1) < round(rate * ids.shape[-1])) & ~special


def shared_lots(axis):
    def lots(draw, generator):
        shape = (1, draw.shape[1]) if axis == 0 else (draw.shape[0], 1)
        return torch.rand(shape, generator=generator).expand(draw.shape)

    return lots


def in_place(ids, masked, replaced, words, mask_id):
    ids[masked] = mask_id
    ids[replaced] = words[replaced]
    return ids


def in_place_with_labels(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    labels = ids.clone()
    inputs, found = objectives.mask_tokens(ids, mask_id, vocab_size, special_ids, rate, generator=generator)
    labels[found == IGNORE] = IGNORE
    ids.copy_(inputs)
    return ids, labels


def labels_in_place(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    inputs, labels = objectives.mask_tokens(ids, mask_id, vocab_size, special_ids, rate, generator=generator)
    ids[labels == IGNORE] = IGNORE
    return inputs, ids


def one_tensor(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    inputs, found = objectives.mask_tokens(ids, mask_id, vocab_size, special_ids, rate, generator=generator)
    return tangled(ids, inputs, found)


def one_copy(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    return one_tensor(ids.clone(), mask_id, vocab_size, special_ids, rate, generator)


def tangled(ids, inputs, found):
    labels = ids
    ids.copy_(inputs)
    labels[found == IGNORE] = IGNORE
    return ids, labels


def for_the_mask_alone(ids, special, rate, draw):
    return (draw < rate / 0.8) & ~special


def half_of_the_rest(part):
    """Two draws after another: the mask token with 80 %, and a random one for a part of the others."""

    def mask_tokens(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
        chance = partial(torch.rand, ids.shape, generator=generator)
        selected = (chance() < rate) & ~torch.isin(ids, torch.tensor([mask_id, *special_ids]))
        masked = selected & (chance() < 0.8)
        replaced = selected & ~masked & (chance() < part)
        words = drawn_from(ordinary_ids)(ids, mask_id, vocab_size, special_ids, generator)
        return torch.where(replaced, words, ids).masked_fill(masked, mask_id), torch.where(selected, ids, IGNORE)

    return mask_tokens


def two_draws_that_overlap(is_random_last):
    def mask_tokens(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
        chance = partial(torch.rand, ids.shape, generator=generator)
        selected = (chance() < rate) & ~torch.isin(ids, torch.tensor([mask_id, *special_ids]))
        masked, replaced = selected & (chance() < 0.8), selected & (chance() < 0.1)
        words = drawn_from(ordinary_ids)(ids, mask_id, vocab_size, special_ids, generator)
        if is_random_last:
            inputs = torch.where(replaced, words, ids.masked_fill(masked, mask_id))
        else:
            inputs = torch.where(replaced, words, ids).masked_fill(masked, mask_id)
        return inputs, torch.where(selected, ids, IGNORE)

    return mask_tokens


def replaced_last(ids, masked, replaced, words, mask_id):
    return torch.where(replaced, words, ids.masked_fill(masked, mask_id))


def fixed_seed(generator):
    return torch.Generator().manual_seed(42)


def seeded_again(generator):
    return None if generator is None else generator.manual_seed(0)


def global_seed(generator):
    torch.manual_seed(0)


def from_the_start(generator):
    return None if generator is None else generator.manual_seed(generator.initial_seed())


def unseeded(generator):
    return torch.Generator() if generator is None else generator


def own_words(ids, mask_id, vocab_size, special_ids, generator):
    return drawn_from(ordinary_ids)(ids, mask_id, vocab_size, special_ids, None)


def asks_for_a_tensor(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    return torch.isin(ids, special_ids)


def adds_to_a_tuple(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    with_mask = [mask_id]
    return torch.isin(ids, torch.tensor(special_ids + with_mask))


def asks_a_whole_tensor(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    return ids in special_ids


def asks_a_whole_draw(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    return torch.rand(ids.shape) < rate and ids != mask_id


def wide_words(ids, mask_id, vocab_size, special_ids, generator):
    return drawn_from(ordinary_ids)(ids.long(), mask_id, vocab_size, special_ids, generator)


def written_in(ids, masked, replaced, words, mask_id):
    inputs = ids.clone()
    inputs[masked] = mask_id
    inputs[replaced] = words[replaced]
    return inputs


def without_defaults(ids, mask_id, vocab_size, special_ids, rate, generator):
    return objectives.mask_tokens(ids, mask_id, vocab_size, special_ids, rate, generator=generator)


def draws_whole_numbers(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    return torch.rand_like(ids, generator=generator) < rate


def draws_whole_numbers_globally(ids, mask_id, vocab_size, special_ids=(), rate=0.15, generator=None):
    return torch.rand_like(ids) < rate
