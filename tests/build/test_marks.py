"""nbgrader's metadata in release and solutions: one file of a student's serves all graders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from gradekit.build.make import build_week
from gradekit.course import Course, Week


def read(folder: Any, week: Week) -> Any:
    return nbformat.read(folder / week.notebook_name, as_version=4)


@pytest.fixture(scope="module")
def release(built_week: Week) -> Any:
    return read(built_week.release, built_week)


def kinds(notebook: Any) -> dict[str, str]:
    """Id -> what nbgrader takes a cell for."""
    found = {}
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        names = [name for name in ("grade", "solution", "locked", "task") if marks.get(name)]
        found[cell.id] = " ".join(names)
    return found


def test_checks_are_graded_answers_are_the_students_and_the_prose_of_questions_is_locked(release: Any) -> None:
    assert kinds(release) == {
        "otter-init": "locked",
        "text-1": "",
        "code-1": "",
        "q1-text-1": "locked",
        "q1-code-1": "solution",
        "q1-check": "grade locked",
        "q2-text-1": "locked",
        "q2-code-1": "solution",
        "q2-check": "grade locked",
        "code-2": "",
        "otter-text": "",
        "otter-export": "",
        "otter-text-2": "",
    }


def test_a_check_cell_says_the_points_of_its_question(release: Any) -> None:
    check = next(cell for cell in release.cells if cell.id == "q1-check")
    marks = dict(check.metadata.nbgrader)
    assert check.source == 'grader.check("q1")'
    assert len(marks.pop("checksum")) == 32
    assert marks == {
        "cell_type": "code",
        "grade": True,
        "grade_id": "q1-check",
        "locked": True,
        "points": 3,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }


def test_nbgrader_accepts_the_metadata_and_computes_the_same_checksums(built_week: Week, release: Any) -> None:
    from nbgrader.nbgraderformat import MetadataValidator
    from nbgrader.utils import compute_checksum

    MetadataValidator().validate_nb(release)
    MetadataValidator().validate_nb(read(built_week.solutions, built_week))
    marked = [cell for cell in release.cells if "nbgrader" in cell.metadata]
    assert [cell.metadata.nbgrader.checksum for cell in marked] == [compute_checksum(cell) for cell in marked]
    committed = Course(Path(__file__).parents[2]).week("5")
    MetadataValidator().validate_nb(read(committed.release, committed))


def test_the_solutions_have_the_marks_that_they_were_handed_out_with(built_week: Week, release: Any) -> None:
    solution = read(built_week.solutions, built_week)
    ours = {cell.id: cell.metadata.get("nbgrader") for cell in solution.cells if "nbgrader" in cell.metadata}
    assert ours == {cell.id: cell.metadata.nbgrader for cell in release.cells if "nbgrader" in cell.metadata}


def test_a_given_cell_of_a_question_is_the_students_to_change(week: Week) -> None:
    start = "# %% [raw]\n# # BEGIN SOLUTION\n"
    week.source.write_text(week.source.read_text().replace(start, f"# %%\nfactor = 2\n\n{start}", 1))
    build_week(week)
    found = kinds(read(week.release, week))
    assert (found["q1-code-1"], found["q1-code-2"]) == ("", "solution")


def test_a_question_without_points_is_not_graded(week: Week) -> None:
    text = week.source.read_text()
    text = text.replace("name: q2\n# points: 2", "name: q2\n# points: 0").replace("*2 points", "*0 points")
    first, second = text.split("## q2", 1)
    week.source.write_text(first + "## q2" + second.replace("points: 1\n", "points: 0\n"))
    build_week(week)
    assert kinds(read(week.release, week))["q2-check"] == "locked"
