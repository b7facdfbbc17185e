"""One exercise: what a learner writes, what it is worth, and every mistake we know how to name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from torch import Tensor

from course_lib.exercises.card import GroupResult, Verdict
from course_lib.exercises.judging import EXACT, Equality, Finding, Judge, Misconception, Pattern
from course_lib.exercises.running import Case, Observation, RunSide, draw, run

__all__ = ["Exercise", "forget_runs", "run_mistake"]

HELPER_NOT_WRITTEN = "{helper}, which your {name} calls, is not written yet: it raises NotImplementedError."
CHECKER_FAILED = "The checker failed, not you: your work was not judged and costs you nothing."


@dataclass(frozen=True, eq=False)
class Exercise:
    """An exercise joins its run side and its bank.

    reference: the implementation in course_lib that the work is checked against.
    groups: points of each case group, in the order a learner should mend them.
    core: the groups that are the idea of the exercise, the first unless told; while all of them fail, the others are
    shown and not counted. apart: groups that are counted even then, since no guess gets them right.
    form: groups that ask for a shape or dtype; while any of the core fails, wrong numbers there are no news.
    misconceptions: name -> (wrong implementation, hint). variants: name -> further ways to make the same mistake.
    alternatives: right implementations, written differently.
    hints: from a nudge to nearly the answer. forbidden: name that must not be used -> the sentence that says so.
    allowed: modules of course_lib that may be used, since they give no part of the answer.
    optional: checked and not graded; its points count nowhere.
    """

    side: RunSide
    reference: Callable[..., Any]
    groups: Mapping[str, float]
    misconceptions: Mapping[str, Misconception]
    alternatives: Sequence[Callable[..., Any]]
    hints: Sequence[str]
    judge: Judge = field(default_factory=Equality)
    difficulty: int = 1
    minutes: int = 5
    forbidden: Mapping[str, str] = field(default_factory=dict)
    allowed: Sequence[str] = ()
    optional: bool = False
    core: Sequence[str] = ()
    apart: Sequence[str] = ()
    form: Sequence[str] = ()
    variants: Mapping[str, Sequence[Callable[..., Any]]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Public name: lesson and reference, "01.create_causal_mask"."""
        return self.side.id

    @property
    def title(self) -> str:
        """What the exercise is called in a table of exercises."""
        return self.side.title

    @property
    def points(self) -> float:
        """Points of all case groups together."""
        return sum(self.groups.values())

    def mistakes(self) -> list[tuple[str, Callable[..., Any]]]:
        """Give every wrong implementation of the bank with the name of its misconception."""
        return [
            (name, wrong)
            for name, misconception in self.misconceptions.items()
            for wrong in (misconception.wrong, *self.variants.get(name, ()))
        ]

    def grade(self, student: Any, seed: int = 0, run: Callable[..., list[Observation]] = run) -> Verdict:
        """Run the learner's function or class on the cases of `seed` and judge what came back.

        run: how the cases are run, for whoever watches over it.
        """
        try:
            seen = run(self.side, student, draw(self.side, seed), seed)
        except Exception as error:
            return self.refuse("checker failed", f"{CHECKER_FAILED} ({type(error).__name__}: {error})")
        return self.decide(seen, seed)

    def decide(self, seen: list[Observation], seed: int = 0) -> Verdict:
        """Judge observations made on the cases of `seed`; a crash in here is the checker's failure, not a zero."""
        try:
            return self._decide(seen, seed)
        except Exception as error:
            return self.refuse("checker failed", f"{CHECKER_FAILED} ({type(error).__name__}: {error})")

    def refuse(self, status: str, reason: str) -> Verdict:
        """Give a verdict without points for work that was not judged: `reason` is one sentence."""
        return Verdict(self.id, status, 0, self.points, reason=reason, optional=self.optional)

    def _decide(self, seen: list[Observation], seed: int) -> Verdict:
        cases = _cases(self, seed)
        if len(seen) != len(cases):
            return self.refuse("no evidence", f"Expected {len(cases)} observations, got {len(seen)}.")
        if all(got.kind == "error" and got.type == "NotImplementedError" for got in seen):
            helper = seen[0].helper if len({got.helper for got in seen}) == 1 else ""
            todo = HELPER_NOT_WRITTEN.format(helper=helper, name=self.side.name) if helper else self.side.todo
            return self.refuse("not written", todo)
        expected = run_mistake(self, self.reference, seed)
        results = self._results(self.judge.findings(seen, cases, expected))
        if all(result.failure is None for result in results):
            return Verdict(self.id, "passed", self.points, self.points, results, optional=self.optional)
        name = self._diagnose(self.judge.pattern(seen, cases, expected), seed)
        hint = self.misconceptions[name].hint if name else ""
        earned = sum(result.points for result in results)
        return Verdict(self.id, "failed", earned, self.points, results, name, hint, optional=self.optional)

    def _results(self, findings: list[Finding]) -> tuple[GroupResult, ...]:
        """Decide what each group earned."""
        failures = {group: [f.failure for f in findings if f.group == group and f.failure] for group in self.groups}
        core = self.core or (next(iter(self.groups)),)
        is_open, is_right = (some(not failures[group] for group in core) for some in (any, all))
        results = []
        for group, points in self.groups.items():
            found = failures[group]
            counted = is_open or group in core or group in self.apart
            if found and not is_right and group in self.form and all(failure.values for failure in found):
                found, counted = [], False
            earned = points if counted and not found else 0
            results.append(GroupResult(group, earned, points, found[0] if found else None, counted))
        return tuple(results)

    def _diagnose(self, mine: Pattern, seed: int) -> str | None:
        """Name the misconception that behaves like the work; None when none surely does."""
        best, most = None, 0.0
        numbers = tuple(self.judge.telling(mine))
        first = {str(number): mine[str(number)] for number in numbers}
        for name, wrong in self.mistakes():
            if first and self.judge.alike(first, _first_pattern(self, wrong, seed, numbers)) < EXACT:
                continue  # the rest of the cases, mostly many more, need not be run
            likeness = self.judge.alike(mine, _wrong_pattern(self, wrong, seed))
            if likeness > most:
                best, most = name, likeness
            if likeness == EXACT:
                break
        return best


# The judge's own runs depend on nothing but the seed, and a class is graded with one seed.
@lru_cache(maxsize=64)
def _cases(exercise: Exercise, seed: int) -> list[Case]:
    return draw(exercise.side, seed)


@lru_cache(maxsize=4096)
def _memory(exercise: Exercise, own: Callable[..., Any], seed: int) -> dict[int, Observation]:
    """What one of the course's own implementations gave, by the number of the case; filled as cases are run."""
    return {}


def _run_own(exercise: Exercise, own: Callable[..., Any], seed: int, numbers: Sequence[int]) -> list[Observation]:
    """Run one of the course's own implementations on those cases that it has not run yet: no case sees another."""
    cases, memory = _cases(exercise, seed), _memory(exercise, own, seed)
    missing = [number for number in numbers if number not in memory]
    copies = [_copied(cases[number]) for number in missing]
    memory.update(zip(missing, run(exercise.side, own, copies, seed), strict=True))
    return [memory[number] for number in numbers]


def _copied(case: Case) -> Case:
    """A wrong implementation may write into its inputs."""
    return replace(
        case,
        args=tuple(map(_copy, case.args)),
        kwargs={name: _copy(value) for name, value in case.kwargs.items()},
    )


def _copy(value: Any) -> Any:
    return value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value


def run_mistake(exercise: Exercise, wrong: Callable[..., Any], seed: int) -> list[Observation]:
    """Run one of the bank's wrong implementations on the cases of `seed`; what came back is remembered."""
    return _run_own(exercise, wrong, seed, range(len(_cases(exercise, seed))))


@lru_cache(maxsize=4096)
def _wrong_pattern(exercise: Exercise, wrong: Callable[..., Any], seed: int) -> Pattern:
    return exercise.judge.pattern(
        run_mistake(exercise, wrong, seed), _cases(exercise, seed), run_mistake(exercise, exercise.reference, seed)
    )


@lru_cache(maxsize=4096)
def _first_pattern(exercise: Exercise, wrong: Callable[..., Any], seed: int, numbers: tuple[int, ...]) -> Pattern:
    """Give what is wrong in some of the cases alone."""
    cases = [_cases(exercise, seed)[number] for number in numbers]
    seen, expected = (_run_own(exercise, own, seed, numbers) for own in (wrong, exercise.reference))
    found = exercise.judge.pattern(seen, cases, expected)
    return {str(numbers[int(key)]): one for key, one in found.items() if key}


def forget_runs() -> None:
    """Forget the judge's own runs, to measure what they cost."""
    for remembered in (_cases, _memory, _wrong_pattern, _first_pattern):
        remembered.cache_clear()
