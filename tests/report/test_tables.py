"""Tables that platforms import."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from gradekit.grade.result import Result
from gradekit.report.tables import PLATFORMS, write_table

KNOWN = {"ada": ("Lovelace, Ada", "1042"), "ben": ("=Ben", "7")}


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_canvas_has_its_row_of_possible_points_and_finds_students_by_id(results: list[Result], tmp_path: Path) -> None:
    head, possible, *students = rows(write_table(tmp_path, results, "canvas", title="week05", known=KNOWN))
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "week05"]
    assert possible == ["    Points Possible", "", "", "", "", "5"]
    assert ["Lovelace, Ada", "1042", "", "", "", "5"] in students
    assert len(students) == 5


def test_moodle_has_its_identifier(results: list[Result], tmp_path: Path) -> None:
    head, *students = rows(write_table(tmp_path, results, "moodle", title="week05", known=KNOWN))
    assert head[:3] == ["Identifier", "Full name", "Grade"]
    assert ["Participant 1042", "Lovelace, Ada", "5", "5", ""] in students
    assert [row[4] for row in students if row[4]] == ["not graded in full: crashed"]


def test_gradescope_has_its_columns(results: list[Result], tmp_path: Path) -> None:
    head, *students = rows(write_table(tmp_path, results, "gradescope", title="week05", known=KNOWN))
    assert head == ["Name", "SID", "Total Score", "Max Points", "Status"]
    assert ["Lovelace, Ada", "1042", "5", "5", "Graded"] in students


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_name_is_a_formula(results: list[Result], tmp_path: Path, platform: str) -> None:
    text = write_table(tmp_path, results, platform, title="=1+1", known=KNOWN).read_text()  # type: ignore[arg-type]
    assert "'=Ben" in text
    assert "\x1b" not in text
    assert all(not cell.startswith("=") for row in csv.reader(text.splitlines()) for cell in row)
