"""An end for a learner's code that has none: its time is up, or the learner presses the stop button."""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from course_lib.exercises.running import Stopped, answer

__all__ = ["LATE", "stoppable"]

WORK_SECONDS = 10  # of the processor, many times what a right answer needs on the slowest machine
WALL_SECONDS = 30  # for what sleeps or waits
TICK = 0.02
LATE = "late"  # why it was stopped, if the learner did not ask for it


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` in a learner's code that runs too long in here, or is interrupted.

    It goes on until the code gives in, even if that catches every exception. Nothing is raised while other code runs,
    so that whatever must be put back in order is. Outside the main thread, where Python hears no signals, all may run
    for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    tracing = sys.gettrace()
    over, reasons = threading.Event(), []
    began, worked = time.monotonic(), time.process_time()

    def watch() -> None:
        while not over.wait(TICK):
            passed, work = time.monotonic() - began, time.process_time() - worked
            if not reasons and (passed > WALL_SECONDS or min(passed, work) > WORK_SECONDS):
                reasons.append(LATE)
            if reasons:
                _interrupt()

    def heard(signum: int, frame: FrameType | None) -> None:
        if not reasons:
            reasons.append("")
        frames = _of_the_learner(frame)
        if frames and tracing is None:  # whatever catches this is told once more, in its next line
            for one in frames:
                one.f_trace = again
            sys.settrace(lambda *_: None)
        if frames:
            raise Stopped(reasons[0])

    def again(frame: FrameType, event: str, _: object) -> object:
        if event == "line":
            raise Stopped(reasons[0])
        return again

    before = signal.signal(signal.SIGINT, heard)
    watcher = threading.Thread(target=watch, name="end-of-a-check", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGINT, before)
        if tracing is None:
            sys.settrace(None)


def _interrupt() -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # wakes up what sleeps, too
    else:
        _thread.interrupt_main()  # Windows: heard between two lines


def _of_the_learner(frame: FrameType | None) -> list[FrameType]:
    """Give the frames from here up to the call of the learner's code; none if that is not under way."""
    frames = []
    while frame is not None:
        if frame.f_code is answer.__code__:
            return frames
        frames.append(frame)
        frame = frame.f_back
    return []
