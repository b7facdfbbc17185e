"""How long a learner waits for a verdict: the time of check() for a right answer and for every known mistake.

The first failing check of an exercise also runs the exercise's known mistakes on its cases; the median is of the
checks after it. The very first check of a session also waits, about a second, for torch to set up its meta device.
"""

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from course_lib import exercises
from course_lib.checking import CheckFailed, check
from course_lib.exercises import exercise

TARGET = 100  # milliseconds
REPEATS = 7


def milliseconds(exercise_id: str, student: Callable[..., Any]) -> float:
    """Time one check of `student`; its card goes nowhere."""
    start = time.perf_counter()
    with redirect_stdout(io.StringIO()), suppress(CheckFailed):
        check(exercise_id, student)
    return 1000 * (time.perf_counter() - start)


def first_and_median(exercise_id: str, student: Callable[..., Any]) -> tuple[float, float]:
    """Time a check with nothing remembered from earlier ones, then the median of those that follow."""
    exercise.forget_runs()
    first = milliseconds(exercise_id, student)
    return first, statistics.median(milliseconds(exercise_id, student) for _ in range(REPEATS))


def main() -> None:
    torch.set_num_threads(1)
    table = Table(title=f"check(), milliseconds (target: median below {TARGET})")
    for column in ("exercise", "answer"):
        table.add_column(column)
    for column in ("first", "median"):
        table.add_column(column, justify="right")
    slowest = 0.0
    for ex in exercises.all():
        answers = {"right": ex.alternatives[0]}
        answers |= {name: misconception.wrong for name, misconception in ex.misconceptions.items()}
        for name, student in answers.items():
            first, median = first_and_median(ex.id, relocated(student))
            slowest = max(slowest, median)
            table.add_row(ex.id, name, f"{first:.1f}", f"{median:.1f}")
        table.add_section()
    Console(width=100).print(table)
    print(f"slowest median: {slowest:.1f} ms")


def relocated(student: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function as a learner would have it: check refuses what comes from the course itself."""

    def answer(*args: Any, **kwargs: Any) -> Any:
        return student(*args, **kwargs)

    return answer


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["COURSE_HOME"] = home
        main()
