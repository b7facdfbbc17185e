"""What a submission is in these tests: how it is made, what it deserves and why, and what it would get elsewhere."""

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from course_lib import exercises
from course_lib.layout import Course
from tests.classroom import LESSON, answered, solved

__all__ = [
    "ANSWERS",
    "CASES",
    "EQUAL",
    "FORGED",
    "MOST",
    "PATCHES",
    "PROCESSES",
    "REACHES",
    "RIGHT",
    "RUNS",
    "WITHOUT_PADDING",
    "WRONG",
    "Case",
    "Scene",
    "case",
    "code",
    "full",
    "limit",
    "padding",
    "place_of",
    "points_without",
    "repaired",
    "unreadable",
    "wrong",
]

EXERCISES = {exercise.side.name: exercise for exercise in exercises.lesson(LESSON.number)}
MOST = sum(exercise.points for exercise in EXERCISES.values())
WRONG = """
def create_causal_mask(seq_len, device=None):
    return torch.zeros(1, 1, seq_len, seq_len, dtype=torch.bool)
"""
RIGHT = "torch.ones(1, 1, seq_len, seq_len, dtype=torch.bool, device=device).tril()"
PADDING = "def create_padding_mask(lengths, max_len):"
WITHOUT_PADDING = MOST - EXERCISES["create_padding_mask"].points
# Kinds of flags.
REACHES, PATCHES, RUNS = "reaches into the interpreter", "changes a library", "changes how cells are run"
EQUAL, ANSWERS, PROCESSES = "pretends to be equal to anything", "looks for answers", "ends or starts processes"
FORGED = "sends evidence of its own"
CASES: list["Case"] = []


@dataclass(frozen=True)
class Scene:
    """The classroom that a submission is made for: what an attacker knows about the machine.

    port: of a server on the grader's machine that gives away a right answer. secret: a value in its environment.
    """

    course: Course
    port: int = 0
    secret: str = "open-sesame"

    @property
    def solution(self) -> Path:
        return LESSON.file(self.course.solutions)

    def handed_in(self, student: str) -> Path:
        return LESSON.file(self.course.grading / "submitted" / student)


@dataclass(frozen=True)
class Case:
    """One submission.

    make: gives the notebook, or bytes in its place, or None for no file at all.
    deserved: points. why: the reason. status and reason: what the grader must say, the reason in part.
    flag: a kind of flag that must be raised; None: there must be none.
    off: for a cheat, the defence without which it pays (see test_attacks_pay.py). harm: for an attack that is not
    after points, whether it has been done; beside: puts more files into the hand-in's folder.
    """

    name: str
    family: str
    make: Callable[[Scene], NotebookNode | bytes | None]
    deserved: float
    why: str
    status: str = "graded"
    reason: str = ""
    flag: str | None = ""
    off: str = ""
    parts: frozenset[str] = frozenset()
    harm: Callable[[Scene, "Case"], bool] | None = None
    beside: Callable[[Scene, Path], Any] | None = None

    def hand_in(self, scene: Scene) -> None:
        """Put this submission into its student's folder."""
        file = scene.handed_in(self.name)
        file.parent.mkdir(parents=True)
        content = self.make(scene)
        if content is not None:
            file.write_bytes(content if isinstance(content, bytes) else text_of(content))
        if self.beside is not None:
            self.beside(scene, file)


def text_of(notebook: NotebookNode) -> bytes:
    """The notebook as a file."""
    return json.dumps(notebook).encode()


def case(family: str, deserved: float, **facts: Any) -> Callable:
    """Put a function that makes a notebook into the corpus; its docstring is the reason it deserves its points."""

    def register(make: Callable[[Scene], Any]) -> Callable[[Scene], Any]:
        why = " ".join(make.__doc__.split())
        CASES.append(Case(make.__name__.replace("_", "-"), family, make, deserved, why, **facts))
        return make

    return register


def code(source: str) -> str:
    """Source as it stands in a triple-quoted string."""
    return textwrap.dedent(source).strip("\n")


def wrong(before: str = "", answer: str = WRONG, after: str = "") -> NotebookNode:
    """The released notebook with a wrong answer to the first exercise, none to the others, and code around it."""
    return answered({"create-causal-mask": "\n\n".join(filter(None, (code(before), code(answer), code(after))))})


def place_of(notebook: NotebookNode, name: str) -> int:
    """Where the cell of this name stands."""
    return next(place for place, cell in enumerate(notebook.cells) if cell.id == name)


def full(extra: str = "", **answers: str) -> NotebookNode:
    """The solved notebook, with these answers in place of its own, and one more cell behind the setup."""
    notebook = solved()
    cells = {cell.id: cell for cell in notebook.cells}
    for name, source in answers.items():
        cells[name.replace("_", "-")].source = code(source)
    if extra:
        notebook.cells.insert(place_of(notebook, "setup") + 1, new_code_cell(code(extra), id="mine"))
    return notebook


def points_without(*names: str) -> float:
    """All points but those of these exercises."""
    return MOST - sum(EXERCISES[name].points for name in names)


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
