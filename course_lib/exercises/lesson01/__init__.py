"""Lesson 01, who may look at whom: five exercises on masks and leaks."""
