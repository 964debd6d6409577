"""nbgrader's gradebook, filled by the kit, and read by nbgrader."""

from __future__ import annotations

import base64
import copy
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.nbgraderformat import MetadataValidator

from gradekit.course import Week
from gradekit.grade.batch import grade_batch
from gradekit.grade.bundle import Bundle
from gradekit.grade.engine import Terms
from gradekit.grade.gradebook import course_root, reach, students_of, write_gradebook
from gradekit.grade.handed_in import handed_in
from gradekit.grade.result import Result
from gradekit.grade.submission import Submission
from gradekit.problem import Problem, UsageProblem

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
HOSTILE = "# Look <script>alert(1)</script> <img src=x onerror=alert(1)> $\\href{javascript:alert(1)}{x}$ and 1 < 2"


@pytest.fixture(scope="module")
def graded(
    bundle: Bundle, solution: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Submission], list[Result]]:
    """ada is right, ben is wrong in q1, cleo handed in no notebook; in nbgrader's layout, ben late."""
    folder = tmp_path_factory.mktemp("course") / "submitted"
    submissions = []
    for name in ("ada", "ben", "cleo"):
        path = folder / name / bundle.assignment / f"{bundle.assignment}.ipynb"
        path.parent.mkdir(parents=True)
        notebook = copy.deepcopy(solution)
        if name == "ben":
            code = next(cell for cell in notebook.cells if cell.id == "q1-code-1")
            code.source += "\nimport sys\nsys.stderr.write('a warning')\ndef double(x):\n    return x"
            show = nbformat.v4.new_output("display_data", data={"image/png": PNG, "text/html": "<script>1</script>"})
            code.outputs = [show, nbformat.v4.new_output("stream", name="stderr", text="\x1b[2Jred")]
            notebook.cells.insert(3, nbformat.v4.new_markdown_cell(HOSTILE))
            (path.parent / "timestamp.txt").write_text("2026-03-02 12:00:00 UTC")
        nbformat.write(notebook, path)
        if name == "cleo":
            path.write_text("{")
        submissions.append(Submission(name, path))
    return submissions, grade_batch(bundle, submissions, jobs=2, terms=Terms())


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gradebook with nothing in it: nbgrader takes seconds to make one."""
    folder = tmp_path_factory.mktemp("empty")
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    make = f"from nbgrader.api import Gradebook; Gradebook('sqlite:///{folder}/gradebook.db')"
    subprocess.run([sys.executable, "-c", make], env=os.environ | environment, check=True)
    return folder / "gradebook.db"


@pytest.fixture
def root(tmp_path: Path, empty: Path) -> Path:
    shutil.copy(empty, tmp_path)
    return tmp_path


def write(bundle: Bundle, graded: tuple[list[Submission], list[Result]], root: Path) -> Gradebook:
    url = f"sqlite:///{root / 'gradebook.db'}"
    write_gradebook(url, bundle, *graded, root)
    return Gradebook(url)


def active(html: str) -> list[str]:
    """What of HOSTILE a browser would execute."""
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.extend(name for name, _ in attributes if name.startswith("on"))
            self.tag = tag

        def handle_data(self, data: str) -> None:
            if getattr(self, "tag", "") == "script" and data.strip() == "alert(1)":
                found.append("script")

    Reader().feed(html)
    return found


def hidden_names(results: list[Result]) -> set[str]:
    return {case.name for result in results for q in result.questions for case in q.cases if case.hidden}


def scores(gradebook: Gradebook, assignment: str, student: str) -> dict[str, float]:
    notebook = gradebook.find_submission_notebook(assignment, assignment, student)
    return {grade.name.removesuffix("-check"): grade.score for grade in notebook.grades}


def test_scores_are_those_of_the_results(bundle: Bundle, graded: Any, tmp_path: Path) -> None:
    with write(bundle, graded, tmp_path) as gradebook:  # a new one
        for submission, result in zip(*graded, strict=True):
            found = scores(gradebook, bundle.assignment, submission.name)
            assert found == {question.name: question.score for question in result.questions}
        assert scores(gradebook, bundle.assignment, "ada") == bundle.points
        ben, cleo = (gradebook.find_submission(bundle.assignment, name) for name in ("ben", "cleo"))
        assert (ben.needs_manual_grade, cleo.needs_manual_grade) == (False, True)
        assert ben.score < ben.max_score == sum(bundle.points.values())
        assert ben.timestamp.isoformat() == "2026-03-02T12:00:00"


def skips(notebook: Any) -> None:
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution"]


def empties(notebook: Any) -> None:
    code = "get_ipython().input_transformers_cleanup.append(lambda lines: ['None'])"
    next(cell for cell in notebook.cells if cell.id == "q1-code-1").source += f"\n{code}"


def publishes(notebook: Any) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.id.endswith("-check"):
            cell.source = f"3\n{cell.source}"
            cell.outputs = [nbformat.v4.new_output("execute_result", data={"text/plain": "3"}, execution_count=1)]
            cell.metadata["nbgrader"] = {"grade": True, "grade_id": cell.id[:-6], "points": 3, "locked": False}


@pytest.mark.parametrize("trick", [skips, empties, publishes])
def test_what_gets_points_from_nbgraders_own_autograde_gets_none(
    bundle: Bundle, built_week: Week, root: Path, trick: Callable[[Any], None]
) -> None:
    notebook = nbformat.read(built_week.release / built_week.notebook_name, as_version=4)
    trick(notebook)
    nbformat.write(notebook, root / "eve.ipynb")
    eve = [Submission("eve", root / "eve.ipynb")]
    with write(bundle, (eve, grade_batch(bundle, eve, jobs=1, terms=Terms())), root) as gradebook:
        assert set(scores(gradebook, bundle.assignment, "eve").values()) == {0.0}


def test_a_right_answer_that_writes_to_stderr_has_its_points(bundle: Bundle, solution: Any, root: Path) -> None:
    notebook = copy.deepcopy(solution)
    for cell in notebook.cells:
        if cell.id in ("q1-code-1", "q2-code-1"):
            cell.source += "\nimport sys\nprint('a warning', file=sys.stderr)"
    nbformat.write(notebook, root / "dan.ipynb")
    dan = [Submission("dan", root / "dan.ipynb")]
    with write(bundle, (dan, grade_batch(bundle, dan, jobs=1, terms=Terms())), root) as gradebook:
        assert scores(gradebook, bundle.assignment, "dan") == bundle.points


def test_cells_have_the_names_that_they_have_in_the_release(bundle: Bundle, built_week: Week, root: Path) -> None:
    """So that a gradebook into which nbgrader has entered the assignment gets no second cell for anything."""
    release = nbformat.read(built_week.release / built_week.notebook_name, as_version=4)
    marks = [cell.metadata.nbgrader for cell in release.cells if "nbgrader" in cell.metadata]
    with write(bundle, ([], []), root) as gradebook:
        notebook = gradebook.find_notebook(bundle.assignment, bundle.assignment)
        assert {cell.name: cell.max_score for cell in notebook.grade_cells} == {
            its.grade_id: its.points for its in marks if its.grade
        }
        assert {cell.name for cell in notebook.solution_cells} == {its.grade_id for its in marks if its.solution}


def test_comments_tell_nothing_of_hidden_tests(bundle: Bundle, graded: Any, root: Path) -> None:
    hidden = {
        case.name for result in graded[1] for question in result.questions for case in question.cases if case.hidden
    }
    assert hidden
    with write(bundle, graded, root) as gradebook:
        comment = gradebook.find_comment("q1-code-1", bundle.assignment, bundle.assignment, "ben").comment
        assert "hidden test" in comment
        assert not any(name in comment for name in hidden)
        assert gradebook.find_comment("q1-code-1", bundle.assignment, bundle.assignment, "ada").comment is None


def test_what_a_person_entered_stays(bundle: Bundle, graded: Any, root: Path) -> None:
    with write(bundle, graded, root) as gradebook:
        gradebook.update_or_create_assignment(bundle.assignment, duedate="2026-03-01 12:00:00 UTC")
        grade = gradebook.find_grade("q1-check", bundle.assignment, bundle.assignment, "ben")
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 0.5, 0.25, False
        gradebook.find_comment("q1-code-1", bundle.assignment, bundle.assignment, "ben").manual_comment = "see me"
        gradebook.db.commit()
    with write(bundle, graded, root) as gradebook:
        grade = gradebook.find_grade("q1-check", bundle.assignment, bundle.assignment, "ben")
        assert (grade.score, grade.extra_credit, grade.needs_manual_grade) == (0.75, 0.25, True)
        assert gradebook.find_comment("q1-code-1", bundle.assignment, bundle.assignment, "ben").comment == "see me"
        assert gradebook.find_submission(bundle.assignment, "ben").total_seconds_late == 24 * 3600
        assert len(gradebook.students) == 3


def test_a_question_that_came_later_has_its_grade(bundle: Bundle, graded: Any, root: Path) -> None:
    with write(bundle, graded, root) as gradebook:
        gradebook.db.delete(gradebook.find_grade("q2-check", bundle.assignment, bundle.assignment, "ada"))
        gradebook.db.commit()
        assert "q2" not in scores(gradebook, bundle.assignment, "ada")
    with write(bundle, graded, root) as gradebook:
        assert scores(gradebook, bundle.assignment, "ada") == bundle.points


def test_late_penalties_are_those_of_the_course(bundle: Bundle, graded: Any, root: Path) -> None:
    (root / "nbgrader_config.py").write_text(
        "from nbgrader.plugins import LateSubmissionPlugin\n"
        "class Half(LateSubmissionPlugin):\n"
        "    def late_submission_penalty(self, student_id, score, total_seconds_late):\n"
        "        return score / 2\n"
        "c = get_config()\n"
        "c.AssignLatePenalties.plugin_class = Half\n"
    )
    with write(bundle, graded, root) as gradebook:
        gradebook.update_or_create_assignment(bundle.assignment, duedate="2026-03-01 12:00:00 UTC")
    with write(bundle, graded, root) as gradebook:
        late, in_time = (
            gradebook.find_submission_notebook(bundle.assignment, bundle.assignment, name) for name in ("ben", "ada")
        )
        assert late.late_submission_penalty == late.score / 2 > 0
        assert not in_time.late_submission_penalty


def test_the_notebook_is_nbgraders_and_nothing_in_it_is_active(bundle: Bundle, graded: Any, root: Path) -> None:
    write(bundle, graded, root).close()
    path = root / "autograded" / "ben" / bundle.assignment / f"{bundle.assignment}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    MetadataValidator().validate_nb(notebook)
    about = {
        cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader
        for cell in notebook.cells
        if "nbgrader" in cell.metadata
    }
    assert {name.removesuffix("-check"): its.points for name, its in about.items() if its.grade} == bundle.points
    assert about["q1-code-1"].solution
    code = next(cell for cell in notebook.cells if cell.id == "q1-code-1")
    assert code.outputs[0].data == {"image/png": PNG}
    assert "\x1b" not in code.outputs[1].text
    text = path.read_text()
    assert "text/html" not in text
    prose = next(cell.source for cell in notebook.cells if cell.source.startswith("# Look"))
    assert "<script" not in prose
    assert "<img" not in prose
    assert "\\href" not in prose
    assert prose.replace("\N{ZERO WIDTH SPACE}", "") == HOSTILE
    assert notebook.cells[0].source.startswith("# Doubling")
    assert notebook.cells[0].cell_type == "markdown"
    check = next(cell for cell in notebook.cells if cell.id == "q1-check")
    assert "hidden tests: " in check.outputs[0].text


def test_hidden_tests_are_not_in_the_notebook(bundle: Bundle, graded: Any) -> None:
    hidden = {
        case.name for result in graded[1] for question in result.questions for case in question.cases if case.hidden
    }
    for submission, result in zip(*graded, strict=True):
        text = nbformat.writes(handed_in(bundle, submission, result))
        assert not any(name in text for name in hidden)


def test_a_notebook_without_ids_still_has_its_answers(
    bundle: Bundle, solution: Any, graded: Any, tmp_path: Path
) -> None:
    notebook = copy.deepcopy(solution)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"other-{number}"
    nbformat.write(notebook, tmp_path / "dan.ipynb")
    found = handed_in(bundle, Submission("dan", tmp_path / "dan.ipynb"), graded[1][0])
    ids = [cell.id for cell in found.cells]
    assert len(set(ids)) == len(ids)
    assert {"q1-code-1", "q1-check", "q2-check"} <= set(ids)


def test_nbgrader_makes_feedback_and_exports_it(bundle: Bundle, graded: Any, root: Path) -> None:
    write(bundle, graded, root).close()
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(root)}
    for command in (["generate_feedback", bundle.assignment, "--force"], ["export"]):
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *command, f"--CourseDirectory.root={root}"],
            cwd=root,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    html = (root / "feedback" / "ben" / bundle.assignment / f"{bundle.assignment}.html").read_text()
    assert "hidden test" in html
    assert active(html) == []
    assert active(f"<html>{HOSTILE}</html>") == ["script", "onerror"]
    rows = (root / "grades.csv").read_text().splitlines()
    assert len(rows) == 4


def test_the_folder_is_the_databases(tmp_path: Path) -> None:
    assert course_root(f"sqlite:///{tmp_path}/gradebook.db") == tmp_path
    assert course_root("postgresql://host/name") == Path.cwd()
    with pytest.raises(UsageProblem, match="no database URL"):
        course_root("gradebook.db")


def test_a_module_that_is_not_there_is_told_before_anything_is_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy.engine", None)
    with pytest.raises(Problem, match=r"gradekit\[instructor\]"):
        course_root("sqlite:///gradebook.db")


def test_a_config_that_does_not_run_is_told_before_anything_is_graded(tmp_path: Path) -> None:
    (tmp_path / "nbgrader_config.py").write_text("c = get_config(\n")
    with pytest.raises(Problem, match="cannot be read: SyntaxError"):
        reach(f"sqlite:///{tmp_path}/gradebook.db", tmp_path)
    assert not (tmp_path / "gradebook.db").exists()


def test_two_submissions_of_one_student_are_refused(tmp_path: Path) -> None:
    two = [Submission("ada/first", tmp_path / "first.ipynb"), Submission("ada/second", tmp_path / "second.ipynb")]
    with pytest.raises(UsageProblem, match="ada has another submission"):
        students_of(two, "week01")
    layout = tmp_path / "ada" / "week01" / "week01.ipynb"
    assert students_of([Submission("week01/week01", layout)], "week01") == {"week01/week01": "ada"}


def test_a_database_that_cannot_be_had_is_told(bundle: Bundle, graded: Any, tmp_path: Path) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with pytest.raises(Problem, match="cannot be written"):
            write_gradebook(f"sqlite:///{tmp_path}/nowhere/gradebook.db", bundle, *graded, tmp_path)
        with pytest.raises(Problem, match="cannot be written"):  # and that before anything is graded
            reach(f"sqlite:///{tmp_path}/nowhere/gradebook.db", tmp_path)
    finally:
        logging.disable(logging.NOTSET)
