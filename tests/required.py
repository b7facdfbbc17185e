"""In CI a skipped test of the sandbox, a browser or real weights is a failure: after a skip nobody looks any more."""

import os

import pytest

REQUIRED_IN_CI = ("sandbox", "browser", "real_weights")


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn the skip of a marked test into a failure that says which program is missing."""
    report = yield
    marks = [name for name in REQUIRED_IN_CI if item.get_closest_marker(name)]
    if marks and in_ci() and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"a {marks[0]} test must not be skipped in CI: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Turn the skip of a whole module into a failure: nobody can tell which tests it held."""
    report = yield
    if in_ci() and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} must not be skipped as a whole in CI: {_reason(report)}"
    return report


def _reason(report) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
