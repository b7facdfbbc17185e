"""Known mistakes and right answers for `next_token_loss`."""

import math

import torch

from course_lib import objectives
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson04 import run
from course_lib.exercises.lesson04.bank.losing import (
    all,
    bare_logits,
    bare_probabilities,
    broadcast,
    infinite_by_infinite,
    infinite_sum,
    inverted,
    mean_of_all_means,
    mean_of_means,
    mean_of_some_means,
    needs_a_mask,
    of_the_result,
    or_fail,
    padding_is_token_0,
    plain_mean,
    probabilities,
    real_pairs,
    refuse_one_token,
    refuse_padding,
    reshaped,
    rounded_to_zero,
    same_place,
    spelled,
    to_predict,
    to_predict_from,
    token_0_is_left_out,
    token_0_is_padding,
    token_0_is_padding_checked,
    token_0_whatever_the_mask,
    unchecked,
    views_a_slice,
    views_both_slices,
    vocab_last,
    vocab_last_unshifted,
    with_a_small_number,
    without_gradients,
    wrapped,
    zeroed_mean,
)
from course_lib.exercises.lesson04.bank.losses import (
    both_real,
    by_gathering,
    by_labels,
    by_log_softmax_twice,
    by_logsumexp,
    by_selecting,
    by_sequences,
    by_weights,
    loss_of,
    refuse,
)

__all__ = ["LOSS"]

LOSS = Exercise(
    side=run.LOSS,
    reference=objectives.next_token_loss,
    groups={
        "each position predicts the token after it": 2,
        "padding is neither predicted nor counted": 1,
        "padding in front predicts nothing": 1,
        "large logits, and nothing to predict": 1,
    },
    judge=Equality(),
    difficulty=3,
    minutes=12,
    misconceptions={
        "no shift": Misconception(
            loss_of(pair=same_place, count=lambda real: real),
            "Each position is asked for the token that it has just read, which needs no language model. The logits at "
            "position t predict token t + 1: cut one end off each, and not the same end.",
        ),
        "both are shifted": Misconception(
            loss_of(pair=lambda logits, ids: (logits[:, 1:], ids[:, 1:])),
            "You cut the same end off logits and ids, so that they still stand side by side: each position is asked "
            "for its own token. The last logits have nothing to predict, and the first token is predicted by none.",
        ),
        "shifted the wrong way": Misconception(
            loss_of(pair=lambda logits, ids: (logits[:, 1:], ids[:, :-1])),
            "Each position is asked for the token before it, which it can see. Turn the shift round: the logits lose "
            "their last position, the ids their first token.",
        ),
        "the last position predicts the first token": Misconception(
            loss_of(pair=wrapped, count=lambda real: real & real.roll(-1, dims=1)),
            "Nothing follows the last token, and yet its position is asked for something: rolling brings the first "
            "token round to the end. Leave the last position out.",
        ),
        "padding is counted": Misconception(
            loss_of(count=all),
            "Padding is predicted like text: the mask has no effect. A pair counts only where the mask says that both "
            "its tokens are real.",
        ),
        "divided by all positions": Misconception(
            loss_of(reduce=zeroed_mean),
            "The losses at padding are zero, and they still count in the mean: more padding would mean a smaller loss. "
            "Divide by the number of tokens that are predicted.",
        ),
        "the mean of the sequences' means": Misconception(
            loss_of(reduce=mean_of_means),
            "You average within each sequence first, so that a token of a short sequence weighs more than one of a "
            "long one, and a sequence without any gives 0 / 0. Every predicted token weighs the same.",
        ),
        "padding is predicted": Misconception(
            loss_of(count=to_predict_from),
            "The last real token of a sequence is asked for the padding behind it. Not only the position that predicts "
            "must be real, also the token that is predicted.",
        ),
        "predicted from padding": Misconception(
            loss_of(count=to_predict),
            "With padding in front, its last position is asked for the first real token, of which it knows nothing. "
            "A pair counts where the token and the position before it are real.",
        ),
        "padding counts as token 0": Misconception(
            padding_is_token_0,
            "ids times the mask makes token 0 of padding, and 0 is a token like any other, which is then predicted. "
            "Take these positions out, or give them the label -100, which F.cross_entropy passes over.",
        ),
        "the mask keeps four axes": Misconception(
            broadcast(lambda losses, counted: (losses * counted).sum() / counted.sum()),
            "Losses of shape (batch, seq - 1) times a mask of shape (batch, 1, 1, seq - 1) is (batch, 1, batch, "
            "seq - 1): every sequence meets every mask. Take the two axes of size 1 out first.",
        ),
        "the sum instead of the mean": Misconception(
            loss_of(reduce=lambda losses, counted: losses[counted].sum()),
            "The losses are added up, so that a longer text would be a worse one. Divide by the number of tokens that "
            "are predicted.",
        ),
        "divided by the number of sequences": Misconception(
            loss_of(reduce=lambda losses, counted: losses[counted].sum() / len(losses)),
            "The losses are added up and divided by the number of sequences, so that longer ones are worse. Divide by "
            "the number of tokens that are predicted.",
        ),
        "token 0 is taken for padding": Misconception(
            token_0_is_padding,
            "ignore_index=0 passes over token 0 wherever it stands in the text too. What is padding, the mask says and "
            "not the token: give padding a label that no token has, such as -100.",
        ),
        "the mask is inverted": Misconception(
            loss_of(count=inverted),
            "What is counted is the padding. In this course a mask is True where there is a real token.",
        ),
        "another error than a ValueError": Misconception(
            loss_of(check=or_fail(AssertionError())),
            "Where nothing is predicted an error comes, and of another kind: raise ValueError(...), with a sentence "
            "that says what is missing.",
        ),
        "one loss for each token": Misconception(
            loss_of(reduce=lambda losses, counted: losses),
            "You give back the loss of each token. What is trained on is one number: their mean, over those that "
            "count.",
        ),
        "softmax twice": Misconception(
            loss_of(losses=probabilities),
            "Your loss hardly ever moves from log(vocab): F.cross_entropy takes logits and makes the softmax itself. "
            "It was given probabilities.",
        ),
        "logits without a softmax": Misconception(
            loss_of(losses=bare_logits),
            "You average the logits of the right tokens. A logit says nothing alone: what counts is how it stands to "
            "the others, which log_softmax, or F.cross_entropy, sees to.",
        ),
        "probabilities without a logarithm": Misconception(
            loss_of(losses=bare_probabilities),
            "You average the probabilities of the right tokens. Cross-entropy is minus their logarithm: "
            "log_softmax, or F.cross_entropy, which takes the logits.",
        ),
        "the sign is wrong": Misconception(
            of_the_result(lambda loss: -loss),
            "Your loss is negative: that is the mean log-probability, which should rise. A loss falls while a model "
            "learns, so put a minus before it.",
        ),
        "in bits": Misconception(
            of_the_result(lambda loss: loss / math.log(2)),
            "All is right but for the unit: yours is in bits, with the logarithm to base 2. Here it is the natural "
            "logarithm, as F.cross_entropy has it.",
        ),
        "perplexity": Misconception(
            of_the_result(torch.exp),
            "That is the perplexity, exp of the loss. Give the loss itself: the mean, as F.cross_entropy has it.",
        ),
        "the logarithm of a rounded zero": Misconception(
            loss_of(losses=rounded_to_zero),
            "Where a token is very unlikely its probability is rounded to 0, and log(0) is minus infinity. "
            "log_softmax, or F.cross_entropy, makes both steps at once and never rounds to 0.",
        ),
        "exponentials that overflow": Misconception(
            loss_of(losses=infinite_by_infinite),
            "For logits above 88 the exponential is more than float32 holds, and the loss is inf or nan. log_softmax, "
            "logsumexp and F.cross_entropy subtract the largest logit first.",
        ),
        "a small number inside the logarithm": Misconception(
            loss_of(losses=with_a_small_number(1e-9)),
            "A small number beside the probabilities stops the loss from growing just where the model is most wrong, "
            "and takes the gradient away there. log_softmax needs no such number.",
        ),
        "no error where nothing is predicted": Misconception(
            loss_of(check=unchecked),
            "Where no token is predicted the mean is 0 / 0, and training goes on with nan. Raise a ValueError as soon "
            "as nothing counts: one token alone, or all padding.",
        ),
        "the vocabulary is on the last axis": Misconception(
            vocab_last,
            "F.cross_entropy expects (batch, vocab, seq) with targets (batch, seq), the classes on the second axis, "
            "or one long list: (tokens, vocab) with (tokens,). flatten(0, 1) makes the list.",
        ),
        "axes are reshaped, not swapped": Misconception(
            loss_of(losses=reshaped),
            "The shape fits and the numbers are mixed up: reshape reads on in memory, so that what you call one "
            "position holds numbers of several. Swap the last two axes: transpose(1, 2).",
        ),
        "a view of a slice": Misconception(
            views_a_slice,
            "A slice such as logits[:, :-1] does not stand in a row in memory, so view cannot flatten it. reshape, or "
            "flatten(0, 1), copies where it must.",
        ),
        "mask may be None": Misconception(
            needs_a_mask,
            "Without a mask every token is real, and None has neither axes nor entries. Look at it only where there is "
            "one: if mask is not None.",
        ),
        "a number instead of a tensor": Misconception(
            of_the_result(lambda loss: loss.item()),
            "The value is right and it is a Python number: nothing can be trained on it, since no gradient flows "
            "through .item(). Give back the tensor.",
        ),
        "cut off from the gradients": Misconception(
            of_the_result(torch.detach),
            "The value is right, and no gradient goes back to the logits, so nothing could be learnt. Leave out "
            "detach, .data, no_grad and new tensors made of numbers.",
        ),
    },
    variants={
        "no shift": (
            *spelled(pair=same_place, count=lambda real: real),
            *spelled(pair=same_place, count=torch.ones_like),
        ),
        "both are shifted": (
            *spelled(pair=lambda logits, ids: (logits[:, 1:], ids[:, 1:])),
            *spelled(pair=lambda logits, ids: (logits[:, :-1], ids[:, :-1])),
            *spelled(pair=lambda logits, ids: (logits[:, :-1], ids[:, :-1]), count=to_predict_from),
        ),
        "shifted the wrong way": (
            *spelled(pair=lambda logits, ids: (logits[:, 1:], ids[:, :-1])),
            *spelled(pair=lambda logits, ids: (logits[:, 1:], ids[:, :-1]), count=to_predict_from),
            *spelled(pair=lambda logits, ids: (logits, ids.roll(1, dims=1)), count=lambda real: real),
            *spelled(pair=lambda logits, ids: (logits, ids.roll(1, dims=1)), count=torch.ones_like),
        ),
        "the last position predicts the first token": (
            *spelled(pair=wrapped, count=lambda real: real),
            *spelled(pair=wrapped, count=torch.ones_like),
        ),
        "padding is counted": (
            loss_of(count=all, check=unchecked),
            loss_of(count=all, reduce=plain_mean, check=unchecked),
        ),
        "divided by all positions": (
            loss_of(count=to_predict, reduce=zeroed_mean),
            loss_of(count=to_predict, reduce=zeroed_mean, check=unchecked),
            loss_of(reduce=zeroed_mean, check=unchecked),
        ),
        "the mean of the sequences' means": tuple(
            loss_of(reduce=reduce, count=count, check=check)
            for reduce in (mean_of_means, mean_of_some_means, mean_of_all_means)
            for count in (both_real, to_predict)
            for check in (refuse, unchecked)
        ),
        "padding is predicted": (loss_of(count=to_predict_from, check=unchecked),),
        "predicted from padding": (loss_of(count=to_predict, check=unchecked),),
        "the mask is inverted": (loss_of(count=inverted, check=unchecked),),
        "the mask keeps four axes": tuple(
            broadcast(reduce, count, check)
            for count in (real_pairs, lambda mask: mask[..., 1:], lambda mask: mask[..., :-1])
            for reduce in (
                zeroed_mean,
                lambda losses, counted: (losses * counted).sum(),
                lambda losses, counted: (losses * counted).sum() / counted.sum(),
            )
            for check in (refuse, unchecked)
        ),
        "the sum instead of the mean": spelled(reduce=lambda losses, counted: losses[counted].sum()),
        "divided by the number of sequences": spelled(
            reduce=lambda losses, counted: losses[counted].sum() / len(losses)
        ),
        "one loss for each token": (
            *spelled(reduce=lambda losses, counted: losses),
            *spelled(reduce=lambda losses, counted: losses * counted),
            *spelled(reduce=lambda losses, counted: losses[counted]),
        ),
        "softmax twice": spelled(losses=probabilities),
        "logits without a softmax": spelled(losses=bare_logits),
        "probabilities without a logarithm": spelled(losses=bare_probabilities),
        "the logarithm of a rounded zero": spelled(losses=rounded_to_zero)[:6],
        "exponentials that overflow": (
            *spelled(losses=infinite_by_infinite)[:6],
            *spelled(losses=infinite_sum)[:6],
        ),
        "a small number inside the logarithm": tuple(
            loss_of(losses=with_a_small_number(number, join), check=check)
            for number in (1e-8, 1e-9, 1e-10, 1e-12)
            for join in (torch.add, torch.maximum)
            for check in (refuse, unchecked, refuse_one_token)
        ),
        "axes are reshaped, not swapped": spelled(losses=reshaped),
        "token 0 is taken for padding": (
            token_0_is_padding_checked,
            *map(token_0_whatever_the_mask, (refuse, unchecked, refuse_one_token)),
            *(
                token_0_is_left_out(choose, check)
                for choose in (to_predict, both_real)
                for check in (refuse, unchecked)
            ),
        ),
        "no error where nothing is predicted": (
            *(
                loss_of(check=check, reduce=lambda losses, counted: losses[counted].sum() / max(counted.sum(), 1))
                for check in (unchecked, refuse_one_token, refuse_padding)
            ),
            loss_of(check=refuse_one_token),
            loss_of(check=refuse_padding),
        ),
        "another error than a ValueError": (loss_of(check=or_fail(RuntimeError())),),
        "the vocabulary is on the last axis": (vocab_last_unshifted,),
        "a view of a slice": (views_both_slices,),
        "cut off from the gradients": (without_gradients,),
    },
    alternatives=[
        by_labels,
        by_selecting,
        by_gathering,
        by_weights,
        by_sequences,
        by_logsumexp,
        by_log_softmax_twice,
    ],
    hints=(
        "Write down four tokens in a row, a b c d. Which position is asked for c, and what has it read by then? How "
        "many predictions are there in all, and which position has nothing to predict?",
        "logits[:, :-1] and ids[:, 1:] stand side by side. F.cross_entropy compares (tokens, vocab) with (tokens,). "
        "For padding, ask of each pair whether both its tokens are real: mask[:, 0, 0] has the shape of ids.",
        "real = mask[:, 0, 0]; keep = real[:, :-1] & real[:, 1:] picks the pairs, and logits[:, :-1][keep] and "
        "ids[:, 1:][keep] are what F.cross_entropy wants. mask may be None, and keep may be empty: a ValueError.",
    ),
)
