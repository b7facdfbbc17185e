"""Lesson 04, write left to right: the loss, the next token, and what is kept so that nothing is computed twice."""
