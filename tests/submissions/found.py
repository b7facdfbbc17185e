"""What an attacker found: each of these once held up, blew up or ended the grading of a whole class."""

from nbformat.v4 import new_code_cell, new_markdown_cell

from tests.classroom import released, solved
from tests.submissions.scene import MOST, WITHOUT_PADDING, case, full, padding, points_without, unreadable


@unreadable("more text than a lesson can")
def empty_cells_without_end(scene):
    """Thousands of empty cells, all of which want the same id."""
    return b'{"nbformat": 4, "cells": [' + b"{}," * 8000 + b"{}]}"


@case("damaged or broken", 0, status="repaired", reason="was missing and was put back", flag=None)
def two_thousand_equal_cells(scene):
    """As many empty cells as are read."""
    return b'{"nbformat": 4, "cells": [' + b"{}," * 1999 + b"{}]}"


@case("damaged or broken", 0, flag=None)
def statement_of_a_thousand_names(scene):
    """One statement gives a thousand names, on each of which the answer depends."""
    names = ", ".join(f"n{number}" for number in range(1200))
    notebook = released()
    answer = next(cell for cell in notebook.cells if cell.id == "create-causal-mask")
    answer.source = f"{names} = range(1200)\ndef create_causal_mask(seq_len, device=None):\n    return {names}"
    return notebook


@case("damaged or broken", 0, flag=None)
def magics_without_end(scene):
    """A cell of nothing but magics, each of which IPython would look at many times."""
    notebook = released()
    notebook.cells += [new_code_cell("%a\n" * 660, id=f"magic-{number}") for number in range(2)]
    return notebook


@case("damaged or broken", MOST, flag=None)
def prints_without_measure(scene):
    """Forty cells print as much as a cell may: what is kept of it has a limit of its own."""
    notebook = solved()
    notebook.cells += [new_code_cell("print('x' * 7_800_000)", id=f"print-{number}") for number in range(40)]
    return notebook


@case("damaged or broken", MOST, flag=None)
def colours_without_end(scene):
    """Output of nothing but colour codes, which a page takes seconds to turn into HTML."""
    notebook = solved()
    notebook.cells += [new_code_cell("print('\\x1b[m' * 195_000)", id=f"print-{number}") for number in range(4)]
    return notebook


@case("damaged or broken", MOST, flag=None)
def markdown_that_takes_forever(scene):
    """A text whose rendering takes time that grows with the square of its length."""
    notebook = solved()
    notebook.cells.append(new_markdown_cell("\\begin{a}" * 20_000, id="mine"))
    return notebook


@case("damaged or broken", WITHOUT_PADDING, flag=None)
def tensor_without_values(scene):
    """An answer on a device without data can be compared, and shown, without looking at its values."""
    return padding("return torch.empty(lengths.shape[0], 1, 1, max_len, device='meta')")


@case("damaged or broken", points_without("leaks_future"), flag=None)
def truth_without_value(scene):
    """A truth value on a device without data is no answer, and no crash of the judge."""
    return full(leaks_future="def leaks_future(fn, x):\n    return torch.tensor(True, device='meta')")


@case("damaged or broken", MOST, flag=None)
def malformed_messages(scene):
    """The kernel sends messages that no notebook could hold."""
    return full("""
        kernel = get_ipython().kernel
        for kind, content in ((["stream"], {}), ("stream", {"name": "stdout", "text": ["a", "b"]}),
                              ("stream", {"name": "stdout", "text": 3}), ("error", {"ename": 1})):
            kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())
    """)


def _time_is_a_folder(scene, file):
    file.with_name("timestamp.txt").mkdir()


@case("damaged or broken", MOST, flag="holds no time of hand-in", beside=_time_is_a_folder)
def time_of_hand_in_is_a_folder(scene):
    """The file with the time of hand-in is a folder."""
    return solved()


def _deep(scene, file):
    place = file.parent
    for _ in range(60):
        place = place / ("d" * 60)
    place.mkdir(parents=True)


@case("damaged or broken", MOST, flag="a file beside the notebook is not used", beside=_deep)
def folders_without_end(scene):
    """Folder lies in folder, with long names."""
    return solved()


@case("damaged or broken", MOST, status="repaired", reason="was kept as an ordinary cell", flag=None)
def name_that_steers_the_terminal(scene):
    """A cell's name holds what would move the cursor of the instructor's terminal."""
    notebook = solved()
    cell = new_code_cell("1", id="mine")
    cell.metadata.nbgrader = {"grade_id": "\x1b[1A\x1b[2Keve 20/20 graded", "grade": True, "points": 9}
    notebook.cells.append(cell)
    return notebook
