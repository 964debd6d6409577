"""Answers that somebody wrote into the release itself are not lost when the week is built anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradekit.build.make import build_week
from gradekit.build.stamp import is_fresh
from gradekit.cli import app
from gradekit.course import Week


def told(week: Week) -> list[tuple[Path, Path]]:
    asides: list[tuple[Path, Path]] = []
    build_week(week, on_aside=lambda place, folder: asides.append((place, folder)))
    return asides


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def change_the_source(week: Week) -> None:
    week.source.write_text(week.source.read_text().replace("The smallest week there is.", "A small week."))


def test_answers_in_the_release_are_set_aside(week: Week) -> None:
    build_week(week)
    notebook = week.release / week.notebook_name
    answered = notebook.read_text().replace("...", "2 * x")
    notebook.write_text(answered)
    (week.release / "mine").mkdir()
    (week.release / "mine" / "plot.py").write_text("x = 1\n")
    [(place, folder)] = told(week)
    assert place == week.release
    assert contents(folder) == {week.notebook_name: answered, "mine/plot.py": "x = 1\n"}
    assert notebook.read_text() != answered
    assert is_fresh(week)
    assert told(week) == []


def test_what_was_set_aside_before_stays(week: Week) -> None:
    build_week(week)
    folders = []
    for answer in ("first", "second"):
        (week.solutions / week.notebook_name).write_text(answer)
        [(_, folder)] = told(week)
        folders.append(folder)
    assert [contents(folder) for folder in folders] == [{week.notebook_name: "first"}, {week.notebook_name: "second"}]


def test_what_was_built_is_simply_replaced(week: Week) -> None:
    build_week(week)
    change_the_source(week)
    assert told(week) == []


def test_what_has_come_with_a_new_source_is_no_work_of_the_users(week: Week) -> None:
    build_week(week)
    before = contents(week.release)
    change_the_source(week)
    build_week(week)
    after = contents(week.release)
    stamp = week.bundle.with_suffix(".stamp.json")
    stamp.unlink()  # as after a clone: nothing is known of what was built
    assert told(week) == []
    assert contents(week.release) == after != before


def test_without_a_record_what_differs_is_kept(week: Week) -> None:
    build_week(week)
    week.bundle.with_suffix(".stamp.json").unlink()
    (week.release / "tests" / "q1.py").write_text("# mine\n")
    [(_, folder)] = told(week)
    assert contents(folder) == {"tests/q1.py": "# mine\n"}


def test_what_jupyter_and_otter_leave_behind_is_not_kept(week: Week) -> None:
    build_week(week)
    (week.release / ".OTTER_LOG").write_text("log")
    (week.release / ".ipynb_checkpoints").mkdir()
    (week.release / ".ipynb_checkpoints" / "a.ipynb").write_text("{}")
    assert is_fresh(week)
    change_the_source(week)
    assert told(week) == []


def test_the_command_says_where_it_lies(week: Week, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(week.course.root)
    build_week(week)
    (week.release / week.notebook_name).write_text("my answers")
    done = CliRunner().invoke(app, ["build"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert f"release/.set-aside/{week.slug}-1" in done.output.replace("\n", "")
    assert (
        week.course.root / "release" / ".set-aside" / f"{week.slug}-1" / week.notebook_name
    ).read_text() == "my answers"
