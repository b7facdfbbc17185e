"""The grading build holds no answer: neither a judge, nor a bank, nor a working reference of this lesson."""

import inspect
import io
import subprocess
import sys
import zipfile

import pytest

from course_lib import exercises
from course_lib.grading.build import build, unpack

NUMBERS = sorted({exercise.id[:2] for exercise in exercises.all()})
# The installed course_lib is taken out of the way, as it is in the sandbox; the build is all there is.
PROGRAM = """import inspect, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.path = [sys.argv[1], *(path for path in sys.path if not path.startswith("__editable__"))]
"""


def run(library, code):
    return subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM + code, str(library)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module", params=NUMBERS)
def library(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    unpack(build(request.param), folder)
    return request.param, folder


def test_equal_builds_are_equal_bytes():
    assert build.__wrapped__("01") == build("01")


@pytest.mark.parametrize("number", NUMBERS)
def test_no_text_of_a_bank_is_in_the_build(number):
    with zipfile.ZipFile(io.BytesIO(build(number))) as archive:
        everything = "\n".join(archive.read(name).decode() for name in archive.namelist())
    for exercise in exercises.all():
        for name, misconception in exercise.misconceptions.items():
            assert misconception.hint not in everything, name
        for hint in exercise.hints:
            assert hint not in everything


BANK = ["exercises.judging", "exercises.exercise", "exercises.card", "exercises.lesson01.bank"]


@pytest.mark.parametrize("module", [*BANK, "grading", "cli", "release"])
def test_what_judges_cannot_be_imported(library, module):
    done = run(library[1], f"import course_lib.{module}")
    assert "ModuleNotFoundError" in done.stderr, done


def test_the_run_side_and_the_evidence_check_can(library):
    number, folder = library
    code = f"import course_lib.exercises.lesson{number}.run as r; from course_lib.checking import check, evidence_check"
    done = run(folder, code + "\nprint(len(r.RUN_SIDES), r.__file__)")
    assert done.stdout.split() == [
        str(len(exercises.lesson(number))), str(folder / f"course_lib/exercises/lesson{number}/run.py")
    ], done  # fmt: skip


def test_a_graded_reference_keeps_its_name_and_raises(library):
    number, folder = library
    code = ""
    for exercise in exercises.lesson(number):
        module, name = exercise.reference.__module__, exercise.side.name
        parameters = inspect.signature(exercise.reference).parameters.values()
        needed = sum(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters)
        code += f"from {module} import {name}\ntry: {name}(*range({needed}))\n"
        code += "except NotImplementedError as error: print(error)\n"
    said = run(folder, code).stdout.splitlines()
    assert [line.split(" is what this lesson grades")[0] for line in said] == [
        exercise.side.name for exercise in exercises.lesson(number)
    ]


def test_every_module_of_the_build_imports(library):
    _, folder = library
    names = [
        path.relative_to(folder).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in sorted((folder / "course_lib").rglob("*.py"))
    ]
    done = run(folder, "\n".join(f"import {name}" for name in names))
    assert done.returncode == 0, done.stderr
