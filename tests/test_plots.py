"""Figures: what they show is read back from them, and nothing stays open behind them."""

import io

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure

from course_lib.masks import create_causal_mask, create_padding_mask, create_prefix_mask
from course_lib.plots import plot_masks, plot_pair_counts, plot_weights

WORDS = ["the", "bank", "by", "the", "river"]


def marks(ax) -> list[list[str]]:
    """Read the text in the cells of a grid, row by row."""
    n = len(WORDS)
    cells = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts}
    return [[cells[i, j] for j in range(n)] for i in range(n)]


def visible(fig: Figure) -> list:
    return [ax for ax in fig.axes if ax.get_visible()]


def test_a_mask_is_drawn_row_by_row_with_words_on_both_axes_and_a_legend():
    mask = create_causal_mask(5)
    fig = plot_masks({"causal": mask}, WORDS)
    (ax,) = visible(fig)
    assert marks(ax) == [["✓" if allowed else "·" for allowed in row] for row in mask[0, 0].tolist()]
    names = ["0 the", "1 bank", "2 by", "3 the", "4 river"]
    assert [t.get_text() for t in ax.get_xticklabels()] == names
    assert [t.get_text() for t in ax.get_yticklabels()] == names
    assert "query" in ax.get_ylabel()
    assert "key" in ax.get_xlabel()
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["✓ may attend", "· may not"]


def test_a_padding_mask_is_spread_over_all_rows():
    fig = plot_masks({"padding": create_padding_mask(torch.tensor([2]), 5)}, WORDS)
    assert marks(visible(fig)[0]) == [["✓", "✓", "·", "·", "·"]] * 5


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_masks_stand_side_by_side_each_under_its_title(count):
    masks = {f"prefix {p}": create_prefix_mask(p, 5) for p in range(count)}
    assert [ax.get_title() for ax in visible(plot_masks(masks, WORDS))] == list(masks)


def test_weights_are_drawn_with_their_numbers_and_exact_zeros_stand_out():
    weights = torch.eye(5).expand(1, 1, 5, 5).clone()
    weights[0, 0, 1] = torch.tensor([0.25, 0.746, 0.004, 0, 0])
    ax = visible(plot_weights({"weights": weights.requires_grad_()}, WORDS))[0]
    assert marks(ax)[1] == ["0.25", "0.75", "0.00", "0", "0"]
    assert marks(ax)[0] == ["1.00", "0", "0", "0", "0"]


def test_counted_pairs_are_lines_with_their_names():
    counts = {"n²": {2: 4, 3: 9, 5: 25}, "causal": {2: 3, 3: 6, 5: 15}}
    (ax,) = plot_pair_counts(counts).axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [[4, 9, 25], [3, 6, 15]]
    assert [t.get_text() for t in ax.texts] == ["n²", "causal"]
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_figures_are_drawable_and_none_stays_open():
    figures = [
        plot_masks({"causal": create_causal_mask(5)}, WORDS),
        plot_weights({"even": torch.full((5, 5), 0.2)}, WORDS),
        plot_pair_counts({"n²": {2: 4, 3: 9}}),
    ]
    assert plt.get_fignums() == []
    for figure in figures:
        assert isinstance(figure, Figure)
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        assert stream.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plot_masks({}, WORDS), "plot_masks needs at least one mask, got none"),
        (lambda: plot_weights({}, WORDS), "plot_weights needs at least one grid of weights, got none"),
        (
            lambda: plot_masks({"two": create_causal_mask(5).expand(2, 1, 5, 5)}, WORDS),
            "one figure shows one batch element and head, got shape (2, 1, 5, 5)",
        ),
        (
            lambda: plot_pair_counts({str(k): {1: 1} for k in range(5)}),
            "plot_pair_counts draws at most 4 masks, got 5",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, message):
    with pytest.raises(ValueError, match="^" + message.replace("(", r"\(").replace(")", r"\)") + "$"):
        make()
