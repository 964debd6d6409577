"""A counted call in a twin of a worker: what it may do, and what the kernel says of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gradekit.check import CheckFailed
from gradekit.sandbox.client import Server
from gradekit.sandbox.guard import twin
from gradekit.sandbox.scratch import remove
from gradekit.sandbox.subject import Worker, WorkerSubject, scratch_root

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are jailed on Linux")

X = {"x": torch.ones(3)}
MB = 2**20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server.start(["gradekit.sandbox.worker", "sklearn.cluster", "scipy.linalg"])
    yield started
    started.close()


@pytest.fixture
def student(server: Server) -> Iterator[Callable[[str], WorkerSubject]]:
    made: list[Worker] = []
    root = scratch_root()

    def having(source: str) -> WorkerSubject:
        worker = Worker(server.connection, root / f"guard-{time.monotonic_ns()}", None, memory_bytes=2**33)
        worker.deadline = time.monotonic() + 100
        made.append(worker)
        assert worker.ask({"ask": "cell", "source": "import torch, os, time, threading\n" + source})["error"] == ""
        return WorkerSubject(worker)

    yield having
    for worker in made:
        worker.end()
    remove(root)


def answer(f: Any, x: Any) -> Any:
    return f(x)


def test_libraries_that_use_threads_do_without(student: Any) -> None:
    """OpenBLAS would wait for ever for threads that it cannot start."""
    subject = student("""
import numpy as np, scipy.linalg, sklearn.cluster
before = np.random.rand(600, 600) @ np.random.rand(600, 600)
def f(x):
    np.random.rand(600, 600) @ np.random.rand(600, 600)
    scipy.linalg.svd(np.random.rand(200, 200))
    sklearn.cluster.KMeans(3, n_init=1).fit(np.random.rand(2000, 2))
    w = torch.randn(300, 300, requires_grad=True)
    (w @ w).sum().backward()
    return x + 1
""")
    subject.worker.deadline = time.monotonic() + 60
    with subject.guarded(answer, ("*softmax*",)):
        assert subject.call(answer, X, record=True).outputs.tolist() == [2, 2, 2]


def test_a_thread_that_waits_costs_nothing(student: Any) -> None:
    """As a progress bar's, or a pool's."""
    subject = student("threading.Thread(target=threading.Event().wait, daemon=True).start()\ndef f(x): return x + 1")
    with subject.guarded(answer, ("*softmax*",)):
        assert subject.call(answer, X, record=True).outputs.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "start", ["threading.Thread(target=print).start()", "os.fork() or os._exit(0)", "torch.multiprocessing.Pool(1)"]
)
def test_neither_thread_nor_process_can_be_started(student: Any, start: str) -> None:
    subject = student(f"def f(x):\n    {start}\n    return x")
    with pytest.raises(CheckFailed, match="one process and one thread"), subject.guarded(answer, ("*softmax*",)):
        subject.call(answer, X)


def test_what_happens_in_it_is_gone_afterwards(student: Any) -> None:
    subject = student("seen = []\ndef f(x):\n    seen.append(1)\n    return torch.tensor(len(seen))")
    assert subject.call(answer, X).outputs == 1
    with subject.guarded(answer, ("*softmax*",)):
        assert [int(subject.call(answer, X).outputs) for _ in range(2)] == [2, 3]
    assert subject.call(answer, X).outputs == 2


def test_a_failure_in_it_leaves_the_worker_as_it_was(student: Any) -> None:
    subject = student("def f(x):\n    raise ValueError('oops')\ndef g(x): return x")
    for _ in range(2):
        with pytest.raises(CheckFailed, match="oops"), subject.guarded(answer, ("*softmax*",)):
            subject.call(answer, X)
    subject.worker.ask({"ask": "cell", "source": "f = g"})
    assert subject.call(answer, X).outputs.tolist() == [1, 1, 1]
    assert subject.worker.processes() == []


def test_what_the_notebook_has_started_stands_still_meanwhile(student: Any) -> None:
    subject = student("""
import mmap
beats = torch.frombuffer(mmap.mmap(-1, 8), dtype=torch.int64)
if os.fork() == 0:
    while True:
        beats += 1
        time.sleep(0.001)
def f(x):
    before = int(beats[0])
    time.sleep(0.2)
    return torch.tensor(int(beats[0]) - before)
""")
    assert subject.call(answer, X).outputs > 0
    with subject.guarded(answer, ("*softmax*",)):
        assert subject.call(answer, X).outputs == 0
    assert subject.call(answer, X).outputs > 0


def test_a_twin_that_is_killed_is_told_at_once(student: Any) -> None:
    subject = student("def f(x):\n    time.sleep(50)")
    started = time.monotonic()

    def call_and_kill() -> None:
        with subject.guarded(answer, ("*softmax*",)):
            threading.Timer(0.3, os.kill, (subject.worker.pid, signal.SIGKILL)).start()
            subject.call(answer, X)

    with pytest.raises(CheckFailed, match="SIGKILL"):
        call_and_kill()
    assert subject.worker.killed
    assert time.monotonic() - started < 20


def test_a_twin_that_overruns_its_time_is_no_killed_one(student: Any) -> None:
    subject = student("def f(x):\n    while True: pass")
    subject.worker.deadline = time.monotonic() + 1
    with pytest.raises(CheckFailed, match="did not finish in time"), subject.guarded(answer, ("*softmax*",)):
        subject.call(answer, X)
    assert not subject.worker.killed


def test_the_kernel_says_what_a_call_holds(student: Any) -> None:
    subject = student("""
def nothing(x): return x + 1
def much(x): return (torch.ones(20 * 2**20) + 1)[:3].clone()
def f(x): return which(x)
""")
    found = {}
    for which in ("nothing", "much"):
        subject.worker.ask({"ask": "cell", "source": f"which = {which}"})
        subject.call(answer, X)
        found[which] = subject.resident(answer, X)
    assert found["nothing"][0] < MB
    assert 150 * MB < found["much"][0] < 170 * MB  # two of 80 MiB at once
    assert found["much"][1] < MB


def test_what_was_given_back_before_the_call_is_not_the_calls(student: Any) -> None:
    subject = student("""
held = [bytearray(3000) for _ in range(40_000)]  # on the heap, between what stays
stays = held[::100]
del held
def f(x): return x + 1
""")
    subject.call(answer, X)
    peak, _ = subject.resident(answer, X)
    assert peak < 5 * MB


def test_nor_is_what_nobody_had_collected_before_the_fork(student: Any) -> None:
    """A failed test leaves its frames in a cycle, with all that they hold; a collection may come in the twin."""
    subject = student("""
import gc, os
class Cycle:
    def __init__(self):
        self.itself, self.held = self, [str(number) for number in range(400_000)]
def f(x): return x + 1
os.register_at_fork(after_in_child=gc.collect)
gc.disable()
for _ in range(1):
    Cycle()
""")
    subject.call(answer, X)
    peak, _ = subject.resident(answer, X)
    assert peak < 5 * MB


def test_what_is_kept_for_the_backward_pass_is_told_apart(student: Any) -> None:
    subject = student("def f(x):\n    return (x.requires_grad_().expand(2**20, 3) ** 2).exp().sum()")
    peak, kept = subject.resident(answer, X)
    assert 11 * MB < kept <= peak


def test_a_worker_that_answers_for_its_twin_is_not_believed(student: Any) -> None:
    """The request is answered by the process of the cells, which forks nothing."""
    subject = student("""
from gradekit.sandbox import worker
worker._Served._twin = lambda self, request: {"text": "{}", "proof": b""}
def f(x): return x
""")
    with pytest.raises(CheckFailed, match="changes the code that counts"), subject.guarded(answer, ("*softmax*",)):
        subject.call(answer, X)


def test_the_twin_has_one_thread_and_may_start_none(student: Any) -> None:
    subject = student("threading.Thread(target=threading.Event().wait, daemon=True).start()\ndef f(x): return x")
    with twin(subject.worker, answer) as other:
        status = Path(f"/proc/{other.pid}/status").read_text()
        limits = Path(f"/proc/{other.pid}/limits").read_text()
        other.leave()
    assert "\nThreads:\t1\n" in status
    assert ["0", "0"] in [line.split()[2:4] for line in limits.splitlines() if line.startswith("Max processes")]
