"""What was graded: results from stores and from the files that are made of them, by week and person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gradekit.grade.store import FILE_NAME, Store
from gradekit.plan.read import Plan
from gradekit.problem import UsageProblem

__all__ = ["Graded", "read_graded"]

_NAMED = re.compile(r"week0*([1-9]\d?[a-z]?)(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Graded:
    """One result. week: a slug of the plan; person: empty where the notebook was named after its week."""

    week: str
    person: str
    score: float
    possible: float

    @property
    def share(self) -> float:
        return self.score / self.possible if self.possible else 0.0


@dataclass(frozen=True)
class _Found:
    """One result as it stands in a file. assignment: empty where it does not say."""

    place: Path
    submission: str
    assignment: str
    score: float
    possible: float


def read_graded(paths: Iterable[Path], plan: Plan) -> list[Graded]:
    """Every result below `paths`: a store (results.sqlite), its folder, a folder above such, or JSON files.

    The week is what the result says; where it says nothing, what the names of its notebook and folders say. Results of
    weeks that are not in the plan are left out. UsageProblem where a path holds no result, or none says its week.
    """
    return [graded for path in paths for found in _found(path) if (graded := _placed(found, plan)) is not None]


def _found(path: Path) -> Iterator[_Found]:
    if not path.exists():
        raise UsageProblem("there is no such file or folder", where=path)
    if path.name == FILE_NAME:
        yield from _in_store(path)
    elif path.is_dir():
        stores = sorted(path.rglob(FILE_NAME))
        files = [] if stores else sorted([*path.glob("*.json"), *path.rglob("results/*.json")])
        if not stores and not files:
            raise UsageProblem(
                f"holds no results: neither {FILE_NAME} nor results/*.json",
                where=path,
                mend="name what `gradekit grade --output` wrote",
            )
        for store in stores:
            yield from _in_store(store)
        for file in dict.fromkeys(files):
            yield _in_file(file)
    else:
        yield _in_file(path)


def _in_store(path: Path) -> Iterator[_Found]:
    with Store.open(path.parent) as store:
        results = store.current()
    for result in results:
        yield _Found(path, result.submission, result.assignment, result.score, result.possible)


def _in_file(path: Path) -> _Found:
    """Of one submission: a view of a store, in Gradescope's schema."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        facts = data["extra_data"]
        score, possible = float(data["score"]), float(facts["possible"])
        return _Found(path, str(facts["submission"]), str(facts.get("assignment", "")), score, possible)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageProblem(
            "is not a result of gradekit", where=path, mend=f"name {FILE_NAME}, or a file of results/"
        ) from error


def _placed(found: _Found, plan: Plan) -> Graded | None:
    if found.assignment:
        slug = found.assignment if any(week.slug == found.assignment for week in plan.every) else ""
    else:
        # the nearest name first: the notebook's, then those of the file and of the folders around it
        names = [found.submission, *reversed(found.place.resolve().parts[-3:])]
        slug = next((slug for name in names if (slug := _week_in(name, plan))), "")
        if not slug:
            raise UsageProblem(
                f"the result of {found.submission!r} does not say of which week it is",
                where=found.place,
                mend="name its folder after the week (results/week05), or grade again with this gradekit",
            )
    return Graded(slug, _person(found.submission, slug), found.score, found.possible) if slug else None


def _week_in(name: str, plan: Plan) -> str:
    """The week that a name speaks of, as "week05_conv" and "my-week05" do."""
    for planned in plan.every:
        if planned.slug == name or (planned.label and planned.slug in name):
            return planned.slug
    said = _NAMED.search(name)
    if said is None:
        return ""
    return next((week.slug for week in plan.weeks if said[1].lower() in week.about.week.numbers), "")


def _person(submission: str, slug: str) -> str:
    """Whose it is: a learner's own notebook has its week's name, and one in a student's folder the student's."""
    *above, last = submission.split("/")
    return "/".join(above) if last.startswith(slug) else submission
