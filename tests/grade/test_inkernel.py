"""Grading in the student's own kernel: what a check cell of nbgrader's calls."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import pytest

from gradekit.grade.inkernel import Grader, Score

REFERENCE = "def double(x):\n    return x * 2\n"
TESTS = """\
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q1"
points = 3


def apply(double, x):
    return double(x)


@test_case(name="doubles one", points=1, hidden=False)
def test_one(env):
    check.close(check.run(apply, env, x=1), 2)


from reference import week01_double as reference


@test_case(name="doubles nothing", points=2, hidden=True)
def test_nothing(env):
    check.close(check.run(apply, env, x=0), reference.double(0))
"""


def grader(double: Any, points: float = 3) -> Grader:
    return Grader("q1", points, {"double": double}, week="week01_double", reference=REFERENCE, tests=TESTS)


def score(double: Any, points: float = 3) -> Score:
    found = grader(double, points).check("q1")
    assert found is not None
    return found


def test_public_and_hidden_tests_add_up() -> None:
    assert repr(score(lambda x: x + x)) == "3.0"
    assert repr(score(lambda x: x + 1)) == "1.0"
    assert repr(score(lambda x: 0)) == "2.0"
    assert repr(score(...)) == "0.0"


def test_what_exits_or_raises_is_a_failed_test() -> None:
    def ends(x: Any) -> None:
        raise SystemExit

    assert repr(score(ends)) == "0.0"


def test_no_more_than_the_points_that_nbgrader_knows() -> None:
    assert repr(score(lambda x: x + x, points=2.5)) == "2.5"


def test_the_score_is_a_number_whatever_the_precision_and_names_no_hidden_test() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.run_line_magic("precision", "0")
    data, _ = shell.display_formatter.format(score(lambda x: x + 0.5))
    assert data["text/plain"] == "0.0"
    assert "doubles one: failed: " in data["text/html"]
    assert "0 of 1 hidden tests passed" in data["text/html"]
    assert "doubles nothing" not in data["text/html"]


def test_the_reference_can_be_imported_by_the_tests_alone() -> None:
    mine = object()
    sys.modules["reference"] = mine  # type: ignore[assignment]
    try:
        assert repr(score(lambda x: x + x)) == "3.0"
        assert sys.modules.pop("reference") is mine
    finally:
        sys.modules.pop("reference", None)
    assert "reference.week01_double" not in sys.modules


def test_nothing_is_written_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)  # holds the stream that a notebook has before the check

    def noisy(x: int) -> int:
        handler.emit(logging.LogRecord("", logging.WARNING, "", 0, "logged", (), None))
        print("printed", file=sys.stderr)
        os.write(2, b"from below Python")
        return x + x

    class Stream:  # as ipykernel's: it writes to no descriptor
        written = ""

        def write(self, text: str) -> None:
            self.written += text

        def flush(self) -> None:
            pass

    stream = Stream()
    handler.setStream(stream)
    before, sys.stderr = sys.stderr, stream  # type: ignore[assignment]
    try:
        assert repr(score(noisy)) == "3.0"
        print("afterwards", end="", file=sys.stderr)
    finally:
        sys.stderr = before
    assert stream.written == "afterwards"
    assert capfd.readouterr() == ("", "")


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def double(x: int) -> int:
        seeds.append(os.environ["GRADEKIT_SEED"])
        return x + x

    monkeypatch.delenv("GRADEKIT_SEED", raising=False)
    score(double)
    assert "GRADEKIT_SEED" not in os.environ
    monkeypatch.setenv("GRADEKIT_SEED", "1")
    score(double)
    assert os.environ["GRADEKIT_SEED"] == "1"
    assert len(set(seeds)) == 1


def test_it_stands_in_for_otters_notebook() -> None:
    import otter

    ours = grader(lambda x: x)
    public = {name for name in vars(otter.Notebook) if not name.startswith("_")}
    assert all(callable(getattr(ours, name)) for name in public & {"check", "check_all", "export", "to_pdf"})
    assert ours.check("q2") is None
    ours.check_all()
    ours.export("week01_double.ipynb", pdf=False, force_save=True)
    ours.to_pdf()


def test_tests_that_cannot_be_read_are_an_error_and_no_points() -> None:
    broken = Grader("q1", 3, {}, week="week01_double", reference=REFERENCE, tests="from reference import nothing\n")
    with pytest.raises(ImportError):
        broken.check("q1")
    assert "reference" not in sys.modules


def test_it_imports_little_before_a_check() -> None:
    import subprocess

    code = "import sys, gradekit.grade.inkernel; print([m for m in ('torch', 'otter', 'numpy') if m in sys.modules])"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
