"""gradekit report, as a person calls it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradekit.cli import app
from gradekit.grade.store import Key, Store
from gradekit.problem import Problem, UsageProblem

from ..report.conftest import result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "week05"
    with Store.open(folder) as store:
        for number, name in enumerate(("ada", "ben")):
            store.put(Key(str(number), "bundle", "0", "cpu"), result(name, name == "ada", 1.0))
    return folder


def run(*words: object) -> str:
    outcome = CliRunner().invoke(app, ["report", *map(str, words)], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_report_and_feedback_are_written_and_named(folder: Path) -> None:
    said = run(folder)
    assert "report.html" in said
    assert "feedback" in said
    assert "<h1><bdi>week05</bdi></h1>" in (folder / "report.html").read_text()
    assert {path.name for path in (folder / "feedback").iterdir()} == {"ada.html", "ada.md", "ben.html", "ben.md"}


def test_a_table_has_the_names_and_ids_that_collect_found(folder: Path, tmp_path: Path) -> None:
    from gradekit.collect.record import Row, to_csv

    collected = tmp_path / "collected"
    collected.mkdir()
    row = Row(student="ada", name="lovelaceada", id="1042", outcome="taken", notebook="ada/week05.ipynb")
    (collected / "collected.csv").write_text(to_csv([row]))
    said = run(folder, "--csv", "canvas", "--collected", collected, "--title", "Week 5")
    assert "canvas.csv" in said
    assert "1 of 2 are not in collected.csv" in said
    with (folder / "canvas.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0][-1] == "Week 5"
    assert ["lovelaceada", "1042", "", "", "", "5"] in rows
    assert rows[3][:2] == ["ben", ""]


REFUSED: list[tuple[Sequence[str], type[Problem], str]] = [
    (["nowhere"], UsageProblem, "holds no results"),
    (["week05", "--csv", "blackboard"], UsageProblem, "is no platform"),
    (["week05", "--csv", "canvas", "--collected", "week05"], UsageProblem, "holds no collected.csv"),
    (["week05", "--collected", "week05"], UsageProblem, "is for a table"),
]


@pytest.mark.parametrize(("words", "kind", "says"), REFUSED)
def test_refuses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], kind: type[Problem], says: str
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(kind, match=says):
        CliRunner().invoke(app, ["report", *words], catch_exceptions=False)


def test_a_store_without_results_is_told(tmp_path: Path) -> None:
    with Store.open(tmp_path):
        pass
    with pytest.raises(Problem, match="nothing is graded yet"):
        CliRunner().invoke(app, ["report", str(tmp_path)], catch_exceptions=False)


def test_two_assignments_in_one_store_are_told_apart(folder: Path) -> None:
    with Store.open(folder) as store:
        for name, week in (("ada", "week05"), ("cleo", "week06")):
            store.put(Key(name, week, "0", "cpu"), replace(result(name, True, 1.0), assignment=week))
    with pytest.raises(UsageProblem, match="holds results of week05, week06"):
        CliRunner().invoke(app, ["report", str(folder)], catch_exceptions=False)
