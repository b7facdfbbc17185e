"""Evidence: what is packed comes back, and whatever a hostile notebook writes is refused in one way only."""

import base64
import copy
import json
import math
import random
from contextlib import suppress
from typing import Any

import pytest
import torch
from safetensors.torch import save

from course_lib.exercises.comparing import compare
from course_lib.exercises.evidence import EvidenceError, pack, unpack
from course_lib.exercises.running import MAX_ITEMS, MAX_TEXT, Observation, observe

VALUES = {
    "None": None,
    "bool": False,
    "int": -(2**70),
    "float": 0.1,
    "nan": math.nan,
    "infinity": -math.inf,
    "text": "ünï\x00\ud800 code",
    "list": [1, [2.5, "x"], torch.arange(3)],
    "dict": {"loss": 0.5, "gradient": torch.randn(2, 3)},
    "empty": torch.empty(0, 5),
    "scalar": torch.tensor(3),
    "bool tensor": torch.tensor([True, False]),
    "bfloat16": torch.randn(3).bfloat16(),
    "float16": torch.randn(3).half(),
    "float64": torch.randn(3).double(),
    "nan tensor": torch.tensor([torch.nan, torch.inf]),
    "meta": torch.empty(2, 3, dtype=torch.bfloat16, device="meta"),
    "two views of one tensor": [torch.arange(6).view(2, 3), torch.arange(6).view(2, 3).T],
    "unknown": object(),
}


def _evidence(facts: Any, tensors: Any = None) -> dict[str, Any]:
    encoded = base64.b64encode(save({})).decode() if tensors is None else tensors
    return {"observations": facts, "tensors": encoded}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_what_is_packed_comes_back(value: Any):
    before = observe(value)
    text = json.dumps(pack([before, before]))
    for after in unpack(json.loads(text)):
        assert compare(after, before, 0, 0) is None or value != value
        assert (after.kind, after.type, after.device) == (before.kind, before.type, before.device)


def test_errors_and_changed_inputs_come_back():
    raised = Observation("error", "ValueError", text="no", where="line 3 of f: x = x & y", helper="f")
    seen = [raised, Observation("none", "NoneType", inputs_changed=True)]
    assert unpack(pack(seen)) == seen


def _nested(depth: int) -> dict[str, Any]:
    fact: dict[str, Any] = {"kind": "none", "type": ""}
    for _ in range(depth):
        fact = {"kind": "list", "type": "list", "value": [fact]}
    return fact


TENSOR = {"kind": "tensor", "type": "Tensor", "device": "cpu"}
META = {**TENSOR, "device": "meta", "dtype": "torch.float32"}
MALFORMED = {
    "nothing": None,
    "a list": [],
    "a part is missing": {"observations": []},
    "a part too many": {**_evidence([]), "points": 4},
    "no list": _evidence({}),
    "no text": _evidence([], 7),
    "no base64": _evidence([], "*" * 20),
    "not ascii": _evidence([], "ä" * 20),
    "no safetensors": _evidence([], base64.b64encode(b"x" * 50).decode()),
    "a header longer than the file": _evidence([], base64.b64encode(b"\xff" * 8 + b"{}").decode()),
    "nothing inside": _evidence([], ""),
    "too large": _evidence([], "A" * 24_000_004),
    "an observation is a number": _evidence([1]),
    "no kind": _evidence([{"type": "x"}]),
    "unknown kind": _evidence([{"kind": "pickle", "type": "x"}]),
    "kind is a list": _evidence([{"kind": ["none"], "type": "x"}]),
    "no type": _evidence([{"kind": "none"}]),
    "long type": _evidence([{"kind": "none", "type": "x" * (MAX_TEXT + 1)}]),
    "a bool of text": _evidence([{"kind": "bool", "type": "bool", "value": "True"}]),
    "a bool of a number": _evidence([{"kind": "bool", "type": "bool", "value": 1}]),
    "a float of words": _evidence([{"kind": "float", "type": "float", "value": "half"}]),
    "a float that overflows": _evidence([{"kind": "float", "type": "float", "value": "0x1p99999"}]),
    "an int of words": _evidence([{"kind": "int", "type": "int", "value": "0xzz"}]),
    "an int as a number": _evidence([{"kind": "int", "type": "int", "value": 5}]),
    "a list of nothing": _evidence([{"kind": "list", "type": "list"}]),
    "a list too long": _evidence([{"kind": "list", "type": "list", "value": [_nested(0)] * (MAX_ITEMS + 1)}]),
    "a dict of a list": _evidence([{"kind": "dict", "type": "dict", "value": []}]),
    "deeply nested": _evidence([_nested(50)]),
    "a tensor that is not there": _evidence([{**TENSOR, "tensor": "t0"}]),
    "a tensor named by a number": _evidence([{**TENSOR, "tensor": 0}]),
    "a tensor without a device": _evidence([{"kind": "tensor", "type": "Tensor", "tensor": "t0"}]),
    "a shape of text": _evidence([{**META, "shape": "23"}]),
    "a negative shape": _evidence([{**META, "shape": [-1]}]),
    "a shape of bools": _evidence([{**META, "shape": [True]}]),
    "a huge shape": _evidence([{**META, "shape": [10**6] * 16}]),
    "too many axes": _evidence([{**META, "shape": [1] * 17}]),
    "an unknown dtype": _evidence([{**META, "shape": [1], "dtype": "torch.load"}]),
    "an error without text": _evidence([{"kind": "error", "type": "ValueError", "where": ""}]),
    "an error from nowhere": _evidence([{"kind": "error", "type": "ValueError", "text": ""}]),
    "an error from a number": _evidence([{"kind": "error", "type": "ValueError", "text": "", "where": 3}]),
    "an error from very far": _evidence([{"kind": "error", "type": "E", "text": "", "where": "x" * (MAX_TEXT + 1)}]),
}


@pytest.mark.parametrize("evidence", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_evidence_is_refused(evidence: Any):
    with pytest.raises(EvidenceError):
        unpack(evidence)


SCRAPS = [None, True, -1, 10**30, 0.5, "", "tensor", "0x", [], {}, [[]], {"kind": "list"}, "\ud800", float("nan")]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Give every (container, key) inside nested lists and dicts."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(value, key), *_places(inner)]]


def test_damaged_evidence_raises_nothing_else(seed: int):
    chance = random.Random(seed)
    whole = pack([observe(value) for value in VALUES.values()])
    for _ in range(60):
        damaged = copy.deepcopy(whole)
        for _ in range(chance.randint(1, 3)):
            container, key = chance.choice(_places(damaged))
            if isinstance(container[key], str) and container[key] and chance.random() < 0.5:
                cut = chance.randrange(len(container[key]))
                scrap = chance.choice(["", "A", "=", "\x00"])
                container[key] = container[key][:cut] + scrap + container[key][cut + 1 :]
            else:
                container[key] = chance.choice(SCRAPS)
        with suppress(EvidenceError):
            assert all(isinstance(observation, Observation) for observation in unpack(damaged))


@pytest.mark.parametrize(
    "facts", [{**META, "device": "cpu"}, {**TENSOR, "device": "meta"}, {**META, "dtype": "torch.quint8"}]
)
def test_a_tensor_that_claims_to_be_what_it_is_not_is_refused(facts):
    evidence = pack([Observation("tensor", "Tensor", torch.ones(2), "cpu")])
    with pytest.raises(EvidenceError):
        unpack({"observations": [facts], "tensors": evidence["tensors"]})


def test_a_number_without_end_is_refused():
    empty = pack([])["tensors"]
    with pytest.raises(EvidenceError, match="too long"):
        unpack({"observations": [{"kind": "int", "type": "int", "value": "0x" + "f" * 5000}], "tensors": empty})


def test_a_tensor_without_values_is_no_answer_where_values_are_asked_for():
    right = observe(torch.ones(2, dtype=torch.bool))
    empty = Observation("tensor", "Tensor", torch.empty(2, dtype=torch.bool, device="meta"), "cpu")
    assert "expected values" in compare(empty, right, 0, 0).sentence
    assert compare(observe(torch.tensor(True).to("meta")), observe(True), 0, 0) is not None
