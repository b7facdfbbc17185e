"""Lesson 05, bank side: the judges, the known mistakes and the right answers of the exercises on a model that cheats.
"""

from course_lib.exercises.lesson05.bank.copying import COPY
from course_lib.exercises.lesson05.bank.leak import LEAK
from course_lib.exercises.lesson05.bank.repairing import REPAIR

__all__ = ["EXERCISES"]

EXERCISES = (LEAK, COPY, REPAIR)
