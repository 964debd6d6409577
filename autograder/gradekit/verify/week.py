"""Verify one week: grade solution, blank, mutants and alternates, and hold each to what is declared."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat

from gradekit.course import Week
from gradekit.grade.batch import grade_batch
from gradekit.grade.bundle import open_bundle
from gradekit.grade.engine import Terms
from gradekit.grade.result import Result
from gradekit.grade.submission import Submission
from gradekit.verify.apply import apply, read_variants
from gradekit.verify.busy import busy, cores
from gradekit.verify.limits import Limit, limits
from gradekit.verify.variant import Mutant, Variant

__all__ = ["Finding", "Verification", "stress_week", "verify_week"]

Kind = Literal["solution", "inputs", "blank", "mutant", "alternate", "repeats", "tests"]


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


@dataclass(frozen=True)
class Verification:
    """All that was found out about one week."""

    week: str
    findings: tuple[Finding, ...]
    limits: tuple[Limit, ...]
    results: dict[str, Result]

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        return {
            "week": self.week,
            "ok": self.ok,
            "findings": [
                {
                    "kind": f.kind,
                    "name": f.name,
                    "ok": f.ok,
                    "score": f.score,
                    "outcome": f.outcome,
                    "surprises": list(f.surprises),
                }
                for f in self.findings
            ],
            "limits": [dataclasses.asdict(limit) for limit in self.limits],
            "results": {name: result.to_gradescope() for name, result in self.results.items()},
        }


def verify_week(
    week: Week,
    *,
    jobs: int,
    repeats: int = 20,
    seconds: float = 600.0,
    on_start: Callable[[int], None] = lambda total: None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Verification:
    """Grade everything and compare. Problem where a variant cannot be made; the bundle must be built."""
    mutants, alternates = read_variants(week.mutants, week.relative(week.mutants))
    blank = Submission("blank", week.release / week.notebook_name)
    graded = _grade(week, [*mutants, *alternates], repeats, [blank], jobs, seconds, on_start, on_result)
    results = {result.submission: result for result in graded}
    findings = [
        _full_marks("solution", results["solution"]),
        _inputs(results["solution"]),
        _blank(results["blank"]),
        *(_mutant(mutant, results[mutant.name]) for mutant in mutants),
        *(_full_marks("alternate", results[alternate.name], alternate) for alternate in alternates),
        _repeats(graded, repeats),
        *_idle_tests(results["solution"], [results[mutant.name] for mutant in mutants]),
    ]
    peers = {mutant.name: (mutant.question, mutant.peer) for mutant in mutants if mutant.peer}
    found = limits(results["solution"], {mutant.name: results[mutant.name] for mutant in mutants}, peers)
    return Verification(week.slug, tuple(findings), tuple(found), results)


def stress_week(
    week: Week,
    *,
    jobs: int,
    repeats: int = 50,
    per_core: int = 2,
    seconds: float = 600.0,
    on_start: Callable[[int], None] = lambda total: None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Verification:
    """Grade what must have full marks, the solution so many times and each alternate, while `per_core` processes on
    every core do nothing but compute. To be called from the main thread, see `busy`.
    """
    _, alternates = read_variants(week.mutants, week.relative(week.mutants))
    with busy(per_core * cores(), lifetime_s=24 * 3600.0):
        graded = _grade(week, alternates, repeats, [], jobs, seconds, on_start, on_result)
    results = {result.submission: result for result in graded}
    findings = [
        _full_marks("solution", results["solution"]),
        *(_full_marks("alternate", results[alternate.name], alternate) for alternate in alternates),
        _repeats(graded, repeats),
    ]
    return Verification(week.slug, tuple(findings), tuple(limits(results["solution"], {}, {})), results)


def _grade(
    week: Week,
    variants: Sequence[Variant],
    repeats: int,
    others: Sequence[Submission],
    jobs: int,
    seconds: float,
    on_start: Callable[[int], None],
    on_result: Callable[[Result], None],
) -> list[Result]:
    """The solution first and, `repeats` - 1 times again, last; in between `others` and the variants."""
    solution = nbformat.read(week.solutions / week.notebook_name, as_version=4)
    label = week.relative(week.mutants)
    with tempfile.TemporaryDirectory(prefix="gradekit-verify-") as folder:
        submissions = [Submission("solution", week.solutions / week.notebook_name), *others]
        for number, variant in enumerate(variants):
            path = Path(folder) / f"{number}.ipynb"
            nbformat.write(apply(variant, solution, label), path)
            submissions.append(Submission(variant.name, path))
        for number in range(2, repeats + 1):
            submissions.append(Submission(f"solution, grading {number}", submissions[0].path))
        on_start(len(submissions))
        with open_bundle(week.bundle) as bundle:
            return grade_batch(bundle, submissions, jobs=jobs, terms=Terms(seconds), on_result=on_result)


def _failed(result: Result, question: str) -> list[str]:
    return [case.name for q in result.questions if q.name == question for case in q.cases if not case.passed]


def _lost(result: Result) -> list[str]:
    return [f"{q.name}: failed {name!r}" for q in result.questions for name in _failed(result, q.name)]


def _score(result: Result) -> str:
    return f"{result.score:g}/{result.possible:g}"


def _unfinished(result: Result) -> list[str]:
    return [] if result.status == "graded" else [f"{result.status}: {result.note}"]


def _full_marks(kind: Kind, result: Result, variant: Variant | None = None) -> Finding:
    surprises = _unfinished(result) + _lost(result)
    if not surprises and result.score != result.possible:
        surprises = ["not all test cases were run"]
    outcome = "full marks" if not surprises else "should have full marks"
    return Finding(kind, variant.name if variant else kind, _score(result), outcome, tuple(surprises))


def _inputs(solution: Result) -> Finding:
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


def _blank(result: Result) -> Finding:
    passed = [f"{q.name}: passed {case.name!r}" for q in result.questions for case in q.cases if case.passed]
    return Finding("blank", "blank", _score(result), "0 points", tuple(_unfinished(result) + passed))


def _mutant(mutant: Mutant, result: Result) -> Finding:
    surprises = _unfinished(result)
    if not surprises:
        for question in result.questions:
            surprises += mutant.surprises(question.name, _failed(result, question.name))
        unknown = set(mutant.fails) - {question.name for question in result.questions}
        surprises += [f"{name}: there is no such question" for name in sorted(unknown)]
    lost = [f"{q.name} -{q.possible - q.score:g}" for q in result.questions if q.score < q.possible]
    return Finding("mutant", mutant.name, _score(result), ", ".join(lost) or "caught by nothing", tuple(surprises))


def _repeats(graded: list[Result], repeats: int) -> Finding:
    first, others = graded[0], graded[len(graded) - repeats + 1 :] if repeats > 1 else []

    def verdicts(result: Result) -> list[tuple[str, str, bool]]:
        return [(q.name, case.name, case.passed) for q in result.questions for case in q.cases]

    different = [
        f"{other.submission}: {_score(other)}, {other.status}; {'; '.join(_lost(other))}"
        for other in others
        if other.status != first.status or verdicts(other) != verdicts(first)
    ]
    outcome = f"{len(others) + 1} gradings of the solution agree" if not different else "gradings differ"
    return Finding("repeats", "repeated", _score(first), outcome, tuple(different))


def _idle_tests(solution: Result, mutants: list[Result]) -> list[Finding]:
    """Test cases that no mutant fails: nothing shows that they can."""
    caught = {(q.name, name) for result in mutants for q in result.questions for name in _failed(result, q.name)}
    every = [(q.name, case.name) for q in solution.questions for case in q.cases]
    idle = [f"{question}: no mutant fails {name!r}" for question, name in every if (question, name) not in caught]
    outcome = (
        f"each of {len(every)} test cases is failed by a mutant" if not idle else "some test cases fail for nobody"
    )
    return [Finding("tests", "test cases", f"{len(every) - len(idle)}/{len(every)}", outcome, tuple(idle))]
