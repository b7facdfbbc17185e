"""The bank side of an exercise: decide what observations are worth, and name the cause of a mistake.

A judge never calls a learner's code. It looks at plain observations, group by group, and to name a mistake it runs
the bank's own wrong implementations on the same cases and asks which one behaves alike. A wrong name is worse than
none, so it is given on strong evidence alone.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from course_lib.exercises.comparing import CHANGED, HALF, Failure, compare, differing, raised
from course_lib.exercises.running import Case, Observation

__all__ = ["EXACT", "Equality", "Finding", "Judge", "Misconception", "Pattern", "Predicates", "Wrong"]

# What differs between two errors of one cause: sizes (not which axis), and the names the learner chose.
SIZES = re.compile(r"(?<!dimension )(?<!dim )\b\d+")
RAISE = re.compile(r": (?:.*: )?raise \w")  # where an error came from: a line of one's own that raises it
NAMES = re.compile(r"^[\w.<>]+(?=\(\))|(?<=argument: )'\w+'")
EXACT, NEARLY, PARTLY, ERRORS = 1.0, 0.95, 0.5, 0.1  # how sure a likeness is, the less sure ones at least this


class Misconception(NamedTuple):
    """A wrong implementation that learners really write, and the hint for who wrote it."""

    wrong: Callable[..., Any]
    hint: str


class Wrong(NamedTuple):
    """A wrong answer: its case group, what came and what was expected; both None where there is no single answer."""

    group: str
    got: Observation | None = None
    want: Observation | None = None

    @property
    def raised(self) -> bool:
        """Whether the call raised."""
        return self.got is not None and self.got.kind == "error"

    @property
    def edge(self) -> bool:
        """Whether there is nothing to answer with: a right answer raises, or gives zeros."""
        kind = self.want.kind if self.want else ""
        return kind == "error" or (kind == "tensor" and not self.want.value.is_meta and not self.want.value.any())

    @property
    def rich(self) -> bool:
        """Whether the answer holds more than one bit or number."""
        return self.want is not None and self.want.kind in ("tensor", "list", "dict")


Pattern = Mapping[str, Wrong]  # by the number of the case, or the name of the predicate


class Finding(NamedTuple):
    """The outcome of one thing looked at: the group whose points it decides, its name, and the failure if any."""

    group: str
    key: str
    failure: Failure | None


@runtime_checkable
class Judge(Protocol):
    """Decides what observations are worth."""

    def findings(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> list[Finding]: ...

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern: ...

    def telling(self, mine: Pattern) -> list[int]: ...

    def alike(self, mine: Pattern, theirs: Pattern) -> float: ...


@dataclass(frozen=True)
class Equality:
    """Each case must give what the reference gives, to a stated tolerance.

    rtol, atol: for floating-point tensors and numbers; at least ten times the noise between two right answers.
    atols: what stands in place of atol for some groups.
    untouched: the group that loses its points when a call changes its arguments; None means the case's own group.
    dtype: the group that loses its points when right numbers come in another precision; None means the case's own.
    explain: says more about a case than "expected True, got False", for answers that hold no picture.
    inputs: names the arguments of a case that are drawn beside the answer.
    items: what the items of a list are called.
    """

    rtol: float = 1e-5
    atol: float = 1e-6
    atols: Mapping[str, float] = field(default_factory=dict)
    untouched: str | None = None
    dtype: str | None = None
    explain: Callable[[Case], str] | None = None
    inputs: Callable[[Case], Mapping[str, Tensor]] | None = None
    items: str = "items"

    def findings(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> list[Finding]:
        """Give one finding a case, and one on changed arguments where they are a group of their own."""
        failures = self._failures(seen, cases, expected)
        found: list[Finding] = []
        for number, (got, want, case) in enumerate(zip(seen, expected, cases, strict=True)):
            group, failure = failures.get(str(number), (case.group, None))
            if failure and not any(earlier.failure and earlier.group == group for earlier in found):
                failure = self._shown_in_full(failure, case, got, want)
            found.append(Finding(group, str(number), failure))
        if self.untouched is None:
            return found
        return [*found, Finding(self.untouched, "", failures.get("", (self.untouched, None))[1])]

    def _shown_in_full(self, failure: Failure, case: Case, got: Observation, want: Observation) -> Failure:
        """Add the explanation and the inputs: work that only the failure on the card is worth."""
        if self.explain and got.kind in (want.kind, "tensor"):
            failure = replace(failure, sentence=f"{failure.sentence}; {self.explain(case)}")
        return replace(failure, inputs=tuple(self.inputs(case).items())) if self.inputs else failure

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        """Give the wrong answers by the number of their case; under "" stands that arguments were changed."""
        return {
            key: Wrong(group, seen[int(key)], expected[int(key)]) if key else Wrong(group)
            for key, (group, _) in self._failures(seen, cases, expected).items()
        }

    def telling(self, mine: Pattern) -> list[int]:
        """Give the numbers of the cases that a mistake must get wrong as `mine` does, or it is not alike."""
        return [int(key) for key in _first_group(mine) if key]

    def alike(self, mine: Pattern, theirs: Pattern) -> float:
        """Say how sure it is that `mine` is the mistake that gives `theirs`: 1 when all wrong answers are the same.

        Less sure, and above 0: it explains every wrong tensor of the first group that fails, and nothing speaks
        against it, where an error of `mine` says nothing; or both raise the same errors, in that group too, which is
        the first that fails for either. Yes or no is one bit a case: nothing but the whole pattern will do.

        It is nearly the mistake if all is explained, and theirs spoils an edge or a dtype besides, which mine does not.
        """
        if likeness := self._alike(mine, theirs):
            return likeness
        spoilt = {key: wrong for key, wrong in theirs.items() if key not in mine and wrong.want}
        groups = {wrong.group for wrong in spoilt.values() if wrong.edge}
        edges = {k for k, w in spoilt.items() if w.edge or (w.want.kind == "dict" and w.group in groups)}
        edges |= {k for k, w in spoilt.items() if self._is_right_in_another_precision(w.got, w.want, w.group)}
        groups |= {spoilt[key].group for key in edges}
        if not edges or all(wrong.edge or wrong.group in groups for wrong in mine.values()):
            return 0.0  # what is wrong at the edges alone is another mistake
        rest = {key: wrong for key, wrong in theirs.items() if key not in edges}
        return NEARLY if self._alike(mine, rest) == EXACT else 0.0

    def _alike(self, mine: Pattern, theirs: Pattern) -> float:
        errors = {key for pattern in (mine, theirs) for key in pattern if pattern[key].raised}
        rich = any(wrong.rich for wrong in mine.values())
        if not (errors or rich) and mine.keys() != theirs.keys():
            return 0.0
        both = {key for key in mine if key in theirs and self._same(mine[key], theirs[key])}
        if not both:
            return 0.0
        if len(both) == len(mine) == len(theirs):
            return EXACT
        first = _first_group(mine)
        share = len(both) / len(mine)
        tensors = [key for key in both if mine[key].got is not None and mine[key].got.kind == "tensor"]
        agreed = len(errors & both)
        telling = {key for key in theirs if not (key in mine and mine[key].raised)}
        explained = first | telling <= both and len(tensors) > 1
        if rich and (explained or (first | theirs.keys() <= both and len(both) > 1)):
            return PARTLY + 0.4 * share
        enough = agreed >= 0.75 * len(errors) and 2 * agreed >= max(len(mine), len(theirs))
        if errors and enough and first <= both and first >= _first_group(theirs) and ("" in mine) == ("" in theirs):
            return ERRORS + 0.3 * share
        return 0.0

    def _failures(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> dict[str, tuple[str, Failure]]:
        """Give (group, failure) by the number of the case; last, under "", the first call that changed its arguments.
        """
        failures: dict[str, tuple[str, Failure]] = {}
        changed = None
        for number, (got, want, case) in enumerate(zip(seen, expected, cases, strict=True)):
            if self.untouched is not None and got.inputs_changed != want.inputs_changed:
                changed = changed or Failure(CHANGED, case.shown)
                got = replace(got, inputs_changed=want.inputs_changed)
            failure = self._compare(got, want, case.group)
            if failure is not None:
                only_dtype = self.dtype is not None and self._is_right_in_another_precision(got, want, case.group)
                group = self.dtype if only_dtype else case.group
                failures[str(number)] = group, replace(failure, shown=case.shown)
        return failures if changed is None else failures | {"": (self.untouched, changed)}

    def _compare(self, got: Observation, want: Observation, group: str) -> Failure | None:
        return compare(got, want, self.rtol, self.atols.get(group, self.atol), self.items)

    def _is_right_in_another_precision(self, got: Observation, want: Observation, group: str) -> bool:
        if not got.kind == want.kind == "tensor" or got.value.dtype == want.value.dtype:
            return False
        if not (got.value.dtype.is_floating_point and want.value.dtype.is_floating_point):
            return False
        dtype = got.value.dtype if got.value.dtype in HALF else want.value.dtype
        got, want = (replace(one, value=one.value.to(dtype)) for one in (got, want))
        return self._compare(got, want, group) is None

    def _same(self, mine: Wrong, theirs: Wrong) -> bool:
        """Say whether two wrong answers are the same mistake.

        Errors need the same words as well, unless another error is expected, whose type is the answer, or each author
        raised it and chose the words. Of two wrong dtypes, one is as good as the other, and a wrong precision hides no
        wrong values. Of two answers that nothing is known of, the types must be the same.
        """
        got, other, want = mine.got, theirs.got, mine.want
        if got is None or other is None:
            return got is other
        if got.kind == other.kind == "bool":
            return got.value == other.value
        if got.kind == "error" and want.kind != "error" and _words(got) != _words(other):
            if not (RAISE.search(got.where) and RAISE.search(other.where)):
                return False
        if got.kind == other.kind == "other" and got.type != other.type:
            return False
        if got.kind == other.kind == want.kind == "tensor":
            dtypes = [one.value.dtype for one in (got, other, want)]
            common = torch.float64 if dtypes[2] not in dtypes[:2] else None
            common = dtypes[2] if all(dtype.is_floating_point for dtype in dtypes) else common
            if got.value.shape != other.value.shape:
                return False  # most mistakes differ so, or at the first look; there are many pairs of them
            if common is not None and dtypes[:2] != [common, common]:
                got, other = (replace(one, value=one.value.to(common)) for one in (got, other))
            one, two = got.value, other.value
            if one.dtype == two.dtype and one.device == two.device and not one.is_meta:
                return not differing(one, two, self.rtol, self.atols.get(mine.group, self.atol)).any()
        if got.inputs_changed != other.inputs_changed:
            got = replace(got, inputs_changed=other.inputs_changed)
        return self._compare(got, other, mine.group) is None


def _first_group(pattern: Pattern) -> set[str]:
    """Give the keys of the first group that fails."""
    return {key for key, wrong in pattern.items() if wrong.group == next(iter(pattern.values())).group}


def _words(error: Observation) -> str:
    """An exception's message without the sizes and names that differ from one notebook to the next."""
    return SIZES.sub("", NAMES.sub("", error.text))


@dataclass(frozen=True)
class Predicates:
    """The answers must have stated properties, where no single answer is the right one.

    predicates: by name, (group, property). A property takes the observations and the cases and returns None or the
    sentence that says what is wrong.
    """

    predicates: Mapping[str, tuple[str, Callable[[list[Observation], list[Case]], str | None]]]

    def findings(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> list[Finding]:
        """Give one finding a predicate; a call that raised fails every predicate."""
        first = next((number for number, got in enumerate(seen) if got.kind == "error"), None)
        if first is not None:
            failure = Failure(raised(seen[first]), cases[first].shown)
            return [Finding(group, name, failure) for name, (group, _) in self.predicates.items()]
        sentences = {name: test(seen, cases) for name, (_, test) in self.predicates.items()}
        return [
            Finding(group, name, sentences[name] and Failure(sentences[name]))
            for name, (group, _) in self.predicates.items()
        ]

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        """Give the broken predicates by name."""
        return {f.key: Wrong(f.group) for f in self.findings(seen, cases, expected) if f.failure}

    def telling(self, mine: Pattern) -> list[int]:
        """Predicates look at all cases together, so there are none that a mistake must get wrong."""
        return []

    def alike(self, mine: Pattern, theirs: Pattern) -> float:
        """Say whether both break the same predicates: 1 or 0."""
        return float(bool(mine) and set(mine) == set(theirs))
