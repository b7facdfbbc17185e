"""Errors a person reads: one sentence that says what to do."""


class CourseError(Exception):
    """Something the user can mend; the message is one sentence that says how."""
