"""A second collection into the same folder, nbgrader's layout, and the command itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradekit.collect import layout
from gradekit.grade.submission import find_submissions
from gradekit.problem import Problem, UsageProblem
from tests.collect.conftest import NOTEBOOK, Collecting, notebook, put, zipped


def inbound(folder: Path, *works: tuple[str, str, str]) -> Path:
    """(student, hour, code) -> an exchange."""
    for student, hour, code in works:
        put(folder, {f"{student}+week05_conv+2026-11-24 {hour}:00:00.000000 UTC+r/{NOTEBOOK}": notebook(code)})
    return folder


def test_a_folder_that_is_not_empty_is_not_touched(collecting: Collecting) -> None:
    put(collecting.source, {"ada.ipynb": notebook()})
    put(collecting.output, {"mine.txt": b"1"})
    with pytest.raises(UsageProblem, match="is not empty"):
        collecting()
    with pytest.raises(UsageProblem, match=r"holds no collected.csv"):
        collecting(update=True)
    assert os.listdir(collecting.output) == ["mine.txt"]


def test_an_empty_folder_is_taken(collecting: Collecting) -> None:
    put(collecting.source, {"ada.ipynb": notebook()})
    collecting.output.mkdir()
    collecting()
    assert collecting.files == {"ada/ada.ipynb": "x = 1"}


def test_an_update_adds_and_replaces_what_is_newer(collecting: Collecting, tmp_path: Path) -> None:
    collecting(inbound(tmp_path / "1", ("ada", "10", "old"), ("ben", "12", "new"), ("cleo", "10", "same")))
    put(collecting.output, {"ada/feedback.txt": b"gone with what it was about", "mine.txt": b"stays"})
    collecting(
        inbound(
            tmp_path / "2", ("ada", "11", "new"), ("ben", "11", "old"), ("cleo", "10", "same"), ("dora", "09", "d")
        ),
        update=True,
    )
    assert collecting.files == {
        f"ada/{NOTEBOOK}": "new",
        f"ben/{NOTEBOOK}": "new",
        f"cleo/{NOTEBOOK}": "same",
        f"dora/{NOTEBOOK}": "d",
        "mine.txt": "",
    }
    assert [(s, t[11:13], o) for s, t, o in collecting.said("student", "submitted", "outcome")] == [
        ("ada", "11", "taken"),
        ("ada", "10", "duplicate"),
        ("ben", "12", "taken"),
        ("ben", "11", "duplicate"),
        ("cleo", "10", "taken"),
        ("dora", "09", "taken"),
    ]


def test_the_same_again_changes_nothing(collecting: Collecting) -> None:
    put(collecting.source, {f"Ada_1_assignsubmission_file_/{NOTEBOOK}": notebook(), "=x.pdf": b"", "ben.pdf": b""})
    collecting(kind="moodle")
    before = {path: path.stat().st_mtime_ns for path in collecting.output.rglob("*.ipynb")}
    text = (collecting.output / "collected.csv").read_bytes()
    collecting(kind="moodle", update=True)
    assert {path: path.stat().st_mtime_ns for path in collecting.output.rglob("*.ipynb")} == before
    assert (collecting.output / "collected.csv").read_bytes() == text


def test_where_no_time_is_known_what_comes_now_counts(collecting: Collecting, tmp_path: Path) -> None:
    collecting(put(tmp_path / "1", {f"Ada_1_assignsubmission_file_/{NOTEBOOK}": notebook("before")}))
    collecting(put(tmp_path / "2", {f"Ada_1_assignsubmission_file_/{NOTEBOOK}": notebook("now")}), update=True)
    assert collecting.files == {f"Ada/{NOTEBOOK}": "now"}


def test_who_has_a_folder_keeps_it_when_another_of_the_same_name_comes(collecting: Collecting, tmp_path: Path) -> None:
    collecting(put(tmp_path / "1", {f"smithjohn_11_901_{NOTEBOOK}": notebook("one")}))
    both = {f"smithjohn_11_901_{NOTEBOOK}": notebook("one"), f"smithjohn_12_902_{NOTEBOOK}": notebook("two")}
    collecting(put(tmp_path / "2", both), update=True)
    assert collecting.files == {f"smithjohn/{NOTEBOOK}": "one", f"smithjohn_12/{NOTEBOOK}": "two"}
    collecting(put(tmp_path / "3", {f"smithjohn_13_903_{NOTEBOOK}": notebook("three")}), update=True)
    assert f"smithjohn_13/{NOTEBOOK}" in collecting.files


def test_what_could_not_be_taken_before_is_taken_now_and_the_other_way_round(
    collecting: Collecting, tmp_path: Path
) -> None:
    collecting(put(tmp_path / "1", {"ada.ipynb": b"broken", "ben.ipynb": notebook("ben")}))
    collecting(put(tmp_path / "2", {"ada.ipynb": notebook("ada"), "ben.ipynb": b"broken"}), update=True)
    assert collecting.files == {"ada/ada.ipynb": "ada", "ben/ben.ipynb": "ben"}


def test_a_folder_of_somebody_elses_is_left_alone_and_told(collecting: Collecting, tmp_path: Path) -> None:
    collecting(put(tmp_path / "1", {"ada.ipynb": notebook()}))
    put(collecting.output, {"ben/mine.txt": b""})
    collected = collecting(put(tmp_path / "2", {"ben.ipynb": notebook()}), update=True)
    assert collecting.files == {"ada/ada.ipynb": "x = 1", "ben/mine.txt": ""}
    assert "ben is there already" in collected.of("not taken")[0].why


def test_an_update_that_fails_puts_everything_back(
    collecting: Collecting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collecting(put(tmp_path / "1", {"ada.ipynb": notebook("a1"), "ben.ipynb": notebook("b1")}))
    text = (collecting.output / "collected.csv").read_bytes()
    moves = []
    replace = os.replace

    def failing(old: Path, new: Path) -> None:
        moves.append(new)
        if len(moves) == 4:
            raise OSError(5, "Input/output error")
        replace(old, new)

    monkeypatch.setattr(layout.os, "replace", failing)
    newer = put(tmp_path / "2", {"ada.ipynb": notebook("a2"), "ben.ipynb": notebook("b2")})
    with pytest.raises(Problem, match="Input/output error"):
        collecting(newer, update=True)
    assert collecting.files == {"ada/ada.ipynb": "a1", "ben/ben.ipynb": "b1"}
    assert (collecting.output / "collected.csv").read_bytes() == text


def test_an_update_that_could_move_nothing_says_nothing_of_missing_files(
    collecting: Collecting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collecting(put(tmp_path / "1", {"ada.ipynb": notebook("a1")}))

    def failing(old: Path, new: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(layout.os, "replace", failing)
    with pytest.raises(Problem, match="Permission denied"):
        collecting(put(tmp_path / "2", {"ada.ipynb": notebook("a2")}), update=True)
    assert collecting.files == {"ada/ada.ipynb": "a1"}
    assert not list(tmp_path.glob(".out.*"))


def test_what_cannot_even_be_put_back_is_kept_and_said(
    collecting: Collecting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collecting(put(tmp_path / "1", {"ada.ipynb": notebook("a1")}))
    replace = os.replace
    moves = []

    def failing(old: Path, new: Path) -> None:
        moves.append(new)
        if len(moves) > 1:
            raise OSError(5, "Input/output error")
        replace(old, new)

    monkeypatch.setattr(layout.os, "replace", failing)
    with pytest.raises(Problem, match="what is missing there lies in"):
        collecting(put(tmp_path / "2", {"ada.ipynb": notebook("a2")}), update=True)
    (kept,) = tmp_path.glob(".out.*.partial/old/ada/ada.ipynb")
    assert b"a1" in kept.read_bytes()


def test_a_source_may_be_a_link_that_was_named(collecting: Collecting, tmp_path: Path) -> None:
    zipped(tmp_path / "real.zip", {"ada.ipynb": notebook(), "ben.ipynb": notebook()})
    (tmp_path / "link.zip").symlink_to("real.zip")
    collecting(tmp_path / "link.zip")
    assert len(collecting.files) == 2
    (tmp_path / "loop.zip").symlink_to("loop.zip")
    with pytest.raises(Problem, match=r"loop\.zip"):
        collecting(tmp_path / "loop.zip", update=True)


def test_an_output_inside_the_source_is_bad_usage(tmp_path: Path) -> None:
    collecting = Collecting(tmp_path)
    put(tmp_path, {"ada.ipynb": notebook()})
    with pytest.raises(UsageProblem, match="outside of it"):
        collecting(tmp_path)


# nbgrader's layout


def test_nbgraders_submitted_is_written_with_its_times_and_graded_as_well(
    collecting: Collecting, tmp_path: Path
) -> None:
    source = inbound(tmp_path / "1", ("ada", "10", "ada"), ("be+n", "11", "ben"))
    collecting(source, nbgrader="week05_conv")
    assert collecting.files == {
        "ada/week05_conv/timestamp.txt": "",
        f"ada/week05_conv/{NOTEBOOK}": "ada",
        "be+n/week05_conv/timestamp.txt": "",
        f"be+n/week05_conv/{NOTEBOOK}": "ben",
    }
    said = (collecting.output / "ada" / "week05_conv" / "timestamp.txt").read_text()
    assert said == "2026-11-24 10:00:00.000000 UTC"
    assert [found.name for found in find_submissions([collecting.output])] == ["ada", "be+n"]


def test_a_courses_own_submitted_folder_is_added_to(collecting: Collecting, tmp_path: Path) -> None:
    put(collecting.output, {"ada/week04/week04.ipynb": notebook("4"), f"ben/week05_conv/{NOTEBOOK}": notebook("his")})
    source = inbound(tmp_path / "1", ("ada", "10", "ada"), ("ben", "11", "ben"))
    with pytest.raises(UsageProblem, match="--update"):
        collecting(source, nbgrader="week05_conv")
    collecting(source, nbgrader="week05_conv", update=True)
    assert collecting.files == {
        "ada/week04/week04.ipynb": "4",
        "ada/week05_conv/timestamp.txt": "",
        f"ada/week05_conv/{NOTEBOOK}": "ada",
        f"ben/week05_conv/{NOTEBOOK}": "his",
    }
    collecting(
        put(tmp_path / "2", {"ada.ipynb": notebook("6")}), nbgrader="week06", notebook="week06.ipynb", update=True
    )
    assert collecting.files["ada/week06/week06.ipynb"] == "6"
    assert collecting.said("student", "assignment", "outcome") == [
        ("ada", "week05_conv", "taken"),
        ("ada", "week06", "taken"),
        ("ben", "week05_conv", "not taken"),
    ]


def test_a_notebook_has_the_assignments_name_where_it_came_again(collecting: Collecting) -> None:
    put(collecting.source, {"lovelaceada_13_903_week05_conv-2.ipynb": notebook("ada")})
    collecting(nbgrader="week05_conv")
    assert collecting.files == {f"lovelaceada/week05_conv/{NOTEBOOK}": "ada"}


def test_the_two_layouts_are_not_mixed(collecting: Collecting) -> None:
    put(collecting.source, {"ada.ipynb": notebook()})
    collecting()
    with pytest.raises(UsageProblem, match="the other way"):
        collecting(nbgrader="week05_conv", update=True)


@pytest.mark.parametrize(
    "asked",
    [{"notebook": "../x.ipynb"}, {"notebook": "x.txt"}, {"nbgrader": "a/b"}, {"nbgrader": "a+b"}, {"nbgrader": ".."}],
)
def test_names_that_cannot_be_meant_are_bad_usage(collecting: Collecting, asked: dict[str, str]) -> None:
    put(collecting.source, {"ada.ipynb": notebook()})
    with pytest.raises(UsageProblem, match="expected"):
        collecting(**asked)


# The command


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from gradekit.cli import main; main()", "collect", *map(str, arguments)]
    settings = os.environ | {"NO_COLOR": "1", "COLUMNS": "120", **environment}
    return subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True, check=False)


def test_the_command_says_who_is_late_what_is_there_twice_and_where_the_record_is(tmp_path: Path) -> None:
    inbound(tmp_path / "in", ("ada", "10", "1"), ("ada", "12", "2"), ("ben", "10", "3"))
    outcome = run("in", "-o", "out", "--due", "2026-11-24 12:30", cwd=tmp_path, TZ="Europe/Berlin")
    assert outcome.returncode == 0, outcome.stderr
    lines = outcome.stdout.strip().splitlines()
    assert lines[0].startswith("late ada: ada+week05_conv+2026-11-24 12:00:00.000000 UTC+r/")
    assert lines[1].startswith("duplicate ada: ")
    assert lines[-2:] == ["nbgrader: 2 students, 2 taken, 1 of them late, 1 duplicate", "record   out/collected.csv"]
    outcome = run("in", "-o", "out2", "--due", "2026-11-24 12:30", cwd=tmp_path, TZ="UTC")
    assert "0 of them late" in outcome.stdout


def test_the_command_exits_with_1_where_work_is_missing(tmp_path: Path) -> None:
    put(tmp_path / "in", {"ada.ipynb": notebook(), "[red]ben\x1b[31m.ipynb": b"\x89PNG"})
    outcome = run("in", "-o", "out", "--due", "2026-11-24T12:30Z", cwd=tmp_path)
    assert outcome.returncode == 1
    assert "\x1b" not in outcome.stdout
    assert "not taken [red]ben_[31m: " in outcome.stdout
    assert "folder does not say when 1 of them were handed in: nobody can say who is late" in outcome.stdout
    assert outcome.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere", "-o", "out"), "no such file or folder"),
        (("in/ada.ipynb", "-o", "out"), "neither a folder nor a zip"),
        (("in", "-o", "out", "--due", "soon"), "no date and time of ISO 8601"),
        (("in", "-o", "out", "--due", "2026-11-24"), "no time of day"),
        (("in", "-o", "out", "--from", "sakai"), "expected one of"),
        (("in", "-o", "in/ada.ipynb"), "is not a folder"),
        (("in",), "Missing"),
    ],
)
def test_bad_usage_exits_with_2(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    put(tmp_path / "in", {"ada.ipynb": notebook()})
    outcome = run(*arguments, cwd=tmp_path)
    assert outcome.returncode == 2
    assert says in outcome.stderr
    assert not (tmp_path / "out").exists()
