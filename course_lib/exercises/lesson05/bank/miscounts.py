"""Slips in counting copies."""

import torch

from course_lib.exercises.lesson05.bank.copiers import asked, counter, even, share

__all__ = [
    "above_a_half",
    "accuracy",
    "all_at_once",
    "among_two",
    "and_the_rest",
    "any_id",
    "as_doubles",
    "at_t",
    "divides_by_nothing",
    "drawn_again_once",
    "drawn_at_t",
    "drawn_once",
    "is_among",
    "kept_in_range",
    "nan_if_nothing",
    "needs_a_generator",
    "next_if_equal",
    "of_drawn",
    "one_step_for_all",
    "over_all_tokens",
    "position_by_position",
    "probability",
    "reaction",
    "refuse_nothing",
    "seeded_anew",
    "seeds_the_given_one",
    "seeds_torch",
    "stepping",
    "whole_rows",
    "wraps_around",
    "zero_if_nothing",
]


def accuracy(model, ids, vocab_size, generator=None):
    asked(ids)
    return share(model(ids)[:, :-1].argmax(-1) == ids[:, 1:])


def all_at_once(model, ids, vocab_size, generator=None):
    asked(ids)
    changed = ids.clone()
    changed[:, 1:] = even(ids[:, 1:], vocab_size, generator)
    return share(model(changed)[:, :-1].argmax(-1) == changed[:, 1:])


def whole_rows(model, ids, vocab_size, generator=None):
    asked(ids)
    changed = even(ids, vocab_size, generator)
    return share(model(changed)[:, :-1].argmax(-1) == changed[:, 1:])


def and_the_rest(ids, t, drawn):
    changed = ids.clone()
    changed[:, t + 1 :] = drawn[:, None]
    return changed


def at_t(ids, t, drawn):
    changed = ids.clone()
    changed[:, t] = drawn
    return changed


def drawn_at_t(model, ids, vocab_size, generator=None):
    asked(ids)
    copies = []
    for t in range(ids.shape[1] - 1):
        drawn = even(ids[:, t], vocab_size, generator)
        copies.append(model(at_t(ids, t, drawn))[:, t].argmax(-1) == drawn)
    return share(torch.stack(copies))


def any_id(tokens, vocab, generator):
    return torch.randint(vocab, tokens.shape, generator=generator)


def drawn_again_once(tokens, vocab, generator):
    first, second = (torch.randint(vocab, tokens.shape, generator=generator) for _ in range(2))
    return torch.where(first == tokens, second, first)


def stepping(low, high):
    def draw(tokens, vocab, generator):
        return (tokens + torch.randint(low, vocab + high, tokens.shape, generator=generator)) % vocab

    return draw


def next_if_equal(tokens, vocab, generator):
    drawn = torch.randint(vocab, tokens.shape, generator=generator)
    return torch.where(drawn == tokens, (drawn + 1) % vocab, drawn)


def kept_in_range(tokens, vocab, generator):
    return (tokens + torch.randint(1, vocab, tokens.shape, generator=generator)).clamp(max=vocab - 1)


def one_step_for_all(tokens, vocab, generator):
    return (tokens + torch.randint(1, vocab, (1,), generator=generator)) % vocab


def drawn_once(shape):
    """Draw once, before the loop, and use it at each position."""

    def copy_rate(model, ids, vocab_size, generator=None):
        steps = torch.randint(1, vocab_size, shape(ids), generator=generator)
        return counter(draw=lambda tokens, vocab, _: (tokens + steps) % vocab)(model, ids, vocab_size)

    return copy_rate


def seeded_anew(model, ids, vocab_size, generator=None):
    return counter()(model, ids, vocab_size, torch.Generator().manual_seed(0))


def seeds_the_given_one(model, ids, vocab_size, generator=None):
    return counter()(model, ids, vocab_size, generator.manual_seed(0) if generator else None)


def seeds_torch(model, ids, vocab_size, generator=None):
    torch.manual_seed(0)
    return counter()(model, ids, vocab_size)


def needs_a_generator(model, ids, vocab_size, generator=None):
    state = generator.get_state()
    generator.set_state(state)
    return counter()(model, ids, vocab_size, generator)


def reaction(model, ids, vocab_size, generator=None):
    """Count how often the likeliest token becomes another one."""
    asked(ids)
    before = model(ids).argmax(-1)
    return counter(read=lambda logits, t: logits[:, t].argmax(-1) != before[:, t], count=lambda said, d, o: said)(
        model, ids, vocab_size, generator
    )


def probability(logits, t):
    return logits[:, t].softmax(-1)


def of_drawn(said, drawn, original):
    return said.gather(-1, drawn[:, None])[:, 0]


def above_a_half(said, drawn, original):
    return of_drawn(said, drawn, original) > 0.5


def among_two(logits, t):
    return logits[:, t].topk(2).indices


def is_among(said, drawn, original):
    return (said == drawn[:, None]).any(-1)


def as_doubles(change):
    return lambda copies: change(copies.double())


def over_all_tokens(model, ids, vocab_size, generator=None):
    return counter()(model, ids, vocab_size, generator) * (ids.shape[1] - 1) / ids.shape[1]


def refuse_nothing(ids):
    return None


def zero_if_nothing(model, ids, vocab_size, generator=None):
    return counter()(model, ids, vocab_size, generator) if ids.shape[1] > 1 else 0.0


def divides_by_nothing(model, ids, vocab_size, generator=None):
    return counter()(model, ids, vocab_size, generator) if ids.shape[1] > 1 else 0 / (len(ids) * 0)


def nan_if_nothing(model, ids, vocab_size, generator=None):
    return counter()(model, ids, vocab_size, generator) if ids.shape[1] > 1 else torch.zeros(0).mean().item()


def position_by_position(ids):
    return range(ids.shape[1])


def wraps_around(model, ids, vocab_size, generator=None):
    asked(ids)
    copies = []
    for t in range(ids.shape[1]):
        drawn = even(ids.roll(-1, dims=1)[:, t], vocab_size, generator)
        changed = ids.clone()
        changed[:, (t + 1) % ids.shape[1]] = drawn
        copies.append(model(changed)[:, t].argmax(-1) == drawn)
    return share(torch.stack(copies))
