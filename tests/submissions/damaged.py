"""Cells and files that are not what or where they were: repaired, or named with a reason."""

import json
import os
from copy import deepcopy

from nbformat.v4 import new_code_cell, new_raw_cell

from tests.classroom import grade_cells, released, solved
from tests.submissions.cheats_in_the_file import SCRIPT, _has_script
from tests.submissions.scene import MOST, WITHOUT_PADDING, case, full, place_of, repaired, text_of, unreadable

# Cells that are not where or what they were.


@repaired("a copy of the cell create-causal-mask-check was left out")
def check_twice(scene):
    """A check was copied."""
    notebook = solved()
    notebook.cells.insert(3, deepcopy(grade_cells(notebook)[0]))
    return notebook


@repaired("create-causal-mask was kept as an ordinary cell")
def answer_twice(scene):
    """An answer was copied."""
    notebook = solved()
    place = place_of(notebook, "create-causal-mask")
    notebook.cells.insert(place, deepcopy(notebook.cells[place]))
    return notebook


@repaired("was missing and was put back")
def checks_deleted(scene):
    """All checks were deleted."""
    notebook = solved()
    notebook.cells = [cell for cell in notebook.cells if not cell.id.endswith("-check")]
    return notebook


@case("damaged or broken", WITHOUT_PADDING, flag=None)
def answer_deleted(scene):
    """One answer was deleted."""
    notebook = solved()
    notebook.cells = [cell for cell in notebook.cells if cell.id != "create-padding-mask"]
    return notebook


@repaired("was put below its answer")
def check_above_its_answer(scene):
    """A check was moved to the top."""
    notebook = solved()
    place = place_of(notebook, "combine-masks-check")
    notebook.cells.insert(0, notebook.cells.pop(place))
    return notebook


@repaired("was kept as an ordinary cell")
def cells_renamed(scene):
    """Every graded cell got another name and id."""
    notebook = solved()
    for number, cell in enumerate(notebook.cells):
        if "nbgrader" in cell.metadata:
            cell.id = cell.metadata.nbgrader.grade_id = f"cell-{number}"
    return notebook


@repaired("was made a code cell again")
def answer_turned_into_text(scene):
    """An answer was turned into markdown by one key too many."""
    notebook = solved()
    next(cell for cell in notebook.cells if cell.id == "combine-masks").cell_type = "markdown"
    return notebook


@case("damaged or broken", MOST, flag=None)
def lost_metadata(scene):
    """A tool removed all metadata."""
    notebook = solved()
    notebook.metadata = {}
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


@repaired("was missing and was put back")
def lost_metadata_and_ids(scene):
    """A tool removed all metadata and all ids."""
    notebook = lost_metadata(scene)
    for cell in notebook.cells:
        del cell["id"]
    notebook.nbformat_minor = 2
    return notebook


@case("damaged or broken", MOST, flag=None)
def wrong_kernel(scene):
    """The notebook says that it is written in R."""
    notebook = solved()
    notebook.metadata.kernelspec = {"name": "ir", "display_name": "R", "language": "R"}
    notebook.metadata.language_info = {"name": "R"}
    return notebook


@case("damaged or broken", MOST, flag=None)
def duplicate_ids(scene):
    """All ordinary cells have one id."""
    notebook = solved()
    for cell in notebook.cells:
        if "nbgrader" not in cell.metadata and cell.id != "setup":
            cell.id = "same"
    return notebook


@case("damaged or broken", MOST, flag=None)
def nonsense_in_metadata(scene):
    """Metadata hold what no tool would write."""
    notebook = json.loads(text_of(solved()))
    for cell in notebook["cells"]:
        if not cell["id"].startswith(("create", "combine", "leaks-future")):
            cell["metadata"] = ["nonsense"]
        cell["attachments"] = {"a": {"text/html": "<script>"}}
        cell["source"] = cell["source"].splitlines(keepends=True)
    notebook["metadata"] = 3
    return json.dumps(notebook).encode()


@case("damaged or broken", MOST, flag=None)
def huge_outputs_in_the_file(scene):
    """The file comes with 15 MB of outputs, as after a training loop that printed."""
    notebook = solved()
    notebook.cells[2].outputs = [{"output_type": "stream", "name": "stdout", "text": "loss 0.5\n" * 1_600_000}]
    return notebook


@case("damaged or broken", MOST, flag=None)
def other_encoding(scene):
    """The file was saved as UTF-16 by an editor."""
    return json.dumps(solved(), ensure_ascii=False).encode("utf-16")


@case("damaged or broken", 0, flag=None, harm=_has_script)
def hostile_raw_cell_and_outputs(scene):
    """Raw cells and outputs in the file say that they are HTML; neither is shown as such."""
    notebook = released()
    notebook.cells.append(new_raw_cell(SCRIPT, id="mine", metadata={"raw_mimetype": "text/html"}))
    cell = next(cell for cell in notebook.cells if "experiment" in cell.metadata.get("tags", []))
    cell.outputs = [{"output_type": "display_data", "data": {"text/html": SCRIPT}, "metadata": {}}]
    return notebook


# Files that are not what they should be.


def _rename(scene, file):
    file.rename(file.with_name("causal_mask (1).ipynb"))


@case("damaged or broken", MOST, status="repaired", reason="the file was called", flag=None, beside=_rename)
def renamed_file(scene):
    """The browser added a number to the name."""
    return solved()


def _two(scene, file):
    file.with_name("old.ipynb").write_bytes(file.read_bytes())
    file.rename(file.with_name("new.ipynb"))


@case("damaged or broken", 0, status="unreadable", reason="several notebooks (new.ipynb, old.ipynb)", flag=None,
      beside=_two)
def two_notebooks_of_other_names(scene):
    """Nobody but the student can say which of two notebooks is meant."""
    return solved()


def _scratch(scene, file):
    file.with_name("scratch.ipynb").write_text("{")
    file.with_name("helper.py").write_text("x = 1")


@case("damaged or broken", MOST, flag="a file beside the notebook is not used", beside=_scratch)
def more_files(scene):
    """Scratch files lie beside the notebook."""
    return solved()


@case("damaged or broken", WITHOUT_PADDING, flag="a file beside the notebook is not used", beside=_scratch)
def helper_beside(scene):
    """One answer imports a file from beside the notebook; only the notebook is graded, as the reason says."""
    return full(create_padding_mask="from helper import x\nfrom helper import create_padding_mask")


def _folder(scene, file):
    file.mkdir()


@case("damaged or broken", 0, status="unreadable", reason="is no plain file", flag=None, beside=_folder)
def folder_called_like_the_notebook(scene):
    """A folder has the notebook's name."""


def _pipe(scene, file):
    os.mkfifo(file)


@case("damaged or broken", 0, status="unreadable", reason="is no plain file", flag=None, beside=_pipe)
def pipe_called_like_the_notebook(scene):
    """A pipe has the notebook's name; reading it would wait forever."""


def _device(scene, file):
    file.symlink_to("/dev/zero")


@case("damaged or broken", 0, status="unreadable", reason="a symbolic link", flag=None, beside=_device)
def link_to_an_endless_device(scene):
    """The notebook is a link to a device without an end."""


def _time_is_a_pipe(scene, file):
    os.mkfifo(file.with_name("timestamp.txt"))


@case("damaged or broken", MOST, flag="holds no time of hand-in", beside=_time_is_a_pipe)
def time_of_hand_in_is_a_pipe(scene):
    """The file with the time of hand-in is a pipe."""
    return solved()


@unreadable("it is damaged, for it is no JSON")
def cut_off(scene):
    """The upload broke off."""
    return text_of(solved())[:20_000]


@unreadable("the file is empty")
def empty_file(scene):
    """The file is empty."""
    return b""


@unreadable("larger than 20 MB")
def fifty_megabytes(scene):
    """The file has 50 MB."""
    return b'{"cells": "' + b"x" * 50_000_000 + b'"}'


@unreadable("more parts than a notebook can")
def bomb_of_brackets(scene):
    """The file is 19 MB of empty objects, which would be gigabytes in memory."""
    return b'{"nbformat": 4, "cells": [' + b"{}," * 6_300_000 + b"{}]}"


@unreadable("nested too deeply")
def nested_too_deeply(scene):
    """The file is a list in a list in a list."""
    return b"[" * 400_000


@unreadable("more text than a lesson can")
def endless_code(scene):
    """A cell holds a megabyte of code, which a scan would turn into gigabytes."""
    notebook = released()
    notebook.cells.append(new_code_cell("x = [" + "1," * 500_000 + "]", id="mine"))
    return notebook


@unreadable("the file is a zip archive")
def archive_called_like_the_notebook(scene):
    """The file is a zip archive under the notebook's name."""
    return _archive()


def _archive():
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../eve/01_causal_mask/causal_mask.ipynb", text_of(solved()))
        link = zipfile.ZipInfo("causal_mask.ipynb")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("bomb", b"\0" * 50_000_000, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _zipped(scene, file):
    file.with_name("work.zip").write_bytes(_archive())


@case("damaged or broken", 0, status="refused", reason="only work.zip", flag=None, beside=_zipped)
def archive_in_place_of_the_notebook(scene):
    """An archive whose names lead outside, with a link and a bomb in it, is never opened."""


@case("damaged or broken", 0, status="refused", reason="there is no notebook in the folder", flag=None)
def no_file(scene):
    """The folder is empty."""


@unreadable("not a notebook of format 4")
def old_format(scene):
    """A notebook of format 3."""
    return b'{"nbformat": 3, "worksheets": [], "cells": []}'


@unreadable("one of its cells is none")
def cells_are_no_cells(scene):
    """A list of cells with a null in it."""
    return b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [null]}'


@case("damaged or broken", 0, flag=None)
def untouched(scene):
    """Nothing was done: the stubs are as they were released."""
    return released()


@case("damaged or broken", MOST, flag=None, reason="")
def thousand_cells(scene):
    """A thousand small cells were added."""
    notebook = solved()
    notebook.cells += [new_code_cell(f"x = {n}", id=f"more-{n}") for n in range(1000)]
    return notebook
