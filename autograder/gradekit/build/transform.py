"""Instructor notebook -> the student's notebook, the solution's notebook and the test files, with Otter Assign."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml
from otter.assign.assignment import Assignment as OtterAssignment
from otter.assign.notebook_transformer import NotebookTransformer, TransformedNotebookContainer
from otter.assign.solutions import ANSWER_CELL_TAG, SOLUTION_CELL_TAG
from otter.assign.utils import AssignNotebookFormatException

from gradekit.build.assignment import Assignment
from gradekit.build.grammar import Asked, question, scan
from gradekit.build.marks import copy_marks, mark
from gradekit.build.percent import Source
from gradekit.build.rubric import rubric_prose
from gradekit.build.test_files import TestFiles
from gradekit.hand_in import MOST_FILES, SUFFIX, is_weights
from gradekit.problem import Problem

__all__ = ["Transformed", "transform"]

_EXPORT = (
    "The zip also holds {}, which must lie beside this notebook. If you have not made it, the cell below ends with an "
    "error: hand in the notebook alone, for the points of the other questions."
)
_KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Transformed:
    """What one source gives: two notebooks, the tests, and what was parsed on the way."""

    assignment: Assignment
    release: Any
    solution: Any
    tests: TestFiles


def transform(source: Source, week: str) -> Transformed:
    """Parse `source`, check its grammar, and hand it to Otter Assign; Problem names the cell that is wrong."""
    settings, asked = scan(source)
    if settings.get("name") != week:
        raise Problem(
            f"the assignment is named {settings.get('name')!r}",
            where=source.place(0),
            mend=f"write `name: {week}`, the name of its folder",
        )
    files, hand_in = _names(settings, "files", source), _hand_in(settings, source)
    export: dict[str, Any] = {"pdf": False, "run_tests": False, "ignore_log": True}
    if hand_in:
        export |= {"files": list(hand_in), "instructions": _EXPORT.format(", ".join(f"`{name}`" for name in hand_in))}
    otter = OtterAssignment(
        {"tests": {"files": True, "ok_format": False}, "export_cell": export}, require_valid_keys=True
    )
    otter.lang = "python"
    otter.master = Path(f"{week}.ipynb")
    notebook = _prepared(source, asked)
    tests = TestFiles(otter, week, {i: source.place(i) for i in range(len(source.lines))})
    try:
        container = NotebookTransformer(otter, tests).transform_notebook(notebook)
        release, solution = _written(container, True), _written(container, False)
    except AssignNotebookFormatException as error:
        raise Problem(str(error), where=source.label) from error
    except AssertionError as error:  # Otter's solution fences
        raise Problem(str(error).splitlines()[0], where=source.label) from error
    questions = tuple(question(one, tests.test_cases(name)) for name, one in asked.items())
    mark(release, questions)
    copy_marks(release, solution)
    return Transformed(Assignment(week, files, questions, hand_in), release, solution, tests)


def _names(settings: Mapping[str, Any], key: str, source: Source) -> tuple[str, ...]:
    names = settings.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        example = "figures" if key == "files" else f"network{SUFFIX}"
        raise Problem(f"`{key}` is not a list of names", where=source.place(0), mend=f"write `{key}: [{example}]`")
    return tuple(names)


def _hand_in(settings: Mapping[str, Any], source: Source) -> tuple[str, ...]:
    """The files that students hand in beside the notebook."""
    names = _names(settings, "hand_in", source)
    if wrong := [name for name in names if not is_weights(name)]:
        raise Problem(
            f"`hand_in` names {wrong[0]!r}",
            where=source.place(0),
            mend=f"files of weights are taken, by a plain name that does not end in -1: `hand_in: [network{SUFFIX}]`",
        )
    if len(set(names)) < len(names) or len(names) > MOST_FILES:
        raise Problem(f"`hand_in` names a file twice, or more than {MOST_FILES}", where=source.place(0))
    return names


def _prepared(source: Source, asked: Mapping[str, Asked]) -> Any:
    """A copy that Otter may change: cells numbered and with stable ids, which Otter carries along.

    Otter knows nothing of rubrics, which move from the configs into the prose, nor of `hand_in`, which is left out.
    """
    notebook = nbformat.from_dict(source.notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(_KERNEL)
    rubrics = {one.prose.cell: one.rubric for one in asked.values() if one.rubric and one.prose}
    answers = {cell: f"{one.name}-answer" for one in asked.values() if one.rubric for cell in one.answers}
    question, counts = "", dict[str, int]()
    for i, cell in enumerate(notebook.cells):
        first = (cell.source.splitlines() or [""])[0]
        if i == 0:  # the assignment's
            config = yaml.safe_load(cell.source)
            if config.pop("hand_in", None):
                cell.source = f"{first}\n{yaml.safe_dump(config)}"
        elif cell.cell_type == "raw" and "BEGIN QUESTION" in first.upper():
            config = yaml.safe_load(cell.source)
            question = config["name"]
            if config.pop("rubric", None):
                cell.source = f"{first}\n{yaml.safe_dump(config)}"
        elif i in rubrics:
            cell.source = f"{cell.source.rstrip()}\n\n{rubric_prose(rubrics[i])}"
        role = {"markdown": "text", "code": "code"}.get(cell.cell_type, "raw")
        stem = f"{question}-{role}" if question else role
        counts[stem] = counts.get(stem, 0) + 1
        cell.id = answers.get(i, f"{stem}-{counts[stem]}")
        cell.metadata["gradekit_cell"] = i
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if cell.cell_type == "raw" and "END QUESTION" in first.upper():
            question = ""
    return notebook


def _written(container: TransformedNotebookContainer, sanitize: bool) -> Any:
    """What Otter writes, with stable ids for the cells that Otter made, and without the marks of this module."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.ipynb"
        container.write_transformed_nb(path, sanitize)
        notebook: Any = nbformat.read(path, as_version=4)
    counts = dict[str, int]()
    latest = ""
    for cell in notebook.cells:
        if cell.metadata.pop("gradekit_cell", None) is None:
            checked = re.match(r'grader\.check\("(\w+)"\)', cell.source)
            stem = f"{checked[1]}-check" if checked else _made(cell, latest)
            counts[stem] = counts.get(stem, 0) + 1
            cell.id = stem if counts[stem] == 1 else f"{stem}-{counts[stem]}"
        latest = cell.id
    _put_answers_in_place(notebook)
    notebook.metadata.update(_KERNEL)
    notebook.metadata["otter"] = {"assignment_name": container.assignment.name}
    nbformat.validate(notebook)
    return notebook


def _made(cell: Any, before: str) -> str:
    """What a cell that Otter made is called, behind the cell `before`."""
    if ANSWER_CELL_TAG in cell.metadata.get("tags", []):
        return f"{before.partition('-')[0]}-answer"  # where the text of a question that a person marks goes
    if "otter.Notebook" in cell.source:
        return "otter-init"
    return "otter-export" if "grader.export" in cell.source else "otter-text"


def _put_answers_in_place(notebook: Any) -> None:
    """Otter puts a written solution beneath the cell that is there for an answer; here it stands in that cell."""
    solved = {cell.id for cell in notebook.cells if SOLUTION_CELL_TAG in cell.metadata.get("tags", [])}
    notebook.cells = [
        cell for cell in notebook.cells if cell.id not in solved or ANSWER_CELL_TAG not in cell.metadata.get("tags", [])
    ]
