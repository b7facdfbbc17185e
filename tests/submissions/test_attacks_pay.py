"""Each attack of the corpus pays where the defence against it is missing: none of them is a straw man."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from nbgrader.utils import determine_grade

from course_lib.grading.grader import grade
from tests.classroom import LESSON, grade_cells, make_course, solved, submit
from tests.grading.conftest import running
from tests.submissions.cheats_on_our_grader import mark_of
from tests.submissions.corpus import CASES
from tests.submissions.defences import WITHOUT
from tests.submissions.scene import Scene, wrong
from tests.submissions.undefended import server

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("bubblewrap"), pytest.mark.timeout(300)]

CHEATS = [case for case in CASES if case.family == "cheat"]
ELSEWHERE = [case for case in CHEATS if case.off.split(":")[0] in ("asserts", "last value", "script", "as submitted")]
OURS = [case for case in CHEATS if case.off in WITHOUT]
UNREAD = [case for case in CHEATS if case.off == "outputs as handed in"]


@pytest.fixture(scope="module")
def undefended():
    with server() as ask:
        yield ask


@pytest.fixture(scope="module")
def folder(scene):
    """A folder for every student, with everything handed in."""
    with ThreadPoolExecutor(1) as pool:
        grade(scene.course, LESSON, pool)  # there is a gradebook to be stolen
    for case in CHEATS:
        case.hand_in(scene)
    return scene.course.grading / "submitted"


def _notebook(folder, case):
    return nbformat.from_dict(json.loads((folder / case.name / LESSON.name / LESSON.notebook).read_bytes()))


def test_every_cheat_has_a_defence_that_it_is_tried_without():
    assert sorted(case.name for case in (*ELSEWHERE, *OURS, *UNREAD)) == sorted(case.name for case in CHEATS)


@pytest.mark.parametrize("case", ELSEWHERE, ids=lambda case: case.name)
def test_it_pays_in_a_grader_that_trusts_the_students_kernel_or_file(case, scene, folder, undefended):
    notebook = _notebook(folder, case)
    earned = undefended(case.off, notebook, folder / case.name / LESSON.name)
    try:
        assert case.harm(scene, case) if case.harm else earned > case.deserved
    finally:
        for process in running(mark_of(scene)):
            process.kill()


def test_the_same_grader_gives_nothing_for_a_wrong_answer_that_does_not_cheat(folder, undefended):
    for way in ("asserts", "asserts: torch.testing", "script", "as submitted"):
        assert undefended(way, wrong(), folder) == 0, way


@pytest.mark.parametrize("case", UNREAD, ids=lambda case: case.name)
def test_it_pays_where_outputs_are_believed(case, scene, folder):
    notebook = _notebook(folder, case)
    assert sum(determine_grade(cell)[0] or 0 for cell in grade_cells(notebook)) > case.deserved


@pytest.mark.parametrize("case", OURS, ids=lambda case: case.name)
def test_it_pays_or_harms_without_our_defence(case, scene, folder, tmp_path, monkeypatch, giving_server):
    mine = Scene(make_course(tmp_path), giving_server)
    submit(mine.course, "0-perfect", solved())
    shutil.copytree(scene.course.grading / "seeds", mine.course.grading / "seeds")
    shutil.copytree(scene.course.executions, mine.course.executions)  # the perfect work has been run
    if case.name == "changes-the-gradebook":
        with ThreadPoolExecutor(1) as pool:
            grade(mine.course, LESSON, pool)
    tmp_path.chmod(0o755)
    case.hand_in(mine)
    monkeypatch.setenv("COURSE_SECRET", mine.secret)
    WITHOUT[case.off](monkeypatch, case.parts, mine.course.root)
    with ThreadPoolExecutor(2) as pool:
        outcomes = {outcome.student: outcome for outcome in grade(mine.course, LESSON, pool)}
    if case.harm is None:
        assert outcomes[case.name].points > case.deserved, outcomes[case.name]
    else:
        assert case.harm(mine, case)
