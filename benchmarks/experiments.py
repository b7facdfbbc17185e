"""The experiments of lessons 03 to 06 on the small worlds, three seeds each: do they reach their targets in a minute?

    python benchmarks/experiments.py [names ...] [--seeds 3]

Each experiment is a function of a seed that gives named figures; the table shows their means and ranges. What a figure
is held against (the language's own bound, an untrained model) stands beside it.
"""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.trials import EXPERIMENTS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(EXPERIMENTS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    console = Console(width=120)
    for name in options.names or EXPERIMENTS:
        start = time.perf_counter()
        runs = [EXPERIMENTS[name](seed) for seed in range(options.seeds)]
        table = Table("figure", "mean", "lowest", "highest", title=f"{name} ({time.perf_counter() - start:.0f} s)")
        for figure in runs[0]:
            values = [run[figure] for run in runs]
            table.add_row(figure, *(f"{value:.4g}" for value in (sum(values) / len(values), min(values), max(values))))
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
