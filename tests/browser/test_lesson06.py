"""Lesson 06 as a learner meets it: keys from the wrong side are named, and a click shows whom a word looks at."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

LESSON = "06_cross_attention/cross_attention.ipynb"
ROOT = Path(__file__).resolve().parents[2]
WRONG_AXIS = """def cross_attention_mask(source_lengths, max_len):
    places = torch.arange(max_len, device=source_lengths.device)
    return (places < source_lengths[:, None])[:, None, :, None]"""


def test_a_mask_on_the_wrong_axis_is_named(open_lab):
    lab = open_lab(LESSON)
    lab.run("setup")
    lab.type_into("cross-attention-mask", WRONG_AXIS)
    lab.run("cross-attention-mask")
    card = lab.run("cross-attention-mask-check")
    lab.screenshot("card-wrong-axis", "cross-attention-mask-check")
    assert card.startswith("✗ 06.cross_attention_mask")
    assert "It looks like" in card


def test_a_click_shows_whom_a_word_looks_at(open_lab, learner):
    """With a translator that has learned nothing: the page is what is tried here, not the training."""
    source = json.loads((ROOT / "solutions" / LESSON).read_text())
    for cell in source["cells"]:
        if cell["id"] == "train-experiment":
            cell["source"] = "".join(cell["source"]).replace("steps=500", "steps=2").replace("warmup=100", "warmup=1")
    (learner / "explorer06").mkdir()
    notebook = "explorer06/cross_attention.ipynb"
    (learner / notebook).write_text(json.dumps(source))
    lab = open_lab(notebook)
    for cell in ("setup", "opening-experiment", "train-experiment", "alignment", "maps-experiment", "explorer"):
        lab.run(cell)
    explorer = lab.cell("explorer").locator(".alignment-explorer")
    view = explorer.locator(".alignment-explorer-view")
    expect(view).to_contain_text("'fünf' (position 0) looks most at")
    explorer.get_by_role("button", name="2 achtzig").click()
    expect(view).to_contain_text("'achtzig' (position 2)")
    explorer.get_by_role("button", name="3", exact=True).click()
    expect(view).to_contain_text("head 3")
    lab.screenshot("alignment-explorer", "explorer")
