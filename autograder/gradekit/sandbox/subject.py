"""A student's code in a worker, as the judge sees it: a `WorkerSubject`, where a notebook has a `LocalSubject`.

Time is taken here, from sending the inputs to holding the whole output: by the wall, less what the worker's thread and
this one waited for a processor (which the kernel tells about any process), and at least the processor time of all of
the worker's threads. From a timed call the way there and back is taken off: what a call that does nothing takes with
the same inputs and outputs, measured in the reference's worker.
"""

import contextlib
import dataclasses
import marshal
import math
import os
import select
import shutil
import signal
import statistics
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gradekit.check import plain
from gradekit.check.beside import missing, refused, too_large
from gradekit.check.clock import Stopwatch
from gradekit.check.experiment import Experiment, parameters
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.meter import Meter
from gradekit.check.recorder import Recorded
from gradekit.check.subject import Outcome
from gradekit.sandbox import sentry
from gradekit.sandbox.client import Connection
from gradekit.sandbox.guard import guarded, is_dead, twin
from gradekit.sandbox.scratch import remove
from gradekit.sandbox.wire import Channel, WireError

START_S = 60.0
PATIENCE_S = 0.5
"""Seconds that a worker which has hung up is given to end by itself, so that its exit status is known."""
TWIN_LOOK_S = 0.05
"""Seconds between two looks whether a twin that does not answer is still there."""
_CPUCLOCK_SCHED = 2
_TICKS = os.sysconf("SC_CLK_TCK")
_CARRIES = 7


class WorkerLost(CheckFailed):
    """The worker is gone, by its own doing: it ended, it overran its time, or it broke the protocol."""


class Worker:
    """One jailed process. `deadline` (time.monotonic) bounds every request; after WorkerLost it is of no more use.

    It gets a copy of `files`, without the reference unless it is `trusted`: it is another user, who may not pass where
    the bundle lies. And of `beside`, so that a notebook finds what lay beside it; what it makes of that is its affair.
    """

    def __init__(
        self,
        connection: Connection,
        scratch: Path,
        files: Path | None,
        *,
        trusted: bool = False,
        readable: Sequence[Path] = (),
        memory_bytes: int,
        accelerator: bool = False,
        beside: Mapping[str, bytes] | None = None,
    ) -> None:
        scratch.mkdir(parents=True)
        if files is not None:
            hidden = None if trusted else shutil.ignore_patterns("reference")
            shutil.copytree(files, scratch, dirs_exist_ok=True, ignore=hidden)
        for name, data in (beside or {}).items():
            (scratch / name).write_bytes(data)
        self.deadline = math.inf
        self.lost, self.killed = "", False
        self._connection, self._scratch = connection, scratch
        self._pid, stream = connection.worker(
            scratch, readable=readable, memory_bytes=memory_bytes, accelerator=accelerator
        )
        self._channel, self._turn = Channel(stream), 0
        self._seen: _Seen | None = None
        self.key, self._twin = sentry.new_key(), 0
        self.can_fork = not accelerator  # CUDA does not survive a fork
        try:
            hello = self._channel.receive(deadline=time.monotonic() + START_S)
            self._channel.send({"key": self.key}, deadline=time.monotonic() + START_S)
            self.level, self.layers = str(hello["level"]), {str(k): str(v) for k, v in hello["layers"].items()}
        except (EOFError, TimeoutError, WireError, KeyError, AttributeError) as error:
            self.end()
            raise RuntimeError(f"a worker did not start: {type(error).__name__}: {error}") from error
        self._seen = _Seen.of(self._pid)
        self.can_fork &= self._seen is not None

    @property
    def pid(self) -> int:
        """Of the process that the notebook runs in, 0 where it is not known."""
        return self._seen.pid if self._seen is not None else 0

    def processes(self) -> list[int]:
        """Those that live and that the notebook has started."""
        return [] if self._seen is None else _below(self._seen.pid)

    @contextlib.contextmanager
    def answered_by(self, twin: int) -> Iterator[None]:
        """Inside, a process that was forked from the worker answers."""
        before, self._seen, self._twin = self._seen, _Seen(twin), twin
        try:
            yield
        finally:
            self._seen, self._twin = before, 0

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request, one reply. Raises WorkerLost, and CheckFailed or AuthoringError where the reply says so."""
        return self.timed(request)[0]

    def timed(self, request: dict[str, Any]) -> tuple[dict[str, Any], float, float]:
        """The reply; seconds without waiting for other programs; processor seconds of the worker, all if unknown."""
        if self.lost:
            raise WorkerLost(self.lost)
        self._turn += 1
        deadline = None if math.isinf(self.deadline) else self.deadline
        before = self._seen.now() if self._seen is not None else None
        try:
            with Stopwatch() as clock:
                clock.start()
                self._channel.send(request | {"turn": self._turn}, deadline=deadline)
                self._wait_for_twin()
                reply = self._channel.receive(deadline=deadline)
                span = clock.stop()
            if type(reply["turn"]) is not int or reply["turn"] != self._turn:
                raise WireError("a reply to another request")
            if any(type(reply.get(why, "")) is not str for why in ("failed", "author")):
                raise WireError("a failure that is no text")
        except TimeoutError:
            raise self._lose("did not finish in time") from None
        except (EOFError, ConnectionError, BrokenPipeError):
            raise self._lose("") from None
        except (WireError, KeyError) as error:
            raise self._lose(f"what came back is no answer: {error}") from None
        after = self._seen.now() if self._seen is not None else None
        processor, waited = max(span.worked, 0.0), 0.0  # where nobody knows, all of it was work
        if before is not None and after is not None:
            processor, waited = (nanoseconds / 1e9 for nanoseconds in after.since(before))
        seconds = max(span.worked - waited, processor, 0.0)
        if "failed" in reply:
            raise CheckFailed(_text(reply["failed"]))
        if "author" in reply:
            raise AuthoringError(_text(reply["author"]))
        return reply, seconds, processor

    def end(self, *, patience_s: float = 0.0) -> int | None:
        """Kill it and all that it has started. Its exit status, None if it is not known."""
        self._channel.close()
        status = self._connection.end(self._pid, patience_s=patience_s)
        remove(self._scratch)
        return status

    def _wait_for_twin(self) -> None:
        """Until it answers, its time is up, or it has ended, which the stream does not say: the worker holds it too."""
        while self._twin and not select.select([self._channel.fileno()], [], [], TWIN_LOOK_S)[0]:
            if is_dead(self._twin):
                raise EOFError
            if time.monotonic() > self.deadline:
                return

    def _lose(self, why: str) -> WorkerLost:
        status = self.end(patience_s=0.0 if why else PATIENCE_S)
        self.killed = not why and status in (-signal.SIGKILL, None)  # by the system or somebody: seldom its own doing
        if not why:
            why = f"your code ended the process it ran in{_by(status)}"
        self.lost = why
        return WorkerLost(why)


@dataclasses.dataclass(frozen=True)
class _Reading:
    """Nanoseconds so far. own: processor time of all threads of a worker; ended: of the processes that it has started,
    and that have ended; waited: how long its first thread was ready and did not run; helpers: processor time of those
    that it has started and that live, by pid, theirs that have ended included.
    """

    own: int = 0
    ended: int = 0
    waited: int = 0
    helpers: Mapping[int, int] = dataclasses.field(default_factory=dict)

    def since(self, before: "_Reading") -> tuple[int, int]:
        """Processor time of all of them, and the wait for other programs.

        Beside a helper nothing counts as waiting: a first thread that stands in the queue while a helper on the same
        core does the work would seem to take no time at all.
        """
        known = sum(time for pid, time in before.helpers.items() if pid not in self.helpers)  # is in `ended` by now
        ended = max(self.ended - before.ended - known, 0)
        processor = max(self.own - before.own, 0) + ended
        processor += sum(max(time - before.helpers.get(pid, 0), 0) for pid, time in self.helpers.items())
        helped = self.helpers or before.helpers or ended
        return processor, 0 if helped else max(self.waited - before.waited, 0)


@dataclasses.dataclass(frozen=True)
class _Seen:
    """A worker, watched from outside: the kernel's word, not the worker's."""

    pid: int

    @classmethod
    def of(cls, pid: int) -> "_Seen | None":
        """None where the system does not tell."""
        inner = pid
        try:
            while children := Path(f"/proc/{inner}/task/{inner}/children").read_text().split():
                inner = int(children[0])
            found = cls(inner)
            _processor(inner)
            found._waited()
        except (OSError, ValueError, IndexError):
            return None
        return found

    def now(self) -> _Reading | None:
        """None if it has just ended: then nobody knows."""
        try:
            helpers = {}
            for pid in _below(self.pid):
                with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
                    helpers[pid] = _processor(pid) + _ended(pid)
            return _Reading(_processor(self.pid), _ended(self.pid), self._waited(), helpers)
        except (OSError, ValueError, IndexError):
            return None

    def _waited(self) -> int:
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1])


def _processor(pid: int) -> int:
    """Nanoseconds of processor time of all threads of a process, those that have ended as well."""
    return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED)


def _ended(pid: int) -> int:
    """The same of the processes that it has started, that have ended, and that it has waited for: in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[13]) + int(fields[14])) * 1_000_000_000 // _TICKS  # cutime and cstime, see proc_pid_stat(5)


def _below(pid: int) -> list[int]:
    """The living processes below one: in its own pid namespace nobody can leave their line."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                found += [int(child), *_below(int(child))]
    return found


@dataclasses.dataclass(frozen=True)
class HandedIn:
    """The judge's own copy of what was handed in beside the notebook, by name.

    files: what was taken; why_not: of every other file that the assignment names, why it was not, "" where nobody
    handed it in.
    """

    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    why_not: Mapping[str, str] = dataclasses.field(default_factory=dict)


class WorkerSubject:
    """See `check.subject.Subject`. `transport` gives the seconds for which such inputs and outputs are on their way;
    nothing of `handed_in` is read from the worker's folder.
    """

    def __init__(self, worker: Worker, transport: "Transport | None" = None, handed_in: HandedIn | None = None) -> None:
        self.worker = worker
        self._transport = transport
        self._handed_in = handed_in or HandedIn()
        self.generation = object()  # another one whenever a cell has run

    def call(
        self,
        experiment: Experiment,
        inputs: dict[str, Any],
        *,
        timed: bool = False,
        record: bool = False,
        watch: bool = False,
        seed: int = 0,
        stop_after: int | None = None,
    ) -> Outcome:
        """See `Subject.call`."""
        options = {"timed": timed, "record": record, "watch": watch, "seed": seed, "stop_after": stop_after}
        request = _request("call", experiment, inputs) | options
        reply, seconds, processor = self.worker.timed(request)
        try:
            outputs = reply["outputs"]
            recorded = tuple(Recorded(*map(_text, item)) for item in reply["recorded"])  # type: ignore[arg-type]
            damaged = tuple(_text(name) for name in reply["damaged"])
            aliased = tuple((_text(output), _text(other)) for output, other in reply["aliased"])
            operations = int(reply["operations"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckFailed(f"what came back is no answer: {error}") from None
        # A worker sends dense tensors. What is scattered over much memory would take long to be carried in a worker
        # that is honest, and that time would be taken off every later call.
        if timed and self._transport is not None and _is_dense(outputs):
            seconds = max(seconds - self._transport(request["inputs"], outputs), processor / 2, 1e-9)
        trip = self._transport.round_trip_s() if timed and self._transport is not None else 0.0
        # `seconds` is without waiting for others, so what is missing was slept away, or done by processes nobody saw.
        processor = max(processor, seconds / 2)
        return Outcome(outputs, seconds, recorded, operations, damaged, aliased, processor, trip)

    def identity(self, experiment: Experiment, inputs: Mapping[str, Any]) -> tuple[object, ...]:
        """See `Subject.identity`."""
        return (self, self.generation)

    def handed_in(self, name: str, most_bytes: int) -> bytes:
        """See `check.holding.HoldingSubject`."""
        data, why_not = self._handed_in.files.get(name), self._handed_in.why_not.get(name)
        if data is not None:
            if len(data) > most_bytes:
                raise too_large(name, len(data), most_bytes)
            return data
        if why_not is None:
            raise AuthoringError(f"a test reads {name}, which `hand_in` of the assignment does not name")
        raise refused(name, why_not) if why_not else missing(name)

    @contextlib.contextmanager
    def guarded(self, experiment: Experiment, forbid: tuple[str, ...]) -> Iterator[None]:
        """See `check.guard`."""
        assert isinstance(experiment, types.FunctionType)
        with guarded(self.worker, experiment, forbid):
            yield

    def resident(self, experiment: Experiment, inputs: dict[str, Any]) -> tuple[int, int] | None:
        """See `check.guard`: what the kernel says of a twin's memory."""
        if not self.worker.can_fork:
            return None
        assert isinstance(experiment, types.FunctionType)
        with twin(self.worker, experiment) as other:
            before = other.memory()
            self.call(experiment, inputs, watch=True)  # which keeps the output
            after = other.memory()
            other.trim()
            kept = other.memory()
            other.leave()
        return after.peak_since(before), max(kept.own - before.own, 0)

    def metered(self, experiment: Experiment, inputs: dict[str, Any], meter: Meter, *, seed: int = 0) -> Outcome:
        """See `MeteredSubject.metered`: the worker counts, and the meter here takes over what it says."""
        more = {"meter": type(meter).__name__, "options": meter.options(), "seed": seed}
        reply, seconds, _ = self.worker.timed(_request("metered", experiment, inputs) | more)
        try:
            meter.adopt(reply["report"])
            return Outcome(reply["outputs"], seconds)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckFailed(f"what came back is no account of it: {error}") from None


class Transport:
    """How long inputs and outputs of one size are on their way: measured once for each, in a worker that is trusted."""

    def __init__(self, worker: Callable[[], Worker]) -> None:
        self._worker = worker
        self._known: dict[tuple[object, ...], float] = {}
        self._round_trip_s = 0.0

    def round_trip_s(self) -> float:
        """Seconds of a request that holds nothing and gets nothing: the fastest of some, since whatever else the
        machine does can only make it slower.
        """
        if not self._round_trip_s:
            worker = self._worker()
            trips = [worker.timed({"ask": "hold", "outputs": None})[1] for _ in range(3 * _CARRIES)]
            self._round_trip_s = min(trips)
        return self._round_trip_s

    def __call__(self, inputs: dict[str, Any], outputs: Any) -> float:
        """Seconds: the median of a few trips that do nothing else."""
        sizes = (_sizes(inputs), _sizes(outputs))
        if sizes not in self._known:
            worker = self._worker()
            worker.ask({"ask": "hold", "outputs": outputs})
            trips = [worker.timed({"ask": "carry", "inputs": inputs})[1] for _ in range(_CARRIES)]
            self._known[sizes] = statistics.median(trips[1:])
        return self._known[sizes]


def _is_dense(value: Any) -> bool:
    return all(
        leaf.is_contiguous() and leaf.untyped_storage().nbytes() <= plain.nbytes(leaf)
        for _, leaf in plain.leaves(value, "")
        if isinstance(leaf, torch.Tensor)
    )


def _sizes(value: Any) -> tuple[object, ...]:
    return tuple(
        (path, plain.nbytes(leaf), type(leaf).__name__, getattr(leaf, "is_contiguous", bool)())
        for path, leaf in plain.leaves(value, "")
    )


def _request(ask: str, experiment: Experiment, inputs: dict[str, Any]) -> dict[str, Any]:
    """Only the inputs that the experiment takes cross over: hidden labels stay here."""
    assert isinstance(experiment, types.FunctionType)
    names = parameters(experiment, inputs).inputs
    return {
        "ask": ask,
        "code": marshal.dumps(experiment.__code__),
        "name": experiment.__name__,
        "inputs": {name: inputs[name] for name in names},
    }


def _by(status: int | None) -> str:
    if status is None:
        return ""
    if status >= 0:
        return f" (exit code {status})"
    with contextlib.suppress(ValueError):
        return f" ({signal.Signals(-status).name})"
    return f" (signal {-status})"


def _text(value: Any) -> str:
    """What a worker says: cut, and without what would steer a terminal."""
    if type(value) is not str:
        raise TypeError(f"expected text, got {type(value).__name__}")
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in value[:2000])


def scratch_root() -> Path:
    """Where workers' folders lie: a place that other users may pass through, since every worker is another user."""
    root = Path(os.environ.get("GRADEKIT_SCRATCH") or "/tmp") / f"gradekit-{os.geteuid()}-{os.getpid()}"
    root.mkdir(mode=0o711, exist_ok=True)
    return root
