"""What many tests need: the tests' own small course, fresh or built."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gradekit.build.make import build_week
from gradekit.course import Course, Week

HERE = Path(__file__).parent

MANUAL = """
# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: 2
# manual: true
# rubric:
#   - 1: says that each undoes the other
#   - 1: says where they do not

# %% [markdown]
# ## q3 · Say why
# *2 points · about 5 minutes · difficulty 1 of 5*
#
# Do doubling and halving undo each other?

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# They do, as long as no double is larger than the largest number of the dtype.

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION
"""


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


@pytest.fixture
def manual_week(week: Week) -> Week:
    """The same week with a third question, which a person marks; nothing is built yet."""
    week.source.write_text(week.source.read_text() + MANUAL)
    return week


@pytest.fixture(scope="session")
def built_manual_week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    """That one built, once for all tests: not to be changed."""
    root = Path(shutil.copytree(HERE / "course", tmp_path_factory.mktemp("manual") / "course"))
    week = Course(root).week("1")
    week.source.write_text(week.source.read_text() + MANUAL)
    build_week(week)
    return week
