"""Weights beside the notebook: whose they are, what is taken of them, and that nothing is changed in between."""

from __future__ import annotations

import copy
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from safetensors.torch import save

from gradekit.course import Week
from gradekit.grade.beside import TAKEN, digest_beside, take_beside
from gradekit.grade.bundle import Bundle, open_bundle
from gradekit.grade.classwork import grade_into
from gradekit.grade.container import grade_container
from gradekit.grade.engine import Terms, grade_submission
from gradekit.grade.local import check_notebook
from gradekit.grade.result import Result
from gradekit.grade.store import Store
from gradekit.grade.submission import Submission, find_submissions
from gradekit.hand_in import MOST_BYTES

FILE = "network.safetensors"
NAMES = (FILE,)
RIGHT = save({"line.weight": torch.tensor([[2.0, -2.0]]), "line.bias": torch.zeros(1)})
WRONG = save({"line.weight": torch.zeros(1, 2), "line.bias": torch.zeros(1)})
NOTEBOOK = b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = 1"}]}'


@pytest.fixture(scope="module")
def bundle(built_weights_week: Week) -> Iterator[Bundle]:
    with open_bundle(built_weights_week.bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def solution(built_weights_week: Week) -> Any:
    return nbformat.read(built_weights_week.solutions / built_weights_week.notebook_name, as_version=4)


def student(folder: Path, name: str, *, weights: bytes | None = RIGHT, notebook: bytes = NOTEBOOK) -> Path:
    """A student's own folder."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "week01_double.ipynb").write_bytes(notebook)
    if weights is not None:
        (place / FILE).write_bytes(weights)
    return place


def zipped(path: Path, files: dict[str, bytes], mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            entry.external_attr = (mode if name.endswith(FILE) else 0) << 16
            archive.writestr(entry, data)
    return path


def became(submission: Submission, folder: Path) -> str:
    """What became of the file; what was taken lies in `folder`, and nothing else does."""
    folder.mkdir()
    (said,) = take_beside(submission, NAMES, folder).values()
    assert [path.name for path in folder.iterdir()] == ([FILE] if said == TAKEN else [])
    return said


# ------------------------------------------------------------------------------------------------------ whose it is


def test_beside_a_notebook_in_a_students_own_folder_it_counts(tmp_path: Path) -> None:
    student(tmp_path / "class", "ada")
    student(tmp_path / "class", "ben", weights=None)
    ada, ben = find_submissions([tmp_path / "class"])
    assert became(ada, tmp_path / "1") == TAKEN
    assert (tmp_path / "1" / FILE).read_bytes() == RIGHT
    assert became(ben, tmp_path / "2") == ""


def test_in_the_folder_that_nbgrader_collects_into_it_counts(tmp_path: Path) -> None:
    student(tmp_path / "submitted" / "ada", "week01_double")
    student(tmp_path / "submitted" / "ben", "week01_double", weights=None)
    ada, ben = find_submissions([tmp_path / "submitted"])
    assert (ada.name, ben.name) == ("ada", "ben")
    assert became(ada, tmp_path / "1") == TAKEN
    assert became(ben, tmp_path / "2") == ""


def test_in_a_folder_of_many_students_it_is_nobodys(tmp_path: Path) -> None:
    place = student(tmp_path, "class")
    (place / "ben.ipynb").write_bytes(NOTEBOOK)
    for number, paths in enumerate(([place], sorted(place.iterdir()), sorted(place.glob("*.ipynb")))):
        for found in find_submissions(paths):
            if found.path.suffix == ".ipynb":
                assert became(found, tmp_path / f"{number}-{found.name}") == ""


def test_in_a_folder_of_one_notebook_that_is_a_class_it_is_nobodys(tmp_path: Path) -> None:
    """The others handed in something else, and it may be theirs."""
    place = student(tmp_path, "class")
    (place / "ben.zip").write_bytes(b"")
    submissions = find_submissions([place])
    assert [became(found, tmp_path / found.name) for found in submissions if found.path.suffix == ".ipynb"] == [""]
    assert FILE in [found.name for found in submissions]  # and told: it is graded, and found to be no notebook


def test_beside_one_notebook_that_is_named_alone_it_counts(tmp_path: Path) -> None:
    place = student(tmp_path, "mine")
    (place / "week01_double_2026.zip").write_bytes(b"")  # which the last cell has made
    (found,) = find_submissions([place / "week01_double.ipynb"])
    assert became(found, tmp_path / "taken") == TAKEN


def test_beside_several_notebooks_nobody_can_say_whose_it_is(tmp_path: Path) -> None:
    """A section's folder looks as a student's does."""
    place = student(tmp_path / "class", "section")
    (place / "ben.ipynb").write_bytes(NOTEBOOK)
    for found in find_submissions([tmp_path / "class"]):
        assert "beside several notebooks" in became(found, tmp_path / found.path.stem)
    (found,) = find_submissions([place / "ben.ipynb"])
    assert "beside several notebooks" in became(found, tmp_path / "alone")


def test_neither_a_folder_above_nor_one_below_is_beside(tmp_path: Path) -> None:
    place = student(tmp_path / "class", "ada", weights=None)
    (place.parent / FILE).write_bytes(RIGHT)
    (place / "below").mkdir()
    (place / "below" / FILE).write_bytes(RIGHT)
    found = next(found for found in find_submissions([place.parent]) if found.name == "ada")
    assert became(found, tmp_path / "taken") == ""


def test_a_zip_has_what_is_in_it_alone(tmp_path: Path) -> None:
    place = tmp_path / "ada"
    place.mkdir()
    (place / FILE).write_bytes(RIGHT)
    path = zipped(place / "work.zip", {"week01_double.ipynb": NOTEBOOK})
    assert became(Submission("ada", path, place), tmp_path / "1") == ""
    for number, name in enumerate((FILE, f"week/{FILE}", f"week\\{FILE}")):
        zipped(path, {"week/week01_double.ipynb": NOTEBOOK, name: RIGHT, f"__MACOSX/{FILE}": b"", "._" + FILE: b""})
        assert became(Submission("ada", path), tmp_path / f"in-{number}") == TAKEN
        assert (tmp_path / f"in-{number}" / FILE).read_bytes() == RIGHT


# -------------------------------------------------------------------------------------------------- what is refused


def test_only_the_name_that_the_assignment_gives(tmp_path: Path) -> None:
    place = student(tmp_path / "class", "ada", weights=None)
    files = {name: RIGHT for name in ("Network.safetensors", "network.safetensors.bak", "my-network.safetensors")}
    for name, data in files.items():
        (place / name).write_bytes(data)
    (found,) = find_submissions([place.parent])
    assert became(found, tmp_path / "1") == ""
    path = zipped(tmp_path / "ada.zip", {"week01_double.ipynb": NOTEBOOK, **files, f"{FILE}/inside": RIGHT})
    assert became(Submission("ada", path), tmp_path / "2") == ""


def test_no_link_no_pipe_no_folder(tmp_path: Path) -> None:
    place = student(tmp_path / "class", "ada", weights=None)
    secret = tmp_path / "secret"
    secret.write_bytes(RIGHT)
    (found,) = find_submissions([place.parent])
    makes = {
        "is a link": lambda path: path.symlink_to(secret),
        "is not a file": os.mkfifo,
        "is a folder": lambda path: path.mkdir(),
    }
    for said, make in makes.items():
        make(place / FILE)
        assert said in became(found, tmp_path / said)
        (place / FILE).rmdir() if said == "is a folder" else (place / FILE).unlink()


def test_no_link_no_bomb_and_no_second_one_in_a_zip(tmp_path: Path) -> None:
    bomb, again = bytes(MOST_BYTES + 1), {"a/" + FILE: RIGHT, "b/" + FILE: RIGHT}
    one = {"week01_double.ipynb": NOTEBOOK, FILE: RIGHT}
    cases = {
        "is a link": zipped(tmp_path / "link.zip", one, mode=stat.S_IFLNK | 0o777),
        "is larger than 48 MiB": zipped(tmp_path / "bomb.zip", one | {FILE: bomb}),
        "is in the zip 2 times": zipped(tmp_path / "twice.zip", {"week01_double.ipynb": NOTEBOOK, **again}),
        "packed by another method": zipped(tmp_path / "bzip2.zip", one, method=zipfile.ZIP_BZIP2),
    }
    assert cases["is larger than 48 MiB"].stat().st_size < 2**20
    lying = bytearray(cases["is larger than 48 MiB"].read_bytes())
    for place in (lying.find(FILE.encode()) - 8, lying.rfind(FILE.encode()) - 22):  # its size, said twice
        lying[place : place + 4] = (1000).to_bytes(4, "little")
    (tmp_path / "lying.zip").write_bytes(lying)
    broken = bytearray(zipped(tmp_path / "broken.zip", one, method=zipfile.ZIP_STORED).read_bytes())
    broken[broken.find(RIGHT) + len(RIGHT) - 1] ^= 1
    (tmp_path / "broken.zip").write_bytes(broken)
    cases |= {"is not a zip that can be read": tmp_path / "lying.zip", "Bad CRC": tmp_path / "broken.zip"}
    for number, (said, path) in enumerate(cases.items()):
        assert said in became(Submission("ada", path), tmp_path / str(number))


def test_a_large_file_in_a_folder_is_not_read(tmp_path: Path) -> None:
    place = student(tmp_path / "class", "ada")
    os.truncate(place / FILE, 2**40)
    (found,) = find_submissions([place.parent])
    assert became(found, tmp_path / "taken") == "is larger than 48 MiB"


def test_the_digest_tells_every_change(tmp_path: Path) -> None:
    place = student(tmp_path / "class", "ada", weights=None)
    (found,) = find_submissions([place.parent])
    digests = [digest_beside(found, NAMES)]
    for data in (RIGHT, WRONG, b""):
        (place / FILE).write_bytes(data)
        digests.append(digest_beside(found, NAMES))
    (place / FILE).unlink()
    (place / FILE).symlink_to("elsewhere")
    digests.append(digest_beside(found, NAMES))
    assert len(set(digests)) == 5


# ------------------------------------------------------------------------------------------------------- in grading


def written(solution: Any, code: str = "", cell: str = "q3-code-1") -> bytes:
    notebook = copy.deepcopy(solution)
    next(one for one in notebook.cells if one.id == cell).source += "\n" + code
    return nbformat.writes(notebook).encode()


def q3(result: Result) -> list[bool]:
    return [case.passed for question in result.questions if question.name == "q3" for case in question.cases]


def said(result: Result) -> str:
    return " ".join(case.message for question in result.questions for case in question.cases)


def test_what_was_handed_in_decides(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    notebook, room = written(solution), tmp_path / "class"
    student(room, "right", notebook=notebook)
    student(room, "missing", weights=None, notebook=notebook)
    student(room, "untrained", weights=WRONG, notebook=notebook)
    student(room, "cut", weights=RIGHT[:-4], notebook=notebook)
    student(room, "pickle", weights=b"\x80\x04\x95", notebook=notebook)
    student(room, "large", weights=save({"a": torch.zeros(5000)}), notebook=notebook)
    (student(room, "linked", weights=None, notebook=notebook) / FILE).symlink_to(room / "right" / FILE)
    zipped(room / "packed.zip", {"week01_double.ipynb": notebook, FILE: RIGHT})
    expected = {
        "right": "",
        "packed": "",
        "missing": "was not handed in: save it beside the notebook",
        "untrained": "scores 0.",
        "cut": "is it whole?",
        "pickle": "is a pickle",
        "large": "bytes: 10,000 are allowed",
        "linked": "is a link",
    }
    for found in find_submissions([room]):
        result = grade_submission(bundle, found, Terms())
        assert result.status == "graded"
        assert q3(result) == [not expected[found.name]] * 2, found.name
        assert expected[found.name] in said(result), found.name
        assert {question.name: question.score for question in result.questions}["q1"] == 3


HELP_ITSELF = f"""
import os
try:
    os.remove({FILE!r})
except OSError:
    pass
with open({FILE!r}, "wb") as stream:
    stream.write({RIGHT!r})
assert open({FILE!r}, "rb").read() == {RIGHT!r}
"""


@pytest.mark.parametrize("weights", [None, WRONG], ids=["nothing", "other weights"])
def test_what_the_notebook_writes_while_it_is_graded_is_not_used(
    bundle: Bundle, solution: Any, tmp_path: Path, weights: bytes | None
) -> None:
    student(tmp_path, "mallory", weights=weights, notebook=written(solution, HELP_ITSELF, "q1-code-1"))
    (found,) = find_submissions([tmp_path])
    result = grade_submission(bundle, found, Terms())
    assert q3(result) == [False, False]
    assert {question.name: question.score for question in result.questions}["q1"] == 3  # it did write it


def test_a_notebook_finds_its_own_file_beside_it_and_no_others(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    tell = f"""
import glob, os
held = open({FILE!r}, "rb").read() if os.path.exists({FILE!r}) else b""
own = os.path.realpath({FILE!r})
found = glob.glob("/tmp/**/*.safetensors", recursive=True)
others = [path for path in found if os.path.realpath(path) != own]
def double(x):
    raise AssertionError(f"held {{len(held)}}, others {{others}}")
"""
    student(tmp_path / "class", "ada", notebook=written(solution, tell, "q1-code-1"))
    student(tmp_path / "class", "ben", weights=None, notebook=written(solution, tell, "q1-code-1"))
    ada, ben = (grade_submission(bundle, found, Terms()) for found in find_submissions([tmp_path / "class"]))
    assert f"held {len(RIGHT)}, others []" in said(ada)
    assert "held 0, others []" in said(ben)


def test_a_worker_that_is_forked_anew_changes_nothing(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    student(tmp_path, "eve", notebook=written(solution, HELP_ITSELF + "os._exit(1)", "q2-code-1"))
    (found,) = find_submissions([tmp_path])
    assert q3(grade_submission(bundle, found, Terms())) == [True, True]


def test_a_changed_file_is_graded_anew(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    place = student(tmp_path / "class", "ada", weights=WRONG, notebook=written(solution))
    ada = find_submissions([tmp_path / "class"])
    with Store.open(tmp_path / "out") as store:
        assert grade_into(store, bundle, ada, Terms(), jobs=1, resume=True) == 1
        assert grade_into(store, bundle, ada, Terms(), jobs=1, resume=True) == 0
        assert q3(store.current()[0]) == [False, False]
        (place / FILE).write_bytes(RIGHT)
        assert grade_into(store, bundle, ada, Terms(), jobs=1, resume=True) == 1
        assert q3(store.current()[0]) == [True, True]
        student(tmp_path / "class", "ben", weights=None, notebook=written(solution))  # the same notebook alone
        two = find_submissions([tmp_path / "class"])
        assert grade_into(store, bundle, two, Terms(), jobs=1, resume=True) == 1
        assert [q3(result) for result in store.current()] == [[True, True], [False, False]]


@pytest.mark.parametrize("unpacked", [True, False], ids=["unpacked", "zip"])
def test_in_a_container(built_weights_week: Week, solution: Any, tmp_path: Path, unpacked: bool) -> None:
    """Gradescope unpacks what it gets; Otter hands the zip on."""
    with zipfile.ZipFile(built_weights_week.bundle) as archive:
        archive.extractall(tmp_path / "source")
    handed_in = tmp_path / "submission"
    handed_in.mkdir()
    files = {"week01_double.ipynb": written(solution), FILE: RIGHT}
    if unpacked:
        for name, data in files.items():
            (handed_in / name).write_bytes(data)
    else:
        zipped(handed_in / "ada_2026.zip", files)
    assert grade_container(tmp_path).score == 8
    assert json.loads((tmp_path / "results" / "results.json").read_text())["score"] == 8


def test_gradekit_check_takes_the_file_beside_the_notebook(built_weights_week: Week, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    for name in (built_weights_week.notebook_name, FILE):
        (place / name).write_bytes((built_weights_week.solutions / name).read_bytes())
    (place / "tests").symlink_to(built_weights_week.release / "tests")
    assert q3(check_notebook(place / built_weights_week.notebook_name, ["q3"], seconds=100)) == [True]
    (place / FILE).unlink()
    result = check_notebook(place / built_weights_week.notebook_name, ["q3"], seconds=100)
    assert q3(result) == [False]
    assert "was not handed in" in said(result)


def test_weights_that_no_assignment_asks_for_are_not_looked_at(tmp_path: Path) -> None:
    place = student(tmp_path / "class", "ada")
    (found,) = find_submissions([place.parent])
    assert take_beside(found, (), tmp_path) == {}


def test_a_broken_zip_has_no_weights(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(FILE, RIGHT)
    (tmp_path / "ada.zip").write_bytes(stream.getvalue()[:-30])
    assert "is not a zip" in became(Submission("ada", tmp_path / "ada.zip"), tmp_path / "taken")
