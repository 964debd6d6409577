"""Grade a question inside the student's own kernel: what a check cell does when nbgrader runs it.

nbgrader runs notebook and tests in one kernel and takes the first result of a check cell for its points; whatever
that cell writes to stderr costs all of them. There is nobody to be kept apart here: `gradekit grade` is the safe road.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import os
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Everything else is imported when a check runs, where what an import has to say goes nowhere.
if TYPE_CHECKING:
    from gradekit.grade.result import CaseResult

__all__ = ["Grader", "Score"]


@dataclass(frozen=True, repr=False)
class Score:
    """The points of a question. It shows as the bare number that nbgrader reads, whatever `%precision` says."""

    points: float
    cases: tuple[CaseResult, ...]

    def __repr__(self) -> str:
        return repr(self.points)

    def _repr_html_(self) -> str:
        """For who reads the graded notebook, students among them: hidden tests are counted, not named."""
        lines = [f"{self.points:g} of {sum(case.points for case in self.cases):g} points"]
        for case in self.cases:
            if not case.hidden:
                said = "passed" if case.passed else f"failed: {case.message}"
                lines.append(f"{case.name}: {said}")
        hidden = [case.passed for case in self.cases if case.hidden]
        lines.append(f"{sum(hidden)} of {len(hidden)} hidden tests passed")
        return f"<pre>{html.escape(chr(10).join(lines))}</pre>"


class Grader:
    """Stands in for `otter.Notebook` from the check cell of `question` on: its `check` runs hidden tests as well.

    tests: the text of the question's whole test file; reference: that of the reference implementation, which is named
    `reference.<week>`; namespace: the student's. `points` is the most that `check` gives.
    """

    def __init__(
        self, question: str, points: float, namespace: dict[str, Any], *, week: str, reference: str, tests: str
    ) -> None:
        self._question, self._points, self._namespace = question, points, namespace
        self._week, self._reference, self._tests = week, reference, tests

    def check(self, question: str) -> Score | None:
        """The points of the question; None for another, which has a grader of its own."""
        if question != self._question:
            return None
        with _silent(), _seed(self._reference + self._tests), _importable(self._week, self._reference):
            from gradekit.grade.result import QuestionResult
            from gradekit.grade.test_file import parse_test_file, run_test_file

            file = parse_test_file(self._tests, Path("tests") / f"{question}.py")
            cases = tuple(run_test_file(file, self._namespace))
            score = QuestionResult(question, self._points, cases).score
        return Score(float(min(score, self._points)), cases)

    def check_all(self, *args: Any, **options: Any) -> None:
        """As `grader.check_all()` in a notebook: each question is checked where it stands."""

    def export(self, *args: Any, **options: Any) -> None:
        """As `grader.export()` in a notebook: the submission is here already."""

    def to_pdf(self, *args: Any, **options: Any) -> None:
        """As `grader.to_pdf()` in a notebook."""


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing that is printed inside comes out, not even from below Python. The sink stays open: loggers keep it."""
    held: set[Any] = {sys.stderr, sys.__stderr__}  # by loggers that were set up before
    nowhere = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), contextlib.ExitStack() as after:
        with contextlib.suppress(OSError):  # a notebook may have closed it
            kept = os.dup(2)
            after.callback(os.close, kept)
            after.callback(os.dup2, kept, 2)
            os.dup2(nowhere.fileno(), 2)
        for stream in held:
            with contextlib.suppress(AttributeError):  # one of Python's own: its descriptor is turned away already
                stream.write = nowhere.write
                after.callback(delattr, stream, "write")
        yield


@contextlib.contextmanager
def _seed(text: str) -> Iterator[None]:
    """The inputs that checks draw: the same every time, unknown to who has not seen the tests."""
    before = os.environ.get("GRADEKIT_SEED")
    os.environ["GRADEKIT_SEED"] = str(int(hashlib.sha256(text.encode()).hexdigest()[:15], 16))
    try:
        yield
    finally:
        os.environ.pop("GRADEKIT_SEED", None)
        if before is not None:
            os.environ["GRADEKIT_SEED"] = before


@contextlib.contextmanager
def _importable(week: str, text: str) -> Iterator[None]:
    """Inside, the module `reference.<week>` can be imported: it has this text, which is in no file."""
    package, module = types.ModuleType("reference"), types.ModuleType(f"reference.{week}")
    package.__path__ = []
    setattr(package, week, module)
    made = {"reference": package, module.__name__: module}
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        exec(compile(text, f"reference/{week}.py", "exec"), vars(module))
        yield
    finally:
        for name, old in before.items():
            if old is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = old
