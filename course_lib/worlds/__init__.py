"""The worlds of the course: data made at run time from a generator, in seconds, without a download."""
