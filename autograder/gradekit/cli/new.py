"""gradekit new"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradekit.cli.terminal import console

__all__ = ["new"]


def new(
    week: Annotated[str, typer.Argument(help="Its name, weekNN_subject, or the number of a week that the plan has.")],
    course: Annotated[Path | None, typer.Option(help="The course; by default the one around this folder.")] = None,
) -> None:
    """Begin a week: a room with one question, its reference and mutants, which builds and verifies as it is.

    In an empty folder it begins a course as well.
    """
    from gradekit.author.new import begin_course, new_week

    made = new_week(begin_course(course or Path.cwd()), week)
    for path in (made.about, made.source, made.mutants, made.reference):
        console.print(made.relative(path), soft_wrap=True)
    console.print(f"next: gradekit build {made.slug} && gradekit verify {made.slug}", style="dim", soft_wrap=True)
