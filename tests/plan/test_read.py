"""Reading the plan: where a week's facts stand, what finds a week, and what is said of a mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gradekit.course import Course
from gradekit.plan.read import Plan, read_plan
from gradekit.problem import Problem, UsageProblem

Write = Callable[..., None]
ROOT = Path(__file__).parents[2]


def test_the_facts_of_a_week_stand_in_its_room_or_in_the_plan_but_not_in_both(plan: Plan) -> None:
    for planned in plan.every:
        room, unwritten = ROOT / "source" / planned.slug, ROOT / "source" / "plan" / f"{planned.slug}.toml"
        assert room.is_dir() != unwritten.is_file(), f"{planned.slug}: keep what stands in its room, delete {unwritten}"


def test_a_week_without_a_room_is_in_the_plan_and_not_among_those_that_can_be_built(bare: Course, write: Write) -> None:
    assert bare.weeks() == []
    assert len(read_plan(bare).weeks) == 26
    write("week06_resnets")
    assert [week.slug for week in bare.weeks()] == ["week06_resnets"]
    assert [planned.slug for planned in read_plan(bare).weeks if planned.written] == ["week06_resnets"]


def test_a_room_is_believed_before_the_plan(bare: Course) -> None:
    planned = bare.root / "source" / "plan" / "week06_resnets.toml"
    room = bare.root / "source" / "week06_resnets"
    room.mkdir()
    (room / "about.toml").write_text(planned.read_text().replace("hours = [22, 25]", "hours = [1, 2]"))
    found = read_plan(bare).find("6")
    assert found.about.week.hours == (1, 2)
    assert not found.written, "a room without a notebook cannot be built"


@pytest.mark.parametrize("name", ["6", "06", "week06", "week06_resnets", "source/plan/week06_resnets.toml"])
def test_a_week_is_found_by_number_name_and_place(plan: Plan, name: str) -> None:
    assert plan.find(name).slug == "week06_resnets"


def test_14b_is_not_14_and_26_is_the_second_week_of_the_capstone(plan: Plan) -> None:
    assert [plan.find(name).slug for name in ("14", "14b", "26")] == [
        "week14_tokenizers",
        "week14b_rag",
        "week25_capstone",
    ]
    assert plan.find("26").name == "Weeks 25–26"


@pytest.mark.parametrize("name", ["27", "0", "", "week", "resnets"])
def test_what_is_no_week_is_refused(plan: Plan, name: str) -> None:
    with pytest.raises(UsageProblem, match="the plan has no week"):
        plan.find(name)


def test_where_the_plan_says_no_hours_its_average_is_taken(plan: Plan) -> None:
    assert plan.hours(plan.find("6")) == (22, 25)
    assert plan.hours(plan.find("22")) == (20, 20)
    assert plan.hours(plan.find("25")) == (40, 40), "two weeks"


@pytest.mark.parametrize(
    ("file", "old", "new", "says", "mend"),
    [
        (
            "plan.toml",
            "peak_hours = 30",
            "peak_hours = '30 h'",
            "source/plan.toml: duration.peak_hours: ",
            "whole number",
        ),
        ("plan.toml", "months = 6", "", "source/plan.toml: duration.months: is missing", "add it"),
        ("plan.toml", "[further]", "[father]", "father: is not a key that is known here", "misspelt"),
        ("plan.toml", '"week07_optimizers"', '"week07_x"', "source/plan/week07_x.toml: is missing", "take 'week07_x'"),
        ("plan.toml", '"week07_optimizers"', '"week06_resnets"', "'week06_resnets' is there twice", "take one of them"),
        ("plan.toml", "week = 15", "week = 77", "names week 77, which the plan lacks", "another week"),
        ("plan.toml", 'name = "credits"', 'name = "rich"', "compute.tiers.2.name: ", "what is expected"),
        ("plan/week06_resnets.toml", "number = 6", "number = 7", "number is 7, and slug is 'week06_resnets'", ""),
        ("plan/week06_resnets.toml", "[22, 25]", "[25, 22]", "hours go from 25 down to 22", ""),
        ("plan/week06_resnets.toml", "https://arxiv", "arxiv", "resources.0.url: ", "as the pattern says"),
        ("plan/week06_resnets.toml", 'level = "core"', 'level = "easy"', "resources.0.level: ", "what is expected"),
        ("plan/week06_resnets.toml", "objectives = [", "objectives = ", "is not TOML", "toml.io"),
        ("plan/week25_capstone.toml", "until = 26", "until = 24", "until is 24, which is not after number", ""),
        ("plan/week16_llm_eval.toml", '["15", "16"]', '["15", "61"]', "names week 61, which the plan lacks", "another"),
    ],
)
def test_a_mistake_is_told_with_file_key_and_mend(
    bare: Course, file: str, old: str, new: str, says: str, mend: str
) -> None:
    path = bare.root / "source" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(Problem) as caught:
        read_plan(bare)
    assert says in str(caught.value)
    assert mend in caught.value.mend
    assert caught.value.exit_code == 1


def test_a_course_without_a_plan_is_bad_usage(bare: Course) -> None:
    (bare.root / "source" / "plan.toml").unlink()
    with pytest.raises(UsageProblem, match="this course has no plan"):
        read_plan(bare)
