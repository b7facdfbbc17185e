"""Lesson 01 as a learner meets it: the card in red and in green, Validate, the mask explorer."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

LESSON = "01_causal_mask/causal_mask.ipynb"
ROOT = Path(__file__).resolve().parents[2]
SIGNATURE = "def create_causal_mask(seq_len: int, device=None) -> torch.Tensor:\n    "
TRANSPOSED = "return torch.triu(torch.ones(1, 1, seq_len, seq_len, dtype=torch.bool, device=device))"
RIGHT = "return torch.tril(torch.ones(1, 1, seq_len, seq_len, dtype=torch.bool, device=device))"
DIAGNOSIS = "transposed"


def copy_solution(learner: Path, name: str, replace: tuple[str, str] | None = None) -> str:
    """Put the solved notebook into the learner's folder, with one piece of one cell replaced."""
    text = (ROOT / "solutions" / LESSON).read_text()
    if replace is not None:
        right, wrong = (json.dumps(part)[1:-1] for part in replace)
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    (learner / name).mkdir()
    notebook = f"{name}/causal_mask.ipynb"
    (learner / notebook).write_text(text)
    return notebook


def test_a_wrong_mask_is_named_on_the_card_a_hint_helps_and_the_right_one_turns_it_green(open_lab):
    lab = open_lab(LESSON)
    lab.run("setup")
    lab.type_into("create-causal-mask", SIGNATURE + TRANSPOSED)
    lab.run("create-causal-mask")
    card = lab.run("create-causal-mask-check")
    lab.screenshot("card-wrong", "create-causal-mask-check")
    assert card.startswith("✗ 01.create_causal_mask")
    assert DIAGNOSIS in card
    assert "Traceback" not in card

    hint = lab.run_in_new_cell("create-causal-mask-check", 'hint("01.create_causal_mask")')
    assert hint.startswith("Hint 1 of 3 · 01.create_causal_mask")

    lab.type_into("create-causal-mask", SIGNATURE + RIGHT)
    lab.run("create-causal-mask")
    card = lab.run("create-causal-mask-check")
    lab.screenshot("card-right", "create-causal-mask-check")
    assert card.startswith("✓ 01.create_causal_mask · 4 of 4 points")
    assert "✗" not in card


def test_an_untouched_exercise_says_what_to_write(open_lab):
    lab = open_lab(LESSON)
    lab.run("setup")
    lab.run("create-padding-mask")
    card = lab.run("create-padding-mask-check")
    lab.screenshot("card-not-written", "create-padding-mask-check")
    assert card.startswith("○ 01.create_padding_mask")
    assert "Traceback" not in card


def test_validate_shows_the_diagnosis_of_a_wrong_mask(open_lab, learner):
    wrong = copy_solution(learner, "wrong", replace=(".tril()", ".triu()"))
    lab = open_lab(wrong)
    message = lab.validate()
    lab.screenshot("validate-wrong")
    assert "The following cell failed:" in message
    assert "✗ 01.create_causal_mask" in message
    assert DIAGNOSIS in message


def test_the_mask_explorer_reacts_to_a_click_and_to_the_slider(open_lab, learner):
    lab = open_lab(copy_solution(learner, "explorer"))
    lab.run("explorer")
    explorer = lab.cell("explorer").locator(".mask-explorer")
    sentence = explorer.locator(".mask-explorer-view [role=status]")
    river = explorer.get_by_role("button", name="4 river")

    river.click()
    expect(sentence).to_contain_text("'river' (position 4) may attend to 5 of 6 tokens: the, bank, by, the, river.")
    lab.screenshot("explorer-causal", "explorer")

    explorer.get_by_role("button", name="0 the").click()
    expect(sentence).to_contain_text("'the' (position 0) may attend to 1 of 6 tokens: the.")
    explorer.get_by_role("button", name="prefix").click()
    expect(sentence).to_contain_text("may attend to 2 of 6 tokens: the, bank.")
    explorer.locator(".noUi-handle").focus()
    lab.page.keyboard.press("ArrowRight")
    expect(sentence).to_contain_text("may attend to 3 of 6 tokens: the, bank, by.")
    lab.screenshot("explorer-prefix", "explorer")
