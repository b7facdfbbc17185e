"""A judge for answers that are drawn by chance: it looks for symptoms, and knows a mistake by those it shows.

Each symptom belongs to a case group of the exercise and is a sentence or nothing. Bounds on chance are such that a
right answer fails in one of a thousand million checks.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from course_lib.exercises.comparing import Failure, raised
from course_lib.exercises.judging import EXACT, PARTLY, Finding, Pattern, Wrong
from course_lib.exercises.lesson03.bank.surveys import sigma
from course_lib.exercises.running import Case, Observation

__all__ = ["Symptom", "Symptoms"]

FAR = 4  # standard deviations
NUMBERS_AND_NAMES = re.compile(r"\d+|^[\w.<>]+(?=\(\))")


class Symptom(NamedTuple):
    """What may be wrong with an answer.

    group: whose points it decides.
    looks_at: the case groups it needs; where one of them raised, it cannot be looked for.
    find: says in a sentence what is wrong with a survey of the answer, or None.
    shares: the shares that the sentence speaks of, each with the number of draws; a mistake that shows others is
    another one.
    """

    group: str
    looks_at: Sequence[str]
    find: Callable[[Any], str | None]
    shares: Callable[[Any], list[tuple[float, int]]] | None = None


@dataclass(frozen=True)
class Symptoms:
    """The answer must show none of the symptoms.

    symptoms: by name, in the order of the groups. survey: makes of cases and observations what symptoms look at, or a
    sentence where there is nothing to look at.
    """

    symptoms: Mapping[str, Symptom]
    survey: Callable[[list[Observation], list[Case]], Any]

    def findings(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> list[Finding]:
        """Give one finding a symptom; where a call raised, that is the failure of whatever looks at it."""
        return self._findings(seen, cases, self.survey(seen, cases))

    def _findings(self, seen: list[Observation], cases: list[Case], survey: Any) -> list[Finding]:
        shown = {case.group: case.shown for case in cases}
        failures = {
            case.group: Failure(raised(got), case.shown)
            for got, case in zip(seen, cases, strict=True) if got.kind == "error"
        }  # fmt: skip
        found = []
        for name, (group, looks_at, find, _) in self.symptoms.items():
            failure = next((failures[case] for case in looks_at if case in failures), None)
            if failure is None:
                sentence = survey if isinstance(survey, str) else find(survey)
                failure = sentence and Failure(sentence, shown[looks_at[0]])
            found.append(Finding(group, name, failure))
        return found

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        """Give the symptoms by name, each with the error that stands in its way, or its shares, if any."""
        errors = {case.group: got for got, case in zip(seen, cases, strict=True) if got.kind == "error"}
        survey = self.survey(seen, cases)
        found = {}
        for finding in self._findings(seen, cases, survey):
            if finding.failure:
                _, looks_at, _, shares = self.symptoms[finding.key]
                got = next((errors[case] for case in looks_at if case in errors), None)
                if got is None and shares and not isinstance(survey, str):
                    got = Observation("shares", value=shares(survey))
                found[finding.key] = Wrong(finding.group, got)
        return found

    def telling(self, mine: Pattern) -> list[int]:
        """No single case tells anything: they are looked at together."""
        return []

    def alike(self, mine: Pattern, theirs: Pattern) -> float:
        """Say how sure it is that `mine` is the mistake that shows `theirs`.

        1 when both show the same symptoms. Less sure, and above 0: in all groups that `theirs` touches they are the
        same, the first that fails among them, so that another mistake shows in the other groups alone.
        """
        if not mine or not theirs or any(_far(mine[name].got, theirs[name].got) for name in mine.keys() & theirs):
            return 0.0
        own, others = (_by_group(pattern) for pattern in (mine, theirs))
        if own == others:
            return EXACT
        if all(own.get(group) == symptoms for group, symptoms in others.items()) and next(iter(own)) in others:
            return PARTLY + 0.4 * len(theirs) / len(mine)
        return 0.0


def _far(one: Observation | None, other: Observation | None) -> bool:
    """Whether two answers have shares that are hardly drawn with the same odds."""
    if not (one and other and one.kind == other.kind == "shares"):
        return False
    pairs = zip(one.value, other.value, strict=False)
    return any(abs(p - q) > FAR * math.hypot(sigma(p, m), sigma(q, n)) + 1 / m for (p, m), (q, n) in pairs)


def _by_group(pattern: Pattern) -> dict[str, set[tuple[str, str]]]:
    """Give the symptoms of each group, an error by its words without their numbers."""
    found: dict[str, set[tuple[str, str]]] = {}
    for name, wrong in pattern.items():
        words = "" if not wrong.raised else f"{wrong.got.type} {NUMBERS_AND_NAMES.sub('', wrong.got.text)}"
        found.setdefault(wrong.group, set()).add((name, words))
    return found
