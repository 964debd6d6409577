"""Questions that a person marks, in what grading gives: tables, gradebook, the notebook to read."""

from __future__ import annotations

import copy
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from nbconvert.filters import markdown2html
from nbgrader.api import Gradebook
from otter.export.exporters.base_exporter import BaseExporter

from gradekit.build.nbgrader_course import write_course
from gradekit.course import Week
from gradekit.grade.batch import grade_batch
from gradekit.grade.bundle import Bundle, open_bundle
from gradekit.grade.by_hand import answered, find_answers
from gradekit.grade.engine import Terms, unfinished
from gradekit.grade.gradebook import write_gradebook
from gradekit.grade.handed_in import handed_in
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


def test_an_answer_whose_kind_was_changed_is_an_answer(bundle: Bundle, release: Any) -> None:
    notebook = copy.deepcopy(release)
    cell = next(cell for cell in notebook.cells if cell.id == "q3-answer")
    cell.cell_type, cell.source = "raw", ESSAY
    assert notebook.cells[find_answers(bundle.manual, notebook)["q3"]].source == ESSAY


def test_one_cell_does_not_answer_two_questions(bundle: Bundle) -> None:
    two = {"q3": bundle.manual["q3"], "q5": replace(bundle.manual["q3"], cell="q5-answer")}
    cell = {"cell_type": "markdown", "id": "q3-answer", "metadata": {"id": "q5-answer"}, "source": ESSAY}
    assert find_answers(two, {"cells": [cell]}) == {"q3": 0}


def test_what_the_release_says_below_the_answer_is_none(bundle: Bundle, release: Any) -> None:
    notebook = copy.deepcopy(release)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "q3-answer"]
    assert find_answers(bundle.manual, notebook) == {}


def read(bundle: Bundle, notebook: Any, folder: Path, **how: Any) -> Any:
    nbformat.write(notebook, folder / "dan.ipynb")
    submission = Submission("dan", folder / "dan.ipynb")
    return handed_in(bundle, submission, unfinished(bundle, submission, ""), **how)


def test_behind_thousands_of_cells_the_answer_is_still_there(bundle: Bundle, release: Any, tmp_path: Path) -> None:
    notebook = copy.deepcopy(release)
    notebook.cells[:0] = [nbformat.v4.new_markdown_cell("more") for _ in range(2000)]
    next(cell for cell in notebook.cells if cell.id == "q3-answer").source = ESSAY
    found = {cell.id: cell for cell in read(bundle, notebook, tmp_path).cells}
    assert found["q3-answer"].source == ESSAY


ACTIVE = [
    "[a](javascript:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](javascript&colon;alert(1))",
    "[a](javascript\\:alert(1))",
    "[a]\n\n[a]: javascript:alert(1)",
    "[a](JaVaScRiPt:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)",
    "<a href=javascript:alert(1)>a</a>",
    "&#36;&#92;href{javascript:alert(1)}{x}&#36;",
    "$\\mmlToken{mtext}[href=javascript:alert(1)]{x}$",
]


@pytest.mark.parametrize("source", ACTIVE)
def test_no_link_of_an_answer_runs_a_program(bundle: Bundle, release: Any, tmp_path: Path, source: str) -> None:
    """As formgrader turns it into HTML."""
    notebook = copy.deepcopy(release)
    next(cell for cell in notebook.cells if cell.id == "q3-answer").source = source
    shown = next(cell.source for cell in read(bundle, notebook, tmp_path).cells if cell.id == "q3-answer")
    assert schemes(source) - {""} or "\\" in unescape(source), "this test would not see it"
    assert schemes(shown) <= {"", "http", "https", "mailto"}
    html = markdown2html(shown)
    assert "\\href" not in html
    assert "\\mmlToken" not in html


def schemes(source: str) -> set[str]:
    """Of all addresses in what the source is rendered to."""
    found = re.findall(r"""(?:href|src)=["']?([^"'>\s]*)""", markdown2html(source))
    return {urlsplit(unescape(address).strip()).scheme.lower() for address in found}


def test_what_stands_below_the_answer_is_exported_with_it(bundle: Bundle, release: Any, tmp_path: Path) -> None:
    notebook = copy.deepcopy(release)
    place = next(i for i, cell in enumerate(notebook.cells) if cell.id == "q3-answer")
    notebook.cells[place].source = "the first part"
    notebook.cells.insert(place + 1, nbformat.v4.new_markdown_cell("the second part"))
    assert exported(read(bundle, notebook, tmp_path, marked_for_export=True)) >= {"the first part", "the second part"}


def test_an_answer_that_was_moved_away_is_exported(bundle: Bundle, release: Any, tmp_path: Path) -> None:
    notebook = copy.deepcopy(release)
    place = next(i for i, cell in enumerate(notebook.cells) if cell.id == "q3-answer")
    notebook.cells.append(notebook.cells.pop(place))
    notebook.cells[-1].source = ESSAY
    found = exported(read(bundle, notebook, tmp_path, marked_for_export=True))
    assert ESSAY in found
    assert not any("def double" in source for source in found)


def exported(notebook: Any) -> set[str]:
    return {cell.source.strip() for cell in BaseExporter.filter_cells(notebook, pagebreaks=False).cells}


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
