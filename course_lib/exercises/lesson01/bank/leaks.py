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
    first_token_only,
    in_place,
    not_put_back,
    one_feature,
    piling_up,
    pushes,
    put_back,
)

__all__ = ["LEAKS"]

UNTOUCHED = "x stays as it is"


def _explain(case):
    """Say what a detector should have seen, by pushing one token of one sequence at a time."""
    fn, x = case.args
    before = fn(x)
    for j in range(1, x.shape[1]):
        for push, way in zip(pushes(x), ("up", "down"), strict=True):
            changed = x.clone()
            changed[:, j] += push
            moved = (fn(changed) - before)[:, :j].abs()
            if moved.any():
                b, i, _ = (moved == moved.max()).nonzero()[0].tolist()
                return (
                    f"this fn leaks: when token {j} is pushed {way} by {push.abs():.2g}, output {i} of "
                    f"sequence {b} moves by {moved.max():.2g}"
                )
    return "this fn is causal: whichever token j is changed, no output before j moves (output j may, and later ones)"


LEAKS = Exercise(
    side=run.LEAKS,
    reference=leaks.leaks_future,
    groups={
        "leaking models told from causal ones": 2,
        "from every token to every earlier output": 1,
        "faint leaks and one-sided ones": 1,
        "in one sequence, in one feature": 1,
        UNTOUCHED: 1,
    },
    judge=Equality(untouched=UNTOUCHED, explain=_explain),
    difficulty=4,
    minutes=12,
    misconceptions={
        "always True": Misconception(
            lambda fn, x: True,
            "Every model is called leaky, the causal ones too. Does your comparison look at outputs that are allowed "
            "to move, or does it return True whatever it finds?",
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
        "the output at j is compared too": Misconception(
            detector(outputs=lambda y, j: y[:, : j + 1]),
            "A causal model may use token j for output j, so that output may move. Only the ones *before* j must stay: "
            "look at where your slice ends.",
        ),
        "the outputs from j on are compared": Misconception(
            detector(outputs=lambda y, j: y[:, j:]),
            "You compare the outputs that may move, at j and after it. A leak shows in the ones *before* j.",
        ),
        "only the last output is compared": Misconception(
            detector(outputs=lambda y, j: y[:, -1]),
            "The last output may depend on every token. It is the outputs *before* the changed token that must not "
            "move.",
        ),
        "only the last token is changed": Misconception(
            detector(tokens=lambda n: range(n - 1, n)),
            "You change the last token alone. A model may read a token in the middle ahead of time and never the "
            "last: change each token j in turn.",
        ),
        "the last token is never changed": Misconception(
            detector(tokens=lambda n: range(1, n - 1)),
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
            detector(differ=lambda a, b: not torch.allclose(a, b)),
            "A faint leak passes, because torch.allclose forgives small differences. A causal model cannot move its "
            "earlier outputs at all, so compare exactly: torch.equal.",
        ),
        "a fixed threshold hides the leak": Misconception(
            detector(differ=lambda a, b: bool((a - b).abs().max() > 1e-4) if a.numel() else False),
            "A model whose outputs are small leaks small numbers, and a threshold of your own hides them. A causal "
            "model cannot move its earlier outputs at all, so compare exactly: torch.equal.",
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
        "each token is nudged too little": Misconception(
            detector(pushes=lambda x: (1e-4, -1e-4)),
            "Your change is so small that it drowns in rounding, or never gets over the threshold of a ReLU. Push each "
            "token by about as much as the data itself, or more.",
        ),
        "only the gradient is asked": Misconception(
            by_gradient,
            "A gradient sees only how fn behaves right at x. Behind a ReLU that is shut there it is zero, and still a "
            "larger change gets through. Change the token for real.",
        ),
        "each token is pushed up only": Misconception(
            detector(pushes=lambda x: pushes(x)[:1]),
            "A ReLU may hide a change in one direction. You push each token up; push it down as well.",
        ),
        "each token is pushed down only": Misconception(
            detector(pushes=lambda x: pushes(x)[1:]),
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
        "only the first sequence is looked at": Misconception(
            detector(outputs=lambda y, j: y[:1, :j]),
            "The leak may show in one sequence of the batch and not in another. Compare all of them.",
        ),
        "only the last sequence is looked at": Misconception(
            detector(outputs=lambda y, j: y[-1:, :j]),
            "You compare one sequence of the batch, and the leak may show in another: the first axis is the batch. "
            "Keep all of it.",
        ),
        "every output must move": Misconception(
            detector(differ=lambda a, b: bool((a != b).all())),
            "You call it a leak when *all* outputs before j move. One number of one output is enough: .any(), or "
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
    alternatives=[by_suffix, by_one_large_batch, by_output, by_numpy, by_random_tokens, put_back],
    hints=(
        "Imagine a sealed box that turns tokens into outputs. You may change one token and watch the outputs. Which of "
        "them must not move if the box is causal?",
        "For each token j: copy x, change token j of the copy, run fn on both, and compare the outputs before j, "
        "exactly. Do it with a push up and with a push down.",
        "changed = x.clone(); changed[:, j] += push; then torch.equal on the slices [:, :j] of fn(changed) and "
        "fn(x). True at the first difference; False only after both loops.",
    ),
)
