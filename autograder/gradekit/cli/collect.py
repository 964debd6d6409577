"""gradekit collect"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradekit.cli.terminal import console, plain, progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradekit.collect.into import Collected
    from gradekit.collect.record import Row

__all__ = ["collect"]

_SHOWN_AT_MOST = 40  # lines of one sort; all of them are in the record


def collect(
    source: Annotated[Path, typer.Argument(help="What the platform gave: a zip, or a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the students' folders go.")],
    kind: Annotated[
        str,
        typer.Option("--from", metavar="KIND", help="canvas, moodle, gradescope, nbgrader or folder; else recognised."),
    ] = "",
    notebook: Annotated[
        str, typer.Option("--notebook", metavar="NAME.ipynb", help="The notebook's name: which one of several counts.")
    ] = "",
    assignment: Annotated[
        str, typer.Option("--assignment", metavar="NAME", help="Of nbgrader's, where there are several.")
    ] = "",
    due: Annotated[
        str,
        typer.Option(
            "--due", metavar="TIME", help="Late is what came after: ISO 8601, this machine's time zone if none is said."
        ),
    ] = "",
    nbgrader: Annotated[
        str,
        typer.Option("--nbgrader", metavar="ASSIGNMENT", help="Write STUDENT/ASSIGNMENT/, as nbgrader's submitted/."),
    ] = "",
    update: Annotated[
        bool, typer.Option("--update", help="Add to a folder that is there, and replace what is newer.")
    ] = False,
) -> None:
    """Lay out what nbgrader, Canvas, Moodle or Gradescope gave, or a folder, by student, for gradekit grade.

    collected.csv says what was taken, what was late, and what was left out and why. Exit code 1 if work is missing.
    """
    from gradekit.collect import moment
    from gradekit.collect.into import Request, collect_into

    request = Request(kind, notebook, assignment, moment.due(due) if due else None, nbgrader, update)
    with progress() as bar:
        task = bar.add_task("collecting", total=None)
        collected = collect_into(
            source,
            output,
            request,
            on_start=lambda students: bar.update(task, total=students),
            on_student=lambda: bar.advance(task),
        )
    _show(collected, due=bool(due))
    if collected.of("not taken"):
        raise typer.Exit(1)


def _show(collected: Collected, *, due: bool) -> None:
    taken = collected.of("taken")
    late = [row for row in taken if row.late == "late"]
    _list("late", late, "yellow", lambda row: f"{row.file}, {row.submitted or 'as the platform says'}")
    _list("duplicate", collected.of("duplicate"), "dim", lambda row: f"{row.file}: {row.why}")
    _list("not taken", collected.of("not taken"), "red", lambda row: f"{row.file}: {row.why}")
    untimed = sum(not row.submitted for row in taken)
    if due and untimed:
        said = "only its own mark says who is late" if collected.kind == "canvas" else "nobody can say who is late"
        console.print(
            f"{collected.kind} does not say when {untimed} of them were handed in: {said}",
            style="yellow",
            soft_wrap=True,
        )
    counts = [f"{len(taken)} taken", f"{len(late)} of them late"]
    counts += [f"{len(rows)} {what}" for what in ("duplicate", "not taken") if (rows := collected.of(what))]
    console.print(f"{collected.kind}: {collected.students} students, {', '.join(counts)}")
    console.print(f"record   {collected.record}", soft_wrap=True, markup=False)


def _list(what: str, rows: list[Row], style: str, say: Callable[[Row], str]) -> None:
    for row in rows[:_SHOWN_AT_MOST]:
        who = f"{row.student}: " if row.student else ""
        console.print(plain(f"{what} {who}{say(row)}", 300), style=style, soft_wrap=True)
    if len(rows) > _SHOWN_AT_MOST:
        console.print(f"{what} and {len(rows) - _SHOWN_AT_MOST} more, see the record", style=style)
