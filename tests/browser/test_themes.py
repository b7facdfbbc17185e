"""The light and the dark theme: every text can be read, no figure is a slab, and the keyboard reaches every answer."""

import io

import nbformat
import numpy as np
import pytest
from matplotlib.image import imread
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

THEMES = {"JupyterLab Dark": 17, "JupyterLab Light": 255}  # how light the page is; the last one stays for later tests
ENOUGH = 4.5  # WCAG 2.2, 1.4.3
CARDS = {
    "failed": """from course_lib.checking import check, hint, progress
import torch
check("01.create_causal_mask", lambda n, device=None: torch.ones(1, 1, n, n).bool().triu())""",
    "unwritten": """def create_padding_mask(lengths, max_len):
    raise NotImplementedError
check("01.create_padding_mask", create_padding_mask)""",
    "passed": """right = lambda n, device=None: torch.ones(1, 1, n, n, device=device).bool().tril()
check("01.create_causal_mask", right)""",
    "hint": 'hint("01.create_causal_mask")',
    "progress": "progress()",
}
PAGES = {
    "prediction": """from course_lib.playground import *
from course_lib.worlds import english
predict("01.bank", "one", "two", "three")""",
    "chosen": 'predicted("01.bank")',
    "masks": 'mask_explorer("the bank by the river")',
    "attention": 'attention_explorer("the bank by the river")',
    "fills": """language = english.default()
fill_explorer({"twin": lambda words: language.masked_probabilities([words])[0]}, language, hidden=[1, 4])""",
    "writing": 'write_explorer(lambda words: language.next_token_probabilities([words])[0, -1], language, "the bank")',
    "alignment": """from course_lib.playground.alignment_explorer import Look
look = Look("a b c".split(), "x y".split(), torch.linspace(0, 1, 12).reshape(1, 2, 2, 3), torch.eye(2, 3).bool())
alignment_explorer(lambda text: look, "a b c")""",
}
FIGURES = {
    "grid": """from course_lib import plots
plots.plot_masks({"causal": torch.ones(1, 1, 3, 3).bool().tril()}, "a b c".split())""",
    "weights": 'plots.plot_weights({"rising": torch.linspace(0, 1, 9).reshape(3, 3)}, "a b c".split())',
    "lines": 'plots.plot_lines({name: {1: n, 2: 2 * n} for n, name in enumerate("abcd")}, "n", "seconds")',
    "bars": 'plots.plot_fills({"encoder": {"bank": 0.7, "river": 0.3}}, hidden="river")',
}
# The contrast of every piece of text below an element that is shown and not disabled, by WCAG's formula.
CONTRASTS = """root => {
    const parts = colour => (([r, g, b, a = 1]) => [r, g, b, a])(colour.match(/[\\d.]+/g).map(Number));
    const over = ([r, g, b, a], [R, G, B]) => [a * r + (1 - a) * R, a * g + (1 - a) * G, a * b + (1 - a) * B];
    const light = colour => colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0.05);
    const ground = element => element ? over(parts(getComputedStyle(element).backgroundColor),
        ground(element.parentElement)) : [255, 255, 255];
    const found = {}, walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let text; text = walk.nextNode();) {
        const element = text.parentElement, said = text.data.trim();
        const shown = element.checkVisibility({checkVisibilityCSS: true});
        if (!said || !shown || element.closest(':disabled, style')) continue;
        const page = ground(element), ink = over(parts(getComputedStyle(element).color), page);
        const [low, high] = [light(page), light(ink)].sort((a, b) => a - b);
        found[said.slice(0, 60)] = Math.min(found[said.slice(0, 60)] ?? Infinity, high / low);
    }
    return found;
}"""


@pytest.fixture
def notebook(open_lab, learner):
    """Write a notebook of these cells and run them all."""

    def run(name: str, cells: dict[str, str]) -> Lab:
        whole = new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
        for cell, source in cells.items():
            whole.cells.append(new_code_cell(source, id=cell, metadata={"tags": ["raises-exception"]}))
        (learner / name).mkdir()
        nbformat.write(whole, learner / name / "cells.ipynb")
        lab = open_lab(f"{name}/cells.ipynb")
        lab.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        return lab

    return run


def in_theme(lab: Lab, theme: str) -> None:
    lab.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    expect(lab.page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
    lab.page.wait_for_timeout(500)  # its style sheet follows the name


def luminance(pixels: np.ndarray) -> np.ndarray:
    return np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def test_in_both_themes_every_text_can_be_read_and_no_figure_is_a_slab(notebook):
    lab = notebook("themes", CARDS | PAGES | FIGURES)
    for theme, page in THEMES.items():
        in_theme(lab, theme)
        for cell in CARDS | PAGES:
            found = lab.cell(cell).locator(".jp-OutputArea-output").first.evaluate(CONTRASTS)
            assert found
            assert {text: contrast for text, contrast in found.items() if contrast < ENOUGH} == {}, (theme, cell)
        for cell in FIGURES:
            image = lab.cell(cell).locator(".jp-OutputArea-output img")
            image.evaluate("image => image.scrollIntoView({block: 'center'})")
            lights = luminance(imread(io.BytesIO(image.screenshot()))[..., :3])
            ground = luminance(np.full(3, page / 255))
            assert lights[0, 0] == lights[-1, 0] == pytest.approx(ground, abs=1e-3), (theme, cell)
            low, high = sorted([ground, lights.max() if page < 128 else lights.min()])
            assert (high + 0.05) / (low + 0.05) > ENOUGH, (theme, cell)
        for cell in ("failed", "grid"):
            lab.screenshot(f"{theme} {cell}".replace(" ", "-").lower(), cell)


def test_an_answer_is_chosen_with_the_keyboard_alone_and_no_key_of_a_page_reaches_the_cells(notebook):
    lab = notebook("keys", {name: PAGES[name] for name in ("prediction", "chosen", "masks")})
    keyboard, cells = lab.page.keyboard, lab.panel.locator(".jp-Cell")
    answers = lab.cell("prediction").get_by_role("radiogroup", name="Your prediction").get_by_role("radio")
    answers.first.focus()
    for key, place in [(" ", 0), ("ArrowDown", 1), ("ArrowDown", 2), ("ArrowDown", 0), ("ArrowUp", 2), ("x", 2)]:
        keyboard.press(key)
        expect(answers.nth(place)).to_be_focused()
        expect(answers.nth(place)).to_be_checked()
    lab.screenshot("prediction-by-keyboard", "prediction")
    expect(cells).to_have_count(3)
    lab.run("chosen")
    assert "three" in lab.output("chosen")

    explorer = lab.cell("masks").locator(".mask-explorer")
    explorer.get_by_role("button", name="prefix").focus()
    keyboard.press("Enter")
    expect(explorer.locator("[role=status]")).to_contain_text("may attend to 2 of 5 tokens")
    handle = explorer.locator(".noUi-handle")
    handle.focus()
    keyboard.press("ArrowUp")
    expect(explorer.locator("[role=status]")).to_contain_text("may attend to 3 of 5 tokens")
    keyboard.press("x")
    expect(handle).to_be_focused()
    expect(cells).to_have_count(3)
    keyboard.press("Shift+Enter")  # JupyterLab's own stay: this runs the cell and goes to the next one
    expect(handle).not_to_be_focused()
