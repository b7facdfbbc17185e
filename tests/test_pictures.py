"""What a page is given of a figure: a picture without a ground of its own, in words too, readable in both themes."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from course_lib.pictures import BLUE, GREEN, GREY, INK, ORANGE, SHADES, VERMILION, subplots
from course_lib.plots import plot_lines
from tests.classroom import ROOT

WHITE, DARK = np.ones(3), np.full(3, 0x11 / 255)  # the pages of JupyterLab's two themes


def turned(colour: np.ndarray) -> np.ndarray:
    """What `invert(1) hue-rotate(180deg)` makes of a colour, as the Filter Effects specification has it."""
    grey = np.tile([0.213, 0.715, 0.072], (3, 1))
    return np.clip((2 * grey - np.eye(3)) @ (1 - colour), 0, 1)


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    linear = (np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (one, other))
    low, high = sorted(colour @ [0.2126, 0.7152, 0.0722] for colour in linear)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("weight", np.linspace(0, 1, 21))
def test_the_number_on_a_shade_can_be_read_in_both_themes(weight):
    shade, black = np.array(SHADES(weight)[:3]), np.zeros(3)
    assert contrast(black, shade) > 4.5
    assert contrast(turned(black), turned(shade)) > 4.5


@pytest.mark.parametrize("name", [INK, GREY])
def test_ink_can_be_read_in_both_themes(name):
    ink = np.array(to_rgb(name))
    assert contrast(ink, WHITE) > 4.5
    assert contrast(turned(ink), DARK) > 4.5
    assert contrast(ink, DARK) < 4.5  # so the page has to turn it


@pytest.mark.parametrize("name", [BLUE, VERMILION, GREEN, ORANGE])
def test_the_colours_of_lines_stand_out_on_the_dark_page(name):
    assert contrast(turned(np.array(to_rgb(name))), DARK) > 3


def picture(page: str) -> np.ndarray:
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return imread(io.BytesIO(base64.b64decode(data)))


def test_a_page_gets_the_figure_without_its_ground_and_a_file_on_white():
    figure = plot_lines({"a": {1: 1, 2: 2}}, "n", "seconds")
    assert picture(figure._repr_html_())[0, 0].tolist() == [1, 1, 1, 0]
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    assert imread(file)[0, 0].tolist() == [1, 1, 1, 1]


def test_the_picture_says_in_words_what_its_axes_show():
    figure, ax = subplots()
    ax.set(title='a "title" <b>', xlabel="n", ylabel="seconds")
    assert 'alt="a &quot;title&quot; &lt;b&gt;; seconds; n"' in figure._repr_html_()
    plt.close(figure)


def test_every_figure_of_a_lesson_is_one_of_these():
    for file in [*ROOT.glob("solutions/*/*.ipynb"), *ROOT.glob("course_lib/**/*.py")]:
        if file.name != "pictures.py":
            assert not re.search(r"plt\.(subplots|figure|plot)\(|[^\w]Figure\(", file.read_text()), file.name
