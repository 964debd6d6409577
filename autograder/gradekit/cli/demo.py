"""gradekit demo"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradekit.cli.rebuild import rebuild
from gradekit.cli.terminal import console
from gradekit.course import Course

__all__ = ["demo"]

WEEK = "week05_conv"


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where submissions and results go.")] = Path("demo"),
    course: Annotated[Path | None, typer.Option(help="The course; by default the one around this folder.")] = None,
) -> None:
    """Build week 5, grade six submissions from right to hopeless, and show the table."""
    from gradekit.build.stamp import is_fresh
    from gradekit.cli.grade import grade_and_show
    from gradekit.grade.engine import Terms
    from gradekit.verify.samples import write_samples

    week = Course.find(course).week(WEEK)
    if not is_fresh(week):
        with console.status(f"building {week.slug}"):
            rebuild(week)
    submissions = output / "submissions"
    for name, what in write_samples(week, submissions).items():
        console.print(f"  [bold]{name:<14}[/] {what}")
    grade_and_show(week.bundle, [submissions], output, Terms(), jobs=0, worst_first=False)
