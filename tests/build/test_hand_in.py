"""`hand_in` of the assignment config: the solution's weights lie with the solution, and nowhere else."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from gradekit.build.make import build_week, differences
from gradekit.build.nbgrader_course import write_course
from gradekit.build.stamp import is_fresh
from gradekit.course import Week
from gradekit.grade.beside import TAKEN, take_beside
from gradekit.grade.bundle import open_bundle
from gradekit.grade.submission import Submission
from gradekit.problem import Problem

FILE = "network.safetensors"
NAMED = f"# hand_in: [{FILE}]\n"


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rename(week: Week, new: str) -> None:
    text = week.source.read_text()
    assert text.count(NAMED) == 1
    week.source.write_text(text.replace(NAMED, new))


def test_the_solutions_weights_are_with_the_solution_alone(built_weights_week: Week) -> None:
    week = built_weights_week
    weights = (week.hand_in / FILE).read_bytes()
    assert files(week.solutions)[FILE] == weights
    assert not [name for name, data in files(week.release).items() if name.endswith(FILE) or weights in data]
    with zipfile.ZipFile(week.bundle) as archive:
        assert not [name for name in archive.namelist() if name.endswith(FILE)]
        assert json.loads(archive.read("tests/gradekit.json"))["hand_in"] == [FILE]
    with open_bundle(week.bundle) as bundle:
        assert bundle.hand_in == (FILE,)


def test_a_bundle_that_names_none_is_what_it_was(built_week: Week) -> None:
    with zipfile.ZipFile(built_week.bundle) as archive:
        assert "hand_in" not in json.loads(archive.read("tests/gradekit.json"))


def test_it_is_the_same_every_time(weights_week: Week) -> None:
    build_week(weights_week)
    built = files(weights_week.solutions), files(weights_week.release), weights_week.bundle.read_bytes()
    assert differences(weights_week) == []
    assert is_fresh(weights_week)
    build_week(weights_week)
    assert (files(weights_week.solutions), files(weights_week.release), weights_week.bundle.read_bytes()) == built
    (weights_week.hand_in / FILE).write_bytes(b"others")
    assert not is_fresh(weights_week)
    assert differences(weights_week) == [f"solutions/week01_double/{FILE} differs"]


def test_nbgrader_makes_the_same_release_and_hands_out_no_weights(weights_week: Week, tmp_path: Path) -> None:
    write_course(weights_week.course, [weights_week], tmp_path / "nbgrader")
    assert not [name for name in files(tmp_path / "nbgrader") if name.endswith(FILE)]


def test_the_last_cell_puts_the_weights_into_the_zip(built_weights_week: Week, tmp_path: Path) -> None:
    """Otter's own export, run as the release says it."""
    name = built_weights_week.notebook_name
    release = nbformat.read(built_weights_week.release / name, as_version=4)
    call = next(cell.source for cell in release.cells if cell.id == "otter-export")
    assert any("must lie beside this notebook" in cell.source for cell in release.cells)
    (tmp_path / name).write_bytes((built_weights_week.solutions / name).read_bytes())
    (tmp_path / FILE).write_bytes(b"weights")
    code = f"import otter\ngrader = otter.Notebook({name!r}, tests_dir='.')\n{call}"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.zip")
    (tmp_path / "taken").mkdir()
    assert take_beside(Submission("ada", path), [FILE], tmp_path / "taken") == {FILE: TAKEN}
    assert (tmp_path / "taken" / FILE).read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda week: (week.hand_in / FILE).unlink(), "hand_in/network.safetensors: is missing"),
        (lambda week: (week.hand_in / "old.safetensors").touch(), "old.safetensors: is not named in `hand_in`"),
        (lambda week: rename(week, "# hand_in: network.safetensors\n"), "`hand_in` is not a list of names"),
        (lambda week: rename(week, "# hand_in: [model.pt]\n"), "`hand_in` names 'model.pt'"),
        (lambda week: rename(week, "# hand_in: [../network.safetensors]\n"), "`hand_in` names '../network"),
        (lambda week: rename(week, f"# hand_in: [{FILE}, {FILE}]\n"), "names a file twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(weights_week: Week, change: Callable[[Week], object], said: str) -> None:
    change(weights_week)
    with pytest.raises(Problem) as problem:
        build_week(weights_week)
    assert said in str(problem.value)


def test_the_solutions_weights_are_not_given_out_with_the_files(weights_week: Week) -> None:
    text = weights_week.source.read_text()
    weights_week.source.write_text(text.replace("# files: [notes]\n", "# files: [notes, hand_in]\n"))
    with pytest.raises(Problem, match="belongs to the solution"):
        build_week(weights_week)


def test_students_get_no_file_of_the_name_that_they_hand_in(weights_week: Week) -> None:
    text = weights_week.source.read_text()
    weights_week.source.write_text(text.replace("# files: [notes]\n", f"# files: [notes, {FILE}]\n"))
    (weights_week.room / FILE).write_bytes(b"others")
    with pytest.raises(Problem, match=f"`files` and `hand_in` both name {FILE}"):
        build_week(weights_week)
