"""gradekit build --nbgrader: a course that stock nbgrader takes for its own, and grades to the same points."""

from __future__ import annotations

import ast
import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from gradekit.build.make import load_week
from gradekit.build.nbgrader_course import write_course
from gradekit.build.nbgrader_source import source_notebook
from gradekit.course import Week
from gradekit.problem import Problem, UsageProblem

SLUG = "week01_double"


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def edit(week: Week, old: str, new: str) -> None:
    text = week.source.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    week.source.write_text(text.replace(old, new))


def write(week: Week, place: Path) -> None:
    write_course(week.course, [week], place)


def source_of(week: Week) -> dict[str, str]:
    """The notebook in nbgrader's source/: id -> source."""
    notebook = source_notebook(load_week(week), week.reference.read_text())
    return {cell.id: cell.source for cell in notebook.cells}


@pytest.fixture(scope="module")
def place(built_week: Week, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course as it was written; not to be changed."""
    place = tmp_path_factory.mktemp("nbgrader") / "course"
    write(built_week, place)
    return place


def test_the_config_and_a_folder_for_each_week_are_written(place: Path) -> None:
    assert set(files(place)) == {
        "nbgrader_config.py",
        f"source/{SLUG}/{SLUG}.ipynb",
        f"source/{SLUG}/notes/readme.txt",
        f"source/{SLUG}/tests/q1.py",
        f"source/{SLUG}/tests/q2.py",
    }


def test_beside_the_notebook_lies_what_students_get_and_nothing_else(place: Path, built_week: Week) -> None:
    ours, theirs = files(place / "source" / SLUG), files(built_week.release)
    del ours[f"{SLUG}.ipynb"], theirs[f"{SLUG}.ipynb"]
    assert ours == theirs


def test_solutions_stand_in_nbgraders_fences(week: Week) -> None:
    assert source_of(week)["q1-code-1"] == (
        'def double(x):\n    """Twice x, element by element."""\n'
        "    ### BEGIN SOLUTION\n    doubled = x + x\n    return doubled\n    ### END SOLUTION"
    )


def test_all_tests_and_the_reference_stand_in_the_hidden_region_of_a_check(week: Week) -> None:
    lines = source_of(week)["q1-check"].splitlines()
    assert lines[0] == "### BEGIN HIDDEN TESTS"
    assert lines[-2:] == ["### END HIDDEN TESTS", 'grader.check("q1")']
    assert "    return x * 2" in lines
    assert any("agrees with the reference on random tensors" in line for line in lines)
    ast.parse("\n".join(lines))


def made(week: Week) -> dict[str, str]:
    from gradekit.build.preprocessors import released

    notebook = released(source_notebook(load_week(week), week.reference.read_text()))
    return {cell.id: cell.source for cell in notebook.cells}


@pytest.mark.parametrize(
    ("solution", "stub"),
    [
        ("factor = 2  # SOLUTION\n    return x * factor", "factor = ...\n    return x * factor"),
        ("return x + x  # SOLUTION", "..."),
        ("# BEGIN SOLUTION\n    y = x\n\n    return y + y\n    # END SOLUTION\n\n\nlast = 1", "...\n\n\nlast = 1"),
        ("# BEGIN SOLUTION NO PROMPT\n    return x + x\n    # END SOLUTION", ""),
        ("y = x + x  # SOLUTION\n    # BEGIN SOLUTION\n    return y\n    # END SOLUTION", "y = ...\n    ..."),
    ],
)
def test_nbgrader_leaves_the_stub_of_the_release_whatever_its_form(week: Week, solution: str, stub: str) -> None:
    block = "# BEGIN SOLUTION\n    doubled = x + x\n    return doubled\n    # END SOLUTION"
    edit(week, block, solution)
    start = 'def double(x):\n    """Twice x, element by element."""'
    assert made(week)["q1-code-1"] == (f"{start}\n    {stub}" if stub else start)
    write(week, week.course.root / "nbgrader")


def test_text_that_nbgrader_would_take_for_an_order_is_safe_in_tests_and_reference(week: Week) -> None:
    words = ["### END HIDDEN TESTS", "### BEGIN SOLUTION", "### AUTOTEST", "### END MARK SCHEME", "'''", '"""', "\\n\\"]
    week.reference.write_text(
        week.reference.read_text() + "".join(f"\nWORD = {word!r}" for word in words) + "\n%time\n"
    )
    tree = ast.parse(source_of(week)["q1-check"])
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert week.reference.read_text() in texts
    assert made(week)["q1-check"] == 'grader.check("q1")'


def test_words_of_nbgraders_in_a_cell_of_the_week_are_a_problem(week: Week) -> None:
    edit(week, "import torch\n\n# %% [raw]", "import torch  # AUTOTEST\n\n# %% [raw]")
    with pytest.raises(Problem, match="AUTOTEST among them"):
        write(week, week.course.root / "nbgrader")
    assert not (week.course.root / "nbgrader").exists()


def test_a_notebook_among_the_files_is_a_problem(week: Week) -> None:
    (week.room / "notes" / "more.ipynb").write_text("{}")
    with pytest.raises(Problem, match="nbgrader would grade every notebook"):
        write(week, week.course.root / "nbgrader")


def test_writing_twice_gives_the_same_and_leaves_what_nbgrader_made(week: Week, tmp_path: Path) -> None:
    place = tmp_path / "nbgrader"
    write(week, place)
    first = files(place)
    kept = {
        "gradebook.db": b"grades",
        "nbgrader_own.py": b"c.X = 1\n",
        "source/week99_own/week99_own.ipynb": b"{}",
        **{f"{name}/ada/{SLUG}/{SLUG}.ipynb": b"{}" for name in ("submitted", "autograded", "feedback")},
    }
    for name, data in kept.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    (place / "source" / SLUG / "stale.txt").write_text("from an older build")
    write(week, place)
    assert files(place) == first | kept


def test_a_refused_week_leaves_the_course_as_it_was(week: Week, tmp_path: Path) -> None:
    place = tmp_path / "nbgrader"
    write(week, place)
    before = files(place)
    edit(week, "name: q2", "name: q1")
    with pytest.raises(Problem):
        write(week, place)
    assert files(place) == before


@pytest.mark.parametrize("name", ["homework.txt", "nbgrader_config.py"])
def test_a_folder_that_holds_something_else_is_refused(week: Week, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("c = get_config()\n")
    with pytest.raises(UsageProblem, match="mend: name a new folder"):
        write(week, tmp_path / "mine")
    assert files(tmp_path / "mine") == {name: b"c = get_config()\n"}


def test_an_empty_folder_is_taken(week: Week, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(week, tmp_path / "empty")
    assert (tmp_path / "empty" / "nbgrader_config.py").is_file()
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"nbgrader_config.py", "source"}


@pytest.mark.parametrize("inside", ["release", "source/nbgrader", f"release/{SLUG}"])
def test_a_folder_that_students_or_the_build_have_is_refused(week: Week, inside: str) -> None:
    with pytest.raises(UsageProblem, match="hidden tests and solutions"):
        write(week, week.course.root / inside)


def test_a_file_in_its_place_is_refused(week: Week, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageProblem, match="is not a folder"):
        write(week, tmp_path / "file")
    with pytest.raises(Problem, match="cannot be written"):
        write(week, tmp_path / "file" / "below")


def test_the_command_writes_it_and_does_not_check_at_the_same_time(week: Week, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from gradekit.cli import main; main()", "build", "--nbgrader", "out"]
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "120"}
    course = ["--course", str(week.course.root)]
    refused = subprocess.run(
        [*command, *course, "--check"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "leave out one of them" in refused.stderr
    outcome = subprocess.run([*command, *course], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    assert "out: a course for nbgrader, 1 week" in outcome.stdout
    assert (tmp_path / "out" / "nbgrader_config.py").is_file()


# What follows runs nbgrader itself.


def nbgrader(place: Path, *arguments: str) -> str:
    """Run stock nbgrader in the course; it looks for programs of its own on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "nbgrader", *arguments]
    outcome = subprocess.run(
        command, cwd=place, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout + outcome.stderr


def points(place: Path, student: str) -> dict[str, float]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{place / 'gradebook.db'}") as gradebook:
        grades = gradebook.find_submission_notebook(SLUG, SLUG, student).grades
        return {grade.name.removesuffix("-check"): grade.auto_score for grade in grades}


def answered(notebook: Any, **answers: str) -> Any:
    """A copy with other answers, by question."""
    changed = copy.deepcopy(notebook)
    for cell in changed.cells:
        question = cell.id.removesuffix("-code-1")
        if question in answers:
            cell.source = answers[question]
    return changed


NOISY = """\
import logging, os, sys, warnings
logging.basicConfig(level=logging.DEBUG)
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.ast_node_interactivity = "all"
%precision 0

def double(x):
    logging.warning("logged")
    warnings.warn("warned")
    print("printed", file=sys.stderr)
    os.write(2, b"from below Python")
    return x + x if x.ndim == 1 else x
"""


@pytest.fixture(scope="module")
def released(built_week: Week, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("graded") / "course"
    write(built_week, place)
    nbgrader(place, "generate_assignment", SLUG)
    return place


def test_generate_assignment_makes_the_release_to_the_byte(built_week: Week, released: Path) -> None:
    assert files(released / "release" / SLUG) == files(built_week.release)


@pytest.mark.timeout(600)  # a kernel is started for every student
def test_autograde_gives_the_points_of_gradekit_grade(built_week: Week, released: Path, tmp_path: Path) -> None:
    from gradekit.grade.batch import grade_batch
    from gradekit.grade.bundle import open_bundle
    from gradekit.grade.engine import Terms
    from gradekit.grade.submission import find_submissions

    blank = nbformat.read(built_week.release / f"{SLUG}.ipynb", as_version=4)
    solution = nbformat.read(built_week.solutions / f"{SLUG}.ipynb", as_version=4)
    wrong = answered(solution, q1="def double(x):\n    return x + 1", q2="def halve(x):\n    raise SystemExit")
    for cell in wrong.cells:  # a check that is not run would have full marks
        cell.metadata["tags"] = ["show", "skip-execution"]
    submissions = {
        "solution": solution,
        "blank": blank,
        "wrong": wrong,
        "noisy": answered(solution, q1=NOISY, q2="grader = None\ndef halve(x):\n    return x / 2"),
    }
    for name, notebook in submissions.items():
        for path in (released / "submitted" / name / SLUG / f"{SLUG}.ipynb", tmp_path / "work" / f"{name}.ipynb"):
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, path)
    nbgrader(released, "autograde", SLUG)
    with open_bundle(built_week.bundle) as bundle:
        found = find_submissions([tmp_path / "work"])
        results = grade_batch(bundle, found, jobs=1, terms=Terms())
    ours = {result.submission: {q.name: q.score for q in result.questions} for result in results}
    theirs = {name: points(released, name) for name in submissions}
    assert theirs == ours
    assert theirs == {
        "solution": {"q1": 3, "q2": 2},
        "blank": {"q1": 0, "q2": 0},
        "wrong": {"q1": 1, "q2": 0},
        "noisy": {"q1": 1, "q2": 2},
    }

    nbgrader(released, "generate_feedback", SLUG)
    for name in submissions:
        page = (released / "feedback" / name / SLUG / f"{SLUG}.html").read_text()
        assert "doubles a small tensor" in page
        assert "secret_inputs" not in page
        assert "agrees with the reference" not in page
        graded = json.loads((released / "autograded" / name / SLUG / f"{SLUG}.ipynb").read_text())
        assert not any("outputs" in cell and cell["outputs"] for cell in graded["cells"] if cell["id"] == "code-2")
