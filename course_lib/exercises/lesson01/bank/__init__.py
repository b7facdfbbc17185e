"""Lesson 01, bank side: the judge, the known mistakes and the right answers of the exercises on masks and leaks."""

from course_lib.exercises.lesson01.bank.causal import CAUSAL
from course_lib.exercises.lesson01.bank.combine import COMBINE
from course_lib.exercises.lesson01.bank.leaks import LEAKS
from course_lib.exercises.lesson01.bank.padding import PADDING
from course_lib.exercises.lesson01.bank.prefix import PREFIX

__all__ = ["EXERCISES"]

EXERCISES = (CAUSAL, PADDING, COMBINE, PREFIX, LEAKS)
