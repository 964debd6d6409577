"""What a student, or a zip, can be up to: it costs that student at most, and never reaches outside the output."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

import gradekit.grade.submission as submission
from gradekit.collect import layout, listing
from gradekit.collect.names import folder_names, safe_name, safe_notebook_name
from gradekit.collect.upload import Student
from gradekit.grade.submission import find_submissions, read_notebook
from gradekit.problem import Problem
from tests.collect.conftest import NOTEBOOK, Collecting, notebook, packed, put, zipped


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "name", ["../evil.ipynb", "a/../../evil.ipynb", "/evil.ipynb", "..\\evil.ipynb", "C:\\evil.ipynb"]
)
def test_a_name_that_leads_out_of_the_zip_is_told(tmp_path: Path, name: str) -> None:
    collecting = Collecting(tmp_path / "in")
    source = zipped(tmp_path / "in" / "class.zip", {name: notebook("evil"), "ada.ipynb": notebook("ada")})
    collecting(source)
    assert collecting.files == {"ada/ada.ipynb": "ada"}
    assert collecting.said("file", "outcome")[0] == (name, "not taken")
    assert everything(tmp_path) == {"in", "in/class.zip", "in/out"} | {
        f"in/out/{n}" for n in everything(collecting.output)
    }


def test_links_are_not_followed(collecting: Collecting, tmp_path: Path) -> None:
    put(collecting.source, {f"ada/{NOTEBOOK}": notebook("ada"), "ben/x.txt": b""})
    secret = put(tmp_path / "secret", {"s.ipynb": notebook("secret"), f"dir/{NOTEBOOK}": notebook("secret")})
    (collecting.source / "ben" / NOTEBOOK).symlink_to(secret / "s.ipynb")
    (collecting.source / "cleo").symlink_to(secret / "dir")
    (collecting.source / "dora.ipynb").symlink_to("dora.ipynb")
    (collecting.source / "emil").mkdir()
    (collecting.source / "emil" / "sub").symlink_to(secret / "dir")
    collecting()
    assert collecting.files == {
        f"ada/{NOTEBOOK}": "ada",
        "ben/not-taken.txt": "",
        "cleo/not-taken.txt": "",
        "dora/not-taken.txt": "",
        "emil/not-taken.txt": "",
    }
    assert "is a link" in collecting.rows[1]["why"]


def test_a_link_in_a_zip_is_not_followed(collecting: Collecting, tmp_path: Path) -> None:
    source = tmp_path / "class.zip"
    with zipfile.ZipFile(source, "w") as archive:
        link = zipfile.ZipInfo("ada.ipynb")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("ben.ipynb", notebook("ben"))
    collecting(source)
    assert collecting.files == {"ada/not-taken.txt": "", "ben/ben.ipynb": "ben"}
    assert "is a link" in collecting.rows[0]["why"]


def test_a_fifo_is_not_waited_for(collecting: Collecting) -> None:
    put(collecting.source, {"ben.ipynb": notebook("ben")})
    os.mkfifo(collecting.source / "ada.ipynb")
    collecting()
    assert collecting.said("student", "outcome", "why") == [
        ("ada", "not taken", "is not a file"),
        ("ben", "taken", ""),
    ]


def test_bombs_and_huge_files_cost_their_own_student_alone(
    collecting: Collecting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "MAX_NOTEBOOK_BYTES", 2**20)
    monkeypatch.setattr(submission, "MAX_KEPT_BYTES", 2**19)
    big = b" " * (2**20 + 1)
    source = zipped(
        tmp_path / "class.zip",
        {
            "ada.ipynb": big,
            "ben.zip": packed({NOTEBOOK: big}, tmp_path / "ben.zip"),
            "cleo.ipynb": notebook("cleo"),
        },
    )
    collecting(source)
    assert collecting.files == {"ada/not-taken.txt": "", "ben/not-taken.txt": "", "cleo/cleo.ipynb": "cleo"}
    assert all(row["why"].startswith("is larger than") for row in collecting.rows[:2])


def test_a_zip_that_lies_about_a_files_size_is_read_within_bounds(collecting: Collecting, tmp_path: Path) -> None:
    source = zipped(tmp_path / "class.zip", {"ada.ipynb": b" " * 10**6, "ben.ipynb": notebook("ben")})
    data = source.read_bytes()
    source.write_bytes(data.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    collecting(source)
    assert collecting.files == {"ada/not-taken.txt": "", "ben/ben.ipynb": "ben"}


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a zip" * 100])
def test_a_source_that_is_no_zip_is_a_problem(collecting: Collecting, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "class.zip"
    path.write_bytes(data)
    with pytest.raises(Problem, match=r"class\.zip: is not a zip"):
        collecting(path)
    assert not collecting.output.exists()


def test_what_is_no_notebook_says_so(collecting: Collecting, tmp_path: Path) -> None:
    put(
        collecting.source,
        {
            "ada.ipynb": b"\x89PNG",
            "ben.zip": packed({"essay.pdf": b""}, tmp_path / "1.zip"),
            "cleo.zip": packed({"in.zip": packed({NOTEBOOK: notebook()}, tmp_path / "2.zip")}, tmp_path / "3.zip"),
        },
    )
    collecting()
    assert [why for (why,) in collecting.said("why")] == [
        "is not a notebook: not UTF-8 text",
        "there is no notebook in the zip",
        "there is no notebook in the zip",
    ]
    names = [found.name for found in find_submissions([collecting.output])]
    assert names == ["ada", "ben", "cleo"]  # they are in the table of grades as well


def test_a_newer_file_that_cannot_be_read_gives_way_to_the_one_before_and_is_told(collecting: Collecting) -> None:
    put(
        collecting.source,
        {
            "ada+week05+2026-11-24 16:00:00.000000 UTC+a/week05.ipynb": notebook("good"),
            "ada+week05+2026-11-24 17:00:00.000000 UTC+b/week05.ipynb": b"cut short",
        },
    )
    collected = collecting()
    assert collecting.files == {"ada/week05.ipynb": "good"}
    assert collecting.said("outcome", "attempt") == [("taken", "1"), ("not taken", "2")]
    assert collected.of("not taken")


# Names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("ada\nlovelace", "ada_lovelace"),
        ("-rf", "rf"),
        ("--help", "help"),
        ("..", "student"),
        (".hidden", "hidden"),
        ("~root", "root"),
        ("a/b\\c", "a_b_c"),
        ("ada\u202egnp.", "ada_gnp"),
        ("Zoe\u0308", "Zoë"),
        ("CON", "CON_"),
        ("__pycache__", "__pycache___"),
        ("collected.csv", "collected.csv_"),
        ("", "student"),
        ("é" * 100, "é" * 50),
        ("a\udcffb", "a_b"),
        ("  ada   lovelace ", "ada lovelace"),
    ],
)
def test_a_folders_name_is_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("week05.ipynb", "week05.ipynb"),
        ("課" * 40 + ".ipynb", "課" * 31 + ".ipynb"),
        ("aux.ipynb", "aux_.ipynb"),
        ("~.ipynb", "notebook.ipynb"),
        ("../a.ipynb", "_a.ipynb"),
        (".ipynb", "notebook.ipynb"),
    ],
)
def test_a_notebook_stays_one_whatever_its_name(collecting: Collecting, name: str, safe: str) -> None:
    assert safe_notebook_name(name) == safe
    if "/" not in name and name != ".ipynb":
        put(collecting.source, {f"ada/{name}": notebook(), "ben/week05.ipynb": notebook()})
        collecting(kind="folder")
        assert f"ada/{safe}" in collecting.files
        for found in find_submissions([collecting.output]):
            assert read_notebook(found, "week05")


@pytest.mark.parametrize(
    "names",
    [
        ("ada", "Ada"),
        ("ada", "аdа"),  # Cyrillic
        ("Zo\u00eb", "Zoe\u0308"),
        ("a/b", "a_b", "a:b"),
        ("ﬁn", "fin"),
        ("-x", "x", "--x"),
        ("x" * 101, "x" * 102),
    ],
)
def test_names_that_come_to_the_same_or_look_the_same_are_told_apart(names: tuple[str, ...]) -> None:
    found = folder_names([Student(name) for name in names], {})
    assert len({name.casefold() for name in found.values()}) == len(names)
    assert all(len(name) > 2 for name in found.values())
    assert found == folder_names([Student(name) for name in reversed(names)], {})


def test_nobody_can_choose_a_name_that_another_would_be_given() -> None:
    students = [Student("smith", "1"), Student("smith", "2"), Student("smith_1", "3"), Student("smith_2", "4")]
    found = folder_names(students, {})
    assert found["id", "3"] == "smith_1"
    assert len(set(found.values())) == 4


def test_odd_names_are_laid_out_and_the_record_is_safe_to_open(collecting: Collecting) -> None:
    put(
        collecting.source,
        {
            "new\nline.ipynb": notebook("1"),
            "-o.ipynb": notebook("2"),
            "=cmd|' /C calc'!A0.ipynb": notebook("3"),
            "a\u202eb.ipynb": notebook("4"),
        },
    )
    os.mkdir(os.fsencode(collecting.source) + b"/\xff\xfe")
    collecting()
    assert sorted(collecting.files.values()) == ["", "1", "2", "3", "4"]
    text = (collecting.output / "collected.csv").read_text()
    assert "'=cmd" in text
    assert "\u202e" not in text
    assert all("\n" not in name and not name.startswith("-") for name in os.listdir(collecting.output))


def test_a_notebooks_name_is_made_safe_as_well(collecting: Collecting, tmp_path: Path) -> None:
    inside = {"evil/../../../-rf\n.ipynb": notebook("1")}
    put(collecting.source, {"ada.zip": packed(inside, tmp_path / "ada.zip")})
    collecting()
    assert collecting.files == {"ada/rf_.ipynb": "1"}


# Sizes


def test_too_many_files_are_a_problem_that_says_so(collecting: Collecting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_ENTRIES", 3)
    put(collecting.source, {f"ada/{i}.txt": b"" for i in range(4)})
    with pytest.raises(Problem, match="more than 3 files"):
        collecting()


def test_a_student_with_too_many_files_is_told(collecting: Collecting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_FILES", 3)
    put(collecting.source, {f"ada/{i}.txt": b"" for i in range(9)} | {"ben.ipynb": notebook("ben")})
    collecting()
    assert "holds 9 files: only the first 3 were looked at" in [row["why"] for row in collecting.rows]
    assert collecting.files["ben/ben.ipynb"] == "ben"


# Interruptions


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_nothing_is_left_of_what_was_interrupted(
    collecting: Collecting, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    put(collecting.source, {"ada.ipynb": notebook(), "ben.ipynb": notebook()})
    written = []
    whole = layout._write

    def write(path: Path, data: bytes) -> None:
        if written:
            raise error
        written.append(path)
        whole(path, data)

    monkeypatch.setattr(layout, "_write", write)
    with pytest.raises((KeyboardInterrupt, Problem)):
        collecting()
    assert os.listdir(collecting.output.parent) == ["download"]
