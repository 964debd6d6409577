"""Correctness runs on all cores, timing runs alone: a lease for each device, which ends with its holder."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from gradekit.build.make import build_week
from gradekit.course import Course
from gradekit.grade import lease
from gradekit.grade.batch import grade_batch
from gradekit.grade.bundle import Bundle, open_bundle
from gradekit.grade.engine import Terms
from gradekit.grade.submission import Submission

COURSE = Path(__file__).parents[1] / "attacks" / "course"
HOLD = """
import sys, time
from pathlib import Path
from gradekit.grade import lease
held = lease.take(Path(sys.argv[1]), sys.argv[2])
print(time.monotonic(), flush=True)
time.sleep(float(sys.argv[3]))
print(time.monotonic(), flush=True)
"""


def holder(folder: Path, device: str, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLD, str(folder), device, str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def begins(process: subprocess.Popen[str]) -> float:
    assert process.stdout is not None
    return float(process.stdout.readline())


def test_two_never_hold_it_at_once(tmp_path: Path) -> None:
    processes = [holder(tmp_path, "cpu", 0.3) for _ in range(3)]
    spans = sorted(tuple(map(float, process.communicate(timeout=100)[0].split())) for process in processes)
    assert all(later[0] >= earlier[1] for earlier, later in itertools.pairwise(spans))


def test_a_holder_that_is_killed_gives_it_back(tmp_path: Path) -> None:
    first = holder(tmp_path, "cpu", 100)
    begins(first)
    second = holder(tmp_path, "cpu", 0)
    time.sleep(0.5)
    killed = time.monotonic()
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert begins(second) >= killed
    second.communicate(timeout=100)


def test_each_device_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.close(lease.take(tmp_path, "cpu"))
    held = lease.take(tmp_path, "cpu")
    other = lease.take(tmp_path, "cuda")  # does not wait
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    another = lease.take(tmp_path, "cuda")
    for descriptor in (held, other, another):
        os.close(descriptor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cpu.lock", "cuda-1.lock", "cuda.lock"]


def test_all_commands_of_a_user_share_the_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert lease.folder() == lease.folder()
    assert lease.folder().stat().st_mode & 0o777 == 0o700


def test_a_link_in_the_place_of_the_leases_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f".gradekit-leases-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    os.close(lease.take(lease.folder(), "cpu"))
    assert not list((tmp_path / "elsewhere").iterdir())


# ------------------------------------------------------------------------------------------------------ at work


@pytest.fixture(scope="module")
def graded_by_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bundle, Path]]:
    """A week whose q1 is timed, and its solution."""
    week = Course(Path(shutil.copytree(COURSE, tmp_path_factory.mktemp("timed") / "course"))).week("2")
    build_week(week)
    with open_bundle(week.bundle) as bundle:
        yield bundle, week.solutions / week.notebook_name


def submissions(notebook: Path, folder: Path, count: int) -> list[Submission]:
    found = []
    for number in range(count):
        handed_in = nbformat.read(notebook, as_version=4)
        nbformat.write(handed_in, folder / f"s{number}.ipynb")
        found.append(Submission(f"s{number}", folder / f"s{number}.ipynb"))
    return found


@pytest.mark.timing
def test_waiting_costs_neither_the_questions_time_nor_the_submissions(
    graded_by_time: tuple[Bundle, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, notebook = graded_by_time
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (one,) = submissions(notebook, tmp_path, 1)
    grade_batch(bundle, [one], jobs=1, terms=Terms())  # which starts the fork server
    (undisturbed,) = grade_batch(bundle, [one], jobs=1, terms=Terms())
    seconds = 3 * undisturbed.seconds + 5
    neighbour = holder(lease.folder(), "cpu", 1.5 * seconds)
    try:
        begins(neighbour)
        started = time.monotonic()
        (result,) = grade_batch(bundle, [one], jobs=1, terms=Terms(seconds=seconds, question_s=seconds))
        assert time.monotonic() - started > seconds  # it has waited for longer than it is given
    finally:
        neighbour.kill()
        neighbour.communicate()
    assert result.status == undisturbed.status == "graded"
    assert [q.score for q in result.questions] == [q.score for q in undisturbed.questions]


@pytest.mark.timing
@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the kernel says who waits for a lock")
def test_two_judges_never_time_at_once(
    graded_by_time: tuple[Bundle, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both wait for one lock, and have it one after the other."""
    bundle, notebook = graded_by_time
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = lease.take(lease.folder(), "cpu")
    inode = f":{os.fstat(held).st_ino} "
    results: list[Any] = []
    both = submissions(notebook, tmp_path, 2)
    grading = threading.Thread(target=lambda: results.extend(grade_batch(bundle, both, jobs=2, terms=Terms())))
    grading.start()
    try:
        until = time.monotonic() + 120
        while (waiting := asking(inode)) < 2:
            assert time.monotonic() < until, f"{waiting} of 2 judges ask for the lease"
            time.sleep(0.05)
        assert results == []
    finally:
        os.close(held)
    grading.join(200)
    assert [result.status for result in results] == ["graded", "graded"]
    assert asking(inode) == 0
    os.close(lease.take(lease.folder(), "cpu"))  # each has given it back


def asking(inode: str) -> int:
    """How many wait for the lock of a file."""
    return sum("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())
