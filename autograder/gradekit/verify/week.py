"""Verify one week: grade solution, blank, mutants and alternates, and hold each to what is declared."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import nbformat

from gradekit.course import Week
from gradekit.grade.batch import grade_batch
from gradekit.grade.bundle import Bundle, open_bundle
from gradekit.grade.cells import script
from gradekit.grade.engine import Terms
from gradekit.grade.result import Result, merge
from gradekit.grade.submission import Submission, read_cells
from gradekit.verify import finding
from gradekit.verify.apply import apply, read_equivalents, read_variants
from gradekit.verify.automatic import catch
from gradekit.verify.busy import busy, cores
from gradekit.verify.finding import Finding
from gradekit.verify.limits import Limit, limits
from gradekit.verify.mutate import Mutation, mutations
from gradekit.verify.reach import reach
from gradekit.verify.variant import Mutant, Variant

__all__ = ["Finding", "Verification", "stress_week", "verify_week"]

_LONG = ("checkpoint", "outcome", "speed")
"""Checks that take seconds."""


@dataclass(frozen=True)
class Verification:
    """All that was found out about one week."""

    week: str
    findings: tuple[Finding, ...]
    limits: tuple[Limit, ...]
    survivors: tuple[Mutation, ...]  # automatic mutants that no test caught
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
            "survivors": [dataclasses.asdict(mutation) for mutation in self.survivors],
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
    """Grade everything and compare. Problem where a variant cannot be made; the bundle must be built.

    A mutant or alternate is graded by the questions that a change to its answer can touch (see `reach`), or that it
    must fail; for the others the solution's results stand. Each automatic mutant is graded until a test catches it.
    What the solution hands in beside its notebook is handed in with all of them, and with the blank.
    """
    label = week.relative(week.mutants)
    mutants, alternates = read_variants(week.mutants, label)
    equivalents, at_least = read_equivalents(week.mutants, label)
    notebook: Any = nbformat.read(week.solutions / week.notebook_name, as_version=4)
    release: Any = nbformat.read(week.release / week.notebook_name, as_version=4)
    made = mutations(notebook, release)
    variants: list[Variant] = [*mutants, *alternates]
    on_start(repeats + 1 + len(variants) + len(made))
    with open_bundle(week.bundle) as bundle, tempfile.TemporaryDirectory(prefix="gradekit-verify-") as folder:
        grade = partial(grade_batch, bundle, jobs=jobs, on_result=on_result)
        first, blank = _solution(week), Submission("blank", week.release / week.notebook_name, week.solutions)
        submissions = _write(week, variants, notebook, Path(folder))
        right = submissions[len(mutants) :]
        wide = [_touched(its, bundle, submission, seconds) for its, submission in zip(alternates, right, strict=True)]
        solution, nothing, *graded = grade([first, blank, *right], terms=[Terms(seconds), Terms(seconds), *wide])
        wrong = submissions[: len(mutants)]
        narrow = [
            _terms(its, bundle, submission, solution, seconds) for its, submission in zip(mutants, wrong, strict=True)
        ]
        graded += grade(wrong, terms=narrow)
        results = {
            result.submission: _completed(result, its, solution)
            for result, its in zip(graded, [*wide, *narrow], strict=True)
        }
        again = grade(_again(first, repeats), terms=Terms(seconds))
        automatic = catch(
            bundle,
            notebook,
            made,
            equivalents,
            reach(_cells(bundle, first), _tests(bundle)),
            solution,
            Path(folder),
            beside=week.solutions,
            jobs=jobs,
            seconds=seconds,
            on_result=on_result,
        )
    found = [
        finding.full_marks("solution", solution),
        finding.inputs(solution),
        finding.blank(nothing),
        *(finding.as_declared(mutant, results[mutant.name], solution) for mutant in mutants),
        *(finding.full_marks("alternate", results[alternate.name], alternate) for alternate in alternates),
        finding.automatic(automatic, at_least),
        finding.repeats([solution, *again]),
        *finding.idle_tests(solution, [results[mutant.name] for mutant in mutants]),
    ]
    peers = {mutant.name: (mutant.question, mutant.peer) for mutant in mutants if mutant.peer}
    beside = limits(solution, {mutant.name: results[mutant.name] for mutant in mutants}, peers)
    every = {"solution": solution, "blank": nothing, **results, **{result.submission: result for result in again}}
    return Verification(week.slug, tuple(found), tuple(beside), automatic.survived, every)


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
    notebook: Any = nbformat.read(week.solutions / week.notebook_name, as_version=4)
    on_start(repeats + len(alternates))
    with (
        open_bundle(week.bundle) as bundle,
        tempfile.TemporaryDirectory(prefix="gradekit-verify-") as folder,
        busy(per_core * cores(), lifetime_s=24 * 3600.0),
    ):
        first = _solution(week)
        submissions = [first, *_write(week, alternates, notebook, Path(folder)), *_again(first, repeats)]
        graded = grade_batch(bundle, submissions, jobs=jobs, terms=Terms(seconds), on_result=on_result)
    results = {result.submission: result for result in graded}
    solution = graded[0]
    found = [
        finding.full_marks("solution", solution),
        *(finding.full_marks("alternate", results[alternate.name], alternate) for alternate in alternates),
        finding.repeats([solution, *graded[1 + len(alternates) :]]),
    ]
    return Verification(week.slug, tuple(found), tuple(limits(solution, {}, {})), (), results)


def _solution(week: Week) -> Submission:
    return Submission("solution", week.solutions / week.notebook_name, week.solutions)


def _again(solution: Submission, repeats: int) -> list[Submission]:
    return [replace(solution, name=f"solution, grading {number}") for number in range(2, repeats + 1)]


def _write(week: Week, variants: Sequence[Variant], notebook: Any, folder: Path) -> list[Submission]:
    submissions = []
    for number, variant in enumerate(variants):
        path = folder / f"variant-{number}.ipynb"
        nbformat.write(apply(variant, notebook, week.relative(week.mutants)), path)
        submissions.append(Submission(variant.name, path, week.solutions))
    return submissions


def _touched(variant: Variant, bundle: Bundle, submission: Submission, seconds: float) -> Terms:
    """All that the variant can touch."""
    return Terms(seconds, questions=reach(_cells(bundle, submission), _tests(bundle))[variant.question])


def _terms(mutant: Mutant, bundle: Bundle, submission: Submission, solution: Result, seconds: float) -> Terms:
    """All that the mutant can touch. Of another question that it may fail as it likes, one failure is enough; and the
    training and timing of another question are left out where it does not say that it fails them: they take longest.
    """
    touched = _touched(mutant, bundle, submission, seconds)
    others = {question: mutant.patterns(question) for question in mutant.fails if question != mutant.question}
    skip = {
        question.name: [
            case.name
            for case in question.cases
            if any(evidence["check"] in _LONG for evidence in case.evidence)
            and not any(fnmatchcase(case.name, pattern) for pattern in mutant.patterns(question.name))
        ]
        for question in solution.questions
        if question.name != mutant.question
    }
    return replace(
        touched,
        questions=(touched.questions or frozenset()) | set(mutant.fails),
        enough={question: patterns for question, patterns in others.items() if patterns == ("*",)},
        skip=skip,
    )


def _completed(result: Result, terms: Terms, solution: Result) -> Result:
    """With the solution's questions and test cases in the place of those that need not be run."""
    questions = []
    for known, question in zip(solution.questions, result.questions, strict=True):
        ran = {case.name: case for case in question.cases}
        there = {*ran, *terms.skip.get(known.name, ())}
        questions.append(replace(question, cases=tuple(ran.get(c.name, c) for c in known.cases if c.name in there)))
    whole = replace(result, questions=tuple(questions))
    return merge(replace(solution, submission=result.submission), whole, terms.questions or ())


def _cells(bundle: Bundle, submission: Submission) -> list[dict[str, Any]]:
    return [vars(cell) for cell in script(bundle.cells, read_cells(submission, bundle.assignment)).cells]


def _tests(bundle: Bundle) -> dict[str, Path]:
    return {question: bundle.tests / f"{question}.py" for question in bundle.points}
