"""The command `gradekit`. One file per command, thin; what they call is imported when they are called."""

from __future__ import annotations

import signal
import sys

import typer
from rich.console import Console
from rich.text import Text

from gradekit.cli.build import build
from gradekit.cli.check import check
from gradekit.cli.collect import collect
from gradekit.cli.demo import demo
from gradekit.cli.doctor import doctor
from gradekit.cli.grade import grade, regrade
from gradekit.cli.new import new
from gradekit.cli.plan import plan
from gradekit.cli.progress import progress
from gradekit.cli.report import report
from gradekit.cli.verify import verify
from gradekit.problem import Problem

__all__ = ["main"]

_INSTRUCTORS_ONLY = {"jinja2", "pydantic", "nbgrader", "nbclient", "yaml"}

app = typer.Typer(
    name="gradekit",
    help="An autograded course kit: build a week, verify its tests, check your work, grade a class.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (new, build, verify, check, collect, grade, regrade, report, plan, progress, demo, doctor):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    if version:
        from gradekit import __version__

        print(__version__)
        raise typer.Exit


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; a Problem becomes its message and exit code, Ctrl-C and a polite kill 130."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    try:
        app()
    except Problem as problem:
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("error: ", "bold red"), str(problem)))
        sys.exit(problem.exit_code)
    except ModuleNotFoundError as error:
        if error.name not in _INSTRUCTORS_ONLY:
            raise
        Console(stderr=True).print(f"error: this command needs {error.name}: pip install 'gradekit[instructor]'")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
