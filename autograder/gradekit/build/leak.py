"""Nothing hidden may show in a release: the search that refuses to build one that does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gradekit.build.test_files import TestFiles
from gradekit.problem import Problem

__all__ = ["refuse_leaks"]

# A line shorter than this says too little to give anything away, and stands in many programs; where it is the whole
# answer of a cell, it does say something.
_TELLING = 24
_WHOLE_ANSWER = 8


def refuse_leaks(release: Path, solution: Any, blank: Any, tests: TestFiles, label: str) -> None:
    """Search the built folder `release` for text of hidden tests and of the solution.

    Looked at: every string in the notebook (sources, metadata, outputs) and in every file that is text, and all names.
    `solution` and `blank` are the two notebooks; what stands in the first and not in the second is the solution's.
    Raises Problem naming the file and the line that shows.
    """
    shown = set(_lines(cell.source for cell in blank.cells if cell.cell_type == "code"))
    secrets = {secret: owner for secret, owner in _secrets(solution, blank, tests) if secret not in shown}
    for path in sorted(p for p in release.rglob("*")):
        where = f"{label}/{path.relative_to(release).as_posix()}"
        texts = [path.relative_to(release).as_posix()]
        if path.is_symlink():
            raise Problem(
                "is a link", where=where, mend="put the file itself there: students do not have what it names"
            )
        if path.is_file():
            texts += _strings(path)
        text = _folded(" ".join(texts))
        for secret, owner in secrets.items():
            if secret in text:
                raise Problem(
                    f"shows a line of {owner}: {secret!r}",
                    where=where,
                    mend="move what both need into a public set-up cell, or say it in other words",
                )
    for cell in blank.cells:
        if cell.cell_type == "code" and cell.outputs:
            raise Problem("the release has outputs", where=label, mend="clear them in the source")


def _secrets(solution: Any, blank: Any, tests: TestFiles) -> Iterator[tuple[str, str]]:
    for question, cells in tests.cells.items():
        for cell in cells:
            if cell.hidden:
                for line in _lines([cell.code]):
                    if not re.match(r"(from|import)\b", line):
                        yield line, f"a hidden test of {question}"
            if cell.case and cell.hidden and len(cell.case.name) >= _TELLING:
                yield cell.case.name, f"a hidden test of {question}"
    stubs = {cell.id: cell.source for cell in blank.cells}
    for cell in solution.cells:
        stub = set(_lines([stubs.get(cell.id, "")], 1))
        removed = [line for line in _lines([cell.source], 1) if line not in stub]
        yield from ((line, "the solution") for line in removed if len(line) >= _TELLING)
        whole = " ".join(removed)  # an answer of short lines gives itself away as a whole
        if len(whole) >= _WHOLE_ANSWER:
            yield whole, "the solution"


def _strings(path: Path) -> list[str]:
    """The text of a file, whatever it is called; of JSON every string in it, so that no escape hides anything.

    Empty for a file that is no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    try:
        return [*_leaves(json.loads(text))] if path.suffix in {".ipynb", ".json"} else [text]
    except ValueError:
        return [text]


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _leaves(item)
    elif isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            yield "".join(value)
        for item in value:
            yield from _leaves(item)


def _lines(texts: Iterable[str], shortest: int = _TELLING) -> Iterator[str]:
    """Lines that say something: white space folded, Otter's marks and the fences of solutions left out."""
    for text in texts:
        for line in text.splitlines():
            folded = re.sub(r"\s*# (BEGIN |END )?SOLUTION.*$", "", _folded(line))
            if len(folded) >= shortest:
                yield folded


def _folded(text: str) -> str:
    return " ".join(text.split())
