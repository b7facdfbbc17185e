"""Known mistakes and right answers for `generate`."""

import torch

from course_lib import generation
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson04 import run
from course_lib.exercises.lesson04.bank.writers import (
    by_column,
    by_filling,
    by_prompt,
    by_recursion,
    by_stacking,
    by_topk,
    new_alone,
    writer,
)

__all__ = ["WRITE"]


def _asks_once(model, prompt, max_new_tokens):
    return model(prompt)[:, -1].argmax(-1, keepdim=True).expand(-1, max_new_tokens)


def _best_of_one(model, prompt, max_new_tokens):
    return model(prompt)[:, -1].topk(max_new_tokens).indices


def _of_the_prompt(model, prompt, max_new_tokens):
    return model(prompt).argmax(-1)[:, -max_new_tokens:]


def _one_behind(model, prompt, max_new_tokens):
    tokens, new = prompt, []
    token = model(tokens)[:, -1].argmax(-1, keepdim=True)
    for _ in range(max_new_tokens):
        tokens = torch.cat((tokens, token), dim=1)
        token = model(tokens)[:, -1].argmax(-1, keepdim=True)
        new.append(token)
    return torch.cat(new, dim=1)


def _new_alone_are_read(model, prompt, max_new_tokens):
    new = model(prompt)[:, -1].argmax(-1, keepdim=True)
    for _ in range(max_new_tokens - 1):
        new = torch.cat((new, model(new)[:, -1].argmax(-1, keepdim=True)), dim=1)
    return new


def _slides(tokens, token):
    return torch.cat((tokens[:, 1:], token), dim=1)


def _collected(extend=lambda tokens, token: torch.cat((tokens, token), dim=1), give=lambda new: torch.cat(new, dim=1)):
    """The new tokens in a list of their own, as columns."""

    def generate(model, prompt, max_new_tokens):
        tokens, new = prompt, []
        for _ in range(max_new_tokens):
            new.append(model(tokens)[:, -1].argmax(-1, keepdim=True))
            tokens = extend(tokens, new[-1])
        return give(new)

    return generate


def _slides_in_place(model, prompt, max_new_tokens):
    new = []
    for _ in range(max_new_tokens):
        token = model(prompt)[:, -1].argmax(-1)
        prompt[:, :-1] = prompt[:, 1:].clone()
        prompt[:, -1] = token
        new.append(token)
    return torch.stack(new, dim=1)


def _grows_the_prompt(model, prompt, max_new_tokens):
    length = prompt.shape[1]
    for _ in range(max_new_tokens):
        prompt.data = torch.cat((prompt, model(prompt)[:, -1].argmax(-1, keepdim=True)), dim=1)
    return prompt[:, length:].clone()


def _drawn(logits):
    return torch.multinomial(logits.softmax(-1), 1)


def _flat(logits):
    return logits.argmax().expand(len(logits), 1)


def _of_row_0(logits):
    return logits[0].argmax().expand(len(logits), 1)


def _with_the_prompt(**steps):
    return writer(give=lambda tokens, prompt: tokens, **steps)


def _one_round(give):
    def generate(model, prompt, max_new_tokens):
        for _ in range(max_new_tokens):
            return give(prompt, model(prompt)[:, -1].argmax(-1, keepdim=True))
        return None

    return generate


def _last_alone(tokens, prompt):
    return tokens[:, -1:]


def _prompt_then_last_alone(tokens, prompt):
    return tokens if tokens.shape == prompt.shape else tokens[:, -1:]


def _first_place(logits, prompt):
    return logits[:, 0]


def _prompts_end(logits, prompt):
    return logits[:, prompt.shape[1] - 1]


def _every_place(logits, prompt):
    return logits


def _by_position(logits):
    return logits.argmax(dim=1)[:, -1:]


def _in_a_row(logits):
    return logits.argmax(-1)[None]


WRITE = Exercise(
    side=run.WRITE,
    reference=generation.generate,
    groups={
        "the likeliest token, again and again": 2,
        "several prompts at once": 1,
        "the new tokens alone, and the prompt left as it was": 1,
    },
    judge=Equality(untouched="the new tokens alone, and the prompt left as it was"),
    difficulty=2,
    minutes=8,
    misconceptions={
        "the prompt comes back too": Misconception(
            writer(give=lambda tokens, prompt: tokens),
            "The tokens are right, and the prompt stands before them. Give back what is new alone: cut off the first "
            "prompt.shape[1] columns.",
        ),
        "only the last token is read": Misconception(
            writer(feed=_last_alone),
            "The model is shown the newest token alone, and has forgotten the rest. It keeps nothing from one call to "
            "the next: hand over the whole sequence each time.",
        ),
        "the prompt is forgotten": Misconception(
            _new_alone_are_read,
            "The first token is right. Then the model is shown only what it wrote itself: hand over the prompt, too, "
            "each time.",
        ),
        "the first answer is used again": Misconception(
            _asks_once,
            "The first token is right, and what follows comes from the same logits. Ask the model inside the loop, "
            "with the new token appended, and read the logits at the end of the grown sequence: -1, not where the "
            "prompt ends.",
        ),
        "the sequence does not grow": Misconception(
            writer(extend=_slides, give=lambda tokens, prompt: tokens),
            "With each new token the first one is dropped, so that the sequence keeps its length and the prompt is "
            "forgotten bit by bit. Append, and drop nothing.",
        ),
        "the token is put in front": Misconception(
            writer(
                extend=lambda tokens, token: torch.cat((token, tokens), dim=1),
                give=lambda tokens, prompt: tokens[:, : tokens.shape[1] - prompt.shape[1]],
            ),
            "New tokens are put before the sequence. Text goes on at its end: torch.cat((tokens, token), dim=1).",
        ),
        "the first position decides": Misconception(
            writer(place=_first_place),
            "You read the logits of the first position, which has seen one token only. The next token is predicted by "
            "the last one: logits[:, -1].",
        ),
        "the prompt's own predictions": Misconception(
            _of_the_prompt,
            "These are the model's predictions inside the prompt, where the tokens after it are known already. Only "
            "the last position predicts something new, one token with each call.",
        ),
        "the unlikeliest token": Misconception(
            writer(choose=lambda logits: logits.argmin(-1, keepdim=True)),
            "You take the token with the lowest logit. The likeliest has the highest: argmax.",
        ),
        "a token is drawn": Misconception(
            writer(choose=_drawn),
            "Your tokens are drawn by chance. What is asked for here is greedy: the likeliest token, argmax, each "
            "time the same.",
        ),
        "positions instead of tokens": Misconception(
            writer(place=_every_place, choose=_by_position),
            "argmax looks along the positions here, and says where in the sequence a token is likeliest. Take the last "
            "position, and look for the largest along the vocabulary, the last axis.",
        ),
        "one token for all rows": Misconception(
            writer(choose=_of_row_0),
            "All rows get the same token. Without dim, argmax looks through the whole batch, and [0] through its first "
            "row: argmax(dim=-1) gives one token for each.",
        ),
        "one token too few": Misconception(
            writer(steps=lambda count: count - 1),
            "There is one token less than was asked for. range(n) makes n rounds, and each gives a token.",
        ),
        "one token too many": Misconception(
            writer(steps=lambda count: count + 1),
            "There is one token more than was asked for. range(n) makes n rounds, and each gives a token.",
        ),
        "the first token is lost": Misconception(
            _one_behind,
            "Your tokens start with the second one: the first is read by the model and never kept. Keep each token "
            "before you ask for the next.",
        ),
        "the token lacks an axis": Misconception(
            writer(choose=lambda logits: logits.argmax(-1)),
            "The tokens of a batch, (batch,), are to be put behind (batch, seq). Make a column of them: "
            "argmax(-1, keepdim=True), or token[:, None].",
        ),
        "a list instead of a tensor": Misconception(
            _collected(give=lambda new: new),
            "You give back a list of columns. torch.cat(…, dim=1) makes one tensor of them, (batch, max_new_tokens).",
        ),
        "put together along the wrong axis": Misconception(
            _collected(give=lambda new: torch.stack(new)[..., 0]),
            "The rows and columns of your answer are swapped, or there is an axis too many. A row is one sequence, and "
            "its tokens stand along the second axis: (batch, max_new_tokens).",
        ),
        "tokens of another dtype": Misconception(
            writer(give=lambda tokens, prompt: new_alone(tokens, prompt).float()),
            "The tokens are right, and their dtype is not torch.int64. torch.zeros and torch.empty make floating-point "
            "numbers unless told otherwise: dtype=prompt.dtype.",
        ),
        "the length of the prompt is asked too late": Misconception(
            writer(give=lambda tokens, prompt: tokens[:, tokens.shape[1] :]),
            "Nothing comes back: when the prompt is cut off, it has grown by all the new tokens. Note its length "
            "before the loop, or give the last max_new_tokens columns.",
        ),
        "only the last token comes back": Misconception(
            writer(give=lambda tokens, prompt: tokens[:, -1:]),
            "You give back the last token alone. Collect the new tokens, or cut them out of the whole sequence at the "
            "end.",
        ),
        "the loop ends in its first round": Misconception(
            _one_round(lambda prompt, token: token),
            "There is one token, however many are asked for: the return stands inside the loop. Move it out, to the "
            "left.",
        ),
        "a token for each position": Misconception(
            writer(place=_every_place, choose=lambda logits: logits.argmax(-1)),
            "You append the predictions of all positions, so that the sequence doubles in each round. Only the last "
            "position predicts a token that is not there yet: logits[:, -1].",
        ),
        "the last sequence, not the last position": Misconception(
            writer(place=lambda logits, prompt: logits[-1]),
            "The first axis of the logits is the batch, so that [-1] is the last sequence. The last position of all "
            "sequences is [:, -1].",
        ),
        "the logit instead of the token": Misconception(
            writer(choose=lambda logits: logits.amax(-1, keepdim=True)),
            "You append the largest logit, or probability, itself. The token is its place: argmax, or the indices that "
            "max gives beside the values.",
        ),
        "a row where a column is needed": Misconception(
            writer(choose=_in_a_row),
            "One prompt works, and several do not: each row of the batch gets a token of its own, a column (batch, 1). "
            "argmax(-1, keepdim=True) or [:, None] makes it; [None] and .item() do not.",
        ),
        "the prompt is changed": Misconception(
            _grows_the_prompt,
            "The tokens are right, and the caller's prompt is longer than before. Work on a tensor of your own, which "
            "torch.cat makes anyhow.",
        ),
    },
    variants={
        "the first answer is used again": (
            _best_of_one,
            writer(place=_prompts_end),
            _with_the_prompt(place=_prompts_end),
        ),
        "the sequence does not grow": (_collected(extend=_slides), _slides_in_place),
        "the token is put in front": (_collected(extend=lambda tokens, token: torch.cat((token, tokens), dim=1)),),
        "one token for all rows": (
            writer(choose=_flat),
            _with_the_prompt(choose=_flat),
            _with_the_prompt(choose=_of_row_0),
        ),
        "only the last token is read": (
            _with_the_prompt(feed=_last_alone),
            writer(feed=_prompt_then_last_alone),
            _with_the_prompt(feed=_prompt_then_last_alone),
        ),
        "the first position decides": (_with_the_prompt(place=_first_place),),
        "positions instead of tokens": (_with_the_prompt(place=_every_place, choose=_by_position),),
        "a token is drawn": (_with_the_prompt(choose=_drawn),),
        "tokens of another dtype": (writer(give=lambda tokens, prompt: new_alone(tokens, prompt).int()),),
        "the loop ends in its first round": (
            _one_round(lambda prompt, token: torch.cat((prompt, token), dim=1)),
            _one_round(lambda prompt, token: token[:, 0]),
        ),
        "a token for each position": (
            _with_the_prompt(place=_every_place, choose=lambda logits: logits.argmax(-1)),
            writer(
                place=_every_place,
                choose=lambda logits: logits.argmax(-1),
                give=lambda tokens, prompt: tokens[:, -prompt.shape[1] :],
            ),
        ),
        "a row where a column is needed": (_with_the_prompt(choose=_in_a_row),),
        "one token too few": (
            writer(steps=lambda count: count - 1, give=lambda tokens, prompt: tokens),
        ),
        "one token too many": (
            writer(steps=lambda count: count + 1, give=lambda tokens, prompt: tokens),
        ),
        "a list instead of a tensor": (
            _collected(give=lambda new: [token[:, 0] for token in new]),
            _collected(give=lambda new: torch.cat(new, dim=1).tolist()),
        ),
        "put together along the wrong axis": (
            _collected(give=lambda new: torch.stack(new, dim=1)),
            _collected(give=lambda new: torch.cat(new, dim=0)),
            _collected(give=torch.stack),
        ),
    },
    alternatives=[by_stacking, by_filling, by_recursion, by_prompt, by_topk, by_column],
    allowed=("course_lib.decoder.Decoder",),
    hints=(
        "Which of the model's logits say something about a token that is not there yet? And what must the model read "
        "to predict the token after that one?",
        "Each round: logits = model(tokens), of shape (batch, seq, vocab); the last position decides; its likeliest "
        "token goes to the end of tokens. After the loop, give back what stands behind the prompt.",
        "token = logits[:, -1].argmax(-1, keepdim=True) is a column, which torch.cat((tokens, token), dim=1) appends. "
        "tokens[:, prompt.shape[1]:] is what is new.",
    ),
)
