"""A prediction starts open, is kept once it is made, and needs something to choose from."""

import pytest

from course_lib.playground import predict, predicted


def ask(key, *answers):
    """Ask, and give the radio buttons."""
    return predict(key, *answers).children[0]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))


def test_nothing_is_chosen_until_the_learner_chooses():
    guess = ask("01.bank", "yes", "no")
    assert guess.value is None
    assert guess.options == ("yes", "no")
    assert predicted("01.bank") == "none yet (choose an answer above, then run this cell again)"
    guess.value = "no"
    assert predicted("01.bank") == "no"


def test_a_cell_that_runs_again_keeps_the_choice_and_lets_it_change():
    ask("01.bank", "yes", "no").value = "no"
    again = ask("01.bank", "yes", "no")
    assert again.value == "no"
    again.value = "yes"
    assert predicted("01.bank") == "yes"


def test_each_question_has_a_choice_of_its_own():
    ask("01.bank", "yes", "no").value = "no"
    assert ask("01.river", "yes", "no").value is None


def test_a_choice_that_is_no_longer_offered_is_left_open():
    ask("01.bank", "yes", "no").value = "no"
    assert ask("01.bank", "yes", "never").value is None


def test_one_answer_is_no_question():
    with pytest.raises(ValueError, match=r"^a prediction needs at least two answers, got 1$"):
        ask("01.bank", "yes")
