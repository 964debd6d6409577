"""gradekit check"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradekit.cli.terminal import console, plain

__all__ = ["check"]


def check(
    notebook: Annotated[Path, typer.Argument(help="Your notebook; its tests lie beside it, in tests/.")],
    question: Annotated[list[str] | None, typer.Option("--question", "-q", help="Only these questions.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for the whole notebook.")] = 600.0,
) -> None:
    """Run the public tests on your notebook, as grader.check does in it. Exit code 1 if one fails."""
    from gradekit import picture
    from gradekit.grade.local import check_notebook
    from gradekit.problem import Problem

    with console.status("running the notebook"):
        result = check_notebook(notebook, question or [], seconds=timeout)
    failed = 0
    for graded in result.questions:
        passed = sum(case.passed for case in graded.cases)
        mark = "[green]passed[/]" if graded.cases and passed == len(graded.cases) else "[red]not yet[/]"
        console.print(f"[bold]{graded.name}[/]  {mark}  {passed} of {len(graded.cases)} public tests")
        for case in graded.cases:
            pictures = [line for item in case.evidence for line in picture.lines(item)]
            if not case.passed:
                failed += 1
                console.print(plain(f"  {case.name}"), style="red")
                for line in case.message.splitlines()[:12]:
                    console.print(plain(line), style="dim", soft_wrap=True)
            elif pictures:
                console.print(plain(f"  {case.name}"), style="green")
            for line in pictures:
                console.print(f"    {line}", markup=False, highlight=False, style="dim")
        failed += not graded.cases
    if result.status != "graded":
        raise Problem(result.note or result.status, where=notebook)
    if failed:
        raise typer.Exit(1)
    console.print("Every public test passes. Hidden tests decide the rest: the notebook says what they check.")
