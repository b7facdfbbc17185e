"""The next token drawn right and wrong, from steps of which each can be another one."""

import torch

__all__ = [
    "as_hugging_face_does",
    "by_a_race",
    "by_clamping",
    "by_gumbel",
    "by_inverting",
    "by_ranks",
    "by_sorting",
    "by_zeroing",
    "divided",
    "drawn",
    "kept",
    "likeliest",
    "nucleus",
    "sampler",
]


def likeliest(logits):
    return logits.argmax(dim=-1)


def divided(logits, temperature):
    return logits / temperature


def kept(logits, top_k):
    smallest = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
    return logits.masked_fill(logits < smallest, -torch.inf)


def nucleus(logits, top_p):
    falling, order = logits.sort(dim=-1, descending=True)
    chances = falling.softmax(-1)
    drop = chances.cumsum(-1) - chances >= top_p
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), -torch.inf)


def drawn(logits, generator):
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


def sampler(zero=likeliest, heat=divided, few=kept, reach=nucleus, draw=drawn, order="tkp"):
    """Make a sample from its steps; as they stand they make a right one.

    zero: what happens at temperature 0, None: nothing else. heat: temperature. few: top_k. reach: top_p.
    draw: tokens of logits and a generator. order: of temperature, top_k and top_p.
    """

    def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
        if temperature == 0 and zero is not None:
            return zero(logits)
        for step in order:
            if step == "t":
                logits = heat(logits, temperature)
            elif step == "k" and top_k is not None:
                logits = few(logits, top_k)
            elif step == "p" and top_p is not None:
                logits = reach(logits, top_p)
        return draw(logits, generator)

    return sample


def by_sorting(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    falling, tokens = (logits / temperature).sort(dim=-1, descending=True)
    if top_k is not None:
        falling, tokens = falling[:, :top_k], tokens[:, :top_k]
    chances = falling.softmax(dim=-1)
    if top_p is not None:
        drop = chances.cumsum(dim=-1) > top_p
        drop = torch.cat((torch.zeros_like(drop[:, :1]), drop[:, :-1]), dim=1)
        chances = chances.masked_fill(drop, 0.0)
    places = torch.multinomial(chances, num_samples=1, generator=generator)
    return tokens.gather(1, places).squeeze(1)


def as_hugging_face_does(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return torch.argmax(logits, dim=-1)
    scores = logits / temperature
    if top_k is not None:
        remove = scores < torch.topk(scores, min(top_k, scores.size(-1)))[0][..., -1, None]
        scores = scores.masked_fill(remove, -float("Inf"))
    if top_p is not None:
        rising, order = torch.sort(scores, descending=False)
        remove = rising.softmax(dim=-1).cumsum(dim=-1) <= (1 - top_p)
        remove[..., -1:] = False
        scores = scores.masked_fill(remove.scatter(1, order, remove), -float("Inf"))
    return torch.multinomial(torch.softmax(scores, dim=-1), 1, generator=generator).squeeze(1)


def by_gumbel(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.max(-1).indices
    scores = logits / temperature
    if top_k is not None:
        scores = kept(scores, top_k)
    if top_p is not None:
        scores = nucleus(scores, top_p)
    noise = torch.rand(scores.shape, generator=generator).clamp(min=1e-20)
    return (scores - torch.log(-torch.log(noise))).argmax(-1)


def by_a_race(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    chances = torch.softmax(logits / temperature, dim=-1)
    if top_k is not None and top_k < logits.shape[-1]:
        chances = chances * (chances >= chances.sort(descending=True).values[:, top_k - 1, None])
        chances = chances / chances.sum(-1, keepdim=True)
    if top_p is not None:
        likelier = (chances[:, None, :] > chances[:, :, None]) * chances[:, None, :]
        chances = chances * (likelier.sum(-1) < top_p)
    arrival = torch.empty_like(chances).exponential_(1.0, generator=generator)
    return (chances / arrival).argmax(-1)


def by_inverting(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    falling, tokens = torch.sort(logits / temperature, dim=-1, descending=True)
    chances = torch.softmax(falling, dim=-1)
    if top_k is not None:
        chances[:, top_k:] = 0
        chances = chances / chances.sum(-1, keepdim=True)
    if top_p is not None:
        counted = (chances.cumsum(-1) < top_p).sum(-1, keepdim=True) + 1
        chances = chances * (torch.arange(chances.shape[-1]) < counted)
    below = chances.cumsum(-1)
    point = torch.rand(len(logits), 1, generator=generator) * below[:, -1:]
    places = (below <= point).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return torch.take_along_dim(tokens, places, dim=1).flatten()


def by_ranks(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    ranks = logits.argsort(-1, descending=True).argsort(-1)
    scores = logits / temperature
    if top_k is not None:
        scores = torch.where(ranks < top_k, scores, -torch.inf)
    if top_p is not None:
        chances = scores.softmax(-1)
        falling = chances.sort(-1, descending=True).values.cumsum(-1)
        needed = 1 + (falling < top_p).sum(-1, keepdim=True)
        scores = torch.where(ranks < needed, scores, -torch.inf)
    return torch.multinomial(scores.softmax(-1), 1, True, generator=generator).view(-1)


def by_zeroing(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature == 0:
        return logits.argmax(-1)
    chances = (logits / temperature).softmax(-1)
    if top_k is not None:
        best = chances.topk(min(top_k, chances.shape[1])).indices
        chances = torch.zeros_like(chances).scatter(1, best, chances.gather(1, best))
    if top_p is not None:
        falling, order = chances.sort(descending=True)
        whole = falling.sum(-1, keepdim=True)
        falling[falling.cumsum(-1) - falling >= top_p * whole] = 0
        chances = torch.zeros_like(chances).scatter(1, order, falling)
    return chances.multinomial(1, generator=generator).reshape(len(logits))


def by_clamping(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    scores = (logits - logits.amax(-1, keepdim=True)) / max(temperature, 1e-6)
    if top_k is not None:
        scores = kept(scores, top_k)
    if top_p is not None:
        scores = nucleus(scores, top_p)
    powers = scores.exp()
    return torch.multinomial(powers, 1, generator=generator)[:, 0]
