"""gradekit doctor"""

from __future__ import annotations

import typer
from rich.table import Table

from gradekit.cli.terminal import console, plain

__all__ = ["doctor"]

_MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}


def doctor() -> None:
    """Say what this machine is and whether grading works on it. Exit code 1 if it does not."""
    from gradekit.doctor import examine, works

    findings = []
    with console.status("looking around") as status:
        for finding in examine():
            findings.append(finding)
            status.update(f"looking around: {finding.subject}")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", max_width=16)
    table.add_column()
    for finding in findings:
        table.add_row(_MARKS[finding.state], finding.subject, plain(finding.said, 400))
        if finding.mend:
            table.add_row("", "", plain(f"mend: {finding.mend}", 400), style="dim")
    console.print(table)
    if not works(findings):
        missing = ", ".join(finding.subject for finding in findings if finding.state == "missing")
        console.print(f"[bold red]Grading does not work here yet[/]: see {missing}.")
        raise typer.Exit(1)
    console.print("[bold green]Grading works here.[/]")
