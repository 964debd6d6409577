"""gradekit grade, gradekit regrade"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradekit.cli.report import write_reports
from gradekit.cli.terminal import console, plain, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradekit.grade.engine import Terms
    from gradekit.grade.result import Result

__all__ = ["grade", "grade_and_show", "regrade"]

_Bundle = Annotated[Path, typer.Argument(help="The bundle: autograder/bundles/WEEK.zip.")]
_Submissions = Annotated[list[Path], typer.Argument(help="Notebooks, zips, or folders of them.")]
_Output = Annotated[Path, typer.Option("--output", "-o", help="Where the store, grades.csv and results/ go.")]
_Jobs = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Submissions graded at once; 0: one a core.")]
_Seconds = Annotated[float, typer.Option("--timeout", min=1, help="Seconds for one submission.")]
_QuestionSeconds = Annotated[float, typer.Option("--question-timeout", min=1, help="Seconds for one question of it.")]
_Require = Annotated[
    str,
    typer.Option(
        "--require-isolation", metavar="LEVEL", help="Run no student code with less: jail, restricted, process or none."
    ),
]
_Gradebook = Annotated[
    str | None,
    typer.Option("--gradebook", metavar="URL", help="nbgrader's gradebook as well: sqlite:///gradebook.db"),
]
_WorstFirst = Annotated[bool, typer.Option("--worst-first", help="Sort the table by score.")]


def grade(
    bundle: _Bundle,
    submissions: _Submissions,
    output: _Output,
    jobs: _Jobs = 0,
    timeout: _Seconds = 600.0,
    question_timeout: _QuestionSeconds = 300.0,
    require_isolation: _Require = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Leave out what the output folder has already.")] = False,
    worst_first: _WorstFirst = False,
    gradebook: _Gradebook = None,
) -> None:
    """Grade submissions and write grades.csv and one results file each.

    Every result is in the store (results.sqlite) the moment it is known: after an interruption, --resume goes on.
    With --gradebook, scores and comments go to nbgrader's gradebook too, and what was handed in to autograded/.
    """
    terms = _terms(timeout, question_timeout, require_isolation)
    grade_and_show(
        bundle, submissions, output, terms, jobs=jobs, worst_first=worst_first, resume=resume, gradebook=gradebook
    )


def regrade(
    bundle: _Bundle,
    submissions: _Submissions,
    output: _Output,
    question: Annotated[list[str], typer.Option("--question", "-q", help="The question to grade again.")],
    jobs: _Jobs = 0,
    timeout: _Seconds = 600.0,
    question_timeout: _QuestionSeconds = 300.0,
    require_isolation: _Require = "none",
    worst_first: _WorstFirst = False,
    gradebook: _Gradebook = None,
) -> None:
    """Grade some questions again, for example after a mend of their tests; all others keep their results."""
    terms = _terms(timeout, question_timeout, require_isolation, question)
    grade_and_show(bundle, submissions, output, terms, jobs=jobs, worst_first=worst_first, gradebook=gradebook)


def _terms(seconds: float, question_s: float, require: str, questions: list[str] | None = None) -> Terms:
    from gradekit.grade.engine import Terms
    from gradekit.problem import UsageProblem
    from gradekit.sandbox.jail import LEVELS

    if require not in LEVELS:
        raise UsageProblem(f"--require-isolation {require}: expected one of {', '.join(reversed(LEVELS))}")
    return Terms(seconds, question_s, frozenset(questions) if questions else None, require)


def grade_and_show(
    bundle: Path,
    submissions: list[Path],
    output: Path,
    terms: Terms,
    *,
    jobs: int,
    worst_first: bool,
    resume: bool = False,
    gradebook: str | None = None,
) -> list[Result]:
    """Grade, store, write the views, and print the table. Problem if isolation was required and is not to be had."""
    from gradekit.grade.bundle import open_bundle
    from gradekit.grade.classwork import grade_into
    from gradekit.grade.engine import start
    from gradekit.grade.gradebook import course_root, reach, students_of, write_gradebook
    from gradekit.grade.store import Store
    from gradekit.grade.submission import find_submissions
    from gradekit.grade.views import write_views
    from gradekit.problem import Problem, UsageProblem

    if output.exists() and not output.is_dir():
        raise UsageProblem("is not a folder", where=output, mend="name another --output")
    started = time.perf_counter()
    with contextlib.ExitStack() as opening:
        opened = opening.enter_context(open_bundle(bundle))
        if unknown := sorted((terms.questions or frozenset()) - set(opened.points)):
            by_hand = f"; a person marks {', '.join(opened.manual)}" if opened.manual else ""
            raise UsageProblem(
                f"no tests grade a question {unknown[0]!r}",
                where=bundle,
                mend=f"it has {', '.join(opened.points)}{by_hand}",
            )
        if not resume:  # else there may be nothing to grade
            start(opened)  # it loads while the submissions are found and read
        found = find_submissions(submissions)
        if gradebook is not None:  # what is wrong with it is to be known before hours of grading
            root = course_root(gradebook)
            reach(gradebook, root)
            students_of(found, opened.assignment)
        store = opening.enter_context(Store.open(output))
        with progress() as bar:
            task = bar.add_task("grading", total=len(found))
            try:
                graded = grade_into(
                    store, opened, found, terms, jobs=jobs, resume=resume, on_result=lambda _: bar.advance(task)
                )
            finally:  # also when it is interrupted: what was graded is there to be seen
                results = store.current([submission.name for submission in found])
                table = write_views(output, results)
        if gradebook is not None:
            write_gradebook(gradebook, opened, found, results, root)
    if not results:
        raise Problem("nothing was graded", where=output)
    console.print(_table(results, worst_first))
    for result in results:
        if result.note:
            said = f"{result.submission}: {result.status}: {result.note}"
            console.print(plain(said), style="yellow" if result.status != "graded" else "dim")
    seconds = time.perf_counter() - started
    ungraded = sum(result.status != "graded" for result in results)
    kept = f", {len(found) - graded} taken from before" if graded < len(found) else ""
    console.print(f"{len(results)} submissions in {seconds:.0f} s{kept}, {ungraded} not graded in full")
    if marked := results[0].by_hand:
        points = sum(marked.values())
        console.print(f"{', '.join(marked)}: a person gives the {points:g} points; that is in none of these scores")
    console.print(f"grades   {table}\nresults  {output / 'results'}", soft_wrap=True)
    if gradebook is not None:
        console.print(f"notebooks for formgrader  {root / 'autograded'}", soft_wrap=True)
    write_reports(output, results, opened.assignment)
    _warn_of_isolation(results, terms.require)
    return results


def _warn_of_isolation(results: Sequence[Result], required: str) -> None:
    """Say it where student code ran with less than the jail."""
    from gradekit.problem import Problem
    from gradekit.sandbox.jail import LEVELS

    levels = {level for result in results if (level := result.machine.get("isolation", {}).get("level"))}
    if any(LEVELS.index(level) < LEVELS.index(required) for level in levels):
        raise Problem(
            f"isolation was {', '.join(sorted(levels))}, {required} is required: no code of a submission was run",
            mend="`gradekit doctor` says what this machine offers; grade on Linux, or in a container",
        )
    if worse := sorted(levels - {"jail"}):
        console.print(
            f"[bold yellow]Student code ran with isolation {', '.join(worse)}, not in the jail[/]: "
            "a dishonest submission may have read what it should not. --require-isolation jail refuses that."
        )


def _table(results: Sequence[Result], worst_first: bool) -> object:
    from rich import box
    from rich.table import Table

    rows = sorted(results, key=lambda r: (r.score, r.submission) if worst_first else (0, r.submission))
    possible = {question.name: question.possible for result in results for question in result.questions}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("submission", overflow="fold")
    table.add_column("status")
    table.add_column("score", justify="right")
    for name, points in possible.items():
        table.add_column(f"{name}\n/{points:g}", justify="right")
    for result in rows:
        scores = {question.name: question for question in result.questions}
        table.add_row(
            plain(result.submission, 60),
            result.status if result.status == "graded" else f"[yellow]{result.status}[/]",
            f"[bold]{result.score:g}[/] / {result.possible:g}",
            *(
                f"[{'green' if scores[q].score == scores[q].possible else 'red'}]{scores[q].score:g}[/]"
                if q in scores
                else ""
                for q in possible
            ),
        )
    return table
