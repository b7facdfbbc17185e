"""A language whose every probability is known: what a model of it could reach at best is computed, not guessed.

A grammar without recursion is a finite automaton, so sums over all sentences are sums over its states. A language
model predicts the end of a sentence too; every figure for each token counts the end token as one.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.padding import right_pad
from course_lib.worlds.grammar import FINAL_STATE, START_STATE, Arc, Rules, build_automaton, find_ambiguity
from course_lib.worlds.special_tokens import EOS, PAD, SPECIAL_TOKENS
from course_lib.worlds.tokenizers import WordTokenizer
from course_lib.worlds.trellis import Trellis

__all__ = ["Language", "Parse", "Sentences"]

# Lists of words, "<mask>" standing for any word; or their ids, as a model gets them: padding and start tokens say
# nothing, an end token says that the sentence is over.
Sentences = Sequence[Sequence[str]] | Int[Tensor, "batch length"]


class Parse(NamedTuple):
    """What a sentence is made of: its topic, and for each word the symbols it stands in, outermost first.

    Source: our own.

    >>> Parse("nature", [("SENTENCE", "NATURE", "BANK")]).symbols[0][-1]
    'BANK'
    """

    topic: str
    symbols: list[tuple[str, ...]]


class Language:
    """The sentences of a grammar, each with its exact probability.

    tokenizer: the words of the language. Tensors of ids and of probabilities over words use its ids, so they compare
    with the logits of a model that uses it. topics: if all alternatives of the start symbol are symbols by themselves,
    these, in small letters and alphabetical order; else the start symbol alone. Probabilities are float64.
    Raises ValueError if a sentence has two derivations, and for rules as `build_automaton` does. Source: our own.

    >>> language = Language({"S": [(1, "A"), (1, "B")], "A": [(1, "he V")], "B": [(1, "we V")],
    ...                      "V": [(3, "swim"), (1, "row")]}, "S")
    >>> language.topics, language.mean_length
    (('a', 'b'), 2.0)
    >>> language.next_token_probabilities([["he"]])[0, -1, language.tokenizer.encode("row swim")].tolist()
    [0.25, 0.75]
    """

    def __init__(self, rules: Rules, start: str) -> None:
        automaton = build_automaton(rules, start)
        twice = find_ambiguity(automaton)
        if twice is not None:
            raise ValueError(f"each sentence must have one derivation, but {' '.join(twice)!r} has two")
        self._topic_depth = int(all(text in rules for _, text in rules[start]))
        self.topics: tuple[str, ...] = tuple(sorted({self._topic(arc) for arc in automaton.arcs}))
        # Each topic ends in a state of its own, so every state but the first belongs to one topic.
        final = {topic: automaton.num_states + place for place, topic in enumerate(self.topics)}
        self.arcs: tuple[Arc, ...] = tuple(
            arc._replace(target=final[self._topic(arc)]) if arc.target == FINAL_STATE else arc for arc in automaton.arcs
        )
        self.tokenizer = WordTokenizer([[arc.word for arc in self.arcs]])
        self._trellis = Trellis(self.arcs, [*final.values()], self.tokenizer)
        self._state_topic = torch.zeros(len(self._trellis.is_final), len(self.topics), dtype=torch.float64)
        for arc in self.arcs:
            topic = self.topics.index(self._topic(arc))
            self._state_topic[arc.target, topic] = 1
            if arc.source == START_STATE:
                self._state_topic[START_STATE, topic] += arc.probability

    def _topic(self, arc: Arc) -> str:
        return arc.symbols[self._topic_depth].lower()

    @cached_property
    def _visits(self) -> Float[Tensor, " states"]:
        """How often a random sentence visits each state: once or never, so these are probabilities."""
        return self._trellis.visits()

    @cached_property
    def mean_length(self) -> float:
        """The mean number of words of a sentence, without the end token."""
        return float(self._visits @ (1 - self._trellis.is_final))

    @cached_property
    def entropy_per_sentence(self) -> float:
        """The entropy of a sentence, in nats: the mean of -log p over all sentences, exactly."""
        weights = self._trellis.weights
        surprise = -torch.xlogy(weights, weights).sum(1)
        return float(self._visits[self._trellis.source] @ surprise)

    @property
    def entropy_per_token(self) -> float:
        """The least mean loss of a language model, in nats for each token, the end token being one."""
        return self.entropy_per_sentence / (self.mean_length + 1)

    def sample(self, count: int, generator: torch.Generator | None = None) -> list[list[str]]:
        """Draw sentences, as lists of words without an end token.

        Raises ValueError if count is negative. Source: our own.

        >>> Language({"S": [(1, "she V"), (1, "he V")], "V": [(1, "rows .")]}, "S").sample(1)[0][1:]
        ['rows', '.']
        """
        if count < 0:
            raise ValueError(f"count must not be negative, got {count}")
        up_to, target, word = self._steps
        state, columns = torch.full((count,), START_STATE), []
        while count and (self._trellis.is_final[state] == 0).any():
            drawn = torch.rand(count, 1, generator=generator, dtype=torch.float64)
            arc = (drawn >= up_to[state]).sum(1)
            columns.append(word[state, arc])
            state = target[state, arc]
        rows = torch.stack(columns, 1).tolist() if columns else []
        return [[self.tokenizer.tokens[token] for token in row if token != PAD] for row in rows]

    @cached_property
    def _steps(self) -> tuple[Tensor, Tensor, Tensor]:
        """Each state's arcs in a row: probabilities up to and including each but the last, targets, words."""
        leaving: list[list[Arc]] = [[] for _ in self._trellis.is_final]
        for arc in self.arcs:
            leaving[arc.source].append(arc)
        shape = (len(leaving), max(map(len, leaving)))
        up_to = torch.full((shape[0], shape[1] - 1), torch.inf, dtype=torch.float64)
        target = torch.arange(len(leaving))[:, None].repeat(1, shape[1])  # a final state stays, and says nothing
        word = torch.full(shape, PAD)
        for state, arcs in enumerate(leaving):
            shares = torch.tensor([arc.probability for arc in arcs[:-1]], dtype=torch.float64)
            up_to[state, : len(shares)] = shares.cumsum(0)
            for place, arc in enumerate(arcs):
                target[state, place], word[state, place] = arc.target, self.tokenizer.encode([arc.word])[0]
        return up_to, target, word

    def stream(self, tokens: int, generator: torch.Generator | None = None) -> list[str]:
        """Draw sentences, each with its end token, one behind the other, cut at the given number of tokens.

        Raises ValueError if tokens is negative. Source: our own.

        >>> Language({"S": [(1, "hush .")]}, "S").stream(5)
        ['hush', '.', '<eos>', 'hush', '.']
        """
        if tokens < 0:
            raise ValueError(f"tokens must not be negative, got {tokens}")
        flat: list[str] = []
        while len(flat) < tokens:
            missing = tokens - len(flat)
            for sentence in self.sample(1 + int(missing / (self.mean_length + 1)), generator):
                flat += [*sentence, SPECIAL_TOKENS[EOS]]
        return flat[:tokens]

    def log_probability(self, sentences: Sentences) -> Float[Tensor, " batch"]:
        """Give the log-probability of whole sentences, in nats; -inf for what is no sentence of the language.

        Shapes: returns (batch,). Source: the forward algorithm (Rabiner 1989, section III.A).

        >>> language = Language({"S": [(1, "she V"), (1, "he V")], "V": [(1, "rows")]}, "S")
        >>> language.log_probability([["she", "rows"], ["rows"], ["<mask>", "rows"]]).exp().tolist()
        [0.5, 0.0, 1.0]
        """
        for forward in self._trellis.forward(self._ids(sentences)):
            last = forward
        return (last @ self._trellis.is_final).log()

    def next_token_probabilities(self, prefixes: Sentences) -> Float[Tensor, "batch places vocab"]:
        """Give the distribution of the token that follows each prefix of each row.

        At place t of the result the first t tokens of the row are known; at the last place, all of them. Behind a whole
        sentence comes the end token.
        Shapes: returns (batch, length + 1, vocab). Raises ValueError if no sentence begins as a row does.
        Source: the forward algorithm (Rabiner 1989, section III.A).

        >>> language = Language({"S": [(1, "she V"), (3, "he V")], "V": [(1, "rows")]}, "S")
        >>> he, rows, she = language.tokenizer.encode("he rows she")
        >>> known = language.next_token_probabilities([["she", "rows"]])[0]
        >>> known[0, [he, rows, she]].tolist(), known[1, rows].item(), known[2, EOS].item()
        ([0.75, 0.0, 0.25], 1.0, 1.0)
        """
        ids = self._ids(prefixes)
        return torch.stack([self._trellis.next_tokens(forward) for forward in self._possible(ids)], 1)

    def topic_probabilities(self, prefixes: Sentences) -> Float[Tensor, "batch places topics"]:
        """Give the distribution of the topic of a sentence that begins with each prefix of each row.

        Places, shapes and errors as in `next_token_probabilities`; a row that holds its end token is known to be whole.
        Source: the forward algorithm (Rabiner 1989, section III.A).

        >>> language = Language({"S": [(1, "A"), (1, "B")], "A": [(1, "a")], "B": [(1, "a b")]}, "S")
        >>> language.topic_probabilities([["a", "<eos>"]])[0].tolist()
        [[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]
        """
        ids = self._ids(prefixes)
        return torch.stack([forward @ self._state_topic / forward.sum(1, True) for forward in self._possible(ids)], 1)

    def masked_probabilities(self, sentences: Sentences) -> Float[Tensor, "batch length vocab"]:
        """Give the distribution of each masked word, given all words of the whole sentence that are not masked.

        Several masked words know nothing of each other's answer. Where nothing is masked, the token itself has 1.
        Shapes: returns (batch, length, vocab). Raises ValueError if no sentence has the words that are shown.
        Source: the forward-backward algorithm (Rabiner 1989, section III.A).

        >>> language = Language({"S": [(1, "she rows"), (3, "he V")], "V": [(1, "rows"), (2, "swims")]}, "S")
        >>> he, she = language.tokenizer.encode("he she")
        >>> language.masked_probabilities([["<mask>", "rows"]])[0, 0, [he, she]].tolist()
        [0.5, 0.5]
        """
        ids = self._ids(sentences)
        return self._trellis.fill(ids, self._possible(ids, whole=True))

    def parse(self, sentence: Sequence[str]) -> Parse:
        """Give the one derivation of a sentence.

        Raises ValueError if it is no sentence of the language. Source: our own.

        >>> language = Language({"S": [(1, "A"), (1, "B")], "A": [(1, "he V")], "B": [(1, "V")],
        ...                      "V": [(1, "rows")]}, "S")
        >>> language.parse(["he", "rows"])
        Parse(topic='a', symbols=[('S', 'A'), ('S', 'A', 'V')])
        """
        # Each state that the words so far may lead to, with the arcs on the way: there may be several ways before the
        # end, but never two to the same state, since that state's way to the end would then be ambiguous.
        ways: dict[int, list[Arc]] = {START_STATE: []}
        for word in sentence:
            ways = {
                arc.target: [*way, arc] for state, way in ways.items() for arc in self._leaving.get((state, word), ())
            }
        for state, way in ways.items():
            if self._trellis.is_final[state]:
                return Parse(self._topic(way[0]), [arc.symbols for arc in way])
        raise ValueError(f"parse needs a sentence of the language, got {' '.join(sentence)!r}")

    @cached_property
    def _leaving(self) -> dict[tuple[int, str], list[Arc]]:
        """The arcs that say a word, by the state they begin in and the word."""
        leaving: dict[tuple[int, str], list[Arc]] = {}
        for arc in self.arcs:
            leaving.setdefault((arc.source, arc.word), []).append(arc)
        return leaving

    def _ids(self, sentences: Sentences) -> Int[Tensor, "batch length"]:
        """Take sentences as ids, whether they are given as words or as ids."""
        if isinstance(sentences, Tensor):
            return sentences
        if not len(sentences):
            return torch.zeros(0, 0, dtype=torch.long)
        return right_pad([[*self.tokenizer.encode(list(row)), PAD] for row in sentences], PAD)[0][:, :-1]

    def _possible(self, ids: Tensor, whole: bool = False) -> list[Tensor]:
        """Give what `Trellis.forward` gives, or refuse rows that are impossible."""
        forward = list(self._trellis.forward(ids))
        mass = forward[-1] @ self._trellis.is_final if whole else forward[-1].sum(1)
        for row in (mass == 0).nonzero().flatten()[:1].tolist():
            words = self.tokenizer.decode([token for token in ids[row].tolist() if token != PAD])
            raise ValueError(
                f"{'sentences' if whole else 'prefixes'} must be of the language, but row {row} is {words!r}"
            )
        return forward
