"""What is installed, constraints.txt, environment.yml and pyproject.toml agree, and CI runs make test."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent


FILES = ("constraints.txt", "constraints-real-weights.txt")
EXTRAS = ("test", "real-weights")


def read_pins(*files: str) -> dict[str, str]:
    lines = [line for file in files or FILES for line in (ROOT / file).read_text().splitlines()]
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pins.items()}


def installed_requirements(root: str, extras: tuple[str, ...]) -> dict[str, str]:
    """Every distribution `root` with its extras stands on, at any depth: {name: installed version}."""
    found: dict[str, str] = {}
    to_visit = [(root, extras)]
    visited = set()
    while to_visit:
        name, wanted = to_visit.pop()
        for requirement in map(Requirement, distribution(name).requires or []):
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                continue
            child = (canonicalize_name(requirement.name), tuple(sorted(requirement.extras)))
            if child not in visited:
                visited.add(child)
                found[child[0]] = distribution(child[0]).version
                to_visit.append(child)
    return found


def test_every_line_of_constraints_is_an_exact_version():
    for line in (line for file in FILES for line in (ROOT / file).read_text().splitlines()):
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line), line


def test_the_tests_run_with_the_versions_in_constraints():
    pins = read_pins()
    installed = installed_requirements("course-lib", extras=EXTRAS)
    assert len(installed) > 50
    unpinned = sorted(set(installed) - set(pins))
    assert unpinned == [], "add these to constraints.txt"
    different = {name: f"{version} != {pins[name]}" for name, version in installed.items()
                 if Version(version).public != pins[name]}
    assert different == {}, "run make test, which installs from constraints.txt"


def test_nothing_is_pinned_that_the_course_does_not_stand_on():
    installed = installed_requirements("course-lib", extras=EXTRAS)
    assert sorted(set(read_pins()) - set(installed)) == []
    without = installed_requirements("course-lib", extras=("test",))
    assert sorted(set(read_pins("constraints.txt")) - set(without)) == [], "these belong to an extra"


def test_environment_yml_installs_the_same_pinned_set():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *from_conda, from_pip = environment["dependencies"]
    assert from_conda == ["python>=3.11", "pip"]
    assert from_pip == {"pip": ["-r constraints.txt", "-e ."]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == from_conda[0].removeprefix("python")


def test_the_pinned_versions_satisfy_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = read_pins()
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    for line in [*project["dependencies"], *extras]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


def test_ci_runs_the_command_of_the_readme():
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()
    assert "make test" in (ROOT / "README.md").read_text()


def test_every_target_of_the_makefile_is_listed_by_make_help():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split()
    described = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    assert set(phony) - {"lint"} == set(described)


def test_the_check_sees_a_package_that_is_missing():
    with pytest.raises(PackageNotFoundError):
        installed_requirements("no-such-distribution", extras=())


def test_a_learner_needs_none_of_the_packages_of_the_tests():
    """Every module of the course imports where what only `make test` installs is missing."""
    program = (
        "import importlib, pkgutil, sys, course_lib\n"
        "for name in ('beartype', 'huggingface_hub', 'playwright', 'psutil', 'pytest', 'ruff',\n"
        "             'sentence_transformers', 'transformers'):\n"
        "    sys.modules[name] = None\n"
        "for module in pkgutil.walk_packages(course_lib.__path__, 'course_lib.'):\n"
        "    importlib.import_module(module.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
