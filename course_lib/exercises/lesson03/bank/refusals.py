"""A judge to whom an error that an answer raises itself is one error, in whatever words."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from course_lib.exercises.judging import Equality, Pattern, Wrong
from course_lib.exercises.running import Case, Observation

__all__ = ["Refusals"]

REFUSAL = "raise ValueError"  # in the line that raised; what torch and Python raise comes from other lines


@dataclass(frozen=True)
class Refusals(Equality):
    """As Equality, but of a ValueError that the answer raises itself the words say nothing.

    The bank's own wrong answers, of which no line is known, raise it without words.
    """

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        """Give the wrong answers by the number of their case, refusals without their words."""
        found: Mapping[str, Wrong] = super().pattern(seen, cases, expected)
        return {key: _without_words(wrong) for key, wrong in found.items()}


def _without_words(wrong: Wrong) -> Wrong:
    got = wrong.got
    if got is None or got.kind != "error" or got.type != "ValueError" or REFUSAL not in got.where:
        return wrong
    return wrong._replace(got=replace(got, text=""))
