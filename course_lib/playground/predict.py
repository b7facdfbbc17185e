"""A question with a few answers to commit to before an experiment runs; the choice is kept in the lab book."""

import ipywidgets as widgets

from course_lib import labbook

__all__ = ["predict", "predicted"]

NO_CHOICE = "none yet (choose an answer above, then run this cell again)"


def predict(key: str, *answers: str) -> widgets.RadioButtons:
    """Show the answers as radio buttons, with the choice made earlier, if any.

    key: lesson and name, "01.bank"; `predicted(key)` gives the choice, also after a restart of the kernel.
    Raises ValueError with fewer than two answers.
    """
    if len(answers) < 2:
        raise ValueError(f"a prediction needs at least two answers, got {len(answers)}")
    earlier = labbook.recall(f"prediction {key}", default=None)
    chosen = earlier if earlier in answers else None
    buttons = widgets.RadioButtons(options=answers, value=chosen, layout={"width": "auto"})
    buttons.observe(lambda change: labbook.record(f"prediction {key}", change["new"]), "value")
    buttons.add_class("prediction")
    return buttons


def predicted(key: str) -> str:
    """Give the answer chosen for this key, or a line that says what to do where there is none."""
    return labbook.recall(f"prediction {key}", default=None) or NO_CHOICE
