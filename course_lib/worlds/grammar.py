"""Grammars as readable rules, and the finite automaton that a grammar without recursion is.

A rule gives a symbol's alternatives, each with a weight: {"NOUN": [(2, "bank"), (1, "old NOUN2")]}. Symbols are
written in capitals, words are not. Each place where a symbol stands becomes its own copy of the symbol's automaton.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from course_lib.worlds.special_tokens import SPECIAL_TOKENS

__all__ = ["Arc", "Automaton", "Rules", "build_automaton", "find_ambiguity"]

Rules = Mapping[str, Sequence[tuple[float, str]]]

START_STATE, FINAL_STATE = 0, 1


class Arc(NamedTuple):
    """A step of the automaton: it says `word`, with the given probability among the steps from `source`.

    symbols: the symbols the word stands in, outermost first. Source: our own.

    >>> Arc(source=0, target=1, word="bank", probability=1.0, symbols=("START", "NOUN")).symbols[-1]
    'NOUN'
    """

    source: int
    target: int
    word: str
    probability: float
    symbols: tuple[str, ...]


class Automaton(NamedTuple):
    """All steps of a language; sentences begin in START_STATE and end in FINAL_STATE, where no step begins.

    Source: our own.

    >>> build_automaton({"S": [(1, "a b")]}, "S").num_states
    3
    """

    num_states: int
    arcs: tuple[Arc, ...]


def build_automaton(rules: Rules, start: str) -> Automaton:
    """Compile a grammar without recursion to a finite automaton with the same sentences and probabilities.

    Raises ValueError if a symbol has no rule, no alternative or contains itself, an alternative is empty, holds a
    special token or has a weight that is not a positive number. Source: our own.

    >>> automaton = build_automaton({"S": [(3, "the N"), (1, "N")], "N": [(1, "bank")]}, "S")
    >>> [(arc.source, arc.word, arc.target, arc.probability) for arc in automaton.arcs]
    [(0, 'the', 2, 0.75), (2, 'bank', 1, 1.0), (0, 'bank', 1, 0.25)]
    """
    _require_rules(rules, start)
    arcs: list[Arc] = []
    num_states = 2

    def expand(symbol: str, source: int, target: int, probability: float, outer: tuple[str, ...]) -> None:
        """Lay all alternatives of a symbol between two states."""
        nonlocal num_states
        symbols = (*outer, symbol)
        total = sum(weight for weight, _ in rules[symbol])
        for weight, text in rules[symbol]:
            items = text.split()
            state, share = source, probability * weight / total  # the choice is paid for by the first step
            for item in items[:-1]:
                after, num_states = num_states, num_states + 1
                place(item, state, after, share, symbols)
                state, share = after, 1.0
            place(items[-1], state, target, share, symbols)

    def place(item: str, source: int, target: int, probability: float, symbols: tuple[str, ...]) -> None:
        """Lay a word or a symbol between two states."""
        if item in rules:
            expand(item, source, target, probability, symbols)
        else:
            arcs.append(Arc(source, target, item, probability, symbols))

    expand(start, START_STATE, FINAL_STATE, 1.0, ())
    return Automaton(num_states, tuple(arcs))


def find_ambiguity(automaton: Automaton) -> list[str] | None:
    """Give a sentence with two derivations, or None: then the entropy of derivations is that of sentences.

    Two readers walk through the automaton together, saying the same words; the language is ambiguous if and only if
    they can part and still both end. Source: our own.

    >>> find_ambiguity(build_automaton({"S": [(1, "N"), (1, "a b")], "N": [(1, "a b"), (1, "c")]}, "S"))
    ['a', 'b']
    >>> find_ambiguity(build_automaton({"S": [(1, "a b"), (1, "a c")]}, "S")) is None
    True
    """
    steps: dict[int, list[Arc]] = {}
    for arc in automaton.arcs:
        steps.setdefault(arc.source, []).append(arc)
    # Where both readers may be, whether they have parted, and what they have said.
    waiting: list[tuple[int, int, bool, tuple[str, ...]]] = [(START_STATE, START_STATE, False, ())]
    seen = {waiting[0][:3]}
    while waiting:
        left, right, parted, said = waiting.pop()
        if parted and left == right == FINAL_STATE:
            return list(said)
        for one in steps.get(left, []):
            for two in steps.get(right, []):
                place = (one.target, two.target, parted or one is not two)
                if one.word == two.word and place not in seen:
                    seen.add(place)
                    waiting.append((*place, (*said, one.word)))
    return None


def _require_rules(rules: Rules, start: str) -> None:
    """Raise ValueError unless the rules are complete, positive and free of recursion."""
    for symbol, alternatives in rules.items():
        if not symbol.isupper():
            raise ValueError(f"symbols must be written in capitals, got {symbol!r}")
        if not alternatives:
            raise ValueError(f"symbol {symbol} must have at least one alternative, got none")
        for weight, text in alternatives:
            if not (weight > 0 and math.isfinite(weight)):
                raise ValueError(f"weights must be positive numbers, got {weight} for {symbol} -> {text!r}")
            if not text.split():
                raise ValueError(f"alternatives must hold at least one word, got an empty one for {symbol}")
            for item in text.split():
                if item.isupper() and item not in rules:
                    raise ValueError(f"symbol {item} must have a rule, got none (used in {symbol} -> {text!r})")
                if item in SPECIAL_TOKENS:
                    raise ValueError(f"words must not be special tokens, got {item!r} in {symbol} -> {text!r}")
    if start not in rules:
        raise ValueError(f"symbol {start} must have a rule, got none (it is the start symbol)")
    for path in _paths(rules, start):
        if path[-1] in path[:-1]:
            raise ValueError(f"rules must not be recursive, got {' -> '.join(path)}")


def _paths(rules: Rules, start: str) -> Iterator[tuple[str, ...]]:
    """Go through all chains of symbols that contain one another, up to the first repetition."""
    waiting = [(start,)]
    while waiting:
        path = waiting.pop()
        yield path
        if path[-1] not in path[:-1]:
            inner = {item for _, text in rules[path[-1]] for item in text.split() if item in rules}
            waiting += [(*path, symbol) for symbol in sorted(inner)]
