"""Known mistakes and right answers for `leaks_future`."""

import torch

from course_lib import leaks
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson01 import run
from course_lib.exercises.lesson01.bank.detectors import (
    by_cutting,
    by_gradient,
    by_numpy,
    by_one_large_batch,
    by_output,
    by_random_tokens,
    by_suffix,
    detector,
    down,
    even,
    even_down,
    even_up,
    first_token_only,
    in_place,
    last_verdict,
    not_put_back,
    on_the_first_axis,
    one_feature,
    piling_up,
    pushes,
    put_back,
    up,
)

__all__ = ["LEAKS"]

UNTOUCHED = "x stays as it is"
WAYS = (("up", up), ("down", down))


def _explain(case):
    """Say what a detector should have seen, by pushing one token at a time, and which pushes do not show it."""
    fn, x = case.args
    before = fn(x)
    for j in range(1, x.shape[1]):
        for way, push in WAYS:
            moved = _moved(fn, x, before, j, push)
            if moved.any():
                b, i, _ = (moved == moved.max()).nonzero()[0].tolist()
                low, high = (1 + x.abs().max()) * torch.tensor([1, 2])
                said = f"this fn leaks: when token {j} is pushed {way}, its features by {low:.2g} to {high:.2g}, "
                said += f"output {i} of sequence {b} moves by {moved.max():.2g}"
                other, back = WAYS[way == "up"]
                if not _moved(fn, x, before, j, back).any():
                    return f"{said} (pushed {other}, nothing moves)"
                if not any(_moved(fn, x, before, j, alike).any() for alike in (even_up, even_down)):
                    return f"{said} (with all features pushed by the same amount, nothing moves)"
                return said
    return "this fn is causal: whichever token j is changed, no output before j moves (output j may, and later ones)"


def _moved(fn, x, before, j, push):
    changed = x.clone()
    changed[:, j] += push(x)[0]
    return (fn(changed) - before)[:, :j].abs()


def _forgiving(a, b):
    return not torch.allclose(a, b)


def _forgiving_a_little(a, b):
    return not torch.allclose(a, b, rtol=3e-7, atol=1e-9)


def _above_1e_8(a, b):
    return not torch.allclose(a, b, rtol=0, atol=1e-8)


def _sum_differs(a, b):
    return bool((a - b).sum() != 0)


def _all_differ(a, b):
    return bool((a != b).all())


def _asks_a_whole_tensor(a, b):
    return bool(a != b)


LEAKS = Exercise(
    side=run.LEAKS,
    reference=leaks.leaks_future,
    groups={"ordinary leaks, and causal models": 2, "faint, one-sided and hidden leaks": 3, UNTOUCHED: 1},
    judge=Equality(untouched=UNTOUCHED, explain=_explain),
    difficulty=4,
    minutes=18,
    misconceptions={
        "always True": Misconception(
            lambda fn, x: True,
            "Every model is called leaky, the causal ones too. Does it return True whatever it finds? Or do you ask "
            ".all()? Before token 0 there is no output, and .all() of nothing is True: start at j = 1 and ask .any().",
        ),
        "always False": Misconception(
            lambda fn, x: False,
            "No leak is ever found. Is the changed copy really the one that goes through fn? Is it changed along the "
            "axis of the tokens, the second one? Do you compare with the output of the unchanged x?",
        ),
        "inverted": Misconception(
            lambda fn, x: not leaks.leaks_future(fn, x),
            "You answer whether the model is causal. The question is whether it leaks: True when an output moved that "
            "must not move.",
        ),
        "equal outputs are called a leak": Misconception(
            detector(differ=torch.equal),
            "You return True when nothing moved. torch.equal says that two tensors are the same: a leak is where it "
            "says False.",
        ),
        "the output at j is compared too": Misconception(
            detector(outputs=lambda y, j: y[:, : j + 1]),
            "A causal model may use token j for output j, so that output may move. Only the ones before j must stay: "
            "look at where your slice ends.",
        ),
        "outputs that may move are compared": Misconception(
            detector(outputs=lambda y, j: y[:, j:]),
            "You compare outputs that may move, those after j. A leak shows in the ones before j: the slice is "
            "[:, :j]. The first axis is the batch, the second one the positions.",
        ),
        "only the last output is compared": Misconception(
            detector(outputs=lambda y, j: y[:, -1]),
            "The last output may depend on every token. It is the outputs before the changed token that must not "
            "move.",
        ),
        "only the last token counts": Misconception(
            detector(tokens=lambda x: range(x.shape[1] - 1, x.shape[1])),
            "Only what the last token does decides. Either you change that one alone, or each round of your loop "
            "writes over what the rounds before it found. Try each j, and return True as soon as something moved.",
        ),
        "only the last comparison counts": Misconception(
            last_verdict(pushes),
            "Your answer is what the very last comparison said: each round of the loop writes over what the earlier "
            "ones found. Return True as soon as something moved, and False only after the loop.",
        ),
        "len(x) is taken for the number of tokens": Misconception(
            detector(tokens=lambda x: range(1, len(x))),
            "len(x) is the size of the first axis, and that is the batch. The tokens are on the second one: "
            "x.shape[1].",
        ),
        "the first axis is taken for the positions": Misconception(
            on_the_first_axis(),
            "x[j] is the whole sequence number j, since the first axis is the batch. Token j of every sequence is "
            "x[:, j], and the outputs before it are [:, :j].",
        ),
        "the last token is never changed": Misconception(
            detector(tokens=lambda x: range(1, x.shape[1] - 1)),
            "A model that reads only the very last token ahead of time passes. Look at where your range ends: "
            "range(1, n) stops before n already.",
        ),
        "only the first change is looked at": Misconception(
            first_token_only,
            "Your function returns after the first token it tried. Return True as soon as something moved, but False "
            "only after the loop, when nothing did.",
        ),
        "only the neighbour is compared": Misconception(
            detector(outputs=lambda y, j: y[:, j - 1 : j]),
            "You look at the output just before the changed token alone. A leak may jump further back: compare all "
            "outputs before j.",
        ),
        "only the first output is compared": Misconception(
            detector(outputs=lambda y, j: y[:, :1]),
            "You look at the first output alone. Any output before the changed token may be the one that leaks.",
        ),
        "blind to a leak by one": Misconception(
            detector(outputs=lambda y, j: y[:, : j - 1]),
            "A model that reads just one token ahead passes. Output j - 1 must not depend on token j either: your "
            "slice ends one too early.",
        ),
        "a tolerance hides the leak": Misconception(
            detector(differ=_forgiving),
            "A faint leak passes: torch.allclose forgives small differences, and so does a threshold of your own. A "
            "causal model cannot move its earlier outputs at all, so compare exactly: torch.equal, or !=.",
        ),
        "differences that cancel": Misconception(
            detector(differ=_sum_differs),
            "You add the differences up, or compare sums. One number may rise by what another falls, and the sum stays "
            "as it was. Compare number by number: torch.equal, or (a != b).any().",
        ),
        "a comparison of tensors in an if": Misconception(
            detector(differ=_asks_a_whole_tensor),
            "a != b gives one answer for each number, and `if` wants a single one. Say which you mean: "
            "(a != b).any(), or not torch.equal(a, b).",
        ),
        "a maximum over nothing": Misconception(
            detector(tokens=lambda x: range(x.shape[1]), differ=lambda a, b: bool((a - b).abs().max() > 0)),
            "Before token 0 there is no output, so at j = 0 your slice is empty and has no maximum. Start at j = 1, or "
            "ask torch.equal, which can compare nothing with nothing.",
        ),
        "only rising outputs are noticed": Misconception(
            detector(differ=lambda a, b: bool((b - a).max() > 0)),
            "A leak may make every output fall, and then the largest difference is not above zero. Ask whether the "
            "outputs are equal, or take .abs() first.",
        ),
        "only falling outputs are noticed": Misconception(
            detector(differ=lambda a, b: bool((a - b).max() > 0)),
            "A leak may make every output rise, and then before - after is nowhere above zero. Ask whether the "
            "outputs are equal, or take .abs() first.",
        ),
        "x is hardly changed": Misconception(
            detector(pushes=lambda x: [1e-6 * push for push in pushes(x)]),
            "You ask what happens right beside x, by a very small push or by a gradient. Behind a ReLU that is shut "
            "there nothing happens, and a larger change gets through all the same. Push each token by about as much as "
            "the data itself, or more.",
        ),
        "all features are pushed alike": Misconception(
            detector(pushes=even),
            "You push all features of a token by the same amount. A layer norm subtracts a token's mean first, so it "
            "takes such a push straight out again. Push each feature by a different amount.",
        ),
        "one push for all": Misconception(
            detector(pushes=even_up),
            "You push each token once, all its features by the same amount. A ReLU may be blind in one direction, and "
            "a layer norm takes an equal push out again: push up and down, each feature by a different amount.",
        ),
        "one push for all, and a tolerance": Misconception(
            detector(pushes=even_up, differ=_forgiving),
            "Three things hide leaks here. You push in one direction, and a ReLU may be blind in it; you push all "
            "features alike, and a layer norm takes that out again; and your comparison forgives small differences.",
        ),
        "each token is pushed up only": Misconception(
            detector(pushes=up),
            "A ReLU may hide a change in one direction. You push each token up; push it down as well.",
        ),
        "each token is pushed down only": Misconception(
            detector(pushes=down),
            "A ReLU may hide a change in one direction. You push each token down; push it up as well.",
        ),
        "zeros stay zeros": Misconception(
            detector(change=lambda old, push: torch.zeros_like(old)),
            "Where a token is zero already, setting it to zero or multiplying it changes nothing, and the leak stays "
            "hidden. Add something to the token instead, and take something away.",
        ),
        "the future is cut off": Misconception(
            by_cutting,
            "You compare with a shorter sequence. Where a ReLU is shut, or the token is zero, cutting it off changes "
            "nothing, and still the model reads it. Keep the length, and change the token.",
        ),
        "the token is replaced by nan": Misconception(
            detector(change=lambda old, push: old * torch.nan),
            "0 × nan is nan: a causal model multiplies the future by a weight of 0, and your nan comes through all the "
            "same. Change the token to another ordinary number.",
        ),
        "only the first sequence counts": Misconception(
            detector(outputs=lambda y, j: y[:1, :j]),
            "You change or you compare the first sequence of the batch alone, and the leak may show in another one. "
            "Keep the whole first axis: changed[:, j], and [:, :j] of the outputs.",
        ),
        "only the last sequence counts": Misconception(
            detector(outputs=lambda y, j: y[-1:, :j]),
            "You change or you compare one sequence of the batch alone, the last, and the leak may show in another. "
            "Keep the whole first axis: changed[:, j], and [:, :j] of the outputs.",
        ),
        "every output must move": Misconception(
            detector(differ=_all_differ),
            "You call it a leak when all outputs before j move. One number of one output is enough: .any(), or "
            "not torch.equal.",
        ),
        "only the first feature is changed": Misconception(
            detector(change=one_feature),
            "You change the first of the token's d features alone, and a model may read another. Change the whole "
            "token: changed[:, j] is all of its features.",
        ),
        "only the first feature is compared": Misconception(
            detector(outputs=lambda y, j: y[:, :j, 0]),
            "You compare the first output feature alone, and another may be the one that moves. Compare whole outputs.",
        ),
        "a number instead of a bool": Misconception(
            lambda fn, x: int(leaks.leaks_future(fn, x)),
            "The question is yes or no: give back True or False. A comparison such as `count > 0` makes one from a "
            "number.",
        ),
        "the changes pile up": Misconception(
            piling_up,
            "Token 1 is still changed when you come to token 2, so output 1 has moved for a good reason. Start from a "
            "fresh copy, x.clone(), for each token.",
        ),
        "x is changed in place": Misconception(
            in_place,
            "Your detector writes into the caller's x. `changed = x` is a second name for the same tensor, so the "
            "changes pile up as well: make a fresh copy with x.clone() for each token.",
        ),
        "x is not put back": Misconception(
            not_put_back,
            "You work on x itself and put the old token back, but not on the way out that returns True. Work on a "
            "copy: x.clone().",
        ),
    },
    variants={
        "outputs that may move are compared": (
            detector(outputs=lambda y, j: y),
            detector(outputs=lambda y, j: y[:j]),
        ),
        "only the last comparison counts": (last_verdict(up), last_verdict(even), last_verdict(even_up)),
        "the first axis is taken for the positions": (
            on_the_first_axis(outputs=lambda y, j: y[:j]),
            on_the_first_axis(start=0),
            on_the_first_axis(outputs=lambda y, j: y[:j], start=0),
        ),
        "a tolerance hides the leak": (
            detector(differ=_forgiving_a_little),
            detector(differ=_above_1e_8),
            *(detector(differ=forgiving, pushes=even) for forgiving in (_forgiving, _forgiving_a_little, _above_1e_8)),
        ),
        "x is hardly changed": (by_gradient, detector(pushes=lambda x: [3e-3 * push for push in even(x)])),
        "differences that cancel": (
            detector(differ=_sum_differs, pushes=even),
            detector(differ=lambda a, b: bool(a.sum() != b.sum())),
            detector(differ=lambda a, b: bool(a.mean() != b.mean()) if a.numel() else False),
        ),
        "a comparison of tensors in an if": (detector(lambda x: range(x.shape[1]), differ=_asks_a_whole_tensor),),
        "a maximum over nothing": (
            detector(lambda x: range(x.shape[1]), differ=lambda a, b: bool((a - b).abs().amax() > 0)),
        ),
        "one push for all": (detector(pushes=even_down),),
        "one push for all, and a tolerance": (detector(pushes=even_down, differ=_forgiving),),
        "always True": (detector(lambda x: range(x.shape[1]), differ=_all_differ),),
        "every output must move": (detector(differ=_all_differ, pushes=even),),
        "only the last token counts": (detector(lambda x: range(x.shape[1] - 1, x.shape[1]), pushes=even),),
        "the last token is never changed": (detector(lambda x: range(1, x.shape[1] - 1), pushes=even),),
        "only the first sequence counts": (
            detector(change=lambda old, push: torch.cat((old[:1] + push, old[1:]))),
        ),
        "only the last sequence counts": (
            detector(change=lambda old, push: torch.cat((old[:-1], old[-1:] + push))),
        ),
    },
    alternatives=[by_suffix, by_one_large_batch, by_output, by_numpy, by_random_tokens, put_back],
    hints=(
        "Imagine a sealed box that turns tokens into outputs. You may change one token and watch the outputs. Which of "
        "them must not move if the box is causal?",
        "For each token j: copy x, change token j of the copy, run fn on both, and compare the outputs before j, "
        "exactly. Do it with a push up and with a push down.",
        "push = 10 * torch.linspace(1, 2, x.shape[-1]) is another amount for each feature. changed = x.clone(); "
        "changed[:, j] += push, and once more with -push; then torch.equal on the slices [:, :j] of fn(changed) and "
        "fn(x). True at the first difference; False only after both loops.",
    ),
)
