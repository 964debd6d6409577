"""The command line: exit codes, messages, and what is printed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradekit.course import Course, Week


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "120"}
    command = [sys.executable, "-c", "from gradekit.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_build_says_what_it_built_and_then_that_there_is_nothing_to_do(course: Course) -> None:
    first = run("build", cwd=course.root)
    assert first.returncode == 0, first.stderr
    assert "week01_double: 2 questions, 5 points, 2 public and 2 hidden tests" in first.stdout
    assert run("build", "1", cwd=course.root / "source").stdout == "week01_double: nothing to do\n"


def test_build_check_exits_with_1_and_names_what_differs(course: Course) -> None:
    assert run("build", cwd=course.root).returncode == 0
    assert run("build", "--check", cwd=course.root).returncode == 0
    (course.root / "release" / "week01_double" / "notes" / "readme.txt").write_text("changed\n")
    outcome = run("build", "--check", cwd=course.root)
    assert outcome.returncode == 1
    assert "release/week01_double/notes/readme.txt differs" in outcome.stdout


def test_a_wrong_source_exits_with_1_and_a_mend(week: Week) -> None:
    week.source.write_text(week.source.read_text().replace("# name: q2", "# name: q1"))
    outcome = run("build", cwd=week.course.root)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("error: source/week01_double/week01_double.py, cell ")
    assert "mend: " in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("build", "week77"), "no week named 'week77'"),
        (("verify", "week77"), "the weeks are: week01_double"),
        (("grade", "no.zip", "source", "-o", "out"), "no such bundle"),
        (("grade", "no.zip"), "Missing"),
        (("check", "no.ipynb"), "no such notebook"),
        (("nonsense",), "No such command"),
    ],
)
def test_bad_usage_exits_with_2(course: Course, arguments: tuple[str, ...], says: str) -> None:
    (course.root / "source" / "a.ipynb").write_text("{}")
    outcome = run(*arguments, cwd=course.root)
    assert outcome.returncode == 2
    assert says in outcome.stderr


def test_outside_a_course_is_bad_usage(tmp_path: Path) -> None:
    outcome = run("build", cwd=tmp_path)
    assert outcome.returncode == 2
    assert "no course here" in outcome.stderr


def test_grade_prints_the_table_and_writes_the_files(built_week: Week, tmp_path: Path) -> None:
    work = tmp_path / "submissions"
    work.mkdir()
    (work / "ada.ipynb").write_bytes((built_week.solutions / built_week.notebook_name).read_bytes())
    (work / "ben.ipynb").write_bytes((built_week.release / built_week.notebook_name).read_bytes())
    (work / "[red]cleo\x1b[31m.ipynb").write_bytes(b"\x89PNG")
    outcome = run("grade", built_week.bundle, work, "--output", tmp_path / "out", "--worst-first", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    rows = [line.split()[0] for line in lines if "/ 5" in line]
    assert rows == ["[red]cleo�[31m", "ben", "ada"]
    assert "\x1b" not in outcome.stdout
    assert "is not a notebook: not UTF-8 text" in outcome.stdout
    assert (tmp_path / "out" / "grades.csv").read_text().count("\n") == 4
    assert len(list((tmp_path / "out" / "results").glob("*.json"))) == 3


def test_check_tells_a_student_what_fails(built_week: Week) -> None:
    outcome = run("check", built_week.release / built_week.notebook_name, cwd=built_week.release)
    assert outcome.returncode == 1
    assert "q1  not yet  0 of 1 public tests" in outcome.stdout
    assert "doubles a small tensor" in outcome.stdout
    assert "Traceback" not in outcome.stdout + outcome.stderr


@pytest.mark.timing
def test_a_build_with_nothing_to_do_takes_a_second_at_most(course: Course) -> None:
    assert run("build", cwd=course.root).returncode == 0
    times = []
    for _ in range(3):
        started = time.perf_counter()
        assert "nothing to do" in run("build", cwd=course.root).stdout
        times.append(time.perf_counter() - started)
    assert min(times) <= 1.0
