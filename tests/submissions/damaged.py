"""Damaged and broken work: graded, repaired or named with a reason, and it costs no more than its own exercise."""

import json
import os
from copy import deepcopy

from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

from tests.classroom import grade_cells, released, solved
from tests.submissions.cheats import SCRIPT, _has_script
from tests.submissions.scene import MOST, case, full, points_without, text_of

PADDING = "def create_padding_mask(lengths, max_len):"
WITHOUT_PADDING = points_without("create_padding_mask")


def limit(reason, deserved=WITHOUT_PADDING, flag=None):
    """A case in which the second exercise runs into a limit."""
    return case("damaged or broken", deserved, status="limit hit", reason=reason, flag=flag)


def repaired(reason):
    return case("damaged or broken", MOST, status="repaired", reason=reason, flag=None)


def unreadable(reason, status="unreadable"):
    return case("damaged or broken", 0, status=status, reason=reason, flag=None)


def padding(body, before=""):
    """The solved notebook with this body for the second exercise."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return full(create_padding_mask=f"{before}\n{PADDING}\n{lines}")


# Code that does not end well.


@limit("did not finish in time")
def loops_forever(scene):
    """One exercise loops; the four others are right."""
    return padding("while True: pass")


@limit("did not finish in time")
def swallows_every_exception(scene):
    """The loop catches whatever is thrown at it."""
    return padding("while True:\n    try:\n        while True: pass\n    except BaseException: pass")


@limit("did not finish in time", flag="ends or starts processes")
def ignores_interrupts(scene):
    """The loop has told the system that it will not be interrupted."""
    return padding(
        "while True: pass",
        "import signal\nfor number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)",
    )


@limit("did not finish in time")
def sleeps(scene):
    """It waits for something that never comes."""
    return padding("import threading\nthreading.Event().wait()")


@limit("ended the Python process", flag="ends or starts processes")
def kills_its_kernel(scene):
    """One exercise ends the process."""
    return padding("import os\nos._exit(1)")


@limit("ended the Python process", flag="ends or starts processes")
def sends_itself_sigkill(scene):
    """One exercise kills the process from within."""
    return padding("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")


@limit("ended the Python process", flag="reaches into the interpreter")
def crashes_in_native_code(scene):
    """One exercise reads memory that is not there."""
    return padding("import ctypes\nctypes.string_at(0)")


@case("damaged or broken", WITHOUT_PADDING, flag=None, reason="")
def recursion_without_end(scene):
    """One exercise calls itself until Python gives up: an ordinary exception."""
    return padding("return create_padding_mask(lengths, max_len)")


@limit("used more memory")
def exhausts_memory(scene):
    """One exercise keeps taking memory."""
    return padding("kept = []\nwhile True: kept.append(bytearray(b'x') * 2**26)")


@case("damaged or broken", WITHOUT_PADDING, flag="ends or starts processes")
def fork_bomb(scene):
    """One exercise forks without end: the limit on processes turns it into an ordinary exception."""
    return padding("import os, time\nwhile True:\n    if os.fork() == 0:\n        time.sleep(60)")


@limit("printed or displayed more")
def floods_text(scene):
    """One exercise prints without end."""
    return padding('while True: print("x" * 100_000)')


@limit("printed or displayed more")
def floods_displays(scene):
    """One exercise displays without end."""
    return padding('from IPython.display import HTML, display\nwhile True: display(HTML("x" * 100_000))')


@limit("Your create_padding_mask")
def floods_with_small_displays(scene):
    """One exercise displays many small things, each of which costs the reader more than the writer."""
    return padding('from IPython.display import display\nwhile True: display({"text/plain": "x"}, raw=True)')


@limit("did not finish in time")
def fills_the_disk(scene):
    """One exercise writes files until nothing fits, and goes on."""
    return padding(
        'n = 0\nwhile True:\n    n += 1\n    try: open(f"/tmp/{n}", "wb").write(b"x" * 2**20)\n    except OSError: pass'
    )


@case("damaged or broken", MOST, flag="ends or starts processes")
def dies_between_the_exercises(scene):
    """A cell of the learner's own ends the process after two exercises; the kernel comes back for the others."""
    notebook = solved()
    place = next(n for n, cell in enumerate(notebook.cells) if cell.id == "combine-masks")
    notebook.cells.insert(place, new_code_cell("import os\nos._exit(1)", id="mine"))
    return notebook


@case("damaged or broken", MOST, flag=None)
def loops_between_the_exercises(scene):
    """A cell of the learner's own loops before any exercise."""
    return full("while True: pass")


@case("damaged or broken", WITHOUT_PADDING, flag=None)
def syntax_error(scene):
    """One answer does not compile."""
    return padding("return (")


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
    place = next(n for n, cell in enumerate(notebook.cells) if cell.id == "create-causal-mask")
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
    place = next(n for n, cell in enumerate(notebook.cells) if cell.id == "combine-masks-check")
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


# What an attacker found: each of these once held up, blew up or ended the grading of a whole class.


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
