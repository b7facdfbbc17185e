"""Grading: a sandbox for the student's code, and verdicts made outside it."""
