"""tools/system_programs.sh on machines made of stubs: what it installs, what it says, and that it ends well."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "system_programs.sh"


@pytest.fixture
def machine(tmp_path):
    """Make a machine that has these programs; it returns what the script printed and what apt-get was asked for."""

    def run(*programs: str, user: int) -> tuple[str, str]:
        stubs = dict.fromkeys(programs, "") | {"id": f"echo {user}"}
        if "apt-get" in programs:
            stubs["apt-get"] = f'echo "$@" >> {tmp_path}/asked'
        for name, body in stubs.items():
            stub = tmp_path / name
            stub.write_text(f"#!/bin/sh\n{body}\n")
            stub.chmod(0o755)
        result = subprocess.run(
            ["/bin/sh", SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
        )
        asked = tmp_path / "asked"
        return result.stdout, asked.read_text() if asked.exists() else ""

    return run


def test_nothing_to_do_nothing_said(machine):
    assert machine("bwrap", "chromium", "apt-get", user=0) == ("", "")


def test_root_on_a_debian_like_system_gets_what_is_missing(machine):
    said, asked = machine("apt-get", user=0)
    assert "Installing system programs: bubblewrap chromium" in said
    assert asked.splitlines()[-1].endswith("bubblewrap chromium fonts-dejavu-core")


def test_only_the_missing_program_is_installed(machine):
    _, asked = machine("apt-get", "google-chrome", user=0)
    assert asked.splitlines()[-1].endswith("--no-install-recommends bubblewrap")


@pytest.mark.parametrize(("programs", "user"), [(("apt-get",), 1000), ((), 0)])
def test_anybody_else_is_told_what_to_install_and_what_is_skipped(machine, programs, user):
    said, asked = machine(*programs, user=user)
    assert asked == ""
    first, second = said.splitlines()
    assert first.startswith("Install bubblewrap")
    assert first.endswith("the sandbox tests are skipped.")
    assert second == "Install Chromium: without it the browser tests are skipped."
