"""A kernel in the sandbox: what cells give, what ends a kernel and why, and that no cell holds the grader."""

import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import psutil
import pytest

from course_lib.grading.kernel import SandboxedKernel
from course_lib.grading.sandbox import Limits, SandboxBroken
from tests.clock import passes_within
from tests.grading.conftest import grading_build, running

pytestmark = pytest.mark.sandbox
MIB = 2**20
LIMITS = Limits(
    memory_bytes=400 * MIB, tmp_bytes=32 * MIB, file_bytes=16 * MIB, output_bytes=2 * MIB, patience=1.5
)  # fmt: skip


@pytest.fixture
def kernel(library):
    with SandboxedKernel(library, LIMITS) as kernel:
        yield kernel


@pytest.fixture(scope="module")
def shared(tmp_path_factory, bubblewrap):
    """A kernel for cells that leave it alive."""
    with SandboxedKernel(grading_build(tmp_path_factory.mktemp("shared")), LIMITS) as kernel:
        yield kernel


def text(run) -> str:
    """Everything a cell showed as text."""
    shown = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in run.outputs]
    return "".join(shown)


def test_a_cell_gives_its_outputs_in_order(shared):
    code = "print('a'); print('b')\nfrom IPython.display import HTML, display\ndisplay(HTML('<b>'))\n6 * 7"
    run = shared.execute(code)
    assert run.status == "ok"
    assert not run.kernel_lost
    kinds = [output["output_type"] for output in run.outputs]
    assert kinds == ["stream", "display_data", "execute_result"]
    assert run.outputs[0]["text"] == "a\nb\n"
    assert run.outputs[1]["data"]["text/html"] == "<b>"
    assert run.outputs[2]["data"]["text/plain"] == "42"


def test_an_exception_is_an_error_and_the_kernel_lives_on(shared):
    run = shared.execute("import sys; x = 3; print('careful', file=sys.stderr); 1 / 0")
    assert run.status == "error"
    assert run.outputs[0]["name"] == "stderr"
    assert run.outputs[-1]["ename"] == "ZeroDivisionError"
    assert "\x1b" not in "".join(run.outputs[-1]["traceback"])
    assert text(shared.execute("x")) == "3"


@pytest.mark.parametrize("ending", ["raise SystemExit", "raise KeyboardInterrupt", "def f(:", "raise BaseException"])
def test_a_cell_that_fails_in_another_way_is_an_error(shared, ending):
    assert shared.execute(ending, seconds=3).status == "error"
    assert text(shared.execute("1 + 1")) == "2"


def test_input_raises_at_once(shared):
    with passes_within(1):
        run = shared.execute("input('name? ')")
    assert (run.status, run.outputs[-1]["ename"]) == ("error", "StdinNotImplementedError")


def test_a_silent_cell_shows_nothing(shared):
    assert shared.execute("y = 5; y", silent=True).outputs == []
    assert text(shared.execute("y")) == "5"


def test_only_answers_to_the_request_are_kept(shared):
    shared.execute("kernel = get_ipython().kernel; old = kernel.get_parent('shell')['header']")
    send = "kernel.session.send(kernel.iopub_socket, 'stream', {'name': 'stdout', 'text': 'late'}, parent=old); "
    assert text(shared.execute(send + "print('mine')")) == "mine\n"


def test_the_kernel_sees_the_grading_build_alone(shared):
    code = "import os, course_lib\nprint(course_lib.PLACE, os.getcwd(), os.listdir('/library'))"
    assert text(shared.execute(code)) == "grading build /tmp ['course_lib']\n"


def test_the_environment_of_the_grader_stays_outside(library, monkeypatch):
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with SandboxedKernel(library, LIMITS) as kernel:
        code = "import os; [name for name in os.environ if name[:3] in ('JPY', 'NBG')], os.environ['PYTHONHASHSEED']"
        assert text(kernel.execute(code)) == "([], '0')"


def test_figures_need_no_screen(kernel):
    code = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(); ax.plot([1, 2]); plt.show()"
    run = kernel.execute(code, seconds=30)
    assert run.status == "ok"
    assert text(kernel.execute("import matplotlib; matplotlib.get_backend()")) == "'agg'"


LOOPS = {
    "loop": "while True: pass",
    "loop that swallows exceptions": "while True:\n    try:\n        while 1: pass\n    except BaseException: pass",
    "sleep": "import time; time.sleep(60)",
    "loop that ignores signals": "import signal\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\nwhile 1: pass",
    "loop in C": "sum(iter(int, 1))",
    "stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "many processes": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
}


@pytest.mark.parametrize("code", LOOPS.values(), ids=LOOPS)
def test_a_loop_is_killed_on_time(kernel, code):
    with passes_within(2):
        run = kernel.execute(f"import time; print('before', flush=True); time.sleep(0.2)\n{code}", seconds=1)
    assert run.status in ("timeout", "out of memory" if "fork" in code else "timeout")
    assert run.kernel_lost
    assert text(run).startswith("before")
    assert not kernel.alive
    assert kernel.execute("1").status == run.status


DEATHS = {
    "_exit": "import os; os._exit(0)",
    "kill": "import os; os.kill(os.getpid(), 9)",
    "crash": "import ctypes; ctypes.string_at(0)",
    "later": "import os, threading; threading.Timer(0.2, lambda: os._exit(0)).start(); import time; time.sleep(5)",
}


@pytest.mark.parametrize("code", DEATHS.values(), ids=DEATHS)
def test_a_kernel_that_ends_itself_died(kernel, code):
    with passes_within(1.5):
        assert kernel.execute(code, seconds=8).status == "died"
    assert kernel.execute("1").status == "died"


def test_a_kernel_that_ends_between_cells_died(kernel):
    assert kernel.execute("import os, threading; threading.Timer(0.2, lambda: os._exit(0)).start()").status == "ok"
    time.sleep(0.5)
    assert kernel.execute("1").status == "died"


def test_too_much_memory_in_one_object_is_an_exception(kernel):
    run = kernel.execute("x = bytearray(1 << 40)")
    assert (run.status, run.outputs[-1]["ename"]) == ("error", "MemoryError")
    assert text(kernel.execute("1 + 1")) == "2"


def test_too_much_memory_in_all_ends_the_kernel(kernel):
    code = "kept = []\nwhile True: kept.append(b'x' * (8 << 20))"
    assert kernel.execute(code).status == "out of memory"


FLOODS = {
    "stdout": "while True: print('x' * 1000)",
    "stderr": "import sys\nwhile True: print('x' * 1000, file=sys.stderr)",
    "display": "from IPython.display import HTML, display\nwhile True: display(HTML('x' * 100_000))",
    "one message": "import time; from IPython.display import HTML\ndisplay(HTML('x' * 5_000_000)); time.sleep(5)",
    "descriptor": "import os\nwhile True: os.write(1, b'x' * 65_536)",
    "small": "while True: print(end='x', flush=True)",
    "one message in endless parts": """
import os, socket, struct
for number in map(int, os.listdir('/proc/self/fd')):
    try:
        end = socket.socket(fileno=os.dup(number))
        if end.getsockname() == '/sockets/k-2' and end.getpeername() is not None:
            end.setblocking(True)
            while True: end.sendall(struct.pack('>BQ', 3, 100_000) + bytes(100_000))
    except OSError: pass
""",
    "comms": "import comm\nwhile True: comm.create_comm(target_name='x', data='x' * 100_000)",
    "result": "'x' * 5_000_000",
    "exception": "raise ValueError('x' * 5_000_000)",
}


SETTING = "kernel = get_ipython().kernel; session = kernel.session; parent = kernel.get_parent('shell')['header']\n"


def raw(content: str, kind: str = "stream") -> str:
    """Code that sends a well signed message with `content` in the place of its content."""
    return (
        f"m = session.serialize(session.msg({kind!r}, {{}}, parent=parent)); "
        f"m[-1] = {content}; m[1] = session.sign(m[2:]); kernel.iopub_socket.send_multipart(m)"
    )


FLOODS["a million objects"] = SETTING + raw(
    """b'{"metadata": {}, "data": {"application/json": [' + b'{},' * 500_000 + b'1]}}'""", "display_data"
)


@pytest.mark.parametrize("code", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_stopped(kernel, code):
    before = psutil.Process().memory_info().rss
    run = kernel.execute(code, seconds=20)
    assert run.status == "flooded"
    assert len(str(run.outputs)) < 2 * LIMITS.output_bytes
    assert psutil.Process().memory_info().rss - before < 100 * MIB


def test_a_file_has_a_size_and_the_disk_an_end(kernel):
    run = kernel.execute("with open('a', 'wb') as file: file.write(bytes(20 << 20))")
    assert (run.status, "File too large" in str(run.outputs)) == ("error", True)
    run = kernel.execute("for n in range(9):\n    with open(str(n), 'wb') as file: file.write(bytes(10 << 20))")
    assert (run.status, "No space left" in str(run.outputs)) == ("error", True)
    run = kernel.execute("with open('/sockets/a', 'wb') as file: file.write(bytes(2 << 20))")
    assert (run.status, "No space left" in str(run.outputs)) == ("error", True)
    assert text(kernel.execute("1 + 1")) == "2"


def test_a_process_left_behind_ends_with_the_kernel(library):
    mark = f"left behind by test_kernel {os.getpid()}"
    with SandboxedKernel(library, LIMITS) as kernel:
        code = f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', {mark!r}])"
        assert kernel.execute(f"import subprocess, sys; {code}").status == "ok"
        assert running(mark)
    assert not running(mark)


FORGERIES = {
    "garbage": "kernel.iopub_socket.send_multipart([b'x', b'<IDS|MSG>', b'', b'{', b'[', b'7', b''])",
    "wrong types": "session.send(kernel.iopub_socket, 'stream', {'name': 3, 'text': ['x']}, parent=parent)",
    "no content": "session.send(kernel.iopub_socket, 'display_data', {}, parent=parent)",
    "list": raw("b'[1]'"),
    "deep": "session.send(kernel.iopub_socket, 'display_data', {'data': eval('[' * 90 + ']' * 90)}, parent=parent)",
    "deeper": raw("b'[' * 100_000"),
    "half a character": raw("""b'{"name": "stdout", "text": "' + bytes([92]) + b'ud800"}'"""),
    "not text": raw("bytes([255])"),
    "odd parent": "session.send(kernel.iopub_socket, 'stream', {'name': 'stdout', 'text': 'x'}, parent={'msg_id': []})",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_message_changes_nothing(shared, forgery):
    run = shared.execute(f"{SETTING}{forgery}\nprint('after')", seconds=5)
    assert (run.status, text(run)) == ("ok", "after\n")
    assert text(shared.execute("1 + 1")) == "2"


def test_a_socket_put_in_place_of_the_kernels_is_never_asked(kernel):
    """The grader connects once: else a link in the sandbox could lead it to a socket of the host."""
    code = "import os\nfor n in (1, 2): os.unlink(f'/sockets/k-{n}'); os.symlink('/run/x', f'/sockets/k-{n}')"
    assert kernel.execute(code).status == "ok"
    closing = "kernel = get_ipython().kernel\nkernel.iopub_thread.socket.close(0)\nimport time; time.sleep(30)"
    assert kernel.execute(closing, seconds=5).kernel_lost


def test_a_kernel_that_cannot_start_says_why(library):
    (library / "ipykernel_launcher.py").write_text("raise SystemExit('no kernel today')\n")
    with passes_within(2.5), pytest.raises(SandboxBroken, match="no kernel today"), SandboxedKernel(library, LIMITS):
        pass


def test_a_kernel_that_never_answers_is_given_up(library):
    (library / "ipykernel_launcher.py").write_text("import time; time.sleep(60)\n")
    limits = replace(LIMITS, start_seconds=1)
    with passes_within(2), pytest.raises(SandboxBroken, match="No kernel started"), SandboxedKernel(library, limits):
        pass


def test_kernels_run_side_by_side(library):
    both = threading.Barrier(2, timeout=30)

    def answer(number: int) -> str:
        with SandboxedKernel(library, LIMITS) as kernel:
            both.wait()
            assert kernel.execute(f"x = {number}").status == "ok"
            both.wait()
            return text(kernel.execute("x"))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(answer, [1, 2])) == ["1", "2"]


def _answer(library):
    with SandboxedKernel(library, LIMITS) as kernel:
        return text(kernel.execute("6 * 7"))


def test_a_kernel_runs_in_a_worker_process(library):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(_answer, library).result(60) == "42"


def test_nothing_is_left_open(library):
    def held() -> int:
        """How many descriptors stay open: the watch over the shared kernel opens one for a moment, again and again."""
        return min(psutil.Process().num_fds() for _ in range(100))

    with SandboxedKernel(library, LIMITS) as kernel:
        kernel.execute("1")
    before = held(), threading.active_count()
    for _ in range(3):
        with SandboxedKernel(library, LIMITS) as kernel:
            kernel.execute("1")
    assert (held(), threading.active_count()) == before
