"""What each platform gives, recognised by itself: whose it is, which one counts, when it came and whether late."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gradekit.grade.submission import find_submissions
from gradekit.problem import Problem, UsageProblem
from tests.collect.conftest import NOTEBOOK, Collecting, notebook, packed, put, zipped

DUE = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)

# Canvas

CANVAS = {
    f"lovelaceada_1042_88120_{NOTEBOOK}": notebook("first"),
    "lovelaceada_1042_88199_week05_conv-1.ipynb": notebook("second"),
    f"babbagecharles_LATE_1043_88150_{NOTEBOOK}": notebook("charles"),
    "noethéremmy_1044_88121_my work (1).ipynb": notebook("emmy"),
    "turingalan_1045_text.html": b"<p>see the link</p>",
}


@pytest.mark.parametrize("wrapped", ["", "submissions/", "a/b/"])
@pytest.mark.parametrize("as_zip", [True, False])
def test_canvas(collecting: Collecting, tmp_path: Path, as_zip: bool, wrapped: str) -> None:
    files = {f"{wrapped}{name}": data for name, data in CANVAS.items()}
    source = zipped(tmp_path / "submissions.zip", files) if as_zip else put(tmp_path / "unpacked", files)
    collected = collecting(source)
    assert collected.kind == "canvas"
    assert collecting.files == {
        f"babbagecharles/{NOTEBOOK}": "charles",
        "lovelaceada/week05_conv-1.ipynb": "second",
        "noethéremmy/my work (1).ipynb": "emmy",
        "turingalan/not-taken.txt": "",
    }
    assert collecting.said("student", "id", "late", "attempt", "outcome") == [
        ("babbagecharles", "1043", "late", "", "taken"),
        ("lovelaceada", "1042", "in time", "2", "taken"),
        ("lovelaceada", "1042", "in time", "2", "duplicate"),
        ("noethéremmy", "1044", "in time", "", "taken"),
        ("turingalan", "1045", "in time", "", "not taken"),
    ]
    assert "no file was handed in" in collecting.rows[-1]["why"]
    names = [submission.name for submission in find_submissions([collecting.output])]
    assert names == ["babbagecharles", "lovelaceada", "noethéremmy", "turingalan"]


def test_canvas_where_graders_see_no_names(collecting: Collecting) -> None:
    put(
        collecting.source,
        {
            f"anon_x3Yz9_88120_{NOTEBOOK}": notebook("one"),
            f"LATE_anon_Q7abc_88121_{NOTEBOOK}": notebook("two"),
        },
    )
    assert collecting().kind == "canvas"
    assert collecting.said("student", "late") == [("anon_Q7abc", "late"), ("anon_x3Yz9", "in time")]


def test_two_students_of_one_name_in_canvas_are_told_apart_by_their_numbers(collecting: Collecting) -> None:
    put(
        collecting.source,
        {
            f"smithjohn_11_901_{NOTEBOOK}": notebook("one"),
            f"smithjohn_12_902_{NOTEBOOK}": notebook("two"),
            f"lovelaceada_13_903_{NOTEBOOK}": notebook("ada"),
        },
    )
    collecting()
    assert collecting.files == {
        f"lovelaceada/{NOTEBOOK}": "ada",
        f"smithjohn_11/{NOTEBOOK}": "one",
        f"smithjohn_12/{NOTEBOOK}": "two",
    }
    assert ["looks, the same" in row["why"] for row in collecting.rows] == [False, True, True]


def test_a_canvas_file_that_came_late_counts_over_the_one_in_time(collecting: Collecting) -> None:
    put(
        collecting.source,
        {
            "lovelaceada_13_903_final.ipynb": notebook("in time"),
            f"lovelaceada_LATE_13_950_{NOTEBOOK}": notebook("late"),
        },
    )
    collecting()
    assert collecting.files == {f"lovelaceada/{NOTEBOOK}": "late"}
    assert collecting.said("late", "outcome") == [("late", "taken"), ("in time", "duplicate")]


def test_names_that_only_look_like_canvas_are_students_of_a_folder(collecting: Collecting) -> None:
    put(collecting.source, {"lab_1_2_ada.ipynb": notebook(), "lab_1_2_ben.ipynb": notebook()})
    assert collecting().kind == "folder"
    assert collecting.said("student") == [("lab_1_2_ada",), ("lab_1_2_ben",)]


def test_a_stranger_among_canvas_files_is_told(collecting: Collecting) -> None:
    put(collecting.source, {**CANVAS, "by mail from Dora.ipynb": notebook(), "grades.csv": b""})
    collected = collecting()
    assert [(row.file, row.outcome) for row in collected.rows if not row.student] == [
        ("by mail from Dora.ipynb", "not taken"),
        ("grades.csv", "left out"),
    ]


# Moodle

MOODLE = {
    f"Ada Lovelace_501_assignsubmission_file/{NOTEBOOK}": notebook("ada"),
    f"Charles_Babbage_502_assignsubmission_file_/sub/{NOTEBOOK}": notebook("charles"),
    "Charles_Babbage_502_assignsubmission_onlinetext/onlinetext.html": b"<p>done</p>",
    "Alan Turing_503_assignsubmission_onlinetext/onlinetext.html": b"<p>I was ill</p>",
}


@pytest.mark.parametrize("as_zip", [True, False])
def test_moodle_with_folders(collecting: Collecting, tmp_path: Path, as_zip: bool) -> None:
    source = zipped(tmp_path / "AI-week05-77.zip", MOODLE) if as_zip else put(tmp_path / "AI", MOODLE)
    assert collecting(source, due=DUE).kind == "moodle"
    assert collecting.files == {
        f"Ada Lovelace/{NOTEBOOK}": "ada",
        "Alan Turing/not-taken.txt": "",
        f"Charles_Babbage/{NOTEBOOK}": "charles",
    }
    assert collecting.said("student", "id", "submitted", "late") == [
        ("Ada Lovelace", "501", "", ""),
        ("Alan Turing", "503", "", ""),
        ("Charles_Babbage", "502", "", ""),
    ]


def test_moodle_with_all_files_in_one_folder(collecting: Collecting) -> None:
    put(
        collecting.source,
        {
            f"Participant_9001_assignsubmission_file_{NOTEBOOK}": notebook("one"),
            f"Participant_9002_assignsubmission_file_{NOTEBOOK}": notebook("two"),
            f"Default group_assignsubmission_file_{NOTEBOOK}": notebook("group"),
            "Participant_9002_assignsubmission_onlinetext_onlinetext.html": b"",
        },
    )
    assert collecting().kind == "moodle"
    assert collecting.files == {
        f"Default group/{NOTEBOOK}": "group",
        f"Participant_9001/{NOTEBOOK}": "one",
        f"Participant_9002/{NOTEBOOK}": "two",
    }


# Gradescope

METADATA = """\
---
submission_101:
  :submitters:
  - :name: Ada Lovelace
    :sid: '0042'
    :email: ada@example.org
  :created_at: 2026-11-24 16:59:59.318411000 Z
  :results: {tests: [{name: q1, output: "a: b"}]}
  :history: []
submission_102:
  :submitters: &team
  - :name: Charles Babbage
    :sid: 007
    :email: charles@example.org
  - :name: Emmy Noether
    :sid:
    :email: emmy@example.org
  :created_at: !ruby/object:ActiveSupport::TimeWithZone 2026-11-24 17:00:01.5 Z
  :history:
  - :id: 90
    :created_at: 2026-11-20 10:00:00 Z
submission_103:
  :submitters: *team
  :created_at: 2026-11-21 10:00:00 +01:00
"""


@pytest.mark.parametrize("as_zip", [True, False])
def test_gradescope(collecting: Collecting, tmp_path: Path, as_zip: bool) -> None:
    files = {
        "assignment_5_export/submission_metadata.yml": METADATA.encode(),
        f"assignment_5_export/submission_101/{NOTEBOOK}": notebook("ada"),
        f"assignment_5_export/submission_102/{NOTEBOOK}": notebook("team"),
        f"assignment_5_export/submission_103/{NOTEBOOK}": notebook("team, before"),
        f"assignment_5_export/submission_104/{NOTEBOOK}": notebook("whose?"),
    }
    source = zipped(tmp_path / "export.zip", files) if as_zip else put(tmp_path / "export", files)
    assert collecting(source, due=DUE).kind == "gradescope"
    assert collecting.files == {
        f"Ada Lovelace/{NOTEBOOK}": "ada",
        f"Charles Babbage/{NOTEBOOK}": "team",
        f"Emmy Noether/{NOTEBOOK}": "team",
    }
    assert collecting.said("student", "id", "submitted", "late", "attempt", "outcome") == [
        ("", "", "", "", "", "not taken"),
        ("Ada Lovelace", "0042", "2026-11-24T16:59:59+00:00", "in time", "", "taken"),
        ("Charles Babbage", "007", "2026-11-24T17:00:01+00:00", "late", "2", "taken"),
        ("Charles Babbage", "007", "2026-11-21T09:00:00+00:00", "in time", "", "duplicate"),
        ("Emmy Noether", "emmy@example.org", "2026-11-24T17:00:01+00:00", "late", "2", "taken"),
        ("Emmy Noether", "emmy@example.org", "2026-11-21T09:00:00+00:00", "in time", "", "duplicate"),
    ]
    assert "handed in with Emmy Noether" in collecting.rows[2]["why"]


@pytest.mark.parametrize("said", ["[" * 200_000, "- a\n- b\n", "a: [", "", "a: 1\n--- \n"])
def test_metadata_that_says_nothing_is_a_problem_and_nothing_is_written(collecting: Collecting, said: str) -> None:
    put(collecting.source, {"submission_metadata.yml": said.encode(), f"submission_1/{NOTEBOOK}": notebook()})
    if said.startswith("a: 1"):
        with pytest.raises(Problem, match="holds no submission"):
            collecting()
    else:
        with pytest.raises(Problem, match=r"submission_metadata.yml: "):
            collecting()
    assert not collecting.output.exists()


def test_metadata_of_any_depth_or_alias_is_read_in_bounded_work(collecting: Collecting) -> None:
    bomb = "x0: &x0 [a, a]\n" + "".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]\n" for i in range(1, 20))
    deep = "submission_1:\n  :submitters:\n  - :name: Ada\n  :results: " + "[" * 400 + "]" * 400 + "\n"
    put(collecting.source, {"submission_metadata.yml": (bomb + deep).encode(), f"submission_1/{NOTEBOOK}": notebook()})
    collecting()
    assert collecting.files == {f"Ada/{NOTEBOOK}": "x = 1"}


# nbgrader

INBOUND = {
    f"ada+week05_conv+2026-11-24 16:00:00.000000 UTC+3fjXy_a-/{NOTEBOOK}": notebook("first"),
    "ada+week05_conv+2026-11-24 16:00:00.000000 UTC+3fjXy_a-/timestamp.txt": b"2026-11-24 16:00:00.000000 UTC",
    f"ada+week05_conv+2026-11-24 18:30:00.000000 CET+Zz=/{NOTEBOOK}": notebook("second"),
    f"ada+week05_conv+2026-11-24 17:10:00.000000 UTC/{NOTEBOOK}": notebook("third"),
    f"be+n+week05_conv+2026-11-24 09:00:00.000000 UTC+0/{NOTEBOOK}": notebook("ben"),
    "ada+week04+2026-11-20 16:00:00.000000 UTC+3fjXy/week04.ipynb": notebook("other"),
}


@pytest.mark.parametrize("above", ["", "inbound/", "course101/inbound/"])
def test_nbgraders_exchange(collecting: Collecting, above: str) -> None:
    put(collecting.source, {f"{above}{name}": data for name, data in INBOUND.items()})
    with pytest.raises(UsageProblem, match="several assignments: week04, week05_conv"):
        collecting()
    assert not collecting.output.exists()
    assert collecting(assignment="week05_conv", due=DUE).kind == "nbgrader"
    assert collecting.files == {f"ada/{NOTEBOOK}": "second", f"be+n/{NOTEBOOK}": "ben"}
    assert collecting.said("student", "submitted", "late", "attempt", "outcome") == [
        ("ada", "2026-11-24T17:30:00+00:00", "late", "3", "taken"),
        ("ada", "2026-11-24T17:10:00+00:00", "late", "2", "duplicate"),
        ("ada", "2026-11-24T16:00:00+00:00", "in time", "1", "duplicate"),
        ("be+n", "2026-11-24T09:00:00+00:00", "in time", "1", "taken"),
    ]


def test_the_notebooks_name_says_which_of_nbgraders_assignments(collecting: Collecting) -> None:
    put(collecting.source, INBOUND)
    collecting(notebook=NOTEBOOK)
    assert collecting.files == {f"ada/{NOTEBOOK}": "second", f"be+n/{NOTEBOOK}": "ben"}


def test_nbgraders_submitted(collecting: Collecting) -> None:
    put(
        collecting.source,
        {
            f"submitted/ada/week05_conv/{NOTEBOOK}": notebook("ada"),
            "submitted/ada/week05_conv/timestamp.txt": b"2026-11-24 17:00:00.000001 UTC\n",
            "submitted/ada/week05_conv/data.csv": b"1,2",
            f"submitted/ben/week05_conv/{NOTEBOOK}": notebook("ben"),
            "source/week05_conv/week05_conv.ipynb": notebook("the instructor's"),
        },
    )
    assert collecting(due=DUE).kind == "nbgrader"
    assert collecting.files == {f"ada/{NOTEBOOK}": "ada", f"ben/{NOTEBOOK}": "ben"}
    assert collecting.said("student", "late") == [("ada", "late"), ("ben", "")]
    assert collecting.rows[0]["why"] == "without what came with it: data.csv"


def test_an_assignment_that_is_not_there_is_bad_usage(collecting: Collecting) -> None:
    put(collecting.source, INBOUND)
    with pytest.raises(UsageProblem, match="no submission of 'week06'"):
        collecting(assignment="week06")
    with pytest.raises(UsageProblem, match="is of one assignment"):
        collecting(put(collecting.output.parent / "plain", {"ada.ipynb": notebook()}), assignment="week06")


# A folder


def test_a_folder_of_notebooks_zips_and_folders(collecting: Collecting, tmp_path: Path) -> None:
    put(
        collecting.source,
        {
            "ada.ipynb": notebook("ada"),
            "ada (1).ipynb": notebook("ada again"),
            "ben.zip": packed({f"work/{NOTEBOOK}": notebook("ben"), "work/notes.txt": b""}, tmp_path / "ben.zip"),
            f"cleo/deep/down/{NOTEBOOK}": notebook("cleo"),
            "cleo/.ipynb_checkpoints/week05_conv-checkpoint.ipynb": notebook("old"),
            "dora/essay.pdf": b"%PDF",
            "emil.pdf": b"%PDF",
            ".DS_Store": b"",
            "Thumbs.db": b"",
        },
    )
    (collecting.source / "fay").mkdir()
    assert collecting().kind == "folder"
    assert collecting.files == {
        "ada/ada (1).ipynb": "ada again",
        f"ben/{NOTEBOOK}": "ben",
        f"cleo/{NOTEBOOK}": "cleo",
        "dora/not-taken.txt": "",
        "emil.pdf/not-taken.txt": "",
        "fay/not-taken.txt": "",
    }
    assert collecting.said("student", "outcome") == [
        ("ada", "taken"),
        ("ada", "duplicate"),
        ("ben", "taken"),
        ("cleo", "taken"),
        ("dora", "not taken"),
        ("emil.pdf", "not taken"),
        ("fay", "not taken"),
    ]


def test_a_zip_of_a_folder_is_that_folder_and_a_zip_of_one_student_is_that_students(tmp_path: Path) -> None:
    whole = Collecting(tmp_path / "1")
    whole(zipped(tmp_path / "class (2).zip", {"class/ada.ipynb": notebook(), f"class/ben/{NOTEBOOK}": notebook()}))
    assert whole.said("student") == [("ada",), ("ben",)]
    one = Collecting(tmp_path / "2")
    one(zipped(tmp_path / "mail.zip", {f"ada/{NOTEBOOK}": notebook()}))
    assert one.said("student") == [("ada",)]


# Which one is meant


def test_asking_for_a_platform_that_does_not_fit_is_bad_usage(collecting: Collecting) -> None:
    put(collecting.source, {"ada.ipynb": notebook()})
    with pytest.raises(UsageProblem, match="does not look like what moodle gives"):
        collecting(kind="moodle")
    with pytest.raises(UsageProblem, match="expected one of canvas, gradescope, moodle, nbgrader, folder"):
        collecting(kind="blackboard")


def test_a_platform_can_be_asked_for_where_most_names_are_others(collecting: Collecting) -> None:
    one = {f"lovelaceada_1042_88120_{NOTEBOOK}": notebook("ada")}
    put(collecting.source, {**one, "ben.ipynb": notebook(), "cleo.ipynb": notebook()})
    assert collecting(kind="canvas").kind == "canvas"
    assert collecting.files == {f"lovelaceada/{NOTEBOOK}": "ada"}


def test_a_student_cannot_make_a_canvas_download_look_like_moodles(collecting: Collecting) -> None:
    put(collecting.source, {**CANVAS, f"evilmallory_9_99_assignsubmission_file_{NOTEBOOK}": notebook("mallory")})
    assert collecting().kind == "canvas"


# Several notebooks


def test_several_notebooks_are_not_guessed_among(collecting: Collecting) -> None:
    put(collecting.source, {f"ada/{NOTEBOOK}": notebook("week"), "ada/scratch.ipynb": notebook("scratch")})
    collecting()
    assert collecting.files == {"ada/not-taken.txt": ""}
    assert (
        "holds 2 notebooks (scratch.ipynb, week05_conv.ipynb): --notebook NAME.ipynb says" in collecting.rows[0]["why"]
    )


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        ([NOTEBOOK, "scratch.ipynb"], NOTEBOOK),
        (["week05_conv (1).ipynb", "scratch.ipynb"], "week05_conv (1).ipynb"),
        ([NOTEBOOK, "week05_conv (2).ipynb", "week05_conv(1).ipynb"], "week05_conv (2).ipynb"),
        (["week05_conv-3.ipynb", "scratch.ipynb"], "week05_conv-3.ipynb"),
        (["final.ipynb"], "final.ipynb"),
    ],
)
def test_the_one_of_the_name_that_was_asked_for_counts(collecting: Collecting, names: list[str], counts: str) -> None:
    put(collecting.source, {f"ada/{name}": notebook(name) for name in names})
    collecting(notebook=NOTEBOOK)
    assert collecting.files == {f"ada/{NOTEBOOK}": counts}


def test_a_name_that_looks_numbered_is_kept_apart_from_its_neighbours(collecting: Collecting) -> None:
    put(collecting.source, {f"ada/lab-{i}.ipynb": notebook(str(i)) for i in (1, 2)})
    collecting(notebook="lab-1.ipynb")
    assert collecting.files == {"ada/lab-1.ipynb": "1"}


def test_the_latest_of_otters_exports_counts(collecting: Collecting, tmp_path: Path) -> None:
    put(
        collecting.source,
        {
            f"ada/week05_conv_2026_11_2{day}T10_00_00_123456.zip": packed(
                {NOTEBOOK: notebook(f"day {day}")}, tmp_path / f"{day}.zip"
            )
            for day in (1, 3, 2)
        },
    )
    collecting()
    assert collecting.files == {f"ada/{NOTEBOOK}": "day 3"}


def test_in_a_zip_the_notebook_that_was_asked_for_counts(collecting: Collecting, tmp_path: Path) -> None:
    inside = {NOTEBOOK: notebook("week"), "scratch.ipynb": notebook("scratch")}
    put(collecting.source, {"ada.zip": packed(inside, tmp_path / "ada.zip")})
    collecting(notebook=NOTEBOOK)
    assert collecting.files == {f"ada/{NOTEBOOK}": "week"}
