"""One JupyterLab and one browser for all tests here, both gone before other tests go on in the same process."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.lab import Lab, course_lab

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, and end it; a test that asks where none is installed is skipped, which in CI is a failure."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def course(tmp_path_factory) -> Path:
    """A course as a learner has it, with the released notebooks and without the solutions."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    return folder


@pytest.fixture(scope="package")
def address(browser, course, tmp_path_factory):
    """`course lab`, started after the browser was found."""
    with course_lab(course, tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture
def learner(course, address) -> Path:
    """The learner's own folder, made by `course lab`."""
    return course / "work"


@pytest.fixture
def open_lab(browser, address, learner, request):
    """Open a notebook (its path inside the learner's folder) in a new window; a failure leaves a picture."""
    windows = []
    failed_before = request.session.testsfailed

    def open_notebook(notebook: str) -> Lab:
        windows.append(Lab(browser, address, learner, notebook))
        return windows[-1]

    yield open_notebook
    for lab in windows:
        if request.session.testsfailed > failed_before:
            lab.screenshot(f"failed-{request.node.name}")
        lab.close()
