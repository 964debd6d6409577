"""How many automatic mutants do the tests catch?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from gradekit.grade.batch import grade_each
from gradekit.grade.bundle import Bundle
from gradekit.grade.engine import Terms
from gradekit.grade.result import Result
from gradekit.grade.submission import Submission
from gradekit.verify.mutate import Mutation
from gradekit.verify.variant import Equivalent

__all__ = ["Automatic", "catch"]


@dataclass(frozen=True)
class Automatic:
    """What became of the mutations: `caught` by a failed test case, a crash or the end of the time; `survived`;
    `equivalent`: listed as such, and not graded. `wrong`: what is off about the list itself, a line each.
    """

    caught: int
    survived: tuple[Mutation, ...]
    equivalent: int
    wrong: tuple[str, ...]

    @property
    def score(self) -> float:
        """The share that was caught of those that are not equivalent; 1 if there are none."""
        counted = self.caught + len(self.survived)
        return self.caught / counted if counted else 1.0


def catch(
    bundle: Bundle,
    solution: Any,
    mutations: Sequence[Mutation],
    equivalents: Sequence[Equivalent],
    touched: Mapping[str, frozenset[str]],
    graded: Result,
    folder: Path,
    *,
    beside: Path | None = None,
    jobs: int,
    seconds: float,
    on_result: Callable[[Result], None],
) -> Automatic:
    """Grade each mutation of the notebook `solution` by the tests of its own question, up to the first test case that
    it fails; one that lives, by those of the other questions that it touches too. Those that are listed are left out.

    touched: see `reach`; graded: the result of the solution, from which each question's time is set; folder: for the
    notebooks, each of which is removed when it was graded; beside: see Submission. `on_result` is called with the last
    result of each.
    """
    listed = {m: [e for e in equivalents if e.question == m.question and e.makes(m.before, m.after)] for m in mutations}
    counted = [mutation for mutation in mutations if not listed[mutation]]
    allowed = {q.name: 5 + 3 * sum(case.seconds for case in q.cases) for q in graded.questions}

    def living(some: Sequence[Mutation], questions: Sequence[frozenset[str]], *, last: bool) -> list[Mutation]:
        """Those that pass all tests of their questions."""
        terms = [
            Terms(
                seconds,
                question_s=max((allowed[question] for question in its), default=5.0),
                questions=its,
                enough={question: ("*",) for question in its},
            )
            for its in questions
        ]
        submissions = [_write(solution, mutation, folder / f"{i}.ipynb", beside) for i, mutation in enumerate(some)]
        alive = []
        for i, result in grade_each(bundle, submissions, jobs=jobs, terms=terms):
            submissions[i].path.unlink()
            passed = result.status == "graded" and all(case.passed for q in result.questions for case in q.cases)
            lives = passed or not result.machine.get("complete", True)  # disturbed from outside: nothing caught it
            alive += [i] if lives else []
            if last or not lives:
                on_result(result)
        return [some[i] for i in sorted(alive)]

    alive = living(counted, [frozenset({m.question}) for m in counted], last=False)
    survived = living(alive, [touched[m.question] - {m.question} for m in alive], last=True)
    used = [e for found in listed.values() for e in found]
    idle = [f"{e.question}: no automatic mutant makes a change {e.replace}" for e in equivalents if e not in used]
    return Automatic(len(counted) - len(survived), tuple(survived), len(mutations) - len(counted), tuple(idle))


def _write(solution: Any, mutation: Mutation, path: Path, beside: Path | None) -> Submission:
    notebook = copy.copy(solution)
    notebook.cells = [copy.copy(cell) for cell in solution.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        cell.outputs = []
        if str(cell.id) == mutation.cell:
            cell.source = mutation.source
    nbformat.write(notebook, path)
    return Submission(mutation.name, path, beside)
