"""grades.csv and the JSON files: what people read of the results, whatever a submission is called."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gradekit.grade import views
from gradekit.grade.result import CaseResult, QuestionResult, Result
from gradekit.grade.views import write_grades, write_result, write_views
from gradekit.problem import Problem

EVIDENCE = {
    "check": "speed",
    "data": {"samples": [0.1, 2.0, 1e-9, 1e22], "counts": [], "limits": {"cpu": 3.0, "cuda": None}, "nothing": {}},
    "nested": [[1, [2, "zwei"]], {"a": {"b": True}}, ()],
    "tuple": (1, 2.5),
    "text": 'ü "\\ \0\x1b\n\u2028 😀',
}
CASE = CaseResult("agrees", 2.0, True, False, "expected 1, got 2", 0.25, (EVIDENCE,))


def result(name: str, score: float = 2.0) -> Result:
    passed = CaseResult("is right", score, False, True, "", 0.5)
    questions = (QuestionResult("q1", 2.0, (passed,)), QuestionResult("q2", 2.0, (CASE,)), QuestionResult("q3", 1.0))
    return Result(name, "graded", questions, "", 1.5, {"python": "3.11"})


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names_in_csv(path: Path) -> list[str]:
    return [row[0] for row in csv.reader(path.open(newline="", encoding="utf-8"))][1:]


# What is written


def test_a_class_gets_a_table_and_a_file_each(tmp_path: Path) -> None:
    path = write_views(tmp_path / "new", [result("ben", 1.0), result("ada")])
    assert path.read_text() == (
        "submission,status,score,possible,q1,q2,q3\nada,graded,2,5,2,0,0\nben,graded,1,5,1,0,0\n"
    )
    assert sorted(files(tmp_path / "new")) == ["grades.csv", "results/ada.json", "results/ben.json"]


def test_a_results_file_is_gradescopes(tmp_path: Path) -> None:
    write_views(tmp_path, [result("ada")])
    data = json.loads((tmp_path / "results" / "ada.json").read_text())
    assert data == json.loads(json.dumps(result("ada").to_gradescope()))
    assert [test["score"] for test in data["tests"]] == [2.0, 0.0]


def test_the_bytes_are_those_of_the_standard_library(tmp_path: Path) -> None:
    odd = replace(result("ada"), machine={"keys": {2: 1, True: [2], None: {}, 1.5: [[]], "ü": ""}})
    text = write_result(tmp_path, odd).read_text()
    assert text == json.dumps(odd.to_gradescope(), indent=1, ensure_ascii=False) + "\n"


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    results = [result("ada"), result("Ben", 1.0), result("ben")]
    write_views(tmp_path / "1", results)
    write_views(tmp_path / "2", [Result.from_json(r.to_json()) for r in reversed(results)])
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_nothing_that_lies_there_is_removed(tmp_path: Path) -> None:
    write_views(tmp_path, [result("ada"), result("ben")])
    (tmp_path / "results" / "notes.txt").write_text("mine")
    write_views(tmp_path, [result("ada", 1.0)])
    assert sorted(files(tmp_path)) == ["grades.csv", "results/ada.json", "results/ben.json", "results/notes.txt"]
    assert json.loads((tmp_path / "results" / "ada.json").read_text())["score"] == 1.0


def test_without_results_the_table_has_its_head(tmp_path: Path) -> None:
    assert write_views(tmp_path, []).read_text() == "submission,status,score,possible\n"


def test_a_question_that_a_result_lacks_is_left_empty(tmp_path: Path) -> None:
    other = Result("ben", "graded", (QuestionResult("q9", 1.0),))
    lines = write_grades(tmp_path, [result("ada"), other]).read_text().splitlines()
    assert lines == ["submission,status,score,possible,q1,q2,q3,q9", "ada,graded,2,5,2,0,0,", "ben,graded,0,1,,,,0"]


def test_numbers_that_json_lacks_are_words_as_in_evidence(tmp_path: Path) -> None:
    evidence = ({"samples": [float("nan"), 1.0, float("inf"), -float("inf")]},)
    case = CaseResult("agrees", 1.0, False, True, "", float("nan"), evidence)
    path = write_result(tmp_path, Result("ada", "graded", (QuestionResult("q1", 1.0, (case,)),)))

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    (test,) = json.loads(path.read_text(), parse_constant=refuse)["tests"]
    assert test["extra_data"] == {"seconds": "nan", "evidence": [{"samples": ["nan", 1.0, "inf", "-inf"]}]}


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "\x1b[2J"], ids=ascii)
def test_no_text_stops_the_writing(tmp_path: Path, text: str) -> None:
    case = CaseResult(text, 1.0, False, False, text, 0.0, ({text: text},))
    odd = Result(text, "crashed", (QuestionResult("q1", 1.0, (case,)),), text)
    write_views(tmp_path, [odd])
    (path,) = (tmp_path / "results").iterdir()
    data = json.loads(path.read_text())
    assert (data["output"], data["extra_data"]["submission"]) == (text, text)


# How it is written


def test_a_writing_that_fails_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_views(tmp_path, [result("ada")])
    before = files(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)  # faked: a disk that fills up
    with pytest.raises(Problem, match="cannot be written: No space left on device") as problem:
        write_views(tmp_path, [result("ada", 1.0)])
    assert problem.value.mend
    assert files(tmp_path) == before


def test_a_file_is_on_the_disk_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    fsync, replace_file = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        if sys.platform == "linux":
            done.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append(("replace", Path(source).name))
        replace_file(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_result(tmp_path, result("ada"))
    partial = f".ada.json.{os.getpid()}.partial"
    expected = [("fsync", partial), ("replace", partial)]
    assert done == (expected if sys.platform == "linux" else expected[1:])


def test_where_nothing_can_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results").touch()
    for folder in (tmp_path / "file", tmp_path / "out"):
        with pytest.raises(Problem, match="cannot be written"):
            write_views(folder, [result("ada")])
    (tmp_path / "taken" / "grades.csv").mkdir(parents=True)
    with pytest.raises(Problem, match="cannot be written: Is a directory"):
        write_views(tmp_path / "taken", [result("ada")])


# File names

ODD_NAMES = [
    "new\nline",
    "quo\"te's",
    "-rf",
    "a\0b",
    "x" * 300,
    "..",
    ".",
    "../../up",
    "/etc/passwd",
    "a\\b",
    ".hidden",
]
ODD_NAMES += [
    "\u202eevil",
    "mark\u200f",
    "",
    " ",
    "con\r",
    "ü" * 200,
    "\udce9",
    "submission",
    "a:b",
    "*",
    "~",
    "$(reboot)",
]


def test_every_name_is_one_safe_file_in_the_folder(tmp_path: Path) -> None:
    write_views(tmp_path / "out", [result(name) for name in ODD_NAMES])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    written = list((tmp_path / "out" / "results").iterdir())
    assert len(written) == len(ODD_NAMES)
    for path in written:
        assert path.name.isprintable()
        assert not set(path.name) & set("\"'\\/:*?<>|$~")
        assert path.name[0] not in "-. "
        assert len(path.name.encode()) <= 150
    submissions = {json.loads(path.read_text())["extra_data"]["submission"] for path in written}
    assert submissions == set(ODD_NAMES)


@pytest.mark.parametrize("name", ["ada", "Ada Lovelace", "ada.l-1", "ünï", "week05_conv"])
def test_an_ordinary_name_is_the_files_name(tmp_path: Path, name: str) -> None:
    assert write_result(tmp_path, result(name)) == tmp_path / "results" / f"{name}.json"


@pytest.mark.parametrize(
    "names", [("Ada", "ada", "ADA"), ("straße", "STRASSE"), ("\u00fcn\u00ef", "u\u0308ni\u0308"), ("ﬀ", "ff", "FF")]
)
def test_names_that_a_file_system_takes_for_the_same_have_files_of_their_own(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    write_views(tmp_path, [result(name) for name in names])
    written = [path.name for path in (tmp_path / "results").iterdir()]
    assert len({name.casefold() for name in written}) == len(names)


def test_nobody_can_choose_the_name_of_somebody_elses_file(tmp_path: Path) -> None:
    honest = write_result(tmp_path, result("a/b"))
    for chosen in (honest.stem, honest.stem.upper()):
        assert write_result(tmp_path, result(chosen)).name.casefold() != honest.name.casefold()


# The table

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "|calc", "%0A=1", " =1", "\t=1", "\n=1", "\r1", "\ta", "\0=1", "\xa0=1"]
FORMULAS += ["\ufeff=1", "\u200b=1", "\u202e=1", "＝1", "－1", "=cmd|'/c calc'!A0"]


@pytest.mark.parametrize("name", FORMULAS, ids=ascii)
def test_no_spreadsheet_takes_a_name_for_a_formula(tmp_path: Path, name: str) -> None:
    (shown,) = names_in_csv(write_grades(tmp_path, [result(name)]))
    assert shown.startswith("'")


@pytest.mark.parametrize("name", ["a;=1+1", "a\t=1+1", "a|=1+1", "a:b", 'a";=1', "a,=1", "a\n=1"], ids=ascii)
def test_a_name_stays_in_its_cell_whatever_the_separator(tmp_path: Path, name: str) -> None:
    path = write_grades(tmp_path, [result(name)])
    assert names_in_csv(path) == [name]
    for separator in ";\t|":
        rows = list(csv.reader(io.StringIO(path.read_text(), newline=""), delimiter=separator))
        assert len(rows) == 2
        assert len(rows[1]) == 1


@pytest.mark.parametrize("name", ["ada", "Ada Lovelace", "a/b", "o'brien", "ada (1)", "a=b", "'x", "ada@uni.example"])
def test_an_ordinary_name_stands_as_it_is(tmp_path: Path, name: str) -> None:
    assert write_grades(tmp_path, [result(name)]).read_text().splitlines()[1] == f"{name},graded,2,5,2,0,0"


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200f", "\0", "\x1b", "\udce9"], ids=ascii)
def test_what_cannot_be_seen_is_spelt_out(tmp_path: Path, mark: str) -> None:
    assert names_in_csv(write_grades(tmp_path, [result(f"a{mark}b")])) == [f"a\\u{ord(mark):04x}b"]


def test_the_views_know_nothing_of_the_store() -> None:
    assert not hasattr(views, "sqlite3")
