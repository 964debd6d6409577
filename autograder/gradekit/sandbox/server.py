"""The fork server: one warm process that everything else is forked from.

It imports torch, IPython and what an assignment imports, once, and then forks on request: trusted children (a judge for
each submission) and jailed ones (a worker for a student's code). It has one thread, runs no operator and opens no
accelerator, so a fork is whole and costs milliseconds. It never holds a test, a reference or a submission.

What is asked of it are single datagrams of JSON over socket pairs (`client` is the other side), from processes that are
trusted; a jailed worker has no such connection. Whoever closes a connection, or dies, takes along what it asked for.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import platform
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from gradekit.sandbox import jail

MESSAGE = 64 * 1024
"""Bytes of a request or a reply, at most."""

FIRST_UID = 200_000
UIDS = 50_000
"""As root, every worker is a user of its own: nobody's, and never that of another worker that still runs."""

_PR_SET_PDEATHSIG = 1
_MADV_COLLAPSE = 25  # Linux 6.1
_HUGE = 2 * 2**20


def serve(control: socket.socket) -> NoReturn:
    """Answer requests until the control connection is closed; then end everything and this process."""
    gc.collect()
    gc.freeze()  # what is there stays where it is: children share it, and no collection of theirs touches it
    _collapse()
    server = _Server()
    server.connect(control)
    while server.connections:
        server.turn()
        if control not in server.connections:
            break
    server.end_all()
    os._exit(0)


class _Server:
    def __init__(self) -> None:
        self.connections: dict[socket.socket, dict[int, Callable[[int], int]]] = {}  # what each asked for: pid -> end
        self._selector = selectors.DefaultSelector()
        self._workers = 0

    def connect(self, connection: socket.socket) -> None:
        self.connections[connection] = {}
        self._selector.register(connection, selectors.EVENT_READ)

    def turn(self) -> None:
        """Wait for requests and answer them."""
        for key, _ in self._selector.select():
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            try:
                data = connection.recv(MESSAGE)
            except OSError:
                data = b""
            if not data:
                self._disconnect(connection)
                continue
            try:
                reply, descriptors = self._answer(connection, json.loads(data))
            except Exception as error:
                reply, descriptors = {"error": f"{type(error).__name__}: {error}"[:500]}, []
            with contextlib.suppress(OSError):
                socket.send_fds(connection, [json.dumps(reply).encode()], [d.fileno() for d in descriptors])
            for descriptor in descriptors:
                descriptor.close()

    def end_all(self) -> None:
        for connection in list(self.connections):
            self._disconnect(connection)

    def _disconnect(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        for pid, end in self.connections.pop(connection).items():
            end(pid)
        connection.close()

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> tuple[dict[str, Any], list[socket.socket]]:
        if request["ask"] == "run":
            return self._run(connection, request["entry"], request["task"])
        if request["ask"] == "worker":
            return self._worker(connection, request["policy"])
        if request["ask"] == "end":
            end = self.connections[connection].pop(request["pid"], None)
            if end is _end_worker:
                return {"status": _end_worker(request["pid"], request["patience_s"])}, []
            return {"status": None if end is None else end(request["pid"])}, []
        raise ValueError(f"nothing is known of {request['ask']!r}")

    def _run(
        self, connection: socket.socket, entry: str, task: dict[str, Any]
    ) -> tuple[dict[str, Any], list[socket.socket]]:
        """Fork a trusted child, which calls `entry(task, its end of a stream, its connection to this server)`."""
        ours, theirs = socket.socketpair()
        spawning, spawner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            try:
                _die_with_parent()
                for other in [*self.connections, ours, spawning]:
                    other.close()
                self._selector.close()
                module, _, name = entry.partition(":")
                getattr(importlib.import_module(module), name)(task, theirs, spawner)
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        for other in (theirs, spawner):
            other.close()
        self.connect(spawning)
        self.connections[connection][pid] = _end_child
        return {"pid": pid}, [ours]

    def _worker(self, connection: socket.socket, policy: dict[str, Any]) -> tuple[dict[str, Any], list[socket.socket]]:
        from gradekit.sandbox import worker

        self._workers += 1
        ours, theirs = socket.socketpair()
        described = jail.Policy(
            scratch=Path(policy["scratch"]),
            readable=tuple(map(Path, policy["readable"])),
            memory_bytes=policy["memory_bytes"],
            accelerator=policy["accelerator"],
            uid=FIRST_UID + self._workers % UIDS if os.geteuid() == 0 else None,
            keep=(theirs.fileno(),),
        )
        pid = jail.spawn(described, lambda isolation: worker.work(theirs, isolation, described))
        theirs.close()
        self.connections[connection][pid] = _end_worker
        return {"pid": pid}, [ours]


def _end_child(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return _status(pid)


def _end_worker(pid: int, patience_s: float = 0.0) -> int:
    """Its exit status if it ends by itself within so many seconds, else it is killed."""
    until = time.monotonic() + patience_s
    while not (found := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < until:
        time.sleep(0.002)
    jail.kill(pid)
    return os.waitstatus_to_exitcode(found[1]) if found[0] else -signal.SIGKILL


def _status(pid: int) -> int:
    with contextlib.suppress(ChildProcessError):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return -signal.SIGKILL


def _collapse() -> None:
    """Put what was loaded into huge pages, where the kernel can: a fork copies a page table, and so has less to copy.

    With torch and IPython loaded that is 5 ms a fork and 7 ms for the child's end, where it was 20 and 20 (benchmarks/
    throughput.py). What a child writes to is still copied in small pages, so it has no more memory of its own.
    """
    if sys.platform != "linux":
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, access, _, _, inode, *name = line.split(maxsplit=5)
        if access != "rw-p" or inode != "0" or name not in ([], ["[heap]"]):
            continue
        first, end = (int(address, 16) for address in span.split("-"))
        for address in range(-(-first // _HUGE) * _HUGE, end - _HUGE + 1, _HUGE):
            madvise(address, _HUGE, _MADV_COLLAPSE)  # refused where nothing is there yet, or by an older kernel


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> NoReturn:
    """`python -m gradekit.sandbox.server DESCRIPTOR MODULE...`: import the modules, then serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    platform.processor()  # asks another program, once: a judge, which asks again, may start none
    os.environ["MPLBACKEND"] = "Agg"  # before matplotlib is imported: there is no screen
    gc.disable()  # there is nothing to be found while everything is only made
    for name in sys.argv[2:]:
        with contextlib.suppress(ImportError):  # what an assignment imports may not be there: its cells will say so
            importlib.import_module(name)
    gc.enable()
    serve(control)


if __name__ == "__main__":
    main()
