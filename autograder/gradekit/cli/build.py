"""gradekit build"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from gradekit.cli.rebuild import rebuild
from gradekit.cli.terminal import console, plain
from gradekit.course import Course
from gradekit.problem import UsageProblem

__all__ = ["build"]


def build(
    weeks: Annotated[list[str] | None, typer.Argument(help="Weeks, by name or number; all of them by default.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what differs from what is committed.")] = False,
    nbgrader: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a course for nbgrader into this folder as well.")
    ] = None,
    course: Annotated[Path | None, typer.Option(help="The course; by default the one around this folder.")] = None,
) -> None:
    """Build release, solutions and bundle of each week from its source."""
    from gradekit.build.stamp import is_fresh

    if check and nbgrader is not None:
        raise UsageProblem("--check writes nothing, and --nbgrader writes a course", mend="leave out one of them")
    differing = 0
    found_course = Course.find(course)
    selected = found_course.select(weeks or [])
    for week in selected:
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
            started = time.perf_counter()
            built = rebuild(week)
            cases = [case for question in built.questions for case in question.cases]
            hidden = sum(case.hidden for case in cases)
            by_hand = sum(question.points for question in built.manual)
            console.print(
                f"{week.slug}: {len(built.questions)} questions, {built.points:g} points"
                f"{f' ({by_hand:g} of them by hand)' if by_hand else ''}, "
                f"{len(cases) - hidden} public and {hidden} hidden tests ({time.perf_counter() - started:.1f} s)"
            )
            for place in (week.release, week.solutions, week.bundle):
                console.print(f"  {week.relative(place)}", style="dim")
    if nbgrader is not None:
        from gradekit.build.nbgrader_course import write_course

        write_course(found_course, selected, nbgrader)
        weeks_of = "1 week" if len(selected) == 1 else f"{len(selected)} weeks"
        console.print(plain(f"{nbgrader}: a course for nbgrader, {weeks_of}"))
    if differing:
        console.print("run `gradekit build` and commit what it writes")
        raise typer.Exit(1)
