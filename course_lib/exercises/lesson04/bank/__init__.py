"""Lesson 04, bank side: the judges, the known mistakes and the right answers of the exercises on the decoder."""

from course_lib.exercises.lesson04.bank.attend import ATTEND
from course_lib.exercises.lesson04.bank.costs import BYTES
from course_lib.exercises.lesson04.bank.loss import LOSS
from course_lib.exercises.lesson04.bank.sample import SAMPLE
from course_lib.exercises.lesson04.bank.write import WRITE

__all__ = ["EXERCISES"]

EXERCISES = (LOSS, SAMPLE, WRITE, ATTEND, BYTES)
