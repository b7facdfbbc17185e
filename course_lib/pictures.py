"""How every figure of the course looks on a light page, on a dark one and on paper: its colours, its size of letters.

Colours are from the palette of Okabe and Ito (2008), which stays apart for colour-blind readers; no figure
relies on colour alone.
"""

import io
from base64 import b64encode
from functools import partial
from html import escape

import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

__all__ = ["BLUE", "FONT", "GREEN", "GREY", "INK", "ORANGE", "PALE", "SHADES", "VERMILION", "Picture", "subplots"]

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALE, GREY, INK = "#F2F2F2", "#666666", "#222222"
FONT = 11
# Of a heat map. Black numbers have a contrast of at least 5 on all of it, and so has white on what THEME makes of it.
SHADES = LinearSegmentedColormap.from_list("weights", ["white", "#59A3CD"])
THEME = """<style>@media screen {[data-jp-theme-light="false"] .course-figure {
background: none !important; filter: invert(1) hue-rotate(180deg)}}</style>"""


class Picture(Figure):
    """A figure that a page shows on its own background, light on dark where its theme is dark.

    No ink has a contrast of 4.5 both on white and on the page of JupyterLab's dark theme (4.3 is the most there is).
    So the page, which alone knows its theme, turns light into dark and back and keeps each hue. Where a page drops
    the style, the figure stands on white, as on paper and in a file.
    """

    def _repr_html_(self) -> str:
        stream = io.BytesIO()
        self.savefig(stream, format="png", bbox_inches="tight", transparent=True)
        said = (text for ax in self.axes for text in (ax.get_title(), ax.get_ylabel(), ax.get_xlabel()) if text)
        alternative = escape("; ".join(dict.fromkeys(said)))
        image = f"data:image/png;base64,{b64encode(stream.getvalue()).decode()}"
        return f'{THEME}<img class="course-figure" style="background: white" alt="{alternative}" src="{image}">'


subplots = partial(plt.subplots, FigureClass=Picture)
