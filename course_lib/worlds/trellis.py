"""The sums over all sentences of an automaton, one token at a time, for a batch of rows.

Probabilities are multiplied as they are, in float64: a sentence of some dozens of words is far from underflow.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from course_lib.worlds.grammar import START_STATE, Arc
from course_lib.worlds.special_tokens import BOS, CLS, EOS, MASK, PAD, SEP
from course_lib.worlds.tokenizers import WordTokenizer

__all__ = ["Trellis"]

_SAY_NOTHING = torch.tensor([PAD, BOS, CLS])
_END = torch.tensor([EOS, SEP])


class Trellis:
    """The automaton as tensors: edge e leads from source[e] to target[e], saying word w with weights[e, w].

    Arcs between the same two states are one edge. In rows of ids, padding and start tokens say nothing, an end token
    says that the sentence is over, and a mask may be any word.
    Source: the forward-backward algorithm (Rabiner 1989, section III.A).

    >>> tokenizer = WordTokenizer(["a b"])
    >>> trellis = Trellis([Arc(0, 1, "a", 0.25, ()), Arc(0, 1, "b", 0.75, ())], [1], tokenizer)
    >>> [states.tolist() for states in trellis.forward(torch.tensor([tokenizer.encode("b")]))]
    [[[1.0, 0.0]], [[0.0, 0.75]]]
    """

    def __init__(self, arcs: Sequence[Arc], final_states: Sequence[int], tokenizer: WordTokenizer) -> None:
        edges = sorted({(arc.source, arc.target) for arc in arcs})
        number = {edge: place for place, edge in enumerate(edges)}
        self.source, self.target = torch.tensor(edges).T
        self.weights = torch.zeros(len(edges), tokenizer.vocab_size, dtype=torch.float64)
        for arc in arcs:
            self.weights[number[arc.source, arc.target], tokenizer.encode([arc.word])[0]] = arc.probability
        self.is_final = torch.zeros(int(self.target.max()) + 1, dtype=torch.float64)
        self.is_final[list(final_states)] = 1
        self._weight_of = self.weights.T.clone()  # (vocab, edges)
        self._weight_of[MASK] = self.weights.sum(1)

    def visits(self) -> Float[Tensor, " states"]:
        """Give the probability that a random sentence passes through each state.

        Shapes: returns (states,).
        """
        total = torch.zeros_like(self.is_final)
        anything = torch.tensor([[MASK]])
        now = self._start(1)
        while now.sum() > 0:
            total += now[0]
            now = self._onward(now, anything[0])
        return total

    def forward(self, ids: Int[Tensor, "batch length"]) -> Iterator[Float[Tensor, "batch states"]]:
        """Give, for each prefix of the rows, the probability of the prefix together with the state behind it.

        Shapes: ids (batch, length); gives length + 1 times (batch, states).
        """
        now = self._start(len(ids))
        yield now
        for column in ids.T:
            now = self._choose(column, now, self._onward(now, column))
            yield now

    def next_tokens(self, forward: Float[Tensor, "batch states"]) -> Float[Tensor, "batch vocab"]:
        """Give the distribution of the next token, from what `forward` gives.

        Shapes: forward (batch, states); returns (batch, vocab).
        """
        words = forward[:, self.source] @ self.weights
        words[:, EOS] = forward @ self.is_final
        return words / words.sum(1, keepdim=True)

    def fill(
        self, ids: Int[Tensor, "batch length"], forward: Sequence[Float[Tensor, "batch states"]]
    ) -> Float[Tensor, "batch length vocab"]:
        """Give the distribution of each masked word, given the others; where nothing is masked, the token itself has 1.

        Shapes: ids (batch, length), forward as from `forward`; returns (batch, length, vocab).
        """
        filled = F.one_hot(ids, self.weights.shape[1]).double()
        after = self.is_final.repeat(len(ids), 1)  # the probability of all that comes later, by the state before it
        for place in reversed(range(ids.shape[1])):
            column = ids[:, place]
            masked = column == MASK
            words = (forward[place][masked][:, self.source] * after[masked][:, self.target]) @ self.weights
            filled[masked, place] = words / words.sum(1, keepdim=True)
            through = after[:, self.target] * self._weight_of[column]
            after = self._choose(column, after, torch.zeros_like(after).index_add(1, self.source, through))
        return filled

    def _start(self, rows: int) -> Tensor:
        now = torch.zeros(rows, len(self.is_final), dtype=torch.float64)
        now[:, START_STATE] = 1
        return now

    def _onward(self, now: Tensor, column: Tensor) -> Tensor:
        """Let each row say its token of the column."""
        through = now[:, self.source] * self._weight_of[column]
        return torch.zeros_like(now).index_add(1, self.target, through)

    def _choose(self, column: Tensor, nothing: Tensor, said: Tensor) -> Tensor:
        """Take for each row what its token does: nothing, ending the sentence, or saying a word."""
        ended = torch.where(torch.isin(column, _END)[:, None], nothing * self.is_final, said)
        return torch.where(torch.isin(column, _SAY_NOTHING)[:, None], nothing, ended)
