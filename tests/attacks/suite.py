"""The folder that `grade_all.py` grades, and what came of it."""

from __future__ import annotations

import copy
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from gradekit.build.make import build_week
from gradekit.course import Course
from tests.attacks.catalogue import AFTER, CASES, Attack

HERE = Path(__file__).parent
PLACES = ("root", "user", "container")
CANARY = re.compile(r"CANARY-[a-z]+-[0-9a-f]{8}")
ID = "{:03}"
"""A submission's name is its number in CASES: names of attacks hold anything."""


def canary(where: str) -> str:
    return f"CANARY-{where}-{secrets.token_hex(4)}"


def prepare_folder(folder: Path) -> None:
    """Build the course with marks in its tests and reference, and write a notebook for each case."""
    course = Path(shutil.copytree(HERE / "course", folder / "course"))
    for path in course.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for where in ("test", "reference"):
            text = text.replace(f"@CANARY-{where}@", canary(where))
        path.write_text(text, encoding="utf-8")
    (folder / "bundles").mkdir()
    solutions = {}
    for number, name in (("1", "plain"), ("2", "costs"), ("3", "counts")):
        week = Course(course).week(number)
        build_week(week)
        shutil.copy(week.bundle, folder / "bundles")
        solutions[name] = json.loads((week.solutions / week.notebook_name).read_text(encoding="utf-8"))
    slugs = {"plain": "week01_plain", "costs": "week02_costs", "counts": "week03_counts"}
    for slug in slugs.values():
        (folder / "submissions" / slug).mkdir(parents=True)
    for number, case in enumerate(CASES):
        notebook = written(solutions[case.week], case)
        path = folder / "submissions" / slugs[case.week] / f"{ID.format(number)}.ipynb"
        path.write_text(json.dumps(notebook), encoding="utf-8")
    (folder / "grades.csv").write_text(canary("outside"), encoding="utf-8")
    shutil.rmtree(course)


def written(solution: dict[str, Any], case: Attack) -> dict[str, Any]:
    """The notebook that is handed in. A comment in each holds a mark that no other submission may see."""
    notebook = copy.deepcopy(solution)
    if case.notebook is not None:
        case.notebook(notebook)
        return notebook
    cell = next(cell for cell in notebook["cells"] if cell["id"] == f"{case.question}-code-1")
    source = "".join(cell["source"])
    cell["source"] = source + "\n" + case.code if case.where == AFTER else case.code or source
    return notebook


def grade_in(place: str, folder: Path) -> dict[str, Any]:
    """What `grade_all.py` prints. The instructor's environment holds a mark."""
    home = folder / f"home-{place}"
    home.mkdir()
    home.chmod(0o777)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() and not path.name.startswith("home-") else path.stat().st_mode | 0o044)
    environment = os.environ | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "INSTRUCTORS_TOKEN": canary("environment"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("PYTEST_CURRENT_TEST", None)
    ran = subprocess.run(
        [sys.executable, str(HERE / "grade_all.py"), place, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def points(result: dict[str, Any]) -> dict[str, float]:
    return {
        question["name"]: sum(case["points"] for case in question["cases"] if case["passed"])
        for question in result["questions"]
    }


def said(result: dict[str, Any]) -> str:
    """All that a person reads of it."""
    messages = [case["message"] for question in result["questions"] for case in question["cases"]]
    return "\n".join([result["note"], *messages])
