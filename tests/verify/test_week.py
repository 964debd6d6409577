"""What of a mutant is graded at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradekit.grade.bundle import Bundle
from gradekit.grade.engine import Terms
from gradekit.grade.result import CaseResult, QuestionResult, Result
from gradekit.grade.submission import Submission
from gradekit.verify import week
from gradekit.verify.variant import Mutant


def question(name: str) -> QuestionResult:
    """A question with a test of each kind."""
    kinds = ("accuracy", "speed", "outcome")
    return QuestionResult(name, 3.0, tuple(CaseResult(k, 1.0, True, True, "", 1.0, ({"check": k},)) for k in kinds))


@pytest.mark.parametrize(
    ("fails", "skipped"),
    [
        ({"q1": "accuracy"}, ["speed", "outcome"]),
        ({"q1": "accuracy", "q2": "speed"}, ["outcome"]),
        ({"q1": "accuracy", "q2": ("accuracy", "out*")}, ["speed"]),
        ({"q1": "accuracy", "q2": "*"}, []),
    ],
)
def test_only_what_takes_long_in_another_question_and_is_not_declared_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: dict[str, str | tuple[str, ...]], skipped: list[str]
) -> None:
    touched = Terms(60.0, questions=frozenset({"q1", "q2"}))
    monkeypatch.setattr(week, "_touched", lambda *_: touched)
    mutant = Mutant("m", question="q1", fails=fails, why="a slip", replace={"a": "b"})
    solution = Result("solution", "graded", (question("q1"), question("q2")))
    terms = week._terms(mutant, Bundle("", {}, tmp_path, "", ()), Submission("m", tmp_path), solution, 60.0)
    assert terms.skip == {"q2": skipped}
    assert terms.questions == touched.questions
    assert set(terms.enough) == ({"q2"} if fails.get("q2") == "*" else set())
