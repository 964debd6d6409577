"""Otter test files, run case by case so that each case keeps its own evidence, time and message."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from otter.nbmeta_config import NBMetadataConfig
from otter.test_files import TestCase, TestFile, create_test_file
from otter.test_files.exception_test import ExceptionTestFile

from gradekit.check import evidence
from gradekit.grade.result import CaseResult
from gradekit.problem import Problem

__all__ = ["read_test_file", "run_test_case", "run_test_file"]


def read_test_file(path: Path) -> TestFile:
    """One exception-based test file, by Otter's own reader; Problem if it is of another format."""
    file = create_test_file(str(path), NBMetadataConfig())
    if not isinstance(file, ExceptionTestFile):
        raise Problem("is not an exception-based test file", where=path, mend="build the bundle with gradekit build")
    return file


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
            case.body.call_func(env)
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
