"""The tests' own week, built, as grading takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nbformat
import pytest

from gradekit.course import Week
from gradekit.grade.bundle import Bundle, open_bundle


@pytest.fixture(scope="session")
def bundle(built_week: Week) -> Iterator[Bundle]:
    with open_bundle(built_week.bundle) as opened:
        yield opened


@pytest.fixture(scope="session")
def solution(built_week: Week) -> Any:
    """The solution's notebook: not to be changed."""
    return nbformat.read(built_week.solutions / built_week.notebook_name, as_version=4)
