"""Our own grader with one of its defences left out, to show what that defence is there for."""

import io
import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib.exercises import comparing, evidence
from course_lib.exercises.evidence import MIME
from course_lib.grading import build, cells, execution, grader, handin, nbgrader_glue, submission, verdicts
from course_lib.grading.sandbox import Sandbox

__all__ = ["WITHOUT"]

PACKAGE = Path(build.PACKAGE)


def _evidence_from_anywhere(monkeypatch: Any, parts: frozenset[str], root: Path) -> None:
    """Whatever evidence comes first counts, displayed or printed, from whichever cell."""
    seen: list[str] = []

    def result(cell: Any, status: str, outputs: list[dict[str, Any]], token: str = "") -> dict[str, Any]:
        for output in outputs:
            seen.extend(data for name, data in output.get("data", {}).items() if MIME in name)
            for line in output.get("text", "").splitlines():
                seen.extend(json.loads(line).values() if line.startswith("{") and MIME in line else [])
        return {
            "index": cell.index, "status": status, "outputs": [], "forged": False,
            "evidence": seen[0] if seen and cell.exercise == "01.create_causal_mask" else None,
        }  # fmt: skip

    monkeypatch.setattr(cells, "_result", result)


def _trusted_run_side(monkeypatch: Any, parts: frozenset[str], root: Path) -> None:
    """The modules that look at an answer are those that the student's code could reach before."""
    inject = "check = __import__('course_lib.checking', fromlist=['x']).evidence_check({exercise!r}, {seed}, {token!r})"
    monkeypatch.setattr(cells, "INJECT", inject)


def _trusted_observations(monkeypatch: Any, parts: frozenset[str], root: Path) -> None:
    """The same, and a tensor is believed to be what it claims; without values it is equal to any other."""
    _trusted_run_side(monkeypatch, parts, root)
    compare = comparing._compare_tensors
    monkeypatch.setattr(evidence, "_is_as_claimed", lambda value, device: True)
    monkeypatch.setattr(
        comparing, "_compare_tensors", lambda got, *rest: None if got.value.is_meta else compare(got, *rest)
    )


def _answers_absent(monkeypatch: Any, parts: frozenset[str], root: Path) -> None:
    """The whole library is in the sandbox, as it is for learners."""

    def everything(lesson: str) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path in PACKAGE.rglob("*.py"):
                name = path.relative_to(PACKAGE).as_posix()
                source = PACKAGE / "grading" / "evidence_check.py" if name == "checking.py" else path
                archive.writestr(f"course_lib/{name}", source.read_text())
        return buffer.getvalue()

    monkeypatch.setattr(nbgrader_glue, "build", everything)


def _scan(monkeypatch: Any, parts: frozenset[str], root: Path) -> None:
    """Nobody looks for forbidden shortcuts."""
    monkeypatch.setattr(verdicts, "find_shortcut", lambda *a: None)


def _sandbox(monkeypatch: Any, parts: frozenset[str], root: Path) -> None:
    """The sandbox lacks these parts."""
    monkeypatch.setattr(execution, "Sandbox", partial(Sandbox, without=parts))


def _links(monkeypatch: Any, parts: frozenset[str], root: Path) -> None:
    """Links are followed, and files beside the notebook are copied, as nbgrader does."""
    monkeypatch.setattr(handin, "read_plain", lambda file, most: file.read_bytes())
    monkeypatch.setattr(handin, "find", lambda folder, name: folder / name)
    monkeypatch.setattr(grader, "refusal", lambda *a: "")
    monkeypatch.setattr(nbgrader_glue.CarefulDirectory, "in_place_of", staticmethod(lambda directory: directory))


def _sanitising(monkeypatch: Any, parts: frozenset[str], root: Path) -> None:
    """Outputs, raw cells and markdown reach the page as the student wrote them."""
    monkeypatch.setattr(verdicts, "_harmless", NotebookNode)
    clean = submission._clean

    def keep(cell: dict[str, Any], seen_ids: set[str]) -> NotebookNode:
        kept = clean(cell, seen_ids)
        kept.metadata = nbformat.from_dict(cell.get("metadata", {}))
        return kept

    monkeypatch.setattr(submission, "_clean", keep)
    config = root / "nbgrader_config.py"
    config.write_text(config.read_text() + "\nc.HTMLExporter.filters = {}\n")


WITHOUT = {
    "evidence from anywhere": _evidence_from_anywhere,
    "trusted run side": _trusted_run_side,
    "trusted observations": _trusted_observations,
    "answers absent": _answers_absent,
    "scan": _scan,
    "sandbox": _sandbox,
    "links": _links,
    "sanitising": _sanitising,
}
