"""The instructor notebook as written: jupytext's percent format, with the line where each cell begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from gradekit.problem import Problem

__all__ = ["Source", "read_source"]

_MARKER = re.compile(r"# %%")


@dataclass(frozen=True)
class Source:
    """A notebook read from `path`; `lines[i]` is the line (from 1) on which cell i begins."""

    path: Path
    label: str
    notebook: Any
    lines: tuple[int, ...]

    def place(self, cell: int) -> str:
        """Where cell number `cell` (from 0) is, as an error message says it."""
        line = f", line {self.lines[cell]}" if cell < len(self.lines) else ""
        return f"{self.label}, cell {cell + 1}{line}"


def read_source(path: Path, label: str) -> Source:
    """Read a percent-format notebook; Problem if it is not one, or if jupytext would write it back differently."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"cannot be read: {error}", where=label) from error
    notebook = nbformat.from_dict(jupytext.reads(text, fmt="py:percent"))
    markers = [number for number, line in enumerate(text.splitlines(), start=1) if _MARKER.match(line)]
    if len(markers) != len(notebook.cells):
        raise Problem(
            f"{len(notebook.cells)} cells but {len(markers)} '# %%' markers: a cell begins without its marker",
            where=label,
            mend="begin every cell, the first one too, with a line '# %%'",
        )
    written = jupytext.writes(notebook, fmt="py:percent")
    if _body(written) != _body(text):
        line = _first_difference(_body(text), _body(written))
        raise Problem(
            f"does not survive a round trip through jupytext; the first line that changes is {line!r}",
            where=label,
            mend=f"run: jupytext --from py:percent --to py:percent {label}",
        )
    return Source(path, label, notebook, tuple(markers))


def _body(text: str) -> list[str]:
    """The cells' lines: the header is left out, since jupytext writes its own version into it."""
    lines = text.rstrip().splitlines()
    start = next((i for i, line in enumerate(lines) if _MARKER.match(line)), 0)
    return lines[start:]


def _first_difference(ours: list[str], theirs: list[str]) -> str:
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            return a
    longer = ours if len(ours) > len(theirs) else theirs
    return longer[min(len(ours), len(theirs))]
