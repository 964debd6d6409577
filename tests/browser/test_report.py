"""The class report in a browser: no errors, no harm, and its tables sort, filter and open."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from gradekit.grade.result import Result
from gradekit.report.feedback import write_feedback
from gradekit.report.page import write_report

from ..report.conftest import HOSTILE, result

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
mixed = importlib.import_module("report").mixed

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def results() -> list[Result]:
    few = [result("ada", True, 1.0), result("ben", False, 2.0), result("dan", True, 6.0)]
    return [*mixed(few, 999), result(HOSTILE, False, 6.0, status="crashed", note=HOSTILE)]


@pytest.fixture
def heard(page: Any) -> list[str]:
    """What the browser complains of, and what a script of a submission would say."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    return said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_report_is_read(
    page: Any, heard: list[str], shot: Any, tmp_path: Path, results: list[Result], scheme: str, size: str
) -> None:
    path = write_report(tmp_path, results, title="week05")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(dict(zip(("width", "height"), SIZES[size], strict=True)))
    page.goto(path.as_uri())
    shot(page, "top")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    assert page.locator("#table tbody tr").count() == 1000

    page.get_by_role("button", name="score").click()
    lowest = [float(text) for text in page.locator("#table tbody tr td:nth-child(3)").all_inner_texts()]
    assert lowest == sorted(lowest)
    page.get_by_role("button", name="score").click()
    highest = [float(text) for text in page.locator("#table tbody tr td:nth-child(3)").all_inner_texts()]
    assert highest == sorted(lowest, reverse=True)

    page.get_by_label("Name").fill("student0001")
    assert page.locator("#count").inner_text() == "10 of 1000"
    page.get_by_label("Name").fill("script")
    page.locator("#table tbody tr:visible a").click()
    page.locator("dialog[open]").wait_for()
    assert "<script>alert(1)</script>" in page.locator("#who").inner_text()
    assert "failed a small image" in page.locator("#cases").inner_text()
    shot(page, "student")
    page.get_by_role("button", name="Close").click()
    page.get_by_label("Name").fill("")
    page.get_by_label("only those").check()
    assert page.locator("#count").inner_text() == "1 of 1000"
    assert heard == []


def test_feedback_is_read(page: Any, heard: list[str], shot: Any, tmp_path: Path) -> None:
    folder = write_feedback(tmp_path, [result("dan", False, 6.0)], title="week05")
    page.goto((folder / "dan.html").as_uri())
    shot(page, "feedback")
    assert "6 times the reference; the limit is 3" in page.locator("main").inner_text()
    assert page.locator("svg").count() == 1
    assert heard == []
