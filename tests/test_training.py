"""The training loop: it learns, it can be repeated, it stops where it is told, and it says what goes wrong."""

import copy
import io
import itertools
import sys

import pytest
import torch
from torch import nn

from course_lib import training
from course_lib.training import History, Recipe, pick_device, shuffled, to_device, train

X = torch.linspace(-1, 1, 64)[:, None]
DATA = (X, 3 * X - 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def line(dropout: float = 0.0) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(1, 4), nn.Dropout(dropout), nn.Linear(4, 1))
    generator = seeded(7)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(generator=generator)
    return model


def squared(model, batch):
    x, y = batch
    return (model(x) - y).square().mean()


def learn(model=None, recipe=None, batches=None, loss=squared, progress=False, **more):
    model = line() if model is None else model
    batches = shuffled(DATA, 16, seeded(1)) if batches is None else batches
    return train(model, batches, loss, recipe or Recipe(steps=30, warmup=3), progress=progress, **more)


def test_it_learns_what_can_be_learned_and_leaves_the_model_ready_for_use():
    model = line()
    history = learn(model, Recipe(steps=300, learning_rate=0.03, warmup=10))
    assert history.steps == 300
    assert history.loss[0] > 1
    assert squared(model, DATA) < 1e-3
    assert not any(module.training for module in model.modules())
    assert history.seconds > 0


def test_one_step_is_the_step_of_adamw_with_decay_on_matrices_alone():
    """With a first gradient g, Adam moves by the learning rate times sign(g); decay takes rate · decay of a matrix."""
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.bias.fill_(5.0)
    recipe = Recipe(steps=1, learning_rate=0.1, warmup=0, weight_decay=0.5)
    history = learn(model, recipe, iter([torch.ones(1, 1)]), lambda m, x: m(x).sum())
    assert history.loss == [7.0]
    torch.testing.assert_close(model.weight.item(), 2 * (1 - 0.1 * 0.5) - 0.1, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.bias.item(), 5 - 0.1, rtol=0, atol=1e-5)


def test_gradients_are_clipped_before_the_step():
    seen = []
    model = nn.Linear(3, 1, bias=False)
    model.weight.register_post_accumulate_grad_hook(lambda weight: seen.append(weight.grad))
    learn(model, Recipe(steps=1, max_norm=0.25), itertools.repeat(torch.ones(1, 3)), lambda m, x: 100 * m(x).sum())
    torch.testing.assert_close(seen[0].norm().item(), 0.25, rtol=1e-4, atol=0)


def test_the_learning_rate_rises_in_a_line_and_falls_along_a_cosine():
    recipe = Recipe(steps=21, learning_rate=2.0, warmup=10, final_share=0.5)
    rates = [recipe.rate(step) for step in range(21)]
    torch.testing.assert_close(rates[:10], [0.2 * n for n in range(1, 11)])
    assert rates[10] == 2.0
    torch.testing.assert_close(rates[15], 1.5)  # half way down
    torch.testing.assert_close(rates[20], 1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_rate_of_the_recipe_is_the_one_that_is_used(monkeypatch):
    used = []
    real = training._step
    monkeypatch.setattr(
        training, "_step", lambda model, loss, optimizer, rate, norm: used.append(rate) or real(
            model, loss, optimizer, rate, norm)
    )
    recipe = Recipe(steps=7, warmup=3)
    learn(recipe=recipe)
    assert used == [recipe.rate(step) for step in range(7)]


def test_equal_seeds_give_equal_runs_and_torchs_own_generator_is_left_alone():
    def run(seed):
        model = copy.deepcopy(untrained)
        return learn(model, generator=seeded(seed)).loss, model[0].weight.tolist()

    untrained = line(dropout=0.5)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = run(5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert run(5) == first
    assert run(6) != first


def test_scores_are_taken_without_dropout_and_gradients_at_every_interval_and_at_the_end():
    model = line(dropout=0.5)

    def judge(judged):
        assert judged is model
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        return {"error": squared(model, DATA)}

    history = learn(model, Recipe(steps=25, evaluate_every=10), evaluate=judge)
    assert list(history.scores) == [10, 20, 25]
    assert all(type(score["error"]) is float for score in history.scores.values())
    assert history.last == history.scores[25]
    assert not history.reached


def test_it_goes_on_learning_with_dropout_after_it_was_judged():
    modes = []
    model = line(dropout=0.5)
    model[1].register_forward_hook(lambda module, args, output: modes.append(module.training))
    learn(model, Recipe(steps=4, evaluate_every=2), evaluate=lambda m: {"error": squared(m, DATA)})
    assert modes == [True, True, False, True, True, False]


def test_it_stops_at_the_target():
    scores = iter([0.2, 0.6, 0.7])
    history = learn(
        recipe=Recipe(steps=1000, evaluate_every=5),
        evaluate=lambda model: {"accuracy": next(scores)},
        until=lambda score: score["accuracy"] > 0.5,
    )
    assert history.reached
    assert history.steps == 10
    assert history.scores == {5: {"accuracy": 0.2}, 10: {"accuracy": 0.6}}


def test_weights_that_are_frozen_stay_as_they_are():
    model = line()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    learn(model)
    assert torch.equal(model[0].weight, before)


def test_a_summary_fits_the_lab_book():
    history = History(loss=[9.0] * 18 + [1.0, 2.0], scores={10: {"a": 0.1}, 20: {"a": 0.5}}, seconds=3.14159)
    assert history.summary() == {"steps": 20, "seconds": 3.1, "loss": 1.5, "scores": {"a": 0.5}}
    assert History().summary() == {"steps": 0, "seconds": 0.0, "loss": None, "scores": {}}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"steps": 0}, r"^steps must be at least 1, got 0$"),
        ({"evaluate_every": 0}, r"^evaluate_every must be at least 1, got 0$"),
        ({"learning_rate": 0.0}, r"^learning_rate must be above 0, got 0.0$"),
        ({"learning_rate": float("nan")}, r"^learning_rate must be above 0, got nan$"),
        ({"max_norm": -1.0}, r"^max_norm must be above 0, got -1.0$"),
        ({"final_share": 2.0}, r"^warmup and weight_decay must not be below 0, and final_share must be between"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**numbers)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"batches": [DATA] * 3}, r"^the batches ended after 3 of 30 steps: give an endless iterator$"),
        ({"loss": lambda m, batch: m(batch[0]).mean() * float("nan")}, r"^the loss became nan: lower the learning"),
        ({"until": lambda scores: True}, r"^until looks at the scores that evaluate gives"),
        ({"model": line().requires_grad_(False)}, r"^the model has no weight that can be learned"),
    ],
    ids=["batches", "nan", "until", "frozen"],
)
def test_what_goes_wrong_is_said_in_a_sentence(what, message):
    with pytest.raises(ValueError, match=message):
        learn(**what)


def test_the_bar_is_on_standard_output_and_tells_loss_and_scores(capfd):
    learn(evaluate=lambda model: {"accuracy": 0.25}, progress="a title")
    out, err = capfd.readouterr()
    assert err == ""
    last = out.rstrip().split("\r")[-1]
    assert last.startswith("a title 100% |")
    assert "step 30 of 30" in last
    assert "accuracy 0.250" in last
    assert "loss " in last
    assert len(out.split("\r")) < 6  # a plain file is not filled with states of the bar
    learn(progress=False)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_the_bar_move(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    bar = training._bar(10, True)
    assert bar.mininterval < 1
    bar.close()


def test_batches_go_through_all_rows_before_any_comes_again_and_rows_stay_together():
    batches = shuffled((torch.arange(10), torch.arange(10) * 2), 3, seeded())
    epochs = [[next(batches) for _ in range(3)] for _ in range(2)]
    for epoch in epochs:
        rows = torch.cat([x for x, _ in epoch])
        assert len(rows.unique()) == 9
        assert all(torch.equal(2 * x, y) for x, y in epoch)
    assert not torch.equal(epochs[0][0][0], epochs[1][0][0])
    again = shuffled((torch.arange(10), torch.arange(10)), 3, seeded())
    assert torch.equal(next(again)[0], epochs[0][0][0])


@pytest.mark.parametrize(
    ("data", "size", "message"),
    [
        (torch.zeros(3), 4, r"^there must be at least batch_size rows, got 3 and 4$"),
        ((torch.zeros(3), torch.zeros(4)), 2, r"^every tensor must have as many rows, got 3, 4$"),
        ((), 2, r"^every tensor must have as many rows, got no tensor$"),
        (torch.zeros(3), 0, r"^batch_size must be at least 1, got 0$"),
    ],
)
def test_data_that_cannot_be_cut_into_batches_is_refused_at_once(data, size, message):
    with pytest.raises(ValueError, match=message):
        shuffled(data, size)


def test_a_device_that_is_not_there_is_named_with_those_that_are():
    for name in ("nonsense", "xla", *(() if torch.cuda.is_available() else ("cuda:1",))):
        message = rf"^device must be auto or one this machine has \(.*cpu.*\), got '{name}'$"
        with pytest.raises(ValueError, match=message):
            pick_device(name)
    assert pick_device("auto").type in ("cuda", "mps", "cpu")


def test_batches_and_model_go_to_the_device_asked_for():
    seen = []

    def look(model, batch):
        seen.append({batch["x"].device.type, model[0].weight.device.type})
        return model(batch["x"]).mean()

    model = line()
    learn(model, Recipe(steps=1), itertools.repeat({"x": X}), look, device=torch.device("cpu"))
    assert seen == [{"cpu"}]
    named = to_device([(X, {"a": X, "b": "text"})], "meta")
    assert named[0][0].device.type == named[0][1]["a"].device.type == "meta"
    assert named[0][1]["b"] == "text"
