"""Forbidden names are found wherever a learner's function reaches them, and nowhere else."""


import pytest

from course_lib.exercises.shortcuts import find_shortcut
from tests.clock import works_within

FORBIDDEN = {"generate_square_subsequent_mask": "no", "scaled_dot_product_attention": "not this one"}

FOUND = {
    "directly": "def f(n):\n    return torch.nn.Transformer.generate_square_subsequent_mask(n)",
    "imported": "from torch.nn.functional import scaled_dot_product_attention\ndef f(q):\n"
    "    return scaled_dot_product_attention(q, q, q)",
    "imported under another name": "from torch.nn.functional import scaled_dot_product_attention as sdpa\n"
    "def f(q):\n    return sdpa(q, q, q)",
    "a module under another name": "import torch.nn.functional as G\ndef f(q):\n"
    "    return G.scaled_dot_product_attention(q, q, q)",
    "kept in a variable": "mask = torch.nn.Transformer.generate_square_subsequent_mask\ndef f(n):\n    return mask(n)",
    "by its name as text": "def f(n):\n    return getattr(torch.nn.Transformer, 'generate_square_subsequent_mask')(n)",
    "in a helper": "def g(n):\n    return torch.nn.Transformer.generate_square_subsequent_mask(n)\n"
    "def f(n):\n    return g(n)",
    "in a helper of a helper": "def h(n):\n    return torch.nn.Transformer.generate_square_subsequent_mask(n)\n"
    "def g(n):\n    return h(n)\ndef f(n):\n    return g(n)",
    "in a lambda": "f = lambda n: torch.nn.Transformer.generate_square_subsequent_mask(n)",
    "in a method": "class f:\n    def forward(self, q):\n        return F.scaled_dot_product_attention(q, q, q)",
    "in a default": "def f(n, make=torch.nn.Transformer.generate_square_subsequent_mask):\n    return make(n)",
    "in a decorator": "@torch.nn.Transformer.generate_square_subsequent_mask\ndef f(n):\n    return n",
    "imported inside": "def f(q):\n    from torch.nn.functional import scaled_dot_product_attention as s\n"
    "    return s(q, q, q)",
    "annotated": "make: object = torch.nn.Transformer.generate_square_subsequent_mask\ndef f(n):\n    return make(n)",
}

FREE = {
    "plain": "def f(n):\n    return torch.ones(n, n).tril()",
    "used elsewhere": "def g(n):\n    return torch.nn.Transformer.generate_square_subsequent_mask(n)\n"
    "def f(n):\n    return n",
    "defined again without": "def f(n):\n    return torch.nn.Transformer.generate_square_subsequent_mask(n)\n"
    "def f(n):\n    return n",
    "named in a sentence": "def f(n):\n    '''Like generate_square_subsequent_mask, by hand.'''\n    return n",
    "recursive": "def f(n):\n    return f(n - 1) if n else n",
    "not there": "x = 1",
}


@pytest.mark.parametrize("source", FOUND.values(), ids=FOUND.keys())
def test_a_shortcut_is_found(source: str):
    assert find_shortcut(source.split("\n\n"), "f", FORBIDDEN) in FORBIDDEN.values()


@pytest.mark.parametrize("source", FREE.values(), ids=FREE.keys())
def test_right_code_is_left_alone(source: str):
    assert find_shortcut([source], "f", FORBIDDEN) is None


@pytest.mark.parametrize(
    "source",
    [
        "from course_lib.masks import create_causal_mask\ndef f(n):\n    return create_causal_mask(n)",
        "from course_lib import masks\ndef f(n):\n    return masks.create_causal_mask(n)",
        "import course_lib.masks as m\ndef f(n):\n    return m.create_causal_mask(n)",
        "import course_lib.masks\ndef f(n):\n    return course_lib.masks.create_causal_mask(n)",
        "def f(n):\n    from course_lib.masks import create_causal_mask as c\n    return c(n)",
        "def f(n):\n    import course_lib.masks as m\n    return m.create_causal_mask(n)",
    ],
)
def test_the_course_itself_is_a_shortcut_everywhere(source: str):
    sentence = find_shortcut([source], "f", {})
    assert sentence is not None
    assert sentence.startswith("f uses course_lib")


@pytest.mark.parametrize(
    ("source", "free"),
    [
        ("from course_lib.masks import create_causal_mask\ndef f(n):\n    return create_causal_mask(n)", True),
        ("from course_lib import masks\ndef f(n):\n    return masks.create_causal_mask(n)", True),
        ("def f(n):\n    import course_lib.masks as m\n    return m.create_causal_mask(n)", True),
        ("from course_lib import attention\ndef f(n):\n    return attention.split_heads(n)", False),
        ("from course_lib.masks_of_others import create\ndef f(n):\n    return create(n)", False),
        ("from course_lib.masks import create_causal_mask as c\nfrom course_lib import attention as a\n"
         "def f(n):\n    return a.attention(c(n))", False),
    ],
)  # fmt: skip
def test_a_module_may_be_allowed_and_the_others_stay_forbidden(source: str, free: bool):
    assert (find_shortcut([source], "f", {}, ("course_lib.masks",)) is None) is free
    assert find_shortcut([source], "f", {"create_causal_mask": "no", "create": "no", "attention": "no"}) is not None


def test_an_own_function_under_a_name_of_the_course_is_free():
    sources = [
        "from course_lib.masks import create_causal_mask",
        "def create_causal_mask(n):\n    return n",
        "def f(n):\n    return create_causal_mask(n)",
    ]
    assert find_shortcut(sources, "f", FORBIDDEN) is None


@pytest.mark.parametrize("broken", ["def f(:", "\x00", "(" * 500, "%matplotlib inline\n!ls"])
def test_broken_cells_are_passed_over(broken: str):
    assert find_shortcut([broken, FOUND["directly"]], "f", FORBIDDEN) == "no"


@pytest.mark.parametrize(
    "odd",
    [
        "def g():\n    n = 0\n    global n", "def g(a, a): pass", "x = " + "+".join(["1"] * 3000), "a" + ".b" * 3000,
        "%time 1\n" * 600, "!ls\n" * 450 + "x = 1\n" * 5000, "(" * 5000, "\0", "'\ud800'",
    ],
)  # fmt: skip
def test_a_cell_that_defies_the_compiler_hides_no_other_and_takes_no_time(odd):
    with works_within(5):
        assert find_shortcut([odd, FOUND["directly"]], "f", FORBIDDEN) == "no"
        assert find_shortcut(["def f(n): return n", odd], "f", FORBIDDEN) is None


@pytest.mark.parametrize("line", ["%matplotlib inline", "!pip list", "torch.ones?", "files = !ls", "%%time"])
def test_magics_hide_nothing_however_long_the_cell(line):
    source = f"{line}\n{'# a comment' * 500}\ndef f(n):\n    return torch.forbidden(n)"
    assert find_shortcut([source], "f", {"forbidden": "no"}) == "no"


def test_a_statement_of_many_names_is_read_once():
    names = ", ".join(f"n{number}" for number in range(2000))
    with works_within(5):
        assert find_shortcut([f"{names} = range(2000)\ndef f():\n    return {names}"], "f", {"forbidden": "no"}) is None
