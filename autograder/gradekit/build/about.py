"""about.toml: what the plan says of a week."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from gradekit.build.facts import Facts, Hours, Number, Text, Url, read_facts
from gradekit.problem import Problem

__all__ = ["About", "Deliverable", "Level", "Milestone", "Resource", "Tier", "WeekFacts", "read_about"]

Level = Literal["core", "optional", "advanced", "budget"]
Tier = Literal["gpu-free", "low-cost", "credits"]
"""What a student can spend on compute, from nothing upwards."""

_WEEK = re.compile(r"week0*([1-9]\d?[a-z]?)_")


class WeekFacts(Facts):
    """The table [week].

    number: none for a module that belongs to no week; until: the last week, where there are several; hours: at least
    and at most, none where the plan says nothing; draft: whether it is being written still.
    """

    number: Number | None = None
    until: Number | None = None
    slug: Text
    title: Text
    phase: int = Field(ge=1, le=5)
    levels: tuple[Level, ...] = Field(default=("core",), min_length=1)
    hours: tuple[Hours, Hours] | None = None
    summary: Text
    draft: bool = False

    @model_validator(mode="after")
    def _agree(self) -> WeekFacts:
        if self.hours and self.hours[0] > self.hours[1]:
            raise ValueError(f"hours go from {self.hours[0]} down to {self.hours[1]}: write [at least, at most]")
        numbered = _WEEK.match(self.slug)
        if self.number != (numbered[1] if numbered else None):
            raise ValueError(f"number is {self.number or 'not there'}, and slug is {self.slug!r}: change one of them")
        if self.until and (not self.number or _place(self.until) <= _place(self.number)):
            raise ValueError(f"until is {self.until}, which is not after number: write the last week, or take it out")
        return self

    @property
    def numbers(self) -> tuple[str, ...]:
        """Every week that this is about: ("25", "26"); none for a module."""
        if not self.until or not self.number:
            return (self.number,) if self.number else ()
        between = range(_place(self.number)[0] + 1, _place(self.until)[0])
        return (self.number, *map(str, between), self.until)


class Resource(Facts):
    """One table [[resources]]: something to read or watch; title and link exactly as in the plan.

    hours: what the plan says that it takes.
    """

    title: Text
    url: Url | None = None
    level: Literal["core", "optional", "advanced"]
    kind: Text
    hours: Hours | None = None


class Deliverable(Facts):
    """One table [[deliverables]]; needs: the least that must be spent on compute."""

    text: Text
    levels: tuple[Level, ...] = Field(default=("core",), min_length=1)
    needs: Tier = "gpu-free"


class Milestone(Facts):
    """One table [[milestones]], or its text alone; weeks: those that lead there, this one if none is named.

    met_by: whether all of them are needed, or any.
    """

    text: Text
    weeks: tuple[Number, ...] = ()
    met_by: Literal["all", "any"] = "all"


class Compute(Facts):
    """The table [compute]: how the week is done with little (budget), and with what each tier offers."""

    budget: Text | None = None
    gpu_free: Text | None = Field(default=None, alias="gpu-free")
    low_cost: Text | None = Field(default=None, alias="low-cost")
    credits: Text | None = None

    def on(self, tier: Tier) -> str | None:
        return {"gpu-free": self.gpu_free, "low-cost": self.low_cost, "credits": self.credits}[tier]


class About(Facts):
    """A week's facts. options: one of these is chosen."""

    week: WeekFacts
    objectives: tuple[Text, ...] = Field(min_length=1)
    options: tuple[Text, ...] = ()
    resources: tuple[Resource, ...] = ()
    deliverables: tuple[Deliverable, ...] = ()
    milestones: tuple[
        Annotated[Milestone, BeforeValidator(lambda m: {"text": m} if isinstance(m, str) else m)], ...
    ] = ()
    compute: Compute = Compute()


def read_about(path: Path, label: str, slug: str) -> About:
    """Read and check one about.toml; Problem names the key that is wrong."""
    about = read_facts(About, path, label, missing="every week says what it is: `gradekit new` writes one")
    if about.week.slug != slug:
        raise Problem(
            f"week.slug is {about.week.slug!r}, its folder is {slug!r}", where=label, mend="give both the same name"
        )
    return about


def _place(number: str) -> tuple[int, str]:
    """Where a week stands among the others: 14, 14b, 15."""
    digits = number.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits), number.removeprefix(digits)
