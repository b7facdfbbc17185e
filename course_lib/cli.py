"""The `course` command."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from course_lib.errors import CourseError
from course_lib.layout import Course

__all__ = ["main"]

UNSAFE = (
    "WITHOUT A SANDBOX: what students wrote now runs as you. It can read, change and delete your files and the marks, "
    "and use your network. Every mark will say that it was made so."
)
WIDTH_OF_A_FILE = 2000
WORTH_SAYING = 1.5  # how much longer than usual a grading may take before that is said
LONGEST_SHOWN = 400  # characters in one field of a table


class _Commands(click.Group):
    """Shows an error that its reader can mend as one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except CourseError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Learn, release and grade the course on encoder-only, decoder-only and encoder-decoder transformers."""


@main.command()
@click.argument("lesson", default="01")
@click.option("--browser/--no-browser", default=True, help="Open the lesson in the browser, or only print its address.")
@click.option("--port", type=int, default=8888, show_default=True, help="First port to try.")
def lab(lesson: str, browser: bool, port: int) -> None:
    """Make your own copy of the lessons in work/ and open JupyterLab on one of them.

    What you changed in work/ is never overwritten.
    """
    course = Course.find()
    chosen = course.lesson(lesson)
    for file in copy_lessons(course):
        click.echo(f"Copied {file.relative_to(course.root)}.")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "COURSE_HOME": str(course.home),
    }
    command = [
        sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={course.work}", f"--port={port}",
        f"--LabApp.default_url=/lab/tree/{chosen.name}/{chosen.notebook}", *([] if browser else ["--no-browser"]),
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]  # fmt: skip
    click.echo("Starting JupyterLab; press Ctrl-C here to stop it.")
    os.chdir(course.root)
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # no process in between that could outlive the server or hide it


@main.command()
@click.argument("lesson")
def check(lesson: str) -> None:
    """Run your own copy of LESSON from the top and show what every check says."""
    from course_lib.selfcheck import check_notebook

    course = Course.find()
    mine = course.lesson(lesson).file(course.work)
    if not mine.exists():
        raise CourseError(f"You have no {mine.relative_to(course.root)} yet: `course lab {lesson}` makes it.")
    with _bars() as progress:
        cards = check_notebook(mine, course.home, lambda done, total: progress("running", done, total))
    click.echo("\n\n".join(card for _, card in cards))
    solved = sum(passed for passed, _ in cards)
    click.echo(f"\n{solved} of {len(cards)} exercises solved.")
    sys.exit(0 if solved == len(cards) else 1)


@main.command()
@click.argument("lesson")
def reset(lesson: str) -> None:
    """Start LESSON afresh in work/; your version is kept beside it under a name of its own."""
    course = Course.find()
    chosen = course.lesson(lesson)
    mine = chosen.file(course.work)
    if mine.exists():
        kept = mine.with_name(f"{mine.stem}-{datetime.now():%Y%m%d-%H%M%S-%f}.ipynb")
        mine.rename(kept)
        click.echo(f"Your version is kept as {kept.relative_to(course.root)}.")
    copy_lessons(course)
    click.echo(f"{mine.relative_to(course.root)} is as it was released.")


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; fail if notebooks/ is not what solutions/ gives.")
def release(check: bool) -> None:
    """Make notebooks/, the learners' version, from solutions/."""
    from course_lib import release as releasing

    course = Course.find()
    if check:
        releasing.check_release(course, course.lessons())
        click.echo("notebooks/ is what solutions/ gives.")
        return
    changed = releasing.release(course, course.lessons())
    for file in changed:
        click.echo(f"Wrote {file.relative_to(course.root)}.")
    if not changed:
        click.echo("Nothing changed.")


@main.command()
@click.argument("lesson")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count(), show_default=True, help="Sandboxes at once.")
@click.option("--scheduler", metavar="ADDR", help="Run on the Dask cluster at this address instead.")
@click.option("--db", metavar="URL", help="Gradebook, as an SQLAlchemy address; SQLite under grading/ by default.")
@click.option("--again", is_flag=True, help="Run everything anew, also what was run before.")
@click.option("--unsafe-no-sandbox", "unsafe", is_flag=True, help="Run student code as yourself, with all your rights.")
def grade(lesson: str, workers: int, scheduler: str | None, db: str | None, again: bool, unsafe: bool) -> None:
    """Grade all submissions of LESSON found in grading/submitted/<student>/<lesson>/.

    Each runs in a sandbox without network and without any answer in reach, and is judged outside of it.
    """
    course = Course.find()
    chosen = course.lesson(lesson)
    if unsafe:
        click.secho(UNSAFE, err=True, fg="red", bold=True)
    else:
        click.echo(f"Grading {chosen.name}: testing the sandbox first.", err=True)

    from course_lib.grading import grader
    from course_lib.grading.pace import pace
    from course_lib.grading.sandbox import self_test

    grader.students_of(course, chosen)
    if not unsafe:
        self_test()
    if (slow := pace()).clock > WORTH_SAYING:
        click.echo(f"This machine is slow or busy, so limits on time are {slow.clock:.1f} times as long.", err=True)
    with _executor(workers, scheduler) as executor, _bars() as progress:
        outcomes = grader.grade(course, chosen, executor, db, progress, again, sandboxed=not unsafe)
    _print_outcomes(outcomes)
    if any(outcome.status in ("failed", "refused") for outcome in outcomes):
        sys.exit(1)


@main.command()
@click.argument("lesson")
@click.option("--db", metavar="URL", help="Gradebook, as an SQLAlchemy address; SQLite under grading/ by default.")
def feedback(lesson: str, db: str | None) -> None:
    """Write each student's verdict cards as a web page, grading/feedback/<student>/<lesson>/."""
    from course_lib.nbgrader_tools import api, configuration, in_course, succeed

    course = Course.find()
    chosen = course.lesson(lesson)
    graded = {path.parent.name for path in (course.grading / "autograded").glob(f"*/{chosen.name}")}
    if not graded:
        raise CourseError(f"There is no graded work for {chosen.name}: run `course grade {chosen.number}` first.")
    students = sorted(graded)
    failed = [f"{_shown(name)} has no graded work." for name in course.handed_in(chosen) if name not in graded]
    with in_course(course), _bars() as progress:
        tools = api(configuration(course, db))
        for done, student in enumerate(students, 1):
            try:
                succeed(f"write feedback for {student}", tools.generate_feedback(chosen.name, student))
            except CourseError as error:
                failed.append(str(error))
            progress("writing feedback", done, len(students))
    everyone = len(graded.union(course.handed_in(chosen)))
    click.echo(f"Wrote feedback for {everyone - len(failed)} of {everyone} students under grading/feedback/.")
    if failed:
        raise CourseError("\n".join([*failed, f"Grade them again first: `course grade {chosen.number}`."]))


@main.command()
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), default="grades.csv", show_default=True)
@click.option("--db", metavar="URL", help="Gradebook, as an SQLAlchemy address; SQLite under grading/ by default.")
def export(to: Path, db: str | None) -> None:
    """Write the class's points, exercise by exercise, to a CSV file."""
    from course_lib.grading.classbook import export_csv
    from course_lib.nbgrader_tools import configuration, in_course

    course, to = Course.find(), to.absolute()
    if not to.parent.is_dir():
        raise CourseError(f"{to.parent} is not a folder: make it first, or choose another place with --to.")
    with in_course(course):
        lines = export_csv(course, configuration(course, db).CourseDirectory.db_url, to)
    click.echo(f"Wrote {lines} lines to {to}.")


@main.command()
@click.option("--sort", "order", default="family", show_default=True, help="By name, layers, parameters, cache, ...")
@click.option("--length", type=click.IntRange(0, 10**9), default=4096, show_default=True, help="Tokens in the cache.")
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="Draw the table into this file too.")
def zoo(order: str, length: int, figure: Path | None) -> None:
    """Show the published models: layers, widths, heads, vocabulary, parameters, and the cache at a length.

    heads: in brackets those of keys and values, where they are fewer. inside: the width in the feed-forward layers.
    The cache is for one sequence in 16 bits, of that length or of what the model reads at most; an encoder-decoder
    keeps as many tokens of a source again.
    """
    from course_lib.zoo import overview

    if order not in overview.ORDERS:
        raise CourseError(f"The table can be sorted by {', '.join(overview.ORDERS)}; got {order!r}.")
    with _bars() as progress:
        found = overview.rows(length, order, progress=lambda done, total: progress("counting", done, total))
    _console().print(overview.as_table(found, length))
    click.echo(f"\n{overview.closed()}")
    if figure is not None:
        try:
            overview.plot_zoo(found, length).savefig(figure, dpi=150)
        except (OSError, ValueError) as error:
            said = f"The figure could not be written to {figure} ({error}): name a .png, .svg or .pdf."
            raise CourseError(said) from error
        click.echo(f"\nThe figure is in {figure}.")


def copy_lessons(course: Course) -> list[Path]:
    """Copy released notebooks that work/ does not have yet; returns the new files."""
    copied = []
    for lesson in course.lessons():
        mine, released = lesson.file(course.work), lesson.file(course.notebooks)
        if not mine.exists() and released.exists():
            mine.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(released, mine)
            copied.append(mine)
    return copied


@contextmanager
def _executor(workers: int, scheduler: str | None) -> Iterator[Executor]:
    """A pool of threads, each of which waits for one sandbox; or a Dask cluster's own executor."""
    if scheduler is None:
        with ThreadPoolExecutor(workers) as pool:
            yield pool
        return
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise CourseError("A cluster needs Dask: install it with `pip install distributed`.") from error
    with Client(scheduler) as client:
        yield client.get_executor()


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars by the name of their stage."""
    columns = TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress


def _console() -> Console:
    """A console for tables: a file or a pipe has no edge to wrap at, and whoever searches it wants whole lines."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_OF_A_FILE
    return console


def _print_outcomes(outcomes: list) -> None:
    table = Table("student", "points", "status", "reason", box=None)
    for outcome in outcomes:
        points = "" if outcome.points is None else f"{outcome.points:g}/{outcome.max_points:g}"
        status = f"{outcome.status}, unchanged" if outcome.unchanged else outcome.status
        table.add_row(*map(_shown, (outcome.student, points, status, outcome.reason)))
    console = _console()
    console.print(table)
    flagged = Table("worth a look", "", box=None)
    for outcome in outcomes:
        for flag in outcome.flags:
            flagged.add_row(_shown(outcome.student), _shown(flag))
    if flagged.row_count:
        console.print("\n", flagged, sep="")
    counts = Counter(outcome.status for outcome in outcomes)
    console.print(f"\n{len(outcomes)} hand-ins: {', '.join(f'{n} {status}' for status, n in counts.most_common())}.")


def _shown(text: str) -> Text:
    """Text that may come from a student: nothing in it steers the terminal, and it is not too long to read."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return Text(plain if len(plain) <= LONGEST_SHOWN else f"{plain[:LONGEST_SHOWN]} …")
