"""One training loop for every model of the course: AdamW, warm-up and cosine, clipping, evaluation, a target.

What differs between lessons is handed in: the batches, how a model's loss on one is computed, and how it is judged.
"""

import gc
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from IPython.core.getipython import get_ipython
from torch import Tensor, nn
from tqdm import tqdm

from course_lib.bare import evaluating
from course_lib.config import require_size

__all__ = ["History", "Recipe", "half_trained", "pick_device", "shuffled", "to_device", "train"]

INTERRUPTED = (
    "Training was interrupted after {done} of {steps} steps. Until this cell has run to its end, the model is half "
    "trained, and what is measured is not written into the lab book."
)
# Models whose training was interrupted, as long as they are in use: what the training was, and in which cell.
_half_trained: WeakKeyDictionary[nn.Module, tuple[Any, int | None]] = WeakKeyDictionary()


class NotStarted(KeyboardInterrupt):
    """Ends a cell whose training was interrupted at its next training; Jupyter shows the one sentence."""

    def _render_traceback_(self) -> list[str]:
        return ["The next training of this cell was not started."]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained: by AdamW (Loshchilov and Hutter 2019), with warm-up, cosine and clipped gradients.

    The learning rate rises in a straight line over the first `warmup` steps and falls along half a cosine to
    `final_share` of its peak at the last. Decay pulls on matrices alone, not on norms and biases.
    Raises ValueError or TypeError where a number makes no sense.

    >>> recipe = Recipe(steps=100, learning_rate=0.01, warmup=10)
    >>> [round(recipe.rate(step), 4) for step in (0, 9, 99)]
    [0.001, 0.01, 0.001]
    """

    steps: int = 500
    learning_rate: float = 1e-3
    warmup: int = 50
    final_share: float = 0.1
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    max_norm: float = 1.0  # of all gradients together
    evaluate_every: int = 100

    def __post_init__(self):
        require_size("steps", self.steps)
        require_size("evaluate_every", self.evaluate_every)
        for name in ("learning_rate", "max_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.warmup < 0 or self.weight_decay < 0 or not 0 <= self.final_share <= 1:
            raise ValueError(
                "warmup and weight_decay must not be below 0, and final_share must be between 0 and 1, "
                f"got {self.warmup}, {self.weight_decay} and {self.final_share}"
            )

    def rate(self, step: int) -> float:
        """Give the learning rate of a step, counted from 0.

        >>> Recipe(steps=1, warmup=0, learning_rate=0.5).rate(0)
        0.5
        """
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - 1 - self.warmup, 1)
        return self.learning_rate * (
            self.final_share + (1 - self.final_share) * (1 + math.cos(math.pi * min(done, 1))) / 2
        )


@dataclass
class History:
    """What training saw: the loss of every step, the scores by the number of steps done, and the seconds it took.

    seconds: of training and judging together. reached: whether it ended because its target was reached.
    interrupted: whether somebody stopped it before its end.

    >>> History(loss=[3.0, 1.0], scores={2: {"accuracy": 0.5}}).last
    {'accuracy': 0.5}
    """

    loss: list[float] = field(default_factory=list)
    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    reached: bool = False
    interrupted: bool = False

    @property
    def steps(self) -> int:
        """How many steps were done."""
        return len(self.loss)

    @property
    def last(self) -> dict[str, float]:
        """The scores of the last judging; empty if there was none."""
        return self.scores[max(self.scores)] if self.scores else {}

    def summary(self) -> dict[str, Any]:
        """Give what a lab book keeps: steps, seconds, the mean loss of the last tenth, the last scores.

        >>> History(loss=[3.0, 1.0], seconds=0.26).summary()
        {'steps': 2, 'seconds': 0.3, 'loss': 1.0, 'scores': {}}
        """
        tail = self.loss[-max(len(self.loss) // 10, 1) :]
        mean = sum(tail) / len(tail) if tail else None
        return {"steps": self.steps, "seconds": round(self.seconds, 1), "loss": mean, "scores": self.last}


def train(
    model: nn.Module,
    batches: Iterable[Any],
    loss: Callable[[nn.Module, Any], Tensor],
    recipe: Recipe | None = None,
    *,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    until: Callable[[Mapping[str, float]], bool] | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    progress: bool | str = True,
) -> History:
    """Train a model in place, and leave it in `eval()`.

    An interrupt (Jupyter's stop button) ends it with a sentence; then it gives the history so far, and the lab book
    takes no results until the same training has come to its end, or the model is no longer in use. A further training
    in the same cell is not started.
    batches: gives one batch after another, such as `shuffled`; a batch is a tensor, or a list, tuple or dict of them.
    loss: gives the mean loss of the model on a batch, a tensor with one number.
    evaluate: judges the model, without dropout and gradients, every `recipe.evaluate_every` steps and at the end.
    until: looks at those scores and says whether the target is reached: then training ends.
    generator: decides dropout, so that a run can be repeated; torch's own generator is left as it was.
    device: where model and batches are put, see `pick_device`. progress: a bar on standard output, or its title.
    Raises ValueError if the batches end early, or if the loss is no longer a number.

    >>> model = nn.Linear(1, 1)
    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> history = train(model, shuffled((x, 2 * x), 16), lambda m, batch: (m(batch[0]) - batch[1]).square().mean(),
    ...     Recipe(steps=200, learning_rate=0.1, warmup=10), progress=False)
    >>> round(model.weight.item(), 2)
    2.0
    """
    recipe = recipe or Recipe()
    if until is not None and evaluate is None:
        raise ValueError("until looks at the scores that evaluate gives: hand in both, or neither")
    what, cell = (progress, sum(p.numel() for p in model.parameters())), getattr(get_ipython(), "execution_count", None)
    if cell is not None and cell in [where for _, where in _half_trained.values()]:
        raise NotStarted
    device = pick_device(device)
    history, start = History(), time.perf_counter()
    try:
        with _in_one_piece():
            model.to(device)
            optimizer = _optimizer(model, recipe)
        with _seeded(generator, device), _bar(recipe.steps, progress) as bar:
            _learn(model, iter(batches), loss, recipe, optimizer, device, history, evaluate, until, bar)
        for one in [one for one, (which, _) in _half_trained.items() if which == what or one is model]:
            del _half_trained[one]
    except KeyboardInterrupt:
        history.interrupted = True
        _half_trained[model] = what, cell
        print(INTERRUPTED.format(done=history.steps, steps=recipe.steps))
    model.eval()
    history.seconds = time.perf_counter() - start
    return history


def _learn(
    model: nn.Module,
    batches: Iterator[Any],
    loss: Callable[[nn.Module, Any], Tensor],
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    history: History,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None,
    until: Callable[[Mapping[str, float]], bool] | None,
    bar: tqdm,
) -> None:
    """Take the steps, and note in `history` what each gave."""
    model.train()
    for step in range(recipe.steps):
        batch = to_device(_next(batches, step, recipe.steps), device)
        history.loss.append(_step(model, loss(model, batch), optimizer, recipe.rate(step), recipe.max_norm))
        done = step + 1
        if evaluate is not None and (done % recipe.evaluate_every == 0 or done == recipe.steps):
            with evaluating(model), torch.no_grad():
                history.scores[done] = {name: float(score) for name, score in evaluate(model).items()}
            history.reached = until is not None and bool(until(history.last))
        if done % 10 == 0 or done == recipe.steps or history.reached:
            recent = history.loss[-10:]
            shown = {"loss": sum(recent) / len(recent)} | history.last
            bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in shown.items()), refresh=False)
        bar.update()
        if history.reached:
            break


def half_trained() -> bool:
    """Say whether a model is in use whose training was interrupted and not done again.

    >>> half_trained()
    False
    """
    if _half_trained:
        gc.collect()  # a model that nobody holds any more is out of use
    return len(_half_trained) > 0


def shuffled(
    data: Tensor | Sequence[Tensor], batch_size: int, generator: torch.Generator | None = None
) -> Iterator[Any]:
    """Give batches without end: all rows in a random order, then all again in another.

    data: a tensor, or several of which row i belongs together; batches are of the same form.
    Shapes: data (rows, ...); gives (batch_size, ...), where what is left at the end of an order is dropped.
    Raises ValueError if there are fewer rows than a batch has, or not as many in every tensor.

    >>> next(shuffled(torch.arange(6), 6, torch.Generator().manual_seed(0))).sort().values
    tensor([0, 1, 2, 3, 4, 5])
    """
    tensors = (data,) if isinstance(data, Tensor) else tuple(data)
    require_size("batch_size", batch_size)
    rows = sorted({len(tensor) for tensor in tensors})
    if len(rows) != 1:
        raise ValueError(f"every tensor must have as many rows, got {', '.join(map(str, rows)) or 'no tensor'}")
    if rows[0] < batch_size:
        raise ValueError(f"there must be at least batch_size rows, got {rows[0]} and {batch_size}")
    return _batches(data, tensors, batch_size, generator)


def _batches(
    data: Tensor | Sequence[Tensor], tensors: tuple[Tensor, ...], batch_size: int, generator: torch.Generator | None
) -> Iterator[Any]:
    while True:
        order = torch.randperm(len(tensors[0]), generator=generator)
        for chosen in order[: len(order) - len(order) % batch_size].split(batch_size):
            batch = tuple(tensor[chosen] for tensor in tensors)
            yield batch[0] if isinstance(data, Tensor) else batch


def pick_device(name: torch.device | str = "cpu") -> torch.device:
    """Find the device asked for: "cpu", "cuda", "mps", or "auto" for the fastest there is.

    Raises ValueError if this machine has no such device.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "meta": True}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if found[kind]))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not found.get(device.type):
        usable = ", ".join(kind for kind, there in found.items() if there and kind != "meta")
        raise ValueError(f"device must be auto or one this machine has ({usable}), got {str(name)!r}")
    return device


def to_device(batch: Any, device: torch.device | str) -> Any:
    """Put the tensors of a batch on a device: a tensor, or lists, tuples and dicts of them; all else stays.

    >>> to_device({"ids": torch.zeros(1), "names": ["a"]}, "meta")["ids"].device
    device(type='meta')
    """
    if isinstance(batch, Tensor | nn.Module):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        moved = [to_device(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch


@contextmanager
def _in_one_piece() -> Iterator[None]:
    """Let an interrupt wait: half of what torch imports for its first optimizer could not be imported again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        raise KeyboardInterrupt


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    if not learned:
        raise ValueError("the model has no weight that can be learned: all have requires_grad=False")
    groups = [
        {"params": [weight for weight in learned if weight.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [weight for weight in learned if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas)


def _step(model: nn.Module, loss: Tensor, optimizer: torch.optim.Optimizer, rate: float, max_norm: float) -> float:
    """Take one step down and give the loss before it."""
    value = loss.item()
    if not math.isfinite(value):
        raise ValueError(f"the loss became {value}: lower the learning rate, or look for a row without a single label")
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return value


def _next(batches: Iterator[Any], step: int, steps: int) -> Any:
    try:
        return next(batches)
    except StopIteration:
        raise ValueError(f"the batches ended after {step} of {steps} steps: give an endless iterator") from None


@contextmanager
def _seeded(generator: torch.Generator | None, device: torch.device) -> Iterator[None]:
    """Let what draws without asking, such as dropout, follow the generator; torch's own stay as they were."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**62, (), generator=generator))
    kind = "cuda" if device.type in ("cpu", "meta") else device.type
    with torch.random.fork_rng(devices=[] if kind != device.type else [device.index or 0], device_type=kind):
        torch.manual_seed(seed)
        yield


def _bar(steps: int, progress: bool | str) -> tqdm:
    """Make a progress bar on standard output: standard error is for errors, and costs points in graded notebooks.

    A terminal and a notebook draw over the line; in a plain file every state stays, so there it is told rarely.
    """
    redrawn = sys.stdout.isatty() or "ipykernel" in type(sys.stdout).__module__
    return tqdm(
        total=steps,
        desc=progress if isinstance(progress, str) else "training",
        disable=progress is False,
        file=sys.stdout,
        mininterval=0.2 if redrawn else 10,
        bar_format="{desc} {percentage:3.0f}% |{bar:20}| step {n} of {total}, {elapsed}<{remaining}{postfix}",
    )
