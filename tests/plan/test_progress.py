"""How far somebody is, from real stores and the files that are made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gradekit.course import Course
from gradekit.grade.result import CaseResult, QuestionResult, Result
from gradekit.grade.store import Key, Store
from gradekit.grade.views import write_views
from gradekit.plan.graded import Graded, read_graded
from gradekit.plan.progress import standing
from gradekit.plan.read import Plan, read_plan
from gradekit.problem import UsageProblem

Write = Callable[..., None]


def result(submission: str, passed: int, assignment: str = "") -> Result:
    """One question of ten cases of a point each."""
    cases = tuple(CaseResult(f"case {i}", 1.0, False, i < passed, "", 0.1) for i in range(10))
    return Result(submission, "graded", (QuestionResult("q1", 10.0, cases),), assignment=assignment)


def store(folder: Path, *results: Result) -> Path:
    with Store.open(folder) as opened:
        for one in results:
            opened.put(Key(one.submission, "bundle", "1.0", "cpu"), one)
    return folder


def graded(week: str, share: float) -> Graded:
    return Graded(week, "", share * 10, 10)


# What was graded


def test_a_result_says_of_which_week_it_is(plan: Plan, tmp_path: Path) -> None:
    folder = store(tmp_path / "some" / "folder", result("ada", 7, "week06_resnets"), result("ben", 9, "week06_resnets"))
    expected = [Graded("week06_resnets", "ada", 7, 10), Graded("week06_resnets", "ben", 9, 10)]
    assert read_graded([folder], plan) == expected
    assert read_graded([folder / "results.sqlite"], plan) == expected
    assert read_graded([tmp_path], plan) == expected, "a folder above"


def test_the_files_say_what_the_store_says(plan: Plan, tmp_path: Path) -> None:
    results = [result("ada", 7, "week06_resnets"), result("ben", 9, "week06_resnets")]
    write_views(tmp_path / "views", results)
    from_store = read_graded([store(tmp_path / "store", *results)], plan)
    assert read_graded([tmp_path / "views"], plan) == from_store
    assert read_graded(sorted((tmp_path / "views" / "results").iterdir()), plan) == from_store


@pytest.mark.parametrize("folder", ["week14b", "week14b_rag", "my-week14b"])
def test_of_an_older_result_the_week_is_read_from_its_folder(plan: Plan, tmp_path: Path, folder: str) -> None:
    [found] = read_graded([store(tmp_path / folder, result("ada", 7))], plan)
    assert (found.week, found.person) == ("week14b_rag", "ada")


def test_a_learner_s_own_notebook_has_the_name_of_its_week(plan: Plan, tmp_path: Path) -> None:
    [found] = read_graded([store(tmp_path / "x", result("week06_resnets", 7))], plan)
    assert found == Graded("week06_resnets", "", 7, 10)


def test_a_notebook_in_a_student_s_folder_is_the_student_s(plan: Plan, tmp_path: Path) -> None:
    [found] = read_graded([store(tmp_path / "x", result("ada/week06_resnets", 7))], plan)
    assert found.person == "ada"


def test_what_belongs_to_no_week_of_the_plan_is_left_out(plan: Plan, tmp_path: Path) -> None:
    assert read_graded([store(tmp_path / "week06", result("ada", 7, "week99_other"))], plan) == []


def test_a_result_that_says_no_week_is_refused(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="'ada' does not say of which week it is"):
        read_graded([store(tmp_path / "x" / "y" / "z", result("ada", 7))], plan)


def test_what_is_no_result_is_refused(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.json").write_text(json.dumps({"score": 3}))
    (tmp_path / "text.json").write_text("ada")
    for path, says in [
        ("nothing", "no such file"),
        ("empty", "holds no results"),
        ("other.json", "is not a result"),
        ("text.json", "is not a result"),
    ]:
        with pytest.raises(UsageProblem, match=says):
            read_graded([tmp_path / path], plan)
    assert not (tmp_path / "empty" / "results.sqlite").exists(), "reading makes no store"


# What is finished


def test_a_week_is_finished_from_the_share_on_that_the_plan_names(plan: Plan) -> None:
    assert plan.facts.finished_at == 0.8
    for share, finished in [(0.79, 0), (0.8, 1), (1.0, 1)]:
        assert standing(plan, [graded("week05_conv", share)]).finished == finished


def test_the_best_of_several_results_counts(plan: Plan) -> None:
    results = [graded("week05_conv", share) for share in (0.3, 0.9, 0.5)]
    assert [week.best.score for week in standing(plan, results).weeks if week.best] == [9]


def test_a_milestone_is_met_when_all_of_its_weeks_are_finished(plan: Plan) -> None:
    def met(*weeks: str) -> list[str]:
        reached = standing(plan, [graded(plan.find(week).slug, 1.0) for week in weeks]).milestones
        return [one.weeks[-1].label for one in reached if one.met]

    assert met() == []
    assert met("6", "18") == ["6", "18"]
    assert met("15") == met("16") == []
    assert met("15", "16") == ["16"]
    assert met("10") == met("12") == ["12"], "any of weeks 10 to 12 will do"
    assert met("25") == ["25–26"]


# What is left


def test_all_hours_are_left_to_who_has_done_nothing(plan: Plan) -> None:
    """The sums of the plan: what it states, and 20 h for each week of which it states nothing."""
    nothing = standing(plan, [])
    assert nothing.core.hours == (407, 457)
    assert nothing.core.assumed == 4, "weeks 22, 24, 25 and 26"
    assert nothing.more.hours == (20 + 22 + 18 + 4 * 20,) * 2
    assert nothing.more.assumed == 4, "weeks 12, 20, 21 and 23"


def test_a_finished_week_has_no_hours_left_and_one_that_was_begun_its_share(plan: Plan) -> None:
    low, high = standing(plan, []).core.hours
    assert (plan.find("6").about.week.hours, plan.find("15").about.week.hours) == ((22, 25), (28, 28))
    assert standing(plan, [graded("week06_resnets", 0.8)]).core.hours == (low - 22, high - 25)
    assert standing(plan, [graded("week15_gpt", 0.75)]).core.hours == (low - 21, high - 21)
    optional = standing(plan, [graded("week14b_rag", 1.0)])
    assert (optional.core.hours, optional.more.hours) == ((low, high), (122, 122))


# What is next


def test_next_is_the_first_week_of_the_main_track_that_can_be_graded(bare: Course, write: Write) -> None:
    write("week05_conv", "week08_one_cycle", "week10_detection_segmentation", "week13_transformer")
    plan = read_plan(bare)
    now = standing(plan, [graded("week05_conv", 1.0), graded("week08_one_cycle", 0.1)])
    assert now.following is not None
    assert now.following.label == "8"
    assert [planned.label for planned in now.ungraded] == ["1", "2", "3", "4", "6", "7"]
    later = standing(plan, [graded("week05_conv", 1.0), graded("week08_one_cycle", 1.0)])
    assert later.following is not None
    assert later.following.label == "13", "week 10 is optional"


def test_where_no_assignment_is_left_next_is_the_first_open_week(bare: Course) -> None:
    plan = read_plan(bare)
    now = standing(plan, [graded("week01_xor_mlp", 1.0)])
    assert now.following is not None
    assert (now.following.label, now.ungraded) == ("2", ())


def test_who_has_finished_the_main_track_has_nothing_left(plan: Plan) -> None:
    done = standing(plan, [graded(planned.slug, 1.0) for planned in plan.weeks if planned.core])
    assert (done.following, done.core.hours) == (None, (0, 0))


def test_an_assignment_that_a_store_keeps_is_what_it_gives_back(tmp_path: Path) -> None:
    kept = replace(result("ada", 3), assignment="week06_resnets")
    assert Result.from_json(kept.to_json()) == kept
    assert kept.to_gradescope()["extra_data"]["assignment"] == "week06_resnets"
