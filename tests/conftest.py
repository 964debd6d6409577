"""What many tests need: the tests' own small course, fresh or built."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gradekit.build.make import build_week
from gradekit.course import Course, Week

HERE = Path(__file__).parent


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A copy of tests/course: one week, of which nothing is built yet."""
    return Course(Path(shutil.copytree(HERE / "course", tmp_path / "course")))


@pytest.fixture
def week(course: Course) -> Week:
    return course.week("1")


@pytest.fixture(scope="session")
def built_week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    """The same week, built once for all tests: not to be changed."""
    root = Path(shutil.copytree(HERE / "course", tmp_path_factory.mktemp("built") / "course"))
    week = Course(root).week("1")
    build_week(week)
    return week
