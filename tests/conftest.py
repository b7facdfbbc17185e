"""What every test shares: one thread for each test process, no screen, and the rule about skips in CI."""

import os

# Tests run side by side, one process for each core: more threads would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from jaxtyping import install_import_hook

# In tests the shapes in signatures are checked at run time; a whole number is a float too, as type hints have it.
REFERENCE = [
    "course_lib.alignments",
    "course_lib.attention",
    "course_lib.attention_maps",
    "course_lib.beam",
    "course_lib.blocks",
    "course_lib.cache",
    "course_lib.cached",
    "course_lib.cheating",
    "course_lib.decoder",
    "course_lib.denoising",
    "course_lib.encoder",
    "course_lib.filling",
    "course_lib.generation",
    "course_lib.heads",
    "course_lib.leaks",
    "course_lib.masks",
    "course_lib.objectives",
    "course_lib.padding",
    "course_lib.positions",
    "course_lib.prompting",
    "course_lib.seq2seq",
    "course_lib.spans",
]
install_import_hook(REFERENCE, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

from course_lib.grading.pace import pace  # noqa: E402 (after the hook)
from tests.required import pytest_make_collect_report, pytest_runtest_makereport  # noqa: E402 (after the hook)

__all__ = [
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_generate_tests",
    "pytest_make_collect_report",
    "pytest_runtest_makereport",
    "pytest_terminal_summary",
    "seeds",
]


def pytest_addoption(parser):
    said = "twenty seeds, whole banks and long corpora: what a release runs"
    parser.addoption("--thorough", action="store_true", help=said)


@pytest.fixture(scope="session")
def seeds(pytestconfig):
    """The seeds that an exercise is tried with: two, or twenty in a thorough run."""
    return _seeds(pytestconfig)


def _seeds(config):
    return range(20 if config.getoption("thorough") else 2)


def pytest_generate_tests(metafunc):
    """Make of each test that asks for a `seed` one for each seed."""
    given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "seed" in metafunc.fixturenames and not any("seed" in names for names in given):
        metafunc.parametrize("seed", _seeds(metafunc.config))


def pytest_collection_modifyitems(items):
    """Give every test the time it would have on the machine the limits were chosen on."""
    for item in items:
        mark = item.get_closest_marker("timeout")
        seconds = mark.args[0] if mark else float(item.config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(round(seconds * pace().clock)), append=False)


def pytest_terminal_summary(terminalreporter):
    """Print the tables and figures that tests recorded, from whichever process they ran in."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if report.when == "call" and name in ("table", "measured"):
                terminalreporter.section(report.nodeid)
                terminalreporter.write_line(text)
