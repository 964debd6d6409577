"""Limits beside what was measured against them: how much room the solution has, and how far a wrong answer is off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradekit.grade.result import Result

__all__ = ["Limit", "limits"]


@dataclass(frozen=True)
class Limit:
    """One test case with a limit; `solution` and `worst` are what was measured, `by` is the mutant with the worst.

    `peers` names other implementations and what they measure: torch's own kernel, as a rule. The reference is the unit.
    """

    question: str
    case: str
    limit: str
    solution: str
    worst: str = ""
    by: str = ""
    peers: str = ""


def limits(solution: Result, mutants: Mapping[str, Result], peers: Mapping[str, tuple[str, str]]) -> list[Limit]:
    """Every figure of the solution that has a limit, and the mutant that is furthest off on the same test case.

    peers: mutant -> the question that it is about, and what its figures there stand for in the table (`Mutant.peer`)
    rather than for a wrong answer.
    """
    found = []
    for key, data in _measured(solution):
        question, case = key[:2]
        every = [(_value(d), name) for name, result in mutants.items() for k, d in _measured(result) if k == key]
        others = [(value, name) for value, name in every if name not in peers]
        beside = ", ".join(
            f"{peers[name][1]} {value:.2g}" for value, name in every if name in peers and peers[name][0] == question
        )
        worst = max(others, default=None) if "ratio" in data else min(others, default=None)
        if "ratio" in data:
            limit, shown = f"{data['limit']:g} x", f"{data['ratio']:.2g}"
            shown += f" ({data['low']:.2g} to {data['high']:.2g})" if "low" in data else ""
        else:
            limit, shown = f"{data['at_least']:g}", f"{_value(data):.4g}"
        outer = (f"{worst[0]:.3g}", worst[1]) if worst else ("", "")
        found.append(Limit(question, case, limit, shown, *outer, beside))
    return found


def _measured(result: Result) -> Iterator[tuple[tuple[str, str, str, int], dict[str, Any]]]:
    """(question, test case, check, which of that kind in the case) and the evidence of each that came to a figure."""
    for question in result.questions:
        for case in question.cases:
            seen: Counter[str] = Counter()
            for evidence in case.evidence:
                data, check = evidence["data"], str(evidence["check"])
                number = seen[check]
                seen[check] += 1
                ratio = "ratio" in data and bool(data.get("limit")) and data.get("pairs", 1) > 0
                if ratio or (data.get("at_least") is not None and "mean" in data):
                    yield (question.name, case.name, check, number), data


def _value(data: Mapping[str, Any]) -> float:
    return float(data["ratio"]) if "ratio" in data else float(data["mean"]) - float(data["std"])
