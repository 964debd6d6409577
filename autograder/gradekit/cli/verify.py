"""gradekit verify"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradekit.cli.rebuild import rebuild
from gradekit.cli.terminal import console, plain, progress
from gradekit.course import Course

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from gradekit.grade.result import Result
    from gradekit.verify.week import Verification

__all__ = ["verify"]


def verify(
    weeks: Annotated[list[str] | None, typer.Argument(help="Weeks, by name or number; all of them by default.")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="How often the solution is graded: 20 times, 50 with --stress.")
    ] = None,
    stress: Annotated[
        bool, typer.Option("--stress", help="Only right answers, with two busy processes on every core.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Gradings at once; 0: one a core, and one more.")] = 0,
    course: Annotated[Path | None, typer.Option(help="The course; by default the one around this folder.")] = None,
) -> None:
    """Test the tests: solution, blank, mutants (declared and automatic), alternates. Exit code 1 if anything is off.

    With --stress: does a busy machine cost a right answer points?
    """
    from gradekit.build.stamp import is_fresh
    from gradekit.grade.batch import default_jobs
    from gradekit.verify.week import stress_week, verify_week

    off = 0
    for week in Course.find(course).select(weeks or []):
        if not is_fresh(week):
            rebuild(week)
        started = time.perf_counter()
        with progress() as bar:
            task = bar.add_task(week.slug)
            verification = (stress_week if stress else verify_week)(
                week,
                jobs=jobs or default_jobs() + 1,  # those that time something wait for each other
                repeats=repeats or (50 if stress else 20),
                on_start=partial(_set_total, bar, task),
                on_result=partial(_advance, bar, task),
            )
        _show(verification)
        record = week.bundle.with_suffix(".stress.json" if stress else ".verify.json")
        record.write_text(json.dumps(verification.to_dict(), indent=1) + "\n")
        verdict = "verified" if verification.ok else "[bold red]something is off[/]"
        console.print(f"{week.slug}: {verdict} ({time.perf_counter() - started:.0f} s); all of it in {record}\n")
        off += not verification.ok
    if off:
        raise typer.Exit(1)


def _set_total(bar: Progress, task: TaskID, total: int) -> None:
    bar.update(task, total=total)


def _advance(bar: Progress, task: TaskID, result: Result) -> None:
    bar.advance(task)


def _show(verification: Verification) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "kind", "name", "score", "outcome"):
        table.add_column(column, justify="right" if column == "score" else "left")
    for finding in verification.findings:
        mark = "[green]ok[/]" if finding.ok else "[bold red]off[/]"
        table.add_row(mark, finding.kind, plain(finding.name), finding.score, finding.outcome)
        for surprise in finding.surprises:
            table.add_row("", "", plain(surprise), "", "", style="red")
    console.print(table)
    if verification.limits:
        room = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        columns = ("", "test case", "limit", "solution", "worst", "by mutant", "others")
        rows = [
            (limit.question, limit.case, limit.limit, limit.solution, limit.worst, limit.by, limit.peers)
            for limit in verification.limits
        ]
        shown = [index for index, name in enumerate(columns) if not name or any(row[index] for row in rows)]
        for index in shown:
            room.add_column(columns[index])
        for row in rows:
            room.add_row(*(plain(row[index]) for index in shown))
        console.print(room)
    if verification.survivors:
        console.print(
            "Automatic mutants that no test case catches: a test is missing, or they belong under EQUIVALENT."
        )
        alive = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("", "line", "mistake", "in place of", "stands"):
            alive.add_column(column)
        for mutation in verification.survivors:
            old, new = mutation.difference
            alive.add_row(mutation.question, str(mutation.line), mutation.operator, plain(old), plain(new))
        console.print(alive)
