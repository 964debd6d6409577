"""How far somebody is: weeks finished, milestones met, hours left, and what comes next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gradekit.build.about import Milestone
from gradekit.plan.graded import Graded
from gradekit.plan.read import Plan, Planned

__all__ = ["Left", "Reached", "Standing", "WeekStanding", "standing"]


@dataclass(frozen=True)
class WeekStanding:
    """One week of somebody's: its best result, if there is any, and whether that finishes it."""

    planned: Planned
    best: Graded | None
    finished: bool


@dataclass(frozen=True)
class Reached:
    """A milestone: the weeks that lead there, whether it is met, and those that are missing if not."""

    milestone: Milestone
    weeks: tuple[Planned, ...]
    missing: tuple[Planned, ...]

    @property
    def met(self) -> bool:
        return not self.missing


@dataclass(frozen=True)
class Left:
    """Hours of study that are left, at least and at most; assumed: weeks whose hours the plan does not say."""

    hours: tuple[int, int]
    assumed: int


@dataclass(frozen=True)
class Standing:
    """All of it. core: what is left of the main track; more: of all that is optional or advanced alone.

    following: the first week of the main track that has an assignment and is not finished, or, where no assignment is
    left, the first that is not finished; ungraded: those of the main track before it that nothing can grade yet.
    """

    weeks: tuple[WeekStanding, ...]
    milestones: tuple[Reached, ...]
    core: Left
    more: Left
    following: Planned | None
    ungraded: tuple[Planned, ...]

    @property
    def finished(self) -> int:
        return sum(week.finished for week in self.weeks)

    @property
    def met(self) -> int:
        return sum(reached.met for reached in self.milestones)


def standing(plan: Plan, graded: Iterable[Graded]) -> Standing:
    """Where one person stands who has these results; of several for a week, the best counts."""
    best: dict[str, Graded] = {}
    for result in graded:
        if result.week not in best or result.share > best[result.week].share:
            best[result.week] = result
    weeks = tuple(_week(plan, planned, best.get(planned.slug)) for planned in plan.every)
    finished = {week.planned.slug for week in weeks if week.finished}
    core = [week.planned for week in weeks if week.planned.core and not week.finished]
    following = next((planned for planned in core if planned.written), core[0] if core else None)
    return Standing(
        weeks,
        tuple(_reached(plan, planned, m, finished) for planned in plan.every for m in planned.about.milestones),
        _left(plan, [week for week in weeks if week.planned.core]),
        _left(plan, [week for week in weeks if not week.planned.core and week.planned.label]),
        following,
        tuple(core[: core.index(following)]) if following else (),
    )


def _week(plan: Plan, planned: Planned, best: Graded | None) -> WeekStanding:
    # a share that was computed is compared with one that was typed: 0.8 of 70 is 56, whatever rounding says
    return WeekStanding(planned, best, best is not None and best.share >= plan.facts.finished_at - 1e-9)


def _reached(plan: Plan, planned: Planned, milestone: Milestone, finished: set[str]) -> Reached:
    weeks = tuple(plan.find(number) for number in milestone.weeks) or (planned,)
    missing = tuple(week for week in weeks if week.slug not in finished)
    if milestone.met_by == "any" and len(missing) < len(weeks):
        missing = ()
    return Reached(milestone, weeks, missing)


def _left(plan: Plan, weeks: list[WeekStanding]) -> Left:
    """A week that was begun counts for the share that is missing."""
    open_weeks = [week for week in weeks if not week.finished]
    shares = [1 - (week.best.share if week.best else 0.0) for week in open_weeks]
    hours = [plan.hours(week.planned) for week in open_weeks]
    total = [round(sum(share * span[i] for share, span in zip(shares, hours, strict=True))) for i in (0, 1)]
    assumed = sum(len(w.planned.about.week.numbers) for w in open_weeks if w.planned.about.week.hours is None)
    return Left((total[0], total[1]), assumed)
