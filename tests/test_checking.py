"""check, hint and progress as a learner meets them: in a real interactive shell, cell by cell."""

import atexit
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from course_lib import checking, exercises, labbook
from course_lib.checking import CheckFailed, UnknownExercise, check
from course_lib.exercises import stopping
from course_lib.exercises.card import BOLD, GREEN, PLAIN, RED
from tests.exercises.toys import CRASHING

SETUP = "import torch\nfrom course_lib.checking import check, hint, progress"
RIGHT = """def create_causal_mask(seq_len, device=None):
    return torch.ones(1, 1, seq_len, seq_len, dtype=torch.bool, device=device).tril()"""
CHECK = 'check("01.create_causal_mask", create_causal_mask)'


@pytest.fixture(autouse=True)
def _own_lab_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    checking._hints_given.clear()


class Notebook:
    """Runs cells as a notebook would; remembers the last result and what was shown."""

    def __init__(self, shell: InteractiveShell):
        self.shell = shell
        self.shown = ""
        self.result: ExecutionResult | None = None

    def __call__(self, *cells: str) -> "Notebook":
        for cell in cells:
            with capture_output() as seen:
                self.result = self.shell.run_cell(cell, store_history=True)
            self.shown = seen.stdout + "".join(str(o.data.get("text/plain", "")) for o in seen.outputs)
        return self

    @property
    def card(self) -> str:
        assert isinstance(self.result.error_in_exec, CheckFailed), self.result.error_in_exec
        return self.result.error_in_exec.card


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    checking.load_ipython_extension(shell)
    yield Notebook(shell)(SETUP)
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()


def test_a_right_answer_shows_the_card_and_returns_nothing(notebook: Notebook):
    notebook(RIGHT, CHECK)
    assert notebook.result.success
    assert notebook.result.result is None
    assert "✓ 01.create_causal_mask · 4 of 4 points" in notebook.shown
    assert labbook.recall("check 01.create_causal_mask") == "passed"


def test_a_wrong_answer_raises_the_card_and_nothing_else(notebook: Notebook):
    notebook(RIGHT.replace("tril", "triu"), CHECK)
    assert notebook.card.startswith("✗ 01.create_causal_mask · 0 of 4 points\n")
    assert "It looks like: transposed." in notebook.card
    assert notebook.card.endswith('For a step towards it, run  hint("01.create_causal_mask")  in a new cell.')
    plain = notebook.shown
    for code in (BOLD, GREEN, RED, PLAIN):
        plain = plain.replace(code, "")
    assert plain.strip() == notebook.card.strip()
    assert "Traceback" not in notebook.shown
    assert max(map(len, notebook.card.split("\n"))) <= 79
    assert labbook.recall("check 01.create_causal_mask") == "failed"


@pytest.mark.parametrize("execution", ["", "validate", "autograde", "check"])
def test_a_stub_says_what_to_write_and_stops_nobody_but_who_asks_whether_all_is_solved(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, execution: str
):
    monkeypatch.setenv("NBGRADER_EXECUTION", execution)
    exercise = exercises.get("01.create_causal_mask")
    notebook("def create_causal_mask(seq_len, device=None):\n    raise NotImplementedError", CHECK)
    shown = notebook.card if execution else notebook.shown
    assert shown == exercise.refuse("not written", exercise.side.todo).message


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (["from course_lib.masks import create_causal_mask"], "is now the course's own: run your cell"),
        (["from course_lib.masks import create_bidirectional_mask as create_causal_mask"], "is now the course's own"),
        (["create_causal_mask = torch.ones(2, 2)"], "the function itself, create_causal_mask, and got Tensor: leave"),
        (["create_causal_mask = None"], "got None. Run the cell with `def create_causal_mask` first"),
        (
            ["def create_causal_mask(n, device=None):\n    from course_lib.masks import create_causal_mask as c\n"
             "    return c(n, device)"],
            "create_causal_mask uses course_lib",
        ),
        (
            ["def helper(n):\n    return torch.nn.Transformer.generate_square_subsequent_mask(n)",
             "def create_causal_mask(n, device=None):\n    return (helper(n).to(device) == 0)[None, None]"],
            "uses generate_square_subsequent_mask, which is the exercise itself",
        ),
        (
            ["create_causal_mask = lambda n, device=None: "
             "torch.nn.Transformer.generate_square_subsequent_mask(n)[None, None].to(device) == 0"],
            "uses generate_square_subsequent_mask, which is the exercise itself",
        ),
        (
            ["def create_causal_mask(n, device=None):\n"
             "    make = getattr(torch.nn.Transformer, 'generate_square_subsequent_mask')\n"
             "    return (make(n).to(device) == 0)[None, None]"],
            "uses generate_square_subsequent_mask, which is the exercise itself",
        ),
    ],
)  # fmt: skip
def test_what_is_not_an_own_answer_is_refused(notebook: Notebook, cells: list[str], sentence: str):
    notebook(*cells, CHECK)
    assert sentence in " ".join(notebook.card.split())
    assert "· 0 of 4 points" in notebook.card


def test_an_own_answer_after_a_shortcut_is_accepted(notebook: Notebook):
    notebook("from course_lib.masks import create_causal_mask", CHECK)
    assert not notebook.result.success
    notebook(RIGHT, CHECK)
    assert notebook.result.success


def test_magics_and_broken_cells_do_not_matter(notebook: Notebook):
    notebook("%config", "def broken(:", RIGHT, CHECK)
    assert notebook.result.success


def test_an_answer_made_for_one_seed_is_found_out(notebook: Notebook):
    exercise = exercises.get("01.leaks_future")
    answers = iter([exercise.reference(*case.args) for case in exercise.side.cases(_first_generator())])
    with pytest.raises(CheckFailed):
        check(exercise.id, lambda fn, x: next(answers))


def _first_generator():
    import torch

    return torch.Generator().manual_seed(checking.FIRST_SEED)


def test_hints_come_in_stages_and_start_again(notebook: Notebook):
    hints = exercises.get("01.combine_masks").hints
    for call in range(4):
        notebook('hint("01.combine_masks")')
        again = "That was the last hint; from the start again.\n\n" if call == 3 else ""
        assert notebook.shown.startswith(f"{again}Hint {call % 3 + 1} of 3 · 01.combine_masks\n\n")
        assert " ".join(notebook.shown.split()).endswith(" ".join(hints[call % 3].split()))
        assert max(map(len, notebook.shown.split("\n"))) <= 79


@pytest.mark.parametrize("cell", ['check("01.causal", None)', 'hint("01.causal")', "hint(1)", "check(None, None)"])
def test_an_unknown_exercise_is_one_sentence_with_the_names_there_are(notebook: Notebook, cell: str):
    notebook(cell)
    assert isinstance(notebook.result.error_in_exec, UnknownExercise)
    assert "There is no exercise " in notebook.shown
    assert "the names are 01.create_causal_mask, " in notebook.shown
    assert "Traceback" not in notebook.shown
    assert notebook.shown.strip().count("\n") == 0


def test_a_card_says_in_which_line_of_the_notebook_an_error_was_raised(notebook: Notebook):
    notebook(
        "def keep(mask):\n    return mask.no_such_thing",
        "def combine_masks(*masks):\n    first = masks[0]\n    return keep(first)",
        'check("01.combine_masks", combine_masks)',
    )
    assert "In line 2 of keep: return mask.no_such_thing" in notebook.card


def test_a_stub_leaves_the_circle_of_an_exercise_open(notebook: Notebook):
    stub = "def combine_masks(*masks):\n    raise NotImplementedError"
    notebook(stub, 'check("01.combine_masks", combine_masks)', "progress()")
    assert labbook.recall("check 01.combine_masks") == "not written"
    assert notebook.shown.split("\n")[2].startswith("○ 01.combine_masks")


def test_a_stub_that_an_answer_calls_is_named(notebook: Notebook):
    notebook(
        "def split_heads(x, num_heads):\n    raise NotImplementedError()",
        "def causal_self_attention(x, W_qkv, W_o, num_heads):\n    return split_heads(x @ W_qkv, num_heads) @ W_o",
        'check("02.causal_self_attention", causal_self_attention)',
    )
    said = "split_heads, which your causal_self_attention calls, is not written yet: it raises NotImplementedError."
    assert said in " ".join(notebook.shown.split())
    assert notebook.shown.startswith("○ 02.causal_self_attention · 0 of 7 points")


def test_progress_lists_every_exercise(notebook: Notebook):
    notebook(RIGHT, CHECK, RIGHT.replace("create_causal_mask", "create_prefix_mask"))
    notebook('check("01.create_prefix_mask", create_prefix_mask)')
    notebook("progress()")
    rows = notebook.shown.strip().split("\n")
    graded = [exercise for exercise in exercises.all() if not exercise.optional]
    points = sum(exercise.points for exercise in graded)
    assert rows[len(exercises.all()) :] == ["", f"Solved: 1 of {len(graded)}, 4 of {points:g} points"]
    assert rows[0].startswith("✓ 01.create_causal_mask")
    assert rows[1].startswith("○ 01.create_padding_mask")
    assert rows[3].startswith("✗ 01.create_prefix_mask")


def test_an_optional_exercise_counts_nowhere_and_stops_nobody_who_leaves_it_out(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
):
    causal = exercises.get("01.create_causal_mask")
    optional = replace(causal, optional=True)
    monkeypatch.setattr(exercises, "get", lambda name: optional)
    monkeypatch.setattr(exercises, "all", lambda: [optional, exercises.lesson("01")[1]])
    notebook("def create_causal_mask(seq_len, device=None):\n    raise NotImplementedError", CHECK)
    assert notebook.result.success
    assert "create_causal_mask is not written yet: " in notebook.shown
    notebook(RIGHT.replace("tril", "triu"), CHECK)
    assert "It looks like: transposed." in notebook.card
    notebook(RIGHT, CHECK, "progress()")
    rows = notebook.shown.strip().split("\n")
    assert rows[0].split()[:3] == ["✓", "01.create_causal_mask", "optional"]
    assert rows[0].index(causal.title) == rows[1].index("The padding mask")
    assert rows[-1] == "Solved: 0 of 1, 0 of 3 points"


def test_a_pass_is_not_taken_back_by_a_later_failure(notebook: Notebook):
    notebook(RIGHT, CHECK, RIGHT.replace("tril", "triu"), CHECK, CHECK)
    assert labbook.recall("check 01.create_causal_mask") == "passed once"
    notebook("progress()")
    rows = notebook.shown.strip().split("\n")
    assert rows[0].startswith("✓ 01.create_causal_mask")
    assert rows[0].endswith("(solved once; the last check failed)")
    assert rows[-1].startswith("Solved: 1 of ")
    assert ", 4 of " in rows[-1]
    notebook(RIGHT, CHECK)
    assert labbook.recall("check 01.create_causal_mask") == "passed"


def test_nothing_is_noted_while_grading(notebook: Notebook, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    notebook(RIGHT, CHECK)
    assert labbook.recall("check 01.create_causal_mask", default=None) is None


def test_a_lab_book_that_cannot_be_written_does_not_stop_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file" / "inside"))
    assert check("01.combine_masks", _own(exercises.get("01.combine_masks").alternatives[0])) is None


def _own(function: Callable) -> Callable:
    return lambda *args: function(*args)


def test_a_checker_that_crashes_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exercises, "get", lambda name: CRASHING)
    with pytest.raises(CheckFailed, match=r"00\.square") as caught:
        check("00.square", lambda x: x**2)
    assert "The checker failed, not you" in caught.value.card
    assert "hint(" not in caught.value.card
    assert labbook.recall("check 00.square", default=None) is None


LOOPS = {
    "while True:": "pass",
    "while sum(range(1000)):": "try:\n            seq_len += 1\n        except Exception:\n            pass",
    "while not time.sleep(1):": "try:\n            time.sleep(1)\n        except:\n            continue",
    "for _ in iter(int, 1):": "print(seq_len)",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_without_end_is_stopped_and_the_card_quotes_its_line(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, loop: str
):
    monkeypatch.setattr(stopping, "WORK_SECONDS", 0.2)
    monkeypatch.setattr(stopping, "WALL_SECONDS", 0.7)
    before = signal.getsignal(signal.SIGINT)
    answer = f"import time\ndef create_causal_mask(seq_len, device=None):\n    {loop}\n        {LOOPS[loop]}"
    notebook(answer, CHECK)
    said = " ".join(notebook.card.split())
    assert said.startswith("✗ 01.create_causal_mask · 0 of 4 points create_causal_mask(")
    assert " was still running after 10 seconds and was stopped: look for a loop that never ends. It was in " in said
    quoted = said.partition(" of create_causal_mask: ")[2]
    assert quoted
    assert any(quoted.startswith(line.strip()) for line in answer.splitlines()[2:])
    assert signal.getsignal(signal.SIGINT) is before
    notebook(RIGHT, CHECK)
    assert notebook.result.success
    assert labbook.recall("check 01.create_causal_mask") == "passed"


@pytest.mark.parametrize("catch", ["time.sleep(30)", "try: time.sleep(0.1)\n        except: pass"])
def test_the_stop_button_ends_a_check_with_a_card(notebook: Notebook, catch: str):
    press = "threading.Timer(0.2, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)).start()"
    notebook(
        "import signal, threading, time",
        f"def create_causal_mask(n, device=None):\n    {press}\n    while True:\n        {catch}",
        CHECK,
    )
    said = " ".join(notebook.card.split())
    assert "You stopped the check while create_causal_mask(" in said
    assert re.search(r"It was in line [345] of create_causal_mask: ", said)
    assert "hint(" not in said


def test_an_interrupt_that_an_answer_raises_itself_shows_nothing_of_ours(notebook: Notebook):
    notebook("def create_causal_mask(seq_len, device=None):\n    raise KeyboardInterrupt", CHECK)
    assert "You stopped the check before it came to a verdict: run it again." in notebook.card
    assert labbook.recall("check 01.create_causal_mask", default=None) is None


def test_what_an_answer_prints_stands_below_the_card_under_its_call(notebook: Notebook):
    loud = "def create_causal_mask(seq_len, device=None):\n    for i in range(3000):\n        print('row', i)\n"
    notebook(loud + "    import sys\n    print('careful', file=sys.stderr)\n" + RIGHT.partition("\n")[2], CHECK)
    card, _, printed = notebook.shown.partition("\nYour code printed in create_causal_mask(")
    assert card.startswith("✓ 01.create_causal_mask · 4 of 4 points")
    lines = printed.splitlines()
    assert lines[1:11] == [f"row {i}" for i in range(10)]
    assert re.fullmatch(r"… and \d+,\d\d\d more lines", lines[-1])
    assert notebook.shown.count("row") == 10


def test_the_prints_of_the_call_on_the_card_come_first(notebook: Notebook):
    two = "    print(len(masks), 'masks\\x1b[2J')\n    return masks[0] & masks[1] if masks[1:] else masks[0]"
    notebook(f"def combine_masks(*masks):\n{two}", 'check("01.combine_masks", combine_masks)')
    said = " ".join(notebook.card.split())
    call = re.search(r" In (combine_masks\(.*?\)[^:]*): ", said)[1]
    assert call.startswith("combine_masks(a, b, c")
    assert said.partition("Your code printed in ")[2].startswith(call)
    assert "\x1b[2J" not in notebook.card


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("def create_causal_mask(seq_len):\n    return torch.ones(1, 1", "in its line 2, '(' was never closed."),
        ("def create_causal_mask(seq_len):\n  x = 1\n    return x", "IndentationError in its line 3, "),
        ("def create_causal_mask(seq_len):\n    pass\nreturn 1", "in its line 3, 'return' outside function."),
    ],
)
def test_an_answer_that_does_not_compile_is_said_so_on_the_card(notebook: Notebook, broken: str, said: str):
    notebook(broken)
    assert isinstance(notebook.result.error_before_exec, SyntaxError)
    notebook(CHECK)
    card = " ".join(notebook.card.split())
    assert "Your cell that defines create_causal_mask does not compile: " in card
    assert said in card
    assert broken.splitlines()[-1].strip() in card
    assert "hint(" not in card
    notebook(RIGHT, CHECK)
    assert notebook.result.success
    notebook(broken, CHECK)  # not the answer of before, which still stands
    assert said in " ".join(notebook.card.split())
    notebook("  " + RIGHT.replace("\n", "\n  ") + "\n  !true", CHECK)  # what a notebook alone can read
    assert notebook.result.success


def test_an_answer_that_was_never_run_is_asked_for(notebook: Notebook):
    notebook(CHECK)
    assert "got None. Run the cell with `def create_causal_mask` first" in " ".join(notebook.card.split())
    notebook("create_causal_mask")
    assert isinstance(notebook.result.error_in_exec, NameError)
