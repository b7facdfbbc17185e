"""Lesson 01, run side: the cases of the exercises on masks and leaks."""

import torch

from course_lib.exercises.running import Case, RunSide

__all__ = ["RUN_SIDES"]

PRIMES = (3, 5, 7, 11, 13)


def _pick(generator: torch.Generator, choices: tuple[int, ...], count: int) -> list[int]:
    """Draw `count` different choices, the smallest first: a small failure is the easier one to read."""
    order = torch.randperm(len(choices), generator=generator)
    return sorted(choices[i] for i in order[:count])


def _causal_cases(generator: torch.Generator) -> list[Case]:
    shapes = [
        Case("which pairs may attend", f"create_causal_mask({n})", (n,)) for n in _pick(generator, PRIMES, 3)
    ]
    n = _pick(generator, PRIMES, 1)[0]
    return [
        *shapes,
        Case("a single token", "create_causal_mask(1)", (1,)),
        Case("on the device asked for", f'create_causal_mask({n}, device="meta")', (n,), {"device": "meta"}),
    ]


CAUSAL = RunSide(
    id="01.create_causal_mask",
    title="The causal mask",
    todo="create_causal_mask is not written yet: give a (1, 1, seq_len, seq_len) boolean tensor that is True where "
    "key j is not after query i.",
    cases=_causal_cases,
)

RUN_SIDES = (CAUSAL,)
