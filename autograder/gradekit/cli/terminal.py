"""What the commands print with. Text that came from a submission goes through `plain`."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from gradekit.shown import shown

__all__ = ["console", "plain", "progress"]

console = Console(highlight=False)


def plain(text: str, limit: int = 200) -> Text:
    """`text` with control characters shown rather than obeyed, on one line, cut to `limit`."""
    return Text(shown(" ".join(text.split()), limit))


def progress() -> Progress:
    """A progress bar that leaves nothing behind."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
