"""Lesson 03 as a learner meets it: a mean over padding is named, and words are hidden by a click."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

LESSON = "03_encoder_only/encoder_only.ipynb"
ROOT = Path(__file__).resolve().parents[2]
PADDING_TOO = """def pool(hidden, mask=None, how="mean"):
    if how not in ("first", "last", "mean"):
        raise ValueError(how)
    return hidden.mean(1)"""


def test_a_mean_over_padding_is_named(open_lab):
    lab = open_lab(LESSON)
    lab.run("setup")
    lab.type_into("pool", PADDING_TOO)
    lab.run("pool")
    card = lab.run("pool-check")
    lab.screenshot("card-padded-mean", "pool-check")
    assert card.startswith("✗ 03.pool")
    assert "padding" in card


def test_words_are_hidden_by_clicks(open_lab, learner):
    """With twins that have not learned anything: the page is what is tried here, not the training."""
    source = json.loads((ROOT / "solutions" / LESSON).read_text())
    for cell in source["cells"]:
        if cell["id"] == "train-experiment":
            cell["source"] = "".join(cell["source"]).replace("steps=600", "steps=2")
    (learner / "explorer03").mkdir()
    notebook = "explorer03/encoder_only.ipynb"
    (learner / notebook).write_text(json.dumps(source))
    lab = open_lab(notebook)
    for cell in ("setup", "opening-experiment", "train-experiment", "explorer"):
        lab.run(cell)
    explorer = lab.cell("explorer").locator(".fill-explorer")
    view = explorer.locator(".fill-explorer-view")
    expect(view).to_contain_text("Position 4")
    explorer.get_by_role("button", name="1 bank").click()
    expect(view).to_contain_text("Position 1")
    lab.screenshot("fill-explorer", "explorer")
