"""The experiments themselves, by the world they stand on."""

from benchmarks.trials import language, records, translation, writing

_ALL = (*language.EXPERIMENTS, *translation.EXPERIMENTS, *records.EXPERIMENTS, *writing.EXPERIMENTS)
EXPERIMENTS = {function.__name__: function for function in _ALL}
