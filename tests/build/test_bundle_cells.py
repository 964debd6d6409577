"""cells.json in a bundle: the release's code cells, from which grading makes the notebook that runs."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import nbformat
import pytest

from gradekit.build.make import build_week, load_week
from gradekit.course import Course, Week


@pytest.fixture(scope="module")
def cells(built_week: Week) -> list[dict[str, Any]]:
    with zipfile.ZipFile(built_week.bundle) as archive:
        found: list[dict[str, Any]] = json.loads(archive.read("tests/cells.json"))
    return found


def test_every_code_cell_of_the_release_is_there_in_order(built_week: Week, cells: list[dict[str, Any]]) -> None:
    release = nbformat.read(built_week.release / built_week.notebook_name, as_version=4)
    code = [(cell.id, cell.source) for cell in release.cells if cell.cell_type == "code"]
    assert [(cell["id"], cell["source"]) for cell in cells] == code
    assert all(set(cell) == {"id", "kind", "question", "show", "source"} for cell in cells)


def test_each_cell_says_whose_it_is(cells: list[dict[str, Any]]) -> None:
    assert [(cell["id"], cell["kind"], cell["question"], cell["show"]) for cell in cells] == [
        ("otter-init", "grader", None, False),
        ("code-1", "given", None, False),
        ("q1-code-1", "answer", "q1", False),
        ("q1-check", "check", "q1", False),
        ("q2-code-1", "answer", "q2", False),
        ("q2-check", "check", "q2", False),
        ("code-2", "given", None, True),
        ("otter-export", "grader", None, False),
    ]


def test_no_solution_is_in_it(cells: list[dict[str, Any]]) -> None:
    text = json.dumps(cells)
    assert "x + x" not in text
    assert "agrees with the reference" not in text


def test_a_cell_of_a_question_that_students_do_not_write_is_given(week: Week) -> None:
    text = week.source.read_text()
    start = "# %% [raw]\n# # BEGIN SOLUTION\n"
    week.source.write_text(text.replace(start, f"# %%\nfactor = 2\n\n{start}", 1))
    build_week(week)
    with zipfile.ZipFile(week.bundle) as archive:
        found = {cell["id"]: cell for cell in json.loads(archive.read("tests/cells.json"))}
    assert (found["q1-code-1"]["kind"], found["q1-code-1"]["question"]) == ("given", "q1")
    assert (found["q1-code-2"]["kind"], found["q1-code-2"]["question"]) == ("answer", "q1")


def test_week_5_says_which_cells_are_answers_and_which_only_show() -> None:
    from gradekit.build.bundle import _cells

    transformed = load_week(Course(_root()).week("5"))
    found = _cells(transformed)
    assert [cell["question"] for cell in found if cell["kind"] == "answer"] == ["q1", "q2", "q3", "q4", "q5"]
    assert [cell["question"] for cell in found if cell["kind"] == "check"] == ["q1", "q2", "q3", "q4", "q5"]
    assert [cell["id"] for cell in found if cell["show"]] == ["code-2", "q6-code-1", "q6-code-2"]


def _root() -> Any:
    from pathlib import Path

    return Path(__file__).parents[2]
