"""Lesson 06, bank side: the known mistakes and the right answers of the exercises on cross-attention."""

from course_lib.exercises.lesson06.bank.cross import CROSS
from course_lib.exercises.lesson06.bank.error import ERROR
from course_lib.exercises.lesson06.bank.mask import MASK
from course_lib.exercises.lesson06.bank.pairs import PAIRS

__all__ = ["EXERCISES"]

EXERCISES = (CROSS, MASK, PAIRS, ERROR)
