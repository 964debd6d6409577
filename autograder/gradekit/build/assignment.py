"""What an instructor notebook says, parsed and checked: questions, their points, their test cases."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Assignment", "Question", "TestCase"]


@dataclass(frozen=True)
class TestCase:
    """One test case: what it says to students, what it is worth, and whether they see it."""

    __test__ = False  # not for pytest

    question: str
    function: str
    name: str
    points: float
    hidden: bool
    place: str


@dataclass(frozen=True)
class Question:
    """What carries points. `minutes` and `difficulty` (1 to 5) are read from its prose."""

    name: str
    title: str
    points: float
    minutes: int
    difficulty: int
    place: str
    cases: tuple[TestCase, ...] = field(default=())


@dataclass(frozen=True)
class Assignment:
    """One week's notebook."""

    name: str
    files: tuple[str, ...]
    questions: tuple[Question, ...]

    @property
    def points(self) -> float:
        return sum(question.points for question in self.questions)
