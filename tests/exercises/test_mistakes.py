"""Every mistake in a bank, and every variant of it, is rejected and named as itself."""

from itertools import combinations

import pytest

from course_lib import exercises
from course_lib.exercises.exercise import Exercise, run_mistake
from course_lib.exercises.judging import EXACT
from course_lib.exercises.running import draw, run

every_exercise = pytest.mark.parametrize("exercise", exercises.all(), ids=lambda exercise: exercise.id)


@every_exercise
def test_every_known_mistake_is_rejected_and_named(exercise: Exercise, seed: int):
    for name, wrong in exercise.mistakes():
        verdict = exercise.decide(run_mistake(exercise, wrong, seed), seed)
        assert verdict.status == "failed", f"{name}: {verdict.message}"
        assert verdict.points < exercise.points
        assert verdict.misconception == name
        assert verdict.hint == exercise.misconceptions[name].hint
        card = verdict.message
        assert max(map(len, card.split("\n"))) <= 79, card
        words = " ".join(card.split())
        worth = "optional" if exercise.optional else f"{verdict.points:g} of {exercise.points:g} points"
        assert f"{worth} It looks like: {name}. {' '.join(verdict.hint.split())}" in words


@every_exercise
def test_any_two_mistakes_can_be_told_apart(exercise: Exercise, seed: int):
    cases, expected = draw(exercise.side, seed), run(exercise.side, exercise.reference, draw(exercise.side, seed), seed)
    patterns = {
        name: exercise.judge.pattern(run_mistake(exercise, misconception.wrong, seed), cases, expected)
        for name, misconception in exercise.misconceptions.items()
    }
    for one, other in combinations(patterns, 2):
        if patterns[one].keys() == patterns[other].keys():
            assert exercise.judge.alike(patterns[one], patterns[other]) < EXACT, f"{one} = {other}"


@every_exercise
def test_a_right_edge_costs_no_name(exercise: Exercise, seeds: range):
    """Whoever makes a known mistake, and yet refuses what must be refused, is told of it all the same."""
    for seed in seeds:
        expected = run_mistake(exercise, exercise.reference, seed)
        for name, misconception in exercise.misconceptions.items():
            seen = run_mistake(exercise, misconception.wrong, seed)
            repaired = [want if want.kind == "error" else got for got, want in zip(seen, expected, strict=True)]
            was, now = (exercise.judge.pattern(each, draw(exercise.side, seed), expected) for each in (seen, repaired))
            spared = {was[key].group for key in was.keys() - now.keys()}
            if spared and {wrong.group for wrong in now.values() if not wrong.raised} - spared:
                assert exercise.decide(repaired, seed).misconception == name


@every_exercise
def test_grading_a_mistake_is_judging_its_run(exercise: Exercise):
    for _, wrong in exercise.mistakes():
        assert exercise.grade(wrong, 3).message == exercise.decide(run_mistake(exercise, wrong, 3), 3).message
