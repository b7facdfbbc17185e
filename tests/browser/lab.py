"""`course lab` and a person in front of it: open a notebook, type, run, read, click Validate."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from playwright.sync_api import Browser, Locator, expect

from tests.clock import stretched

TOKEN = "browser-tests"
START_SECONDS = stretched(45)
RUN_SECONDS = stretched(60)
ARTIFACTS = Path(__file__).resolve().parents[2] / "test-artifacts"

KERNEL_IS_READY = """() => {
    const session = window.jupyterapp.shell.currentWidget?.sessionContext;
    const kernel = session?.session?.kernel;
    return Boolean(session?.isReady && kernel?.connectionStatus === "connected" && kernel?.status === "idle");
}"""
STOP_KERNELS = "() => window.jupyterapp.serviceManager.sessions.shutdownAll()"

_workspaces = count()


@contextmanager
def course_lab(course: Path, home: Path) -> Iterator[str]:
    """Run `course lab` in the folder `course`, with its settings and its log below `home`; give its address.

    Three things differ from what a learner has: cells out of sight stay in the page, no news are fetched, and the
    page lets us ask whether its kernel is ready.
    """
    settings = home / "settings" / "@jupyterlab"
    _write_json(settings / "notebook-extension" / "tracker.jupyterlab-settings", {"windowingMode": "none"})
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    _write_json(settings / "apputils-extension" / "notification.jupyterlab-settings", quiet)
    _write_json(home / ".jupyter" / "jupyter_lab_config.json", {"LabApp": {"expose_app_in_browser": True}})
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTER_TOKEN": TOKEN,
        "JUPYTER_PORT_RETRIES": "0",
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    port = _free_port()
    command = [str(Path(sys.executable).with_name("course")), "lab", "--no-browser", f"--port={port}"]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=course, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _wait_for(f"http://127.0.0.1:{port}", server, Path(log.name))
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(server)


class Lab:
    """One notebook in one browser window. Cells are named by their ids, as in the file."""

    def __init__(self, browser: Browser, address: str, root: Path, notebook: str) -> None:
        cells = json.loads((root / notebook).read_text())["cells"]
        self.places = {cell["id"]: place for place, cell in enumerate(cells)}
        self.page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        self.panel = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        # A workspace of its own: JupyterLab would open again what the window before had open.
        self.page.goto(f"{address}/lab/workspaces/test-{next(_workspaces)}/tree/{notebook}?token={TOKEN}")
        expect(self.panel.locator(".jp-Cell")).to_have_count(len(cells), timeout=START_SECONDS * 1000)
        self.wait_until_idle()

    def close(self) -> None:
        self.page.evaluate(STOP_KERNELS)
        self.page.context.close()

    def wait_until_idle(self) -> None:
        self.page.wait_for_function(KERNEL_IS_READY, timeout=RUN_SECONDS * 1000)

    def cell(self, cell_id: str) -> Locator:
        return self.panel.locator(f'.jp-Cell[data-windowed-list-index="{self.places[cell_id]}"]')

    def type_into(self, cell_id: str, source: str) -> None:
        """Replace the source of a cell as a person would: click into it, select all, type."""
        self.cell(cell_id).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)

    def run(self, cell_id: str) -> str:
        """Run a cell with Shift+Enter, wait for the end, give what it shows."""
        prompt = self.cell(cell_id).locator(".jp-InputPrompt")
        before = prompt.inner_text()
        self.cell(cell_id).locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        ended = re.compile(rf"^(?!{re.escape(before)}$)\[\d+\]:$")
        expect(prompt).to_have_text(ended, timeout=RUN_SECONDS * 1000)
        self.wait_until_idle()
        return self.output(cell_id)

    def run_in_new_cell(self, below: str, source: str) -> str:
        """Make a cell below another one, as a learner does to try something, run it, give what it shows."""
        self.cell(below).locator(".jp-InputPrompt").click()
        self.page.keyboard.press("b")
        new = f"new cell below {below}"
        place = self.places[below] + 1
        self.places = {name: old + (old >= place) for name, old in self.places.items()} | {new: place}
        self.type_into(new, source)
        return self.run(new)

    def output(self, cell_id: str) -> str:
        return "\n".join(self.cell(cell_id).locator(".jp-OutputArea-output").all_inner_texts())

    def validate(self, seconds: float = RUN_SECONDS) -> str:
        """Click nbgrader's Validate button and give the text of the dialog that opens."""
        self.panel.get_by_role("button", name="Validate").click()
        dialog = self.page.locator(".jp-Dialog")
        expect(dialog).to_be_visible(timeout=seconds * 1000)
        return dialog.inner_text()

    def screenshot(self, name: str, cell_id: str | None = None) -> None:
        """Keep a picture of the page (with the output of this cell at its top) as test-artifacts/<name>.png."""
        if cell_id is not None:
            self.cell(cell_id).evaluate("cell => cell.scrollIntoView({block: 'start'})")
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png")


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not answer at {address}; its log ends:\n{log.read_text()[-2000:]}")


def _stop(server: subprocess.Popen) -> None:
    """Stop the command with the server and the kernels that it started: a process group of their own."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, how)
            server.wait(timeout=15)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    server.wait()
