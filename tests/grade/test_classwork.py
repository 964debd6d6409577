"""Grading into a store: resuming, grading single questions again, and surviving whatever is killed."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from gradekit.course import Week
from gradekit.grade.bundle import Bundle
from gradekit.grade.classwork import grade_into
from gradekit.grade.engine import Terms, grade_submission
from gradekit.grade.judge import short_of
from gradekit.grade.result import Result
from gradekit.grade.store import Store
from gradekit.grade.submission import Submission, find_submissions

RUN = "from gradekit.cli import main; main()"


def write(folder: Path, name: str, notebook: Any, q1: str = "") -> Submission:
    notebook = copy.deepcopy(notebook)
    next(cell for cell in notebook.cells if cell.id == "q1-code-1").source += "\n" + q1
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return Submission(name, folder / f"{name}.ipynb")


def scores(results: list[Result]) -> dict[str, dict[str, float]]:
    return {result.submission: {q.name: q.score for q in result.questions} for result in results}


def test_resuming_leaves_out_what_is_there_and_the_same_under_other_names(
    bundle: Bundle, solution: Any, tmp_path: Path
) -> None:
    ada, ben = write(tmp_path, "ada", solution), write(tmp_path, "ben", solution, "def double(x):\n    return x + 1")
    with Store.open(tmp_path / "out") as store:
        assert grade_into(store, bundle, [ada, ben], Terms(), jobs=2) == 2
        seen: list[str] = []
        zoe = write(tmp_path, "zoe", solution)
        known = grade_into(
            store, bundle, [ada, ben, zoe], Terms(), jobs=2, resume=True, on_result=lambda r: seen.append(r.submission)
        )
        assert known == 0
        assert sorted(seen) == ["ada", "ben", "zoe"]
        ben = write(tmp_path, "ben", solution)
        assert grade_into(store, bundle, [ada, ben, zoe], Terms(), jobs=2, resume=True) == 0  # now the same as ada's
        assert scores(store.current())["ben"] == {"q1": 3.0, "q2": 2.0}


def test_a_question_that_is_graded_again_leaves_the_others(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    ada = write(tmp_path, "ada", solution)
    with Store.open(tmp_path / "out") as store:
        grade_into(store, bundle, [ada], Terms(), jobs=1)
        before = store.current()[0]
        grade_into(store, bundle, [ada], Terms(questions=frozenset({"q1"})), jobs=1)
        (after,) = store.current()
        assert grade_into(store, bundle, [ada], Terms(), jobs=1, resume=True) == 0
    assert scores([after]) == {"ada": {"q1": 3.0, "q2": 2.0}}
    assert after.questions[1] == before.questions[1]  # to the microsecond: it was not run again
    assert after.questions[0] != before.questions[0]


def test_one_question_of_what_was_handed_in_anew_or_never_graded_is_all_of_it(
    bundle: Bundle, solution: Any, tmp_path: Path
) -> None:
    """Else points of one notebook would be mixed with those of another, and `--resume` would take them for whole."""
    q2 = Terms(questions=frozenset({"q2"}))
    ada, zoe = write(tmp_path, "ada", solution, "def double(x):\n    return x + 1"), write(tmp_path, "zoe", solution)
    with Store.open(tmp_path / "out") as store:
        grade_into(store, bundle, [ada], Terms(), jobs=1)
        assert scores(store.current()) == {"ada": {"q1": 1.0, "q2": 2.0}}
        ada = write(tmp_path, "ada", solution, "# second try")
        assert grade_into(store, bundle, [ada, zoe], q2, jobs=1) == 2
        right = {"q1": 3.0, "q2": 2.0}
        assert scores(store.current()) == {"ada": right, "zoe": right}
        bob = write(tmp_path, "bob", solution)  # the same as zoe's
        assert grade_into(store, bundle, [ada, zoe, bob], Terms(), jobs=1, resume=True) == 0
        assert scores(store.current()) == {"ada": right, "zoe": right, "bob": right}


def test_isolation_that_is_required_must_be_one_that_there_is(tmp_path: Path, built_week: Week) -> None:
    handed_in = str(built_week.release / built_week.notebook_name)
    command = [sys.executable, "-c", RUN, "grade", str(built_week.bundle), handed_in, "-o", str(tmp_path / "out")]
    done = subprocess.run([*command, "--require-isolation", "all"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "expected one of jail, restricted, process, none" in done.stderr


def test_less_isolation_than_required_is_told_with_the_reasons() -> None:
    assert short_of("jail", {}, "jail") == short_of("process", {}, "none") == ""
    said = short_of("process", {"seccomp": "the kernel has none", "limits": "on"}, "jail")
    assert said == "isolation is 'process' here, 'jail' is required (seccomp: the kernel has none)"


def test_here_the_jail_is_to_be_had(bundle: Bundle, solution: Any, tmp_path: Path) -> None:
    ada = write(tmp_path, "ada", solution)
    with Store.open(tmp_path / "out") as store:
        grade_into(store, bundle, [ada], Terms(require="jail"), jobs=1)
        (result,) = store.current()
    assert result.machine["isolation"]["level"] == "jail"
    assert result.score == 5.0


def _tree(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for inner in found:
        with contextlib.suppress(OSError):  # it has just ended
            for task in os.listdir(f"/proc/{inner}/task"):
                found += map(int, Path(f"/proc/{inner}/task/{task}/children").read_text().split())
    return found


def test_a_worker_that_is_killed_again_and_again_in_one_cell_costs_nothing(
    bundle: Bundle, solution: Any, tmp_path: Path
) -> None:
    ada = write(tmp_path, "ada", solution, "import time, ctypes\nctypes.CDLL(None).prctl(15, b'victim')\ntime.sleep(1)")
    killed: set[int] = set()
    over = threading.Event()

    def kill() -> None:
        while len(killed) < 3 and not over.is_set():
            for pid in set(_tree(os.getpid())) - killed:
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text().strip() == "victim":
                        os.kill(pid, signal.SIGKILL)
                        killed.add(pid)
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        result = grade_submission(bundle, ada, Terms())
    finally:
        over.set()
        killer.join()
    assert (len(killed), result.status, result.note, result.score) == (3, "graded", "", 5.0)


@pytest.mark.parametrize("whom", ["everything", "one of them"])
def test_killed_at_random_moments_and_resumed_it_comes_to_the_same(
    built_week: Week, solution: Any, tmp_path: Path, whom: str
) -> None:
    """SIGKILL to the command itself, or to a fork server, judge or worker picked by lot, again and again."""
    handed_in = tmp_path / "in"
    handed_in.mkdir()
    for number in range(6):
        write(handed_in, f"s{number}", solution, f"# {number}" if number % 2 else f"def double(x): return x + {number}")
    command = [sys.executable, "-c", RUN, "grade", str(built_week.bundle), str(handed_in), "--resume", "-o"]
    undisturbed = tmp_path / "undisturbed"
    started = time.monotonic()
    subprocess.run([*command, str(undisturbed)], capture_output=True, check=True)
    took = time.monotonic() - started
    lots = random.Random(7)
    kills = 0
    for _ in range(4):
        run = subprocess.Popen([*command, str(tmp_path / "out")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(lots.uniform(0.1, 0.9) * took)
        if run.poll() is None:
            members = _tree(run.pid)
            victim = run.pid if whom == "everything" else lots.choice(members[1:] or members)
            try:
                os.kill(victim, signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                pass
        if whom == "one of them" and run.poll() is None:
            run.wait(200)
        else:
            run.kill()
            run.wait()
    assert kills > 0
    assert subprocess.run([*command, str(tmp_path / "out")], capture_output=True).returncode == 0
    with Store.open(tmp_path / "out") as store:
        found = scores(store.current())
    with Store.open(undisturbed) as store:
        assert found == scores(store.current())
    assert (tmp_path / "out" / "grades.csv").read_text() == (undisturbed / "grades.csv").read_text()
    assert len(find_submissions([handed_in])) == len(found)
