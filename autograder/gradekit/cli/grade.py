"""gradekit grade"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradekit.cli.terminal import console, plain, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradekit.grade.result import Result

__all__ = ["grade", "grade_and_show"]


def grade(
    bundle: Annotated[Path, typer.Argument(help="The bundle: autograder/bundles/WEEK.zip.")],
    submissions: Annotated[list[Path], typer.Argument(help="Notebooks, zips, or folders of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where grades.csv and results/ go.")],
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Submissions graded at once; 0: one a core.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one submission.")] = 600.0,
    worst_first: Annotated[bool, typer.Option("--worst-first", help="Sort the table by score.")] = False,
) -> None:
    """Grade submissions and write grades.csv and one results file each."""
    grade_and_show(bundle, submissions, output, jobs=jobs, timeout=timeout, worst_first=worst_first)


def grade_and_show(
    bundle: Path, submissions: list[Path], output: Path, *, jobs: int, timeout: float, worst_first: bool
) -> list[Result]:
    """Grade, write, and print the table."""
    from gradekit.grade.batch import default_jobs, grade_batch
    from gradekit.grade.bundle import open_bundle
    from gradekit.grade.store import write_grades, write_result
    from gradekit.grade.submission import find_submissions
    from gradekit.problem import UsageProblem

    if output.exists() and not output.is_dir():
        raise UsageProblem("is not a folder", where=output, mend="name another --output")
    found = find_submissions(submissions)
    started = time.perf_counter()
    with open_bundle(bundle) as opened, progress() as bar:
        task = bar.add_task("grading", total=len(found))

        graded: list[Result] = []

        def done(result: Result) -> None:
            graded.append(result)
            write_result(output, result)
            bar.advance(task)

        try:
            results = grade_batch(opened, found, jobs=jobs or default_jobs(), seconds=timeout, on_result=done)
        finally:  # also when it is interrupted: what was graded is not lost
            table = write_grades(output, graded)
    console.print(_table(results, worst_first))
    ungraded = [result for result in results if result.status != "graded"]
    for result in ungraded:
        console.print(plain(f"{result.submission}: {result.status}: {result.note}"), style="yellow")
    seconds = time.perf_counter() - started
    console.print(f"{len(results)} submissions in {seconds:.0f} s, {len(ungraded)} not graded in full")
    console.print(f"grades   {table}\nresults  {output / 'results'}", soft_wrap=True)
    return results


def _table(results: Sequence[Result], worst_first: bool) -> object:
    from rich import box
    from rich.table import Table

    rows = sorted(results, key=lambda r: (r.score, r.submission) if worst_first else (0, r.submission))
    questions = [question.name for question in results[0].questions]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("submission", overflow="fold")
    table.add_column("status")
    table.add_column("score", justify="right")
    for question in results[0].questions:
        table.add_column(f"{question.name}\n/{question.possible:g}", justify="right")
    for result in rows:
        scores = {question.name: question for question in result.questions}
        table.add_row(
            plain(result.submission, 60),
            result.status if result.status == "graded" else f"[yellow]{result.status}[/]",
            f"[bold]{result.score:g}[/] / {result.possible:g}",
            *(
                f"[{'green' if scores[q].score == scores[q].possible else 'red'}]{scores[q].score:g}[/]"
                for q in questions
            ),
        )
    return table
