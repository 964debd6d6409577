"""nbgrader's marks: what it reads in the metadata of a cell. Otter and the kit's own judge pass over them.

So one student's file serves all graders: the cell that checks a question is worth its points, answers are the
student's, and what nobody should touch is put back before grading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import nbformat

from gradekit.build.assignment import Question

__all__ = ["STUB", "copy_marks", "is_answer", "mark"]

STUB = "gradekit_stub"
"""A mark of the kit's own in nbgrader's source/: what students get of an answer cell, where that is more than `...` in
the place of each solution."""

_SCHEMA = 3
_ANSWER = "otter_answer_cell"


def mark(release: Any, questions: Iterable[Question]) -> None:
    """Mark the cells of a release, in place: checks, answers, prose of questions, and the cell that starts Otter.

    All other cells are the student's to change, so they have no mark. The check of a question without points is locked
    and no more: there is nothing to grade. Where a person marks, it is the answer that is worth the points.
    """
    points = {question.name: question.points for question in questions}
    for cell in release.cells:
        question, _, role = cell.id.partition("-")
        if role == "check" and points.get(question):
            _mark(cell, grade=True, locked=True, points=points[question])
        elif role == "answer" and points.get(question):
            _mark(cell, grade=True, solution=True, points=points[question])
        elif is_answer(cell):
            _mark(cell, solution=True)
        elif _ANSWER in cell.metadata.get("tags", []):
            continue  # in prose: nbgrader knows no such answer without points of its own
        elif cell.id == "otter-init" or (role.startswith(("text-", "check")) and question in points):
            _mark(cell, locked=True)


def is_answer(cell: Any) -> bool:
    """Whether a cell of code is where an answer goes."""
    return cell.cell_type == "code" and _ANSWER in cell.metadata.get("tags", [])


def copy_marks(release: Any, solution: Any) -> None:
    """A solution is a release that is filled in: its cells have the marks that they were handed out with."""
    marked = {cell.id: cell.metadata for cell in release.cells if "nbgrader" in cell.metadata}
    for cell in solution.cells:
        for key in ("nbgrader", "deletable", "editable"):
            if key in marked.get(cell.id, {}):
                cell.metadata[key] = marked[cell.id][key]


def _mark(
    cell: Any, *, grade: bool = False, solution: bool = False, locked: bool = False, points: float | None = None
) -> None:
    marks = {
        "cell_type": cell.cell_type,
        "grade": grade,
        "grade_id": cell.id,
        "locked": locked,
        "schema_version": _SCHEMA,
        "solution": solution,
        "task": False,
    }
    if points is not None:
        marks["points"] = int(points) if points.is_integer() else points
    marks["checksum"] = _checksum(cell, marks)
    cell.metadata["nbgrader"] = nbformat.from_dict(marks)
    cell.metadata["deletable"] = False
    if locked:
        cell.metadata["editable"] = False


def _checksum(cell: Any, marks: dict[str, Any]) -> str:
    """As `nbgrader.utils.compute_checksum`, whose import takes four seconds."""
    parts = [cell.source, cell.cell_type, marks["grade"], marks["solution"], marks["locked"], marks["grade_id"]]
    if marks["grade"]:
        parts.append(float(marks["points"]))
    return hashlib.md5("".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()
