"""Slips in drawing the next token, each a step of `sampler` or a whole answer that is more than one step gone wrong."""

import torch

from course_lib.exercises.lesson04.bank.samplers import divided, drawn, kept, likeliest, nucleus, sampler

__all__ = [
    "after_the_fact",
    "all_but_the_crossing",
    "all_but_the_crossing_but_one",
    "arrangement",
    "as_a_threshold",
    "as_floats",
    "by_sums",
    "column",
    "column_of_draws",
    "column_of_its_own",
    "column_of_own_draws",
    "draws_as_cleaned",
    "either_or",
    "evenly",
    "filters_alone",
    "first_with_it",
    "flattened",
    "of_first_row",
    "of_gathered",
    "of_its_own",
    "of_powers",
    "of_sorted",
    "of_weakest_row",
    "one_more",
    "one_point_for_all",
    "one_point_in_order",
    "places",
    "reseeded",
    "sorted_upwards",
    "top_p_alone",
    "under",
    "unfiltered",
    "unsorted",
    "with_a_threshold_in_a_row",
    "with_seed",
    "without_generator",
    "without_keepdim",
    "writes_filters",
    "writes_temperature",
    "zeroed_chances",
]


def all_but_the_crossing(logits, top_p):
    falling, order = logits.sort(dim=-1, descending=True)
    drop = falling.softmax(-1).cumsum(-1) > top_p
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), -torch.inf)


def all_but_the_crossing_but_one(logits, top_p):
    falling, order = logits.sort(dim=-1, descending=True)
    drop = falling.softmax(-1).cumsum(-1) > top_p
    drop[:, 0] = False
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), -torch.inf)


def zeroed_chances(cut, is_shared=False):
    """Answers that filter probabilities in sorted order, `cut` (chances, top_p) -> those that stay, and draw places.

    is_shared: those that stay share the whole probability anew.
    """

    def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
        if temperature == 0:
            return logits.argmax(-1)
        scores = logits / temperature
        if top_k is not None:
            scores = kept(scores, top_k)
        chances, tokens = scores.softmax(-1).sort(dim=-1, descending=True)
        if top_p is not None:
            chances = chances * cut(chances, top_p)
            chances = chances / chances.sum(-1, keepdim=True) if is_shared else chances
        return tokens.gather(1, torch.multinomial(chances, 1, generator=generator))[:, 0]

    return sample


def one_more(logits, top_p):
    falling, order = logits.sort(dim=-1, descending=True)
    chances = falling.softmax(-1)
    drop = chances.cumsum(-1) - chances >= top_p
    drop = torch.cat((torch.zeros_like(drop[:, :1]), drop[:, :-1]), dim=1)
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), -torch.inf)


def unsorted(logits, top_p):
    chances = logits.softmax(-1)
    return logits.masked_fill(chances.cumsum(-1) - chances >= top_p, -torch.inf)


def by_sums(logits, top_p):
    return logits.masked_fill(logits.softmax(-1).cumsum(-1) > top_p, -torch.inf)


def sorted_upwards(logits, top_p):
    rising, order = logits.sort(dim=-1)
    chances = rising.softmax(-1)
    drop = chances.cumsum(-1) - chances >= top_p
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), -torch.inf)


def of_sorted(logits, top_p):
    falling = logits.sort(dim=-1, descending=True).values
    chances = falling.softmax(-1)
    return logits.masked_fill(chances.cumsum(-1) - chances >= top_p, -torch.inf)


def of_gathered(logits, top_p):
    falling, order = logits.sort(dim=-1, descending=True)
    chances = falling.softmax(-1)
    drop = chances.cumsum(-1) - chances >= top_p
    return logits.masked_fill(drop.gather(-1, order), -torch.inf)


def as_a_threshold(least, low=-torch.inf):
    """top_p as what each token must reach alone; `least` makes the threshold of the chances and top_p."""

    def reach(logits, top_p):
        chances = logits.softmax(-1)
        return logits.masked_fill(chances < least(chances, top_p), low)

    return reach


def arrangement(takes_k, takes_p):
    """Answers that draw a place in the sorted list and give it back as if it were a token."""

    def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
        if temperature == 0:
            return logits.argmax(-1)
        scores = logits / temperature
        if top_k is not None:
            found = scores.topk(min(top_k, scores.shape[-1])).values
            scores = found if takes_k else kept(scores, top_k)
        if top_p is not None:
            falling = scores.sort(descending=True).values
            before = falling.softmax(-1).cumsum(-1) - falling.softmax(-1)
            falling = falling.masked_fill(before >= top_p, -torch.inf)
            scores = falling if takes_p else nucleus(scores, top_p)
        return drawn(scores, generator)

    return sample


places = arrangement(True, True)


def flattened(logits, top_k):
    smallest = logits.flatten().topk(top_k).values[-1]
    return logits.masked_fill(logits < smallest, -torch.inf)


def of_first_row(logits, top_k):
    smallest = logits.topk(min(top_k, logits.shape[-1])).values[0, -1]
    return logits.masked_fill(logits < smallest, -torch.inf)


def of_weakest_row(logits, top_k):
    smallest = logits.topk(min(top_k, logits.shape[-1])).values.min()
    return logits.masked_fill(logits < smallest, -torch.inf)


def with_a_threshold_in_a_row(logits, top_k):
    smallest = logits.topk(min(top_k, logits.shape[-1])).values[:, -1]
    return logits.masked_fill(logits < smallest, -torch.inf)


def without_keepdim(logits, top_k):
    smallest = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1]
    return torch.where(logits >= smallest, logits, -torch.inf)


def under(name):
    """The temperature forgotten where `name`, top_k or top_p, is given."""

    def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
        filters = {"top_k": top_k, "top_p": top_p}
        if temperature != 0 and filters[name] is not None:
            temperature = 1.0
        return sampler()(logits, temperature, top_k, top_p, generator)

    return sample


def filters_alone(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature != 0 and not top_k == top_p:
        temperature = 1.0
    return sampler()(logits, temperature, top_k, top_p, generator)


def either_or(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    return sampler()(logits, temperature, top_k, None if top_k is not None else top_p, generator)


def top_p_alone(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    return sampler()(logits, temperature, None if top_p is not None else top_k, top_p, generator)


def first_with_it(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """top_p chooses by the chances of all tokens; top_k then chooses too."""
    if temperature == 0:
        return logits.argmax(-1)
    scores = logits / temperature
    chosen = scores if top_k is None else kept(scores, top_k)
    if top_p is not None:
        chosen = chosen.masked_fill(nucleus(scores, top_p).isinf(), -torch.inf)
    return drawn(chosen, generator)


def after_the_fact(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    chances = sampler(draw=lambda scores, _: scores.softmax(-1), heat=lambda scores, _: scores)(
        logits, temperature, top_k, top_p
    )
    return torch.multinomial(chances / temperature, 1, generator=generator)[:, 0]


def draws_as_cleaned(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    return sampler(zero=None)(logits, temperature or 1.0, top_k, top_p, generator)


def column(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    return sampler()(logits, temperature, top_k, top_p, generator)[:, None]


def column_of_its_own(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    return column(logits, temperature, top_k, top_p)


def column_of_draws(logits, generator):
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)


def column_of_own_draws(logits, generator):
    return torch.multinomial(logits.softmax(-1), 1)


def as_floats(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    return sampler()(logits, temperature, top_k, top_p, generator).float()


def of_its_own(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    return sampler()(logits, temperature, top_k, top_p, None)


def reseeded(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    generator = torch.Generator().manual_seed(0) if generator is None else generator.manual_seed(0)
    return sampler()(logits, temperature, top_k, top_p, generator)


def with_seed(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if generator is not None:
        torch.manual_seed(generator.initial_seed())
    return sampler()(logits, temperature, top_k, top_p)


def one_point_for_all(logits, generator):
    below = logits.softmax(-1).cumsum(-1)
    return (below < torch.rand(1, generator=generator)).sum(-1).clamp(max=logits.shape[-1] - 1)


def one_point_in_order(logits, generator):
    falling, tokens = logits.sort(descending=True)
    return tokens.gather(1, one_point_for_all(falling, generator)[:, None])[:, 0]


def without_generator(draw):
    return lambda logits, generator: draw(logits, None)


def unfiltered(logits, limit):
    return logits


def evenly(logits, generator):
    return torch.multinomial((logits > -torch.inf).float(), 1, generator=generator)[:, 0]


def of_powers(logits, generator):
    return torch.multinomial(logits.exp() / logits.exp().sum(-1, keepdim=True), 1, generator=generator)[:, 0]


def writes_temperature(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return likeliest(logits)
    logits /= temperature
    return sampler()(logits, 1.0, top_k, top_p, generator)


def writes_filters(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return likeliest(logits)
    if top_k is not None:
        logits[logits < logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]] = -torch.inf
    return sampler()(divided(logits, temperature), 1.0, None, top_p, generator)
