"""The repository's own plan, and copies of it in which a test decides which weeks have an assignment."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gradekit.course import Course
from gradekit.plan.read import Plan, read_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def plan() -> Plan:
    """As it is in this repository: not to be changed."""
    return read_plan(Course(ROOT))


@pytest.fixture
def bare(tmp_path: Path, plan: Plan) -> Course:
    """The same plan in a course of its own, in which no week has an assignment."""
    (tmp_path / "reference").mkdir()
    (tmp_path / "source" / "plan").mkdir(parents=True)
    shutil.copy(ROOT / "source" / "plan.toml", tmp_path / "source")
    for planned in plan.every:
        room, unwritten = ROOT / "source" / planned.slug / "about.toml", ROOT / f"source/plan/{planned.slug}.toml"
        facts = (room if room.is_file() else unwritten).read_text()
        target = tmp_path / "source" / "plan" / f"{planned.slug}.toml"
        target.write_text(facts.replace("draft = true\n", ""))  # a test decides what is written
    return Course(tmp_path)


@pytest.fixture
def write(bare: Course) -> Callable[..., None]:
    """Gives weeks of `bare` a room; its notebook is empty, which is enough for a plan."""

    def give(*slugs: str) -> None:
        for slug in slugs:
            room = bare.root / "source" / slug
            room.mkdir()
            shutil.move(bare.root / "source" / "plan" / f"{slug}.toml", room / "about.toml")
            (room / f"{slug}.py").touch()

    return give
