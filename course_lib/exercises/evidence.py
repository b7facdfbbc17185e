"""Evidence: observations as text that can leave the sandbox, JSON for the facts and safetensors for the numbers.

Never pickle: the reader must be safe from whatever a hostile notebook writes.
"""

import base64
import binascii
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from course_lib.exercises.running import DTYPES, MAX_BITS, MAX_DEPTH, MAX_ELEMENTS, MAX_ITEMS, MAX_TEXT, Observation

__all__ = ["MIME", "EvidenceError", "pack", "unpack"]

MIME = "application/vnd.course.evidence"  # of an output; behind it stand a dot, a token and +json

MAX_ENCODED = 24_000_000  # characters of base64 that one exercise may hand over
PLAIN = {"bool": bool, "int": int, "float": float, "str": str}


class EvidenceError(Exception):
    """The evidence cannot be read; the message says why, in a clause."""


def pack(observations: list[Observation]) -> dict[str, Any]:
    """Encode observations as a JSON-ready dict: {"observations": [...], "tensors": base64 of a safetensors file}."""
    tensors: dict[str, torch.Tensor] = {}
    facts = [_facts(observation, tensors) for observation in observations]
    return {"observations": facts, "tensors": base64.b64encode(save(tensors)).decode("ascii")}


def unpack(evidence: Any) -> list[Observation]:
    """Decode what `pack` wrote, trusting nothing.

    Raises EvidenceError if anything is missing, malformed or too large.
    """
    if not isinstance(evidence, dict) or set(evidence) != {"observations", "tensors"}:
        raise EvidenceError("it has not the two parts it should have")
    facts, encoded = evidence["observations"], evidence["tensors"]
    if not isinstance(facts, list) or not isinstance(encoded, str):
        raise EvidenceError("its parts have the wrong types")
    if len(encoded) > MAX_ENCODED:
        raise EvidenceError("its tensors are too large")
    try:
        tensors = load(base64.b64decode(encoded, validate=True))
    except (binascii.Error, SafetensorError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise EvidenceError("its tensors cannot be decoded") from error
    return [_observation(fact, tensors, 0) for fact in facts]


def _facts(seen: Observation, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": seen.kind, "type": seen.type}
    if seen.kind == "tensor":
        facts["device"] = seen.device
        if seen.value.is_meta:
            facts |= {"shape": list(seen.value.shape), "dtype": str(seen.value.dtype)}
        else:
            facts["tensor"] = f"t{len(tensors)}"
            tensors[facts["tensor"]] = seen.value.detach().contiguous().clone()
    elif seen.kind == "float":
        facts["value"] = seen.value.hex()  # JSON has neither NaN nor infinity
    elif seen.kind == "int":
        facts["value"] = hex(seen.value)  # and Python refuses to read very long decimals
    elif seen.kind in PLAIN:
        facts["value"] = seen.value
    elif seen.kind == "list":
        facts["value"] = [_facts(item, tensors) for item in seen.value]
    elif seen.kind == "dict":
        facts["value"] = {key: _facts(item, tensors) for key, item in seen.value.items()}
    elif seen.kind == "error":
        facts |= {"text": seen.text, "where": seen.where, "helper": seen.helper}
    return facts | ({"inputs_changed": True} if seen.inputs_changed else {})


def _observation(facts: Any, tensors: dict[str, torch.Tensor], depth: int) -> Observation:
    if not isinstance(facts, dict) or depth > MAX_DEPTH:
        raise EvidenceError("an observation is malformed")
    kind = _text(facts, "kind")
    device = text = where = helper = ""
    if kind == "tensor":
        device, value = _text(facts, "device"), _tensor(facts, tensors)
        if not _is_as_claimed(value, device):
            raise EvidenceError("a tensor claims to be what it is not")
    elif kind == "list":
        value = tuple(_observation(item, tensors, depth + 1) for item in _items(facts, list))
    elif kind == "dict":
        value = {key: _observation(item, tensors, depth + 1) for key, item in _items(facts, dict).items()}
    elif kind in PLAIN:
        value = _plain(kind, facts)
    elif kind == "error":
        value, text, where, helper = None, *(_text(facts, name) for name in ("text", "where", "helper"))
    elif kind in ("none", "other"):
        value = None
    else:
        raise EvidenceError("an observation is of an unknown kind")
    changed = facts.get("inputs_changed") is True
    return Observation(kind, _text(facts, "type"), value, device, text, changed, where, helper)


def _is_as_claimed(value: torch.Tensor, device: str) -> bool:
    """Whether a tensor without values says so, and the dtype is one that an answer can have."""
    return value.is_meta == (device == "meta") and value.dtype in DTYPES.values()


def _plain(kind: str, facts: dict[str, Any]) -> bool | int | float | str:
    if kind == "bool":
        if not isinstance(facts.get("value"), bool):
            raise EvidenceError("a bool is malformed")
        return facts["value"]
    value = _text(facts, "value")
    if kind == "int" and len(value) > MAX_BITS // 4 + 4:
        raise EvidenceError("a number is too long")
    try:
        return float.fromhex(value) if kind == "float" else int(value, 16) if kind == "int" else value
    except (ValueError, OverflowError) as error:
        raise EvidenceError("a number is malformed") from error


def _tensor(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    if "tensor" in facts:
        value = tensors.get(_text(facts, "tensor"))
        if value is None or value.numel() > MAX_ELEMENTS:
            raise EvidenceError("a tensor is missing or too large")
        return value
    shape, dtype = facts.get("shape"), DTYPES.get(_text(facts, "dtype"))
    sizes = isinstance(shape, list) and all(type(size) is int and 0 <= size <= MAX_ELEMENTS for size in shape)
    if not sizes or len(shape) > 16 or dtype is None:
        raise EvidenceError("a tensor is malformed")
    try:
        return torch.empty(shape, dtype=dtype, device="meta")
    except RuntimeError as error:
        raise EvidenceError("a tensor is malformed") from error


def _text(facts: dict[str, Any], key: str) -> str:
    value = facts.get(key)
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise EvidenceError(f"a {key} is missing or malformed")
    return value


def _items(facts: dict[str, Any], expected: type) -> Any:
    value = facts.get("value")
    if not isinstance(value, expected) or len(value) > MAX_ITEMS:
        raise EvidenceError(f"a {expected.__name__} is malformed")
    return value
