"""A question with a few answers to commit to before an experiment runs; the choice is kept in the lab book."""

from html import escape

import ipywidgets as widgets

from course_lib import labbook
from course_lib.playground.explorer import KEEP_KEYS

__all__ = ["predict", "predicted"]

NO_CHOICE = "none yet (choose an answer above, then run this cell again)"
# Arrows move between radio buttons of one name, and ipywidgets gives them none.
GROUP = escape(
    """const page = this.closest('.prediction'), name = `prediction ${Math.random()}`;
page.setAttribute('role', 'radiogroup');
page.setAttribute('aria-label', 'Your prediction');
for (const input of page.querySelectorAll('input')) {
    input.name = name;
    input.onkeydown = event => {if (event.key === 'Enter') input.click();};
}""",
    quote=False,
)
STYLE = f"""<style onload="{KEEP_KEYS}{GROUP}">
.prediction .widget-radio-box {{padding: 4px 6px}}
.prediction input:focus-visible {{outline: 3px solid #D55E00; outline-offset: 2px}}
</style>"""


def predict(key: str, *answers: str) -> widgets.VBox:
    """Show the answers as radio buttons, with the choice made earlier, if any.

    key: lesson and name, "01.bank"; `predicted(key)` gives the choice, also after a restart of the kernel.
    DOM class: prediction. Raises ValueError with fewer than two answers.
    """
    if len(answers) < 2:
        raise ValueError(f"a prediction needs at least two answers, got {len(answers)}")
    earlier = labbook.recall(f"prediction {key}", default=None)
    chosen = earlier if earlier in answers else None
    buttons = widgets.RadioButtons(options=answers, value=chosen, layout={"width": "auto"})
    buttons.observe(lambda change: labbook.record(f"prediction {key}", change["new"]), "value")
    page = widgets.VBox([buttons, widgets.HTML(STYLE)])
    page.add_class("prediction")
    return page


def predicted(key: str) -> str:
    """Give the answer chosen for this key, or a line that says what to do where there is none."""
    return labbook.recall(f"prediction {key}", default=None) or NO_CHOICE
