"""A small class, made by hand: what its results are is plain to see."""

from __future__ import annotations

from typing import Any

import pytest

from gradekit.grade.result import CaseResult, QuestionResult, Result

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31m \N{RIGHT-TO-LEFT OVERRIDE}gnp & ]]> </script>"
HIDDEN_NAME = "windows of every size agree with the reference"
EXPECTED = "expected 42.5"


def speed(ratio: float, limit: float, verdict: str = "") -> dict[str, Any]:
    return {
        "check": "speed",
        "experiment": "convolve",
        "device": "cpu",
        "verdict": verdict or ("pass" if ratio <= limit else "fail"),
        "message": f"{ratio} times the reference, {EXPECTED}",
        "data": {
            "ratio": ratio,
            "limit": limit,
            "student_s": [0.01 * ratio, 0.011 * ratio, 0.012 * ratio],
            "reference_s": [0.01, 0.011, 0.012],
        },
    }


def accuracy(passed: bool) -> dict[str, Any]:
    said = "" if passed else f"wrong at (0, 1): got 3, {EXPECTED}"
    verdict = "pass" if passed else "fail"
    return {"check": "accuracy", "experiment": "e", "device": "cpu", "verdict": verdict, "message": said, "data": {}}


def result(name: str, right: bool, ratio: float, **more: Any) -> Result:
    """q1: a public and a hidden test; q2: its speed, hidden."""
    q1 = (
        CaseResult("a small image", 1.0, False, right, "" if right else HOSTILE, 0.5),
        CaseResult(HIDDEN_NAME, 2.0, True, right, "" if right else accuracy(right)["message"], 0.5, (accuracy(right),)),
    )
    timed = speed(ratio, 3.0, more.pop("verdict", ""))
    passed = timed["verdict"] != "fail"
    q2 = (
        CaseResult("halves two", 1.0, False, True, "", 0.1),
        CaseResult("fast enough", 1.0, True, passed, "" if passed else timed["message"], 1.0, (timed,)),
    )
    machine = {"isolation": {"level": more.pop("level", "jail")}}
    questions = (QuestionResult("q1", 3.0, q1), QuestionResult("q2", 2.0, q2))
    return Result(
        name,
        more.pop("status", "graded"),
        questions,
        more.pop("note", ""),
        2.0,
        machine,
        more.pop("by_hand", {"q3": 4.0}),
    )


@pytest.fixture
def results() -> list[Result]:
    return [
        result("ben", False, 2.0),
        result("ada", True, 1.0),
        result("dan", True, 6.0),
        result(HOSTILE, False, 6.0, status="crashed", note=f"q1: {HOSTILE}"),
        result("eve", True, 2.9, verdict="undecided", level="process"),
    ]
