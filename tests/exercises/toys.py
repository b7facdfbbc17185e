"""Small exercises made for the tests: a class, a state, gradients, chance, and a judge that crashes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Finding, Misconception, Predicates
from course_lib.exercises.running import Case, Observation, RunSide, call_module

__all__ = ["AFFINE", "COUNTER", "CRASHING", "GRADIENT", "SAMPLING", "Affine", "Counter"]


class Affine(nn.Module):
    def __init__(self, d_in: int, d_out: int):
        super().__init__()
        self.linear = nn.Linear(d_in, d_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class AffineByHand(Affine):
    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("...i,oi->...o", x, self.linear.weight) + self.linear.bias


class WithoutBias(Affine):
    def forward(self, x: Tensor) -> Tensor:
        return x @ self.linear.weight.T


def _affine_cases(generator: torch.Generator) -> list[Case]:
    weights = {
        "linear.weight": torch.randn(5, 3, generator=generator),
        "linear.bias": torch.randn(5, generator=generator),
    }
    x = torch.randn(2, 3, generator=generator)
    return [
        Case("values", "Affine(3, 5)(x)", (x,), init={"d_in": 3, "d_out": 5}, weights=weights),
        Case("small types", "Affine(3, 5)(x.double())", (x,), init={"d_in": 3, "d_out": 5}, weights=weights),
    ]


AFFINE = Exercise(
    side=RunSide("00.Affine", "A module", "Affine is not written yet.", _affine_cases, call_module),
    reference=Affine,
    groups={"values": 2, "small types": 1},
    misconceptions={"no bias": Misconception(WithoutBias, "Add the bias.")},
    alternatives=[AffineByHand],
    hints=("One.", "Two.", "Three."),
)


class Counter:
    def __init__(self) -> None:
        self.total = 0

    def add(self, value: int) -> int:
        self.total += value
        return self.total


class Forgetful(Counter):
    def add(self, value: int) -> int:
        return value


def _three_steps(student: type[Counter], case: Case) -> Any:
    counter = student()
    return [counter.add(value) for value in case.args]


COUNTER = Exercise(
    side=RunSide(
        "00.Counter", "A state", "Counter is not written yet.",
        lambda generator: [Case("state", "three steps", (1, 2, 3)), Case("again", "three more", (5, 5, 5))],
        _three_steps,
    ),
    reference=Counter,
    groups={"state": 1, "again": 1},
    misconceptions={"forgets": Misconception(Forgetful, "Keep the total.")},
    alternatives=[Counter],
    hints=("One.", "Two.", "Three."),
)  # fmt: skip


def square(x: Tensor) -> Tensor:
    return x**2


def _with_gradient(student: Callable[[Tensor], Tensor], case: Case) -> Any:
    x = case.args[0].clone().requires_grad_()
    loss = student(x).sum()
    if loss.requires_grad:
        loss.backward()
    return {"loss": loss.item(), "gradient": x.grad}


GRADIENT = Exercise(
    side=RunSide(
        "00.square", "Gradients", "square is not written yet.",
        lambda generator: [Case("both", "square(x)", (torch.randn(3, generator=generator),))],
        _with_gradient,
    ),
    reference=square,
    groups={"both": 1},
    misconceptions={"cut from the graph": Misconception(lambda x: x.detach() ** 2, "Leave the graph alone.")},
    alternatives=[lambda x: x * x],
    hints=("One.", "Two.", "Three."),
)  # fmt: skip


def roll(generator: torch.Generator) -> Tensor:
    return torch.randint(1, 7, (), generator=generator)


def _many_rolls(student: Callable[[torch.Generator], Any], case: Case) -> Any:
    generator = torch.Generator().manual_seed(case.args[0])
    return torch.stack([torch.as_tensor(student(generator)) for _ in range(200)])


def _on_the_die(seen: list[Observation], cases: list[Case]) -> str | None:
    value = seen[0].value
    return None if value.min() >= 1 and value.max() <= 6 else "a roll is not on the die"


def _is_fair(seen: list[Observation], cases: list[Case]) -> str | None:
    mean = seen[0].value.float().mean().item()  # 3.5, and 6 standard errors are 0.72
    return None if abs(mean - 3.5) < 0.75 else f"the mean of 200 rolls is {mean:.2f}, and a fair die gives 3.5"


SAMPLING = Exercise(
    side=RunSide(
        "00.roll", "Chance", "roll is not written yet.",
        lambda generator: [Case("rolls", "roll(generator)", (int(torch.randint(1000, (), generator=generator)),))],
        _many_rolls,
    ),
    reference=roll,
    groups={"range": 1, "fair": 1},
    judge=Predicates({"on the die": ("range", _on_the_die), "fair": ("fair", _is_fair)}),
    misconceptions={
        "from 0": Misconception(lambda generator: torch.randint(0, 6, (), generator=generator), "Start at 1."),
        "always 6": Misconception(lambda generator: torch.tensor(6), "Draw."),
    },
    alternatives=[lambda generator: 1 + int(6 * torch.rand((), generator=generator))],
    hints=("One.", "Two.", "Three."),
)  # fmt: skip


class _CrashingJudge(Equality):
    def findings(self, seen: list[Observation], cases: list[Case], expected: list[Observation]) -> list[Finding]:
        raise ZeroDivisionError("a judge's own mistake")


CRASHING = Exercise(
    side=GRADIENT.side,
    reference=square,
    groups={"both": 3},
    judge=_CrashingJudge(),
    misconceptions={},
    alternatives=[],
    hints=("One.",),
)
