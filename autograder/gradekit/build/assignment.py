"""What an instructor notebook says, parsed and checked: questions, their points, their test cases."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Assignment", "Criterion", "Question", "TestCase"]


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
class Criterion:
    """A line of a rubric: so many points for this."""

    points: float
    text: str


@dataclass(frozen=True)
class Question:
    """What carries points. `minutes` and `difficulty` (1 to 5) are read from its prose.

    A question that a person marks (a paragraph, a figure) is `manual`: it has a rubric in the place of test cases.
    """

    name: str
    title: str
    points: float
    minutes: int
    difficulty: int
    place: str
    cases: tuple[TestCase, ...] = field(default=())
    rubric: tuple[Criterion, ...] = field(default=())

    @property
    def manual(self) -> bool:
        return bool(self.rubric)


@dataclass(frozen=True)
class Assignment:
    """One week's notebook. `files` come with it; files named as in `hand_in` are handed in with it."""

    name: str
    files: tuple[str, ...]
    questions: tuple[Question, ...]
    hand_in: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        return sum(question.points for question in self.questions)

    @property
    def tested(self) -> tuple[Question, ...]:
        return tuple(question for question in self.questions if not question.manual)

    @property
    def manual(self) -> tuple[Question, ...]:
        return tuple(question for question in self.questions if question.manual)
