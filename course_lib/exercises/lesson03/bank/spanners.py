"""Searches for the best span, right and wrong, from steps of which each can be another one."""

import torch

from course_lib import spans

__all__ = [
    "allowed",
    "as_pairs",
    "by_best_ends",
    "by_lengths",
    "by_list_of_pairs",
    "by_log_softmax",
    "by_loops",
    "by_low_number",
    "cut_afterwards",
    "each_alone",
    "each_alone_clamped",
    "each_alone_clamped_twice",
    "each_alone_sorted",
    "end_first",
    "filled",
    "from_0",
    "last_best",
    "latest_end",
    "of_the_mean",
    "one_for_all",
    "over_the_edge",
    "searching",
    "shares",
    "spanner",
    "start_first",
    "sums",
    "tensors_over_the_edge",
    "zeroed",
]


def sums(start, end):
    return start[:, :, None] + end[:, None, :]


def allowed(pairs, max_len):
    return pairs.triu().tril(max_len - 1)


def hidden_below(scores, allowed):
    return scores.masked_fill(~allowed, -torch.inf)


def filled(number):
    return lambda scores, allowed: scores.masked_fill(~allowed, number)


def first_best(scores):
    best = scores.flatten(1).argmax(-1)
    return best // scores.shape[-1], best % scores.shape[-1]


def as_pairs(start, end):
    return torch.stack((start, end), dim=-1)


def spanner(scores=sums, allowed=allowed, hide=hidden_below, best=first_best, give=as_pairs):
    """Make a best_span from its steps; as they stand they make a right one.

    scores: of all pairs. allowed: which of them count. hide: the others. best: the places of the best pair of each row.
    give: what is returned of the places.
    """

    def best_span(start_logits, end_logits, max_len=30):
        seq = start_logits.shape[1]
        pairs = torch.ones(seq, seq, dtype=torch.bool)
        return give(*best(hide(scores(start_logits, end_logits), allowed(pairs, max_len))))

    return best_span


def each_alone(start_logits, end_logits, max_len=30):
    return as_pairs(start_logits.argmax(-1), end_logits.argmax(-1))


def each_alone_sorted(start_logits, end_logits, max_len=30):
    return each_alone(start_logits, end_logits).sort(-1).values


def each_alone_clamped(start_logits, end_logits, max_len=30):
    start = start_logits.argmax(-1)
    return as_pairs(start, torch.maximum(start, end_logits.argmax(-1)))


def each_alone_clamped_twice(start_logits, end_logits, max_len=30):
    start, end = each_alone(start_logits, end_logits).unbind(-1)
    return as_pairs(start, torch.minimum(torch.maximum(start, end), start + max_len - 1))


def searching(lowest, is_cut=True):
    """A search through all pairs, from a lowest sum on, with ends that are cut at the edge or not."""

    def best_span(start_logits, end_logits, max_len=30):
        found = []
        for starts, ends in zip(start_logits.tolist(), end_logits.tolist(), strict=True):
            best, where = lowest, (0, 0)
            for i in range(len(starts)):
                for j in range(i, min(i + max_len, len(ends)) if is_cut else i + max_len):
                    if starts[i] + ends[j] > best:
                        best, where = starts[i] + ends[j], (i, j)
            found.append(where)
        return torch.tensor(found)

    return best_span


from_0 = searching(0.0)
over_the_edge = searching(float("-inf"), is_cut=False)


def tensors_over_the_edge(start_logits, end_logits, max_len=30):
    return torch.stack([start_logits[:, i] + end_logits[:, i + max_len - 1] for i in range(start_logits.shape[1])])


def start_first(is_limited):
    def best_span(start_logits, end_logits, max_len=30):
        start = start_logits.argmax(-1)
        ahead = torch.arange(start_logits.shape[1]) - start[:, None]
        allowed = (ahead >= 0) & (ahead < max_len) if is_limited else ahead >= 0
        return as_pairs(start, end_logits.masked_fill(~allowed, -torch.inf).argmax(-1))

    return best_span


def end_first(is_limited):
    def best_span(start_logits, end_logits, max_len=30):
        end = end_logits.argmax(-1)
        behind = end[:, None] - torch.arange(start_logits.shape[1])
        allowed = (behind >= 0) & (behind < max_len) if is_limited else behind >= 0
        return as_pairs(start_logits.masked_fill(~allowed, -torch.inf).argmax(-1), end)

    return best_span


def cut_afterwards(start_logits, end_logits, max_len=30):
    start, end = spans.best_span(start_logits, end_logits, start_logits.shape[1]).unbind(-1)
    return as_pairs(start, torch.minimum(end, start + max_len - 1))


def last_best(scores):
    seq = scores.shape[-1]
    best = seq * seq - 1 - scores.flatten(1).flip(-1).argmax(-1)
    return best // seq, best % seq


def latest_end(scores):
    seq = scores.shape[-1]
    start, _ = first_best(scores)
    ends = scores[torch.arange(len(scores)), start]
    return start, seq - 1 - ends.flip(-1).argmax(-1)


def one_for_all(scores):
    best = int(scores.argmax()) % scores.shape[-1] ** 2
    return (torch.full((len(scores),), place) for place in divmod(best, scores.shape[-1]))


def of_the_mean(scores):
    best = int(scores.sum(0).argmax())
    return (torch.full((len(scores),), place) for place in divmod(best, scores.shape[-1]))


def shares(start, end):
    return start.softmax(-1)[:, :, None] * end.softmax(-1)[:, None, :]


def zeroed(scores, allowed):
    return torch.where(allowed, scores, 0.0)


def by_loops(start_logits, end_logits, max_len=30):
    found = []
    for starts, ends in zip(start_logits.tolist(), end_logits.tolist(), strict=True):
        best, where = float("-inf"), (0, 0)
        for i, first in enumerate(starts):
            for j in range(i, min(i + max_len, len(ends))):
                if first + ends[j] > best:
                    best, where = first + ends[j], (i, j)
        found.append(where)
    return torch.tensor(found)


def by_log_softmax(start_logits, end_logits, max_len=30):
    place = torch.arange(start_logits.shape[1])
    length = place[None, :] - place[:, None]
    scores = start_logits.double().log_softmax(1).unsqueeze(2) + end_logits.double().log_softmax(1).unsqueeze(1)
    scores = scores + torch.zeros(length.shape).masked_fill((length < 0) | (length >= max_len), float("-inf"))
    best = scores.view(len(scores), -1).argmax(dim=1)
    return torch.stack([best.div(len(place), rounding_mode="floor"), best.remainder(len(place))], dim=1)


def by_lengths(start_logits, end_logits, max_len=30):
    seq = start_logits.shape[1]
    best = torch.full(start_logits.shape, -torch.inf)
    ends = torch.zeros_like(best, dtype=torch.long)
    for length in range(min(max_len, seq)):
        sums = start_logits[:, : seq - length] + end_logits[:, length:]
        better = sums > best[:, : seq - length]
        best[:, : seq - length] = torch.where(better, sums, best[:, : seq - length])
        ends[:, : seq - length][better] = length
    start = best.argmax(1, keepdim=True)
    return torch.cat((start, start + ends.gather(1, start)), dim=1)


def by_best_ends(start_logits, end_logits, max_len=30):
    batch, seq = start_logits.shape
    best, ends = torch.empty(batch, seq), torch.empty(batch, seq, dtype=torch.long)
    for i in range(seq):
        values = end_logits[:, i : i + max_len]
        best[:, i], ends[:, i] = start_logits[:, i] + values.max(1).values, i + values.argmax(1)
    start = best.argmax(1)
    return torch.stack((start, ends[torch.arange(batch), start]), dim=1)


def by_list_of_pairs(start_logits, end_logits, max_len=30):
    seq = start_logits.shape[-1]
    pairs = torch.tensor([(i, j) for i in range(seq) for j in range(i, min(seq, i + max_len))])
    sums = start_logits[:, pairs[:, 0]].double() + end_logits[:, pairs[:, 1]].double()
    return pairs[sums.argmax(dim=1)]


def by_low_number(start_logits, end_logits, max_len=30):
    n = start_logits.size(1)
    i, j = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    scores = start_logits[..., None] + end_logits[:, None]
    scores[:, (j < i) | (j > i + max_len - 1)] = float("-inf")
    rows = [divmod(int(row.argmax()), n) for row in scores]
    return torch.tensor(rows)
