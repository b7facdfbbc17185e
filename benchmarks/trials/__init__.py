"""The experiments themselves, by the world they stand on."""

from benchmarks.trials import language, translation

EXPERIMENTS = {function.__name__: function for world in (language, translation) for function in world.EXPERIMENTS}
