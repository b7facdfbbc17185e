"""Limits on time in tests, in the seconds of the machine the limits were chosen on: no test fails on a slower one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from course_lib.grading.pace import pace

__all__ = ["passes_within", "stretched", "works_within"]

BESIDE_OTHERS = 2  # tests run side by side, and the pace was measured at another moment


@contextmanager
def works_within(seconds: float) -> Iterator[None]:
    """Fail if this process takes more processor time than that."""
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds * pace().processor


@contextmanager
def passes_within(seconds: float) -> Iterator[None]:
    """Fail if more passes on the clock: for what waits, or runs in other processes."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < stretched(seconds)


def stretched(seconds: float) -> float:
    """Give the seconds on the clock of this machine, other tests running beside."""
    return seconds * pace().clock * BESIDE_OTHERS
