"""The bank side of an exercise: decide what observations are worth, and name the cause of a mistake.

A judge never calls a learner's code. It looks at plain observations, group by group, and to name a mistake it runs
the bank's own wrong implementations on the same cases and asks which one behaves alike.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from course_lib.exercises.running import Case, Observation

__all__ = ["Equality", "Failure", "Finding", "Judge", "Misconception", "Predicates", "compare"]

CHANGED = "the call changed its arguments in place; work on copies"
NUMBERS = re.compile(r"\d+")


class Misconception(NamedTuple):
    """A wrong implementation that learners really write, and the hint for who wrote it."""

    wrong: Callable[..., Any]
    hint: str


@dataclass(frozen=True)
class Failure:
    """Why a case fails: one sentence, the call it happened in and, where a picture helps, both values."""

    sentence: str
    shown: str = ""
    expected: Tensor | None = None
    got: Tensor | None = None


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

    def alike(
        self, seen: list[Observation], other: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> float: ...


@dataclass(frozen=True)
class Equality:
    """Each case must give what the reference gives, to a stated tolerance.

    rtol, atol: for floating-point tensors and numbers; at least ten times the noise between two right answers.
    untouched: the group that loses its points when a call changes its arguments; None means the case's own group.
    explain: says more about a case than "expected True, got False", for answers that hold no picture.
    """

    rtol: float = 1e-5
    atol: float = 1e-6
    untouched: str | None = None
    explain: Callable[[Case], str] | None = None

    def findings(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> list[Finding]:
        """Give one finding a case, and one on changed arguments where they are a group of their own."""
        failures = self._failures(seen, cases, expected)
        found = []
        for number, (got, want, case) in enumerate(zip(seen, expected, cases, strict=True)):
            failure = failures.get(str(number))
            if failure and self.explain and got.kind == want.kind:
                failure = replace(failure, sentence=f"{failure.sentence}; {self.explain(case)}")
            found.append(Finding(case.group, str(number), failure))
        return found if self.untouched is None else [*found, Finding(self.untouched, "", failures.get(""))]

    def alike(
        self, seen: list[Observation], other: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> float:
        """Say how much `seen` fails like `other`: of the cases where either fails, the share where both give the same.

        1 means that they fail in the same cases, each time with the same answer.
        """
        mine, theirs = self._failures(seen, cases, expected), self._failures(other, cases, expected)
        both = [
            key
            for key in mine
            if key in theirs and (not key or self._same(seen[int(key)], other[int(key)], expected[int(key)]))
        ]
        return len(both) / len(mine | theirs) if mine or theirs else 0.0

    def _failures(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> dict[str, Failure]:
        """Give the failures by the number of their case; under "" the first call that changed its arguments."""
        failures: dict[str, Failure] = {}
        for number, (got, want, case) in enumerate(zip(seen, expected, cases, strict=True)):
            if self.untouched is not None and got.inputs_changed != want.inputs_changed:
                failures.setdefault("", Failure(CHANGED, case.shown))
                got = replace(got, inputs_changed=want.inputs_changed)
            failure = compare(got, want, self.rtol, self.atol)
            if failure is not None:
                failures[str(number)] = replace(failure, shown=case.shown)
        return failures

    def _same(self, got: Observation, other: Observation, want: Observation) -> bool:
        """Say whether two wrong answers are the same mistake.

        Errors need the same words as well; of two wrong dtypes, one is as good as the other.
        """
        if got.kind == "error" and NUMBERS.sub("", got.text) != NUMBERS.sub("", other.text):
            return False
        if got.kind == other.kind == want.kind == "tensor" and want.value.dtype not in (
            got.value.dtype,
            other.value.dtype,
        ):
            got, other = (replace(one, value=one.value.double()) for one in (got, other))
        return compare(replace(got, inputs_changed=other.inputs_changed), other, self.rtol, self.atol) is None


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
        raised = next((n for n, got in enumerate(seen) if got.kind == "error"), None)
        if raised is not None:
            failure = Failure(_raised(seen[raised]), cases[raised].shown)
            return [Finding(group, name, failure) for name, (group, _) in self.predicates.items()]
        sentences = {name: test(seen, cases) for name, (_, test) in self.predicates.items()}
        return [
            Finding(group, name, sentences[name] and Failure(sentences[name]))
            for name, (group, _) in self.predicates.items()
        ]

    def alike(
        self, seen: list[Observation], other: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> float:
        """Say how much both break the same predicates: of those that either breaks, the share that both break."""
        mine, theirs = self._broken(seen, cases, expected), self._broken(other, cases, expected)
        return len(mine & theirs) / len(mine | theirs) if mine | theirs else 0.0

    def _broken(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> set[str]:
        return {finding.key for finding in self.findings(seen, cases, expected) if finding.failure}


def compare(got: Observation, want: Observation, rtol: float, atol: float) -> Failure | None:
    """Compare two observations; None when they agree, else the first difference in words."""
    if want.kind == "error" or got.kind == "error":
        if got.kind == want.kind and got.type == want.type:
            return None
        return Failure(_raised(got) if got.kind == "error" else f"expected {_an(want.type)}, and nothing was raised")
    if got.inputs_changed != want.inputs_changed:
        return Failure(CHANGED)
    if want.kind == "bool" and got.kind == "tensor" and got.value.dtype == torch.bool and got.value.numel() == 1:
        got = Observation("bool", "bool", bool(got.value))  # a bool in a tensor is a fair answer
    if got.kind != want.kind:
        return Failure(f"expected {_an(_kind(want))}, got {_an(_kind(got))}")
    if want.kind == "tensor":
        return _compare_tensors(got, want, rtol, atol)
    if want.kind == "list":
        return _compare_items(dict(enumerate(got.value)), dict(enumerate(want.value)), rtol, atol)
    if want.kind == "dict":
        return _compare_items(got.value, want.value, rtol, atol)
    if want.kind == "float":
        close = torch.isclose(torch.tensor(got.value), torch.tensor(want.value), rtol, atol, equal_nan=True)
        return None if close else Failure(f"expected {want.value:.6g}, got {got.value:.6g}")
    return None if got.value == want.value else Failure(f"expected {want.value!r}, got {got.value!r}")


def _compare_items(got: dict, want: dict, rtol: float, atol: float) -> Failure | None:
    if set(got) != set(want):
        return Failure(f"expected the parts {sorted(want)}, got {sorted(got)}")
    for key in want:
        failure = compare(got[key], want[key], rtol, atol)
        if failure is not None:
            return Failure(f"{key}: {failure.sentence}", "", failure.expected, failure.got)
    return None


def _compare_tensors(got: Observation, want: Observation, rtol: float, atol: float) -> Failure | None:
    mine, right = got.value, want.value
    if mine.shape != right.shape:
        return Failure(f"expected shape {tuple(right.shape)}, got {tuple(mine.shape)}", "", right, mine)
    if mine.dtype != right.dtype:
        return Failure(f"expected dtype {right.dtype}, got {mine.dtype}", "", right, mine)
    if got.device != want.device:
        return Failure(f"expected a tensor on the device {want.device!r}, got one on {got.device!r}")
    if mine.is_meta:
        return None
    different = ~torch.isclose(mine.double(), right.double(), rtol, atol, equal_nan=True)
    if not different.any():
        return None
    where = different.nonzero()[0].tolist()
    index = "".join(f"[{i}]" for i in where)
    expected, came = right[tuple(where)].item(), mine[tuple(where)].item()
    return Failure(
        f"{int(different.sum())} of {different.numel()} values differ; the first is {index}: "
        f"expected {_number(expected)}, got {_number(came)}",
        "", right, mine,
    )  # fmt: skip


def _raised(got: Observation) -> str:
    return f"your code raised {got.type}: {got.text}" if got.text else f"your code raised {got.type}"


def _kind(seen: Observation) -> str:
    return {"none": "None", "other": seen.type, "list": seen.type}.get(seen.kind, seen.kind)


def _an(noun: str) -> str:
    if noun == "None":
        return noun
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _number(value: bool | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
