"""gradekit plan, progress and new, as they are typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradekit.course import Course
from gradekit.grade.result import CaseResult, QuestionResult, Result
from gradekit.grade.store import Key, Store
from gradekit.plan.read import Plan, read_plan

ROOT = Path(__file__).parents[2]


def run(*arguments: object, cwd: Path = ROOT, columns: int = 120) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": str(columns)}
    command = [sys.executable, "-c", "from gradekit.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return read_plan(Course(ROOT))


def store(folder: Path, **shares: float) -> Path:
    """Results of week 5 for each name: its share of ten points."""
    with Store.open(folder) as opened:
        for name, share in shares.items():
            cases = tuple(CaseResult(f"case {i}", 1.0, False, i < share * 10, "", 0.1) for i in range(10))
            result = Result(name, "graded", (QuestionResult("q1", 10.0, cases),), assignment="week05_conv")
            opened.put(Key(name, "bundle", "1.0", "cpu"), result)
    return folder


def test_plan_shows_every_week_milestone_tier_and_tip(plan: Plan) -> None:
    outcome = run("plan")
    assert outcome.returncode == 0, outcome.stderr
    said = " ".join(outcome.stdout.split())
    for planned in plan.every:
        assert f"{planned.label} {planned.about.week.title}".strip() in said
        for milestone in planned.about.milestones:
            assert milestone.text in said
    for text in [*(tip.text for tip in plan.facts.tips), *(p for t in plan.facts.compute.tiers for p in t.places)]:
        assert text in said
    assert "18–22 h ready" in said
    assert "not written yet" in said


@pytest.mark.parametrize("columns", [60, 120])
def test_plan_of_a_week_shows_all_that_is_known_of_it_with_links_in_one_piece(plan: Plan, columns: int) -> None:
    for number in ("1", "9", "15"):
        about = plan.find(number).about
        outcome = run("plan", number, columns=columns)
        assert outcome.returncode == 0, outcome.stderr
        assert {r.url for r in about.resources} <= {line.strip() for line in outcome.stdout.splitlines()}
        said = " ".join(outcome.stdout.split())
        for text in (about.week.title, about.week.summary, *about.objectives):
            assert text in said
    assert "28 h" in said


def test_plan_says_where_an_assignment_lies_or_that_there_is_none() -> None:
    assert run("plan", "5").stdout.endswith("Assignment\n  release/week05_conv/week05_conv.ipynb\n")
    assert run("plan", "diffusion").stdout.endswith("Assignment\n  not written yet\n")


def test_plan_adapts_to_the_compute_that_there_is() -> None:
    free, credits = (" ".join(run("plan", "9", "--compute", tier).stdout.split()) for tier in ("gpu-free", "credits"))
    assert "set aside: Full ImageNet from scratch" in free
    assert "Kaggle Kernels: P100, 30–41 h a week, sessions of 9 h" in free
    assert "set aside" not in credits
    assert "AWS Research Credits: up to about $5k" in credits
    assert "advanced, optional Full ImageNet from scratch" in credits
    whole = " ".join(run("plan", "--compute", "low-cost").stdout.split())
    assert "25–30 h scaled down, 1 set aside" in whole
    assert "Google Colab Free" not in whole


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan", "77"), "the plan has no week '77'"),
        (("plan", "--compute", "rich"), "name one of gpu-free, low-cost, credits"),
        (("progress",), "Missing"),
        (("progress", "nowhere"), "no such file or folder"),
        (("new",), "Missing"),
        (("new", "lecture"), "'lecture' is no name of a week"),
        (("new", "week05_conv"), "source/week05_conv: is there already"),
        (("new", "week05_other"), "week 5 is 'week05_conv'"),
    ],
)
def test_bad_usage_exits_with_2(arguments: tuple[str, ...], says: str) -> None:
    outcome = run(*arguments)
    assert outcome.returncode == 2
    assert says in " ".join(outcome.stderr.split())
    assert "Traceback" not in outcome.stderr


def test_a_course_without_a_plan_is_bad_usage(course: Course) -> None:
    outcome = run("plan", cwd=course.root)
    assert (outcome.returncode, "this course has no plan" in outcome.stderr) == (2, True)


def test_progress_shows_weeks_milestones_hours_and_what_is_next(tmp_path: Path) -> None:
    outcome = run("progress", store(tmp_path, week05_conv=0.9))
    assert outcome.returncode == 0, outcome.stderr
    lines = [" ".join(line.split()) for line in outcome.stdout.splitlines()]
    assert lines[0] == "1 of 26 weeks finished"
    assert "5 CNNs & Backpropagation Deep Dive 9 / 10 finished" in lines
    assert "Milestones: 0 of 7 met" in lines
    assert "main track 389–435 h 4 weeks without stated hours, at 20 h a week" in lines
    assert lines[lines.index("Next") + 1].startswith("Week ")


def test_progress_of_a_class_has_a_line_for_each_and_one_can_be_asked_for(tmp_path: Path) -> None:
    folder = store(tmp_path, ada=1.0, ben=0.5, **{"[red]cleo\x1b[31m": 0.0})
    everyone = run("progress", folder)
    assert everyone.returncode == 0, everyone.stderr
    rows = [line.split()[:2] for line in everyone.stdout.splitlines() if "/ 26" in line]
    assert rows == [["[red]cleo�[31m", "0"], ["ada", "1"], ["ben", "0"]]
    assert "\x1b" not in everyone.stdout
    ben = run("progress", folder, "--student", "ben").stdout
    assert ben.startswith("ben · 0 of 26 weeks finished\n")
    assert "5 / 10   begun" in ben
    nobody = run("progress", folder, "--student", "dan")
    assert (nobody.returncode, "there is no result of 'dan'" in nobody.stderr) == (2, True)


def test_new_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    outcome = run("new", "week99_test", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    *written, following = outcome.stdout.splitlines()
    assert following == "next: gradekit build week99_test && gradekit verify week99_test"
    assert all((tmp_path / line).is_file() for line in written)
    assert run("build", "week99_test", cwd=tmp_path).returncode == 0
    assert run("new", "week99_test", cwd=tmp_path).returncode == 2
