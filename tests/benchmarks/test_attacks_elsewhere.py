"""What counts as harm in another grader's run, and the translation into other graders' terms. No engine is used."""

from __future__ import annotations

import importlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.attacks import catalogue, table
from tests.attacks.catalogue import ATTACKS, CASES, CONTROLS, Attack

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
elsewhere = importlib.import_module("attacks_elsewhere")

FULL = {"q1": 3.0, "q2": 2.0}
OTTER, NBGRADER = elsewhere.GRADERS
TEST_FILE = """
from otter.test_files import test_case
OK_FORMAT = False

def apply_double(double, x):
    return double(x)

@test_case(name='doubles one', points=1, hidden=False)
def test_one(env):
    assert env["double"](1) == 2

MARK = 'secret'

@test_case(name='doubles two', points=2, hidden=True)
def test_two(env):
    assert env["double"](2) == 4
"""


def named(name: str) -> Attack:
    return next(case for case in CASES if case.name == name)


def record(q1: float | None = 0.0, **more: Any) -> dict[str, Any]:
    """A quiet run, in which the attacked question has so many points; None for no result at all."""
    quiet = {
        "hung": False,
        "exit": 0 if q1 is not None else 1,
        "points": None if q1 is None else {"q1": q1, "q2": 2.0},
        "said": "",
        "printed": "",
        "controls": False,
        "result bytes": 1000,
        "printed bytes": 1000,
        "left": {"files": [], "processes": [], "ipc": []},
        "touched": [],
        "disk": [10_000, 20],
        "out of memory": 0,
        "out of processes": 0,
    }
    return quiet | more


def left(**what: list[str]) -> dict[str, Any]:
    return {"left": {"files": [], "processes": [], "ipc": []} | what}


def harms(name: str, found: dict[str, Any]) -> list[str]:
    return list(elsewhere.harms(named(name), found, FULL))


# -------------------------------------------------------------------------------------------------- what is no harm


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case.name)
def test_a_run_in_which_nothing_is_seen_counts_against_nobody(case: Attack) -> None:
    """Not even where it ends without a result: that is its author's loss."""
    full = dict.fromkeys(["q1", "q2", "q3", "q4", "q5"], 3.0)
    quiet = record(min(elsewhere.worth(case, 3.0), 3.0))
    if "del double" not in case.code:
        quiet["points"] = {case.question: min(elsewhere.worth(case, 3.0), 3.0)}
    assert elsewhere.harms(case, quiet, full) == []
    if case.kind != "message":
        assert elsewhere.harms(case, record(None), full) == []


def test_points_of_a_right_answer_are_no_harm_though_the_kit_would_take_them() -> None:
    """A crash in a cell costs the author the question there; where it does not, nobody was deceived."""
    assert named("ends its process").deserves == 0.0
    assert harms("ends its process", record(3.0)) == []


def test_points_of_the_public_test_are_no_harm_where_the_answer_passes_it() -> None:
    assert named("patches builtins").deserves == 0.0
    assert harms("patches builtins", record(1.0)) == []
    assert harms("patches builtins", record(3.0)) == ["points"]


def test_a_test_source_that_a_grader_shows_in_any_case_is_no_leak() -> None:
    """Marks stand in the tests; only what the hunter has found counts."""
    assert harms("walks the disk", record(said="MARK = 'CANARY-test-0123abcd'\nLEAK []")) == []


def test_a_folder_that_the_grader_could_not_delete_because_it_was_killed_is_not_counted_twice() -> None:
    folder = left(files=["/tmp/tmpabc/autograder"])
    assert harms("signals its parent", record(None, exit=-9) | folder) == ["killed"]
    assert harms("makes a folder nobody can delete", record(3.0) | folder) == ["left"]


# ----------------------------------------------------------------------------------------------------- what is harm


@pytest.mark.parametrize(
    ("name", "found", "harm"),
    [
        ("patches the comparator", record(3.0), "points"),
        ("stops the clocks", record(3.0), "points"),
        ("walks the disk", record(said="AssertionError: LEAK [b'CANARY-test-0123abcd']"), "leaked"),
        ("leaves a daemon", record(3.0) | left(processes=["atk-daemon"]), "left"),
        ("uses magics", record(0.0) | left(files=["/tmp/atk-bang"]), "left"),
        ("leaves shared memory", record(3.0) | left(ipc=["shm 0x61746b"]), "left"),
        ("puts a link in place of its scratch folder", record(3.0, touched=["/tmp/notes"]), "left"),
        ("takes all memory", record(None, **{"out of memory": 1}), "starved"),
        ("forks without end", record(3.0, **{"out of processes": 7}), "starved"),
        ("fills the disk", record(3.0, disk=[640 * 2**20, 60]), "starved"),
        ("makes inodes without end", record(3.0, disk=[0, 100_000]), "starved"),
        ("loops for ever", record(None, hung=True, exit=None), "hung"),
        ("signals its parent", record(None, exit=-9), "killed"),
        ("sets limits of others", record(None, printed="OSError: [Errno 24] Too many open files"), "killed"),
        ("connects to the network", record(0.0), "reached"),
        ("prints without end", record(3.0, **{"result bytes": 200 * 2**20}), "said"),
        ("writes terminal codes", record(0.0, controls=True), "said"),
        ("writes half a character", record(None), "said"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_harm_that_was_seen_counts(name: str, found: dict[str, Any], harm: str) -> None:
    assert harms(name, found) == [harm]


def test_every_harm_has_words() -> None:
    """The table shows each harm that is counted."""
    everything = record(
        3.0,
        exit=-9,
        said="LEAK [b'CANARY-test-0123abcd']",
        controls=True,
        touched=["x"],
        **{"out of memory": 1},
    )
    assert set(harms("walks the disk", everything)) < set(elsewhere.HARMS)


# -------------------------------------------------------------------------------------------- what does not apply


def test_forged_frames_apply_nowhere_else() -> None:
    for case in ATTACKS:
        if case.kind == "forge":
            assert elsewhere.no_sense(case, OTTER)
            assert elsewhere.no_sense(case, NBGRADER)


def test_a_patched_check_applies_since_other_graders_run_the_same_checks() -> None:
    for name in ("patches the comparator", "patches the stopwatch", "blinds the recorder"):
        assert not elsewhere.no_sense(named(name), OTTER)
        assert not elsewhere.no_sense(named(name), NBGRADER)


def test_a_patched_judge_or_worker_does_not_apply() -> None:
    for name in ("patches the worker's answers", "patches the test case runner", "blinds the harness"):
        assert elsewhere.no_sense(named(name), OTTER)


def test_what_is_aimed_at_one_of_them_does_not_apply_to_the_other() -> None:
    assert elsewhere.no_sense(named("patches Otter"), NBGRADER)
    assert not elsewhere.no_sense(named("patches Otter"), OTTER)
    assert elsewhere.no_sense(named("claims nbgrader's points"), OTTER)
    assert not elsewhere.no_sense(named("claims nbgrader's points"), NBGRADER)


def test_names_that_are_left_out_stand_in_the_catalogue() -> None:
    names = {case.name for case in ATTACKS}
    assert set(elsewhere.NOT_ELSEWHERE) <= names
    assert all(set(reasons) <= names for reasons in elsewhere.NOT_IN.values())


def test_most_of_the_catalogue_applies_but_for_what_is_aimed_at_the_kits_own_processes() -> None:
    off_the_wire = [case for case in ATTACKS if case.kind != "forge"]
    for grader in elsewhere.GRADERS:
        others = [case for case in off_the_wire if elsewhere.no_sense(case, grader) != elsewhere.OWN_ROAD]
        assert len(others) >= 0.9 * len(off_the_wire)
        assert sum(not elsewhere.no_sense(case, grader) for case in others) >= 0.9 * len(others)


# ----------------------------------------------------------------------------------------- controls and the tables


def test_a_control_is_right_when_every_question_is() -> None:
    assert elsewhere.right(named("right"), record(3.0), FULL)
    assert elsewhere.right(named("wrong"), record(0.0), FULL)
    assert not elsewhere.right(named("wrong"), record(1.0), FULL)
    assert not elsewhere.right(named("crashes"), record(None), FULL)
    assert not elsewhere.right(named("crashes"), record(0.0, points={"q1": 0.0}), FULL)


def judged() -> Any:
    """The comparator was patched in Otter, not in nbgrader; nothing else was tried but two controls."""
    records = {
        OTTER: {"patches the comparator": record(3.0), "right": record(3.0)},
        NBGRADER: {"patches the comparator": record(1.0), "right": record(2.0)},
    }
    return elsewhere.judged(records, dict.fromkeys(elsewhere.SLUGS.values(), FULL))


def test_the_column_counts_what_applies_and_was_tried() -> None:
    assert table.column(judged()[OTTER])["patch"] == "0 of 1"
    assert table.column(judged()[NBGRADER])["patch"] == "1 of 1"
    assert table.column(judged()[OTTER])["forge"] == "–"
    assert table.column(judged()[NBGRADER])[""] == "**1 of 1**"


def test_the_summary_has_a_row_for_each_kind_and_each_harm() -> None:
    lines = list(elsewhere.summary(judged(), {"date": "today"}))
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 2 * 2 + len(table.KINDS) + 1 + len(elsewhere.HARMS)
    assert "| points that the answer is not worth | 1 | 0 |" in rows
    assert any(line.startswith("otter run: 1 of 1 controls are right") for line in lines)
    assert any(line.startswith("nbgrader autograde: 0 of 1 controls are right") for line in lines)


def test_the_table_of_the_threat_model_takes_their_columns() -> None:
    result = {"note": "", "questions": []}
    place = {"results": {f"{number:03}": result for number in range(len(CASES))}}
    found = dict.fromkeys(table.PLACES, place)
    lines = table.table(found, judged()).splitlines()
    assert lines[0] == f"| attack | root | user | container | {OTTER} | {NBGRADER} |"
    assert lines[2].endswith("| 0 of 1 | 1 of 1 |")
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert table.table(found).splitlines()[0] == "| attack | root | user | container |"


def test_what_is_kept_says_of_each_case_whether_it_was_blocked_or_why_it_was_not_tried() -> None:
    """The file that the threat model's table takes its last columns from."""
    kept = json.loads(elsewhere.KEPT.read_text())["verdicts"]
    assert set(kept) == set(elsewhere.GRADERS)
    controls = {case.name for case in CONTROLS}
    for verdicts in kept.values():
        for name, verdict in verdicts.items():
            if name in controls:
                assert type(verdict["right"]) is bool
            elif verdict["blocked"] is None:
                assert verdict["why"]
            else:
                assert verdict["blocked"] is not bool(verdict["harms"])


# ------------------------------------------------------------------------------------------------ the translation


def test_a_stock_zip_holds_otters_own_files_alone(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as bundle:
        for name in ("run_autograder", "run_otter.py", "setup.sh", "requirements.wheels/gradekit-1.whl"):
            bundle.writestr(name, "the kit's")
        for name in ("tests/gradekit.json", "tests/cells.json"):
            bundle.writestr(name, "{}")
        for name in ("otter_config.json", "tests/q1.py", "files/reference/week01.py"):
            bundle.writestr(name, "Otter's")
    elsewhere.stock_otter(tmp_path / "bundle.zip", tmp_path / "stock.zip")
    with zipfile.ZipFile(tmp_path / "stock.zip") as stock:
        assert sorted(stock.namelist()) == ["files/reference/week01.py", "otter_config.json", "tests/q1.py"]


def test_the_stock_tests_do_not_forbid_their_own_experiment() -> None:
    """Beside the student's code a pattern meets the experiment's name as well; a right answer would fail elsewhere."""
    source = (Path(__file__).parents[1] / "attacks/course/source/week03_counts/week03_counts.py").read_text()
    assert "apply_softmax" in source
    assert "*softmax*" in source
    assert "apply_softmax" not in elsewhere.adapted(source, elsewhere.COURSE_ADAPTED)


def test_test_cases_and_their_points_are_read_without_running_them() -> None:
    assert elsewhere.test_cases(TEST_FILE) == [("doubles one", 1.0), ("doubles two", 2.0)]


def notebook(*more: dict[str, Any]) -> dict[str, Any]:
    cells = [
        {"id": "otter-init", "cell_type": "code", "metadata": {}, "source": "import otter", "outputs": []},
        {"id": "q1-code-1", "cell_type": "code", "metadata": {}, "source": "double = lambda x: 2 * x", "outputs": []},
        {"id": "q1-check", "cell_type": "code", "metadata": {}, "source": ['grader.check("q1")'], "outputs": []},
    ]
    return {"cells": [*cells, *more], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def test_nbgrader_has_a_grading_cell_a_test_case_and_students_do_not_see_it() -> None:
    master = elsewhere.for_nbgrader(notebook(), {"q1": TEST_FILE}, master=True)
    handed_in = elsewhere.for_nbgrader(notebook(), {"q1": TEST_FILE}, master=False)
    for made in (master, handed_in):
        assert [cell["id"] for cell in made["cells"]] == ["q1-code-1", "q1-test-1", "q1-test-2"]
        assert [cell["metadata"]["nbgrader"].get("points") for cell in made["cells"]] == [None, 1.0, 2.0]
    assert "BEGIN HIDDEN TESTS" in master["cells"][1]["source"]
    assert "secret" not in json.dumps(handed_in)


@pytest.mark.parametrize(("answer", "passed"), [("double = lambda x: 2 * x", 2), ("double = lambda x: x + 1", 1)])
def test_the_grading_cells_run_the_same_tests(answer: str, passed: int) -> None:
    """The code that nbgrader runs, on the namespace of the notebook."""
    master = elsewhere.for_nbgrader(notebook(), {"q1": TEST_FILE}, master=True)
    namespace: dict[str, Any] = {}
    exec(answer, namespace)
    found = []
    for cell in master["cells"][1:]:
        try:
            exec(cell["source"], namespace)
            found.append(True)
        except AssertionError:
            found.append(False)
    assert found == [True, True][:passed] + [False] * (2 - passed)


def test_what_an_attack_writes_into_locked_cells_and_metadata_is_handed_in() -> None:
    attacked = notebook()
    catalogue._skip_the_tests(attacked | {"cells": [*attacked["cells"], attacked["cells"][0] | {"id": "otter-export"}]})
    attacked["cells"][2]["source"] = 'grader.check("q1")\nprint("all tests passed!")'
    made = elsewhere.for_nbgrader(attacked, {"q1": TEST_FILE}, master=False)
    assert made["cells"][1]["metadata"]["tags"] == ["skip-execution", "show"]
    assert "all tests passed!" in made["cells"][1]["source"]
