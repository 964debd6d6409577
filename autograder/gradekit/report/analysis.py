"""What a class's results say: of each question, of each test, and of whom a person should look at."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradekit.grade.result import CaseResult, Result

__all__ = ["Analysis", "Case", "Item", "Look", "Timed", "analyse"]

MESSAGES = 3  # the most frequent ones of a test


@dataclass(frozen=True)
class Case:
    """One test case. `failed` of `reached` submissions failed it; messages: what it said most often, and how often."""

    name: str
    hidden: bool
    points: float
    reached: int
    failed: int
    messages: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Item:
    """One question.

    full, of: how many have all its points, of how many; mean: the mean share of its points, from 0 to 1; seconds: the
    median time that its tests took. discrimination: the correlation of its points with those of all other questions
    (corrected item-total correlation; Henrysson 1963, Psychometrika 28); None where either is the same for all.
    """

    name: str
    possible: float
    full: int
    of: int
    mean: float
    seconds: float
    discrimination: float | None
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Timed:
    """A check of speed: for each submission its ratio to the reference, and the verdict."""

    question: str
    case: str
    limit: float
    ratios: tuple[tuple[str, float, str], ...]


@dataclass(frozen=True)
class Look:
    """A submission that a person should look at, and why."""

    submission: str
    why: tuple[str, ...]


@dataclass(frozen=True)
class Analysis:
    """Of all results of one assignment."""

    results: tuple[Result, ...]
    items: tuple[Item, ...]
    timed: tuple[Timed, ...]
    look: tuple[Look, ...]

    @property
    def possible(self) -> float:
        return max(result.possible for result in self.results)

    @property
    def by_hand(self) -> Mapping[str, float]:
        return self.results[0].by_hand


def analyse(results: Sequence[Result]) -> Analysis:
    """ValueError without results. Order is that of the submissions' names."""
    if not results:
        raise ValueError("there are no results")
    ordered = tuple(sorted(results, key=lambda result: result.submission))
    names = list(dict.fromkeys(question.name for result in ordered for question in result.questions))
    items = tuple(_item(name, ordered) for name in names)
    timed = tuple(found for name in names for found in _timed(name, ordered))
    look = tuple(Look(result.submission, why) for result in ordered if (why := _why(result)))
    return Analysis(ordered, items, timed, look)


def _item(name: str, results: Sequence[Result]) -> Item:
    found = [(result, question) for result in results for question in result.questions if question.name == name]
    scores = [question.score for _, question in found]
    rest = [round(result.score - question.score, 6) for result, question in found]  # as scores are: no noise
    possible = max(question.possible for _, question in found)
    return Item(
        name,
        possible,
        sum(question.score >= question.possible for _, question in found),
        len(found),
        statistics.fmean(scores) / possible if possible else 0.0,
        statistics.median(sum(case.seconds for case in question.cases) for _, question in found),
        _correlation(scores, rest),
        tuple(_cases(question for _, question in found)),
    )


def _cases(questions: Any) -> list[Case]:
    gathered: dict[str, list[CaseResult]] = {}
    for question in questions:
        for case in question.cases:
            gathered.setdefault(case.name, []).append(case)
    cases = []
    for name, every in gathered.items():
        said = Counter(case.message.split("\n")[0] for case in every if not case.passed)
        failed = sum(not case.passed for case in every)
        cases.append(
            Case(name, every[0].hidden, every[0].points, len(every), failed, tuple(said.most_common(MESSAGES)))
        )
    return cases


def _correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    try:
        return statistics.correlation(one, other)
    except statistics.StatisticsError:  # fewer than two, or all the same
        return None


def _timed(name: str, results: Sequence[Result]) -> list[Timed]:
    gathered: dict[str, list[tuple[str, float, str]]] = {}
    limits: dict[str, float] = {}
    for result in results:
        question = result.question(name)
        for case in question.cases if question else ():
            measured = [ratio for evidence in case.evidence if (ratio := _ratio(evidence)) is not None]
            if measured:
                worst, limit, verdict = max(measured)
                limits.setdefault(case.name, limit)
                gathered.setdefault(case.name, []).append((result.submission, worst, verdict))
    return [
        Timed(name, case, limits[case], tuple(sorted(ratios, key=lambda r: r[1]))) for case, ratios in gathered.items()
    ]


def _ratio(evidence: Mapping[str, Any]) -> tuple[float, float, str] | None:
    """Ratio, limit and verdict of a speed check that got as far as measuring a right answer."""
    data = evidence.get("data", {})
    ratio, limit = data.get("ratio"), data.get("limit")
    if evidence.get("check") != "speed" or not isinstance(ratio, float) or not isinstance(limit, int | float):
        return None
    return (ratio, float(limit), str(evidence["verdict"])) if ratio > 0 and limit > 0 else None


def _why(result: Result) -> tuple[str, ...]:
    why = []
    if result.status != "graded":
        why.append(f"{result.status}: {result.note}" if result.note else result.status)
    elif result.note:
        why.append(result.note)
    undecided = [
        f"{question.name}, {case.name}"
        for question in result.questions
        for case in question.cases
        if any(evidence.get("verdict") == "undecided" for evidence in case.evidence)
    ]
    if undecided:
        why.append(f"undecided, and so passed: {'; '.join(undecided)}")
    level = result.machine.get("isolation", {}).get("level")
    if level is not None and level != "jail":
        why.append(f"ran with isolation {level}, not in the jail")
    return tuple(why)
