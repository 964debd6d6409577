"""The time of a call, as the judge takes it from outside."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from gradekit.sandbox.client import Server
from gradekit.sandbox.scratch import remove
from gradekit.sandbox.subject import Worker, WorkerSubject, _Reading, scratch_root

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are jailed on Linux")

X = {"x": torch.ones(3)}

CREW = """
import mmap
flags = torch.frombuffer(mmap.mmap(-1, 64), dtype=torch.int64)
def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
for n in range(3):
    if os.fork() == 0:
        while True:
            if flags[n] == 1:
                spin(0.1)
                flags[n] = 0
            time.sleep(0.001)
def f(x):
    flags[:3] = 1
    while flags[:3].any():
        time.sleep(0.001)
    return x
"""


@pytest.fixture
def student() -> Iterator[Callable[[str], WorkerSubject]]:
    server, root = Server.start(["gradekit.sandbox.worker"]), scratch_root()
    made: list[Worker] = []

    def having(source: str) -> WorkerSubject:
        worker = Worker(server.connection, root / f"subject-{time.monotonic_ns()}", None, memory_bytes=2**33)
        worker.deadline = time.monotonic() + 100
        made.append(worker)
        assert worker.ask({"ask": "cell", "source": "import torch, os, time\n" + source})["error"] == ""
        return WorkerSubject(worker)

    yield having
    for worker in made:
        worker.end()
    server.close()
    remove(root)


def answer(f: Any, x: Any) -> Any:
    return f(x)


def test_work_that_children_share_counts_as_the_work_of_one(student: Any) -> None:
    subject = student(CREW)
    subject.call(answer, X, timed=True)
    assert subject.call(answer, X, timed=True).seconds >= 0.3  # three times 0.1 s of one processor's time


def test_work_of_a_child_that_has_ended_counts(student: Any) -> None:
    code = """
import os
def f(x):
    child = os.fork()
    if child == 0:
        while time.process_time() < 0.4:
            pass
        os._exit(0)
    os.waitpid(child, 0)
    return x
"""
    subject = student(code)
    assert subject.call(answer, X).processor_s >= 0.3


def test_where_nobody_knows_what_a_worker_did_all_of_it_was_work(student: Any, monkeypatch: Any) -> None:
    subject = student("def f(x):\n    time.sleep(0.2)\n    return x")
    asleep = subject.call(answer, X)
    assert asleep.processor_s == asleep.seconds / 2  # since some may have been missed
    monkeypatch.setattr(type(subject.worker._seen), "now", lambda seen: None)
    unknown = subject.call(answer, X)
    assert unknown.processor_s == unknown.seconds >= 0.2


def test_sleep_counts_as_time(student: Any) -> None:
    assert student("def f(x):\n    time.sleep(0.2)\n    return x").call(answer, X, timed=True).seconds >= 0.2


def test_waiting_for_other_programs_is_taken_off_but_not_beside_a_child() -> None:
    before = _Reading(own=5, waited=100)
    assert _Reading(own=25, waited=140).since(before) == (20, 40)
    assert _Reading(own=25, waited=140, helpers={7: 3}).since(before) == (23, 0)
    assert _Reading(own=25, waited=140).since(_Reading(own=5, waited=100, helpers={7: 3})) == (20, 0)
    assert _Reading(own=25, waited=90, helpers={7: 9}).since(_Reading(own=5, waited=100, helpers={7: 3})) == (26, 0)
    # one that has ended and was waited for counts with all that it did since the first reading, and not with more
    assert _Reading(own=25, ended=50, waited=140).since(before) == (70, 0)
    assert _Reading(own=25, ended=50, waited=140).since(_Reading(own=5, waited=100, helpers={7: 3})) == (67, 0)
