"""The whole corpus: every module of submissions, loaded in the order of its families."""

from tests.submissions import (  # noqa: F401
    broken,
    cheats_in_the_file,
    cheats_in_the_kernel,
    cheats_on_our_grader,
    damaged,
    found,
    given,
    noisy,
)
from tests.submissions.scene import CASES

__all__ = ["CASES"]
