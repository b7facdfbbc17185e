"""Ways to pool, right and wrong, from steps of which each can be another one."""

import torch

__all__ = [
    "at_place",
    "by_count",
    "by_indices",
    "by_mending",
    "by_products",
    "by_rows",
    "by_selecting",
    "by_weights",
    "first_of",
    "first_true",
    "five_axes",
    "highest_place",
    "ignored_mask",
    "inverted_mask",
    "last_of",
    "last_true",
    "maximum",
    "maximum_of_all",
    "mean_of",
    "mean_of_places",
    "multiplies_in_place",
    "nan_mean",
    "needs_a_mask",
    "of_squeezed",
    "of_the_first",
    "one_too_far",
    "pooler",
    "raises_assertion",
    "raises_key_error",
    "raises_not_implemented",
    "raises_unbound",
    "second_last",
    "selected",
    "squeezed",
    "wiped",
    "wipes",
    "zeroed",
]


def mean_of(hidden, real):
    kept = hidden * real[..., None]
    return kept.sum(1) / real.sum(1, keepdim=True).clamp(min=1)


def first_of(hidden, real):
    return token_at(real.int().argmax(1), hidden, real)


def last_of(hidden, real):
    return token_at((real * torch.arange(real.shape[1])).argmax(1), hidden, real)


def token_at(places, hidden, real):
    """One token of each row; zeros for a row without real tokens."""
    return hidden[torch.arange(len(hidden)), places] * real.any(1, keepdim=True)


def of_mask(hidden, mask):
    return torch.ones(hidden.shape[:2], dtype=torch.bool) if mask is None else mask[:, 0, 0]


def refuse(hidden, real, how):
    raise ValueError(f"how must be 'first', 'last' or 'mean', got {how!r}")


def pooler(mean=mean_of, first=first_of, last=last_of, real=of_mask, other=refuse):
    """Make a pool from its steps; as they stand they make a right one.

    mean, first, last: each of hidden states and of which tokens are real. real: of hidden and mask. other: another how.
    """

    def pool(hidden, mask=None, how="mean"):
        tokens = real(hidden, mask)
        if how == "mean":
            return mean(hidden, tokens)
        if how == "first":
            return first(hidden, tokens)
        if how == "last":
            return last(hidden, tokens)
        return other(hidden, tokens, how)

    return pool


def zeroed(pick):
    """A way to pick that gives zeros where there is no real token."""
    return lambda hidden, real: pick(hidden, real) * real.any(1, keepdim=True)


def row_numbers(hidden):
    return torch.arange(len(hidden))


def at_place(place):
    return lambda hidden, real: hidden[:, place]


def by_count(hidden, real):
    return hidden[row_numbers(hidden), real.sum(1) - 1]


def one_too_far(hidden, real):
    return hidden[row_numbers(hidden), real.sum(1).clamp(max=hidden.shape[1] - 1)]


def second_last(hidden, real):
    return hidden[row_numbers(hidden), (real.sum(1) - 2).clamp(min=0)]


def first_true(hidden, real):
    return hidden[row_numbers(hidden), real.int().argmax(1)]


def last_true(hidden, real):
    return hidden[row_numbers(hidden), real.shape[1] - 1 - real.flip(1).int().argmax(1)]


def highest_place(hidden, real):
    return hidden[row_numbers(hidden), (torch.arange(real.shape[1]) * real).amax(1)]


def five_axes(hidden, real):
    return hidden * real[:, None, None, :, None]


def nan_mean(hidden, real):
    return (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)


def by_selecting(hidden, real):
    return torch.stack([row[kept].mean(0) for row, kept in zip(hidden, real, strict=True)])


def selected(place):
    return lambda hidden, real: torch.stack([row[kept][place] for row, kept in zip(hidden, real, strict=True)])


def wipes(hidden, real):
    hidden[~real] = 0
    return hidden.sum(1) / real.sum(1, keepdim=True).clamp(min=1)


def multiplies_in_place(hidden, real):
    hidden *= real[..., None]
    return hidden.sum(1) / real.sum(1, keepdim=True).clamp(min=1)


def maximum(hidden, real):
    return hidden.masked_fill(~real[..., None], -torch.inf).amax(1).masked_fill(~real.any(1, keepdim=True), 0)


def maximum_of_all(hidden, real):
    return hidden.amax(1)


def mean_of_places(hidden, real):
    return hidden.mean(1)


def wiped(hidden, mask):
    """The mask, and hidden states that are overwritten by the way, whatever is asked for."""
    real = of_mask(hidden, mask)
    hidden[~real] = 0
    return real


def of_squeezed(mean):
    """A mean that alone meets the mask without its batch."""
    return lambda hidden, real: mean(hidden, real.squeeze())


def needs_a_mask(real):
    return lambda hidden, mask: real(mask)


def squeezed(hidden, mask):
    return torch.ones(hidden.shape[:2], dtype=torch.bool) if mask is None else mask.squeeze()


def of_the_first(hidden, mask):
    return of_mask(hidden, mask)[:1].expand(hidden.shape[:2])


def inverted_mask(hidden, mask):
    return torch.ones(hidden.shape[:2], dtype=torch.bool) if mask is None else ~mask[:, 0, 0]


def ignored_mask(hidden, mask):
    return torch.ones(hidden.shape[:2], dtype=torch.bool)


def raises_key_error(hidden, real, how):
    raise KeyError(how)


def raises_assertion(hidden, real, how):
    raise AssertionError(how)


def raises_unbound(hidden, real, how):
    raise UnboundLocalError("cannot access local variable 'out' where it is not associated with a value")


def raises_not_implemented(hidden, real, how):
    raise NotImplementedError(how)


def by_weights(hidden, mask=None, how="mean"):
    batch, seq, _ = hidden.shape
    real = mask.reshape(batch, seq).float() if mask is not None else torch.ones(batch, seq)
    seen = real.cumsum(1)
    chosen = {"mean": real, "first": real * (seen == 1), "last": real * (seen == seen[:, -1:])}
    if how not in chosen:
        raise ValueError(how)
    weights = chosen[how] / chosen[how].sum(1, keepdim=True).clamp(min=1e-9)
    return torch.einsum("bs,bsd->bd", weights, hidden)


def by_rows(hidden, mask=None, how="mean"):
    if how not in ("mean", "first", "last"):
        raise ValueError("unknown how")
    pooled = torch.zeros(hidden.shape[0], hidden.shape[-1])
    for b, tokens in enumerate(hidden):
        if mask is not None:
            tokens = tokens[mask[b, 0, 0]]
        if len(tokens):
            pooled[b] = tokens.mean(dim=0) if how == "mean" else tokens[0] if how == "first" else tokens[-1]
    return pooled


def by_indices(hidden, mask=None, how="mean"):
    real = of_mask(hidden, mask)
    if how == "mean":
        pooled = torch.where(real.unsqueeze(-1), hidden, 0.0).sum(dim=1) / real.sum(dim=1).clamp(min=1).unsqueeze(-1)
    elif how in ("first", "last"):
        index = real.int().argmax(1) if how == "first" else (real * torch.arange(1, real.shape[1] + 1)).argmax(1)
        pooled = hidden.gather(1, index[:, None, None].expand(-1, 1, hidden.shape[-1])).squeeze(1)
    else:
        raise ValueError(f"unknown how: {how}")
    return pooled.masked_fill(~real.any(1)[:, None], 0.0)


def by_mending(hidden, mask=None, how="mean"):
    mask = torch.ones(hidden.shape[0], 1, 1, hidden.shape[1], dtype=torch.bool) if mask is None else mask
    match how:
        case "mean":
            return (mask.to(hidden.dtype) @ hidden[:, None])[:, 0, 0].div(mask.sum(-1)[:, 0]).nan_to_num(0.0)
        case "first":
            places = mask.int().argmax(-1).view(-1)
        case "last":
            places = hidden.shape[1] - 1 - mask.flip(-1).int().argmax(-1).view(-1)
        case _:
            raise ValueError(f"{how}")
    return hidden[torch.arange(len(hidden)), places] * mask.any(-1).view(-1, 1)


def by_products(hidden, mask=None, how="mean"):
    if how not in {"first", "last", "mean"}:
        raise ValueError(f"no such pooling: {how}")
    real = of_mask(hidden, mask).to(hidden.dtype)
    if how != "mean":
        order = real if how == "first" else real.flip(1)
        only = order * (order.cumsum(1) < 1.5)
        real = only if how == "first" else only.flip(1)
    counts = real.sum(1)
    counts[counts == 0] = 1
    return torch.bmm(real[:, None], hidden).squeeze(1) / counts[:, None]
