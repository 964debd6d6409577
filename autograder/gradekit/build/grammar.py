"""The grammar of an instructor notebook, test cells aside: what the assignment and each question say of themselves.

It is Otter Assign's, with a line of facts under each heading, and rubrics.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from gradekit.build.assignment import Criterion, Question, TestCase
from gradekit.build.percent import Source
from gradekit.build.rubric import read_rubric
from gradekit.problem import Problem

__all__ = ["Asked", "question", "scan"]

_BLOCK = re.compile(r"#\s*(ASSIGNMENT CONFIG|(?:BEGIN|END) (?:QUESTION|PROMPT|SOLUTION|TESTS))\s*$", re.IGNORECASE)
_TITLE = re.compile(r"^##\s+(?P<name>\w+)\s+·\s+(?P<title>.+?)\s*$", re.MULTILINE)
_FACTS = re.compile(
    r"^\*(?P<points>\d+(?:\.\d+)?) points? · about (?P<minutes>\d+) minutes"
    r" · difficulty (?P<difficulty>[1-5]) of 5\*\s*$",
    re.MULTILINE,
)
_ASSIGNMENT_KEYS = {"name", "files", "hand_in"}
_QUESTION_KEYS = {"name", "points", "manual", "rubric"}


@dataclass(frozen=True)
class Prose:
    """What the text of a question says of it, in which cell of the source."""

    title: str
    points: float
    minutes: int
    difficulty: int
    cell: int
    place: str


@dataclass
class Asked:
    """One BEGIN QUESTION, and what was found up to its end. `answers`: the cells of its SOLUTION blocks."""

    name: str
    points: float
    rubric: tuple[Criterion, ...]
    place: str
    prose: Prose | None = None
    answers: list[int] = field(default_factory=list)


def scan(source: Source) -> tuple[Mapping[str, Any], dict[str, Asked]]:
    """The assignment's config, and its questions by name, in order. Problem names the cell that is wrong."""
    settings: dict[str, Any] | None = None
    questions: dict[str, Asked] = {}
    current: Asked | None = None
    solving = False
    for i, cell in enumerate(source.notebook.cells):
        place = source.place(i)
        if cell.cell_type == "raw":
            kind = _block(cell.source, place)
            if kind == "ASSIGNMENT CONFIG":
                if settings is not None or i != 0:
                    raise Problem("the assignment config must be the first cell, and the only one", where=place)
                settings = _config(cell.source, _ASSIGNMENT_KEYS, place)
            elif kind == "BEGIN QUESTION":
                current = _asked(cell.source, place)
                if current.name in questions:
                    raise Problem(
                        f"two questions are named {current.name!r}", where=place, mend="give one another name"
                    )
                questions[current.name] = current
            elif kind == "END QUESTION":
                current = None
            elif kind == "BEGIN PROMPT" and current and current.rubric:
                raise Problem(
                    f"{current.name} is marked by a person: it takes no PROMPT",
                    where=place,
                    mend="put the text above # BEGIN SOLUTION",
                )
            solving = kind == "BEGIN SOLUTION"
        elif current and solving:
            current.answers.append(i)
        elif current and cell.cell_type == "markdown" and (title := _TITLE.search(cell.source)):
            current.prose = _facts(cell.source, current.name, title, i, place)
    if settings is None:
        raise Problem(
            "there is no assignment config", where=source.place(0), mend="begin with a raw cell: # ASSIGNMENT CONFIG"
        )
    if not questions:
        raise Problem("there is no question", where=source.label, mend="add a block from # BEGIN QUESTION on")
    for asked in questions.values():
        if asked.rubric and len(asked.answers) != 1:
            raise Problem(
                f"{asked.name} is marked by a person: its answer is one cell, and there are {len(asked.answers)}",
                where=asked.place,
                mend="put one cell, of text or code, between # BEGIN SOLUTION and # END SOLUTION",
            )
    return settings, questions


def question(asked: Asked, cases: tuple[TestCase, ...]) -> Question:
    """The question that was asked, with the test cases that its TESTS block holds. Problem where they do not fit."""
    name, place, prose = asked.name, asked.place, asked.prose
    if prose is None:
        raise Problem(f"{name} has no heading", where=place, mend=f"begin its prose with `## {name} · Title`")
    if not asked.rubric:
        _refuse_untested(asked, cases)
    elif cases:
        raise Problem(
            f"{name} is marked by a person, and has tests",
            where=place,
            mend="split it: points that tests give, and points that a person gives, are two questions",
        )
    if prose.points != asked.points:
        raise Problem(
            f"the prose of {name} says {prose.points:g} points, its config {asked.points:g}", where=prose.place
        )
    return Question(name, prose.title, asked.points, prose.minutes, prose.difficulty, place, cases, asked.rubric)


def _refuse_untested(asked: Asked, cases: tuple[TestCase, ...]) -> None:
    name, place = asked.name, asked.place
    if not cases:
        raise Problem(
            f"{name} has no tests",
            where=place,
            mend="add a # BEGIN TESTS block before its end, or `manual: true` if a person marks it",
        )
    if all(case.hidden for case in cases):
        raise Problem(
            f"{name} has no public test", where=place, mend="students need one: leave `hidden` out of a config"
        )
    if not any(case.hidden for case in cases):
        raise Problem(f"{name} has no hidden test", where=place, mend="add one: `hidden: true` in a test config")
    total = sum(case.points for case in cases)
    if abs(total - asked.points) > 1e-9:
        raise Problem(
            f"{name} is worth {asked.points:g} points, and its test cases add up to {total:g}",
            where=place,
            mend="change the points of the question or of a test case",
        )


def _block(text: str, place: str) -> str:
    first = (text.splitlines() or [""])[0]
    block = _BLOCK.match(first)
    if not block:
        raise Problem(
            f"a raw cell that is no block of the grammar: {first!r}",
            where=place,
            mend="raw cells hold # ASSIGNMENT CONFIG or # BEGIN/END QUESTION, PROMPT, SOLUTION, TESTS",
        )
    return block.group(1).upper()


def _asked(text: str, place: str) -> Asked:
    config = _config(text, _QUESTION_KEYS, place)
    name, points = config.get("name"), config.get("points")
    if not isinstance(name, str) or not name.isidentifier():
        raise Problem(f"a question's name must be an identifier, not {name!r}", where=place)
    if not isinstance(points, int | float):
        raise Problem(f"{name} does not say its points", where=place, mend="add `points: 10`")
    return Asked(name, float(points), read_rubric(name, config, place), place)


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


def _facts(text: str, name: str, title: re.Match[str], cell: int, place: str) -> Prose:
    if title["name"] != name:
        raise Problem(f"the heading says {title['name']!r} inside question {name}", where=place)
    facts = _FACTS.search(text)
    if not facts:
        raise Problem(
            f"{name} does not say its points, minutes and difficulty",
            where=place,
            mend="write a line `*6 points · about 40 minutes · difficulty 4 of 5*` under its heading",
        )
    minutes, difficulty = int(facts["minutes"]), int(facts["difficulty"])
    return Prose(title["title"], float(facts["points"]), minutes, difficulty, cell, place)
