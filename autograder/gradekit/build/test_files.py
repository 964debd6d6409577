"""Test cells -> Otter test files.

Otter Assign reads the notebook; this manager takes the place of its own for test cells, and adds three things to the
grammar: a cell may hold the imports, experiments and inputs functions that its test needs; a cell without a test is
set-up for the test cells after it; and the docstring of a test is its name to students.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml
from otter.assign.assignment import Assignment as OtterAssignment
from otter.assign.question_config import QuestionConfig
from otter.assign.tests_manager import AssignmentTestsManager
from otter.test_files.abstract_test import TestCase as OtterTestCase
from otter.utils import get_source

from gradekit.build.assignment import TestCase
from gradekit.problem import Problem

__all__ = ["TestCell", "TestFiles"]

_KEYS = {"points", "hidden"}

_HEADER = '''\
"""Tests of {name}. Built from source/{week}/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "{name}"
points = {points}
'''


@dataclass(frozen=True)
class TestCell:
    """One cell of a TESTS block: set-up (`case` is None) or a test case with what it needs."""

    __test__ = False  # not for pytest

    code: str
    hidden: bool
    case: TestCase | None
    function_line: int
    names: frozenset[str]


class TestFiles(AssignmentTestsManager):
    """Collects the test cells of every question while Otter Assign walks the notebook."""

    __test__ = False  # not for pytest

    def __init__(self, assignment: OtterAssignment, week: str, places: dict[int, str]) -> None:
        super().__init__(assignment)
        self._week = week
        self._places = places
        self.cells: dict[str, list[TestCell]] = {}

    def read_test(self, cell: Any, question: QuestionConfig) -> None:
        """Parse one test cell; Problem, naming the cell, if it breaks the grammar."""
        place = self._places.get(cell.metadata.get("gradekit_cell"), "a test cell")
        source = get_source(cell)
        parsed = self._parse(source, question, place)
        earlier = self.cells.setdefault(question.name, [])
        for other in earlier:
            if twice := sorted(other.names & parsed.names):
                raise Problem(
                    f"{question.name} defines {', '.join(twice)} twice",
                    where=place,
                    mend="give it another name, or define it once in a set-up cell before both tests",
                )
            if other.case and parsed.case and other.case.name == parsed.case.name:
                raise Problem(f"two test cases of {question.name} are named {parsed.case.name!r}", where=place)
        earlier.append(parsed)
        if parsed.case is None:
            self.add_question(question)
        else:
            case = parsed.case
            self._add_test_case(question, OtterTestCase(case.name, parsed.code, case.hidden, case.points, None, None))

    def _parse(self, source: list[str], question: QuestionConfig, place: str) -> TestCell:
        hidden = source[0].lstrip().lower().startswith("# hidden")
        try:
            config, end = self._parse_test_config(source)
        except (AssertionError, yaml.YAMLError) as error:
            raise Problem(f"the test config is not YAML: {error}", where=place) from error
        if unknown := sorted(set(config) - _KEYS):
            raise Problem(f"unknown key {unknown[0]!r} in a test config", where=place, mend=f"the keys are {_listed()}")
        hidden = config.get("hidden", hidden)
        if not isinstance(hidden, bool):
            raise Problem(f"`hidden` is {hidden!r}", where=place, mend="write `hidden: true`, or leave it out")
        code = "\n".join(source[(end + 1) if end is not None else int(hidden) :]).strip("\n")
        try:
            tree = ast.parse(code)
        except SyntaxError as error:
            raise Problem(
                f"a test cell of {question.name} is not Python: {error.msg} (line {error.lineno} of the cell)",
                where=place,
            ) from error
        tests = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test")]
        names = frozenset(_defined(tree.body))
        if not tests:
            if "points" in config:
                raise Problem(
                    "a set-up cell (without a test_ function) has points",
                    where=place,
                    mend="take them out of its config",
                )
            return TestCell(code, hidden, None, 0, names)
        if len(tests) > 1:
            raise Problem("a test cell defines two tests", where=place, mend="give each test its own cell")
        return TestCell(code, hidden, _case(tests[0], config, question, hidden, place), _first_line(tests[0]), names)

    def test_cases(self, question: str) -> tuple[TestCase, ...]:
        return tuple(cell.case for cell in self.cells.get(question, []) if cell.case is not None)

    def render(self, question: str, *, include_hidden: bool) -> str:
        """The test file of a question: the whole of it, or what students may see."""
        cells = [cell for cell in self.cells[question] if include_hidden or not cell.hidden]
        points = sum(cell.case.points for cell in cells if cell.case)
        parts = [_HEADER.format(name=question, week=self._week, points=f"{points:g}")]
        for cell in cells:
            lines = cell.code.splitlines()
            if cell.case:
                case = cell.case
                decorator = f"@test_case(name={case.name!r}, points={case.points:g}, hidden={case.hidden})"
                lines.insert(cell.function_line - 1, decorator)
            parts.append("\n".join(lines) + "\n")
        return "\n\n".join(parts)


def _case(
    function: ast.FunctionDef, config: dict[str, Any], question: QuestionConfig, hidden: bool, place: str
) -> TestCase:
    name = (ast.get_docstring(function) or "").strip()
    if not name or "\n" in name:
        raise Problem(
            f"{function.name} has no one-line docstring, and that is the test's name to students",
            where=place,
            mend='say what must be true, for example """the output size is rounded down"""',
        )
    if [argument.arg for argument in function.args.args] != ["env"]:
        raise Problem(
            f"{function.name} must take `env` alone",
            where=place,
            mend="reach the student's code through an experiment: check.run(experiment, env, ...)",
        )
    points = config.get("points")
    if not isinstance(points, int | float) or isinstance(points, bool) or points < 0:
        raise Problem(
            f"{function.name} does not say its points", where=place, mend="add `points: 1` to its test config"
        )
    return TestCase(question.name, function.name, name.rstrip("."), float(points), hidden, place)


def _defined(body: Iterable[ast.stmt]) -> Iterable[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _first_line(function: ast.FunctionDef) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def _listed() -> str:
    return ", ".join(sorted(_KEYS))
