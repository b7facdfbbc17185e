"""A judge to whom any error that one sequence alone brings about is the same."""

from dataclasses import dataclass, replace

from course_lib.exercises.judging import Equality, Pattern
from course_lib.exercises.running import Case, Observation

__all__ = ["OneAlone"]


@dataclass(frozen=True)
class OneAlone(Equality):
    """As Equality, but where one sequence alone makes an answer raise, it does not matter which line does, and how.

    Each function that meets the missing axis first says it in its own words; that it raises for several sequences too
    is told by other cases.
    """

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        """Give the wrong answers by the number of their case, errors of single sequences without their words."""
        return {
            key: wrong._replace(got=replace(wrong.got, type="", text=""))
            if wrong.raised and len(cases[int(key)].args[0]) == 1
            else wrong
            for key, wrong in super().pattern(seen, cases, expected).items()
        }
