"""What the plan becomes with little compute, and with much."""

from __future__ import annotations

import pytest

from gradekit.build.about import Tier
from gradekit.plan.compute import fit, tier_named
from gradekit.plan.read import Plan
from gradekit.problem import UsageProblem


@pytest.mark.parametrize("tier", ["gpu-free", "low-cost"])
@pytest.mark.parametrize(("number", "work"), [("9", "Full ImageNet"), ("15", "125M+")])
def test_what_takes_several_gpus_for_days_is_set_aside(plan: Plan, number: str, work: str, tier: Tier) -> None:
    week = plan.find(number)
    fitted = fit(plan, week, tier)
    [aside] = fitted.aside
    assert work in aside.text
    assert {*fitted.kept, aside} == set(week.about.deliverables)
    assert fitted.verdict == "scaled down, 1 set aside"


@pytest.mark.parametrize("number", ["9", "15", "23"])
def test_with_credits_a_heavy_week_is_whole(plan: Plan, number: str) -> None:
    week = plan.find(number)
    fitted = fit(plan, week, "credits")
    assert (fitted.kept, fitted.aside, fitted.verdict) == (week.about.deliverables, (), "as it is")
    assert fitted.advice == (week.about.compute.credits,)


def test_a_heavy_week_is_done_by_its_own_advice_and_the_guidance_of_the_plan(plan: Plan) -> None:
    own, guidance = fit(plan, plan.find("9"), "gpu-free").advice
    assert "9 h on Kaggle" in own
    assert guidance.startswith("ImageNet: ImageNet-100 or Imagenette")


def test_the_tiers_differ(plan: Plan) -> None:
    advice = {fit(plan, plan.find("9"), tier).advice for tier in ("gpu-free", "low-cost", "credits")}
    assert len(advice) == 3


def test_a_light_week_is_the_same_everywhere_with_the_plan_s_word_for_those_who_have_little(plan: Plan) -> None:
    week = plan.find("2")
    assert {fit(plan, week, tier).verdict for tier in ("gpu-free", "low-cost", "credits")} == {"as it is"}
    assert fit(plan, week, "gpu-free").advice == (week.about.compute.budget,)
    assert fit(plan, week, "credits").advice == ()


def test_nothing_of_the_main_track_is_ever_set_aside(plan: Plan) -> None:
    for planned in plan.every:
        assert not [work for work in fit(plan, planned, "gpu-free").aside if "core" in work.levels]


def test_a_tier_that_is_none_is_refused_and_the_tiers_are_named(plan: Plan) -> None:
    with pytest.raises(UsageProblem, match="no tier of compute named 'rich'") as caught:
        tier_named(plan, "rich")
    assert caught.value.mend == "name one of gpu-free, low-cost, credits"
