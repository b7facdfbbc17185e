"""Known mistakes and right answers for `copy_rate`."""

import torch

from course_lib import cheating
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Misconception
from course_lib.exercises.lesson05 import run
from course_lib.exercises.lesson05.bank.copiers import (
    by_a_column_of_ids,
    by_filling,
    by_one_large_batch,
    by_skipping,
    by_weights,
    counter,
    in_place,
    share,
)
from course_lib.exercises.lesson05.bank.copy_variants import VARIANTS
from course_lib.exercises.lesson05.bank.miscounts import (
    above_a_half,
    accuracy,
    all_at_once,
    among_two,
    and_the_rest,
    any_id,
    as_doubles,
    drawn_at_t,
    drawn_once,
    is_among,
    needs_a_generator,
    next_if_equal,
    of_drawn,
    one_step_for_all,
    over_all_tokens,
    position_by_position,
    probability,
    reaction,
    seeded_anew,
    stepping,
    wraps_around,
    zero_if_nothing,
)
from course_lib.exercises.lesson05.bank.tables import ForItself
from course_lib.exercises.lesson05.bank.tallies import (
    cut_behind,
    from_outside,
    of_other_rows,
    one_place_in_each_row,
    said_before,
    sampling,
)

__all__ = ["COPY"]


COPY = Exercise(
    side=run.COPY,
    reference=cheating.copy_rate,
    groups={run.COPIES: 2, run.DRAWN: 1, run.FORM: 1, run.UNTOUCHED: 1},
    judge=ForItself(untouched=run.UNTOUCHED),
    difficulty=3,
    minutes=14,
    misconceptions={
        "no token is replaced": Misconception(
            accuracy,
            "You count how often the model predicts the text, which a good model does as well. Replace the token by "
            "another one, and see whether the model says that.",
        ),
        "all tokens are replaced at once": Misconception(
            all_at_once,
            "You replace all tokens together. Each position is a question of its own: token t + 1 is replaced, and all "
            "others stay.",
        ),
        "the tokens behind it are replaced too": Misconception(
            counter(change=and_the_rest),
            "You replace token t + 1 and all behind it: [:, t + 1:] is a slice to the end. One token alone is "
            "[:, t + 1].",
        ),
        "the text is cut off before the new token": Misconception(
            counter(change=cut_behind(0), read=lambda logits, t: logits[:, -1].argmax(-1)),
            "You ask about the tokens up to t alone, and the token that you drew stands behind them: the model never "
            "sees it. All of ids go to the model, with token t + 1 replaced.",
        ),
        "the text is cut off behind the new token": Misconception(
            counter(change=cut_behind(1)),
            "You cut off what stands behind the new token. That is another text, to which a model that sees the future "
            "may answer something else: only token t + 1 is replaced, and all others stay.",
        ),
        "one position of each row is asked": Misconception(
            one_place_in_each_row(place_first=True, own=True),
            "You draw the position as well, and ask about one. Each position but the last has a question of its own, "
            "in every row: only the new id is drawn.",
        ),
        "the position of the replaced token is read": Misconception(
            counter(read=lambda logits, t: logits[:, t + 1].argmax(-1)),
            "Position t + 1 may read token t + 1, and even repeat it. The position that ought to predict it is the one "
            "before: logits[:, t].",
        ),
        "the position before is read": Misconception(
            counter(read=lambda logits, t: logits[:, t - 1].argmax(-1)),
            "You read position t - 1, one too early, and for t = 0 the last one, since -1 counts from the end. Token "
            "t + 1 is predicted at position t.",
        ),
        "the token just read is replaced": Misconception(
            drawn_at_t,
            "You replace token t and look at position t, which may read it. The token to replace is the one that "
            "position t ought to predict: t + 1.",
        ),
        "the original token is counted": Misconception(
            counter(count=lambda said, drawn, original: said == original),
            "You count how often the model says the token that stood there before. A copy is the one you drew.",
        ),
        "the last position of the model decides": Misconception(
            counter(read=lambda logits, t: logits[:, -1].argmax(-1)),
            "You read the last position, [:, -1], whichever token was replaced. Token t + 1 is predicted at position "
            "t, and there alone.",
        ),
        "any reaction is counted": Misconception(
            reaction,
            "You count how often the prediction changes. A model may look and say something else: count it only if it "
            "says the token you drew.",
        ),
        "what was said before does not count": Misconception(
            said_before,
            "You leave out a drawn id that the model also said before anything was replaced. The question is only "
            "whether the likeliest token is the drawn one; what is hit by chance counts too.",
        ),
        "the likeliest position is taken for the likeliest token": Misconception(
            counter(read=lambda logits, t: logits.argmax(1)[:, t]),
            "Your argmax goes over the wrong axis. The logits are (batch, seq, vocab), and the ids are on the last: "
            "argmax(-1).",
        ),
        "no copy is ever counted": Misconception(
            counter(count=lambda said, drawn, original: said != said),
            "Your rate is 0 even for models that always say the drawn id. Is it the drawn id itself that you compare "
            "with, and not the step that leads to it? Is the changed copy what the model is asked about?",
        ),
        "what the model says is drawn": Misconception(
            sampling(own=True),
            "You draw a token from the model's probabilities. The likeliest is asked for, argmax; chance is in the new "
            "id alone.",
        ),
        "the probability is averaged": Misconception(
            counter(read=probability, count=of_drawn),
            "You average the probability of the drawn token. Count how often it is the likeliest: argmax.",
        ),
        "a probability above a half is asked for": Misconception(
            counter(read=probability, count=above_a_half),
            "You count it only where its probability is above some number. The likeliest token may have less: argmax.",
        ),
        "the second likeliest counts too": Misconception(
            counter(read=among_two, count=is_among),
            "You count the drawn token wherever it is among the likeliest. Only the very likeliest counts: argmax.",
        ),
        "the last token is left out": Misconception(
            counter(positions=lambda ids: range(max(ids.shape[1] - 2, 1))),
            "The last token is never replaced. The positions that predict one are 0 to seq - 2: range(seq - 1).",
        ),
        "position 0 is left out": Misconception(
            counter(positions=lambda ids: range(min(1, ids.shape[1] - 2), ids.shape[1] - 1)),
            "You begin with position 1. Position 0 predicts token 1, and is asked as well.",
        ),
        "the last position is asked": Misconception(
            counter(positions=position_by_position),
            "The last position has no token behind it that could be replaced: range(seq - 1).",
        ),
        "the first token follows the last": Misconception(
            wraps_around,
            "roll and % seq bring the first token behind the last position, which predicts nothing. Stop one earlier.",
        ),
        "the first row alone": Misconception(
            counter(give=lambda copies: share(copies[:, 0])),
            "You count in the first row of the batch alone. The share is over all rows and positions.",
        ),
        "a row counts once": Misconception(
            counter(give=lambda copies: share(copies.any(0))),
            "You count the rows in which some position copies. Each position of each row counts for itself.",
        ),
        "a position counts once": Misconception(
            counter(give=lambda copies: share(copies.any(1))),
            "You count the positions that copy in some row. Each position of each row counts for itself.",
        ),
        "all rows must copy": Misconception(
            counter(give=lambda copies: share(copies.all(1))),
            "A position counts only where all rows copy, as if (said == drawn).all() or torch.equal decided. Each row "
            "counts for itself.",
        ),
        "a count instead of a share": Misconception(
            counter(give=as_doubles(lambda copies: copies.sum().item())),
            "You give the number of copies. Divide by the number of questions, batch · (seq - 1).",
        ),
        "divided by all tokens": Misconception(
            over_all_tokens,
            "You divide by batch · seq, and the first token of a row is predicted by nobody: batch · (seq - 1).",
        ),
        "divided by the rows alone": Misconception(
            counter(give=as_doubles(lambda copies: copies.sum(0).mean().item())),
            "You divide by the number of rows. There are seq - 1 questions in each of them: batch · (seq - 1).",
        ),
        "divided by the positions alone": Misconception(
            counter(give=as_doubles(lambda copies: copies.sum(1).mean().item())),
            "You divide by the number of positions. Each is asked in every row: batch · (seq - 1).",
        ),
        "in percent": Misconception(
            counter(give=as_doubles(lambda copies: 100 * copies.mean().item())),
            "You give percent. A share goes from 0 to 1.",
        ),
        "a rate for each row": Misconception(
            counter(give=as_doubles(lambda copies: copies.mean(0))),
            "You give several rates. One number is asked for, over all rows and positions.",
        ),
        "nothing is drawn": Misconception(
            counter(draw=lambda tokens, vocab, generator: (tokens + 1) % vocab),
            "Your new id is always the same step from the old one. Draw it, with torch.randint(..., "
            "generator=generator).",
        ),
        "the drawn id may be the original": Misconception(
            counter(draw=any_id),
            "torch.randint(vocab_size, ...) may draw the token that stands there, and then nothing was replaced. Draw "
            "a step from 1 to vocab_size - 1, add it, and take the rest modulo vocab_size.",
        ),
        "some ids are never drawn": Misconception(
            counter(draw=stepping(1, -1)),
            "Some id is never drawn. torch.randint(low, high) stops before high: steps are from 1 up to, not "
            "including, vocab_size.",
        ),
        "ids of the text are never drawn": Misconception(
            from_outside,
            "You draw only ids that the row does not hold. Each id but the one that is replaced must have its chance, "
            "also one that stands elsewhere in the row.",
        ),
        "tokens of other rows are drawn": Misconception(
            of_other_rows(own=False),
            "You take the token of another row, or of the same one by chance. It may be the original, and most ids "
            "never come. Draw from all of the vocabulary but the original.",
        ),
        "some ids are drawn more often": Misconception(
            counter(draw=next_if_equal),
            "Some id comes more often than others: where you met the original, you took a fixed neighbour. Draw a step "
            "from 1 to vocab_size - 1 and add it modulo vocab_size, and all others are equally likely.",
        ),
        "an id beyond the vocabulary": Misconception(
            counter(draw=lambda tokens, vocab, g: tokens + torch.randint(1, vocab, tokens.shape, generator=g)),
            "Your sum goes beyond the vocabulary, whose ids end at vocab_size - 1: take it % vocab_size.",
        ),
        "one draw for all rows": Misconception(
            counter(draw=one_step_for_all),
            "One number is drawn for the whole batch. Each row gets a draw of its own: a shape of (batch,).",
        ),
        "one draw for all positions": Misconception(
            drawn_once(lambda ids: ids.shape[:1]),
            "You draw once, before the loop, and use it at each position. Draw anew inside the loop.",
        ),
        "a tensor instead of a float": Misconception(
            counter(give=as_doubles(torch.mean)),
            "The number is right and stands in a tensor. .item() takes it out.",
        ),
        "the generator is not used": Misconception(
            lambda model, ids, vocab_size, generator=None: counter()(model, ids, vocab_size),
            "The draws do not come from the generator that is handed over: torch.randint(..., generator=generator).",
        ),
        "seeded anew in each call": Misconception(
            seeded_anew,
            "Every call asks the same questions, since you make or seed a generator inside the function. Use the one "
            "that is handed over as it is.",
        ),
        "it does not work without a generator": Misconception(
            needs_a_generator,
            "generator may be None, and None has no methods. Hand it on to torch.randint, which understands None.",
        ),
        "nothing to predict is not an error": Misconception(
            zero_if_nothing,
            "With one token a row nothing is predicted, and there is no share of nothing: raise a ValueError.",
        ),
        "ids are changed in place": Misconception(
            in_place(lambda ids: ids),
            "You write into the caller's ids: changed = ids is a second name for the same tensor. Begin with a fresh "
            "copy for each position: changed = ids.clone().",
        ),
        "the changes pile up": Misconception(
            in_place(lambda ids: ids.clone()),
            "Tokens that were replaced for earlier positions are still replaced later. Begin with a fresh copy of ids "
            "for each position.",
        ),
    },
    variants=VARIANTS,
    alternatives=[by_a_column_of_ids, by_one_large_batch, by_skipping, by_weights, by_filling],
    hints=(
        "A model that predicts well and one that copies both say the right token. What could you do to the text so "
        "that only the one that copies still says what stands there?",
        "For each position t from 0 to seq - 2: a fresh copy of ids, another id drawn for each row and put at t + 1, "
        "the model's logits at t, and their argmax beside what you drew.",
        "steps = torch.randint(1, vocab_size, (batch,), generator=generator); drawn = (ids[:, t + 1] + steps) % "
        "vocab_size is never the original. Count with (… == drawn).sum().item(), and divide once at the end.",
    ),
)
