"""What the nbgrader_config.py of a built course puts among nbgrader's own steps.

nbgrader imports this with every command, the kit only to check a course: to import nbgrader takes seconds.
"""

from __future__ import annotations

from typing import Any

from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions, NbGraderPreprocessor, SaveCells
from traitlets.config import Config

from gradekit.build.marks import STUB

__all__ = ["CODE_STUB", "TEXT_STUB", "autograding", "feedback", "generating", "released"]

CODE_STUB = {"python": "..."}
TEXT_STUB = "_Type your answer here, replacing this text._"  # Otter's


class LeaveStubs(ClearSolutions):
    """ClearSolutions leaves the same text for every solution. Where a release has another one, the cell carries it."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        stub = cell.metadata.pop(STUB, None)
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if stub is not None:
            cell.source = stub
        return cell, resources


class DropTags(NbGraderPreprocessor):
    """A cell that a tag says to skip has no output, and a check cell without one gets full marks."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        if "nbgrader" in cell.metadata:
            cell.metadata.pop("tags", None)
        return cell, resources


def generating() -> list[type]:
    """From source/ to release/."""
    return [LeaveStubs if step is ClearSolutions else step for step in _steps(GenerateAssignment, "preprocessors")]


def released(notebook: Any) -> Any:
    """What nbgrader makes of a source notebook, but for what it notes in its gradebook."""
    settings = Config({"ClearSolutions": {"code_stub": CODE_STUB, "text_stub": TEXT_STUB}})
    resources: Any = {}
    for step in generating():
        if step is not SaveCells:
            notebook, resources = step(config=settings).preprocess(notebook, resources)
    return notebook


def autograding() -> list[type]:
    """On a submission, before it is run."""
    return [*_steps(Autograde, "sanitize_preprocessors"), DropTags]


def feedback() -> list[type]:
    """nbgrader's own feedback shows students the check cells as they ran, hidden tests and all."""
    return [ClearHiddenTests, *_steps(GenerateFeedback, "preprocessors")]


def _steps(converter: Any, name: str) -> list[type]:
    steps: list[type] = converter.class_traits()[name].default()
    return steps
