"""Questions that a person marks, in what grading gives: tables, gradebook, the notebook to read."""

from __future__ import annotations

import copy
import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook

from gradekit.build.nbgrader_course import write_course
from gradekit.course import Week
from gradekit.grade.batch import grade_batch
from gradekit.grade.bundle import Bundle, open_bundle
from gradekit.grade.by_hand import answered, find_answers
from gradekit.grade.engine import Terms
from gradekit.grade.gradebook import write_gradebook
from gradekit.grade.result import Result
from gradekit.grade.submission import Submission
from gradekit.grade.views import write_views

ESSAY = "They do, until a number overflows."
SLUG = "week01_double"


@pytest.fixture(scope="module")
def bundle(built_manual_week: Week) -> Iterator[Bundle]:
    with open_bundle(built_manual_week.bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def release(built_manual_week: Week) -> Any:
    return nbformat.read(built_manual_week.release / built_manual_week.notebook_name, as_version=4)


@pytest.fixture(scope="module")
def graded(
    bundle: Bundle, built_manual_week: Week, release: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Submission], list[Result]]:
    """ada wrote an essay, and a rubric of her own; ben nothing; cleo's file is broken."""
    folder = tmp_path_factory.mktemp("handed-in")
    ada = copy.deepcopy(nbformat.read(built_manual_week.solutions / built_manual_week.notebook_name, as_version=4))
    for cell in ada.cells:
        if cell.id == "q3-answer":
            cell.source = ESSAY
        elif cell.id == "q3-text-1":
            cell.source = "## q3 · Say why\n\n- 2: is always right"
    nbformat.write(ada, folder / "ada.ipynb")
    nbformat.write(release, folder / "ben.ipynb")
    (folder / "cleo.ipynb").write_text("{")
    submissions = [Submission(name, folder / f"{name}.ipynb") for name in ("ada", "ben", "cleo")]
    return submissions, grade_batch(bundle, submissions, jobs=2, terms=Terms())


def test_tests_do_not_grade_it_and_the_table_has_room_for_it(graded: Any, tmp_path: Path) -> None:
    results = {result.submission: result for result in graded[1]}
    assert (results["ada"].score, results["ada"].possible) == (5, 5)
    assert results["cleo"].by_hand == {"q3": 2}
    with write_views(tmp_path, graded[1]).open(newline="") as table:
        rows = {row["submission"]: row for row in csv.DictReader(table)}
    assert rows["ada"] == {
        "submission": "ada", "status": "graded", "score": "5", "possible": "5", "q1": "3", "q2": "2", "q3": ""
    }  # fmt: skip
    told = json.loads((tmp_path / "results" / "ada.json").read_text())["extra_data"]
    assert told["by_hand"] == {"q3": 2}
    assert Result.from_json(results["ada"].to_json()) == results["ada"]


@pytest.fixture(scope="module")
def gradebook(
    bundle: Bundle, graded: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gradebook, Path]]:
    root = tmp_path_factory.mktemp("gradebook")
    url = f"sqlite:///{root / 'gradebook.db'}"
    write_gradebook(url, bundle, *graded, root)
    with Gradebook(url) as opened:
        yield opened, root


def test_what_was_written_waits_for_a_person_and_nothing_is_worth_nothing(gradebook: Any) -> None:
    book, _ = gradebook
    found = {name: book.find_grade("q3-answer", SLUG, SLUG, name) for name in ("ada", "ben", "cleo")}
    assert {name: (grade.auto_score, grade.needs_manual_grade) for name, grade in found.items()} == {
        "ada": (None, True),
        "ben": (0, False),
        "cleo": (0, False),
    }
    assert found["ada"].max_score == 2
    comments = {name: book.find_comment("q3-answer", SLUG, SLUG, name).comment for name in found}
    assert comments == {"ada": None, "ben": "No response.", "cleo": "No response."}
    assert book.find_submission(SLUG, "ada").max_score == 7


def test_a_persons_marks_stay_when_it_is_graded_again(gradebook: Any, bundle: Bundle, graded: Any) -> None:
    book, root = gradebook
    grade = book.find_grade("q3-answer", SLUG, SLUG, "ada")
    grade.manual_score, grade.needs_manual_grade = 1.5, False
    book.db.commit()
    assert book.find_submission(SLUG, "ada").score == 6.5
    write_gradebook(f"sqlite:///{root / 'gradebook.db'}", bundle, *graded, root)
    book.db.expire_all()
    grade = book.find_grade("q3-answer", SLUG, SLUG, "ada")
    assert (grade.score, grade.needs_manual_grade) == (1.5, True)


def test_the_grader_reads_the_answer_below_the_releases_own_rubric(gradebook: Any) -> None:
    path = gradebook[1] / "autograded" / "ada" / SLUG / f"{SLUG}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    ids = [cell.id for cell in notebook.cells]
    place = ids.index("q3-answer")
    assert notebook.cells[place].source == ESSAY
    assert notebook.cells[place].metadata.nbgrader.points == 2
    assert "says where they do not" in notebook.cells[place - 1].source
    assert "is always right" not in path.read_text()
    assert not any("END QUESTION" in cell.source for cell in notebook.cells)
    broken = nbformat.read(gradebook[1] / "autograded" / "cleo" / SLUG / f"{SLUG}.ipynb", as_version=4)
    assert "q3-answer" in [cell.id for cell in broken.cells]


def drop_ids(notebook: Any) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.id = f"other-{number}"


def move_ids(notebook: Any) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.metadata["id"], cell.id = cell.id, f"other-{number}"


def copy_the_blank_above(notebook: Any) -> None:
    place = next(i for i, cell in enumerate(notebook.cells) if cell.id == "q3-answer")
    twin = copy.deepcopy(notebook.cells[place])
    twin.source = "_Type your answer here, replacing this text._"
    notebook.cells.insert(place, twin)


@pytest.mark.parametrize("change", [lambda notebook: None, drop_ids, move_ids, copy_the_blank_above])
def test_the_answer_is_found(bundle: Bundle, release: Any, change: Callable[[Any], None]) -> None:
    notebook = copy.deepcopy(release)
    next(cell for cell in notebook.cells if cell.id == "q3-answer").source = ESSAY
    change(notebook)
    place = find_answers(bundle.manual, notebook)["q3"]
    assert notebook.cells[place].source == ESSAY
    assert answered(bundle.manual["q3"], notebook.cells[place])


@pytest.mark.parametrize("source", ["", " \n", "_Type your answer here, replacing this text._\n", ["_Type your ", 3]])
def test_nothing_was_written(bundle: Bundle, source: Any) -> None:
    assert not answered(bundle.manual["q3"], {"source": source})


@pytest.mark.parametrize("notebook", [{}, {"cells": 3}, {"cells": [None, 3, {"id": ["q3-answer"]}, {"metadata": 3}]}])
def test_no_answer_is_found_in_what_is_no_notebook(bundle: Bundle, notebook: Any) -> None:
    assert find_answers(bundle.manual, notebook) == {}


def test_the_next_question_is_no_answer(bundle: Bundle, release: Any) -> None:
    notebook = copy.deepcopy(release)
    drop_ids(notebook)
    place = next(i for i, cell in enumerate(notebook.cells) if "## q3 ·" in cell.source)
    notebook.cells[place + 1].source = "## q4 · Another question"
    assert find_answers(bundle.manual, notebook) == {}


def test_nbgraders_own_autograde_leaves_it_to_a_person_as_well(
    built_manual_week: Week, graded: Any, tmp_path: Path
) -> None:
    course = tmp_path / "course"
    write_course(built_manual_week.course, [built_manual_week], course)
    for submission in graded[0][:2]:
        place = course / "submitted" / submission.name / SLUG / f"{SLUG}.ipynb"
        place.parent.mkdir(parents=True)
        shutil.copy(submission.path, place)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    for command in ("generate_assignment", "autograde"):
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", command, SLUG],
            cwd=course, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        for name, expected in (("ada", (None, True)), ("ben", (0, False))):
            grade = book.find_grade("q3-answer", SLUG, SLUG, name)
            assert (grade.auto_score, grade.needs_manual_grade) == expected
        assert book.find_grade("q1-check", SLUG, SLUG, "ada").auto_score == 3
        assert book.find_grade("q1-check", SLUG, SLUG, "ben").auto_score == 0
