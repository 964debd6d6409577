"""A new week: it builds and verifies as it is, takes what the plan says of it along, and replaces nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gradekit.author.new import begin_course, new_week
from gradekit.build.make import build_week
from gradekit.course import Course
from gradekit.plan.read import read_plan
from gradekit.problem import UsageProblem
from gradekit.verify.week import verify_week

ROOT = Path(__file__).parents[2]


def everything(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def planned(tmp_path: Path) -> Course:
    """The plan of this repository in a course without rooms, but for what it says of weeks that have one."""
    (tmp_path / "reference").mkdir()
    shutil.copytree(ROOT / "source" / "plan", tmp_path / "source" / "plan")
    shutil.copy(ROOT / "source" / "plan.toml", tmp_path / "source")
    for room in (path for path in (ROOT / "source").iterdir() if (path / "about.toml").is_file()):
        shutil.copy(room / "about.toml", tmp_path / "source" / "plan" / f"{room.name}.toml")
    return Course(tmp_path)


def test_a_new_week_in_an_empty_folder_builds_and_verifies(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()  # what begins with a dot does not make a folder full
    week = new_week(begin_course(tmp_path), "week99_test")
    assert build_week(week).points == 3
    verification = verify_week(week, jobs=1, repeats=1)
    assert verification.ok, [finding for finding in verification.findings if not finding.ok]
    assert verification.survivors == ()
    assert [found.slug for found in Course.find(tmp_path).weeks()] == ["week99_test"]


def test_it_has_a_room_a_reference_and_nothing_else(course: Course) -> None:
    before = everything(course.root)
    new_week(course, "week99b_two_words")
    after = everything(course.root)
    assert before.items() <= after.items()
    assert sorted(after.keys() - before.keys()) == [
        "reference/week99b_two_words.py",
        "source/week99b_two_words/about.toml",
        "source/week99b_two_words/mutants.py",
        "source/week99b_two_words/week99b_two_words.py",
    ]
    assert b'title = "Two words"' in after["source/week99b_two_words/about.toml"]
    assert b"# # Week 99b \xc2\xb7 Two words" in after["source/week99b_two_words/week99b_two_words.py"]


@pytest.mark.parametrize("name", ["6", "06", "week06", "week06_resnets"])
def test_what_the_plan_says_of_the_week_moves_into_its_room(planned: Course, name: str) -> None:
    told = (planned.root / "source" / "plan" / "week06_resnets.toml").read_text()
    before = read_plan(planned).find("6")
    week = new_week(planned, name)
    assert week.slug == "week06_resnets"
    assert week.about.read_text() == told
    assert not (planned.root / "source" / "plan" / "week06_resnets.toml").exists()
    after = read_plan(planned).find("6")
    assert (before.about, before.written, after.written) == (after.about, False, True)
    assert "# # Week 6 · Advanced CNN Architectures" in week.source.read_text()
    assert build_week(week).points == 3


def test_a_module_of_the_plan_may_have_a_room_though_it_has_no_number(planned: Course) -> None:
    week = new_week(planned, "diffusion")
    assert build_week(week).name == "diffusion"
    assert read_plan(planned).find("diffusion").written


@pytest.mark.parametrize(
    "name",
    [
        "",
        "_",
        "lecture",
        "week",
        "week99",
        "week9_test",
        "week00_test",
        "week100_test",
        "Week99_test",
        "week99_Test",
        "week99-test",
        "week99_",
        "week99__x",
        "week99_a b",
        "week99_test/",
        "week99_test.py",
        "../week99_test",
    ],
)
def test_what_is_no_name_of_a_week_is_refused(course: Course, name: str) -> None:
    before = everything(course.root.parent)
    with pytest.raises(UsageProblem, match="is no name of a week") as caught:
        new_week(course, name)
    assert "weekNN_subject" in caught.value.mend
    assert everything(course.root.parent) == before


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("source/week99_test/notes.txt", "source/week99_test: is there already"),
        ("reference/week99_test.py", "reference/week99_test.py: is there already"),
        ("source/week99_other/about.toml", "week 99 is 'week99_other'"),
    ],
)
def test_what_exists_is_left_as_it_is(course: Course, made: str, says: str) -> None:
    (course.root / made).parent.mkdir(exist_ok=True)
    (course.root / made).write_text("mine\n")
    before = everything(course.root)
    with pytest.raises(UsageProblem) as caught:
        new_week(course, "week99_test")
    assert says in str(caught.value)
    assert everything(course.root) == before


def test_a_number_of_the_plan_is_not_for_another_subject(planned: Course) -> None:
    with pytest.raises(UsageProblem, match="week 6 is 'week06_resnets'"):
        new_week(planned, "week06_other")
    assert new_week(planned, "week06b_other").slug == "week06b_other", "6b is another week than 6"


def test_a_folder_with_something_in_it_does_not_become_a_course(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageProblem):
            begin_course(place)
    assert everything(tmp_path) == {"thesis.txt": b""}


def test_within_a_course_it_is_that_course(course: Course) -> None:
    assert begin_course(course.root / "source") == course
