"""The inside of one grading: run a notebook's cells, then its tests, and write each result as soon as it is known.

Runs in a process of its own, which `engine` forks from one that has imported this module already: so everything heavy
is imported at the top. It executes the student's code and the hidden tests in the same process; a judge in another
process takes its place later. Each test case is written as soon as it is known, so that a crash does not lose it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

os.environ["MPLBACKEND"] = "Agg"  # before matplotlib is imported: there is no screen

import IPython.core.completer  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch._dynamo
import torch.utils.flop_counter  # noqa: F401
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gradekit.grade.test_file import read_test_file, run_test_file

__all__ = ["grade_notebook"]

# Cells that Otter adds to every release: their work is done here by Grader.
_OTTERS_OWN = re.compile(
    r"^[ \t]*import otter[ \t]*\n[ \t]*grader[ \t]*=[ \t]*otter\.Notebook\([^\n]*\)[ \t]*$", re.MULTILINE
)
_SHOW = "show"


class Grader:
    """Stands in for `otter.Notebook` while grading: `check` runs the whole test file of a question.

    As with Otter, a question is checked where the notebook checks it, again if it does so again (the last one counts),
    and at the end if the notebook never did.
    """

    def __init__(self, tests: Path, namespace: dict[str, Any], results: TextIO) -> None:
        self._paths = {path.stem: path for path in sorted(tests.glob("*.py"))}
        self._namespace = namespace
        self._results = results
        self._checked: set[str] = set()

    def check(self, question: str) -> None:
        if question not in self._paths:
            return
        self._checked.add(question)
        cases = []
        for case in run_test_file(read_test_file(self._paths[question]), self._namespace):
            cases.append(dataclasses.asdict(case))
            self._write({"question": question, "cases": cases})

    def check_rest(self) -> None:
        for question in self._paths:
            if question not in self._checked:
                self.check(question)

    def check_all(self) -> None:
        """As `grader.check_all()` in a notebook: there is nothing left for it to do here."""

    def export(self, *args: Any, **options: Any) -> None:
        """As `grader.export()` in a notebook: the submission is here already."""

    def _write(self, record: dict[str, Any]) -> None:
        self._results.write(json.dumps(record) + "\n")
        self._results.flush()


def grade_notebook(tests: Path, notebook: Path, results: TextIO) -> None:
    """Execute the code cells of `notebook` in this process and write the results of its tests, a line a question."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    grader = Grader(tests, shell.user_ns, results)
    shell.user_ns["grader"] = grader
    for cell in json.loads(notebook.read_text(encoding="utf-8-sig"))["cells"]:
        source = _code(cell)
        if source is None:
            continue
        with _quiet():
            shell.run_cell(_OTTERS_OWN.sub("", source), store_history=True)
    shell.user_ns["grader"] = grader
    with _quiet():
        grader.check_rest()
    grader._write({"done": True})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What a cell prints goes nowhere; a sink of its own each time, since a cell may close it."""
    with (
        open(os.devnull, "w", encoding="utf-8", errors="replace") as sink,
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
    ):
        yield


def _code(cell: Any) -> str | None:
    """The source of a code cell that grading runs; None for any other."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return None
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    if isinstance(tags, list) and _SHOW in tags:
        return None
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else None
