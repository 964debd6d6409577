"""The store of results: what was put is there, whole, whoever is killed; and what is no store is left alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gradekit.grade import store as store_module
from gradekit.grade.result import CaseResult, QuestionResult, Result, Status, merge
from gradekit.grade.store import FILE_NAME, Key, Store
from gradekit.problem import Problem, UsageProblem

KEY = Key(submission="a" * 64, bundle="b" * 64, kit="1.0", device="cpu")


def result(name: str, *passed: bool, status: Status = "graded", note: str = "", message: str = "") -> Result:
    questions = tuple(
        QuestionResult(f"q{i}", 2.0, (CaseResult("agrees", 2.0, i > 1, ok, message, 0.25),))
        for i, ok in enumerate(passed, 1)
    )
    return Result(name, status, questions, note, 1.5, {"python": "3.11"})


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


# Keys and names


def test_what_was_put_is_found_by_its_key_and_name(opened: Store) -> None:
    opened.put(KEY, result("ada", True))
    assert opened.get(KEY, "ada") == result("ada", True)
    assert opened.get(KEY, "ben") is None


@pytest.mark.parametrize("part", ["submission", "bundle", "kit", "device"])
def test_each_part_of_the_key_counts(opened: Store, part: str) -> None:
    opened.put(KEY, result("ada", True))
    assert opened.get(replace(KEY, **{part: "other"}), "ada") is None


def test_put_again_replaces(opened: Store) -> None:
    opened.put(KEY, result("ada", False))
    opened.put(KEY, result("ada", True))
    assert opened.get(KEY, "ada") == result("ada", True)
    assert opened.current() == [result("ada", True)]


def test_two_students_of_the_same_content_have_a_result_each(opened: Store) -> None:
    opened.put(KEY, result("ada", True))
    opened.put(KEY, result("ben", False))
    assert opened.get(KEY, "ada") == result("ada", True)
    assert opened.get(KEY, "ben") == result("ben", False)


def test_the_result_of_the_same_content_serves_another_name(opened: Store) -> None:
    assert opened.get_same_content(KEY, "ben") is None
    opened.put(KEY, result("ada", True))
    assert opened.get_same_content(KEY, "ben") == result("ben", True)
    assert opened.get_same_content(KEY, "ada") is None
    assert opened.get_same_content(replace(KEY, submission="c" * 64), "ben") is None
    assert opened.get(KEY, "ben") is None


def test_a_crash_is_not_shared(opened: Store) -> None:
    opened.put(KEY, result("ada", True, status="crashed", note="out of memory"))
    assert opened.get_same_content(KEY, "ben") is None


def test_current_is_the_latest_of_each_name_by_name(opened: Store) -> None:
    first, second = KEY, replace(KEY, submission="c" * 64)
    opened.put(first, result("ben", False))
    opened.put(first, result("ada", False))
    opened.put(second, result("ada", True))
    assert opened.current() == [result("ada", True), result("ben", False)]
    assert opened.current(["ben", "nobody"]) == [result("ben", False)]
    opened.put(first, result("ada", False))  # what was handed in first was handed in again
    assert opened.current(["ada"]) == [result("ada", False)]


def test_forget_drops_all_that_is_known_of_a_name(opened: Store) -> None:
    opened.put(KEY, result("ada", True))
    opened.put(replace(KEY, kit="2.0"), result("ada", True))
    opened.put(KEY, result("ben", True))
    opened.forget("ada")
    opened.forget("nobody")
    assert opened.current() == [result("ben", True)]
    assert opened.get(KEY, "ada") is None


NAMES = ["", "a/b", "a\nb", "a\0b", "a", "A", "-rf", "'; DROP TABLE results; --", "x" * 5000, "ünï", "u\u0308nï"]
NAMES += ["\u202eevil", "\udce9t\udce9", "\ud83d\ude00", "😀", "%", "_"]


def test_names_are_kept_apart_to_the_letter(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for i, name in enumerate(NAMES):
            store.put(KEY, result(name, i % 2 == 0))
    with Store.open(tmp_path) as store:
        assert [found.submission for found in store.current()] == sorted(NAMES)
        for i, name in enumerate(NAMES):
            assert store.get(KEY, name) == result(name, i % 2 == 0)


# Round trips

ODD_TEXTS = [
    "\0\x01\x1b[31m\x7f",
    "naïve 😀 \u202e",
    "\ud800",
    "\ud83d\ude00",
    "\udce9",
    '"\\u0041\\',
    "\u2028\r\n",
    "",
]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
def test_every_text_comes_back_to_the_letter(opened: Store, text: str) -> None:
    odd = replace(result(text, True, message=text), note=text, machine={text: text})
    opened.put(KEY, odd)
    assert opened.get(KEY, text) == odd
    assert Result.from_json(odd.to_json()) == odd


def test_every_number_comes_back_to_the_bit(opened: Store) -> None:
    numbers = [
        float("nan"),
        float("inf"),
        -float("inf"),
        -0.0,
        0.1 + 0.2,
        5e-324,
        1.7976931348623157e308,
        2**70,
        3,
        True,
    ]
    case = CaseResult("agrees", float("inf"), True, False, "", float("nan"), ({"data": {"samples": numbers}},))
    odd = Result("ada", "graded", (QuestionResult("q1", 1, (case,)),), "", 5, {})
    opened.put(KEY, odd)
    found = opened.get(KEY, "ada")
    assert repr(found) == repr(odd)  # which tells nan, -0.0, 3 and True apart, where == does not


def test_a_result_has_no_other_form_than_its_own() -> None:
    for text in ("", "[]", "{}", '{"submission": "ada"}', result("ada").to_json()[:-1], '{"questions": 3}'):
        with pytest.raises(ValueError):
            Result.from_json(text)


# Crashes and neighbours

PUTS_FOREVER = """
import sys
from pathlib import Path
from gradekit.grade.result import *
from gradekit.grade.store import *
folder, turn, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
with Store.open(folder) as store:
    for i in range(count):
        evidence = ({"data": {"samples": [i + 0.1] * 300}},)
        case = CaseResult("agrees", 1.0, True, True, f"{turn}-{i}" * 100, 0.1, evidence)
        name = f"{turn}-{i}"
        store.put(Key(name, "b", "1", "cpu"), Result(name, "graded", (QuestionResult("q1", 1.0, (case,)),)))
        print(name, flush=True)
"""


def putting(folder: Path, turn: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PUTS_FOREVER, str(folder), turn, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def is_whole(found: Result | None, name: str) -> bool:
    (question,) = found.questions if found else (None,)
    return question is not None and question.cases[0].message == name * 100 and len(question.cases[0].evidence) == 1


def test_a_kill_at_any_moment_loses_nothing_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    put: set[str] = set()
    ended_by_kill = 0
    for turn in range(20):
        process = putting(tmp_path, str(turn), 10**9)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"  # so that most kills hit the store, and not Python's start
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        said = process.stdout.read().splitlines(keepends=True)
        ended_by_kill += process.wait() == -signal.SIGKILL
        put |= {line.strip() for line in said if line.endswith("\n")}
    assert ended_by_kill == 20
    assert len(put) > 20, "the killed processes hardly ever came to put anything"
    with Store.open(tmp_path) as store:
        current = {found.submission: found for found in store.current()}
        assert put - set(current) == set(), f"seed {seed}"
        assert len(set(current) - put) <= 20  # at most one a kill: put, and not yet reported
        for name, found in current.items():
            assert is_whole(found, name), f"seed {seed}"
            assert store.get(Key(name, "b", "1", "cpu"), name) == found


@pytest.mark.parametrize("wal", [True, False], ids=["with a WAL", "on a file system without"])
def test_processes_that_write_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wal: bool) -> None:
    if not wal:  # faked: no such file system is at hand
        monkeypatch.setattr(store_module, "_can_wal", lambda folder: False)
        with Store.open(tmp_path):
            pass
    processes = [putting(tmp_path, f"writer{i}", 50) for i in range(4)]  # the first of them makes the store
    assert [process.communicate(timeout=120)[0].count("\n") for process in processes] == [51] * 4
    with Store.open(tmp_path) as store:
        current = store.current()
    assert {found.submission for found in current} == {f"writer{i}-{j}" for i in range(4) for j in range(50)}
    assert all(is_whole(found, found.submission) for found in current)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal" if wal else "delete",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_one_process_sees_what_another_puts(tmp_path: Path) -> None:
    with Store.open(tmp_path) as one, Store.open(tmp_path) as other:
        one.put(KEY, result("ada", True))
        assert other.get(KEY, "ada") == result("ada", True)
        other.forget("ada")
        assert one.current() == []


def test_an_interrupted_grading_leaves_no_row(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Store.open(tmp_path) as store:
            store.put(KEY, result("ada", True))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Store.open(tmp_path) as store:
        assert store.current() == [result("ada", True)]


def test_who_keeps_the_store_to_himself_is_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_PATIENCE_SECONDS", 0.2)
    with Store.open(tmp_path) as store:
        other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Problem, match=r"another process has kept .* for 0\.2 s"):
            store.put(KEY, result("ada", True))
        other.execute("ROLLBACK")
        other.close()
        store.put(KEY, result("ada", True))


def test_the_store_is_one_file_when_it_is_closed(tmp_path: Path) -> None:
    with Store.open(tmp_path / "new" / "folder") as store:
        store.put(KEY, result("ada", True))
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [FILE_NAME]


def test_descriptors_do_not_pile_up(opened: Store) -> None:
    opened.put(KEY, result("ada", True))
    before = len(os.listdir("/dev/fd"))
    for i in range(50):
        opened.put(KEY, result(f"student{i}", True))
        opened.get(KEY, "ada")
    assert len(os.listdir("/dev/fd")) == before


# What is not a store


def filled(folder: Path) -> Path:
    with Store.open(folder) as store:
        for i in range(50):
            store.put(KEY, result(f"student{i}", True, message="x" * 1000))
    return folder / FILE_NAME


def assert_refused(path: Path, says: str) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageProblem, match=says) as problem, Store.open(path.parent) as store:
        store.current()
    assert problem.value.where == str(path)
    assert problem.value.mend
    assert path.read_bytes() == before


@pytest.mark.parametrize("size", [1, 15, 100, 511, 512, 4096, 100_000])
def test_a_file_that_is_none_is_refused_and_left_alone(tmp_path: Path, size: int) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(random.Random(size).randbytes(size))
    assert_refused(path, "is not a store of results")


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE gradebook (student)")
    connection.close()
    assert_refused(path, "is not a store of results")


@pytest.mark.parametrize("left", [0.01, 0.3, 0.6, 0.95])
def test_a_truncated_store_is_refused_and_left_alone(tmp_path: Path, left: float) -> None:
    path = filled(tmp_path)
    os.truncate(path, int(path.stat().st_size * left))
    assert_refused(path, "is damaged|is not a store")


@pytest.mark.parametrize("at", [0.0, 0.2, 0.5, 0.8])
def test_a_store_with_random_bytes_in_it_is_refused_and_left_alone(tmp_path: Path, at: float) -> None:
    path = filled(tmp_path)
    with path.open("r+b") as stream:
        stream.seek(int(path.stat().st_size * at))
        stream.write(random.Random(1).randbytes(6000))
    assert_refused(path, "is damaged|is not a store")


def test_one_changed_letter_is_noticed(tmp_path: Path) -> None:
    path = filled(tmp_path)
    data = path.read_bytes()
    assert b'"passed":true' in data
    path.write_bytes(data.replace(b'"points":2.0,', b'"points":9.0,', 1))
    assert_refused(path, "is damaged")


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert_refused(path, r"newer gradekit \(schema 99")


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()  # what is left where the first opening was killed
    with Store.open(tmp_path) as store:
        store.put(KEY, result("ada", True))
    with Store.open(tmp_path) as store:
        assert store.current() == [result("ada", True)]


def test_a_folder_or_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder" / FILE_NAME).mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / FILE_NAME)
    for name in ("folder", "pipe"):
        with pytest.raises(UsageProblem, match="is not a store"), Store.open(tmp_path / name):
            pass


def test_a_file_in_place_of_the_folder_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageProblem, match="is not a folder"), Store.open(folder):
            pass


def as_an_ordinary_user(folder: Path) -> str:
    """What opening the store in `folder` says to a user who is not root, for whom nothing is read-only."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            with Store.open(folder):
                os.write(writing, b"it was opened")
        except Problem as problem:
            os.write(writing, str(problem).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        text = said.read().decode()
    os.waitpid(child, 0)
    return text


@pytest.mark.parametrize("there", [False, True], ids=["without a store", "with one"])
def test_a_read_only_folder_is_a_problem_before_anything_is_graded(there: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="read only "))  # not below tmp_path, which root alone may enter
    try:
        if there:
            filled(folder).chmod(0o444)
        folder.chmod(0o555)
        said = as_an_ordinary_user(folder)
        assert f"{folder / FILE_NAME}: the store of results cannot be written" in said
        assert "mend: make the folder and the file writable" in said
        assert f"{folder / 'new'}: cannot be made: Permission denied" in as_an_ordinary_user(folder / "new")
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_read_only_store_is_a_problem_before_anything_is_graded() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        filled(folder).chmod(0o444)
        folder.chmod(0o777)
        assert f"{folder / FILE_NAME}: the store of results cannot be written" in as_an_ordinary_user(folder)
    finally:
        shutil.rmtree(folder)


def test_a_folder_that_vanished_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    opening = Store.open(folder)
    store = opening.__enter__()
    shutil.rmtree(folder)
    with pytest.raises(Problem, match="cannot be used: No such file"):
        store.put(KEY, result("ada", True))
    with pytest.raises(Problem, match="cannot be used: No such file"):
        opening.__exit__(None, None, None)


# Merging


def test_merged_questions_come_from_the_new_result_and_the_rest_from_the_old() -> None:
    merged = merge(result("ada", True, False, False), result("ada", False, True, True), {"q2"})
    assert [question.score for question in merged.questions] == [2.0, 2.0, 0.0]
    assert (merged.status, merged.note, merged.seconds) == ("graded", "", 3.0)


def test_a_question_that_the_old_result_lacks_is_added() -> None:
    merged = merge(result("ada", True), result("ada", False, True), {"q2"})
    assert [(q.name, q.score) for q in merged.questions] == [("q1", 2.0), ("q2", 2.0)]


OLD, NEW = "q2: ended by SIGSEGV; it said; so", "q3: did not finish within 9 s"
MERGES: dict[str, tuple[tuple[Status, str], tuple[Status, str], set[str], tuple[Status, str]]] = {
    "a crash noted for another question stays": (("crashed", OLD), ("graded", ""), {"q3"}, ("crashed", OLD)),
    "a crash goes with its question": (("crashed", OLD), ("graded", ""), {"q2"}, ("graded", "")),
    "a new crash comes with its question": (("graded", ""), ("timeout", NEW), {"q3"}, ("timeout", NEW)),
    "a new crash of another question does not": (("graded", ""), ("timeout", NEW), {"q1"}, ("graded", "")),
    "of two crashes both are noted": (("crashed", OLD), ("timeout", NEW), {"q3"}, ("timeout", f"{OLD}; {NEW}")),
    "one goes, one comes": (("crashed", OLD), ("timeout", NEW), {"q2", "q3"}, ("timeout", NEW)),
    "remarks are told apart": (("crashed", f"{OLD}; {NEW}"), ("graded", ""), {"q2"}, ("crashed", NEW)),
    "a remark on the whole stays": (("crashed", "by SIGKILL"), ("graded", ""), {"q1"}, ("crashed", "by SIGKILL")),
    "until all is replaced": (("crashed", "by SIGKILL"), ("graded", ""), {"q1", "q2", "q3"}, ("graded", "")),
    "the same remark is made once": (("crashed", "oops"), ("crashed", "oops"), {"q1"}, ("crashed", "oops")),
    "a crash without a word stays": (("crashed", ""), ("graded", ""), {"q1"}, ("crashed", "")),
}


@pytest.mark.parametrize(("old", "new", "questions", "expected"), MERGES.values(), ids=MERGES)
def test_status_and_note_of_a_merged_result(
    old: tuple[Status, str], new: tuple[Status, str], questions: set[str], expected: tuple[Status, str]
) -> None:
    before = result("ada", True, True, True, status=old[0], note=old[1])
    fresh = result("ada", True, True, True, status=new[0], note=new[1])
    merged = merge(before, fresh, questions)
    assert (merged.status, merged.note) == expected


def test_what_is_invalid_now_is_invalid_as_a_whole() -> None:
    now = result("ada", status="invalid", note="is not a notebook")
    assert merge(result("ada", True), now, {"q1"}) == now


def test_a_merged_result_says_where_the_other_questions_were_graded() -> None:
    here = replace(result("ada", True, True), machine={"python": "3.12"})
    merged = merge(result("ada", True, True), here, {"q1"})
    assert merged.machine == {"python": "3.12", "others_graded_on": {"python": "3.11"}}
    there = replace(result("ada", True, True), machine={"python": "3.13"})
    assert merge(merged, there, {"q1"}).machine == {"python": "3.13", "others_graded_on": {"python": "3.12"}}


def test_merging_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks q9"):
        merge(result("ada", True), result("ada", True), {"q1", "q9"})
    with pytest.raises(ValueError, match="got one of 'ben'"):
        merge(result("ada", True), result("ben", True), {"q1"})
