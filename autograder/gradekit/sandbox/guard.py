"""A counted call, guarded by the judge: what is forbidden is not to be had, and nothing else runs beside it.

It runs in a twin: a copy of the worker's process that answers in its place until the judge lets it go, and is not used
again. Neither of two means asks the student's process to be honest:

- the twin's sentry (see `sentry`) says with a keyed digest that the forbidden operators are denied, before any input is
  sent, and that the harness is what it was before the first cell;
- the kernel. A twin starts with one thread, and may start neither process nor thread (RLIMIT_NPROC, read from /proc);
  the worker, all its threads, and all processes that the notebook has started stand still meanwhile (SIGSTOP); and what
  the twin's memory grows to is read from /proc.

A fork and the end of it take 15 ms, once a check. On a GPU there is no twin, since CUDA survives no fork, and a counted
call is not guarded.
"""

import ast
import contextlib
import dataclasses
import hmac
import os
import secrets
import signal
import time
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradekit.check.failure import CheckFailed
from gradekit.sandbox import sentry

if TYPE_CHECKING:
    from gradekit.sandbox.subject import Worker

STANDSTILL_S = 2.0
"""Seconds within which a process that is stopped stands still."""

LEAVES_S = 0.05
"""Seconds that a twin has to end by itself."""

_REFUSED_BY_THE_KERNEL = ("can't start new thread", "Resource temporarily unavailable")
ONE_PROCESS = "a question that counts what your code does is answered in one process and one thread"


@contextlib.contextmanager
def guarded(worker: "Worker", experiment: types.FunctionType, forbid: tuple[str, ...]) -> Iterator[None]:
    """Inside, calls on the worker are guarded. Raises CheckFailed if the code that counts was changed, if what is
    forbidden was called, or if the notebook's processes cannot be stopped.
    """
    if not worker.can_fork:
        yield
        return
    failed: CheckFailed | None = None
    told: Mapping[str, Any] = {}
    with twin(worker, experiment, forbid) as other:
        try:
            yield
        except CheckFailed as failure:
            failed = failure
            if any(words in str(failure) for words in _REFUSED_BY_THE_KERNEL):
                failed = CheckFailed(f"{failure}. {ONE_PROCESS.capitalize()}")
        if not worker.lost:
            told = other.leave()
    if failed is None or "forbids" not in str(failed):
        _refuse(told)
    if failed is not None:
        raise failed


def _refuse(told: Mapping[str, Any]) -> None:
    """Raise CheckFailed for what a sentry has seen, whatever else has failed: that is the cause."""
    _refuse_changed(told)
    for name in told.get("denied", ()):
        raise CheckFailed(f"it calls {name}, which this question forbids: write it yourself")


class Twin:
    """A copy of a worker's process that answers in its place, as `pid` on this side."""

    def __init__(self, worker: "Worker", pid: int) -> None:
        self._worker, self.pid = worker, pid

    def memory(self) -> "Memory":
        return Memory.of(self.pid)

    def trim(self) -> None:
        """Let it give back what it holds of freed memory."""
        _tell(self._worker, "sentry", "trim")

    def leave(self) -> dict[str, Any]:
        """It ends; what its sentry says at last."""
        return {} if self._worker.lost else _tell(self._worker, "leave", "tell")


@contextlib.contextmanager
def twin(worker: "Worker", experiment: types.FunctionType, forbid: tuple[str, ...] = ()) -> Iterator[Twin]:
    """Inside, a twin answers, to which nothing that is forbidden is to be had. It is to leave before the end."""
    operators = sentry.to_deny(forbid, experiment)
    before = set(worker.processes())
    told = _tell(
        worker,
        "twin",
        "arm",
        operators=[list(pair) for pair in operators],
        forbid=list(forbid),
        names=sentry.names_of(experiment),
    )
    made = [pid for pid in worker.processes() if pid not in before and _number_within(pid) == told["pid"]]
    if len(made) != 1:
        raise CheckFailed(ONE_PROCESS)
    pid = made[0]
    with _still([worker.pid, *(other for other in worker.processes() if other != pid)]), worker.answered_by(pid):
        try:
            _refuse_changed(told)
            if told["what"] != sentry.digest_of(operators):
                raise CheckFailed(_changed([]))
            if not _is_alone(pid):
                raise CheckFailed(ONE_PROCESS)
            yield Twin(worker, pid)
        finally:
            if not worker.lost and not is_dead(pid):
                _end(pid)


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of a process: the most that ever lay in memory; what lies there now and is of no file; and of files."""

    most: int
    own: int
    files: int

    @classmethod
    def of(cls, pid: int) -> "Memory":
        found = {}
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, rest = line.partition(":")
            if rest.endswith(" kB"):
                found[name] = int(rest.split()[0]) * 1024
        return cls(found["VmHWM"], found["RssAnon"] + found["RssShmem"], found["RssFile"])

    def peak_since(self, before: "Memory") -> int:
        """At least so much more of its own was held at some moment since then. Pages of files come and seldom go, so
        that there were at most as many as there are now."""
        return max(self.most - self.files - before.own, self.own - before.own, 0)


def _tell(worker: "Worker", ask: str, command: str, **more: Any) -> dict[str, Any]:
    """Ask the sentry of the process that answers. CheckFailed if it was not the sentry that answered."""
    nonce = secrets.token_bytes(16)
    try:
        reply = worker.ask({"ask": ask, "command": {"command": command, "nonce": nonce, **more}})
        text, proof = reply["text"], reply["proof"]
        if type(text) is not str or type(proof) is not bytes:
            raise TypeError
    except (KeyError, TypeError):
        raise CheckFailed(_changed([])) from None
    except CheckFailed as failure:
        if worker.lost:
            raise
        raise CheckFailed(_changed([])) from failure
    if not hmac.compare_digest(proof, sentry.token(worker.key, nonce, text)):
        raise CheckFailed(_changed([]))
    told: dict[str, Any] = ast.literal_eval(text)
    if told["command"] != command:
        raise CheckFailed(_changed([]))
    return told


def _refuse_changed(told: Mapping[str, Any]) -> None:
    """Raise CheckFailed if the harness is no longer what it was before the first cell ran."""
    changed = [*told.get("changed", ()), *(["the profile function"] if told.get("profiled") else [])]
    if changed:
        raise CheckFailed(_changed(changed))


def _changed(names: list[str]) -> str:
    which = f" ({', '.join(names)})" if names else ""
    return (
        f"this question counts what your code does, and your notebook changes the code that counts{which}: leave "
        "gradekit and torch as they are"
    )


@contextlib.contextmanager
def _still(pids: list[int]) -> Iterator[None]:
    """Inside, these processes stand still. One that has ended does as well."""
    stopped = []
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        until = time.monotonic() + STANDSTILL_S
        while any(_state(pid) not in "TtZX" for pid in stopped):
            if time.monotonic() > until:
                raise CheckFailed(ONE_PROCESS)
            time.sleep(0.0005)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGCONT)


def is_dead(pid: int) -> bool:
    """Whether a process has ended, waited for or not."""
    return _state(pid) in "ZX"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


def _is_alone(pid: int) -> bool:
    """Whether a process has one thread and can start neither another nor a process: the kernel's word."""
    limits = next(
        line.split()[2:4]
        for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
        if line.startswith("Max processes")
    )
    return limits == ["0", "0"] and _status(pid, "Threads") == ["1"]


def _number_within(pid: int) -> int:
    """Its pid as it sees it itself."""
    try:
        return int(_status(pid, "NSpid")[-1])
    except (OSError, IndexError):
        return 0


def _status(pid: int, name: str) -> list[str]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[1:]
    return []


def _end(pid: int) -> None:
    """A twin that has left ends within a moment; one that was not asked to is killed. The worker waits for it."""
    until = time.monotonic() + LEAVES_S
    while not is_dead(pid):
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.0005)
