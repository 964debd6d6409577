"""In a container: grade `/autograder/submission` and write `/autograder/results`, as Otter's harness does.

The bundle's run script runs this module, for `otter grade` and for Gradescope. The results are written by this
process, which no code of the submission shares: `results.pkl`, which stock Otter unpickles on the host, holds Otter's
own objects and text, and `results.json` the same for Gradescope.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import dill
from otter.test_files import GradingResults, TestCase
from otter.test_files.abstract_test import TestCaseResult
from otter.test_files.exception_test import ExceptionTestFile

from gradekit.grade.bundle import read_bundle
from gradekit.grade.engine import Terms, grade_submission
from gradekit.grade.pdf import write_pdf
from gradekit.grade.result import CaseResult, QuestionResult, Result
from gradekit.grade.submission import find_submissions
from gradekit.problem import Problem

__all__ = ["grade_container"]

SECONDS = 3600.0  # the harness has a limit of its own: `otter grade --timeout`, or Gradescope's


def grade_container(root: Path) -> Result:
    """Grade the one notebook or zip in `root/submission` by the bundle in `root/source`; write `root/results`.

    Raises RuntimeError, saying what is there, unless there is exactly one.
    """
    bundle = read_bundle(root / "source")
    handed_in = [path for path in sorted((root / "submission").iterdir()) if path.suffix.lower() in (".ipynb", ".zip")]
    if len(handed_in) != 1:
        names = ", ".join(path.name for path in handed_in) or "nothing"
        raise RuntimeError(f"expected one notebook or zip in {root / 'submission'}, found {names}")
    (submission,) = find_submissions(handed_in)
    result = grade_submission(bundle, submission, Terms(SECONDS))
    results = root / "results"
    results.mkdir(exist_ok=True)
    _write(results / "results.pkl", dill.dumps(as_otters(result)))
    _write(results / "results.json", json.dumps(result.to_gradescope(), indent=1).encode())
    if json.loads((root / "source" / "otter_config.json").read_text()).get("pdf"):
        try:
            write_pdf(submission.path.with_suffix(".pdf"), bundle, submission, result)  # where `otter grade` looks
        except Problem as problem:
            print(problem)  # it costs nobody a point
    return result


def as_otters(result: Result) -> GradingResults:
    """The same as Otter's objects, which hold names, numbers and text, and no code."""
    return GradingResults([_test_file(question, result) for question in result.questions])


def _test_file(question: QuestionResult, result: Result) -> Any:
    cases = question.cases
    if not cases:  # it was never reached
        why = result.note_for_students or result.status
        cases = (CaseResult(f"{question.name} could not be graded", question.possible, False, False, why, 0.0),)
    judged = [TestCase(case.name, None, case.hidden, case.points, None, None) for case in cases]
    file = ExceptionTestFile(question.name, f"{question.name}.py", judged, all_or_nothing=False)
    file.test_case_results = [
        TestCaseResult(test_case=test, message=case.message, passed=case.passed)
        for test, case in zip(judged, cases, strict=True)
    ]
    return file


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, whatever lay there before."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def main() -> None:
    result = grade_container(Path("/autograder"))
    print(f"{result.status}: {result.score:g} of {result.possible:g} points. {result.note}")


if __name__ == "__main__":
    main()
