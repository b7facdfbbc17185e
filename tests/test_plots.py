"""Figures: what they show is read back from them, and nothing stays open behind them."""

import io
import itertools

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text

from course_lib.masks import create_causal_mask, create_padding_mask, create_prefix_mask
from course_lib.pictures import Picture
from course_lib.plots import (
    plot_alignment,
    plot_fills,
    plot_history,
    plot_lines,
    plot_masks,
    plot_pair_counts,
    plot_panels,
    plot_weights,
)
from course_lib.training import History
from tests.classroom import ROOT

LESSON_04 = ROOT / "solutions" / "04_decoder_only" / "decoder_only.ipynb"
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


def test_a_table_that_is_no_mask_says_what_it_is():
    leaks = {str(n): create_causal_mask(5) for n in range(4)}  # two rows of panels
    fig = plot_masks(leaks, WORDS, ("a leak", "no leak"), ("the answer at", "replaced: the token at"))
    assert [ax.get_xlabel() for ax in visible(fig)] == ["replaced: the token at"] * 4
    assert [ax.get_ylabel() for ax in visible(fig)] == ["the answer at", ""] * 2
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["✓ a leak", "· no leak"]


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


ALIGNED = torch.tensor([[0.9, 0.1, 0], [0.2, 0.3, 0.5]])


def legend(fig: Figure) -> list[str]:
    return [label.get_text() for box in fig.legends for label in box.get_texts()]


def test_an_alignment_shows_target_against_source_with_the_true_pairs_framed():
    gold = torch.tensor([[1, 0, 0], [0, 1, 1]]).bool()
    fig = plot_alignment(ALIGNED[None, None].requires_grad_(), ["one", "two", "three"], ["un", "deux"], gold, "head 1")
    (ax,) = fig.axes
    numbers = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert numbers == {(0, 0): "0.90", (0, 1): "0.10", (0, 2): "0", (1, 0): "0.20", (1, 1): "0.30", (1, 2): "0.50"}
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0 one", "1 two", "2 three"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0 un", "1 deux"]
    frames = [(frame.get_y() + frame.get_height() / 2, frame.get_x() + frame.get_width() / 2) for frame in ax.patches]
    assert frames == [pytest.approx(pair) for pair in ((0, 0), (1, 1), (1, 2))]
    assert ("target" in ax.get_ylabel(), "source" in ax.get_xlabel(), ax.get_title()) == (True, True, "head 1")
    assert legend(fig) == ["framed: belong together"]
    dressed(fig)


def test_an_alignment_without_gold_has_no_frames_and_no_legend():
    fig = plot_alignment(ALIGNED, ["one", "two", "three"], ["un", "deux"])
    assert (len(fig.axes[0].patches), legend(fig)) == (0, [])
    dressed(fig)


def test_fills_stand_side_by_side_the_likeliest_on_top_and_the_hidden_word_marked():
    fills = {"encoder": {"river": 0.2, "bank": 0.79, "old": 0.01}, "left only": {"old": 0.0, "bank": 0.125}}
    fig = plot_fills(fills, hidden="bank")
    assert [ax.get_title() for ax in fig.axes] == list(fills)
    words = [[t.get_text() for t in ax.get_yticklabels()] for ax in fig.axes]
    assert words == [["▶ bank", "river", "old"], ["▶ bank", "old"]]
    assert [[bar.get_width() for bar in ax.patches] for ax in fig.axes] == [[0.79, 0.2, 0.01], [0.125, 0]]
    assert [[t.get_text() for t in ax.texts] for ax in fig.axes] == [["0.79", "0.20", "0.01"], ["0.12", "0"]]
    assert len({ax.get_ylim() for ax in fig.axes}) == len({ax.get_xlim() for ax in fig.axes}) == 1
    assert fig.axes[0].get_ylim()[0] > fig.axes[0].get_ylim()[1]  # the first word is on top
    assert legend(fig) == ["▶ the hidden word"]
    dressed(fig)
    assert legend(plot_fills(fills)) == []


def test_counted_pairs_are_lines_with_their_names():
    counts = {"n²": {2: 4, 3: 9, 5: 25}, "causal": {2: 3, 3: 6, 5: 15}}
    (ax,) = plot_pair_counts(counts).axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [[4, 9, 25], [3, 6, 15]]
    assert [t.get_text() for t in ax.texts] == ["n²", "causal"]
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def data(line) -> tuple[list, list]:
    return [list(values) for values in line.get_data()]


def dressed(fig: Figure) -> None:
    """Fonts can be read, axes say what they show, and no name lies on another or outside of the figure."""
    fig.canvas.draw()
    for ax in fig.axes:
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        shown = [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, ax.yaxis.label]
        assert min(text.get_fontsize() for text in shown) >= 10
        boxes = [Text.get_window_extent(text) for text in shown if text.get_text()]
        inside = fig.bbox.padded(1)
        for k, box in enumerate(boxes):
            if shown[k] in ax.texts:
                assert inside.contains(box.x0, box.y0)
                assert inside.contains(box.x1, box.y1)
                assert not any(box.overlaps(other) for other in boxes[k + 1 :])


def test_lines_are_drawn_in_the_order_of_x_and_each_looks_different():
    fig = plot_lines({str(k): {3: k, 1: 0, 2: k} for k in range(4)}, "layers", "accuracy")
    (ax,) = fig.axes
    assert [data(line) for line in ax.lines] == [[[1, 2, 3], [0, k, k]] for k in range(4)]
    for look in ("get_color", "get_marker", "get_linestyle"):
        assert len({getattr(line, look)() for line in ax.lines}) == 4
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layers", "accuracy")
    assert all(tick.get_text().isdigit() for tick in ax.get_xticklabels())
    dressed(fig)


@pytest.mark.parametrize("ends", [[1, 1, 1, 1], [0, 0, 0, 5], [5, 5, 5, 0], [1, 1.1, 1.2, 5], [3, 2.9, 3.1, 3]])
def test_names_of_lines_that_end_close_together_stay_apart_and_in_order(ends):
    fig = plot_lines({f"line {k}": {1: 0, 9: end} for k, end in enumerate(ends)}, "n", "seconds")
    dressed(fig)
    (ax,) = fig.axes
    heights = [note.get_position()[1] for note in ax.texts]
    for one, other in itertools.combinations(range(4), 2):
        if ends[one] < ends[other]:
            assert heights[one] < heights[other]
    assert [note.xy for note in ax.texts] == [(9, end) for end in ends]


def test_a_name_with_room_stands_beside_its_end():
    (ax,) = plot_lines({"low": {1: 1, 2: 1}, "high": {1: 1, 2: 2}}, "n", "seconds").axes
    assert [note.get_position()[1] for note in ax.texts] == pytest.approx([1, 2])


def test_logarithmic_axes_have_plain_numbers_at_the_lengths_that_were_measured():
    fig = plot_lines({"open": {128 * 2**k: 0.001 * 4**k for k in range(5)}}, "tokens", "seconds", log=True)
    (ax,) = fig.axes
    dressed(fig)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["128", "256", "512", "1,024", "2,048"]
    assert {"0.001", "0.01", "0.1"} <= {t.get_text() for t in ax.get_yticklabels()}
    fig = plot_lines({"open": {64: 1, 128: 1.6, 512: 7}}, "tokens", "milliseconds", log=True)
    dressed(fig)
    assert {"1", "2", "5"} <= {t.get_text() for t in fig.axes[0].get_yticklabels()}


COSTS = {
    "seconds": {"in the open": {128: 0.004, 512: 0.064}, "fused": {128: 0.002, 512: 0.03}},
    "MiB kept": {"fused": {128: 1, 512: 4}, "in the open": {128: 2, 512: 32}},
}


def test_time_and_memory_stand_side_by_side_with_guides_and_one_look_for_each_name():
    fig = plot_panels(COSTS, "tokens", log=True, guides={"n²": 2, "n": 1})
    dressed(fig)
    assert [ax.get_ylabel() for ax in fig.axes] == list(COSTS)
    looks = {}
    for ax, lines in zip(fig.axes, COSTS.values(), strict=True):
        assert [note.get_text() for note in ax.texts] == [*lines, "n²", "n"]
        for name, line in zip([*lines, "n²", "n"], ax.lines, strict=True):
            looks.setdefault(name, set()).add((line.get_color(), line.get_marker(), line.get_linestyle()))
        square, straight = (data(line)[1] for line in ax.lines[2:])
        assert square[1] / square[0] == pytest.approx(16)
        assert straight[1] / straight[0] == pytest.approx(4)
        assert square[0] == straight[0] < min(y for line in lines.values() for y in line.values())
    assert all(len(look) == 1 for look in looks.values())
    assert len({look for found in looks.values() for look in found}) == 3  # two names, and the guides


def test_numbers_below_zero_are_not_cut_off():
    (ax,) = plot_lines({"gain": {1: -2, 2: 1}}, "n", "gain").axes
    assert ax.get_ylim()[0] < -2


def test_a_history_shows_its_running_mean_its_steps_behind_it_and_the_floor():
    losses = [5.0, 1.0, 3.0, 2.0, 4.0]
    histories = {"causal": History(loss=losses), "prefix": History(loss=[4.0, 2.0])}
    fig = plot_history(histories, floors={"entropy": 0.5}, smooth=3)
    dressed(fig)
    (ax,) = fig.axes
    raw, mean, _, other, floor = ax.lines
    assert data(raw) == [[1, 2, 3, 4, 5], losses]
    assert data(mean) == [[1, 2, 3, 4, 5], pytest.approx([3, 3, 2, 3, 3])]
    assert raw.get_color() == mean.get_color() != other.get_color()
    assert raw.get_alpha() < 1
    assert raw.get_zorder() < mean.get_zorder()
    assert data(floor) == [[1, 5], [0.5, 0.5]]
    assert [note.get_text() for note in ax.texts] == ["causal", "prefix", "entropy"]
    assert [note.xy for note in ax.texts] == [(5, pytest.approx(3)), (2, pytest.approx(3)), (5, 0.5)]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("training step", "loss (nats per token)")


def test_a_history_can_be_drawn_as_it_is_and_under_another_name():
    (ax,) = plot_history({"a": History(loss=[3.0, 1.0, 2.0])}, smooth=1, ylabel="squared error").axes
    assert [data(line) for line in ax.lines] == [[[1, 2, 3], [3, 1, 2]]]
    assert ax.get_ylabel() == "squared error"


def test_a_history_that_begins_late_shows_what_the_steep_part_hides():
    losses = [9.0, 5.0, 1.2, 0.8, 1.0]
    (ax,) = plot_history({"a": History(loss=losses)}, floors={"entropy": 0.9}, smooth=3, first=3).axes
    batches, mean, floor = ax.lines
    assert data(batches) == [[3, 4, 5], losses[2:]]
    assert data(mean) == [[3, 4, 5], pytest.approx([7 / 3, 1, 0.9])]  # the mean still knows the steps before
    assert data(floor) == [[3, 5], [0.9, 0.9]]
    assert ax.get_ylim()[1] < 3


def test_the_batches_below_the_floor_that_lesson_04_speaks_of_can_be_told_from_it():
    cells = {cell.id: cell.source for cell in nbformat.read(LESSON_04, as_version=4).cells}
    loss = [4.6 * 0.95**step + 1.55 + 0.02 * (-1) ** step for step in range(400)]  # falls, bends, and scatters like it
    shown = []
    scope = {"history": History(loss=loss), "floor": 1.54, "display": shown.append}
    exec(cells["history-picture"], scope)
    (ax,) = shown[-1].axes
    below, line = ax.transData.transform([(400, min(loss)), (400, 1.54)])[:, 1]
    assert line - below > 10  # points on a screen


def test_a_long_history_has_few_markers_and_those_of_two_runs_lie_apart():
    loss = [1.0] * 400
    (ax,) = plot_history({"a": History(loss=loss), "b": History(loss=loss)}).axes
    first, second = (line.get_markevery() for line in ax.lines[1::2])
    assert first[1] == second[1] == 50
    assert first[0] != second[0]


def test_figures_are_drawable_and_none_stays_open():
    figures = [
        plot_masks({"causal": create_causal_mask(5)}, WORDS),
        plot_weights({"even": torch.full((5, 5), 0.2)}, WORDS),
        plot_pair_counts({"n²": {2: 4, 3: 9}}),
        plot_lines({"a": {1: 1}}, "n", "seconds", log=True),
        plot_panels(COSTS, "tokens"),
        plot_history({"one step": History(loss=[2.0])}),
        plot_alignment(ALIGNED, ["one", "two", "three"], ["un", "deux"], ALIGNED > 0.2),
        plot_fills({"encoder": {"bank": 1.0}}, hidden="bank"),
    ]
    assert plt.get_fignums() == []
    for figure in figures:
        assert isinstance(figure, Picture)
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
            "a chart can tell at most 4 lines apart, got 5",
        ),
        (lambda: plot_lines({}, "n", "seconds"), "a chart needs at least one line, got none"),
        (lambda: plot_lines({"a": {}}, "n", "seconds"), "a line needs at least one point, got none for 'a'"),
        (
            lambda: plot_panels({"s": {"a": {1: 1}}, "MiB": {}}, "n"),
            "every panel needs at least one line, got none for 'MiB'",
        ),
        (lambda: plot_history({}), "a chart needs at least one line, got none"),
        (lambda: plot_history({"a": History()}), "a line needs at least one point, got none for 'a'"),
        (
            lambda: plot_history({"b": History(loss=[1.0])}, first=2),
            "a line needs at least one point, got none for 'b'",
        ),
        (
            lambda: plot_lines({"a": {1: 0.5, 2: 0}}, "n", "seconds", log=True),
            "logarithmic axes need numbers above 0, got 0",
        ),
        (
            lambda: plot_panels(COSTS, "tokens", guides={"n": 1}),
            "guides are straight on logarithmic axes only: give log=True",
        ),
        (lambda: plot_alignment(ALIGNED, [], ["un"]), "plot_alignment needs tokens on both sides, got 0 and 1"),
        (
            lambda: plot_alignment(ALIGNED.expand(2, 2, 3), ["one", "two", "three"], ["un", "deux"]),
            "one figure shows one batch element and head, got shape (2, 2, 3)",
        ),
        (lambda: plot_fills({}), "plot_fills needs at least one model, got none"),
        (lambda: plot_fills({"encoder": {}}), "every model needs at least one word, got none for 'encoder'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, message):
    with pytest.raises(ValueError, match="^" + message.replace("(", r"\(").replace(")", r"\)") + "$"):
        make()
    assert plt.get_fignums() == []
