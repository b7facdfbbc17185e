"""Judging draws: a share may be off by chance, and how far is decided by stated odds.

A count of n draws with probability p lies outside of what is allowed with a probability of at most 2 exp(-ODDS)
(Chernoff 1952), and a token without a chance must never come. All counts of the exercise together, about 250, condemn
a right answer less than once in 10^10 times. Whether two answers are the same mistake is asked in the same way, of two
sets of draws.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from course_lib.exercises.judging import EXACT, Equality, Failure, Finding, Pattern
from course_lib.exercises.lesson04 import run
from course_lib.exercises.running import Case, Observation

__all__ = ["ODDS", "Chances", "chances_of"]

ODDS = 30.0
PARTLY = 0.5  # how sure a likeness is that leaves some of what is wrong unexplained
LIKE = 6.0  # of two sets of draws from the same chances; that a mistake goes without its name now and then is no harm
NO_FILTERS = {"temperature": 1.0, "top_k": 10**6, "top_p": 2.0}


def chances_of(case: Case) -> Tensor | None:
    """Give the probability of each token for each kind of row, token by token; None if the case asks for no draws.

    Shapes: returns (kinds, vocab), float64.
    """
    (logits,), options = case.args, case.kwargs
    heat, top_k, top_p = (options.get(name, default) for name, default in NO_FILTERS.items())
    if case.group == run.FORM:
        return None
    if heat == 0:
        return one_hot(logits.argmax(-1), logits.shape[-1]).double()
    chances = (logits.double() / heat).softmax(-1)
    for row in chances:
        order = row.argsort(descending=True)
        row[order[top_k:]] = 0
        row /= row.sum()
        reached = 0.0
        for token in order:
            share = row[token].item()
            row[token] = share if reached < top_p else 0
            reached += share
        row /= row.sum()
    return chances


@dataclass(frozen=True)
class Chances:
    """Counts of draws must be such as the right chances give; all else must equal what the reference gives.

    chances: of each token, for a case that asks for draws. equality: judges the other cases.
    mixed: groups in which several parts of an answer meet, and so the mistakes in them.
    """

    chances: Callable[[Case], Tensor | None]
    equality: Equality = field(default_factory=Equality)
    mixed: tuple[str, ...] = ()

    def findings(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> list[Finding]:
        """Give one finding a case, and what `equality` finds besides."""
        settled = [self._settled(*each) for each in zip(seen, cases, expected, strict=True)]
        return [
            self._told(finding, seen, cases, expected) for finding in self.equality.findings(settled, cases, expected)
        ]

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        """Give the wrong answers by the number of their case."""
        settled = [self._settled(*each) for each in zip(seen, cases, expected, strict=True)]
        return self.equality.pattern(settled, cases, expected)

    def telling(self, mine: Pattern) -> list[int]:
        """Give the numbers of the cases that a mistake must get wrong too, or it is not alike."""
        return self.equality.telling(mine)

    def alike(self, mine: Pattern, theirs: Pattern) -> float:
        """Say how sure it is that both are the same mistake: as `equality` does, where like counts are equal.

        An answer has parts that go wrong one by one. So it is also a likeness if theirs is the whole of what is wrong
        in the first group that fails, and all that theirs gets wrong is wrong in mine, and in the same way where only
        one part is at work.
        """
        settled = dict(mine)
        for key, wrong in mine.items():
            other = theirs[key].got if key in theirs else None
            if wrong.got is not None and other is not None and _are_like(wrong.got.value, other.value):
                settled[key] = wrong._replace(got=replace(wrong.got, value=other.value))
        likeness = self.equality.alike(settled, theirs)
        if likeness or not mine or not theirs:
            return likeness
        group = next(iter(mine.values())).group
        first, of_theirs = ({k: w for k, w in each.items() if w.group == group} for each in (settled, theirs))
        if group in self.mixed or self.equality.alike(first, of_theirs) < EXACT:
            return 0.0
        rest = {key: wrong for key, wrong in theirs.items() if key not in first}
        alone = {key: wrong for key, wrong in rest.items() if wrong.group not in self.mixed}
        same = all(self.equality.alike({k: settled[k]}, {k: w}) == EXACT for k, w in alone.items() if k in mine)
        return PARTLY if same and rest.keys() <= mine.keys() else 0.0

    def _settled(self, got: Observation, case: Case, want: Observation) -> Observation:
        """Put the reference's counts in the place of any that are as probable."""
        chances = self.chances(case)
        if chances is None or not _are_counts(got.value, chances.shape) or _improbable(got.value, chances).any():
            return got
        return replace(got, value=want.value)

    def _told(
        self, finding: Finding, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> Finding:
        """Say of counts which token came too often or too rarely, and draw the shares."""
        if finding.failure is None or not finding.key:
            return finding
        got, case = seen[int(finding.key)], cases[int(finding.key)]
        chances = self.chances(case)
        if chances is None or got.kind != "tensor":
            return finding
        if not _are_counts(got.value, chances.shape):
            return finding._replace(failure=Failure(_no_tokens(got.value, len(chances), chances.shape[1]), case.shown))
        wrong = _improbable(got.value, chances)
        kind, token = wrong.nonzero()[0].tolist()
        count, rows = int(got.value[kind, token]), int(got.value[kind].sum())
        about = f"about {chances[kind, token] * rows:.0f}" if chances[kind, token] else "0"
        sentence = (
            f"of {rows} rows of kind {kind}, {count} got token {token}, and it should be {about}; below, the share of "
            f"each token in each kind of row"
        )
        shares = got.value / got.value.sum(-1, keepdim=True)
        return finding._replace(failure=Failure(sentence, case.shown, _rounded(chances), _rounded(shares)))


def _no_tokens(value: Tensor, kinds: int, vocab: int) -> str:
    rows = run.ROWS * kinds
    if value.numel() == rows and not value.is_floating_point():
        return f"expected tokens from 0 to {vocab - 1}, got some from {value.min()} to {value.max()}"
    return f"expected {rows} whole numbers, a token for each row, got {value.dtype} of shape {tuple(value.shape)}"


def _rounded(shares: Tensor) -> Tensor:
    return (shares.double() * 100).round() / 100


def _are_counts(value: object, shape: torch.Size) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.int64 and value.shape == shape and value.ndim == 2


def _divergence(shares: Tensor, chances: Tensor) -> Tensor:
    """How far shares of yes and no are from their chances (Kullback-Leibler); infinite where there was no chance."""
    return sum(
        torch.special.xlogy(part, part / chance).nan_to_num(0.0, posinf=torch.inf)
        for part, chance in ((shares, chances), (1 - shares, 1 - chances))
    )


def _improbable(counts: Tensor, chances: Tensor) -> Tensor:
    """Say which counts no right answer would give."""
    rows = counts.sum(-1, keepdim=True).clamp(min=1)
    return rows * _divergence((counts / rows).double(), chances) > ODDS


def _are_like(one: object, other: object) -> bool:
    """Whether two sets of draws may come from the same chances: each is held against the mean of both."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return False
    if not _are_counts(one, one.shape) or not _are_counts(other, one.shape):
        return False
    rows, mean = one.sum(-1, keepdim=True), (one + other).double() / (one + other).sum(-1, keepdim=True)
    if not torch.equal(rows, other.sum(-1, keepdim=True)):
        return False
    return all(bool((rows * _divergence((n / rows).double(), mean) <= LIKE).all()) for n in (one, other))
