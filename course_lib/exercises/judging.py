"""The bank side of an exercise: decide what observations are worth, and name the cause of a mistake.

A judge never calls a learner's code. It looks at plain observations, group by group, and to name a mistake it runs
the bank's own wrong implementations on the same cases and asks which one behaves alike. A wrong name is worse than
none, so it is given on strong evidence alone.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from course_lib.exercises.running import Case, Observation

__all__ = [
    "EXACT",
    "Equality",
    "Failure",
    "Finding",
    "Judge",
    "Misconception",
    "Pattern",
    "Predicates",
    "Wrong",
    "compare",
]

CHANGED = "the call changed its arguments in place; work on copies"
# What differs between two errors of one cause: sizes (not which axis), and the names the learner chose.
SIZES = re.compile(r"(?<!dimension )(?<!dim )\b\d+")
NAMES = re.compile(r"^[\w.<>]+(?=\(\))|(?<=argument: )'\w+'")
EXACT, PARTLY, ERRORS = 1.0, 0.5, 0.1  # how sure a likeness is, the less sure ones at least this
# How many roundings apart two right answers in half precision may be: each step on the way to one is rounded.
HALF, ROUNDINGS = (torch.float16, torch.bfloat16), 16


class Misconception(NamedTuple):
    """A wrong implementation that learners really write, and the hint for who wrote it."""

    wrong: Callable[..., Any]
    hint: str


@dataclass(frozen=True)
class Failure:
    """Why a case fails: one sentence, the call it happened in and, where pictures help, both values and the inputs."""

    sentence: str
    shown: str = ""
    expected: Tensor | None = None
    got: Tensor | None = None
    inputs: tuple[tuple[str, Tensor], ...] = ()


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

    def alike(self, mine: Pattern, theirs: Pattern) -> float: ...


@dataclass(frozen=True)
class Equality:
    """Each case must give what the reference gives, to a stated tolerance.

    rtol, atol: for floating-point tensors and numbers; at least ten times the noise between two right answers. Tensors
    in half precision are compared as loosely as their few digits ask for.
    untouched: the group that loses its points when a call changes its arguments; None means the case's own group.
    explain: says more about a case than "expected True, got False", for answers that hold no picture.
    inputs: names the arguments of a case that are drawn beside the answer.
    """

    rtol: float = 1e-5
    atol: float = 1e-6
    untouched: str | None = None
    explain: Callable[[Case], str] | None = None
    inputs: Callable[[Case], Mapping[str, Tensor]] | None = None

    def findings(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> list[Finding]:
        """Give one finding a case, and one on changed arguments where they are a group of their own."""
        failures = self._failures(seen, cases, expected)
        found: list[Finding] = []
        for number, (got, want, case) in enumerate(zip(seen, expected, cases, strict=True)):
            failure = failures.get(str(number))
            if failure and not any(earlier.failure and earlier.group == case.group for earlier in found):
                failure = self._shown_in_full(failure, case, got, want)
            found.append(Finding(case.group, str(number), failure))
        return found if self.untouched is None else [*found, Finding(self.untouched, "", failures.get(""))]

    def _shown_in_full(self, failure: Failure, case: Case, got: Observation, want: Observation) -> Failure:
        """Add the explanation and the inputs: work that only the failure on the card is worth."""
        if self.explain and got.kind in (want.kind, "tensor"):
            failure = replace(failure, sentence=f"{failure.sentence}; {self.explain(case)}")
        return replace(failure, inputs=tuple(self.inputs(case).items())) if self.inputs else failure

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        """Give the wrong answers by the number of their case; under "" stands that arguments were changed."""
        return {
            key: Wrong(cases[int(key)].group, seen[int(key)], expected[int(key)]) if key else Wrong(self.untouched)
            for key in self._failures(seen, cases, expected)
        }

    def alike(self, mine: Pattern, theirs: Pattern) -> float:
        """Say how sure it is that `mine` is the mistake that gives `theirs`: 1 when all wrong answers are the same.

        Less sure, and above 0: it explains every wrong tensor of the first group that fails, and nothing speaks
        against it, where an error of `mine` says nothing; or both raise the same errors, in that group too. Yes or no
        is one bit a case: nothing but the whole pattern will do.
        """
        raised = {key for pattern in (mine, theirs) for key in pattern if pattern[key].raised}
        rich = any(wrong.rich for wrong in mine.values())
        if not (raised or rich) and mine.keys() != theirs.keys():
            return 0.0
        both = {key for key in mine if key in theirs and self._same(mine[key], theirs[key])}
        if not both:
            return 0.0
        if len(both) == len(mine) == len(theirs):
            return EXACT
        share = len(both) / len(mine)
        tensors = [key for key in both if mine[key].got is not None and mine[key].got.kind == "tensor"]
        first = {key for key, wrong in mine.items() if wrong.group == next(iter(mine.values())).group}
        telling = {key for key in theirs if theirs[key].raised or not (key in mine and mine[key].raised)}
        if rich and first <= both == telling and len(tensors) > 1:
            return PARTLY + 0.4 * share
        agreed = len(raised & both)
        enough = agreed >= 0.75 * len(raised) and 2 * agreed >= max(len(mine), len(theirs))
        if raised and enough and first <= both and ("" in mine) == ("" in theirs):
            return ERRORS + 0.3 * share
        return 0.0

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

    def _same(self, mine: Wrong, theirs: Wrong) -> bool:
        """Say whether two wrong answers are the same mistake.

        Errors need the same words as well, unless another error is expected: then its type is the answer. Of two wrong
        dtypes, one is as good as the other, and a wrong precision hides no wrong values.
        """
        got, other, want = mine.got, theirs.got, mine.want
        if got is None or other is None:
            return got is other
        if got.kind == other.kind == "bool":
            return got.value == other.value
        if got.kind == "error" and want.kind != "error" and _words(got) != _words(other):
            return False
        if got.kind == other.kind == want.kind == "tensor":
            dtypes = [one.value.dtype for one in (got, other, want)]
            common = torch.float64 if dtypes[2] not in dtypes[:2] else None
            common = dtypes[2] if all(dtype.is_floating_point for dtype in dtypes) else common
            if common is not None:
                got, other = (replace(one, value=one.value.to(common)) for one in (got, other))
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

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        """Give the broken predicates by name."""
        return {f.key: Wrong(f.group) for f in self.findings(seen, cases, expected) if f.failure}

    def alike(self, mine: Pattern, theirs: Pattern) -> float:
        """Say whether both break the same predicates: 1 or 0."""
        return float(bool(mine) and set(mine) == set(theirs))


def compare(got: Observation, want: Observation, rtol: float, atol: float) -> Failure | None:
    """Compare two observations; None when they agree, else the first difference in words."""
    if want.kind == "error" or got.kind == "error":
        if got.kind == want.kind and got.type == want.type:
            return None
        return Failure(_raised(got) if got.kind == "error" else f"expected {_an(want.type)}, and nothing was raised")
    if got.inputs_changed != want.inputs_changed:
        return Failure(CHANGED)
    if want.kind == "bool" and got.kind == "tensor" and _is_one_bool(got.value):
        got = Observation("bool", "bool", bool(got.value))  # a bool in a tensor is a fair answer
    if got.kind != want.kind:
        return Failure(f"expected {_an(_kind(want))}, got {_an(_kind(got))}{_advice(got, want)}")
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


def _is_one_bool(value: Tensor) -> bool:
    return value.dtype == torch.bool and value.numel() == 1 and not value.is_meta


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
    if right.is_meta:
        return None
    if mine.is_meta:
        return Failure("expected values, got a tensor on the device 'meta', which has none")
    if torch.equal(mine, right):
        return None
    if right.dtype in HALF:
        rounding = ROUNDINGS * torch.finfo(right.dtype).eps
        rtol, atol = max(rtol, rounding), max(atol, rounding)
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


def _advice(got: Observation, want: Observation) -> str:
    """Say how an answer of the wrong kind usually came about, and what to do."""
    if got.kind == "none":
        return ": did you forget `return`?"
    if got.type in ("function", "method", "builtin_function_or_method"):
        return ": did you forget the brackets behind its name?"
    if want.kind == "tensor" and got.type == "ndarray":
        return "; torch.from_numpy(...) makes a tensor of it"
    if want.kind == "tensor" and got.kind == "list":
        has_tensors = any(item.kind == "tensor" for item in got.value)
        return f"; torch.{'stack' if has_tensors else 'tensor'}(...) makes a tensor of it"
    if want.kind == "bool" and got.kind == "tensor" and got.value.numel() > 1:
        return "; .any() or .all() makes one answer of many"
    return ""


def _words(error: Observation) -> str:
    """An exception's message without the sizes and names that differ from one notebook to the next."""
    return SIZES.sub("", NAMES.sub("", error.text))


def _raised(got: Observation) -> str:
    said = f"your code raised {got.type}: {got.text}" if got.text else f"your code raised {got.type}"
    return f"{said.rstrip().rstrip('.')}\nIn {got.where}" if got.where else said


def _kind(seen: Observation) -> str:
    if seen.type == "ndarray":
        return "NumPy array"
    return {"none": "None", "other": seen.type, "list": seen.type}.get(seen.kind, seen.kind)


def _an(noun: str) -> str:
    if noun == "None":
        return noun
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _number(value: bool | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
