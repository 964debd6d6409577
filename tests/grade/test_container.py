"""In a container: the results are the judge's, in Otter's own objects, and nothing of the submission's."""

from __future__ import annotations

import copy
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import dill
import nbformat
import pytest

from gradekit.course import Week
from gradekit.grade.bundle import open_bundle, read_bundle
from gradekit.grade.container import grade_container


@pytest.fixture
def root(built_week: Week, tmp_path: Path) -> Path:
    """/autograder as Otter lays it out."""
    with zipfile.ZipFile(built_week.bundle) as archive:
        archive.extractall(tmp_path / "source")
    for name in ("submission", "results"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def solution(built_week: Week) -> Any:
    return nbformat.read(built_week.solutions / built_week.notebook_name, as_version=4)


def points(root: Path) -> dict[str, float]:
    results = dill.loads((root / "results" / "results.pkl").read_bytes())
    return {name: results.get_score(name) for name in results.test_files}


def test_both_results_say_the_same(root: Path, solution: Any) -> None:
    nbformat.write(solution, root / "submission" / "ada.ipynb")
    assert grade_container(root).status == "graded"
    assert points(root) == {"q1": 3.0, "q2": 2.0}
    assert json.loads((root / "results" / "results.json").read_text())["score"] == 5.0
    results = dill.loads((root / "results" / "results.pkl").read_bytes())
    assert (results.total, results.possible) == (5.0, 5.0)
    assert "q1 results" in results.summary() or "passed" in results.summary()


def test_what_is_pickled_is_otters_and_plain(root: Path, solution: Any) -> None:
    nbformat.write(solution, root / "submission" / "ada.ipynb")
    grade_container(root)
    modules = set()

    class Looking(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            modules.add(module.split(".")[0])
            return super().find_class(module, name)

    with (root / "results" / "results.pkl").open("rb") as file:
        Looking(file).load()
    assert modules == {"otter"}


def test_a_crash_costs_its_question_here_too(root: Path, solution: Any) -> None:
    notebook = copy.deepcopy(solution)
    next(cell for cell in notebook.cells if cell.id == "q1-code-1").source += "\nimport os\nos._exit(0)"
    nbformat.write(notebook, root / "submission" / "eve.ipynb")
    grade_container(root)
    assert points(root) == {"q1": 0.0, "q2": 2.0}


def test_a_submission_cannot_write_the_results(root: Path, solution: Any) -> None:
    """It tries to put a pickle that runs code where the host will look for one."""
    notebook = copy.deepcopy(solution)
    results = root / "results" / "results.pkl"
    root.chmod(0o755)
    results.parent.chmod(0o777)
    forge = (
        "import os, pickle\n"
        "class Bad:\n    def __reduce__(self): return (os.system, ('true',))\n"
        f"os.makedirs({str(results.parent)!r}, exist_ok=True)\n"
        f"open({str(results)!r}, 'wb').write(pickle.dumps(Bad()))\n"
    )
    next(cell for cell in notebook.cells if cell.id == "q1-code-1").source += "\n" + forge
    nbformat.write(notebook, root / "submission" / "mallory.ipynb")
    grade_container(root)
    assert b"system" not in results.read_bytes()
    assert points(root) == {"q1": 3.0, "q2": 2.0}


def test_what_is_no_notebook_has_no_points_and_says_why(root: Path) -> None:
    (root / "submission" / "finn.ipynb").write_bytes(b"\x89PNG")
    assert grade_container(root).status == "invalid"
    assert points(root) == {"q1": 0.0, "q2": 0.0}
    results = dill.loads((root / "results" / "results.pkl").read_bytes())
    assert "is not a notebook" in results.summary()


def test_one_submission_at_a_time(root: Path) -> None:
    with pytest.raises(RuntimeError, match="found nothing"):
        grade_container(root)


def test_a_bundle_is_known_by_its_contents(root: Path, built_week: Week) -> None:
    with open_bundle(built_week.bundle) as zipped:
        assert read_bundle(root / "source").digest == zipped.digest
    (root / "source" / "tests" / "q1.py").write_text("# other tests\n")
    assert read_bundle(root / "source").digest != zipped.digest


@pytest.fixture
def marked(built_manual_week: Week, tmp_path: Path) -> Path:
    """/autograder as `otter grade --pdfs` lays it out, of a week with a question that a person marks."""
    with zipfile.ZipFile(built_manual_week.bundle) as archive:
        archive.extractall(tmp_path / "source")
    config = tmp_path / "source" / "otter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"pdf": True}))
    (tmp_path / "submission").mkdir()
    notebook = nbformat.read(built_manual_week.solutions / built_manual_week.notebook_name, as_version=4)
    next(cell for cell in notebook.cells if cell.id == "q3-answer").source = "Yes. <script>alert(1)</script>"
    nbformat.write(notebook, tmp_path / "submission" / "ada.ipynb")
    (tmp_path / "submission" / "ada.pdf").touch()  # so Otter does
    return tmp_path


def test_of_what_a_person_marks_a_pdf_is_made(marked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser's part is left out here: what it would print is looked at."""
    printed: list[Any] = []

    def print_it(exporter: Any, notebook: Any) -> tuple[bytes, None]:
        printed.append(notebook)
        return b"%PDF-1.4", None

    monkeypatch.setattr("nbconvert.export", print_it)
    assert grade_container(marked).score == 5
    assert (marked / "submission" / "ada.pdf").read_bytes() == b"%PDF-1.4"
    text = "\n".join(cell.source for cell in printed[0].cells)
    assert "says where they do not" in text
    assert "Yes. <" in text
    assert "<script" not in text
    assert "def double" not in text


def test_an_error_without_words_costs_no_result(marked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(exporter: Any, notebook: Any) -> None:
        assert (marked / "results" / "results.pkl").exists(), "results come first: a browser may hang"
        raise TimeoutError

    monkeypatch.setattr("nbconvert.export", fails)
    assert grade_container(marked).score == 5


def test_without_a_browser_the_points_are_there_all_the_same(
    marked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(marked / "nothing"))
    assert grade_container(marked).score == 5
    said = capsys.readouterr().out
    assert "no PDF was made of ada" in said
    assert "playwright install" in said
