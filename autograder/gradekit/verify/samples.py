"""Six submissions that a class hands in, from right to hopeless: for the demo, and for trying a grader."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import nbformat

from gradekit.course import Week
from gradekit.problem import Problem
from gradekit.verify.apply import apply, read_variants

__all__ = ["write_samples"]

PADDING_BUG = "padding forgotten in the gradient"
SLOW_LOOPS = "Python loops"


def write_samples(week: Week, folder: Path) -> dict[str, str]:
    """Write the submissions into `folder`, which is emptied first; returns file name -> what it is."""
    label = week.relative(week.mutants)
    mutants = {mutant.name: mutant for mutant in read_variants(week.mutants, label)[0]}
    for name in (PADDING_BUG, SLOW_LOOPS):
        if name not in mutants:
            raise Problem(f"has no mutant named {name!r}, which the samples need", where=label)
    solution: Any = nbformat.read(week.solutions / week.notebook_name, as_version=4)
    blank: Any = nbformat.read(week.release / week.notebook_name, as_version=4)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    samples = {
        "ada": ("the solution", solution),
        "ben": ("handed in blank", blank),
        "cleo": (PADDING_BUG, apply(mutants[PADDING_BUG], solution, label)),
        "dan": ("right, but in Python loops", apply(mutants[SLOW_LOOPS], solution, label)),
        "eve": ("ends the process in q1", _crashing(solution)),
    }
    for name, (_, notebook) in samples.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")
    (folder / "finn.ipynb").write_bytes(b"\x89PNG this is no notebook")
    return {name: what for name, (what, _) in samples.items()} | {"finn": "a picture under a notebook's name"}


def _crashing(solution: Any) -> Any:
    notebook = copy.deepcopy(solution)
    answer = next(cell for cell in notebook.cells if str(cell.id).startswith("q1-code-"))
    answer.source += "\n\nimport os\nos._exit(3)"
    return notebook
