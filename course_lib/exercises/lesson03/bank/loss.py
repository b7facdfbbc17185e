"""Known mistakes and right answers for `masked_lm_loss`."""

import torch
from torch.nn import functional as F

from course_lib import objectives
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson03 import run
from course_lib.exercises.lesson03.bank.losses import (
    accuracy,
    as_class_0,
    asserts_first,
    by_flattening,
    by_ignoring,
    by_logsumexp,
    by_loop,
    by_one_hot,
    by_picking,
    by_summing,
    by_turning,
    checked,
    classes_last,
    empty_rows_too,
    ignores_0,
    index_by_lists,
    index_with_minus_100,
    labels_not_flat,
    log_softmax,
    loser,
    nan_of_empty_rows,
    of_label,
    only_others,
    overflows,
    plain_zero,
    refuses_any,
    rows_first,
    shifted,
    viewed,
    weighted,
    without_class_0,
    zero_without_labels,
)
from course_lib.exercises.lesson03.bank.refusals import Refusals

__all__ = ["LOSS"]

LOSS = Exercise(
    side=run.LOSS,
    reference=objectives.masked_lm_loss,
    groups={run.MEAN: 1, run.EXACT_LOSS: 1, run.NO_LABEL: 1},
    judge=Refusals(rtol=2e-5, atol=1e-5),
    form=(run.EXACT_LOSS,),
    difficulty=2,
    minutes=6,
    misconceptions={
        "the mean over all positions": Misconception(
            loser(mean=lambda costs, labelled: (costs * labelled).sum() / labelled.numel()),
            "Your loss is too small: the sum over the labelled positions is divided by the number of all positions. "
            "Divide by how many have a label.",
        ),
        "the sum instead of the mean": Misconception(
            loser(mean=lambda costs, labelled: costs[labelled].sum()),
            "Your loss grows with the number of labels. Divide the sum by how many positions have one.",
        ),
        "divided by the number of rows": Misconception(
            loser(mean=lambda costs, labelled: costs[labelled].sum() / len(labelled)),
            "You divide the sum by the number of sequences. Divide it by how many positions have a label.",
        ),
        "class 0 is left out": Misconception(
            without_class_0,
            "Positions whose label is 0 are missing from your mean: 0 is a token like any other. Only -100 marks a "
            "position to leave out: labels != -100, not labels > 0.",
        ),
        "positions without a label count as class 0": Misconception(
            checked(as_class_0),
            "Positions without a label are in your mean, as if token 0 were expected there. -100 must not be turned "
            "into an id; leave these positions out: F.cross_entropy does so by itself.",
        ),
        "the mean of the rows' means": Misconception(
            loser(mean=rows_first),
            "You take each row's mean first and then the mean of those, so a label counts more in a row that has few. "
            "Take one mean over all labelled positions of the batch.",
        ),
        "softmax twice": Misconception(
            loser(log_probs=lambda logits: logits.softmax(-1).log_softmax(-1)),
            "Your losses are all nearly the same: F.cross_entropy takes a softmax itself, and yours came before it. "
            "Hand it the logits.",
        ),
        "a logarithm to another base": Misconception(
            weighted(lambda loss: loss / torch.log(torch.tensor(2.0))),
            "Your loss is the right one times a constant: it is counted in bits or in powers of ten. Cross-entropy is "
            "in nats here, with torch.log.",
        ),
        "shifted by one": Misconception(
            checked(shifted),
            "You compare each position with the label of the next. That is how a decoder learns; here the label stands "
            "at the very position where the token was hidden, so nothing is shifted.",
        ),
        "the minus is missing": Misconception(
            weighted(lambda loss: -loss),
            "Your loss is negative: it is the logarithm of the probabilities. The loss is its negative, small where "
            "the label is likely.",
        ),
        "no softmax": Misconception(
            loser(log_probs=lambda logits: logits),
            "You take the label's logit for its log-probability. Logits say nothing alone: first a log_softmax over "
            "the vocabulary. F.nll_loss wants it done already, F.cross_entropy does it.",
        ),
        "no logarithm": Misconception(
            loser(costs=lambda log_probs, labels: -of_label(log_probs, labels).neg().exp()),
            "You average probabilities. The loss is the negative logarithm of the label's probability: it grows "
            "without end as the probability goes to 0.",
        ),
        "softmax over another axis": Misconception(
            loser(log_probs=lambda logits: logits.log_softmax(1)),
            "Your softmax does not run over the vocabulary, so positions compete with one another. The vocabulary is "
            "the last axis of logits.",
        ),
        "logits and labels are not flattened": Misconception(
            checked(classes_last),
            "F.cross_entropy looks for the classes on the second axis, and yours are on the third. Make two axes of "
            "logits and one of labels: logits.flatten(0, 1) and labels.flatten().",
        ),
        "axes are swapped by a view": Misconception(
            checked(viewed),
            "view and reshape read on in memory and mix positions with classes. transpose(1, 2) swaps the two axes; or "
            "flatten logits to (positions, vocab).",
        ),
        "labels are not flattened": Misconception(
            checked(labels_not_flat),
            "Your logits have one row for each position, and labels still two axes. Flatten both: labels.flatten().",
        ),
        "-100 as an index": Misconception(
            checked(index_with_minus_100),
            "-100 is used as the place of a token. Pick out the labelled positions before you look their labels up, or "
            "put some id there and leave these positions out of the mean.",
        ),
        "another number is ignored": Misconception(
            checked(ignores_0),
            "You told F.cross_entropy to pass over another label than -100, so it meets -100 and finds no such class. "
            "-100 is what it passes over by default.",
        ),
        "accuracy instead of a loss": Misconception(
            checked(accuracy),
            "You count how often the largest logit is right. That has no gradient; the loss asks how likely the label "
            "was.",
        ),
        "perplexity instead of the loss": Misconception(
            weighted(torch.exp),
            "You give the exponential of the loss, its perplexity. Leave out exp.",
        ),
        "one loss for each position": Misconception(
            loser(mean=lambda costs, labelled: costs[labelled]),
            "One number for each position came back. The loss is a single number, their mean.",
        ),
        "the loss of the others": Misconception(
            checked(only_others),
            "Your mean is over the positions without a label. labels == -100 marks those to leave out; != marks those "
            "that count.",
        ),
        "a number instead of a tensor": Misconception(
            checked(lambda logits, labels: objectives.masked_lm_loss(logits, labels).item()),
            "The value is right, and .item() made a plain number of it, from which no gradient goes back. Return the "
            "tensor.",
        ),
        "cut off from the gradients": Misconception(
            checked(lambda logits, labels: objectives.masked_lm_loss(logits.detach(), labels)),
            "The value is right, and no gradient goes back to logits, so nothing could be learnt. Leave out detach, "
            ".data, no_grad and new tensors made of numbers.",
        ),
        "exponentials that overflow": Misconception(
            loser(log_probs=overflows),
            "For logits above 88 the exponential is more than float32 holds, and inf / inf is nan. log_softmax and "
            "F.cross_entropy subtract the largest logit first.",
        ),
        "the logarithm of a softmax": Misconception(
            loser(log_probs=lambda logits: logits.softmax(-1).log()),
            "Where the label is very unlikely its probability is rounded to 0, and the logarithm of 0 is infinite. "
            "log_softmax does both at once and never takes the logarithm of 0.",
        ),
        "a small number inside the logarithm": Misconception(
            loser(log_probs=lambda logits: (logits.softmax(-1) + 1e-9).log()),
            "A small number added to the probabilities stops the loss from growing just where the model is most wrong, "
            "and takes the gradient away there. log_softmax needs no such number.",
        ),
        "nan where no position has a label": Misconception(
            loser(refuses=False),
            "The loss is right. Where no position has a label, it is 0 / 0, and one such batch makes nan of every "
            "weight: raise a ValueError instead.",
        ),
        "one position without a label is refused": Misconception(
            refuses_any,
            "You raise a ValueError as soon as one position has no label, and most never have one: only what was "
            "hidden does. Refuse a batch in which all labels are -100, and pass over the others.",
        ),
        "0 where no position has a label": Misconception(
            zero_without_labels,
            "The loss is right. A batch without labels teaches nothing, and 0 would look like a perfect model: raise a "
            "ValueError instead.",
        ),
        "an assert instead of a ValueError": Misconception(
            asserts_first,
            "The loss is right, and your assert finds the batch without labels. An assert can be switched off; whoever "
            "calls the function gets a ValueError: if …: raise ValueError(…).",
        ),
    },
    variants={
        "the mean over all positions": (
            loser(mean=lambda costs, labelled: (costs * labelled).sum() / labelled.numel(), refuses=False),
        ),
        "the mean of the rows' means": (loser(mean=empty_rows_too), loser(mean=nan_of_empty_rows)),
        "a logarithm to another base": (
            weighted(lambda loss: loss / torch.log(torch.tensor(10.0))),
            loser(log_probs=lambda logits: logits.softmax(-1).log2()),
            loser(log_probs=lambda logits: logits.softmax(-1).log10()),
        ),
        "the minus is missing": (loser(log_probs=lambda logits: -logits.softmax(-1).log()),),
        "no logarithm": (
            loser(costs=lambda log_probs, labels: 1 - of_label(log_probs, labels).neg().exp()),
            loser(costs=lambda log_probs, labels: of_label(log_probs, labels).neg().exp()),
        ),
        "softmax over another axis": (
            loser(log_probs=lambda logits: logits.log_softmax(0)),
            loser(log_probs=lambda logits: logits.flatten(1).log_softmax(1).view_as(logits)),
        ),
        "logits and labels are not flattened": (classes_last,),
        "labels are not flattened": (labels_not_flat,),
        "-100 as an index": (index_with_minus_100, checked(index_by_lists), index_by_lists),
        "another number is ignored": (ignores_0,),
        "a number instead of a tensor": (lambda logits, labels: by_ignoring(logits, labels).item(),),
        "accuracy instead of a loss": (checked(lambda logits, labels: 1 - accuracy(logits, labels)),),
        "one loss for each position": (
            checked(lambda logits, labels: of_label(log_softmax(logits), labels) * (labels != -100)),
            checked(lambda logits, labels: F.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), reduction="none")),
        ),
        "cut off from the gradients": (
            checked(lambda logits, labels: torch.tensor(objectives.masked_lm_loss(logits, labels).item())),
        ),
        "0 where no position has a label": (plain_zero,),
    },
    alternatives=[
        by_flattening,
        by_turning,
        by_picking,
        by_logsumexp,
        by_one_hot,
        by_loop,
        by_summing,
    ],
    hints=(
        "Two positions of three have a label, with probabilities 1/2 and 1/8 for it. What does each cost, and what is "
        "the mean? What if the third were in the mean as well?",
        "F.cross_entropy passes over labels of -100 and divides by the number of the others. It wants logits of shape "
        "(positions, vocab) and labels of shape (positions,).",
        "First test (labels != -100).any() and raise a ValueError if there is none; then "
        "F.cross_entropy(logits.flatten(0, 1), labels.flatten()).",
    ),
)  # fmt: skip
