"""How a table of leaks is judged, and what is said about its first wrong cell."""

from dataclasses import replace

import torch

from course_lib.exercises.comparing import Failure
from course_lib.exercises.judging import Equality, Finding, Pattern, Wrong
from course_lib.exercises.lesson05 import run
from course_lib.exercises.lesson05.bank.finders import every_step, finite
from course_lib.exercises.running import Case, Observation

__all__ = ["ForItself", "Tables"]

SEVERAL = 4  # of the six leaks that two rows of four tokens hide: a search that ends at its first find shows three
ITSELF = Observation("str", "str", "the answer itself writes into ids")
MISSED = Observation("str", "str", "found with some of the ids that were tried, and not with all there are")


class ForItself(Equality):
    """Equality, where a mistake is named by what it shows for itself.

    nan, and a model that writes into ids, have no say in the name of a mistake that shows elsewhere: who has not
    thought of them makes other mistakes as well, and it is these that should be named. An answer that is wrong for
    every model is no sign that ids were written to; where no model did that, the answer has done it itself.
    """

    def findings(
        self, seen: list[Observation], cases: list[Case], expected: list[Observation]
    ) -> list[Finding]:
        found = super().findings(seen, cases, expected)
        if not any(finding.failure and finding.group == cases[0].group for finding in found):
            return found
        quiet = {str(n) for n, case in enumerate(cases) if case.group == run.UNTOUCHED and seen[n].kind != "error"}
        return [finding._replace(failure=None) if finding.key in quiet else finding for finding in found]

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        found = super().pattern(seen, cases, expected)
        if any(got.inputs_changed and case.group != run.UNTOUCHED for got, case in zip(seen, cases, strict=True)):
            found = found | {"": Wrong(run.UNTOUCHED, ITSELF, ITSELF)}
        return found

    def telling(self, mine: Pattern) -> list[int]:
        return super().telling(_elsewhere(mine) or mine)

    def alike(self, mine: Pattern, theirs: Pattern) -> float:
        mine = _elsewhere(mine) or mine
        return super().alike(mine, _elsewhere(theirs) or theirs)


class Tables(ForItself):
    """Where a table says which token is read from where, it does not matter which ids were not tried, if several were.
    """

    def pattern(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> Pattern:
        found = super().pattern(seen, cases, expected)
        return {
            key: wrong._replace(got=MISSED) if key and _some_ids_are_missed(cases[int(key)], wrong) else wrong
            for key, wrong in found.items()
        }

    def _shown_in_full(self, failure: Failure, case: Case, got: Observation, want: Observation) -> Failure:
        if not failure.values:
            return failure
        i, j = (got.value != want.value).nonzero()[0].tolist()
        return replace(failure, sentence=f"{failure.sentence}; {_why(case, i, j, want.value[i, j])}")


def _elsewhere(pattern: Pattern) -> Pattern:
    return {key: w for key, w in pattern.items() if w.group not in (run.NAN, run.UNTOUCHED) or w.got is ITSELF}


def _some_ids_are_missed(case, wrong):
    """Whether a table of a model that feels few ids lacks some of the leaks, and is right elsewhere.

    Where two rows are asked, it has to hold some as well, or a single id may have been tried.
    """
    got, want = wrong.got, wrong.want
    if run.ONE_ID not in case.shown or got.kind != "tensor" or got.value.dtype != torch.bool:
        return False
    if got.value.shape != want.value.shape or (got.value & ~want.value).any():
        return False
    (_, ids, _) = case.args
    return len(ids) == 1 or got.value.sum() >= SEVERAL


def _why(case, i, j, leaks):
    """Say why a cell is True or False, with the token that shows it."""
    model, ids, vocab = case.args
    if j <= i:
        return f"position {i} may read token {j}, and a leak has j > i"
    if not leaks:
        said = "one row" if len(ids) == 1 else f"{len(ids)} rows at once"
        return f"asked about {said}, the logits at position {i} stay as they are, whatever token {j} becomes"
    before = model(ids.clone())
    for new in every_step(ids[:, j], vocab):
        changed = ids.clone()
        changed[:, j] = new
        moved = finite(torch.ne)(before, model(changed))[:, i]
        if moved.any():
            b = int(moved.nonzero()[0])
            return f"in row {b}, the logits at position {i} change when token {j} becomes {new[b]}"
    raise AssertionError("a leak that no id shows")
