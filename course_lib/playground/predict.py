"""A question with a few answers to commit to before an experiment runs."""

import ipywidgets as widgets

__all__ = ["predict"]


def predict(*answers: str) -> widgets.RadioButtons:
    """Show the answers as radio buttons; the choice is the widget's `.value`, None until one is made.

    Raises ValueError with fewer than two answers.
    """
    if len(answers) < 2:
        raise ValueError(f"a prediction needs at least two answers, got {len(answers)}")
    buttons = widgets.RadioButtons(options=answers, value=None, layout={"width": "auto"})
    buttons.add_class("prediction")
    return buttons
