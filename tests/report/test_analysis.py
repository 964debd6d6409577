"""What a class's results say."""

from __future__ import annotations

import pytest

from gradekit.grade.result import CaseResult, QuestionResult, Result
from gradekit.report.analysis import analyse


def test_of_each_question_how_many_have_its_points_and_the_mean_share(results: list[Result]) -> None:
    q1, q2 = analyse(results).items
    assert (q1.name, q1.possible, q1.full, q1.mean) == ("q1", 3, 3, pytest.approx(0.6))
    assert (q2.full, q2.mean) == (3, pytest.approx(0.8))
    assert q1.seconds == pytest.approx(1.0)


def test_discrimination_is_the_correlation_with_all_other_questions(results: list[Result]) -> None:
    """q1: 0 3 3 0 3 points, of ben, ada, dan, the fourth and eve; q2: 2 2 1 1 2. Worked out by hand: r = 1/6."""
    q1, q2 = analyse(results).items
    assert q1.discrimination == pytest.approx(1 / 6)
    assert q2.discrimination == pytest.approx(1 / 6)


def test_where_all_have_the_same_there_is_no_discrimination(results: list[Result]) -> None:
    assert [item.discrimination for item in analyse(results[1:2]).items] == [None, None]


def test_noise_of_rounding_is_no_correlation() -> None:
    def one(name: str, score: float) -> Result:
        questions = [(n, s, CaseResult("t", s, False, True, "", 0.0)) for n, s in (("q1", score), ("q2", 0.2))]
        return Result(name, "graded", tuple(QuestionResult(n, 1.0, (case,)) for n, _, case in questions))

    found = analyse([one(str(i), score) for i, score in enumerate((0.1, 0.7, 0.3, 0.1))])
    assert [item.discrimination for item in found.items] == [None, None]


def test_what_a_test_says_most_often_comes_first(results: list[Result]) -> None:
    cases = {case.name: case for case in analyse(results).items[1].cases}
    assert (cases["fast enough"].failed, cases["fast enough"].reached) == (2, 5)
    assert cases["fast enough"].messages == (("6.0 times the reference, expected 42.5", 2),)
    assert cases["halves two"].messages == ()


def test_a_question_that_was_never_reached_counts_as_nothing(results: list[Result]) -> None:
    late = Result("late", "timeout", (QuestionResult("q1", 3.0), QuestionResult("q2", 2.0)), "did not finish")
    q1, _ = analyse([*results, late]).items
    assert q1.mean == pytest.approx(0.5)
    assert {case.reached for case in q1.cases} == {5}


def test_ratios_are_sorted_and_have_their_limit(results: list[Result]) -> None:
    (timed,) = analyse(results).timed
    assert (timed.question, timed.case, timed.limit) == ("q2", "fast enough", 3.0)
    assert [(who, ratio) for who, ratio, _ in timed.ratios][:3] == [("ada", 1.0), ("ben", 2.0), ("eve", 2.9)]


def test_a_person_should_look_at_what_crashed_was_undecided_or_ran_outside_the_jail(results: list[Result]) -> None:
    look = {look.submission: "; ".join(look.why) for look in analyse(results).look}
    assert len(look) == 2
    assert "undecided, and so passed: q2, fast enough" in look["eve"]
    assert "isolation process" in look["eve"]
    assert any(why.startswith("crashed: ") for why in look.values())


def test_without_results_there_is_nothing_to_say() -> None:
    with pytest.raises(ValueError, match="no results"):
        analyse([])
