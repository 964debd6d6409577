"""What grading a submission gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["CaseResult", "QuestionResult", "Result", "Status"]

Status = Literal["graded", "timeout", "crashed", "invalid"]


@dataclass(frozen=True)
class CaseResult:
    """One test case: passed or not, and what the checks measured on the way."""

    name: str
    points: float
    hidden: bool
    passed: bool
    message: str
    seconds: float
    evidence: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class QuestionResult:
    """One question; `cases` is empty when it was never reached."""

    name: str
    possible: float
    cases: tuple[CaseResult, ...] = ()

    @property
    def score(self) -> float:
        return round(sum(case.points for case in self.cases if case.passed), 6)


@dataclass(frozen=True)
class Result:
    """One submission. `note` says in one line why, where `status` is not "graded"."""

    submission: str
    status: Status
    questions: tuple[QuestionResult, ...]
    note: str = ""
    seconds: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        return round(sum(question.score for question in self.questions), 6)

    @property
    def possible(self) -> float:
        return round(sum(question.possible for question in self.questions), 6)

    def to_gradescope(self) -> dict[str, Any]:
        """The results.json of a Gradescope autograder; the kit's own facts stand under `extra_data`."""
        tests = [
            {
                "name": f"{question.name} · {case.name}",
                "score": case.points if case.passed else 0.0,
                "max_score": case.points,
                "status": "passed" if case.passed else "failed",
                "visibility": "hidden" if case.hidden else "visible",
                "output": case.message,
                "extra_data": {"seconds": round(case.seconds, 4), "evidence": list(case.evidence)},
            }
            for question in self.questions
            for case in question.cases
        ]
        return {
            "score": self.score,
            "execution_time": round(self.seconds, 3),
            "output": self.note,
            "stdout_visibility": "hidden",
            "tests": tests,
            "extra_data": {
                "submission": self.submission,
                "status": self.status,
                "possible": self.possible,
                "questions": {q.name: {"score": q.score, "possible": q.possible} for q in self.questions},
                "machine": self.machine,
            },
        }
