"""Instructor notebook -> the student's notebook, the solution's notebook and the test files, with Otter Assign."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml
from otter.assign.assignment import Assignment as OtterAssignment
from otter.assign.notebook_transformer import NotebookTransformer, TransformedNotebookContainer
from otter.assign.utils import AssignNotebookFormatException

from gradekit.build.assignment import Assignment, Question
from gradekit.build.marks import copy_marks, mark
from gradekit.build.percent import Source
from gradekit.build.test_files import TestFiles
from gradekit.problem import Problem

__all__ = ["Transformed", "transform"]

_BLOCK = re.compile(r"#\s*(ASSIGNMENT CONFIG|(?:BEGIN|END) (?:QUESTION|PROMPT|SOLUTION|TESTS))\s*$", re.IGNORECASE)
_TITLE = re.compile(r"^##\s+(?P<name>\w+)\s+·\s+(?P<title>.+?)\s*$", re.MULTILINE)
_FACTS = re.compile(
    r"^\*(?P<points>\d+(?:\.\d+)?) points? · about (?P<minutes>\d+) minutes"
    r" · difficulty (?P<difficulty>[1-5]) of 5\*\s*$",
    re.MULTILINE,
)
_ASSIGNMENT_KEYS = {"name", "files"}
_QUESTION_KEYS = {"name", "points"}
_KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Transformed:
    """What one source gives: two notebooks, the tests, and what was parsed on the way."""

    assignment: Assignment
    release: Any
    solution: Any
    tests: TestFiles


@dataclass(frozen=True)
class _Prose:
    title: str
    points: float
    minutes: int
    difficulty: int
    place: str


def transform(source: Source, week: str) -> Transformed:
    """Parse `source`, check its grammar, and hand it to Otter Assign; Problem names the cell that is wrong."""
    configs, prose = _scan(source)
    settings = configs[0]
    if settings.get("name") != week:
        raise Problem(
            f"the assignment is named {settings.get('name')!r}",
            where=source.place(0),
            mend=f"write `name: {week}`, the name of its folder",
        )
    otter = OtterAssignment(
        {
            "tests": {"files": True, "ok_format": False},
            "export_cell": {"pdf": False, "run_tests": False, "ignore_log": True},
        },
        require_valid_keys=True,
    )
    otter.lang = "python"
    otter.master = Path(f"{week}.ipynb")
    notebook = _prepared(source)
    tests = TestFiles(otter, week, {i: source.place(i) for i in range(len(source.lines))})
    try:
        container = NotebookTransformer(otter, tests).transform_notebook(notebook)
        release, solution = _written(container, True), _written(container, False)
    except AssignNotebookFormatException as error:
        raise Problem(str(error), where=source.label) from error
    except AssertionError as error:  # Otter's solution fences
        raise Problem(str(error).splitlines()[0], where=source.label) from error
    questions = tuple(_question(name, config, prose, tests) for name, config in configs[1].items())
    mark(release, questions)
    copy_marks(release, solution)
    files = settings.get("files") or []
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise Problem("`files` is not a list of names", where=source.place(0), mend="write `files: [figures]`")
    assignment = Assignment(week, tuple(files), questions)
    return Transformed(assignment, release, solution, tests)


def _scan(source: Source) -> tuple[tuple[dict[str, Any], dict[str, dict[str, Any]]], dict[str, _Prose]]:
    """The configs of the assignment and of its questions, and what each question's prose says of it."""
    settings: dict[str, Any] | None = None
    questions: dict[str, dict[str, Any]] = {}
    prose: dict[str, _Prose] = {}
    current: str | None = None
    for i, cell in enumerate(source.notebook.cells):
        place = source.place(i)
        if cell.cell_type == "raw":
            first = (cell.source.splitlines() or [""])[0]
            block = _BLOCK.match(first)
            if not block:
                raise Problem(
                    f"a raw cell that is no block of the grammar: {first!r}",
                    where=place,
                    mend="raw cells hold # ASSIGNMENT CONFIG or # BEGIN/END QUESTION, PROMPT, SOLUTION, TESTS",
                )
            kind = block.group(1).upper()
            if kind == "ASSIGNMENT CONFIG":
                if settings is not None or i != 0:
                    raise Problem("the assignment config must be the first cell, and the only one", where=place)
                settings = _config(cell.source, _ASSIGNMENT_KEYS, place)
            elif kind == "BEGIN QUESTION":
                config = _config(cell.source, _QUESTION_KEYS, place)
                name = config.get("name")
                if not isinstance(name, str) or not name.isidentifier():
                    raise Problem(f"a question's name must be an identifier, not {name!r}", where=place)
                if name in questions:
                    raise Problem(f"two questions are named {name!r}", where=place, mend="give one another name")
                if not isinstance(config.get("points"), int | float):
                    raise Problem(f"{name} does not say its points", where=place, mend="add `points: 10`")
                questions[name] = config | {"place": place}
                current = name
            elif kind == "END QUESTION":
                current = None
        elif cell.cell_type == "markdown" and current and (title := _TITLE.search(cell.source)):
            prose[current] = _facts(cell.source, current, title, place)
    if settings is None:
        raise Problem(
            "there is no assignment config", where=source.place(0), mend="begin with a raw cell: # ASSIGNMENT CONFIG"
        )
    if not questions:
        raise Problem("there is no question", where=source.label, mend="add a block from # BEGIN QUESTION on")
    return (settings, questions), prose


def _config(text: str, keys: set[str], place: str) -> dict[str, Any]:
    try:
        config = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise Problem(f"the config is not YAML: {error}", where=place) from error
    if not isinstance(config, dict):
        raise Problem("the config is not a list of `key: value` lines", where=place)
    if unknown := sorted(set(config) - keys):
        raise Problem(f"unknown key {unknown[0]!r}", where=place, mend=f"the keys are {', '.join(sorted(keys))}")
    return config


def _facts(text: str, question: str, title: re.Match[str], place: str) -> _Prose:
    if title["name"] != question:
        raise Problem(f"the heading says {title['name']!r} inside question {question}", where=place)
    facts = _FACTS.search(text)
    if not facts:
        raise Problem(
            f"{question} does not say its points, minutes and difficulty",
            where=place,
            mend="write a line `*6 points · about 40 minutes · difficulty 4 of 5*` under its heading",
        )
    return _Prose(title["title"], float(facts["points"]), int(facts["minutes"]), int(facts["difficulty"]), place)


def _question(name: str, config: dict[str, Any], prose: dict[str, _Prose], tests: TestFiles) -> Question:
    place = config["place"]
    if name not in prose:
        raise Problem(f"{name} has no heading", where=place, mend=f"begin its prose with `## {name} · Title`")
    cases = tests.test_cases(name)
    if not cases:
        raise Problem(f"{name} has no tests", where=place, mend="add a # BEGIN TESTS block before its end")
    if all(case.hidden for case in cases):
        raise Problem(
            f"{name} has no public test", where=place, mend="students need one: leave `hidden` out of a config"
        )
    if not any(case.hidden for case in cases):
        raise Problem(f"{name} has no hidden test", where=place, mend="add one: `hidden: true` in a test config")
    total, said = sum(case.points for case in cases), float(config["points"])
    if abs(total - said) > 1e-9:
        raise Problem(
            f"{name} is worth {said:g} points, and its test cases add up to {total:g}",
            where=place,
            mend="change the points of the question or of a test case",
        )
    facts = prose[name]
    if facts.points != said:
        raise Problem(f"the prose of {name} says {facts.points:g} points, its config {said:g}", where=facts.place)
    return Question(name, facts.title, said, facts.minutes, facts.difficulty, place, cases)


def _prepared(source: Source) -> Any:
    """A copy that Otter may change: cells numbered and with stable ids, which Otter carries along."""
    notebook = nbformat.from_dict(source.notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(_KERNEL)
    question, counts = "", dict[str, int]()
    for i, cell in enumerate(notebook.cells):
        first = (cell.source.splitlines() or [""])[0].upper()
        if cell.cell_type == "raw" and "BEGIN QUESTION" in first:
            question = yaml.safe_load(cell.source)["name"]
        role = {"markdown": "text", "code": "code"}.get(cell.cell_type, "raw")
        stem = f"{question}-{role}" if question else role
        counts[stem] = counts.get(stem, 0) + 1
        cell.id = f"{stem}-{counts[stem]}"
        cell.metadata["gradekit_cell"] = i
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if cell.cell_type == "raw" and "END QUESTION" in first:
            question = ""
    return notebook


def _written(container: TransformedNotebookContainer, sanitize: bool) -> Any:
    """What Otter writes, with stable ids for the cells that Otter made, and without the marks of this module."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.ipynb"
        container.write_transformed_nb(path, sanitize)
        notebook: Any = nbformat.read(path, as_version=4)
    counts = dict[str, int]()
    for cell in notebook.cells:
        if cell.metadata.pop("gradekit_cell", None) is None:
            checked = re.match(r'grader\.check\("(\w+)"\)', cell.source)
            stem = f"{checked[1]}-check" if checked else _made(cell.source)
            counts[stem] = counts.get(stem, 0) + 1
            cell.id = stem if counts[stem] == 1 else f"{stem}-{counts[stem]}"
    notebook.metadata.update(_KERNEL)
    notebook.metadata["otter"] = {"assignment_name": container.assignment.name}
    nbformat.validate(notebook)
    return notebook


def _made(source: str) -> str:
    if "otter.Notebook" in source:
        return "otter-init"
    return "otter-export" if "grader.export" in source else "otter-text"
