"""What is found out about a week: a line of the table each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gradekit.grade.result import Result
from gradekit.verify.automatic import Automatic
from gradekit.verify.variant import Mutant, Variant

__all__ = ["Finding", "as_declared", "automatic", "blank", "full_marks", "idle_tests", "inputs", "repeats"]

Kind = Literal["solution", "inputs", "blank", "mutant", "alternate", "automatic", "repeats", "tests"]


@dataclass(frozen=True)
class Finding:
    """One line of the table: what was tried, what came of it, and what was wrong with that (nothing, as a rule)."""

    kind: Kind
    name: str
    score: str
    outcome: str
    surprises: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.surprises


def _failed(result: Result, question: str) -> list[str]:
    return [case.name for q in result.questions if q.name == question for case in q.cases if not case.passed]


def _lost(result: Result) -> list[str]:
    return [f"{q.name}: failed {name!r}" for q in result.questions for name in _failed(result, q.name)]


def _score(result: Result) -> str:
    return f"{result.score:g}/{result.possible:g}"


def _unfinished(result: Result) -> list[str]:
    return [] if result.status == "graded" else [f"{result.status}: {result.note}"]


def full_marks(kind: Kind, result: Result, variant: Variant | None = None) -> Finding:
    """All test cases were run, and passed."""
    surprises = _unfinished(result) + _lost(result)
    if not surprises and result.score != result.possible:
        surprises = ["not all test cases were run"]
    outcome = "full marks" if not surprises else "should have full marks"
    return Finding(kind, variant.name if variant else kind, _score(result), outcome, tuple(surprises))


def inputs(solution: Result) -> Finding:
    """Inputs for which a plainly wrong answer would pass (the checks say so in their evidence)."""
    blind = [
        f"{question.name}: {case.name!r}: {text}"
        for question in solution.questions
        for case in question.cases
        for evidence in case.evidence
        for text in evidence["data"].get("blind", ())
    ]
    outcome = "tell zeros, a sign, 5 % and a shift from right" if not blind else "let wrong answers pass"
    return Finding("inputs", "inputs", "", outcome, tuple(blind))


def blank(result: Result) -> Finding:
    """Who hands in nothing passes nothing."""
    passed = [f"{q.name}: passed {case.name!r}" for q in result.questions for case in q.cases if case.passed]
    return Finding("blank", "blank", _score(result), "0 points", tuple(_unfinished(result) + passed))


def as_declared(mutant: Mutant, result: Result, solution: Result) -> Finding:
    """A mutant fails what it says, and nothing else."""
    surprises = _unfinished(result)
    if not surprises:
        for question in result.questions:
            surprises += mutant.surprises(question.name, _failed(result, question.name))
        unknown = set(mutant.fails) - {question.name for question in result.questions}
        surprises += [f"{name}: there is no such question" for name in sorted(unknown)]
    whole = {q.name: len(q.cases) for q in solution.questions}
    lost = [
        f"{q.name} -{q.possible - q.score:g}" if len(q.cases) == whole.get(q.name) else f"{q.name} fails"
        for q in result.questions
        if q.score < q.possible
    ]
    return Finding("mutant", mutant.name, _score(result), ", ".join(lost) or "caught by nothing", tuple(surprises))


def automatic(found: Automatic, at_least: float) -> Finding:
    """Enough of the automatic mutants are caught, and what is listed as equivalent is."""
    counted = found.caught + len(found.survived)
    short = [f"survived: {mutation.name}" for mutation in found.survived] if found.score < at_least else []
    listed = f"; {found.equivalent} more are equivalent" if found.equivalent else ""
    outcome = f"{found.score:.1%} of the automatic mutants are caught, at least {at_least:.0%} must be{listed}"
    return Finding("automatic", "automatic", f"{found.caught}/{counted}", outcome, (*short, *found.wrong))


def repeats(gradings: Sequence[Result]) -> Finding:
    """All gradings of the solution have the same verdicts."""
    first, *others = gradings

    def verdicts(result: Result) -> list[tuple[str, str, bool]]:
        return [(q.name, case.name, case.passed) for q in result.questions for case in q.cases]

    different = [
        f"{other.submission}: {_score(other)}, {other.status}; {'; '.join(_lost(other))}"
        for other in others
        if other.status != first.status or verdicts(other) != verdicts(first)
    ]
    outcome = f"{len(others) + 1} gradings of the solution agree" if not different else "gradings differ"
    return Finding("repeats", "repeated", _score(first), outcome, tuple(different))


def idle_tests(solution: Result, mutants: list[Result]) -> list[Finding]:
    """Test cases that no mutant fails: nothing shows that they can."""
    caught = {(q.name, name) for result in mutants for q in result.questions for name in _failed(result, q.name)}
    every = [(q.name, case.name) for q in solution.questions for case in q.cases]
    idle = [f"{question}: no mutant fails {name!r}" for question, name in every if (question, name) not in caught]
    outcome = (
        f"each of {len(every)} test cases is failed by a mutant" if not idle else "some test cases fail for nobody"
    )
    return [Finding("tests", "test cases", f"{len(every) - len(idle)}/{len(every)}", outcome, tuple(idle))]
