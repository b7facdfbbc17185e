"""Lesson 05 as a learner meets it: a leak that is looked for in one place alone is named, and the cheater writes."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

LESSON = "05_missing_mask/missing_mask.ipynb"
ROOT = Path(__file__).resolve().parents[2]
NO_WINDOW = """def repair(config):
    return dataclasses.replace(config, mask=masks.create_causal_mask)"""


def test_a_window_that_is_lost_is_named(open_lab):
    lab = open_lab(LESSON)
    lab.run("setup")
    lab.type_into("repair", NO_WINDOW)
    lab.run("repair")
    card = lab.run("repair-check")
    lab.screenshot("card-always-causal", "repair-check")
    assert card.startswith("✗ 05.repair")
    assert "It looks like" in card


def test_the_cheater_writes_and_its_leaks_are_drawn(open_lab, learner):
    """With models that have not learned anything: pages and figures are what is tried here, not the training."""
    source = json.loads((ROOT / "solutions" / LESSON).read_text())
    for cell in source["cells"]:
        if cell["id"] == "opening-train":
            cell["source"] = "".join(cell["source"]).replace("steps=400", "steps=2")
    (learner / "explorer05").mkdir()
    notebook = "explorer05/missing_mask.ipynb"
    (learner / notebook).write_text(json.dumps(source))
    lab = open_lab(notebook)
    for cell in ("setup", "opening-train", "find-leak", "leak-experiment", "explorer"):
        lab.run(cell)
    lab.screenshot("leaks", "leak-experiment")
    explorer = lab.cell("explorer").locator(".write-explorer")
    explorer.locator(".write-explorer-candidate").first.click()
    expect(explorer.locator(".write-explorer-text")).to_contain_text("?")
    lab.screenshot("cheater-writes", "explorer")
