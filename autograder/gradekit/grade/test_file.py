"""Otter test files, run case by case so that each case keeps its own evidence, time and message.

They are read without Otter. All that such a file wants of it is one decorator, and to import it is most of what the
start of a grading took: nbconvert, pandas and jsonschema come along.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gradekit.check import evidence
from gradekit.grade.result import CaseResult
from gradekit.problem import Problem

__all__ = ["TestCase", "TestFile", "parse_test_file", "read_test_file", "run_test_case", "run_test_file"]


@dataclasses.dataclass
class TestCase:
    """What `@test_case(...)` makes of a function, as Otter's decorator of that name does."""

    __test__ = False  # not for pytest

    name: str | None = None
    points: float | None = None
    hidden: bool = False
    success_message: str | None = None
    failure_message: str | None = None
    test_func: Callable[..., None] = lambda: None

    def __call__(self, test_func: Callable[..., None]) -> TestCase:
        self.test_func = test_func
        return self

    def run(self, env: Any) -> None:
        """`env` is what a parameter of that name gets, and every other is looked up in it."""
        names = inspect.signature(self.test_func).parameters
        self.test_func(**{name: env if name == "env" else env.get(name) for name in names})


@dataclasses.dataclass(frozen=True)
class TestFile:
    """The test cases of one question, in their order."""

    __test__ = False  # not for pytest

    name: str
    test_cases: tuple[TestCase, ...]


def read_test_file(path: Path) -> TestFile:
    """One exception-based test file, as `gradekit build` writes it; Problem if it is of another format."""
    return parse_test_file(path.read_text(encoding="utf-8"), path)


def parse_test_file(text: str, path: Path) -> TestFile:
    """The same for the text of one; `path` is what it is called in messages."""
    tree = ast.parse(text, str(path))
    tree.body = [s for s in tree.body if not (isinstance(s, ast.ImportFrom) and s.module == "otter.test_files")]
    env: dict[str, Any] = {"test_case": TestCase}
    exec(compile(tree, str(path), "exec"), env)
    found = tuple(value for value in env.values() if isinstance(value, TestCase))
    if env.get("OK_FORMAT") is not False or "name" not in env or any(case.points is None for case in found):
        raise Problem("is not an exception-based test file", where=path, mend="build the bundle with gradekit build")
    return TestFile(str(env["name"]), found)


def run_test_file(file: TestFile, namespace: Mapping[str, Any]) -> Iterator[CaseResult]:
    """Run the cases of `file` against a student's namespace, one by one."""
    for case in file.test_cases:
        yield run_test_case(case, namespace)


def run_test_case(case: TestCase, env: Any) -> CaseResult:
    """Run one case. `env` is what its test gets: a student's namespace, or a subject that stands for one."""
    started = time.perf_counter()
    passed, message = True, ""
    with evidence.collect() as gathered:
        try:
            case.run(env)
        except AssertionError as failure:  # CheckFailed is one
            passed, message = False, str(failure) or "the check failed"
        except Exception as error:
            passed, message = False, f"{type(error).__name__}: {error}"
    return CaseResult(
        name=str(case.name),
        points=float(case.points or 0),
        hidden=bool(case.hidden),
        passed=passed,
        message=message,
        seconds=time.perf_counter() - started,
        evidence=tuple(dataclasses.asdict(item) for item in gathered),
    )
