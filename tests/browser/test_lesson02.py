"""Lesson 02 as a learner meets it: a wrong scale on the card, Run All with an optional stub, the attention explorer."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

LESSON = "02_self_attention/self_attention.ipynb"
ROOT = Path(__file__).resolve().parents[2]
UNSCALED = """def attention_weights(q, k, mask=None):
    scores = q @ k.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    return weights if mask is None else weights * mask"""


def test_a_missing_scale_is_named_and_a_hint_helps(open_lab):
    lab = open_lab(LESSON)
    lab.run("setup")
    lab.type_into("attention-weights", UNSCALED)
    lab.run("attention-weights")
    card = lab.run("attention-weights-check")
    lab.screenshot("card-unscaled", "attention-weights-check")
    assert card.startswith("✗ 02.attention_weights")
    assert "no scale" in card
    hint = lab.run_in_new_cell("attention-weights-check", 'hint("02.attention_weights")')
    assert hint.startswith("Hint 1 of ")


def test_an_optional_exercise_left_open_stops_nobody(open_lab):
    lab = open_lab(LESSON)
    lab.run("setup")
    lab.run("rope")
    card = lab.run("rope-check")
    lab.screenshot("card-optional", "rope-check")
    assert card.startswith("○ 02.rope")
    assert "Traceback" not in lab.output("rope-check")


def test_the_attention_explorer_reacts_to_clicks(open_lab, learner):
    (learner / "explorer02").mkdir()
    notebook = "explorer02/self_attention.ipynb"
    (learner / notebook).write_text(json.dumps(json.loads((ROOT / "solutions" / LESSON).read_text())))
    lab = open_lab(notebook)
    lab.run("setup")
    lab.run("explorer")
    explorer = lab.cell("explorer").locator(".attention-explorer")
    sentence = explorer.locator(".attention-explorer-view [role=status]")
    explorer.get_by_role("button", name="4 river").click()
    expect(sentence).to_contain_text("'river' (position 4) gives most weight to 'by' (0.20)")
    explorer.get_by_role("button", name="causal").click()
    expect(sentence).not_to_contain_text("flooded")
    lab.screenshot("attention-explorer", "explorer")
    explorer.get_by_role("button", name="shuffle words").click()
    expect(explorer.get_by_role("button", name="4 river")).to_have_count(0)
