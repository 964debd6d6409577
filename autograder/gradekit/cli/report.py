"""gradekit report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gradekit.cli.terminal import console

__all__ = ["report", "write_reports"]


def report(
    results: Annotated[Path, typer.Argument(help="The folder that `gradekit grade --output` wrote.")],
    title: Annotated[str | None, typer.Option(help="What stands above it; the assignment if left out.")] = None,
    names: Annotated[bool, typer.Option("--names", help="Say by name who is fastest.")] = False,
    csv: Annotated[
        str | None, typer.Option(metavar="PLATFORM", help="A table to import as well: canvas, moodle or gradescope.")
    ] = None,
    collected: Annotated[
        Path | None, typer.Option(help="The folder that `gradekit collect` wrote: the platform's names and ids.")
    ] = None,
) -> None:
    """Write the class report, and feedback for each student, of what was graded."""
    from gradekit.grade.store import FILE_NAME, Store
    from gradekit.problem import Problem, UsageProblem
    from gradekit.report.tables import PLATFORMS, write_table

    platform = next((known for known in PLATFORMS if known == csv), None)
    if csv is not None and platform is None:
        raise UsageProblem(f"--csv {csv!r} is no platform", mend=f"name one of {', '.join(PLATFORMS)}")
    if collected is not None and csv is None:
        raise UsageProblem("--collected is for a table", mend="name its platform too: --csv canvas")
    if not (results / FILE_NAME).is_file():
        raise UsageProblem("holds no results", where=results, mend="name the --output of `gradekit grade`")
    known = _known(collected) if collected is not None else {}
    with Store.open(results) as store:
        found = store.current()
    if not found:
        raise Problem("nothing is graded yet", where=results)
    if len(weeks := sorted({result.assignment for result in found if result.assignment})) > 1:
        raise UsageProblem(
            f"holds results of {', '.join(weeks)}", where=results, mend="grade each assignment into a folder of its own"
        )
    title = title or found[0].assignment or results.resolve().name
    write_reports(results, found, title, names=names)
    if platform is not None:
        table = write_table(results, found, platform, title=title, known=known)
        console.print(f"table    {table}", soft_wrap=True)
        if collected is not None and (unknown := sum(result.submission not in known for result in found)):
            console.print(f"{unknown} of {len(found)} are not in collected.csv: they have no id", style="yellow")


def write_reports(folder: Path, results: Any, title: str, *, names: bool = False) -> None:
    """Write both, and say where they are."""
    from gradekit.report.feedback import write_feedback
    from gradekit.report.page import write_report

    path, feedback = (
        write_report(folder, results, title=title, names=names),
        write_feedback(folder, results, title=title),
    )
    console.print(f"report   {path}\nfeedback {feedback}", soft_wrap=True)


def _known(folder: Path) -> dict[str, tuple[str, str]]:
    from gradekit.collect.record import read_record
    from gradekit.problem import UsageProblem

    rows = read_record(folder)
    if rows is None:
        raise UsageProblem("holds no collected.csv", where=folder, mend="name the --output of `gradekit collect`")
    known: dict[str, tuple[str, str]] = {}
    for row in rows:
        if row.outcome == "taken":
            known[row.student] = known[f"{row.student}/{Path(row.notebook).stem}"] = (row.name, row.id)
    return known
