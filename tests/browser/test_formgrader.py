"""Formgrader shows the gradebook that `gradekit grade --gradebook` wrote, and takes a person's points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import Gradebook

from gradekit.build.nbgrader_course import write_course
from gradekit.course import Week

ESSAY = "They do, until a number overflows."


def test_scores_are_listed_and_a_submission_can_be_marked(
    page: Any, jupyter: Any, shot: Any, built_manual_week: Week, tmp_path: Path
) -> None:
    week, course = built_manual_week, tmp_path / "course"
    write_course(week.course, [week], course)
    for student, folder in (("ada", week.solutions), ("ben", week.release)):
        notebook = nbformat.read(folder / week.notebook_name, as_version=4)
        if student == "ada":
            next(cell for cell in notebook.cells if cell.id == "q3-answer").source = ESSAY
        path = course / "submitted" / student / week.slug / week.notebook_name
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    bin = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{bin}:{os.environ['PATH']}"}
    database = f"sqlite:///{course / 'gradebook.db'}"
    for words in (
        [bin / "nbgrader", "generate_assignment", week.slug],
        [bin / "gradekit", "grade", week.bundle, "submitted", "-o", tmp_path / "results", "--gradebook", database],
    ):
        done = subprocess.run(words, cwd=course, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    address = jupyter(course)
    page.goto(address.format("formgrader/manage_students"))
    ada = page.locator("tbody tr", has_text="ada")
    ada.wait_for()
    assert "5 / 7" in ada.inner_text()
    shot(page, "students")
    page.goto(address.format(f"formgrader/gradebook/{week.slug}/{week.slug}"))
    listed = page.locator("tbody tr", has_text="Submission #")
    listed.nth(1).wait_for()
    rows = [[cell.strip() for cell in row.split("\t")[2:5]] for row in listed.all_inner_texts()]
    # in an order drawn by lot: formgrader shows no names here
    assert sorted(rows) == [["0 / 7", "0 / 5", "0 / 2"], ["5 / 7", "5 / 5", "0 / 2"]]
    shot(page, "submissions")
    with Gradebook(database) as gradebook:
        submission = gradebook.find_submission_notebook(week.slug, week.slug, "ada").id
    page.goto(address.format(f"formgrader/submissions/{submission}/"))
    page.get_by_text(ESSAY).wait_for()
    page.get_by_text("says where they do not").wait_for()
    # the page asks for the points once it stands, and fills them in when they come
    for given in ("3", "2"):
        page.locator(f"input.score[placeholder='{given}']").wait_for()
    points = page.locator("input.score")
    assert points.count() == 3
    points.nth(2).fill("1.5")
    with page.expect_response(lambda response: response.request.method == "PUT" and "/api/grade/" in response.url):
        points.nth(2).blur()
    shot(page, "submission")
    with Gradebook(database) as gradebook:
        assert gradebook.find_grade("q3-answer", week.slug, week.slug, "ada").manual_score == 1.5
        assert gradebook.find_submission(week.slug, "ada").score == 6.5
