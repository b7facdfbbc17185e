"""How slow this machine is, so that no mark depends on it: limits are stretched by as much."""

import threading
import time
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Pace", "pace"]

NOMINAL_SECONDS = 0.011  # of processor time that one round takes on the machine the limits were chosen on
ROUNDS = 9
LAPSE = 600  # seconds after which a long-lived grader looks again
MOST = 10.0  # a limit that is stretched for ever is none
_alone = threading.Lock()  # threads that measured side by side would slow one another


@dataclass(frozen=True)
class Pace:
    """How many seconds pass here for one of the machine the limits were chosen on, at least 1.

    processor: seconds of processor time, on a slow processor. clock: seconds on the clock, if it is busy as well.
    """

    processor: float = 1.0
    clock: float = 1.0


def pace() -> Pace:
    """Give this machine's pace: measured in about a tenth of a second, and kept for ten minutes."""
    with _alone:
        return _measured(int(time.monotonic() // LAPSE))


@lru_cache(maxsize=1)
def _measured(period: int) -> Pace:
    seconds = []
    began = time.perf_counter()
    for _ in range(ROUNDS):
        before = time.thread_time()
        _round()
        seconds.append(time.thread_time() - before)
    passed = (time.perf_counter() - began) / ROUNDS
    processor = _within(sorted(seconds)[ROUNDS // 2] / NOMINAL_SECONDS)
    return Pace(processor, max(processor, _within(passed / NOMINAL_SECONDS)))


def _within(factor: float) -> float:
    return min(max(factor, 1.0), MOST)


def _round() -> int:
    total = 0
    for number in range(200_000):
        total += number * number % 7
    return total
