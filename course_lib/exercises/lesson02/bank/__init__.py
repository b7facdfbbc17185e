"""Lesson 02, bank side: the known mistakes and the right answers of the exercises on self-attention."""

from course_lib.exercises.lesson02.bank.block import BLOCK
from course_lib.exercises.lesson02.bank.merge import MERGE
from course_lib.exercises.lesson02.bank.rope import ROPE
from course_lib.exercises.lesson02.bank.split import SPLIT
from course_lib.exercises.lesson02.bank.weights import WEIGHTS

__all__ = ["EXERCISES"]

EXERCISES = (WEIGHTS, SPLIT, MERGE, BLOCK, ROPE)
