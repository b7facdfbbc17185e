"""What learners write in lesson 04 and are told: the right name, or none and the counterexample; never a wrong one."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from course_lib import exercises
from course_lib.exercises.exercise import Exercise
from course_lib.masks import create_causal_mask
from tests.exercises.told import gets_its_name, passes, reads_on_the_card

LOSS, SAMPLE, WRITE, ATTEND, BYTES = exercises.lesson("04")


def cross_entropy_of(
    logits_cut: slice, ids_cut: slice, fill: int | None = -100, soft: bool = False, reduction: str = "mean"
) -> Callable[..., Any]:
    """What a tutorial's loss looks like, with a slip or two."""

    def answer(logits, ids, mask=None):
        labels = ids.clone()
        if mask is not None and fill is not None:
            labels[~mask[:, 0, 0]] = fill
        scores = logits[:, logits_cut].reshape(-1, logits.shape[-1])
        scores = F.softmax(scores, dim=-1) if soft else scores
        ignored = -100 if fill is None else fill
        return F.cross_entropy(scores, labels[:, ids_cut].reshape(-1), ignore_index=ignored, reduction=reduction)

    return answer


def refusing(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The same answer, with the error that the statement asks for."""

    def careful(logits, ids, mask=None):
        real = torch.ones_like(ids).bool() if mask is None else mask[:, 0, 0]
        if not (real[:, 1:] & real[:, :-1]).any():
            raise ValueError("nothing to predict")
        return answer(logits, ids, mask)

    return careful


def emptied_first(k, v, cache):
    cache.length = 0
    return cache.append(k, v)


def weighted(weigh: Callable[[torch.Tensor], torch.Tensor], total: Callable[..., Any]) -> Callable[..., Any]:
    def answer(logits, ids, mask=None):
        losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
        if mask is None:
            return losses.mean()
        weights = weigh(mask).float()
        return (losses * weights).sum() / total(weights, losses)

    return answer


def by_the_sum(weights, losses):
    return weights.sum()


def joined(logits, ids, mask=None):
    """Takes the padding out first, and lets one sequence predict the next."""
    if mask is None:
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    return F.cross_entropy(logits[mask[:, 0, 0]][:-1], ids[mask[:, 0, 0]][1:])


def squared(logits, ids, mask=None):
    return F.mse_loss(logits[:, :-1].softmax(-1), F.one_hot(ids[:, 1:], logits.shape[-1]).float())


def nothing_is_zero(logits, ids, mask=None):
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[:, 0, 0]
    keep = real[:, 1:] & real[:, :-1]
    return F.cross_entropy(logits[:, :-1][keep], ids[:, 1:][keep]) if keep.any() else torch.tensor(0.0)


def drawer(
    zero: bool = True,
    k: bool = True,
    p: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor] | None = None,
    give: Callable[[torch.Tensor], Any] = lambda tokens: tokens.squeeze(-1),
) -> Callable[..., Any]:
    """What a tutorial's sampler looks like, with a slip or two. p: the mask of what to drop, in sorted order."""

    def answer(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
        if temperature == 0 and zero:
            return give(logits.argmax(dim=-1, keepdim=True))
        logits = logits / temperature
        if top_k is not None and k:
            values, _ = torch.topk(logits, min(top_k, logits.size(-1)))
            logits = logits.masked_fill(logits < values[:, [-1]], -float("Inf"))
        if top_p is not None and p is not None:
            falling, order = torch.sort(logits, descending=True)
            shares = F.softmax(falling, dim=-1)
            drop = p(shares, torch.cumsum(shares, dim=-1), top_p)
            logits = logits.masked_fill(drop.scatter(1, order, drop), -float("inf"))
        return give(torch.multinomial(F.softmax(logits, dim=-1), num_samples=1, generator=generator))

    return answer


def reached(shares, sums, top_p):
    return sums - shares >= top_p


def crossing_dropped(shares, sums, top_p):
    return sums > top_p


def minimal(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    return torch.multinomial(F.softmax(logits / temperature, dim=-1), 1)


def shares_divided(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    shares = F.softmax(logits, dim=-1) / temperature
    if top_k is not None:
        shares = shares * (shares >= shares.topk(min(top_k, shares.shape[-1])).values[:, -1:])
    return torch.multinomial(shares, 1, generator=generator)[:, 0]


def filtered_together(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    shares, tokens = F.softmax(logits / temperature, dim=-1).sort(descending=True)
    if top_k is not None:
        shares[:, top_k:] = 0
    if top_p is not None:
        shares[shares.cumsum(-1) - shares >= top_p] = 0
    return tokens.gather(1, torch.multinomial(shares, 1, generator=generator))[:, 0]


def one_row(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    return torch.multinomial((logits[0] / (temperature or 1)).softmax(-1), 1, generator=generator)


def looping(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """Right, and slow: a Python loop over rows."""
    tokens = []
    for row in logits:
        order = row.argsort(descending=True)[:top_k]
        shares = (row[order] / (temperature or 1.0)).softmax(-1)
        stop, total = len(order), 0.0
        while top_p is not None and stop == len(order) and total < top_p:
            total = 0.0
            for place, share in enumerate(shares.tolist()):
                total += share
                if total >= top_p:
                    stop = place + 1
                    break
            else:
                break
        place = 0 if temperature == 0 else int(torch.multinomial(shares[:stop], 1, generator=generator))
        tokens.append(int(order[place]))
    return torch.tensor(tokens)


def writes(
    ask: Callable[..., torch.Tensor] = lambda model, tokens: model(tokens)[:, -1].argmax(-1, keepdim=True),
    give: Callable[..., Any] = lambda tokens, count: tokens[:, -count:],
) -> Callable[..., Any]:
    def answer(model, prompt, max_new_tokens):
        for _ in range(max_new_tokens):
            prompt = torch.cat([prompt, ask(model, prompt)], dim=1)
        return give(prompt, max_new_tokens)

    return answer


def returns_early(model, prompt, max_new_tokens):
    for _ in range(max_new_tokens):
        return torch.cat([prompt, model(prompt)[:, -1].argmax(-1, keepdim=True)], dim=1)
    return None


def in_float(model, prompt, max_new_tokens):
    tokens = torch.zeros(len(prompt), max_new_tokens)
    for i in range(max_new_tokens):
        tokens[:, i] = model(torch.cat((prompt, tokens[:, :i].long()), dim=1))[:, -1].argmax(-1)
    return tokens


def attends(
    mask: Callable[[int, int], torch.Tensor | None] = lambda new, total: create_causal_mask(total)[..., -new:, :],
    keep: Callable[..., Any] = lambda k, v, cache: cache.append(k, v),
    scale: bool = True,
    fill: float = float("-inf"),
    dim: int = -1,
) -> Callable[..., Any]:
    def answer(q, k, v, cache):
        k, v = keep(k, v, cache)
        scores = q @ k.transpose(-2, -1)
        scores = scores / q.shape[-1] ** 0.5 if scale else scores
        allowed = mask(q.shape[2], k.shape[2])
        scores = scores if allowed is None else scores.masked_fill(allowed == 0, fill)
        return scores.softmax(dim=dim) @ v

    return answer


def put_in_and_forgotten(k, v, cache):
    cache.append(k, v)
    return k, v


def put_in_twice(k, v, cache):
    keys, _ = cache.append(k, v)
    _, values = cache.append(k, v)
    return keys, values[:, :, : keys.shape[2]]


def length_after(q, k, v, cache):
    k, v = cache.append(k, v)
    rows = torch.arange(cache.length, cache.length + q.shape[2])[:, None]
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(torch.arange(k.shape[2]) > rows, -torch.inf)
    return scores.softmax(-1) @ v


def counts(
    both: int = 2, heads: str = "num_kv_heads", width: bool = True, size: Callable[..., Any] = lambda d: d.itemsize
) -> Callable[..., Any]:
    def answer(config, length, batch=1, dtype=torch.float16):
        head_dim = config.head_dim if width and config.head_dim else config.d_model // config.num_heads
        found = getattr(config, heads) or config.num_heads
        return both * config.num_layers * found * head_dim * length * batch * size(dtype)

    return answer


def by_d_model(config, length, batch=1, dtype=torch.float16):
    return 2 * config.num_layers * config.d_model * length * batch * dtype.itemsize


def keys_of_d_model(config, length, batch=1, dtype=torch.float16):
    return config.num_layers * config.d_model * length * batch * dtype.itemsize


def last(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, -1].argmax(-1, keepdim=True)


UP, DOWN, ALL = slice(1, None), slice(None, -1), slice(None)
TOLD: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (LOSS, cross_entropy_of(ALL, ALL), "no shift", 0),
    (LOSS, cross_entropy_of(ALL, ALL, fill=None), "no shift", 0),
    (LOSS, refusing(cross_entropy_of(ALL, ALL)), "no shift", 0),
    (LOSS, cross_entropy_of(UP, UP), "both are shifted", 0),
    (LOSS, cross_entropy_of(UP, DOWN), "shifted the wrong way", 0),
    (LOSS, cross_entropy_of(DOWN, UP, fill=None), "padding is counted", 2),
    (LOSS, cross_entropy_of(DOWN, UP), "predicted from padding", 3),
    (LOSS, cross_entropy_of(DOWN, UP, fill=0), "token 0 is taken for padding", 0),
    (LOSS, cross_entropy_of(DOWN, UP, soft=True), "softmax twice", 0),
    (LOSS, cross_entropy_of(DOWN, UP, soft=True, fill=None), "softmax twice", 0),
    (LOSS, cross_entropy_of(ALL, ALL, soft=True), None, 0),
    (LOSS, cross_entropy_of(DOWN, UP, fill=None, reduction="sum"), "the sum instead of the mean", 0),
    (LOSS, weighted(lambda mask: mask[:, 0, 0, 1:], by_the_sum), "predicted from padding", 3),
    (LOSS, weighted(lambda mask: mask[:, 0, 0, :-1], by_the_sum), "padding is predicted", 3),
    (LOSS, weighted(lambda mask: mask[:, 0, 0, 1:], lambda w, losses: losses.numel()), "divided by all positions", 2),
    (LOSS, weighted(lambda mask: mask[..., 1:], by_the_sum), "the mask keeps four axes", 2),
    (LOSS, weighted(lambda mask: ~mask[:, 0, 0, 1:], by_the_sum), "the mask is inverted", 2),
    (LOSS, joined, None, 2),
    (LOSS, squared, None, 0),
    (LOSS, nothing_is_zero, "no error where nothing is predicted", 4),
    (SAMPLE, minimal, "temperature 0 divides by 0", 1),
    (SAMPLE, drawer(), "top_p has no effect", 4),
    (SAMPLE, drawer(k=False), "top_k has no effect", 3),
    (SAMPLE, drawer(k=False, p=reached), "top_k has no effect", 4),
    (SAMPLE, drawer(p=crossing_dropped), "top_p drops the token that crosses", 4),
    (SAMPLE, drawer(p=crossing_dropped, zero=False), "temperature 0 divides by 0", 3),
    (SAMPLE, drawer(p=reached, give=lambda tokens: tokens), "an axis is left over", 5),
    (SAMPLE, drawer(p=reached, give=lambda tokens: tokens[:, 0].double()), None, 5),
    (SAMPLE, drawer(p=lambda shares, sums, top_p: shares < 0.1), None, 4),
    (SAMPLE, lambda logits, *args, **kwargs: logits.argmax(-1), "always the likeliest", 0),
    (SAMPLE, shares_divided, "the temperature has no effect", 3),
    (SAMPLE, filtered_together, "top_p adds up what top_k has dropped", 5),
    (SAMPLE, one_row, None, 0),
    (WRITE, writes(give=lambda tokens, count: tokens), "the prompt comes back too", 3),
    (WRITE, writes(give=lambda tokens, count: tokens[:, -1:]), "only the last token comes back", 0),
    (WRITE, writes(give=lambda tokens, count: tokens[:, tokens.shape[1] :]),
     "the length of the prompt is asked too late", 0),
    (WRITE, returns_early, "the loop ends in its first round", 0),
    (WRITE, in_float, "tokens of another dtype", 3),
    (WRITE, writes(lambda model, tokens: model(tokens)[:, -1].argmax(-1)), "the token lacks an axis", 0),
    (WRITE, writes(lambda model, tokens: model(tokens)[:, -1].argmax(-1)[None]), "a row where a column is needed", 2),
    (WRITE, writes(lambda model, tokens: model(tokens)[:, -1].argmax()[None, None]),
     "a row where a column is needed", 2),
    (WRITE, writes(lambda model, tokens: last(model(tokens[:, -1:]))), "only the last token is read", 0),
    (WRITE, writes(lambda model, tokens: last(model(tokens[:, -2:]))), None, 0),
    (WRITE, writes(lambda model, tokens: model(tokens)[-1].argmax(-1, True)),
     "the last sequence, not the last position", 0),
    (WRITE, writes(lambda model, tokens: model(tokens).argmax(-1)), "a token for each position", 0),
    (WRITE, writes(lambda model, tokens: model(tokens)[:, -1].softmax(-1).max(-1, True)[0]),
     "the logit instead of the token", 0),
    (WRITE, writes(lambda model, tokens: model(tokens)[:, -1].topk(2).indices[:, 1:]), None, 0),
    (ATTEND, attends(mask=lambda new, total: None), "the mask is missing", 3),
    (ATTEND, attends(mask=lambda new, total: create_causal_mask(new)), "the mask is as wide as the new tokens", 4),
    (ATTEND, attends(mask=lambda new, total: create_causal_mask(total)), "the mask has a row for each token so far", 2),
    (ATTEND, attends(mask=lambda new, total: create_causal_mask(total)[..., :new, :]),
     "the mask is aligned top-left", 2),
    (ATTEND, attends(mask=lambda new, total: torch.ones(new, total).tril()), "the mask is aligned top-left", 2),
    (ATTEND, attends(mask=lambda new, total: torch.ones(new, total).tril(total - new - 1)),
     "a token does not see itself", 0),
    (ATTEND, length_after, "the mask is missing", 3),
    (ATTEND, attends(keep=lambda k, v, cache: (k, v)), "the cache is not filled", 1),
    (ATTEND, attends(keep=emptied_first), "the cache is not filled", 1),
    (ATTEND, attends(keep=put_in_and_forgotten), "what append gives back is not used", 2),
    (ATTEND, attends(keep=put_in_twice), None, 1),
    (ATTEND, attends(keep=lambda k, v, cache: cache.append(v, k)), "keys and values have changed places", 0),
    (ATTEND, attends(scale=False), "no scale", 0),
    (ATTEND, attends(scale=False, mask=lambda new, total: None), "no scale", 0),
    (ATTEND, attends(dim=-2), "softmax over the queries", 0),
    (ATTEND, attends(fill=0.0), "forbidden scores are set to 0", 3),
    (ATTEND, attends(scale=False, dim=-2), None, 0),
    (BYTES, counts(both=1), "keys without values", 0),
    (BYTES, counts(heads="num_heads"), "as many heads as queries have", 1),
    (BYTES, counts(width=False), "head_dim is always d_model / num_heads", 2),
    (BYTES, by_d_model, "d_model for the width of all heads", 1),
    (BYTES, keys_of_d_model, None, 0),
    (BYTES, counts(size=lambda dtype: torch.finfo(dtype).bits), "bits instead of bytes", 0),
    (BYTES, counts(size=lambda dtype: 2), "always two bytes", 2),
    (BYTES, counts(size=lambda dtype: torch.finfo(dtype).bits / 8), "a number with a decimal point", 2),
    (BYTES, counts(size=lambda dtype: 2 if dtype == torch.float16 else 4), None, 2),
]  # fmt: skip


test_a_learners_code_gets_the_right_name_or_none = gets_its_name(TOLD)


RIGHT: list[tuple[Exercise, Callable[..., Any]]] = [
    (SAMPLE, drawer(p=reached)),
    (SAMPLE, looping),
    (WRITE, writes()),
    (WRITE, writes(lambda model, tokens: model(tokens)[:, -1:].topk(1)[1][..., 0])),
    (WRITE, writes(lambda model, tokens: model(tokens).log_softmax(-1).argsort(-1)[:, -1, -1:])),
    (ATTEND, attends()),
    (ATTEND, attends(fill=-1e4)),
    (ATTEND, attends(mask=lambda new, total: None if new == 1 else torch.ones(new, total).tril(total - new))),
    (BYTES, counts()),
    (BYTES, counts(size=lambda dtype: torch.tensor([], dtype=dtype).element_size())),
    (BYTES, counts(size=lambda dtype: torch.finfo(dtype).bits // 8)),
]


test_unusual_right_answers_pass = passes(RIGHT)


CARDS = [
    (LOSS, cross_entropy_of(ALL, ALL), "Each position is asked for the token that it has just read"),
    (LOSS, cross_entropy_of(DOWN, UP, fill=None), "Padding is predicted like text"),
    (SAMPLE, drawer(p=crossing_dropped), "0 got token 0, and it should be about 101; below, the share of each token"),
    (SAMPLE, minimal, "In line 2 of minimal: return torch.multinomial("),
    (SAMPLE, one_row, "Expected 2018 whole numbers, a token for each row, got torch.int64 of shape (1,)."),
    (SAMPLE, lambda logits, *args, **kwargs: torch.arange(len(logits)),
     "Expected tokens from 0 to 6, got some from 0 to"),
    (WRITE, writes(give=lambda tokens, count: tokens), "The tokens are right, and the prompt stands before them."),
    (WRITE, writes(lambda model, tokens: last(model(tokens[:, -1:]))), "It keeps nothing from one call"),
    (ATTEND, attends(mask=lambda new, total: torch.ones(new, total).tril()), "as if the new tokens stood at the start"),
    (ATTEND, attends(mask=lambda new, total: None), "In attend_with_cache(q, k, v, cache) with"),
    (BYTES, counts(both=1), "You get half of it: each token leaves a key and a value."),
    (BYTES, counts(heads="num_heads"), "num_heads=6, num_kv_heads=2, head_dim=None: Expected"),
]  # fmt: skip


test_the_card_says_what_is_wrong_and_where = reads_on_the_card(CARDS)
