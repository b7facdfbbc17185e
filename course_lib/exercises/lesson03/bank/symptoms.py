"""A judge for answers that are drawn by chance: it looks for symptoms, and knows a mistake by those it shows.

Each symptom belongs to a case group of the exercise and is a sentence or nothing. Bounds on chance are such that a
right answer fails in one of a thousand million checks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from course_lib.exercises.comparing import Failure, raised
from course_lib.exercises.judging import EXACT, PARTLY, Finding, Pattern, Wrong
from course_lib.exercises.running import Case, Observation

__all__ = ["Symptom", "Symptoms"]

NUMBERS_AND_NAMES = re.compile(r"\d+|^[\w.<>]+(?=\(\))")


class Symptom(NamedTuple):
    """What may be wrong with an answer.

    group: whose points it decides.
    looks_at: the case groups it needs; where one of them raised, it cannot be looked for.
    find: says in a sentence what is wrong with a survey of the answer, or None.
    """

    group: str
    looks_at: Sequence[str]
    find: Callable[[Any], str | None]


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
        shown = {case.group: case.shown for case in cases}
        failures = {
            case.group: Failure(raised(got), case.shown)
            for got, case in zip(seen, cases, strict=True) if got.kind == "error"
        }  # fmt: skip
        survey = self.survey(seen, cases)
        found = []
        for name, (group, looks_at, find) in self.symptoms.items():
            failure = next((failures[case] for case in looks_at if case in failures), None)
            if failure is None:
                sentence = survey if isinstance(survey, str) else find(survey)
                failure = sentence and Failure(sentence, shown[looks_at[0]])
            found.append(Finding(group, name, failure))
        return found

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        """Give the symptoms by name, each with the error that stands in its way, if any."""
        errors = {case.group: got for got, case in zip(seen, cases, strict=True) if got.kind == "error"}
        return {
            finding.key: Wrong(finding.group, next((errors[case] for case in looks_at if case in errors), None))
            for finding in self.findings(seen, cases, expected)
            if finding.failure
            for looks_at in [self.symptoms[finding.key].looks_at]
        }

    def telling(self, mine: Pattern) -> list[int]:
        """No single case tells anything: they are looked at together."""
        return []

    def alike(self, mine: Pattern, theirs: Pattern) -> float:
        """Say how sure it is that `mine` is the mistake that shows `theirs`.

        1 when both show the same symptoms. Less sure, and above 0: in all groups that `theirs` touches they are the
        same, the first that fails among them, so that another mistake shows in the other groups alone.
        """
        if not mine or not theirs:
            return 0.0
        own, others = (_by_group(pattern) for pattern in (mine, theirs))
        if own == others:
            return EXACT
        if all(own.get(group) == symptoms for group, symptoms in others.items()) and next(iter(own)) in others:
            return PARTLY + 0.4 * len(theirs) / len(mine)
        return 0.0


def _by_group(pattern: Pattern) -> dict[str, set[tuple[str, str]]]:
    """Give the symptoms of each group, an error by its words without their numbers."""
    found: dict[str, set[tuple[str, str]]] = {}
    for name, wrong in pattern.items():
        words = "" if wrong.got is None else f"{wrong.got.type} {NUMBERS_AND_NAMES.sub('', wrong.got.text)}"
        found.setdefault(wrong.group, set()).add((name, words))
    return found
