"""The fork server: one warm process that everything else is forked from.

It imports torch, IPython and what an assignment imports, once, and then forks on request: trusted children (a judge for
each submission) and jailed ones (a worker for a student's code). It has one thread, runs no operator and opens no
accelerator, so a fork is whole and costs milliseconds. It never holds a test, a reference or a submission.

What is asked of it are single datagrams of JSON over socket pairs (`client` is the other side), from processes that are
trusted; a jailed worker has no such connection. Whoever closes a connection, or dies, takes along what it asked for.
"""

import contextlib
import ctypes
import dataclasses
import gc
import importlib
import json
import math
import os
import platform
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from gradekit.sandbox import jail
from gradekit.sandbox.jail import kernel

MESSAGE = 64 * 1024
"""Bytes of a request or a reply, at most."""

FIRST_UID = 200_000
UIDS = 50_000
"""As root, every worker is a user of its own: nobody's, and never that of another worker that still runs."""

KEEPER_S = 10.0
"""Seconds that the keeper of a jail has to end it, before it is killed and the jail with it."""
GROUPS_S = 10.0
"""Seconds that the control groups of a jail have to become empty, when its keeper has ended."""

_Answer: TypeAlias = tuple[dict[str, Any], list[socket.socket]]

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_MADV_COLLAPSE = 25  # Linux 6.1
_HUGE = 2 * 2**20


def serve(control: socket.socket) -> NoReturn:
    """Answer requests until the control connection is closed; then end everything and this process."""
    gc.collect()
    gc.freeze()  # what is there stays where it is: children share it, and no collection of theirs touches it
    _collapse()
    with contextlib.suppress(OSError):  # what a keeper leaves that was itself killed comes here, and not to init
        kernel.call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = _Server()
    server.connect(control)
    while control in server.connections:
        server.turn()
    server.end_all()
    os._exit(0)


@dataclasses.dataclass(eq=False)
class _Child:
    """A process that was forked here, until nothing of it is left.

    spawning: a judge's own connection: what is asked for there ends with the judge. owner: the judge whose connection
    it was asked for on. The rest is of use while it is ended: waits: who is told when it is over; due: when it is
    killed, or killed harder; given_up: when its control groups are no longer waited for; handle: readable when it has
    ended; status: its exit status, -9 if it still ran.
    """

    pid: int
    jailed: bool
    owner: "_Child | None"
    spawning: socket.socket | None = None
    waits: socket.socket | None = None
    due: float = math.inf
    given_up: float = math.inf
    handle: int | None = None
    status: int | None = None
    reaped: bool = False


class _Server:
    def __init__(self) -> None:
        self.connections: dict[socket.socket, _Child | None] = {}  # and the judge whose it is
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, _Child] = {}
        self._asked: dict[int, socket.socket] = {}  # pid: the connection that it was asked for on
        self._ending: list[_Child] = []
        self._workers = 0

    def connect(self, connection: socket.socket, judge: _Child | None = None) -> None:
        self.connections[connection] = judge
        self._selector.register(connection, selectors.EVENT_READ)

    def turn(self) -> None:
        """Wait for what happens next: requests, which are answered, and ends, which are told to who waits for them."""
        for key, _ in self._selector.select(self._patience()):
            if isinstance(key.fileobj, socket.socket) and key.fileobj in self.connections:
                self._hear(key.fileobj)
        for child in list(self._ending):
            self._go_on_ending(child)

    def end_all(self) -> None:
        for connection in list(self.connections):
            self._disconnect(connection)
        while self._ending:
            self.turn()

    # ---- requests

    def _hear(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(MESSAGE)
        except OSError:
            data = b""
        if not data:
            self._disconnect(connection)
            return
        try:
            answer = self._answer(connection, json.loads(data))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}, []
        if answer is not None:
            _reply(connection, *answer)

    def _disconnect(self, connection: socket.socket) -> None:
        """What was asked for there ends."""
        self._selector.unregister(connection)
        self.connections.pop(connection)
        for pid in [pid for pid, asked in self._asked.items() if asked is connection]:
            self._end(pid)
        connection.close()

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> _Answer | None:
        """None if the reply comes later."""
        if request["ask"] == "run":
            return self._run(connection, request["entry"], request["task"])
        if request["ask"] == "worker":
            return self._worker(connection, request["policy"])
        if request["ask"] == "connect":
            here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.connect(here, self.connections[connection])
            return {}, [there]
        if request["ask"] == "end":
            if self._asked.get(request["pid"]) is not connection:
                return {"status": None}, []
            self._end(request["pid"], waits=connection, patience_s=request.get("patience_s", 0.0))
            return None
        raise ValueError(f"nothing is known of {request['ask']!r}")

    def _run(self, connection: socket.socket, entry: str, task: dict[str, Any]) -> _Answer:
        """Fork a trusted child, which calls `entry(task, its end of a stream, its connection to this server)`."""
        ours, theirs = socket.socketpair()
        spawning, spawner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            try:
                _die_with_parent()
                for other in [*self.connections, ours, spawning]:
                    other.close()
                for handle in [child.handle for child in self._ending if child.handle is not None]:
                    os.close(handle)
                self._selector.close()
                module, _, name = entry.partition(":")
                getattr(importlib.import_module(module), name)(task, theirs, spawner)
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        for other in (theirs, spawner):
            other.close()
        child = self._take_in(_Child(pid, False, self.connections[connection], spawning), connection)
        self.connect(spawning, child)
        return {"pid": pid}, [ours]

    def _worker(self, connection: socket.socket, policy: dict[str, Any]) -> _Answer:
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
        self._take_in(_Child(pid, True, self.connections[connection]), connection)
        return {"pid": pid}, [ours]

    def _take_in(self, child: _Child, connection: socket.socket) -> _Child:
        self._children[child.pid], self._asked[child.pid] = child, connection
        return child

    # ---- ends: nobody else waits while a process is on its way out

    def _end(self, pid: int, *, waits: socket.socket | None = None, patience_s: float = 0.0) -> None:
        """Begin to end a child, and tell `waits` when nothing of it, or of what it has asked for, is left.

        patience_s: for a worker that has hung up: so long it may take to end by itself.
        """
        child = self._children[pid]
        del self._asked[pid]
        child.waits, child.due = waits, time.monotonic() + patience_s
        with contextlib.suppress(OSError, AttributeError):  # macOS, and Linux before 5.3: it is looked for in turns
            child.handle = os.pidfd_open(pid)
            self._selector.register(child.handle, selectors.EVENT_READ)
        self._ending.append(child)
        if child.spawning in self.connections:
            self._disconnect(child.spawning)

    def _go_on_ending(self, child: _Child) -> None:
        now = time.monotonic()
        if not child.reaped:
            self._reap(child)
        if not child.reaped:
            if now >= child.due:
                os.kill(child.pid, signal.SIGKILL if child.status is not None or not child.jailed else signal.SIGTERM)
                child.status = -signal.SIGKILL
                child.due = now + KEEPER_S  # a keeper has so long to end its jail
            return
        child.given_up = min(child.given_up, now + GROUPS_S)
        strays, cleared = self._strays(), not child.jailed or jail.clear(child.pid)
        if (strays or not cleared) and now < child.given_up:
            return
        if any(other.owner is child for other in self._ending):
            return
        self._ending.remove(child)
        del self._children[child.pid]
        if child.waits in self.connections:
            _reply(child.waits, {"status": child.status}, [])

    def _reap(self, child: _Child) -> None:
        try:
            found, status = os.waitpid(child.pid, os.WNOHANG)
        except ChildProcessError:
            found, status = child.pid, signal.SIGKILL
        if not found:
            return
        child.reaped = True
        if child.status is None:
            child.status = os.waitstatus_to_exitcode(status)
        if child.handle is not None:
            self._selector.unregister(child.handle)
            os.close(child.handle)
            child.handle = None

    def _strays(self) -> bool:
        """Kill what is left of a child that has ended: of a keeper that was killed, say; whether there was any."""
        found = False
        with contextlib.suppress(OSError):
            for pid in map(int, Path("/proc/thread-self/children").read_text().split()):
                if pid not in self._children:
                    found = True
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, os.WNOHANG)
        return found

    def _patience(self) -> float | None:
        """Seconds until there is something to do even if nothing happens."""
        if not self._ending:
            return None
        if any(child.reaped or child.handle is None for child in self._ending):
            return 0.002
        return max(0.0, min(child.due for child in self._ending) - time.monotonic())


def _reply(connection: socket.socket, reply: dict[str, Any], descriptors: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        socket.send_fds(connection, [json.dumps(reply).encode()], [d.fileno() for d in descriptors])
    for descriptor in descriptors:
        descriptor.close()


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
