"""What may be handed in, what it is called, and what is said of what cannot be graded."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from gradekit.grade.submission import InvalidSubmission, Submission, find_submissions, read_notebook
from gradekit.problem import UsageProblem

WEEK = "week01_double"


def notebook(assignment: str | None = WEEK) -> bytes:
    metadata = {"otter": {"assignment_name": assignment}} if assignment else {}
    return json.dumps({"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def put(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data or notebook())
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def names(*paths: Path) -> list[str]:
    return [submission.name for submission in find_submissions(paths)]


def test_a_notebook_is_named_after_its_file(tmp_path: Path) -> None:
    assert names(put(tmp_path / "ada.ipynb"), put(tmp_path / "ben.ipynb")) == ["ada", "ben"]


def test_a_folder_holds_one_submission_a_file_and_one_a_subfolder(tmp_path: Path) -> None:
    put(tmp_path / "ada.ipynb")
    zipped(tmp_path / "ben.zip", {"week01_double.ipynb": notebook()})
    put(tmp_path / "cleo" / "week01_double.ipynb")
    put(tmp_path / "cleo" / ".ipynb_checkpoints" / "week01_double-checkpoint.ipynb")
    put(tmp_path / "._ada.ipynb", b"what a Mac leaves behind")
    put(tmp_path / "dora" / "essay.pdf", b"no work")
    put(tmp_path / "emil.IPYNB")
    put(tmp_path / "fay.pdf", b"no work")
    assert names(tmp_path) == ["ada", "ben", "cleo", "dora", "emil", "fay.pdf"]


def test_a_students_notebook_beside_its_export_is_one_submission(tmp_path: Path) -> None:
    put(tmp_path / "ada" / "week01_double.ipynb")
    zipped(tmp_path / "ada" / "week01_double_2026.zip", {"week01_double.ipynb": notebook()})
    zipped(tmp_path / "ben.zip", {"week01_double.ipynb": notebook()})
    put(tmp_path / "cleo" / "first.ipynb")
    put(tmp_path / "cleo" / "second.ipynb")
    assert names(tmp_path) == ["ada", "ben", "cleo/first", "cleo/second"]


def test_who_handed_in_no_notebook_is_told(tmp_path: Path) -> None:
    put(tmp_path / "dora" / "essay.pdf", b"no work")
    put(tmp_path / "fay.pdf", b"no work")
    reasons = []
    for submission in find_submissions([tmp_path]):
        with pytest.raises(InvalidSubmission) as reason:
            read_notebook(submission, WEEK)
        reasons.append(str(reason.value))
    assert reasons == ["the folder holds no notebook and no zip", "is neither a notebook (.ipynb) nor a zip"]


def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    paths = [put(tmp_path / student / "week01_double.ipynb") for student in ("ada", "ben")]
    assert names(*paths) == ["ada/week01_double", "ben/week01_double"]


def test_the_same_file_twice_is_two_submissions_of_two_names(tmp_path: Path) -> None:
    path = put(tmp_path / "ada.ipynb")
    assert names(path, path) == ["ada", "ada-2"]


@pytest.mark.parametrize("name", ["with space", "quote'\"s", "-dash", "new\nline", "ünïcode", "a;rm -rf b"])
def test_odd_names_are_kept(tmp_path: Path, name: str) -> None:
    put(tmp_path / f"{name}.ipynb")
    assert names(tmp_path) == [name]


def test_a_path_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no such file"):
        find_submissions([tmp_path / "nobody.ipynb"])


def test_an_empty_folder_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="is empty"):
        find_submissions([tmp_path])


def test_a_zip_may_hold_more_than_the_notebook(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "ada.zip",
        {
            "sub/week01_double.ipynb": notebook(),
            "scratch.ipynb": b"{}",
            "__MACOSX/week01_double.ipynb": b"x",
            "data.bin": b"\0",
        },
    )
    assert read_notebook(Submission("ada", path), WEEK) == notebook()


def test_a_notebook_without_a_name_of_an_assignment_is_taken(tmp_path: Path) -> None:
    assert read_notebook(Submission("ada", put(tmp_path / "a.ipynb", notebook(None))), WEEK) == notebook(None)


INVALID = {
    "truncated JSON": (notebook()[:40], "not JSON"),
    "empty": (b" ", "not JSON"),
    "not UTF-8": ("Grüße".encode("latin-1"), "not UTF-8"),
    "NUL bytes": (b"\0" * 100, "not JSON"),
    "a list": (b"[1, 2]", "has no cells"),
    "format 3": (json.dumps({"worksheets": [{"cells": []}], "nbformat": 3}).encode(), "format 3"),
    "deep nesting": (b"[" * 100_000, "not JSON"),
    "another assignment": (notebook("week02"), "is a notebook of 'week02'"),
}


@pytest.mark.parametrize(("data", "says"), INVALID.values(), ids=INVALID)
def test_what_cannot_be_graded_says_why_in_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(InvalidSubmission) as reason:
        read_notebook(Submission("ada", put(tmp_path / "ada.ipynb", data)), WEEK)
    assert says in str(reason.value)
    assert "\n" not in str(reason.value)


def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ada.ipynb")
    with pytest.raises(InvalidSubmission, match="is not a file"):
        read_notebook(Submission("ada", tmp_path / "ada.ipynb"), WEEK)


def test_a_dangling_link_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "ada.ipynb").symlink_to(tmp_path / "nowhere")
    (submission,) = find_submissions([tmp_path / "ada.ipynb"])
    with pytest.raises(InvalidSubmission, match="is not a file"):
        read_notebook(submission, WEEK)


def test_a_huge_notebook_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "ada.ipynb"
    with path.open("wb") as stream:
        stream.truncate(200 * 2**20)
    with pytest.raises(InvalidSubmission, match="larger than 64 MiB"):
        read_notebook(Submission("ada", path), WEEK)


def test_a_zip_bomb_is_cut_off(tmp_path: Path) -> None:
    path = zipped(tmp_path / "ada.zip", {"week01_double.ipynb": b" " * (65 * 2**20)})
    assert path.stat().st_size < 2**20
    with pytest.raises(InvalidSubmission, match="larger than 64 MiB"):
        read_notebook(Submission("ada", path), WEEK)


@pytest.mark.parametrize("name", ["../../week01_double.ipynb", "/etc/week01_double.ipynb"])
def test_nothing_in_a_zip_is_unpacked(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "ada.zip", {name: notebook()})
    before = sorted(tmp_path.rglob("*"))
    assert read_notebook(Submission("ada", path), WEEK) == notebook()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + notebook()
    assert read_notebook(Submission("ada", put(tmp_path / "ada.ipynb", data)), WEEK) == data


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_with_broken_contents_is_invalid(tmp_path: Path, method: int) -> None:
    path = tmp_path / "ada.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("week01_double.ipynb", notebook() * 50)
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(InvalidSubmission, match="is not a zip that can be read"):
        read_notebook(Submission("ada", path), WEEK)


def test_a_zip_without_the_notebook_is_invalid(tmp_path: Path) -> None:
    path = zipped(tmp_path / "ada.zip", {"a.ipynb": notebook(), "b.ipynb": notebook()})
    with pytest.raises(InvalidSubmission, match=r"does not hold one notebook named week01_double\.ipynb"):
        read_notebook(Submission("ada", path), WEEK)


def test_garbage_under_a_zips_name_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(InvalidSubmission, match="is not a zip"):
        read_notebook(Submission("ada", put(tmp_path / "ada.zip", b"PK\x03\x04 garbage")), WEEK)
