"""First attempts at lesson 04, by somebody who had not read it: each gets the name of what it gets wrong."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from course_lib import exercises
from course_lib.exercises.exercise import Exercise
from course_lib.masks import create_causal_mask
from tests.exercises.told import gets_its_name

LOSS, SAMPLE, WRITE, ATTEND, BYTES = exercises.lesson("04")


def draws(
    p: Callable[[torch.Tensor, float], torch.Tensor],
    give: Callable[..., Any] = lambda p, generator: torch.multinomial(p, 1, generator=generator),
    end: Callable[[torch.Tensor], torch.Tensor] = lambda tokens: tokens[:, 0],
) -> Callable[..., Any]:
    """Everything in sorted order to the end. p: the probabilities under top_p; give: places of them."""

    def answer(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
        if temperature == 0:
            return logits.argmax(-1)
        logits = logits / temperature
        if top_k is not None:
            smallest = torch.topk(logits, min(top_k, logits.shape[-1]))[0][:, -1:]
            logits = logits.masked_fill(logits < smallest, -torch.inf)
        probs, idx = logits.softmax(-1).sort(descending=True)
        if top_p is not None:
            probs = p(probs, top_p)
        return end(idx.gather(-1, give(probs, generator)))

    return answer


def right(probs, top_p):
    kept = probs * (probs.cumsum(-1) - probs < top_p)
    return kept / kept.sum(-1, keepdim=True)


def crossing_logits(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None:
        logits = torch.where(logits < logits.topk(min(top_k, logits.shape[1])).values[:, -1:], -torch.inf, logits)
    if top_p is not None:
        falling, order = logits.sort(descending=True)
        falling = falling.masked_fill(falling.softmax(-1).cumsum(-1) > top_p, float("-inf"))
        logits = torch.full_like(logits, float("-inf")).scatter(-1, order, falling)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)


def shared_point(u: Callable[..., torch.Tensor] = lambda g: torch.rand(1, generator=g)) -> Callable[..., Any]:
    return lambda p, generator: (p.cumsum(-1) < u(generator)).sum(-1).clamp(max=p.shape[-1] - 1)[:, None]


def point_in_the_vocabulary(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    cum = (logits / temperature).softmax(-1).cumsum(-1)
    return (cum < torch.rand(1, generator=generator)).sum(-1)


def threshold(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None:
        logits = logits.masked_fill(logits < logits.topk(min(top_k, logits.size(-1))).values[:, -1:], -1e9)
    p = logits.softmax(-1)
    if top_p is not None:
        keep = p >= 1 - top_p
        p = p * keep
    return torch.multinomial(p, 1, generator=generator)[:, 0]


def newest_alone(model, prompt, max_new_tokens):
    tok, new = prompt, []
    for _ in range(max_new_tokens):
        tok = model(tok)[:, -1:].argmax(-1)
        new.append(tok)
    return torch.cat(new, dim=1)


def newest_alone_behind_the_prompt(model, prompt, max_new_tokens):
    tokens = tok = prompt
    for _ in range(max_new_tokens):
        tok = model(tok)[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, tok], dim=1)
    return tokens


def ignores_0(logits, ids, mask=None):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], ignore_index=0)


def ignores_0_of_several(logits, ids, mask=None):
    if ids.shape[1] < 2:
        raise ValueError("need at least two tokens")
    return F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), ignore_index=0)


def not_token_0(logits, ids, mask=None):
    keep = ids[:, 1:] != 0
    return F.cross_entropy(logits[:, :-1][keep], ids[:, 1:][keep])


def four_axes(
    reduce: Callable[..., torch.Tensor], weigh: Callable[..., torch.Tensor] = lambda mask: mask[..., 1:]
) -> Callable[..., Any]:
    def answer(logits, ids, mask=None):
        loss = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
        return loss.mean() if mask is None else reduce(loss, weigh(mask))

    return answer


def written_out(loss: Callable[..., torch.Tensor], least: int = 0) -> Callable[..., Any]:
    def answer(logits, ids, mask=None):
        if ids.shape[1] < least:
            raise ValueError("nothing to predict")
        right = ids[:, 1:, None]
        each = loss(logits[:, :-1], lambda x: x.gather(-1, right)[..., 0])
        keep = torch.ones_like(ids[:, 1:]).bool() if mask is None else mask[:, 0, 0, 1:] & mask[:, 0, 0, :-1]
        return each[keep].mean()

    return answer


def naive_softmax(logits, of):
    return -torch.log(of(logits.exp() / logits.exp().sum(-1, keepdim=True)))


def log_softmax(logits, of):
    return -of(logits.log_softmax(-1))


def joins_again(mask: Callable[[int, int], torch.Tensor] | None = None) -> Callable[..., Any]:
    def answer(q, k, v, cache):
        old_k, old_v = cache.append(k, v)
        k, v = torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask(q.shape[2], k.shape[2]), -torch.inf)
        return scores.softmax(-1) @ v

    return answer


def by_keys(mask: Callable[[int, int], torch.Tensor]) -> Callable[..., Any]:
    def answer(q, k, v, cache):
        k, v = cache.append(k, v)
        scores = q @ k.mT / k.shape[2] ** 0.5
        return scores.masked_fill(~mask(q.shape[2], k.shape[2]), -torch.inf).softmax(-1) @ v

    return answer


def last_rows(new, total):
    return create_causal_mask(total)[..., -new:, :]


def plain_tril(new, total):
    return torch.ones(new, total).tril().bool()


CROSSING = "top_p drops the token that crosses"
TOLD: list[tuple[Exercise, Callable[..., Any], str | None, float]] = [
    (SAMPLE, draws(lambda probs, top_p: probs.masked_fill(probs.cumsum(-1) > top_p, 0)), CROSSING, 4),
    (SAMPLE, draws(lambda probs, top_p: probs * (probs.cumsum(-1) <= top_p)), CROSSING, 4),
    (SAMPLE, draws(lambda probs, top_p: torch.where(probs.cumsum(-1) < top_p, probs, 0.0)), CROSSING, 4),
    (SAMPLE, draws(lambda probs, top_p: probs * (probs.cumsum(-1) <= top_p), end=lambda tokens: tokens), CROSSING, 3),
    (SAMPLE, crossing_logits, CROSSING, 4),
    (SAMPLE, draws(right, shared_point()), "one random number for all rows", 0),
    (SAMPLE, draws(right, shared_point(lambda g: torch.rand(()))), "one random number for all rows", 0),
    (SAMPLE, point_in_the_vocabulary, "one random number for all rows", 0),
    (SAMPLE, threshold, "top_p is a threshold for each token", 4),
    (SAMPLE, draws(lambda probs, top_p: probs * (probs > top_p)), "top_p is a threshold for each token", 4),
    (SAMPLE, draws(right, end=lambda tokens: tokens), "an axis is left over", 5),
    (SAMPLE, draws(right, lambda p, generator: torch.multinomial(p, 1), lambda tokens: tokens),
     "an axis is left over", 5),
    (WRITE, newest_alone, "only the last token is read", 0),
    (WRITE, newest_alone_behind_the_prompt, "only the last token is read", 0),
    (LOSS, ignores_0, "token 0 is taken for padding", 0),
    (LOSS, ignores_0_of_several, "token 0 is taken for padding", 0),
    (LOSS, not_token_0, "token 0 is taken for padding", 0),
    (LOSS, four_axes(lambda loss, weights: (loss * weights).sum()), "the mask keeps four axes", 2),
    (LOSS, four_axes(lambda loss, weights: (loss * weights).sum() / weights.sum()), "the mask keeps four axes", 2),
    (LOSS, four_axes(lambda loss, weights: (loss * weights).mean(), lambda mask: mask[..., :-1]),
     "the mask keeps four axes", 2),
    (LOSS, written_out(naive_softmax), "exponentials that overflow", 4),
    (LOSS, written_out(naive_softmax, 2), "exponentials that overflow", 4),
    (LOSS, written_out(lambda logits, of: logits.exp().sum(-1).log() - of(logits)), "exponentials that overflow", 4),
    (LOSS, written_out(lambda logits, of: -of(logits.softmax(-1)).log()), "the logarithm of a rounded zero", 4),
    (LOSS, written_out(lambda logits, of: -(of(logits.softmax(-1)) + 1e-12).log(), 2),
     "a small number inside the logarithm", 4),
    (LOSS, written_out(log_softmax, 2), "no error where nothing is predicted", 4),
    (ATTEND, joins_again(), "the new tokens stand there twice", 0),
    (ATTEND, joins_again(last_rows), "the new tokens stand there twice", 0),
    (ATTEND, by_keys(last_rows), "scaled by the number of tokens", 0),
    (ATTEND, by_keys(plain_tril), "scaled by the number of tokens", 0),
]  # fmt: skip


test_a_first_attempt_gets_the_name_of_its_mistake = gets_its_name(TOLD)
