"""Lesson 04: values computed by hand, what the statements promise, and the odds that a right answer is condemned."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from course_lib import exercises
from course_lib.cache import KVCache
from course_lib.config import Sizes
from course_lib.exercises.exercise import Exercise, run_mistake
from course_lib.exercises.lesson04 import run as run_side
from course_lib.exercises.lesson04.bank.chances import ODDS, chances_of
from course_lib.exercises.running import Case, Observation, draw, run
from course_lib.exercises.shortcuts import find_shortcut

LESSON = exercises.lesson("04")
LOSS, SAMPLE, WRITE, ATTEND, BYTES = LESSON


def logits_of(*shares: float) -> torch.Tensor:
    """Logits that are not the logarithms of the shares, and whose softmax they are all the same."""
    return torch.tensor(shares).log() + 5


NOTHING = "nothing to predict|at least one label"
TWO = [[[1.0, 3.0], [1.0, 3.0], [9.0, 1.0]], [[1.0, 1.0], [1.0, 7.0], [1.0, 1.0]]]  # odds
REAL = torch.tensor([[True, True, True], [True, True, False]])[:, None, None]

# Losses: what is predicted has the probability 3/4 twice, then 1/2, then, where the mask lets it, 1/8.
BY_HAND = [
    ((torch.tensor(TWO[:1]).log(), torch.tensor([[0, 1, 1]])), math.log(4 / 3)),
    ((torch.tensor(TWO).log(), torch.tensor([[0, 1, 1], [1, 0, 0]]), REAL), math.log(16 / 9 * 2) / 3),
    ((torch.tensor(TWO).log(), torch.tensor([[0, 1, 1], [1, 0, 0]])), math.log(16 / 9 * 2 * 8) / 4),
    ((torch.tensor(TWO).log(), torch.tensor([[0, 1, 1], [1, 0, 0]]), REAL.flip(-1)), math.log(16 / 9 * 8) / 3),
]


@pytest.mark.parametrize(("args", "expected"), BY_HAND)
def test_the_loss_is_what_a_pencil_gives(args: tuple[torch.Tensor, ...], expected: float):
    for right in (LOSS.reference, *LOSS.alternatives):
        assert right(*args).item() == pytest.approx(expected, rel=1e-5)


def test_nothing_to_predict_is_an_error_for_each_right_answer():
    for right in (LOSS.reference, *LOSS.alternatives):
        with pytest.raises(ValueError, match=NOTHING):
            right(torch.zeros(2, 1, 3), torch.zeros(2, 1, dtype=torch.long))
        with pytest.raises(ValueError, match=NOTHING):
            right(torch.zeros(1, 3, 3), torch.zeros(1, 3, dtype=torch.long), torch.eye(1, 3).bool()[None, None])


# Shares 0.4, 0.3, 0.2 and 0.1 in two orders: which tokens may come, and how often.
SHARES = [[0.1, 0.4, 0.2, 0.3], [0.3, 0.2, 0.1, 0.4]]
KEPT = [
    ({}, SHARES),
    ({"temperature": 0.0}, [[0, 1, 0, 0], [0, 0, 0, 1]]),
    ({"temperature": 0.5}, [[1 / 30, 16 / 30, 4 / 30, 9 / 30], [9 / 30, 4 / 30, 1 / 30, 16 / 30]]),
    ({"top_k": 2}, [[0, 4 / 7, 0, 3 / 7], [3 / 7, 0, 0, 4 / 7]]),
    ({"top_k": 9}, SHARES),
    ({"top_p": 0.35}, [[0, 1, 0, 0], [0, 0, 0, 1]]),
    ({"top_p": 0.45}, [[0, 4 / 7, 0, 3 / 7], [3 / 7, 0, 0, 4 / 7]]),
    ({"top_p": 0.85}, [[0, 4 / 9, 2 / 9, 3 / 9], [3 / 9, 2 / 9, 0, 4 / 9]]),
    ({"top_k": 2, "top_p": 0.5}, [[0, 1, 0, 0], [0, 0, 0, 1]]),  # 4/7 is above 0.5, and 0.4 is not
    ({"temperature": 0.5, "top_p": 0.5}, [[0, 1, 0, 0], [0, 0, 0, 1]]),  # 16/30 is above 0.5
]


@pytest.mark.parametrize(("options", "expected"), KEPT, ids=str)
def test_chances_are_what_a_pencil_gives_and_right_answers_draw_by_them(options: dict, expected: list):
    logits = torch.stack([logits_of(*row) for row in SHARES])
    chances = chances_of(Case("any", "", (logits,), options))
    torch.testing.assert_close(chances, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)
    many = 4000
    for right in (SAMPLE.reference, *SAMPLE.alternatives):
        tokens = right(logits.repeat(many, 1), **options, generator=torch.Generator().manual_seed(1)).view(many, 2)
        drawn = torch.stack([column.bincount(minlength=4) for column in tokens.unbind(1)]) / many
        assert ((drawn > 0) == (chances > 0)).all()
        torch.testing.assert_close(drawn.double(), chances, rtol=0, atol=0.05)  # six standard errors at most


def counts_in(exercise: Exercise, seed: int) -> Iterator[tuple[Case, Observation, torch.Tensor]]:
    cases = draw(exercise.side, seed)
    for case, seen in zip(cases, run(exercise.side, exercise.reference, cases, seed), strict=True):
        if (chances := chances_of(case)) is not None:
            yield case, seen, chances


def test_a_right_sampler_is_condemned_less_than_once_in_a_billion_times():
    counts = sum(chances.numel() for _, _, chances in counts_in(SAMPLE, 0))
    assert counts * 2 * math.exp(-ODDS) < 1e-9


def test_the_bound_holds_for_every_count_that_may_come():
    """The exact probability of the counts that are condemned, summed up, for chances as in the cases."""
    n = run_side.ROWS
    for chance in (0.004, 0.03, 0.1, 0.3, 0.5, 0.76):
        count = torch.arange(n + 1, dtype=torch.float64)
        p = torch.tensor(chance, dtype=torch.float64)
        exact = torch.distributions.Binomial(n, probs=p).log_prob(count).exp()
        share = count / n
        divergence = torch.special.xlogy(share, share / p) + torch.special.xlogy(1 - share, (1 - share) / (1 - p))
        condemned = n * divergence > ODDS
        assert condemned.any()
        assert exact[condemned].sum() <= 2 * math.exp(-ODDS)


def test_no_sum_of_chances_is_close_to_top_p(seed: int):
    """However a right answer adds up, and in whatever order, it keeps the same tokens."""
    for case, _, _ in counts_in(SAMPLE, seed):
        top_p = case.kwargs.get("top_p")
        without = chances_of(Case(case.group, "", case.args, {k: v for k, v in case.kwargs.items() if k != "top_p"}))
        if top_p not in (None, 1) and case.kwargs.get("temperature") != 0:
            sums = without.sort(descending=True).values.cumsum(-1)
            assert (sums - top_p).abs().min() > 0.01, case.shown


def test_logits_differ_enough_for_any_order_to_be_the_same(seed: int):
    for case in draw(SAMPLE.side, seed):
        assert case.args[0].sort(dim=-1).values.diff(dim=-1).min() > 0.25
        assert len(set(case.args[0].argmax(-1).tolist())) == 2


def test_other_numbers_drawn_from_the_same_generator_are_as_good():
    """No verdict hangs on which tokens came: only on how often."""
    answers = [SAMPLE.reference, *SAMPLE.alternatives]
    runs = [run(SAMPLE.side, answer, draw(SAMPLE.side, 4), 4) for answer in answers]
    assert any(not torch.equal(seen[0].value, runs[0][0].value) for seen in runs[1:])
    for seen in runs:
        assert SAMPLE.decide(seen, 4).passed


def counting(ids: torch.Tensor) -> torch.Tensor:
    """A model that says: the next token is the number of tokens so far plus the first of them, modulo 7."""
    steps = torch.arange(1, ids.shape[1] + 1)
    return torch.nn.functional.one_hot((ids[:, :1] + steps) % 7, 7).float()


def test_writing_is_what_a_pencil_gives():
    for right in WRITE.alternatives:
        assert right(counting, torch.tensor([[4, 0], [1, 1]]), 3).tolist() == [[6, 0, 1], [3, 4, 5]]


def test_every_token_has_a_say_in_what_is_written(seed: int):
    """In some case the first token of the prompt decides, in some the order, and not all answers are one token."""
    first = order = several = 0
    for case in draw(WRITE.side, seed):
        model, prompt, count = case.args
        with torch.no_grad():
            best = model(prompt).topk(2).values[:, -1]
        assert (best[:, 0] - best[:, 1]).min() > 1e-9  # float64: nothing that a right answer rounds can turn it
        written = WRITE.reference(model, prompt, count)
        other = torch.cat(((prompt[:, :1] + 1) % 11, prompt[:, 1:]), dim=1)
        first += not torch.equal(written, WRITE.reference(model, other, count))
        order += not torch.equal(written, WRITE.reference(model, prompt.flip(1), count))
        several += len(written.unique()) > 1
    assert first >= 1
    assert order >= 1
    assert several >= 3


def test_attending_is_what_a_pencil_gives():
    """Equal scores: token 0 reads 1, then two tokens read the means of 1, 3 and of 1, 3, 8."""
    v = torch.tensor([[1.0, 0.0], [3.0, 0.0], [8.0, 6.0]])[None, None]
    nothing = torch.zeros_like(v)
    for right in (ATTEND.reference, *ATTEND.alternatives):
        cache, like = KVCache(max_len=3), (nothing, nothing, v)
        outputs = [right(*(part[:, :, new] for part in like), cache) for new in (slice(1), slice(1, 3))]
        torch.testing.assert_close(torch.cat(outputs, dim=2), torch.tensor([[[[1.0, 0], [2, 0], [4, 2]]]]))


def test_cached_attention_is_torchs_own_over_everything(seed: int):
    cases = draw(ATTEND.side, seed)
    for case, seen in zip(cases, run(ATTEND.side, ATTEND.reference, cases), strict=True):
        if case.group != run_side.KEPT:
            whole = torch.nn.functional.scaled_dot_product_attention(*case.args, is_causal=True)
            torch.testing.assert_close(seen.value, whole, rtol=1e-5, atol=1e-5)


def test_bytes_are_what_a_pencil_gives():
    """LLaMA-2-7b at 4,096 tokens: 2 GiB; with 8 heads for keys and values and 128 numbers each, a quarter of it."""
    size = {"vocab_size": 32000, "d_model": 4096, "num_layers": 32, "num_heads": 32, "d_ff": 11008}
    for right in (BYTES.reference, *BYTES.alternatives):
        assert right(Sizes(**size), 4096) == 2 * 2**30
        assert right(Sizes(**size, num_kv_heads=8, head_dim=128), 4096, 3, torch.float32) == 3 * 2**30
        assert type(right(Sizes(**size), 7)) is int


@pytest.mark.parametrize("exercise", [LOSS, ATTEND], ids=lambda exercise: exercise.id)
def test_wrong_values_are_clearly_wrong(exercise: Exercise, seed: int):
    """No verdict hangs on the tolerance: where a mistake gives other numbers, they are fifty times as far away."""
    expected = run(exercise.side, exercise.reference, draw(exercise.side, seed), seed)
    for name, wrong in exercise.mistakes():
        farthest = 0.0
        for got, want in zip(run_mistake(exercise, wrong, seed), expected, strict=True):
            other = got.kind != want.kind or (want.kind == "error" and got.type != want.type)
            if got.inputs_changed or other or (got.kind == "dict" and not _same_parts(got, want)):
                farthest = math.inf
            elif want.kind == "tensor":
                mine, right = got.value, want.value
                same = mine.shape == right.shape and torch.equal(mine.isfinite(), right.isfinite())
                farthest = max(farthest, (mine - right).abs().max().item()) if same else math.inf
        assert farthest > 50 * exercise.judge.atol, name


@pytest.mark.parametrize("exercise", [LOSS, ATTEND], ids=lambda exercise: exercise.id)
def test_right_answers_agree_ten_times_as_closely_as_they_must(exercise: Exercise, seed: int):
    expected = run(exercise.side, exercise.reference, draw(exercise.side, seed), seed)
    for right in exercise.alternatives:
        for got, want in zip(run(exercise.side, right, draw(exercise.side, seed), seed), expected, strict=True):
            if want.kind == "tensor":
                atol, rtol = exercise.judge.atol / 10, exercise.judge.rtol / 10
                torch.testing.assert_close(got.value, want.value, rtol=rtol, atol=atol)


def _same_parts(got: Observation, want: Observation) -> bool:
    return all(torch.equal(got.value[key].value, want.value[key].value) for key in want.value)


TORCHS = """def attend_with_cache(q, k, v, cache):
    k, v = cache.append(k, v)
    return F.scaled_dot_product_attention(q, k, v)"""
OWN = """from course_lib.cache import KVCache
from course_lib.masks import create_causal_mask
def attend_with_cache(q, k, v, cache: KVCache):
    k, v = cache.append(k, v)
    mask = create_causal_mask(cache.length)[..., -q.shape[-2] :, :]
    return torch.softmax((q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf), -1) @ v"""
TYPED = """from course_lib.config import Sizes
from course_lib.decoder import Decoder, DecoderConfig
def cache_bytes(config: DecoderConfig | Sizes, length: int) -> int:
    return 0
def generate(model: Decoder, prompt, max_new_tokens):
    return prompt"""


def shortcut(exercise: Exercise, source: str) -> str | None:
    return find_shortcut([source], exercise.side.name, exercise.forbidden, exercise.allowed)


def test_torchs_attention_is_refused_and_the_cache_and_the_masks_are_not():
    assert shortcut(ATTEND, TORCHS).startswith("attend_with_cache uses scaled_dot_product_attention, which is")
    assert shortcut(ATTEND, OWN) is None
    assert shortcut(ATTEND, OWN.replace("course_lib.cache", "course_lib.generation")) is None
    assert "uses course_lib" in shortcut(ATTEND, OWN.replace("course_lib.masks", "course_lib.decoder"))
    assert shortcut(BYTES, TYPED) is shortcut(WRITE, TYPED) is None
    assert "uses course_lib" in shortcut(BYTES, TYPED.replace("0", "Sizes").replace("Sizes\n", "head_size\n"))


GENERATIONS: list[Callable[..., Any]] = [WRITE.reference, *WRITE.alternatives]


def test_more_calls_than_tokens_are_no_fault():
    def asks_twice(model: Callable[..., torch.Tensor], prompt: torch.Tensor, max_new_tokens: int) -> torch.Tensor:
        model(prompt)
        return WRITE.alternatives[0](model, prompt, max_new_tokens)

    assert WRITE.grade(asks_twice).passed
