"""Reference implementations, exercises and grading for the course on the three transformer architectures."""
