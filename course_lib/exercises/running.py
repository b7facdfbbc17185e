"""The run side of an exercise: call a learner's code on cases drawn from a seed and note what came back.

Nothing here knows a right answer. When a class is graded this module runs inside the sandbox, beside the learner's
code; the judge runs outside and reads only the observations.
"""

import io
import linecache
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "Case", "Observation", "RunSide", "Stopped", "answer", "call_function", "call_module", "draw", "observe",
    "ordinary_torch", "run",
]  # fmt: skip

# What a learner's function may return before we stop looking: enough for any exercise, small enough to carry.
MAX_ELEMENTS = 1_000_000
MAX_ITEMS = 64
MAX_TEXT = 10_000
MAX_DEPTH = 3
MAX_BITS = 4096
# In which an answer can be compared; a quantised, packed or complex one is no answer to anything.
DTYPES = {
    f"torch.{name}": getattr(torch, name)
    for name in "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64".split()
}
MAX_LINE = 200  # of a learner's source, quoted where it raised
MAX_PRINTED = 2_000  # characters of what one call prints

# Code that no learner wrote: this course, the standard library, torch and whatever else is installed.
INSTALLED = tuple({str(Path(__file__).parents[1]), *(sysconfig.get_path(n) for n in ("stdlib", "purelib", "platlib"))})


@dataclass(frozen=True)
class Case:
    """One call of the learner's code.

    group: the case group whose points depend on this call.
    shown: the call as a learner would type it, for the verdict card.
    args, kwargs: what the function, or a module's forward, is called with.
    init, weights: for a module, the arguments of its constructor and the parameters it gets before the call.
    """

    group: str
    shown: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    init: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """What came back from one call, as plain data.

    kind: tensor, bool, int, float, str, none, list, dict, error (the call raised), stopped (it had no end) or other
        (none of these).
    type: name of the type that came back, or of the exception.
    value: a tensor on the CPU (on `meta` if it was there), a plain value, or a tuple or dict of observations.
    device: where a tensor was; text: an exception's message; where: the line of the learner's own code that raised it.
    helper: the learner's function that raised it, where that is another than the one called.
    inputs_changed: the call wrote into its arguments.
    printed: the beginning of what it printed, which is no part of the answer; lines: how many lines that was in all.
    """

    kind: str
    type: str = ""
    value: Any = None
    device: str = ""
    text: str = ""
    inputs_changed: bool = False
    where: str = ""
    helper: str = ""
    printed: str = field(default="", compare=False)
    lines: int = field(default=0, compare=False)


class Stopped(BaseException):
    """Raised in a learner's code that has no end, by whoever watches over it; its text says why."""


class _Prints(io.TextIOBase):
    """Takes what a call prints: keeps the beginning, and counts the lines."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text, self.lines = "", 0

    def write(self, text: str) -> int:
        self.text += text[: MAX_PRINTED - len(self.text)]
        self.lines += text.count("\n")
        return len(text)


def call_function(student: Callable[..., Any], case: Case) -> Any:
    """Call a function with the case's arguments."""
    return student(*case.args, **case.kwargs)


def call_module(student: type[torch.nn.Module], case: Case) -> Any:
    """Build a module, give it the case's weights and call it."""
    module = student(**case.init)
    module.load_state_dict(dict(case.weights))
    return module(*case.args, **case.kwargs)


@dataclass(frozen=True)
class RunSide:
    """How to exercise the learner's code: which cases, and how one is called.

    id: public name, lesson and reference: "01.create_causal_mask".
    todo: the sentence a learner reads while the stub is not written yet.
    cases: draws the cases from a generator; every size and value may depend on it.
    """

    id: str
    title: str
    todo: str
    cases: Callable[[torch.Generator], list[Case]]
    call: Callable[[Any, Case], Any] = call_function

    @property
    def name(self) -> str:
        """The name of the function or class the learner writes."""
        return self.id.partition(".")[2]


@contextmanager
def ordinary_torch() -> Iterator[None]:
    """Give torch the settings it starts with, whatever a notebook made of them, and give the notebook's back."""
    dtype, device, gradients = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    if device.type != "cpu":
        torch.set_default_device("cpu")
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        if device.type != "cpu":
            torch.set_default_device(device)


def draw(side: RunSide, seed: int) -> list[Case]:
    """Draw the cases of an exercise; equal seeds give equal cases, in new tensors each time."""
    with ordinary_torch():
        return side.cases(torch.Generator().manual_seed(seed))


def run(side: RunSide, student: Any, cases: list[Case], seed: int = 0) -> list[Observation]:
    """Call `student` on every case; whatever it raises becomes an observation, and a call that is stopped is the last.

    What the code prints is not shown. Code that draws from torch's global generator gives the same answer on every
    run, whichever of the cases are run with it, and leaves the caller's generator as it was.
    """
    seen: list[Observation] = []
    with ordinary_torch(), torch.random.fork_rng(devices=[]):
        for case in cases:
            seen.append(_run_case(side, student, case, seed))
            if seen[-1].kind == "stopped":
                break
    return seen


def _run_case(side: RunSide, student: Any, case: Case, seed: int) -> Observation:
    torch.default_generator.manual_seed(seed)  # torch.manual_seed also queues a call for each kind of GPU
    inputs = [value for value in (*case.args, *case.kwargs.values()) if isinstance(value, Tensor)]
    before = [value.detach().clone() for value in inputs]
    prints = _Prints()
    try:
        with redirect_stdout(prints), redirect_stderr(prints):
            seen = answer(side, student, case)
    except (Exception, SystemExit, Stopped) as error:
        while isinstance(error, Stopped) and isinstance(error.__context__, Stopped):
            error = error.__context__  # what was caught at first shows the line
        where, helper = _where(error.__traceback__, student)
        kind = "stopped" if isinstance(error, Stopped) else "error"
        seen = Observation(kind, type(error).__name__, text=_clip(error), where=where, helper=helper)
    changed = any(not _identical(old, new) for old, new in zip(before, inputs, strict=True))
    return replace(seen, inputs_changed=changed, printed=prints.text, lines=prints.lines)


def answer(side: RunSide, student: Any, case: Case) -> Observation:
    """Call the learner's code on one case: while this runs, and only then, the learner's code does."""
    return observe(side.call(student, case))


def _where(trace: TracebackType | None, student: Any) -> tuple[str, str]:
    """Say which line of the learner's own code an exception came from, and which of its other functions that is in.

    Both are "" if the call never got so far; the function also if it is `student` itself or has no name.
    """
    own = [getattr(part, "__code__", None) for part in (student, *getattr(student, "__dict__", {}).values())]
    own_file = getattr(own[0], "co_filename", None)
    found = helper = ""
    met: list[CodeType] = []
    while trace is not None:
        code, line = trace.tb_frame.f_code, trace.tb_lineno
        if code.co_filename == own_file or not code.co_filename.startswith((*INSTALLED, "<frozen")):
            if not code.co_name.isidentifier():  # a comprehension counts its lines within the function it stands in
                code = next((outer for outer in reversed(met) if _holds(outer, code)), code)
            met.append(code)
            name = code.co_name if code.co_name.isidentifier() else "your function"
            helper = "" if code in own or name == "your function" else name
            found = f"line {max(line - code.co_firstlineno, 0) + 1} of {name}"
            source = linecache.getline(code.co_filename, line).strip()
            found += f": {source[:MAX_LINE]}" if source else ""
        trace = trace.tb_next
    return found, helper


def _holds(outer: CodeType, inner: CodeType) -> bool:
    parts = [part for part in outer.co_consts if isinstance(part, CodeType)]
    return inner in parts or any(_holds(part, inner) for part in parts)


def observe(value: Any, depth: int = 0) -> Observation:
    """Turn what a call returned into plain data; a tensor subclass is not a tensor."""
    name = type(value).__name__
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return Observation("none", name)
    if type(value) in (bool, float) or (type(value) is int and value.bit_length() <= MAX_BITS):
        return Observation(type(value).__name__, name, value)
    if type(value) is str:
        return Observation("str", name, value[:MAX_TEXT])
    if type(value) in (Tensor, torch.nn.Parameter) and _is_plain(value):
        data = value.detach()
        if data.device.type != "meta":
            data = data.cpu().contiguous().clone()
        return Observation("tensor", "Tensor", data, str(value.device))
    if depth < MAX_DEPTH:
        if type(value) in (list, tuple) and len(value) <= MAX_ITEMS:
            return Observation("list", name, tuple(observe(item, depth + 1) for item in value))
        if type(value) is dict and len(value) <= MAX_ITEMS:
            return Observation("dict", name, {str(key): observe(item, depth + 1) for key, item in value.items()})
    return Observation("other", name)


def _is_plain(value: Tensor) -> bool:
    return value.layout == torch.strided and value.dtype in DTYPES.values() and value.numel() <= MAX_ELEMENTS


def _identical(old: Tensor, new: Tensor) -> bool:
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    return old.is_meta or torch.equal(torch.nan_to_num(old), torch.nan_to_num(new.detach()))


def _clip(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except Exception:  # an exception class may have a broken __str__
        return ""
