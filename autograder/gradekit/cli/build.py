"""gradekit build"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from gradekit.cli.terminal import console, plain
from gradekit.course import Course

__all__ = ["build"]


def build(
    weeks: Annotated[list[str] | None, typer.Argument(help="Weeks, by name or number; all of them by default.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what differs from what is committed.")] = False,
    course: Annotated[Path | None, typer.Option(help="The course; by default the one around this folder.")] = None,
) -> None:
    """Build release, solutions and bundle of each week from its source."""
    from gradekit.build.stamp import is_fresh

    differing = 0
    for week in Course.find(course).select(weeks or []):
        if check:
            from gradekit.build.make import differences

            found = differences(week)
            for line in found:
                console.print(plain(line), style="red")
            console.print(f"{week.slug}: {'differs from its source' if found else 'is what its source builds'}")
            differing += bool(found)
        elif is_fresh(week):
            console.print(f"{week.slug}: nothing to do")
        else:
            from gradekit.build.make import build_week

            started = time.perf_counter()
            built = build_week(week)
            cases = [case for question in built.questions for case in question.cases]
            hidden = sum(case.hidden for case in cases)
            console.print(
                f"{week.slug}: {len(built.questions)} questions, {built.points:g} points, "
                f"{len(cases) - hidden} public and {hidden} hidden tests ({time.perf_counter() - started:.1f} s)"
            )
            for place in (week.release, week.solutions, week.bundle):
                console.print(f"  {week.relative(place)}", style="dim")
    if differing:
        console.print("run `gradekit build` and commit what it writes")
        raise typer.Exit(1)
