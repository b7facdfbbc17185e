"""An interrupted training: one sentence, the history so far, and no result of a half-trained model in the lab book."""

import signal
import threading
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from course_lib import labbook, training
from course_lib.training import NotStarted, Recipe, half_trained, shuffled, train


@pytest.fixture(autouse=True)
def _own_lab_book(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    yield
    training._half_trained.clear()


def learn(interrupt_at=None, title="decoder", width=1, model=None):
    """Train a small model, and press the stop button at a step."""
    model = nn.Linear(width, 1) if model is None else model
    steps = iter(range(1000))

    def loss(model, batch):
        if next(steps) == interrupt_at:
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return model(batch).square().mean()

    return model, train(model, shuffled(torch.ones(8, width), 4), loss, Recipe(steps=5), progress=title)


def test_an_interrupt_gives_a_sentence_and_the_history_so_far(capsys):
    model, history = learn(interrupt_at=3)
    assert (history.interrupted, history.steps, history.reached) == (True, 3, False)
    assert not model.training
    shown = capsys.readouterr().out.splitlines()[-1]
    assert shown.startswith("Training was interrupted after 3 of 5 steps. Until this cell has run to its end, ")
    assert not learn()[1].interrupted


def test_an_interrupt_waits_until_the_optimizer_is_there(monkeypatch):
    made = training._optimizer

    def interrupted(*args):
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return made(*args)

    monkeypatch.setattr(training, "_optimizer", interrupted)
    _, history = learn()
    assert (history.interrupted, history.steps) == (True, 0)


def test_no_result_of_a_half_trained_model_reaches_the_lab_book(capsys):
    labbook.record("04.loss", 1.5)
    model, _ = learn(interrupt_at=3)
    capsys.readouterr()
    labbook.record("04.loss", float("nan"))  # which a half-trained model may well give
    assert capsys.readouterr().out.startswith("Not written into the lab book: 04.loss. The training of a model was ")
    assert labbook.recall("04.loss") == 1.5
    labbook.record("prediction 04.floor", "about 3")  # not measured
    labbook.record("check 04.sample", "passed")
    assert labbook.recall("prediction 04.floor") == "about 3"
    learn(title="prompts")  # other trainings, that come to their end
    learn(width=2)
    labbook.record("04.loss", 1.6)
    assert labbook.recall("04.loss") == 1.5
    again, _ = learn()  # in a new model, as a cell that is run again makes it
    labbook.record("04.loss", 1.7)
    assert labbook.recall("04.loss") == 1.7
    assert model is not again


def test_the_same_model_trained_to_its_end_is_not_half_trained():
    model, _ = learn(interrupt_at=0)
    assert half_trained()
    learn(title="longer", model=model)
    assert not half_trained()


def test_a_half_trained_model_that_nobody_uses_any_more_is_forgotten():
    model, _ = learn(interrupt_at=3)
    model.itself = [model]  # held by itself alone
    assert half_trained()
    del model
    assert not half_trained()


def test_a_cell_that_trains_several_models_ends_where_it_is_interrupted(monkeypatch):
    shell = SimpleNamespace(execution_count=7)
    monkeypatch.setattr(training, "get_ipython", lambda: shell)
    first, _ = learn(interrupt_at=3)
    with pytest.raises(NotStarted) as raised:
        learn(title="the next")
    assert raised.value._render_traceback_() == ["The next training of this cell was not started."]
    shell.execution_count = 8
    assert not learn(title="the next")[1].interrupted
    assert half_trained()
    assert first is not None
