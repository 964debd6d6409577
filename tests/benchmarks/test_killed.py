"""What counts as a changed grade, and one kill."""

from __future__ import annotations

import importlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
killed = importlib.import_module("killed")


def result(points: float, *, complete: bool = True, seconds: float = 1.0) -> str:
    case = {"name": "test_a", "passed": points > 0, "points": points, "message": "", "seconds": seconds}
    return json.dumps(
        {
            "status": "graded",
            "note": "",
            "machine": {"complete": complete},
            "questions": [{"name": "q1", "cases": [case]}],
        }
    )


def graded(folder: Path, *rows: tuple[str, str, str]) -> Path:
    """A class's folder with these (name, checksum, result), oldest first."""
    folder.mkdir()
    with sqlite3.connect(folder / "results.sqlite") as connection:
        connection.execute("CREATE TABLE results (number INTEGER PRIMARY KEY, name, checksum, result)")
        connection.executemany("INSERT INTO results (name, checksum, result) VALUES (?, ?, ?)", rows)
    connection.close()
    (folder / "grades.csv").write_text("submission,score\n" + "\n".join(sorted({name for name, _, _ in rows})))
    return folder


def test_a_result_that_took_another_time_is_the_same(tmp_path: Path) -> None:
    one = graded(tmp_path / "one", ("ada", "1", result(3)), ("ben", "2", result(0)))
    other = graded(tmp_path / "other", ("ben", "7", result(0)), ("ada", "8", result(3, seconds=9.0)))
    assert list(killed.differences(one, other)) == []


@pytest.mark.parametrize("rows", [[("ada", "1", result(2))], [], [("ada", "1", result(3)), ("ben", "1", result(3))]])
def test_other_points_a_lost_and_a_foreign_result_are_told(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    one, other = graded(tmp_path / "one", ("ada", "1", result(3))), graded(tmp_path / "other", *rows)
    assert any("ada" in line or "ben" in line for line in killed.differences(one, other))


def test_only_the_latest_result_counts_and_only_if_it_is_complete(tmp_path: Path) -> None:
    rows = [("ada", "1", result(0)), ("ada", "2", result(3)), ("ben", "3", result(3, complete=False))]
    assert list(killed.stored(graded(tmp_path / "one", *rows))) == ["ada"]
    assert killed.stored(tmp_path / "one")["ada"][0] == "2"
    assert killed.stored(tmp_path / "nothing") == {}


def test_a_complete_result_that_was_made_anew_or_lost_is_told() -> None:
    before = {"ada": ("1", "a"), "ben": ("2", "b"), "cleo": ("3", "c")}
    assert killed.made_anew(before, {"ada": ("1", "a"), "ben": ("9", "b"), "dan": ("4", "d")}) == ["ben", "cleo"]


def test_a_difference_ends_the_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = killed.Found(wrong=["ada: other points"])
    monkeypatch.setattr(killed, "measure", lambda *_: found)
    assert killed.main([]) == 1
    assert "- ada: other points" in capsys.readouterr().out
    found.wrong.clear()
    assert killed.main([]) == 0
    assert "Nothing was graded in vain" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc")
def test_a_worker_is_killed_and_no_grade_changes(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    found: Any = killed.measure(tmp_path, 4, {"worker": 1})
    assert (found.kills.total(), found.wrong) == (1, [])
    assert found.compared >= 4
