"""Lesson 03, bank side: the known mistakes and the right answers of the exercises on encoders."""

from course_lib.exercises.lesson03.bank.labels import LABELS
from course_lib.exercises.lesson03.bank.loss import LOSS
from course_lib.exercises.lesson03.bank.masking import MASKING
from course_lib.exercises.lesson03.bank.pooling import POOL
from course_lib.exercises.lesson03.bank.span import SPAN

__all__ = ["EXERCISES"]

EXERCISES = (MASKING, LOSS, POOL, SPAN, LABELS)
