"""Lesson 04 without a world: what a cache is worth to a decoder that writes."""

import time

import torch

from benchmarks.trials.language import Figures, seeded
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.generation import generate

TURNS = 5
CONFIG = DecoderConfig(vocab_size=1000, d_model=256, num_layers=4, num_heads=4, d_ff=1024, max_len=256)


def cached_generation(seed: int) -> Figures:
    """Lesson 04: one row with a cache and without, taking turns, on one thread; targets: 2.5 at 64 tokens, 5 at 200."""
    generator = seeded(seed)
    model = Decoder(CONFIG, generator).eval()
    prompt = torch.randint(CONFIG.vocab_size, (1, 8), generator=generator)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    figures = {}
    try:
        for count in (64, 200):
            best, written = {True: float("inf"), False: float("inf")}, []
            for _ in range(TURNS):
                for use_cache in best:
                    start = time.perf_counter()
                    written.append(generate(model, prompt, count, generator=seeded(seed), use_cache=use_cache))
                    best[use_cache] = min(best[use_cache], time.perf_counter() - start)
            figures[f"{count} tokens, the same in each turn"] = float(all(torch.equal(w, written[0]) for w in written))
            figures[f"{count} tokens, times as fast"] = best[False] / best[True]
    finally:
        torch.set_num_threads(threads)
    return figures


EXPERIMENTS = (cached_generation,)
