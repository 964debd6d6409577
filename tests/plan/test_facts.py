"""Everything that the study plan states as fact is in the course: facts.json (see extract.py) is held against it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gradekit.plan.read import Plan, Planned

FACTS = json.loads((Path(__file__).parent / "facts.json").read_text(encoding="utf-8"))
WEEKS = FACTS["weeks"]
every_week = pytest.mark.parametrize("fact", WEEKS, ids=[f"week {week['number']}" for week in WEEKS])
every_module = pytest.mark.parametrize("fact", FACTS["modules"], ids=[module["title"] for module in FACTS["modules"]])


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in strings(item)]
    return [] if value is None else [str(value)]


def folded(text: str) -> str:
    """Without case, hyphens, spaces, and the difference between -ise and -ize."""
    return re.sub(r"\W", "", text.casefold()).replace("z", "s")


def lacking(terms: list[str], *said: Any) -> list[str]:
    """The terms that are nowhere in what is said; a figure must stand there by itself, and not within another."""
    text = " ".join(text for part in said for text in strings(part))
    return [
        term
        for term in terms
        if not (
            re.search(rf"(?<![\d.]){re.escape(term)}(?!\d|\.\d)", text)
            if term.replace(".", "").isdigit()
            else folded(term) in folded(text)
        )
    ]


def resources(planned: Planned) -> set[tuple[Any, ...]]:
    return {(r.title, r.url, r.level, r.hours) for r in planned.about.resources}


def of_module(plan: Plan, fact: dict[str, Any]) -> Planned:
    [module] = [module for module in plan.modules if module.about.week.title == fact["title"]]
    return module


def test_the_fixture_is_the_whole_plan() -> None:
    """110 links, 26 weeks and 14b in five phases, seven milestones: a shorter fixture would test less."""
    assert len(set(re.findall(r"https?://[^\"]+", json.dumps(FACTS)))) == 110
    assert [week["number"] for week in WEEKS] == [*map(str, range(1, 15)), "14b", *map(str, range(15, 26))]
    assert sum(len(week["work"]) for week in WEEKS) == 36
    assert (len(FACTS["phases"]), len(FACTS["modules"]), len(FACTS["milestones"])) == (5, 4, 7)


@every_week
def test_title_hours_and_levels_of_a_week(plan: Plan, fact: dict[str, Any]) -> None:
    week = plan.find(fact["number"]).about.week
    assert week.title == fact["title"]
    assert week.hours == (tuple(fact["hours"]) if fact["hours"] else None)
    assert set(week.levels) == set(fact["levels"])
    assert week.numbers[-1] == fact.get("until", fact["number"])


@every_week
def test_every_link_of_a_week_with_its_title_level_and_hours(plan: Plan, fact: dict[str, Any]) -> None:
    wanted = {(r["title"], r["url"], r["level"], r.get("hours")) for r in fact["resources"]}
    assert wanted <= resources(plan.find(fact["number"]))


@every_week
def test_all_work_of_a_week_is_among_what_is_to_be_done(plan: Plan, fact: dict[str, Any]) -> None:
    about = plan.find(fact["number"]).about
    deliverables = [deliverable.text for deliverable in about.deliverables]
    assert about.deliverables, "nothing is to be done"
    for work in fact["work"]:
        assert not lacking(work["terms"], deliverables, about.week.summary)
        assert set(work["levels"]) <= {level for d in about.deliverables for level in d.levels}


@every_week
def test_objectives_topics_budget_and_options_of_a_week(plan: Plan, fact: dict[str, Any]) -> None:
    about = plan.find(fact["number"]).about
    everything = about.model_dump()
    assert not lacking(fact["objectives"] + fact["topics"], everything)
    assert not lacking(fact["budget"], about.compute.budget)
    assert len(about.options) >= len(fact.get("options", []))
    assert not lacking([term for option in fact.get("options", []) for term in option], about.options)


@every_module
def test_a_module_with_its_links_and_projects(plan: Plan, fact: dict[str, Any]) -> None:
    module = of_module(plan, fact)
    assert {(r["title"], r["url"], r["level"], None) for r in fact["resources"]} <= resources(module)
    assert module.about.week.levels == ("optional",)
    assert not lacking(fact["work"][0]["terms"], [d.text for d in module.about.deliverables])


@pytest.mark.parametrize("fact", FACTS["phases"], ids=[phase["title"] for phase in FACTS["phases"]])
def test_a_phase_with_its_weeks_in_their_order(plan: Plan, fact: dict[str, Any]) -> None:
    phase = plan.facts.phases[fact["number"] - 1]
    weeks = [plan.find(slug) for slug in phase.weeks]
    assert (phase.number, phase.title) == (fact["number"], fact["title"])
    numbers = [number for week in weeks for number in week.about.week.numbers]
    assert numbers == (fact["weeks"] or fact["span"])
    assert {week.about.week.phase for week in weeks} == {fact["number"]}


@pytest.mark.parametrize("fact", FACTS["milestones"], ids=[f"week {m['weeks'][-1]}" for m in FACTS["milestones"]])
def test_a_milestone_stands_in_the_week_where_it_is_due(plan: Plan, fact: dict[str, Any]) -> None:
    due = plan.find(fact["weeks"][-1])
    [milestone] = due.about.milestones
    assert not lacking(fact["terms"], milestone.text)
    weeks = milestone.weeks or due.about.week.numbers
    assert [weeks[0], weeks[-1]] == [fact["weeks"][0], fact["weeks"][-1]]


def test_no_other_week_has_a_milestone(plan: Plan) -> None:
    assert sum(len(planned.about.milestones) for planned in plan.every) == len(FACTS["milestones"])


def test_hours_of_the_plan_and_of_a_week(plan: Plan) -> None:
    duration = plan.facts.duration
    assert [*duration.hours, duration.peak_hours] == [int(hours) for hours in FACTS["hours"]]
    assert [part.hours for part in plan.facts.schedule] == FACTS["schedule"]
    assert duration.average_hours == sum(FACTS["schedule"])
    assert (duration.weeks, duration.months) == (26, 6)


@pytest.mark.parametrize(("number", "name"), [(1, "gpu-free"), (2, "low-cost"), (3, "credits")])
def test_every_place_of_a_tier_with_its_figures(plan: Plan, number: int, name: str) -> None:
    tier = plan.facts.compute.tiers[number - 1]
    assert tier.name == name
    for place, terms in zip(tier.places, FACTS["compute"][f"Tier {number}"], strict=True):
        assert not lacking(terms, place)


def test_guidance_for_the_heavy_weeks(plan: Plan) -> None:
    for heavy, terms in zip(plan.facts.compute.heavy, FACTS["compute"]["Heavy weeks guidance"], strict=True):
        assert not lacking(terms, heavy.model_dump())


def test_tips_in_their_order(plan: Plan) -> None:
    for tip, terms in zip(plan.facts.tips, FACTS["tips"], strict=True):
        assert not lacking(terms, tip.text)


def test_platforms_tools_and_code_to_read(plan: Plan) -> None:
    further = plan.facts.further
    assert [further.platforms, further.implementations] == [tuple(FACTS["summary"][i]) for i in (0, 4)]
    assert list(further.tools) == [name for names in FACTS["summary"][1:4] for name in names]
