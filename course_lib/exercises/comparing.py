"""What came back beside what should have: equal to a stated tolerance, or the first difference in words."""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.exercises.running import Observation

__all__ = ["CHANGED", "HALF", "Failure", "compare", "differing", "raised"]

CHANGED = "the call changed its arguments in place; work on copies"
# How many roundings apart two right answers in half precision may be: each step on the way to one is rounded.
HALF, ROUNDINGS = (torch.float16, torch.bfloat16), 16


@dataclass(frozen=True)
class Failure:
    """Why a case fails: one sentence, the call it happened in and, where pictures help, both values and the inputs.

    values: only numbers are wrong; type, shape, dtype and device are as they should be.
    """

    sentence: str
    shown: str = ""
    expected: Tensor | None = None
    got: Tensor | None = None
    inputs: tuple[tuple[str, Tensor], ...] = ()
    values: bool = False


def compare(
    got: Observation, want: Observation, rtol: float, atol: float, items: str = "items"
) -> Failure | None:
    """Compare two observations; None when they agree, else the first difference in words.

    rtol, atol: for floating-point tensors and numbers; tensors in half precision are compared as loosely as their few
    digits ask for. items: what a list holds, in words.
    """
    if want.kind == "error" or got.kind == "error":
        if got.kind == want.kind and got.type == want.type:
            return None
        return Failure(raised(got) if got.kind == "error" else f"expected {_an(want.type)}, and nothing was raised")
    if got.inputs_changed != want.inputs_changed:
        return Failure(CHANGED)
    if want.kind == "bool" and got.kind == "tensor" and _is_one_bool(got.value):
        got = Observation("bool", "bool", bool(got.value))  # a bool in a tensor is a fair answer
    if got.kind != want.kind:
        return Failure(f"expected {_an(_kind(want))}, got {_an(_kind(got))}{_advice(got, want)}")
    if want.kind == "tensor":
        return _compare_tensors(got, want, rtol, atol)
    if want.kind == "list":
        return _compare_lists(got.value, want.value, rtol, atol, items)
    if want.kind == "dict":
        return _compare_parts(got.value, want.value, rtol, atol)
    if want.kind == "float":
        close = torch.isclose(torch.tensor(got.value), torch.tensor(want.value), rtol, atol, equal_nan=True)
        return None if close else Failure(f"expected {want.value:.6g}, got {got.value:.6g}")
    return None if got.value == want.value else Failure(f"expected {want.value!r}, got {got.value!r}")


def _is_one_bool(value: Tensor) -> bool:
    return value.dtype == torch.bool and value.numel() == 1 and not value.is_meta


def _compare_lists(
    got: tuple[Observation, ...], want: tuple[Observation, ...], rtol: float, atol: float, items: str
) -> Failure | None:
    failures = [compare(mine, right, rtol, atol) for mine, right in zip(got, want, strict=False)]
    different = [number for number, failure in enumerate(failures) if failure]
    lengths = "" if len(got) == len(want) else f"expected {len(want)} {items}, got {len(got)}"
    if not different and not lengths:
        return None
    if not different:
        number, shorter = len(failures), len(got) < len(want)
        odd = _plain((want if shorter else got)[number])
        return Failure(f"{lengths}; {f'[{number}] is missing' if shorter else f'[{number}] is one too many'}: {odd}")
    number = different[0]
    failure = failures[number]
    if failure.expected is not None:
        return Failure(f"{lengths or number}: {failure.sentence}", "", failure.expected, failure.got)
    sentence = failure.sentence
    if "list" in (got[number].kind, want[number].kind):
        sentence = f"expected {_plain(want[number])}, got {_plain(got[number])}"
    if lengths:
        return Failure(f"{lengths}; the first that differs is [{number}]: {sentence}")
    return Failure(f"{len(different)} of {len(want)} {items} differ; the first is [{number}]: {sentence}")


def _plain(seen: Observation) -> str:
    """Write an observation as Python would write the value."""
    if seen.kind == "list":
        items = [_plain(item) for item in seen.value]
        text = ", ".join(items) + ("," if seen.type == "tuple" and len(items) == 1 else "")
        return f"({text})" if seen.type == "tuple" else f"[{text}]"
    if seen.kind in ("bool", "int", "str", "none"):
        return repr(seen.value)
    if seen.kind == "float":
        return _number(seen.value)
    if seen.kind == "tensor" and seen.value.numel() == 1 and not seen.value.is_meta:
        return f"tensor({_number(seen.value.item())})"
    return _an(_kind(seen))


def _compare_parts(got: dict, want: dict, rtol: float, atol: float) -> Failure | None:
    if set(got) != set(want):
        return Failure(f"expected the parts {sorted(want)}, got {sorted(got)}")
    for key in want:
        failure = compare(got[key], want[key], rtol, atol)
        if failure is not None:
            return Failure(f"{key}: {failure.sentence}", "", failure.expected, failure.got)
    return None


def _compare_tensors(got: Observation, want: Observation, rtol: float, atol: float) -> Failure | None:
    mine, right = got.value, want.value
    if mine.shape != right.shape:
        return Failure(f"expected shape {tuple(right.shape)}, got {tuple(mine.shape)}", "", right, mine)
    if mine.dtype != right.dtype:
        return Failure(f"expected dtype {right.dtype}, got {mine.dtype}", "", right, mine)
    if got.device != want.device:
        return Failure(f"expected a tensor on the device {want.device!r}, got one on {got.device!r}")
    if right.is_meta:
        return None
    if mine.is_meta:
        return Failure("expected values, got a tensor on the device 'meta', which has none")
    if torch.equal(mine, right):
        return None
    different = differing(mine, right, rtol, atol)
    if not different.any():
        return None
    where = different.nonzero()[0].tolist()
    index = "".join(f"[{i}]" for i in where)
    expected, came = right[tuple(where)].item(), mine[tuple(where)].item()
    where_first = f"{int(different.sum())} of {different.numel()} values differ; the first is {index}: "
    sentence = f"expected {_number(expected)}, got {_number(came)}"
    return Failure(f"{where_first if where else ''}{sentence}", "", right, mine, values=True)


def differing(mine: Tensor, right: Tensor, rtol: float, atol: float) -> Tensor:
    """Say which numbers of two tensors of one shape and dtype are not close; nan is close to nan.

    >>> differing(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), 1e-5, 0.0)
    tensor([False,  True])
    """
    if right.dtype in HALF:
        rounding = ROUNDINGS * torch.finfo(right.dtype).eps
        rtol, atol = max(rtol, rounding), max(atol, rounding)
    return ~torch.isclose(mine.double(), right.double(), rtol, atol, equal_nan=True)


def _advice(got: Observation, want: Observation) -> str:
    """Say how an answer of the wrong kind usually came about, and what to do."""
    if got.kind == "none":
        return ": did you forget `return`?"
    if got.type in ("function", "method", "builtin_function_or_method"):
        return ": did you forget the brackets behind its name?"
    if want.kind == "tensor" and got.type == "ndarray":
        return "; torch.from_numpy(...) makes a tensor of it"
    if want.kind == "tensor" and got.kind == "list":
        has_tensors = any(item.kind == "tensor" for item in got.value)
        return f"; torch.{'stack' if has_tensors else 'tensor'}(...) makes a tensor of it"
    if want.kind == "bool" and got.kind == "tensor" and got.value.numel() > 1:
        return "; .any() or .all() makes one answer of many"
    return ""


def raised(got: Observation) -> str:
    """Say what a call raised, and in which line of the learner's code."""
    said = f"your code raised {got.type}: {got.text}" if got.text else f"your code raised {got.type}"
    return f"{said.rstrip().rstrip('.')}\nIn {got.where}" if got.where else said


def _kind(seen: Observation) -> str:
    if seen.type == "ndarray":
        return "NumPy array"
    return {"none": "None", "other": seen.type, "list": seen.type}.get(seen.kind, seen.kind)


def _an(noun: str) -> str:
    if noun == "None":
        return noun
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _number(value: bool | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
