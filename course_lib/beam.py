"""Beam search: keep the best few beginnings at once, instead of the best one."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.decoder import Decoder
from course_lib.generation import Session
from course_lib.seq2seq import EncoderDecoder, Memory

__all__ = ["beam_search"]


class _Hypothesis(NamedTuple):
    """A beginning, or a whole answer, and how good it is."""

    score: float  # a beginning's: its log-probability; an answer's: that over length ** length_penalty
    tokens: list[int]


def beam_search(
    model: Decoder | EncoderDecoder,
    prompt: Int[Tensor, "batch prompt"],
    max_new_tokens: int,
    num_beams: int = 4,
    length_penalty: float = 1.0,
    *,
    mask: Bool[Tensor, "#batch 1 1 prompt"] | None = None,
    memory: Memory | None = None,
    stop_ids: int | Sequence[int] | Tensor = (),
    pad_id: int = 0,
    early_stopping: bool = False,
) -> tuple[Int[Tensor, "batch new"], Float[Tensor, " batch"]]:
    """Write what has the highest log-probability / length ** length_penalty among the hypotheses that are followed.

    At each step the num_beams likeliest continuations of all running hypotheses go on; those that end in a stop token
    are set aside as finished. The search for a row ends when no running hypothesis, taken at its present length, beats
    the worst of num_beams finished ones, or with early_stopping as soon as there are so many (Wu et al. 2016, section
    7, with a plain power of the length as penalty).
    length_penalty: 0 compares log-probabilities, which favours short answers; 1 compares means.
    Shapes: prompt (batch, prompt), mask (batch, 1, 1, prompt), True = real, padded on the left; returns the best
    answers (batch, at most max_new_tokens), padded with pad_id, and their scores (batch,).
    Raises ValueError if num_beams or max_new_tokens is below 1, and as `generation.Session` does.

    >>> from course_lib.decoder import DecoderConfig
    >>> model = Decoder(DecoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> ids, score = beam_search(model, torch.tensor([[5, 8, 2]]), max_new_tokens=6, num_beams=3)
    >>> ids.shape
    torch.Size([1, 6])
    """
    for name, value in (("num_beams", num_beams), ("max_new_tokens", max_new_tokens)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    stops = set(torch.as_tensor(stop_ids, dtype=torch.long, device=prompt.device).flatten().tolist())
    looked_at = max(2, 1 + len(stops)) * num_beams  # of so many at least num_beams do not end in a stop token
    session = Session(model, prompt.shape[1] + max_new_tokens, mask, memory)
    running = [[_Hypothesis(0.0, [])] for _ in prompt]
    searches = [_Finished(num_beams, length_penalty, early_stopping) for _ in prompt]
    newest = prompt
    for length in range(1, max_new_tokens + 1):
        log_probs = session.step(newest).log_softmax(-1).unflatten(0, (len(running), -1))
        scores = log_probs.new_tensor([[h.score for h in row] for row in running])
        followed = (log_probs + scores[..., None]).flatten(1)
        best, flat = followed.topk(min(looked_at, followed.shape[1]))
        origins, tokens = flat // log_probs.shape[-1], flat % log_probs.shape[-1]
        width = len(running[0])  # hypotheses each row of the prompt has; the session's batch has them one after another
        rows = []  # which of the session's rows each hypothesis that goes on comes from
        for row, found in enumerate(zip(best.tolist(), origins.tolist(), tokens.tolist(), strict=True)):
            goes_on: list[_Hypothesis] = []
            for rank, (score, origin, token) in enumerate(zip(*found, strict=True)):
                hypothesis = _Hypothesis(score, [*running[row][origin].tokens, token])
                if token in stops or length == max_new_tokens:
                    if rank < num_beams:  # the others are looked at only so that enough go on
                        searches[row].add(hypothesis)
                elif len(goes_on) < num_beams:
                    goes_on.append(hypothesis)
                    rows.append(row * width + origin)
            running[row] = goes_on
            searches[row].decide(goes_on)
        if length == max_new_tokens or not rows or all(search.ended for search in searches):
            break
        session.reorder(torch.tensor(rows, device=prompt.device))
        newest = torch.tensor([[h.tokens[-1]] for row in running for h in row], device=prompt.device)
    answers = [search.best[0] for search in searches]
    longest = max(len(answer.tokens) for answer in answers)
    ids = [answer.tokens + [pad_id] * (longest - len(answer.tokens)) for answer in answers]
    return torch.tensor(ids, device=prompt.device), log_probs.new_tensor([a.score for a in answers])


class _Finished:
    """The best finished hypotheses of one row, and whether the search for it has ended."""

    def __init__(self, num_beams: int, length_penalty: float, early_stopping: bool):
        self.num_beams, self.length_penalty, self.early_stopping = num_beams, length_penalty, early_stopping
        self.best: list[_Hypothesis] = []
        self.ended = False

    def add(self, hypothesis: _Hypothesis) -> None:
        if not self.ended:
            score = hypothesis.score / len(hypothesis.tokens) ** self.length_penalty
            self.best.append(_Hypothesis(score, hypothesis.tokens))

    def decide(self, running: list[_Hypothesis]) -> None:
        """Keep the best, and see whether a running hypothesis could still beat the worst of them."""
        self.best = sorted(self.best, key=lambda hypothesis: -hypothesis.score)[: self.num_beams]
        if len(self.best) == self.num_beams and running:  # the first of these is the likeliest
            hope = running[0].score / len(running[0].tokens) ** self.length_penalty
            self.ended = self.ended or self.early_stopping or hope <= self.best[-1].score
