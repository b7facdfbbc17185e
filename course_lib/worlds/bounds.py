"""How well a model of a known language could do at best: at writing the next token, and at filling masks."""

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.worlds.grammar import START_STATE, Arc
from course_lib.worlds.language import Language
from course_lib.worlds.special_tokens import MASK, SPECIAL_TOKENS

__all__ = ["FillBound", "WriteBound", "fill_bound", "write_bound"]


class FillBound(NamedTuple):
    """The best mean loss (nats for each masked word) and accuracy, each with its standard error, from `masked` words.

    Source: our own.

    >>> FillBound(loss=1.5, accuracy=0.5, loss_error=0.01, accuracy_error=0.01, masked=900).accuracy
    0.5
    """

    loss: float
    accuracy: float
    loss_error: float
    accuracy_error: float
    masked: int


class WriteBound(NamedTuple):
    """The best mean loss (nats for each token) and accuracy of a language model: overall, and for each position.

    reached: the share of sentences that still go on at a position, their end token included. Position 0 is the first
    word. Source: our own.

    >>> WriteBound(loss=0.0, accuracy=1.0, reached=[1.0], loss_at=[0.0], accuracy_at=[1.0]).accuracy
    1.0
    """

    loss: float
    accuracy: float
    reached: list[float]
    loss_at: list[float]
    accuracy_at: list[float]


def fill_bound(
    language: Language, count: int = 1000, rate: float = 0.15, generator: torch.Generator | None = None
) -> FillBound:
    """Estimate the best that any model can do at filling words masked at random, each with probability `rate`.

    count: sentences drawn; for each masked word, the entropy and the largest value of its exact distribution given all
    words that are not masked are averaged. End tokens are not masked; neither random words nor words left as they are
    count, as they do in BERT's recipe. Standard errors take words of one sentence as dependent.
    Raises ValueError if count is below 1, rate is not above 0 and at most 1, or no word was masked. Source: our own.

    >>> from course_lib.worlds.language import Language
    >>> coin = Language({"S": [(1, "heads"), (1, "tails")]}, "S")
    >>> bound = fill_bound(coin, count=9, rate=1)
    >>> round(bound.loss, 4), bound.accuracy, bound.masked  # ln 2: nothing is known
    (0.6931, 0.5, 9)
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if not 0 < rate <= 1:
        raise ValueError(f"rate must be above 0 and at most 1, got {rate}")
    sentences = language.sample(count, generator)
    draws = torch.rand(sum(map(len, sentences)), generator=generator).tolist()
    hide = (draw < rate for draw in draws)
    shown = [[SPECIAL_TOKENS[MASK] if next(hide) else word for word in sentence] for sentence in sentences]
    masked = torch.tensor([row.count(SPECIAL_TOKENS[MASK]) for row in shown])
    if not masked.sum():
        raise ValueError(f"at least one word must be masked, got none in {count} sentences at rate {rate}")
    words = language.masked_probabilities(shown)  # certain, so without entropy, where nothing is masked
    entropies = -torch.xlogy(words, words).sum(-1).sum(-1)
    length = torch.tensor([len(row) for row in shown])
    is_word = torch.arange(words.shape[1]) < length[:, None]
    hits = (words.amax(-1) * is_word).sum(-1) - (length - masked)
    (loss, loss_error), (accuracy, accuracy_error) = _ratio(entropies, masked), _ratio(hits, masked)
    return FillBound(loss, accuracy, loss_error, accuracy_error, int(masked.sum()))


def write_bound(language: Language) -> WriteBound:
    """Compute the best that any model can do at predicting each next token from all tokens before it, exactly.

    Prefixes that leave the same distribution over states are one; their number stays small. The end token counts as a
    token. The loss is the language's entropy for each token.
    Source: our own; the sets of states are those of the subset construction (Rabin and Scott 1959).

    >>> from course_lib.worlds.language import Language
    >>> bound = write_bound(Language({"S": [(3, "a ."), (1, "b .")]}, "S"))
    >>> bound.accuracy_at, round(bound.accuracy, 4)
    ([0.75, 1.0, 1.0], 0.9167)
    """
    leaving: dict[int, list[Arc]] = {}
    for arc in language.arcs:
        leaving.setdefault(arc.source, []).append(arc)
    prefixes = {((START_STATE, 1.0),): 1.0}  # what is known of the state, and how likely it is to know this
    reached, losses, hits = [], [], []
    while prefixes:
        longer: dict[tuple[tuple[int, float], ...], float] = {}
        reached.append(sum(prefixes.values()))
        loss = hit = 0.0
        for states, probability in prefixes.items():
            after: dict[str, dict[int, float]] = {}
            ended = 0.0
            for state, share in states:
                if state not in leaving:
                    ended += share
                for arc in leaving.get(state, ()):
                    targets = after.setdefault(arc.word, {})
                    targets[arc.target] = targets.get(arc.target, 0.0) + share * arc.probability
            words = {word: sum(targets.values()) for word, targets in after.items()}
            every = torch.tensor([ended, *words.values()], dtype=torch.float64)
            loss -= probability * float(torch.xlogy(every, every).sum())
            hit += probability * float(every.max())
            for word, targets in after.items():
                # Rounded, so that the same knowledge reached by two sums is recognised.
                known = tuple(sorted((state, round(mass / words[word], 12)) for state, mass in targets.items()))
                longer[known] = longer.get(known, 0.0) + probability * words[word]
        losses.append(loss)
        hits.append(hit)
        prefixes = longer
    tokens = sum(reached)
    loss_at = [loss / share for loss, share in zip(losses, reached, strict=True)]
    accuracy_at = [hit / share for hit, share in zip(hits, reached, strict=True)]
    return WriteBound(sum(losses) / tokens, sum(hits) / tokens, reached, loss_at, accuracy_at)


def _ratio(sums: Tensor, counts: Tensor) -> tuple[float, float]:
    """Give the mean for each masked word, and its standard error with sentences as the independent draws."""
    mean = sums.sum() / counts.sum()
    error = (sums - mean * counts).square().sum().sqrt() / counts.sum()
    return float(mean), float(error)
