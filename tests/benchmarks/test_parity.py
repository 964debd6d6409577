"""What counts as a difference between graders, and the kit's own lane."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gradekit.course import Week

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
parity = importlib.import_module("parity")


def test_equal_points_are_no_difference() -> None:
    scores = {"solution": {"q1": 3.0, "q2": 2.0}, "blank": {"q1": 0.0, "q2": 0.0}}
    assert parity.differences({"a": scores, "b": json.loads(json.dumps(scores))}, list(scores)) == []


def test_other_points_are_told_with_who_gave_them() -> None:
    found = {"a": {"blank": {"q1": 0.0, "q2": 1.0}}, "b": {"blank": {"q1": 0.0, "q2": 2.0}}}
    assert parity.differences(found, ["blank"]) == ["blank, q2: a 1.0, b 2.0"]


def test_what_one_has_not_graded_is_a_difference() -> None:
    found = {"a": {"solution": {"q1": 3.0}}, "b": {}}
    assert parity.differences(found, ["solution"]) == ["solution: not graded by b"]
    assert parity.differences({"a": {"x": {"q1": 1.0}}, "b": {"x": {}}}, ["x"]) == ["x, q1: a 1.0, b None"]


def test_rows_of_other_submissions_are_left_out(tmp_path: Path) -> None:
    material = parity.Material("w", tmp_path, tmp_path, ("q1",), {"v000": tmp_path}, {"v000": "solution"})
    path = tmp_path / "grades.csv"
    path.write_text("file,q1\n/in/v000.ipynb,3.0\npoints-per-question,3.0\n")
    assert list(parity.table(path, "file", material)) == [("v000", {"q1": 3.0})]


def test_it_goes_on_and_ends_with_an_error_where_graders_differ(
    week: Week, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(week.room)
    calls: list[list[str]] = []

    def grader(points: float) -> Any:
        def grade(material: Any, root: Path, files: list[str]) -> Any:
            calls.append([material.of[file] for file in files])
            yield from ((file, dict.fromkeys(material.questions, points)) for file in files)

        return grade

    monkeypatch.setattr(parity, "GRADERS", {"one": grader(1.0), "other": grader(1.0)})
    monkeypatch.setattr(parity, "BATCH", {"one": 100, "other": 100})
    output = tmp_path / "parity.json"
    words = [week.slug, "--output", str(output), "--only", "solution", "--only", "zeros"]
    assert parity.main(words) == 0
    assert calls == [["solution", "zeros"]] * 2
    assert parity.main(words) == 0
    assert len(calls) == 2
    monkeypatch.setattr(parity, "GRADERS", {"one": grader(1.0), "third": grader(0.0)})
    monkeypatch.setattr(parity, "BATCH", {"one": 100, "third": 100})
    assert parity.main(words) == 1
    assert "solution, q1: one 1.0, third 0.0" in capsys.readouterr().out


def test_the_kits_lane_grades_each_variant(week: Week, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(week.room)
    material = parity.prepare(week.slug, tmp_path, ["solution", "blank", "zeros"])
    found = {material.of[file]: scores for file, scores in parity.kit(material, tmp_path, list(material.notebooks))}
    assert found == {"solution": {"q1": 3, "q2": 2}, "blank": {"q1": 0, "q2": 0}, "zeros": {"q1": 0, "q2": 2}}


def test_four_roads_give_the_same_points(
    manual_week: Week, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Really graded by each, all but Docker. The third question has no tests: a person marks it."""
    monkeypatch.chdir(manual_week.room)
    output = tmp_path / "parity.json"
    words = [manual_week.slug, "--output", str(output)]
    for name in ("solution", "blank", "divides by four"):
        words += ["--only", name]
    outcome = parity.main(words)
    said = capsys.readouterr()
    assert outcome == 0, said
    assert "0 differences" in said.out
    found = json.loads(output.read_text())
    assert list(found) == [parity.KIT, parity.GRADEBOOK, "otter run", "nbgrader autograde"]
    for scores in found.values():
        assert scores["solution"] == {"q1": 3, "q2": 2}
        assert scores["blank"] == {"q1": 0, "q2": 0}
        assert scores["divides by four"] == {"q1": 3, "q2": 0}


def test_weights_go_along_on_every_road(
    weights_week: Week, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The third question's points are in a file beside the notebook."""
    monkeypatch.chdir(weights_week.room)
    output = tmp_path / "parity.json"
    outcome = parity.main([weights_week.slug, "--output", str(output), "--only", "solution", "--only", "blank"])
    said = capsys.readouterr()
    assert outcome == 0, said
    for scores in json.loads(output.read_text()).values():
        assert scores["solution"] == {"q1": 3, "q2": 2, "q3": 3}
        assert scores["blank"] == {"q1": 0, "q2": 0, "q3": 0}
