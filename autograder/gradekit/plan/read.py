"""The plan as data: source/plan.toml, and what is known of each week.

A week's facts stand in its room, source/<week>/about.toml; as long as it has no room, in source/plan/<week>.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from gradekit.build.about import About, Level, Tier, read_about
from gradekit.build.facts import Facts, Hours, Number, Text, read_facts
from gradekit.course import Course
from gradekit.problem import Problem, UsageProblem

__all__ = ["Plan", "PlanFacts", "Planned", "TierFacts", "facts_of_unwritten", "read_plan"]


class Duration(Facts):
    """The table [duration]; hours are those of one week."""

    weeks: int = Field(ge=1)
    months: int = Field(ge=1)
    hours: tuple[Hours, Hours]
    peak_hours: Hours
    average_hours: Hours


class Activity(Facts):
    """One table [[schedule]]: hours a week."""

    activity: Text
    hours: Hours


class Phase(Facts):
    """One table [[phases]]: the slugs of its weeks and of the modules around them, in their order."""

    number: int = Field(ge=1, le=5)
    title: Text
    weeks: tuple[Text, ...]
    modules: tuple[Text, ...] = ()


class TierFacts(Facts):
    """One table [[compute.tiers]]."""

    name: Tier
    title: Text
    advice: Text
    places: tuple[Text, ...] = Field(min_length=1)


class Heavy(Facts):
    """One table [[compute.heavy]]: a week that asks for more than one GPU has, and how to do it with less."""

    week: Number
    what: Text
    guidance: tuple[Text, ...] = Field(min_length=1)


class ComputeFacts(Facts):
    posture: Text
    tiers: tuple[TierFacts, ...] = Field(min_length=1)
    heavy: tuple[Heavy, ...] = ()


class Tip(Facts):
    text: Text


class Further(Facts):
    """The table [further]: names to know."""

    platforms: tuple[Text, ...] = ()
    tools: tuple[Text, ...] = ()
    implementations: tuple[Text, ...] = ()
    syllabus: tuple[Text, ...] = ()


class PlanFacts(Facts):
    """source/plan.toml. finished_at: the share of an assignment's points from which its week counts as finished."""

    title: Text
    summary: Text
    prerequisites: tuple[Text, ...] = ()
    finished_at: float = Field(gt=0, le=1)
    duration: Duration
    levels: dict[Level, Text]
    schedule: tuple[Activity, ...] = ()
    phases: tuple[Phase, ...] = Field(min_length=1)
    compute: ComputeFacts
    tips: tuple[Tip, ...] = ()
    further: Further = Further()


@dataclass(frozen=True)
class Planned:
    """A week of the plan, or a module; written: whether it has an assignment that can be built."""

    about: About
    written: bool

    @property
    def slug(self) -> str:
        return self.about.week.slug

    @property
    def label(self) -> str:
        """As people write it: "14b", "25–26"; nothing for a module."""
        numbers = self.about.week.numbers
        return "–".join(dict.fromkeys((numbers[0], numbers[-1]))) if numbers else ""

    @property
    def name(self) -> str:
        """ "Week 14b", "Weeks 25–26", "Module"."""
        numbers = self.about.week.numbers
        return f"Week{'s' if len(numbers) > 1 else ''} {self.label}" if numbers else "Module"

    @property
    def core(self) -> bool:
        return "core" in self.about.week.levels


@dataclass(frozen=True)
class Plan:
    """All of it, in the plan's order: weeks first, then modules."""

    facts: PlanFacts
    weeks: tuple[Planned, ...]
    modules: tuple[Planned, ...]

    @property
    def every(self) -> tuple[Planned, ...]:
        return (*self.weeks, *self.modules)

    def find(self, name: str) -> Planned:
        """A week by its slug, its number ("5", "week05", "14b") or its room; UsageProblem if there is none."""
        wanted = Path(name).name.removesuffix(".toml").removesuffix(".py")
        number = wanted.removeprefix("week").lstrip("0")
        for planned in self.every:
            if wanted == planned.slug or number in planned.about.week.numbers:
                return planned
        raise UsageProblem(
            f"the plan has no week {name!r}",
            where="source/plan.toml",
            mend=f"weeks are {self.weeks[0].label} to {self.weeks[-1].label}; `gradekit plan` lists them all",
        )

    def hours(self, planned: Planned) -> tuple[int, int]:
        """At least and at most; the plan's average where it says nothing."""
        average = self.facts.duration.average_hours * max(1, len(planned.about.week.numbers))
        return planned.about.week.hours or (average, average)


def facts_of_unwritten(course: Course, slug: str) -> Path:
    """Where the facts of a week stand as long as it has no room."""
    return course.root / "source" / "plan" / f"{slug}.toml"


def read_plan(course: Course) -> Plan:
    """Read and check all of it. Problem names file and key; UsageProblem where the course has no plan."""
    path = course.root / "source" / "plan.toml"
    if not path.is_file():
        raise UsageProblem(
            "this course has no plan", where=path, mend="write one, as CONTRIBUTING.md says, or name another --course"
        )
    facts = read_facts(PlanFacts, path, "source/plan.toml", missing="write it")
    names = [slug for phase in facts.phases for slug in (*phase.weeks, *phase.modules)]
    for slug in names:
        if names.count(slug) > 1:
            raise Problem(f"phases: {slug!r} is there twice", where="source/plan.toml", mend="take one of them out")
    written = {week.slug for week in course.weeks()}
    weeks = [_planned(course, slug, written) for phase in facts.phases for slug in phase.weeks]
    modules = [_planned(course, slug, written) for phase in facts.phases for slug in phase.modules]
    plan = Plan(facts, tuple(weeks), tuple(modules))
    _refuse_unknown_weeks(plan)
    return plan


def _planned(course: Course, slug: str, written: set[str]) -> Planned:
    room = course.root / "source" / slug
    path = room / "about.toml" if room.is_dir() else facts_of_unwritten(course, slug)
    label = path.relative_to(course.root).as_posix()
    if not path.is_file() and not room.is_dir():
        raise Problem("is missing", where=label, mend=f"write it, or take {slug!r} out of phases in source/plan.toml")
    return Planned(read_about(path, label, slug), slug in written)


def _refuse_unknown_weeks(plan: Plan) -> None:
    """Milestones and heavy weeks name weeks of the plan."""
    known = {number for planned in plan.weeks for number in planned.about.week.numbers}
    named = [("source/plan.toml", f"compute.heavy: {heavy.what!r}", heavy.week) for heavy in plan.facts.compute.heavy]
    for planned in plan.weeks:
        for milestone in planned.about.milestones:
            named += [(planned.slug, f"milestones: {milestone.text!r}", number) for number in milestone.weeks]
    for where, key, number in named:
        if number not in known:
            raise Problem(f"{key} names week {number}, which the plan lacks", where=where, mend="name another week")
