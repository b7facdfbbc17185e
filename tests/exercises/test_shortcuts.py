"""A shortcut is found wherever the answer uses it, and a learner's own names are never mistaken for one."""

import pytest

from course_lib.exercises.shortcuts import find_shortcut

FORBIDDEN = {"ready_made": "That is ready made."}


def find(*sources):
    return find_shortcut(sources, "answer", FORBIDDEN)


@pytest.mark.parametrize(
    "sources",
    [
        ["def answer(n): return torch.ready_made(n)"],
        ["from torch import ready_made", "def answer(n): return ready_made(n)"],
        ["from torch import ready_made as mine", "def answer(n): return mine(n)"],
        ["def answer(n):\n    from torch import ready_made as mine\n    return mine(n)"],
        ["def answer(n): return getattr(torch, 'ready_made')(n)"],
        ["def helper(n): return torch.ready_made(n)", "def answer(n): return helper(n)"],
        ["answer = torch.ready_made"],
        ["f = torch.ready_made\nanswer = lambda n: f(n)"],
        ["class answer(torch.nn.Module):\n    def forward(self, n): return torch.ready_made(n)"],
        ["%matplotlib inline\ndef answer(n): return torch.ready_made(n)"],
        ["if True:\n    def answer(n): return torch.ready_made(n)"],
        ["import torch.ready_made as r", "def answer(n): return r(n)"],
    ],
)
def test_a_forbidden_name_is_found(sources):
    assert find(*sources) == "That is ready made."


@pytest.mark.parametrize(
    "sources",
    [
        ["from course_lib.masks import create_causal_mask", "def answer(n): return create_causal_mask(n)"],
        ["from course_lib import masks", "def answer(n): return masks.create_causal_mask(n)"],
        ["import course_lib.masks", "def answer(n): return course_lib.masks.create_causal_mask(n)"],
        ["def answer(n):\n    from course_lib import masks as m\n    return m.create_causal_mask(n)"],
        ["from course_lib import masks", "def helper(n): return masks.f(n)", "def answer(n): return helper(n)"],
        ["from course_lib import masks", "kept = masks.create_causal_mask(5)", "def answer(n): return kept"],
    ],
)
def test_the_course_itself_is_forbidden_everywhere(sources):
    assert "answer uses course_lib" in find(*sources)


@pytest.mark.parametrize(
    "sources",
    [
        [],
        ["def answer(n): return n"],
        ["this is not Python", "def answer(n): return n"],
        ["torch.ready_made(3)", "def answer(n): return n"],
        ["def answer(n): return torch.ready_made(n)", "def answer(n): return n"],
        ["from course_lib import masks", "mask = masks.create_causal_mask(4)", "def answer(mask): return mask"],
        ["from course_lib import masks\nmask = masks.f(4)", "def answer(*masks):\n    for mask in masks: pass"],
        ["from course_lib.attention import attention", "def answer(n):\n    attention = n\n    return attention"],
        ["from course_lib.attention import attention", "def answer(n): return [attention for attention in n]"],
        ["from course_lib.checking import check", "def answer(n): return n", "check('answer', answer)"],
    ],
)
def test_what_the_answer_does_not_use_is_no_shortcut(sources):
    assert find(*sources) is None
