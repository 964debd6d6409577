"""What counts as caught."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from gradekit.grade.bundle import Bundle
from gradekit.grade.result import CaseResult, QuestionResult, Result, Status
from gradekit.verify.automatic import Automatic, catch
from gradekit.verify.mutate import mutations


def result(status: Status = "graded", *, passed: bool = True, complete: bool = True) -> Result:
    case = CaseResult("a test", 1.0, False, passed, "", 0.1)
    return Result("s", status, (QuestionResult("q1", 1.0, (case,)),), machine={"complete": complete})


def caught(monkeypatch: pytest.MonkeyPatch, folder: Path, given: Result) -> Automatic:
    """One mutation, graded to `given`."""
    solution = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("f(x)", id="q1-code-1")])
    made = mutations(solution, nbformat.v4.new_notebook())
    assert len(made) == 1

    def grade_each(bundle: Any, submissions: Any, **options: Any) -> Iterator[tuple[int, Result]]:
        yield from ((i, given) for i in range(len(submissions)))

    monkeypatch.setattr("gradekit.verify.automatic.grade_each", grade_each)
    bundle = Bundle("", {"q1": 1.0}, folder, "", ())
    touched = {"q1": frozenset({"q1"})}
    return catch(
        bundle, solution, made, [], touched, result(), folder, jobs=1, seconds=60.0, on_result=lambda graded: None
    )


@pytest.mark.parametrize("given", [result(passed=False), result("crashed"), result("timeout")])
def test_a_failed_test_a_crash_and_the_end_of_the_time_catch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: Result
) -> None:
    found = caught(monkeypatch, tmp_path, given)
    assert (found.caught, found.survived, found.score) == (1, (), 1.0)


@pytest.mark.parametrize("given", [result(), result("crashed", complete=False), result(passed=False, complete=False)])
def test_what_passes_and_what_was_disturbed_from_outside_is_not_caught(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: Result
) -> None:
    found = caught(monkeypatch, tmp_path, given)
    assert (found.caught, len(found.survived), found.score) == (0, 1, 0.0)
