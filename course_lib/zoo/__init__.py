"""Published models: their configurations by name, their exact sizes, and their weights in our own classes."""

from course_lib.zoo.catalogue import Config, build, config, count_parameters, names
from course_lib.zoo.loading import load

__all__ = ["Config", "build", "config", "count_parameters", "load", "names"]
