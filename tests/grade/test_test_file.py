"""Test files are read without Otter, and mean what they mean to Otter."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from gradekit.grade.test_file import TestCase, read_test_file, run_test_case
from gradekit.problem import Problem

FILE = '''\
"""Tests of q1."""

import math
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q1"
points = 3

@test_case(name="q1 · adds", points=1, hidden=False)
def test_adds(env):
    check.close(env["add"](1, 2), 3)

LIMIT = math.pi

@test_case(name="q1 · adds what is large", points=2, hidden=True, failure_message="no")
def test_large(add):
    assert add(LIMIT, 2**60) > 2**60, "too small"
'''


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "q1.py").write_text(FILE)
    return tmp_path / "q1.py"


def test_the_cases_are_otters_own(path: Path) -> None:
    from otter.nbmeta_config import NBMetadataConfig
    from otter.test_files import create_test_file

    def facts(case: object) -> dict[str, object]:
        return {
            name: getattr(case, name) for name in ("name", "points", "hidden", "success_message", "failure_message")
        }

    theirs = create_test_file(str(path), NBMetadataConfig())
    ours = read_test_file(path)
    assert ours.name == theirs.name
    assert [facts(case) for case in ours.test_cases] == [facts(case) for case in theirs.test_cases]
    for namespace in ({"add": lambda a, b: a + b}, {"add": lambda a, b: 0}, {"add": None}, {}):
        for mine, other in zip(ours.test_cases, theirs.test_cases, strict=True):
            assert ends(mine.run, namespace) == ends(other.body.call_func, namespace)


def ends(run, namespace):
    try:
        run(namespace)
    except Exception as error:
        return type(error), str(error)
    return None


def test_our_decorator_takes_what_otters_takes() -> None:
    import inspect

    from otter.test_files import test_case

    assert list(inspect.signature(test_case).parameters) == [
        field.name for field in dataclasses.fields(TestCase) if field.name != "test_func"
    ]


def test_an_assertion_is_the_message_and_its_line_is_the_files(path: Path) -> None:
    _, large = read_test_file(path).test_cases
    result = run_test_case(large, {"add": lambda a, b: 0})
    assert (result.passed, result.message, result.points, result.hidden) == (False, "too small", 2.0, True)
    assert large.test_func.__code__.co_filename == str(path)
    assert large.test_func.__code__.co_firstlineno == FILE[: FILE.index("def test_large")].count("\n")


@pytest.mark.parametrize(
    "text", ["", "OK_FORMAT = True\nname = 'q1'", "OK_FORMAT = False", FILE.replace("points=1, ", "")]
)
def test_another_format_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(Problem, match="not an exception-based test file"):
        read_test_file(path)


def test_judge_and_worker_import_nothing_heavy_but_torch() -> None:
    heavy = ("otter", "nbformat", "pandas", "sklearn", "matplotlib", "sympy", "torch._dynamo", "scipy")
    code = (
        "import sys, gradekit.sandbox.worker, gradekit.grade.judge\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
