"""Right work in which a cell that was given is lost or changed: whatever the answers need is there all the same."""

from course_lib.grading.submission import is_answer
from tests.classroom import solved
from tests.submissions.scene import MOST, case, full, place_of, repaired

LOWER = "def lower(n): return torch.ones(1, 1, n, n, dtype=torch.bool).tril()"
WITH_HELPER = "def create_causal_mask(n, device=None):\n    return lower(n).to(device)"


def setup_with(before="", after="", kind="code"):
    """The solved notebook with these lines around those of its setup."""
    notebook = solved()
    setup = notebook.cells[place_of(notebook, "setup")]
    setup.source = f"{before}{setup.source}{after}"
    setup.cell_type = kind
    return notebook


def unremarkable(make):
    return case("right but noisy", MOST, flag=None)(make)


@repaired("the cell setup was made a code cell again")
def setup_saved_as_raw(scene):
    """The setup became raw text by one key too many."""
    return setup_with(kind="raw")


@repaired("the cell setup was made a code cell again")
def setup_with_a_helper_saved_as_text(scene):
    """The setup became markdown, and what a learner had added to it is needed too."""
    notebook = setup_with(after=f"\n{LOWER}", kind="markdown")
    answer = notebook.cells[place_of(notebook, "create-causal-mask")]
    answer.source = WITH_HELPER
    return notebook


@repaired("the cell setup was missing and was put back")
def setup_deleted(scene):
    """The setup was deleted, as in a notebook whose kernel still knew it."""
    notebook = solved()
    del notebook.cells[place_of(notebook, "setup")]
    return notebook


@repaired("the cell setup was missing and was put back")
def setup_emptied(scene):
    """The setup was emptied."""
    notebook = solved()
    notebook.cells[place_of(notebook, "setup")].source = "\n"
    return notebook


@repaired("the cell setup was put above the answers")
def setup_moved_to_the_end(scene):
    """The setup was moved below everything."""
    notebook = solved()
    notebook.cells.append(notebook.cells.pop(place_of(notebook, "setup")))
    return notebook


@repaired("what the cell setup installs was left out")
def setup_that_installs(scene):
    """A line above the imports installs what is there, and would wait for a network until its time is over."""
    return setup_with("!pip install torch\n")


@repaired("what the cell mine installs was left out")
def helper_below_an_installation(scene):
    """A cell of the learner's own installs something, and defines what an answer calls."""
    helper = "%pip install -q \\\n    einops\npip install pandas\nif True:\n    !{sys.executable} -m pip install x\n"
    return full(helper + LOWER, create_causal_mask=WITH_HELPER)


@unremarkable
def setup_that_raises(scene):
    """A line above the imports raises: another machine had what it asks for."""
    return setup_with("import antigravity_for_masks\n")


@unremarkable
def setup_that_hangs(scene):
    """A line above the imports never ends."""
    return setup_with("import time\nwhile True: time.sleep(1)\n")


@unremarkable
def setup_without_name(scene):
    """A tool took the setup's id and metadata; it is known by what it holds."""
    notebook = solved()
    setup = notebook.cells[place_of(notebook, "setup")]
    setup.metadata = {}
    del setup["id"]
    return notebook


@repaired("the cell setup was missing and was put back")
def changed_setup_without_name(scene):
    """A tool took the id of a setup that raises; nobody can know it for the setup."""
    notebook = setup_with("import antigravity_for_masks\n")
    notebook.cells[place_of(notebook, "setup")].id = "b7f1"
    return notebook


@unremarkable
def setup_that_counts_as_an_experiment(scene):
    """Every cell was tagged as an experiment."""
    notebook = solved()
    for cell in notebook.cells:
        cell.metadata.tags = ["experiment"]
    return notebook


@unremarkable
def examples_filled_in(scene):
    """What learners are asked to write into examples and experiments stays theirs, and is no repair."""
    notebook = solved()
    for cell in notebook.cells:
        cell.source = cell.source.replace("= None  #", "= 10  #")
    return notebook


# Nothing of these counts, for one cause, which is named.


def with_helper(helper, calls="checked"):
    """Every answer calls a function that this cell defines."""
    notebook = full(helper)
    for cell in notebook.cells:
        if is_answer(cell):
            cell.source = cell.source.replace("    return ", f"    {calls}()\n    return ")
    return notebook


def one_cause(sentence):
    said = f"every exercise failed for one cause outside the answers: {sentence}"
    return case("damaged or broken", 0, reason=said, flag=None)


@one_cause("the cell mine raised ModuleNotFoundError: No module named 'antigravity_for_masks'")
def helper_that_imports_what_is_not_there(scene):
    """All answers call a helper, whose cell imports what is not installed here."""
    return with_helper("import antigravity_for_masks\ndef checked(): pass")


@one_cause("NameError: name 'checked' is not defined")
def helper_that_was_deleted(scene):
    """All answers call a helper that is in no cell."""
    return with_helper("")


@one_cause("the cells before the checks left a Python in which the checks cannot be loaded")
def no_import_works(scene):
    """A cell takes away all places that modules come from."""
    return with_helper("import sys\nsys.meta_path.clear()", "print")


@one_cause("the cell mine did not finish in time")
def helper_that_hangs(scene):
    """All answers call a helper, whose cell never ends."""
    return with_helper("while True: pass\ndef checked(): pass")
