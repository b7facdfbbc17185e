"""A prediction starts open, and needs something to choose from."""

import pytest

from course_lib.playground import predict


def test_nothing_is_chosen_until_the_learner_chooses():
    guess = predict("yes", "no")
    assert guess.value is None
    assert guess.options == ("yes", "no")
    guess.value = "no"
    assert guess.value == "no"


def test_one_answer_is_no_question():
    with pytest.raises(ValueError, match=r"^a prediction needs at least two answers, got 1$"):
        predict("yes")
