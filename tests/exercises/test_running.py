"""The run side: plain observations of whatever a learner's code gives back, raises or writes into."""

import numpy as np
import pytest
import torch

from course_lib.exercises.running import MAX_ELEMENTS, Case, Observation, RunSide, call_module, draw, observe, run


def _side(*cases: Case) -> RunSide:
    return RunSide("00.toy", "A toy", "toy is not written yet.", lambda generator: list(cases))


class Friendly(torch.Tensor):
    """A tensor that calls everything equal."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = torch.Tensor.__hash__

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return True


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "none"),
        (True, "bool"),
        (np.bool_(True), "bool"),
        (3, "int"),
        (np.int64(3), "int"),
        (2**5000, "other"),
        (0.5, "float"),
        (np.float32(0.5), "float"),
        ("text", "str"),
        ([1, (2.0, "a")], "list"),
        ({"a": 1, 2: None}, "dict"),
        ([1] * 65, "other"),
        ([[[[1]]]], "list"),
        (object(), "other"),
        (torch.zeros(2), "tensor"),
        (torch.nn.Parameter(torch.zeros(2)), "tensor"),
        (torch.zeros(0), "tensor"),
        (torch.zeros(2, dtype=torch.complex64), "other"),
        (torch.eye(2).to_sparse(), "other"),
        (torch.zeros(1).expand(MAX_ELEMENTS + 1), "other"),
        (torch.zeros(2).as_subclass(Friendly), "other"),
        (np.zeros(2), "other"),
    ],
)
def test_every_value_becomes_plain_data(value: object, kind: str):
    assert observe(value).kind == kind


def test_deep_lists_end_somewhere():
    seen = observe([[[[1]]]])
    assert seen.value[0].value[0].value[0].kind == "other"


def test_a_friendly_subclass_is_not_a_tensor():
    seen = observe(torch.zeros(2).as_subclass(Friendly))
    assert seen == Observation("other", "Friendly")


def test_a_tensor_is_copied_off_its_graph_and_its_storage():
    x = torch.arange(6.0).requires_grad_()
    seen = observe(x.view(2, 3).T)
    assert not seen.value.requires_grad
    assert seen.value.is_contiguous()
    assert seen.value.data_ptr() != x.data_ptr()
    assert observe(torch.zeros(2, device="meta")).device == "meta"


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), BadText()])
def test_what_is_raised_is_seen(error: BaseException):
    def student():
        raise error

    (seen,) = run(_side(), student, [Case("all", "student()")])
    assert (seen.kind, seen.type) == ("error", type(error).__name__)


def wants_each(x, *more):
    known = [1, 2]

    return [
        known[i] for i in x
    ], [
        [known[i + j]
         for i in range(2)] for j in range(2)
    ], more  # fmt: skip


def sorts(x):
    return sorted(
        x, key=lambda i: 1 // i
    )  # fmt: skip


def hands_on(x):
    return list(wants(i / 0 for i in x))


def wants(items):
    yield from items


@pytest.mark.parametrize(
    ("student", "x", "where"),
    [
        (wants_each, [0, 5], "line 5 of wants_each: known[i] for i in x"),
        (wants_each, [0, 1], "line 7 of wants_each: [known[i + j]"),
        (sorts, [0], "line 3 of sorts: x, key=lambda i: 1 // i"),
        (hands_on, [1], "line 2 of hands_on: return list(wants(i / 0 for i in x))"),
        (lambda x: [1 // i for i in x], [0], "line 1 of your function: (lambda x: [1 // i for i in x], [0], "),
    ],
)
def test_the_line_of_an_error_is_counted_within_the_function_it_stands_in(student, x, where: str):
    (seen,) = run(_side(), student, [Case("all", "student(x)", (x,))])
    assert seen.where.startswith(where)


def test_an_interrupt_goes_through():
    def student():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(_side(), student, [Case("all", "student()")])


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.add_(1),
        lambda x: x.data.mul_(2),
        lambda x: x.resize_(1),
        lambda x: x.fill_(torch.nan),
    ],
)
def test_a_changed_input_is_noticed(change):
    for case in (Case("all", "", (torch.ones(3),)), Case("all", "", (), {"x": torch.ones(3)})):
        (seen,) = run(_side(), lambda x: change(x) and None, [case])
        assert seen.inputs_changed


def test_an_input_with_nan_that_stays_is_not_changed():
    (seen,) = run(_side(), lambda x: x.clone(), [Case("all", "", (torch.tensor([torch.nan, 1.0]),))])
    assert not seen.inputs_changed


def test_global_randomness_repeats_and_leaves_no_trace():
    side, cases = _side(), [Case("all", "")] * 2
    before = torch.random.get_rng_state()
    first = run(side, lambda: torch.rand(3), cases, seed=1)
    again = run(side, lambda: torch.rand(3), cases, seed=1)
    other = run(side, lambda: torch.rand(3), cases, seed=2)
    assert torch.equal(first[1].value, again[1].value)
    assert not torch.equal(first[1].value, other[1].value)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_module_gets_the_weights_of_the_case():
    weights = {"weight": torch.full((2, 3), 2.0), "bias": torch.ones(2)}
    case = Case("all", "", (torch.ones(1, 3),), init={"in_features": 3, "out_features": 2}, weights=weights)
    assert call_module(torch.nn.Linear, case).tolist() == [[7.0, 7.0]]


def test_equal_seeds_draw_equal_cases_in_new_tensors():
    side = RunSide("00.toy", "", "", lambda generator: [Case("all", "", (torch.rand(2, generator=generator),))])
    one, two, other = draw(side, 1)[0].args[0], draw(side, 1)[0].args[0], draw(side, 2)[0].args[0]
    assert torch.equal(one, two)
    assert one.data_ptr() != two.data_ptr()
    assert not torch.equal(one, other)
    assert side.name == "toy"


def test_settings_of_a_notebook_change_neither_the_cases_nor_the_answer_and_stay_its_own():
    side = RunSide("00.f", "f", "todo", lambda generator: [Case("g", "f(x)", (torch.randn(3, generator=generator),))])
    ordinary = run(side, lambda x: x + torch.ones(3), draw(side, 1))
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    try:
        odd = run(side, lambda x: x + torch.ones(3), draw(side, 1))
        settings = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_default_device().type)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.set_default_device(None)
    assert settings == (torch.float64, False, "meta")
    assert odd[0].value.dtype == torch.float32
    assert torch.equal(odd[0].value, ordinary[0].value)
