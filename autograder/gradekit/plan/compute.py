"""What a week becomes with the compute that one has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from gradekit.build.about import Deliverable, Tier
from gradekit.plan.read import Plan, Planned, TierFacts
from gradekit.problem import UsageProblem

__all__ = ["Fitted", "fit", "tier_named"]

_TIERS: tuple[Tier, ...] = get_args(Tier)  # each offers what those before it offer


@dataclass(frozen=True)
class Fitted:
    """A week on one tier: what is left of its work, what is set aside, and how the rest is done."""

    kept: tuple[Deliverable, ...]
    aside: tuple[Deliverable, ...]
    advice: tuple[str, ...]
    scaled: bool  # it asks for more than this tier has, and is done smaller

    @property
    def verdict(self) -> str:
        """In a few words: "as it is", "scaled down, 1 set aside"."""
        said = ["scaled down"] if self.scaled else []
        said += [f"{len(self.aside)} set aside"] if self.aside else []
        return ", ".join(said) or "as it is"


def tier_named(plan: Plan, name: str) -> TierFacts:
    """The tier of this name; UsageProblem if there is none."""
    for tier in plan.facts.compute.tiers:
        if tier.name == name:
            return tier
    names = ", ".join(tier.name for tier in plan.facts.compute.tiers)
    raise UsageProblem(f"there is no tier of compute named {name!r}", mend=f"name one of {names}")


def fit(plan: Plan, planned: Planned, tier: Tier) -> Fitted:
    """A week with what `tier` offers. Without credits a heavy week is done by the plan's guidance."""
    enough = _TIERS[: _TIERS.index(tier) + 1]
    about = planned.about
    kept = tuple(work for work in about.deliverables if work.needs in enough)
    aside = tuple(work for work in about.deliverables if work.needs not in enough)
    heavy = [] if tier == "credits" else [h for h in plan.facts.compute.heavy if h.week in about.week.numbers]
    own = about.compute.on(tier) or (None if tier == "credits" else about.compute.budget)
    advice = [own] if own else []
    advice += [f"{h.what}: {'; '.join(h.guidance)}." for h in heavy]
    return Fitted(kept, aside, tuple(advice), bool(heavy))
