"""Feedback for a student."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from gradekit.grade.result import CaseResult, QuestionResult, Result
from gradekit.problem import Problem
from gradekit.report.feedback import write_feedback

from .conftest import EXPECTED, HIDDEN_NAME, result


@pytest.fixture
def folder(results: list[Result], tmp_path: Path) -> Path:
    return write_feedback(tmp_path, results, title="week05")


def read(folder: Path, name: str) -> tuple[str, str]:
    return (folder / f"{name}.html").read_text(), (folder / f"{name}.md").read_text()


def test_each_submission_has_a_page_and_a_text(folder: Path) -> None:
    assert len(list(folder.glob("*.html"))) == len(list(folder.glob("*.md"))) == 5


def test_nothing_of_a_hidden_test_is_told_but_its_kind(folder: Path) -> None:
    for path in folder.iterdir():
        text = path.read_text()
        assert EXPECTED not in text
        assert "expected 42" not in text
        assert HIDDEN_NAME not in text
        assert "fast enough" not in text
    for text in read(folder, "ben"):
        assert "the result differs from the reference by more than rounding" in text
        assert "0 of 1 passed" in text
        assert "a small image" in text


def test_what_was_measured_is_told_and_drawn(folder: Path) -> None:
    html, text = read(folder, "dan")
    assert "6 times the reference; the limit is 3" in html
    assert "6 times the reference; the limit is 3" in text
    assert "it takes longer than the limit allows" in text
    assert "<svg" in html


def test_what_is_not_too_slow_but_wrong_is_not_called_slow(tmp_path: Path) -> None:
    wrong = result("ada", True, 1.5, verdict="fail")
    text = read(write_feedback(tmp_path, [wrong], title="week05"), "ada")[1]
    assert "it takes longer" not in text
    assert "was not measured" in text


def test_public_tests_say_what_they_said_and_that_stays_text(folder: Path) -> None:
    html, text = read(folder, "ben")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    rendered = MarkdownIt("commonmark", {"html": True}).render(text)
    assert "<script" not in rendered
    assert "<img" not in rendered
    assert "alert(1)" in rendered
    for each in (html, text):
        assert "\x1b" not in each
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in each


def test_points_that_a_person_gives_are_named(folder: Path) -> None:
    for text in read(folder, "ada"):
        assert "q3: 4 points that a person gives" in text


def test_of_what_crashed_it_is_said(folder: Path) -> None:
    (text,) = [path.read_text() for path in folder.glob("*.md") if "Not graded in full (crashed)" in path.read_text()]
    assert "script" in text


def test_what_the_kit_stopped_on_is_not_told(tmp_path: Path) -> None:
    note = "grading stopped: ValueError: hidden window of size 7 must give 42"
    stopped = result("ada", True, 1.0, status="crashed", note=note)
    for text in read(write_feedback(tmp_path, [stopped], title="week05"), "ada"):
        assert "hidden window" not in text
        assert "your instructor knows why" in text
    assert "hidden window" not in json.dumps(stopped.to_gradescope()["output"])


@pytest.mark.parametrize("check", ["memory", "outcome"])
def test_figures_that_are_none_are_left_out(tmp_path: Path, check: str) -> None:
    data = {"ratio": "inf", "limit": 2.0, "student_bytes": 4, "reference_bytes": 2, "scores": ["nan"], "at_least": 0.9}
    odd = {"check": check, "experiment": "e", "device": "cpu", "verdict": "fail", "message": "", "data": data}
    case = CaseResult("t", 1.0, True, False, "", 0.1, (odd,))
    graded = Result("ada", "graded", (QuestionResult("q1", 1.0, (case,)),))
    assert "0 of 1 passed" in read(write_feedback(tmp_path, [graded], title="week05"), "ada")[1]


def test_memory_that_no_tensor_holds_is_called_that(tmp_path: Path) -> None:
    data = {"ratio": 1.2, "limit": 2.0, "student_bytes": 12, "reference_bytes": 10, "resident_bytes": 5_000_000}
    grown = {"check": "memory", "experiment": "e", "device": "cpu", "verdict": "fail", "message": "", "data": data}
    case = CaseResult("t", 1.0, True, False, "", 0.1, (grown,))
    graded = Result("ada", "graded", (QuestionResult("q1", 1.0, (case,)),))
    text = read(write_feedback(tmp_path, [graded], title="week05"), "ada")[1]
    assert "it holds more memory than the limit allows" in text
    assert "grew by 5 MB" in text


def test_a_file_in_the_way_is_told(results: list[Result], tmp_path: Path) -> None:
    (tmp_path / "feedback").write_text("mine")
    with pytest.raises(Problem, match="cannot be written"):
        write_feedback(tmp_path, results, title="week05")


@pytest.mark.parametrize("scores", [None, [], [0.71]], ids=["do not load", "refused", "scored"])
def test_of_weights_it_is_told_what_was_wrong_with_them_and_nothing_of_the_test(
    tmp_path: Path, scores: list[float] | None
) -> None:
    refused = {"refused": "network.safetensors has 9 bytes: 8 are allowed <script>"} if scores == [] else {}
    data = {"file": "network.safetensors", "at_least": 0.9} | ({} if scores is None else {"scores": scores}) | refused
    evidence = {"check": "checkpoint", "experiment": "e", "device": "cpu", "verdict": "fail", "data": data}
    evidence["message"] = f"hidden, {EXPECTED}"
    case = CaseResult(HIDDEN_NAME, 3.0, True, False, evidence["message"], 1.0, (evidence,))
    one = Result("ada", "graded", (QuestionResult("q1", 3.0, (case,)),), "", 1.0, {})
    for text in read(write_feedback(tmp_path, [one], title="week05"), "ada"):
        assert "the weights that were handed in were not taken, do not fit your network, or do not reach" in text
        assert ("scores 0.71" in text) is bool(scores)
        assert ("has 9 bytes: 8 are allowed" in text) is (scores == [])
        assert EXPECTED not in text
        assert HIDDEN_NAME not in text
        assert "<script>" not in text
