"""A question that a person marks: by which rubric, and where its answer goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gradekit.build.assignment import Criterion
from gradekit.problem import Problem

__all__ = ["read_rubric", "rubric_prose"]

_EXAMPLE = "write `rubric:` and below it, a line each, `  - 2: names two filters and what they respond to`"


def read_rubric(name: str, config: Mapping[str, Any], place: str) -> tuple[Criterion, ...]:
    """The rubric of question `name`; empty for one that tests grade. Problem, at `place`, if it does not add up."""
    manual = config.get("manual", False)
    if not isinstance(manual, bool):
        raise Problem(f"`manual` is {manual!r}", where=place, mend="write `manual: true`, or leave it out")
    if not manual:
        if "rubric" in config:
            raise Problem(f"{name} has a rubric, and tests grade it", where=place, mend="add `manual: true`")
        return ()
    lines = config.get("rubric")
    if not isinstance(lines, list) or not lines:
        raise Problem(f"{name} is marked by a person and has no rubric", where=place, mend=_EXAMPLE)
    rubric = tuple(_criterion(line, place) for line in lines)
    total = sum(criterion.points for criterion in rubric)
    if abs(total - config["points"]) > 1e-9:
        raise Problem(
            f"{name} is worth {config['points']:g} points, and its rubric adds up to {total:g}",
            where=place,
            mend="change the points of the question or of a line of its rubric",
        )
    return rubric


def rubric_prose(rubric: Iterable[Criterion]) -> str:
    """What students read below such a question: Markdown."""
    rubric = tuple(rubric)
    total = sum(criterion.points for criterion in rubric)
    lines = "\n".join(f"- {criterion.points:g}: {criterion.text}" for criterion in rubric)
    return f"**How it is marked** ({total:g} points, by a person)\n\n{lines}"


def _criterion(line: Any, place: str) -> Criterion:
    if isinstance(line, dict) and len(line) == 1:
        ((points, text),) = line.items()
        if isinstance(points, int | float) and not isinstance(points, bool) and points > 0 and isinstance(text, str):
            return Criterion(float(points), " ".join(text.split()))
    raise Problem(f"{line!r} is no line of a rubric", where=place, mend=_EXAMPLE)
