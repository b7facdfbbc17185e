"""Code that does not end well: it costs its own exercise, and is named with a reason."""

from nbformat.v4 import new_code_cell

from tests.classroom import solved
from tests.submissions.scene import MOST, WITHOUT_PADDING, case, full, limit, padding, place_of


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
    """One exercise writes to standard output without end, where no print is caught."""
    return padding('import os\nwhile True: os.write(1, b"x" * 100_000)')


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
    place = place_of(notebook, "combine-masks")
    notebook.cells.insert(place, new_code_cell("import os\nos._exit(1)", id="mine"))
    return notebook


@case("damaged or broken", MOST, flag=None)
def exits_when_all_is_well(scene):
    """Cells of the learner's own say exit() and quit() where they are done, before the first answer and later."""
    notebook = full('print("done")\nif True: exit()')
    place = place_of(notebook, "combine-masks")
    notebook.cells.insert(place, new_code_cell("quit()", id="mine-too"))
    return notebook


@case("damaged or broken", MOST, flag="ends or starts processes")
def ends_its_kernel_later(scene):
    """A cell of the learner's own starts a timer that ends the process while a later cell runs."""
    notebook = full("import os, threading\nthreading.Timer(0.5, os._exit, (1,)).start()")
    place = place_of(notebook, "combine-masks")
    notebook.cells.insert(place, new_code_cell("import time\ntime.sleep(1)", id="mine-too"))
    return notebook


@case("damaged or broken", MOST, flag=None)
def loops_between_the_exercises(scene):
    """A cell of the learner's own loops before any exercise."""
    return full("while True: pass")


@case("damaged or broken", WITHOUT_PADDING, flag=None)
def syntax_error(scene):
    """One answer does not compile."""
    return padding("return (")
