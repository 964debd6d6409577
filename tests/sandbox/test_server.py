"""The fork server: whoever asks for an end hears of it when nothing is left, and nobody else waits for that."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradekit.sandbox.client import Connection, Server

IDLE, WITH_WORKERS = "tests.sandbox.judges:idle", "tests.sandbox.judges:with_workers"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server.start(("gradekit.sandbox.worker", "tests.sandbox.judges"))
    yield started
    started.close()


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("scratch")
    for folder in (made, *made.parents):
        if folder.name.startswith("pytest-"):
            folder.chmod(0o711)  # a worker is another user, and passes through
    made.chmod(0o711)
    return made


def below(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):  # it has just ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *below(child)]
    return found


def groups_of(server: Server) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/gradekit-{server.process.pid}-*"))


def judge(connection: Connection, scratch: Path, workers: int) -> int:
    pid, stream = connection.run(WITH_WORKERS, {"scratch": str(scratch), "workers": workers})
    with stream:
        assert stream.recv(5) == b"ready"
    return pid


def holds(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def test_the_end_of_a_judge_is_told_when_its_workers_are_gone(server: Server, scratch: Path) -> None:
    for _ in range(5):
        with server.connection.another() as connection:
            pid = judge(connection, scratch, workers=2)
            assert len(below(server.process.pid)) == 5  # two keepers, and what they keep
            assert connection.end(pid) == -signal.SIGKILL
            assert below(server.process.pid) == []
            assert groups_of(server) == []


def test_a_judge_that_has_ended_takes_its_workers_along(server: Server, scratch: Path) -> None:
    with server.connection.another() as connection:
        pid = judge(connection, scratch, workers=1)
        os.kill(pid, signal.SIGTERM)
        assert holds(lambda: below(server.process.pid) == [pid])  # until somebody asks how it ended
        assert connection.end(pid) == -signal.SIGTERM
    assert below(server.process.pid) == []


def test_a_connection_that_is_closed_takes_along_what_was_asked_for_there(server: Server, scratch: Path) -> None:
    with server.connection.another() as connection, server.connection.another() as other:
        kept, stream = other.run(IDLE, {})
        assert stream.recv(5) == b"ready"
        judge(connection, scratch, workers=1)
        connection.close()
        assert holds(lambda: below(server.process.pid) == [kept])
        stream.close()
        other.end(kept)


def test_nobody_waits_for_the_end_of_anothers_process(server: Server, scratch: Path) -> None:
    """One that may take a second to end by itself, while others are asked for and ended."""
    with server.connection.another() as connection, server.connection.another() as other:
        (scratch / "slow").mkdir()
        slow, stream = other.worker(scratch / "slow", memory_bytes=2**30)
        stream.recv(1)
        other._socket.sendall(f'{{"ask": "end", "pid": {slow}, "patience_s": 3.0}}'.encode())
        started = time.monotonic()
        pid, idle = connection.run(IDLE, {})
        assert idle.recv(5) == b"ready"
        assert connection.end(pid) == -signal.SIGKILL
        assert time.monotonic() - started < 2.5
        other._socket.settimeout(30)
        assert other._socket.recv(100) == b'{"status": -9}'
        assert time.monotonic() - started > 2.5
        stream.close()
        idle.close()


def test_a_worker_that_hangs_up_is_given_time_to_end_by_itself(server: Server, scratch: Path) -> None:
    with server.connection.another() as connection:
        for number, (hang_up, status) in enumerate({True: 0, False: -9}.items()):
            (scratch / str(number)).mkdir()
            pid, stream = connection.worker(scratch / str(number), memory_bytes=2**30)
            stream.recv(1)
            if hang_up:
                stream.close()
            assert connection.end(pid, patience_s=10.0 if hang_up else 0.0) == status
            stream.close()


def test_a_keeper_that_is_killed_leaves_nothing(server: Server, scratch: Path) -> None:
    with server.connection.another() as connection:
        pid = judge(connection, scratch, workers=2)
        (keeper, _, *_) = (p for p in below(server.process.pid) if p != pid)
        os.kill(keeper, signal.SIGKILL)
        connection.end(pid)
        assert below(server.process.pid) == []
        assert groups_of(server) == []


def test_an_orphan_comes_to_the_server_and_is_ended(server: Server) -> None:
    with server.connection.another() as connection:
        pid, stream = connection.run("tests.sandbox.judges:with_an_orphan", {})
        assert stream.recv(5) == b"ready"
        there = below(server.process.pid)
        connection.end(pid)
        assert len(there) == 2
        assert not [pid for pid in there if Path(f"/proc/{pid}").exists()]
        stream.close()


def test_what_is_not_ones_own_cannot_be_ended(server: Server) -> None:
    with server.connection.another() as connection, server.connection.another() as other:
        pid, stream = connection.run(IDLE, {})
        assert stream.recv(5) == b"ready"
        assert other.end(pid) is None
        assert connection.end(pid) == -signal.SIGKILL
        stream.close()


def test_the_end_of_the_server_is_the_end_of_everything(scratch: Path) -> None:
    started = Server.start(("gradekit.sandbox.worker", "tests.sandbox.judges"))
    judge(started.connection, scratch, workers=3)
    there = below(started.process.pid)
    started.close()
    assert len(there) == 7
    assert not [pid for pid in there if Path(f"/proc/{pid}").exists()]
    assert groups_of(started) == []


def test_a_server_that_is_not_used_is_not_waited_for() -> None:
    started = time.monotonic()
    Server.start(("gradekit.sandbox.worker",)).close()
    assert time.monotonic() - started < 1.0
