"""How a repaired configuration is judged."""

from dataclasses import replace

from course_lib.exercises.comparing import Failure, compare
from course_lib.exercises.judging import Equality, Pattern
from course_lib.exercises.lesson05 import run
from course_lib.exercises.running import Case, Observation

__all__ = ["Configurations"]


class Configurations(Equality):
    """Equality, where what is no configuration is called by its type, and lost fields are one mistake, whichever."""

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        found = super().pattern(seen, cases, expected)
        return {key: wrong._replace(got=wrong.got and _without_names(wrong.got)) for key, wrong in found.items()}

    def _compare(self, got: Observation, want: Observation, group: str) -> Failure | None:
        is_ours = want.kind == "dict" and any(key.startswith("the mask at length") for key in want.value)
        if is_ours and (got.kind != "dict" or got.value.keys() != want.value.keys()):
            want = replace(want, kind="DecoderConfig")  # which nothing that came back is
        return compare(got, want, self.rtol, self.atol)


def _without_names(got: Observation) -> Observation:
    """Leave out which of the other fields were lost."""
    if got.kind != "dict" or run.OTHER_FIELDS not in got.value or got.value[run.OTHER_FIELDS].value == "none":
        return got
    return replace(got, value=got.value | {run.OTHER_FIELDS: Observation("str", "str", "some")})
