"""Lesson 04 as a learner meets it: a loss without the shift on the card, a hint, and the write explorer."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

LESSON = "04_decoder_only/decoder_only.ipynb"
ROOT = Path(__file__).resolve().parents[2]
UNSHIFTED = """def next_token_loss(logits, ids, mask=None):
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[:, 0, 0]
    if not real.any():
        raise ValueError("nothing to predict")
    return F.cross_entropy(logits[real], ids[real])"""
# The explorer needs a model; this one is the language itself, so that nothing has to be trained here.
EXACT = """from course_lib.worlds import english
from course_lib.playground import write_explorer
language = english.default()
write_explorer(lambda words: language.next_token_probabilities([words])[0, -1], language, start="the bank")"""


def test_a_loss_without_the_shift_is_named_and_a_hint_helps(open_lab):
    lab = open_lab(LESSON)
    lab.run("setup")
    lab.type_into("next-token-loss", UNSHIFTED)
    lab.run("next-token-loss")
    card = lab.run("next-token-loss-check")
    lab.screenshot("card-unshifted", "next-token-loss-check")
    assert card.startswith("✗ 04.next_token_loss")
    assert "no shift" in card
    hint = lab.run_in_new_cell("next-token-loss-check", 'hint("04.next_token_loss")')
    assert hint.startswith("Hint 1 of ")


def test_the_write_explorer_writes_on(open_lab, learner):
    (learner / "explorer04").mkdir()
    notebook = json.loads((ROOT / "solutions" / LESSON).read_text())
    next(cell for cell in notebook["cells"] if cell["id"] == "explorer")["source"] = EXACT
    (learner / "explorer04" / "decoder_only.ipynb").write_text(json.dumps(notebook))
    lab = open_lab("explorer04/decoder_only.ipynb")
    lab.run("explorer")
    explorer = lab.cell("explorer").locator(".write-explorer")
    text = explorer.locator(".write-explorer-text")
    expect(text).to_contain_text("bank ?")
    explorer.locator(".write-explorer-candidate", has_text="near").click()
    expect(text).to_contain_text("near ?")
    lab.screenshot("write-explorer", "explorer")
    explorer.get_by_role("button", name="undo").click()
    expect(text).not_to_contain_text("near")
