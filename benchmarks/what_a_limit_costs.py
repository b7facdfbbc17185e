"""What a hand-in that has to be stopped costs: seconds over one that is right throughout, side by side."""

import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


from course_lib.grading.build import build
from course_lib.grading.execution import execute, make_job
from course_lib.grading.sandbox import Limits
from course_lib.grading.submission import plan, repair
from tests.classroom import released, solved
from tests.submissions.corpus import CASES
from tests.submissions.scene import Scene, text_of

RUNS = 3


def seconds(notebook):
    cells = plan(repair(json.loads(text_of(notebook)), released()))
    job = make_job(cells, 1, Limits(), build("01"))
    started = time.perf_counter()
    execute(job)
    return time.perf_counter() - started


def main():
    undisturbed = statistics.median(seconds(solved()) for _ in range(RUNS))
    print(f"undisturbed: {undisturbed:.1f} s")
    for case in CASES:
        if case.status == "limit hit" and case.family == "damaged or broken":
            took = [seconds(case.make(Scene(None))) - undisturbed for _ in range(RUNS)]
            print(f"{case.name:<28} + {statistics.median(took):4.1f} s   ({min(took):.1f} to {max(took):.1f})")


if __name__ == "__main__":
    main()
