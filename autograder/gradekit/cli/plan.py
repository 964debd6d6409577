"""gradekit plan"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradekit.cli.terminal import console
from gradekit.course import Course, Week

__all__ = ["plan"]


def plan(
    week: Annotated[str | None, typer.Argument(help="A week, by name or number; the whole plan by default.")] = None,
    compute: Annotated[
        str, typer.Option("--compute", metavar="TIER", help="What you have: gpu-free, low-cost or credits.")
    ] = "",
    course: Annotated[Path | None, typer.Option(help="The course; by default the one around this folder.")] = None,
) -> None:
    """Show the study plan, or one week of it: hours, objectives, what to read and what to do.

    With --compute, what is left of it, and how it is done, with the compute that you have.
    """
    from gradekit.plan.compute import tier_named
    from gradekit.plan.read import read_plan
    from gradekit.plan.show import show_plan, show_week

    found = Course.find(course)
    read = read_plan(found)
    tier = tier_named(read, compute) if compute else None
    if week is None:
        shown = show_plan(read, tier)
    else:
        planned = read.find(week)
        place = Week(found, planned.slug)
        shown = show_week(read, planned, place.relative(place.release / place.notebook_name), tier)
    for part in shown:
        console.print(part, crop=False)
