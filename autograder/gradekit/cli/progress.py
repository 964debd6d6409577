"""gradekit progress"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradekit.cli.terminal import console, plain
from gradekit.course import Course
from gradekit.problem import UsageProblem

__all__ = ["progress"]


def progress(
    results: Annotated[
        list[Path], typer.Argument(help="What gradekit grade wrote: results.sqlite, its folder, or results/*.json.")
    ],
    student: Annotated[str, typer.Option("--student", metavar="NAME", help="One of a class.")] = "",
    course: Annotated[Path | None, typer.Option(help="The course; by default the one around this folder.")] = None,
) -> None:
    """Say how far somebody is: milestones met, hours left, and what is next. Of a class, a line for each."""
    from gradekit.plan.graded import read_graded
    from gradekit.plan.progress import standing
    from gradekit.plan.read import read_plan
    from gradekit.plan.show import show_class, show_standing

    plan = read_plan(Course.find(course))
    graded = read_graded(results, plan)
    people = sorted({result.person for result in graded})
    if student and student not in people:
        known = ", ".join(str(plain(person, 40)) for person in people if person) or "none with a name"
        raise UsageProblem(f"there is no result of {student!r}", mend=f"there are results of {known}")
    chosen = [student] if student else people
    standings = [
        (plain(person, 60), standing(plan, [result for result in graded if result.person == person]))
        for person in chosen or [""]
    ]
    if len(standings) == 1:
        [(name, one)] = standings
        shown = show_standing(plan, one, name)
    else:
        shown = show_class(plan, standings)
    for part in shown:
        console.print(part, crop=False)
