"""Rules become an automaton: by hand, without ambiguity, and what is no grammar."""

import pytest

from course_lib.worlds.grammar import FINAL_STATE, START_STATE, build_automaton, find_ambiguity


def test_each_place_of_a_symbol_is_its_own_copy():
    automaton = build_automaton({"S": [(1, "N sees N")], "N": [(1, "bob"), (3, "old ann")]}, "S")
    assert automaton.num_states == 2 + 2 + 1 + 1  # the two ends, between the three items, and in each N
    arcs = {(arc.source, arc.word, arc.target): arc.probability for arc in automaton.arcs}
    assert arcs == {
        (START_STATE, "bob", 2): 0.25,
        (START_STATE, "old", 3): 0.75,
        (3, "ann", 2): 1.0,
        (2, "sees", 4): 1.0,
        (4, "bob", FINAL_STATE): 0.25,
        (4, "old", 5): 0.75,
        (5, "ann", FINAL_STATE): 1.0,
    }
    assert [arc.symbols for arc in automaton.arcs if arc.word == "bob"] == [("S", "N"), ("S", "N")]


def test_steps_from_each_state_share_one():
    rules = {"S": [(2, "A b"), (1, "c"), (5, "A A")], "A": [(1, "B"), (3, "x B")], "B": [(1, "y"), (1, "z z")]}
    automaton = build_automaton(rules, "S")
    leaving = [sum(arc.probability for arc in automaton.arcs if arc.source == state)
               for state in range(automaton.num_states) if state != FINAL_STATE]  # fmt: skip
    assert leaving == pytest.approx([1.0] * len(leaving))


@pytest.mark.parametrize(
    ("rules", "twice"),
    [
        ({"S": [(1, "a"), (1, "a")]}, ["a"]),
        ({"S": [(1, "A"), (1, "B")], "A": [(1, "x y")], "B": [(1, "x y"), (1, "x")]}, ["x", "y"]),
        ({"S": [(1, "A A")], "A": [(1, "x"), (1, "x x")]}, ["x", "x", "x"]),
        ({"S": [(1, "A end")], "A": [(1, "a N"), (1, "a b")], "N": [(1, "b")]}, ["a", "b", "end"]),
    ],
)
def test_two_derivations_are_found(rules, twice):
    assert find_ambiguity(build_automaton(rules, "S")) == twice


@pytest.mark.parametrize(
    "rules",
    [
        {"S": [(1, "a b"), (1, "a c")]},
        {"S": [(1, "A x"), (1, "A y")], "A": [(1, "a"), (1, "b b")]},
        {"S": [(1, "A A A")], "A": [(1, "x"), (1, "y")]},
    ],
)
def test_the_same_beginning_is_no_ambiguity(rules):
    assert find_ambiguity(build_automaton(rules, "S")) is None


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"S": [(1, "a S")]}, "rules must not be recursive, got S -> S"),
        ({"S": [(1, "A")], "A": [(1, "B c")], "B": [(1, "b A")]}, "rules must not be recursive, got S -> A -> B -> A"),
        ({"S": [(1, "the NOUN")]}, "symbol NOUN must have a rule, got none (used in S -> 'the NOUN')"),
        ({"A": [(1, "a")]}, "symbol S must have a rule, got none (it is the start symbol)"),
        ({"S": [(-1, "a"), (2, "b")]}, "weights must be positive numbers, got -1 for S -> 'a'"),
        ({"S": [(0, "a")]}, "weights must be positive numbers, got 0 for S -> 'a'"),
        ({"S": [(float("nan"), "a")]}, "weights must be positive numbers, got nan for S -> 'a'"),
        ({"S": [(float("inf"), "a")]}, "weights must be positive numbers, got inf for S -> 'a'"),
        ({"S": []}, "symbol S must have at least one alternative, got none"),
        ({"S": [(1, "a"), (1, " ")]}, "alternatives must hold at least one word, got an empty one for S"),
        ({"S": [(1, "a")], "noun": [(1, "b")]}, "symbols must be written in capitals, got 'noun'"),
        ({"S": [(1, "a <mask>")]}, "words must not be special tokens, got '<mask>' in S -> 'a <mask>'"),
    ],
)
def test_what_is_no_grammar_is_refused(rules, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared)
        build_automaton(rules, "S")
    assert str(caught.value) == message
