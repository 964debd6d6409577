"""What grading a submission gives."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal

__all__ = ["CaseResult", "QuestionResult", "Result", "Status", "merge", "stopped"]

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


_STOPPED = "grading stopped: "


def stopped(why: str) -> str:
    """The note of a result whose grading ended by a fault that is not the submission's, for the instructor to read."""
    return f"{_STOPPED}{why}"


@dataclass(frozen=True)
class Result:
    """One submission. `note` says in one line why, where `status` is not "graded".

    `by_hand`: the questions that a person marks, and what each is worth. They are no part of `score` and `possible`.
    `assignment`: the week that the bundle grades; empty where an older gradekit graded.
    """

    submission: str
    status: Status
    questions: tuple[QuestionResult, ...]
    note: str = ""
    seconds: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)
    by_hand: dict[str, float] = field(default_factory=dict)
    assignment: str = ""

    @property
    def score(self) -> float:
        return round(sum(question.score for question in self.questions), 6)

    @property
    def possible(self) -> float:
        return round(sum(question.possible for question in self.questions), 6)

    def question(self, name: str) -> QuestionResult | None:
        return next((question for question in self.questions if question.name == name), None)

    @property
    def note_for_students(self) -> str:
        """The note, but for what the kit itself stopped on: that could be an error in a hidden test."""
        if self.note.startswith(_STOPPED):
            return "the grading itself stopped: your instructor knows why"
        return self.note

    def to_json(self) -> str:
        """Every field, as one line of JSON; numbers that are not finite as NaN and Infinity, as Python reads them."""
        questions = [{**vars(q), "cases": [vars(case) for case in q.cases]} for q in self.questions]
        return json.dumps({**vars(self), "questions": questions}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Result:
        """What `to_json` wrote. ValueError if it is anything else; a field that it lacks has its default."""
        try:
            fields = json.loads(text)
            questions = tuple(
                QuestionResult(**{**q, "cases": tuple(_case(case) for case in q["cases"])}) for q in fields["questions"]
            )
            return cls(**{**fields, "questions": questions})
        except (TypeError, KeyError) as error:
            raise ValueError(f"is not a result: {error}") from error

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
            "output": self.note_for_students,
            "stdout_visibility": "hidden",
            "tests": tests,
            "extra_data": {
                "submission": self.submission,
                **({"assignment": self.assignment} if self.assignment else {}),
                "status": self.status,
                **({"note": self.note} if self.note else {}),
                "possible": self.possible,
                "questions": {q.name: {"score": q.score, "possible": q.possible} for q in self.questions},
                **({"by_hand": self.by_hand} if self.by_hand else {}),
                "machine": self.machine,
            },
        }


def merge(old: Result, new: Result, questions: Collection[str]) -> Result:
    """`old` with `questions` as they came out in `new`; both are of one submission.

    A `note` is read as remarks, joined with "; ", each of which may begin with the question that it is about: "q2:
    ended by SIGSEGV; q4: did not finish within 60 s". A remark on a question goes where the question goes: those of
    `old` stay for the questions that stay, those of `new` come with the questions that come. A remark on no question
    is about the whole: it comes from `new`, and one of `old` stays until every question is replaced.
    The status is `new`'s where something went wrong and one of its remarks came along; else `old`'s for as long as one
    of its remarks stays; else "graded". So a crash in q2 outlives a fresh q3, and ends with a fresh q2.
    A submission that is "invalid" now has no fresh questions: `new` is returned as it is.
    `seconds` is the sum of both. `machine` is `new`'s; where `old`'s was another it stands below "others_graded_on".
    ValueError where `new` lacks one of `questions`, or is of another submission.
    """
    if old.submission != new.submission:
        raise ValueError(f"expected two results of {old.submission!r}, got one of {new.submission!r}")
    if new.status == "invalid":
        return new
    fresh = {question.name: question for question in new.questions if question.name in questions}
    if missing := sorted(set(questions) - set(fresh)):
        raise ValueError(f"the new result of {new.submission!r} lacks {', '.join(missing)}")
    merged = tuple(fresh.get(question.name, question) for question in old.questions)
    known = {question.name for question in old.questions}
    merged += tuple(question for name, question in fresh.items() if name not in known)
    stay = [
        text
        for about, text in _remarks(old)
        if (about not in questions if about else not known <= set(questions))  # "" is about the whole
    ]
    come = [text for about, text in _remarks(new) if not about or about in questions]
    status: Status = new.status if come and new.status != "graded" else old.status if stay else "graded"
    machine = new.machine
    before = {name: fact for name, fact in old.machine.items() if name != "others_graded_on"}
    if before != {name: fact for name, fact in machine.items() if name != "others_graded_on"}:
        machine = {**machine, "others_graded_on": before}
    return replace(
        old,
        status=status,
        questions=merged,
        note="; ".join(text for text in dict.fromkeys([*stay, *come]) if text),
        seconds=old.seconds + new.seconds,
        machine=machine,
        assignment=new.assignment or old.assignment,
        by_hand=new.by_hand or old.by_hand,
    )


def _remarks(result: Result) -> list[tuple[str, str]]:
    """(the question that it is about, or "" for the whole; the remark) for each remark in the note."""
    if not result.note:
        return [("", "")] if result.status != "graded" else []  # something went wrong, of which nothing is said
    names = "|".join(re.escape(question.name) for question in result.questions)
    if not names:
        return [("", result.note)]
    starts = re.compile(rf"({names}): ")
    remarks = []
    for text in re.split(rf"; (?=(?:{names}): )", result.note):
        start = starts.match(text)
        remarks.append((start[1] if start else "", text))
    return remarks


def _case(fields: dict[str, Any]) -> CaseResult:
    return CaseResult(**{**fields, "evidence": tuple(fields["evidence"])})
