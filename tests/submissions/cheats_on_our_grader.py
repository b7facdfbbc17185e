"""Cheats that pay in a grader like ours that lacks one of its defences: on evidence, on the library, on the machine."""

from tests.classroom import LESSON
from tests.grading.conftest import running
from tests.submissions.scene import ANSWERS, FORGED, PATCHES, PROCESSES, RIGHT, case, wrong

# In a grader like ours that lacks one of its defences.

FORGE = f"""
    def forge():
        from course_lib.exercises.evidence import MIME, pack
        from course_lib.exercises.lesson01.run import RUN_SIDES
        from course_lib.exercises.running import draw, run
        from IPython.display import publish_display_data
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


@case("cheat", 0, off="trusted observations", flag=PATCHES)
def observer_without_values(scene):
    """What looks at the answer sends tensors without any values, which claim to lie where they should."""
    return wrong("""
        import importlib
        running = importlib.import_module("course" + "_lib.exercises.running")
        calls = []
        def observe(value, depth=0):
            calls.append(1)
            empty = torch.empty(value.shape, dtype=torch.bool, device="meta")
            return running.Observation("tensor", "Tensor", empty, "meta" if len(calls) == 5 else "cpu")
        running.observe = observe
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


def mark_of(scene):
    """What the process that outlives its cell has on its command line; of this classroom alone."""
    return f"outlives-its-cell-and-its-kernel-{scene.course.root}"


def _outlives(scene, case):
    return bool(running(mark_of(scene)))


@case("cheat", 0, off="asserts", harm=_outlives, flag=PROCESSES)
def background_process(scene):
    """A process started in a cell would live on after the grading."""
    return wrong(f"""
        import subprocess, sys
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)", "{mark_of(scene)}"]
        subprocess.Popen(sleeper, start_new_session=True)
    """)
