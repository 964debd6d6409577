"""Which weeks a course has."""

from __future__ import annotations

import pytest

from gradekit.course import Course, Week
from gradekit.problem import UsageProblem


def make_draft(week: Week, value: str = "true") -> None:
    week.about.write_text(week.about.read_text().replace("[week]\n", f"[week]\ndraft = {value}\n"))


def test_a_draft_is_a_week_when_it_is_named_and_else_none(course: Course, week: Week) -> None:
    assert course.select([]) == [week]
    make_draft(week)
    assert course.weeks() == []
    assert course.weeks(drafts=True) == [week]
    assert course.select(["1"]) == [week]
    with pytest.raises(UsageProblem, match="there is no week"):
        course.select([])


def test_a_draft_builds(course: Course, week: Week) -> None:
    from gradekit.build.make import build_week

    make_draft(week)
    build_week(week)
    assert week.bundle.is_file()


@pytest.mark.parametrize("text", ["", "[week", "week = 3\n", '[week]\ndraft = "yes"\n'])
def test_an_about_that_says_nothing_of_it_is_no_drafts(week: Week, text: str) -> None:
    week.about.write_text(text)
    assert not week.draft
