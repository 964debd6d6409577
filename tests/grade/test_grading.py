"""Grading real notebooks with a real bundle: scores, statuses, and what is written down."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from gradekit.course import Week
from gradekit.grade.batch import grade_batch
from gradekit.grade.bundle import Bundle, open_bundle
from gradekit.grade.engine import Terms, grade_submission
from gradekit.grade.local import check_notebook
from gradekit.grade.result import Result
from gradekit.grade.store import write_grades, write_result
from gradekit.grade.submission import Submission
from gradekit.problem import UsageProblem


def answer(solution: Any, question: str, code: str) -> Any:
    """The solution with `code` put after the answer of `question`."""
    notebook = copy.deepcopy(solution)
    next(cell for cell in notebook.cells if cell.id == f"{question}-code-1").source += "\n" + code
    return notebook


def grade(bundle: Bundle, notebook: Any, folder: Path, seconds: float = 120.0) -> Result:
    nbformat.write(notebook, folder / "ada.ipynb")
    return grade_submission(bundle, Submission("ada", folder / "ada.ipynb"), Terms(seconds))


def scores(result: Result) -> dict[str, float]:
    return {question.name: question.score for question in result.questions}


def test_the_solution_has_full_marks(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    result = grade(bundle, solution, tmp_path)
    assert (result.status, result.score, result.possible) == ("graded", 5.0, 5.0)


def test_the_blank_has_nothing(bundle: Bundle, built_week: Week) -> None:
    path = built_week.release / built_week.notebook_name
    result = grade_submission(bundle, Submission("blank", path), Terms())
    assert (result.status, result.score) == ("graded", 0.0)
    assert all(case.message for question in result.questions for case in question.cases)


def test_one_wrong_answer_costs_its_question(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    result = grade(bundle, answer(solution, "q1", "def double(x):\n    return x + 1"), tmp_path)
    assert scores(result) == {"q1": 1.0, "q2": 2.0}


def test_a_cell_that_raises_costs_its_question_alone(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    result = grade(bundle, answer(solution, "q1", "del double\nraise RuntimeError('oops')"), tmp_path)
    assert (result.status, scores(result)) == ("graded", {"q1": 0.0, "q2": 2.0})


@pytest.mark.parametrize(
    "code", ["exit()", "raise SystemExit", "raise KeyboardInterrupt", "print('x' * 10**6)", "%%bad"]
)
def test_noise_costs_nothing(bundle: Bundle, solution: Any, tmp_path: Path, code: str) -> None:
    notebook = copy.deepcopy(solution)
    notebook.cells.insert(1, nbformat.v4.new_code_cell(code, id="added"))
    assert grade(bundle, notebook, tmp_path).score == 5.0


def test_magics_work_as_in_a_notebook(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    notebook = answer(
        solution, "q1", "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);\nplt.show()"
    )
    assert grade(bundle, notebook, tmp_path).score == 5.0


def test_what_was_graded_before_a_crash_counts(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    result = grade(bundle, answer(solution, "q2", "import os\nos._exit(3)"), tmp_path)
    assert (result.status, scores(result)) == ("crashed", {"q1": 3.0, "q2": 0.0})
    assert result.note == "q2: your code ended the process it ran in (exit code 3)"


def test_a_crash_costs_its_question_and_the_rest_is_graded(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    result = grade(bundle, answer(solution, "q1", "import os\nos._exit(3)"), tmp_path)
    assert (result.status, scores(result)) == ("crashed", {"q1": 0.0, "q2": 2.0})
    later = answer(solution, "q1", "def double(x):\n    import os\n    os._exit(4)")
    result = grade(bundle, later, tmp_path)
    assert (result.status, scores(result)) == ("crashed", {"q1": 0.0, "q2": 2.0})
    assert result.note == "q1: your code ended the process it ran in (exit code 4)"
    assert all("exit code 4" in case.message for case in result.questions[0].cases)


def test_a_signal_is_named(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    result = grade(bundle, answer(solution, "q1", "import ctypes\nctypes.string_at(0)"), tmp_path)
    assert (result.status, scores(result)) == ("crashed", {"q1": 0.0, "q2": 2.0})
    assert "SIGSEGV" in result.note


def test_an_endless_loop_ends_with_the_time(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    result = grade(bundle, answer(solution, "q2", "while True:\n    pass"), tmp_path, seconds=20.0)
    assert (result.status, scores(result)) == ("timeout", {"q1": 3.0, "q2": 0.0})
    assert "within 20 s" in result.note or "did not finish in time" in result.note


def test_children_of_a_submission_do_not_outlive_it(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    mark = tmp_path / "still alive"
    code = f"import subprocess\nsubprocess.Popen(['sh', '-c', 'sleep 3; touch \"{mark}\"'])"
    grade(bundle, answer(solution, "q1", code), tmp_path)
    import time

    time.sleep(4)
    assert not mark.exists()


RUDE = {
    "writes records that are none": 'grader._results.write(\'[1]\\n{"question": "q1"}\\n\')',
    "removes its scratch folder": "import shutil, os\nshutil.rmtree(os.path.dirname(os.getcwd()))\nos._exit(3)",
    "puts a pipe in place of its results": "import os\np = '../results.jsonl'\nos.unlink(p)\nos.mkfifo(p)\nos._exit(0)",
    "raises what no file can hold": "def double(x):\n    raise ValueError('\\ud800')",
    "nests folders": "import os\nfor i in range(1500):\n    os.mkdir('d')\n    os.chdir('d')",
    "overwrites its tests": "for p in grader._paths.values(): p.write_text('boom(')",
    "kills the process it came from": "import os\nos.kill(os.getppid(), 9)",
    "leaves a thread running": "import threading, time\nthreading.Thread(target=time.sleep, args=(500,)).start()",
    "writes much": "import os\nfor i in range(64): os.write(1, b'x' * 2**20)",
    "closes the standard streams": "import sys\nsys.stdout.close()",
}


def test_nothing_rude_costs_anybody_else_anything(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    for name, code in RUDE.items():
        nbformat.write(answer(solution, "q1", code), tmp_path / f"{name}.ipynb")
    nbformat.write(solution, tmp_path / "zoe.ipynb")
    found = [Submission(name, tmp_path / f"{name}.ipynb") for name in (*RUDE, "zoe")]
    results = {r.submission: r for r in grade_batch(bundle, found, jobs=2, terms=Terms(120))}
    assert results["zoe"].score == 5.0
    for result in results.values():
        write_result(tmp_path, result)
        assert result.seconds < 100
    for name in ("leaves a thread running", "writes much", "closes the standard streams"):
        assert (results[name].status, results[name].score) == ("graded", 5.0), name
    assert bundle.tests.joinpath("q1.py").read_text().startswith('"""Tests of q1.')


def test_a_cell_that_shares_its_place_with_otters_is_run(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    notebook = answer(solution, "q1", "def double(x):\n    return math.floor(2.0) * x")
    next(cell for cell in notebook.cells if cell.id == "otter-init").source += "\nimport math"
    assert grade(bundle, notebook, tmp_path).score == 5.0


def test_a_submission_may_use_processes_of_its_own(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    code = (
        "from torch.utils.data import DataLoader\n"
        "def double(x):\n"
        "    return torch.stack(list(DataLoader(list(x), batch_size=None, num_workers=1))) * 2"
    )
    assert grade(bundle, answer(solution, "q1", code), tmp_path).score == 5.0


def test_nothing_that_one_submission_does_stops_the_others(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    nbformat.write(solution, tmp_path / "good.ipynb")
    nbformat.write(answer(solution, "q1", "import os\nos.abort()"), tmp_path / "bad.ipynb")
    (tmp_path / "garbage.ipynb").write_bytes(b"\x89PNG")
    found = [Submission(name, tmp_path / f"{name}.ipynb") for name in ("bad", "garbage", "good")]
    seen: list[str] = []
    results = grade_batch(bundle, found, jobs=2, terms=Terms(120), on_result=lambda r: seen.append(r.submission))
    assert [(r.submission, r.status, r.score) for r in results] == [
        ("bad", "crashed", 2.0),
        ("garbage", "invalid", 0.0),
        ("good", "graded", 5.0),
    ]
    assert sorted(seen) == ["bad", "garbage", "good"]


def test_results_are_gradescopes_and_carry_the_evidence(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    data = json.loads(write_result(tmp_path, grade(bundle, solution, tmp_path)).read_text())
    assert data["score"] == 5.0
    assert data["extra_data"]["assignment"] == "week01_double"
    assert data["score"] == sum(test["score"] for test in data["tests"])
    assert set(data) <= {"score", "execution_time", "output", "stdout_visibility", "tests", "extra_data"}
    for test in data["tests"]:
        assert set(test) == {"name", "score", "max_score", "status", "visibility", "output", "extra_data"}
    hidden = next(test for test in data["tests"] if test["name"] == "q1 · agrees with the reference on random tensors")
    assert hidden["visibility"] == "hidden"
    (evidence,) = hidden["extra_data"]["evidence"]
    assert (evidence["check"], evidence["verdict"], evidence["device"]) == ("accuracy", "pass", "cpu")


def test_grades_csv_has_a_row_a_submission_and_a_column_a_question(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "z.ipynb").write_bytes(b"")
    results = [grade_submission(bundle, Submission(n, tmp_path / "z.ipynb"), Terms()) for n in ("=cmd()", "a\nb")]
    rows = list(csv.reader(write_grades(tmp_path, results).open(newline="")))
    assert rows[0] == ["submission", "status", "score", "possible", "q1", "q2"]
    assert rows[1] == ["'=cmd()", "invalid", "0", "5", "0", "0"]
    assert rows[2] == ["a\nb", "invalid", "0", "5", "0", "0"]


@pytest.mark.parametrize("name", ["../up", "a/b", "new\nline", ".hidden", "", "x" * 300, "a\0b"])
def test_a_results_file_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    path = write_result(tmp_path, Result(name, "invalid", ()))
    assert path.parent == tmp_path / "results"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_cleaned_names_do_not_collide(tmp_path: Path) -> None:
    assert write_result(tmp_path, Result("a/b", "invalid", ())) != write_result(tmp_path, Result("a:b", "invalid", ()))


def test_grading_again_gives_the_same(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    first, second = (grade(bundle, solution, tmp_path).to_gradescope() for _ in range(2))
    strip = {"execution_time"}
    for result in (first, second):
        for test in result["tests"]:
            del test["extra_data"]["seconds"]
    assert {k: v for k, v in first.items() if k not in strip} == {k: v for k, v in second.items() if k not in strip}


def test_a_bundle_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no such bundle"), open_bundle(tmp_path / "none.zip"):
        pass
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(UsageProblem, match="is not a bundle"), open_bundle(tmp_path / "bad.zip"):
        pass


def test_students_check_the_public_tests_alone(built_week: Week) -> None:
    result = check_notebook(built_week.release / built_week.notebook_name, [], seconds=120)
    assert [len(question.cases) for question in result.questions] == [1, 1]
    assert result.score == 0.0
    (built_week.release / "mine.ipynb").write_bytes((built_week.solutions / built_week.notebook_name).read_bytes())
    try:
        result = check_notebook(built_week.release / "mine.ipynb", ["q2"], seconds=120)
    finally:
        (built_week.release / "mine.ipynb").unlink()
    assert [(q.name, q.score) for q in result.questions] == [("q2", 1.0)]


def test_students_are_told_what_is_missing(tmp_path: Path, built_week: Week) -> None:
    with pytest.raises(UsageProblem, match="no such notebook"):
        check_notebook(tmp_path / "none.ipynb", [], seconds=9)
    (tmp_path / "a.ipynb").write_text("{}")
    with pytest.raises(UsageProblem, match="no tests beside"):
        check_notebook(tmp_path / "a.ipynb", [], seconds=9)
    with pytest.raises(UsageProblem, match="no question 'q9'"):
        check_notebook(built_week.release / built_week.notebook_name, ["q9"], seconds=9)


def test_a_question_is_tested_until_it_was_seen_to_fail_enough(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    notebook = answer(
        answer(solution, "q1", "def double(x):\n    return x + 7"), "q2", "def halve(x):\n    return x + 7"
    )
    nbformat.write(notebook, tmp_path / "ada.ipynb")

    def tested(**enough: tuple[str, ...]) -> dict[str, int]:
        result = grade_submission(bundle, Submission("ada", tmp_path / "ada.ipynb"), Terms(enough=enough))
        assert result.status == "graded"
        return {question.name: len(question.cases) for question in result.questions}

    assert tested() == {"q1": 2, "q2": 2}
    assert tested(q1=("*",)) == {"q1": 1, "q2": 2}
    assert tested(q2=("halves two",)) == {"q1": 2, "q2": 2}  # what is left matches nothing: it has more to say
    assert tested(q2=("halves a*", "halves two")) == {"q1": 2, "q2": 2}  # neither is failed before the end


def test_an_answer_that_fails_nothing_is_tested_whole(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    nbformat.write(solution, tmp_path / "ada.ipynb")
    result = grade_submission(bundle, Submission("ada", tmp_path / "ada.ipynb"), Terms(enough={"q1": ("*",)}))
    assert result.score == result.possible


def test_what_is_to_be_skipped_is_not_run(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    nbformat.write(solution, tmp_path / "ada.ipynb")
    terms = Terms(skip={"q1": ("doubles a small tensor",)})
    result = grade_submission(bundle, Submission("ada", tmp_path / "ada.ipynb"), terms)
    assert [case.name for case in result.questions[0].cases] == ["agrees with the reference on random tensors"]
    assert len(result.questions[1].cases) == 2
