"""The rule about skips in CI, shown on small test files of its own."""

import pytest

RULE = "from tests.required import pytest_make_collect_report, pytest_runtest_makereport"
MARKERS = "[pytest]\nmarkers =\n    sandbox\n    browser\n"


@pytest.fixture
def course(pytester, monkeypatch):
    """A folder of tests that follows the rule, in CI."""
    monkeypatch.setenv("CI", "true")
    pytester.makeconftest(RULE)
    pytester.makeini(MARKERS)
    return pytester


@pytest.mark.parametrize("mark", ["sandbox", "browser"])
@pytest.mark.parametrize("skip", ["skip", "skip_in_a_fixture"])
def test_a_skipped_sandbox_or_browser_test_fails_in_ci(course, mark, skip):
    course.makepyfile(f"""
        import pytest

        @pytest.fixture
        def skip_in_a_fixture():
            pytest.skip("the program is not installed")

        @pytest.mark.{mark}
        {'@pytest.mark.skip(reason="the program is not installed")' if skip == "skip" else ""}
        def test_it({"" if skip == "skip" else skip}):
            pass
    """)
    result = course.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes().get("skipped", 0) == 0
    result.stdout.fnmatch_lines([f"*a {mark} test must not be skipped in CI: *the program is not installed*"])


def test_a_module_skipped_as_a_whole_fails_in_ci(course):
    course.makepyfile("import pytest; pytest.importorskip('no_such_module')")
    result = course.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*must not be skipped as a whole in CI: *no_such_module*"])


def test_other_skips_and_expected_failures_stay_what_they_are(course):
    course.makepyfile("""
        import pytest

        @pytest.mark.skip(reason="macOS only")
        def test_other_system():
            pass

        @pytest.mark.sandbox
        @pytest.mark.xfail(reason="known")
        def test_known_gap():
            assert False
    """)
    course.runpytest_inprocess().assert_outcomes(skipped=1, xfailed=1)


def test_outside_ci_a_skip_is_counted_as_a_skip(course, monkeypatch):
    monkeypatch.setenv("CI", "")
    course.makepyfile("""
        import pytest

        @pytest.mark.sandbox
        @pytest.mark.skip(reason="bubblewrap is not installed")
        def test_it():
            pass
    """)
    course.runpytest_inprocess().assert_outcomes(skipped=1)
