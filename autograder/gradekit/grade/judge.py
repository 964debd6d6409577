"""The judge of one submission: it holds the tests, the reference and the random numbers, and a worker runs the code.

Runs in a process of its own, forked by the fork server. It executes nothing that came from the submission: cells go to
the worker as text, and plain data comes back. What a submission does to its worker costs the question that did it: the
worker is forked anew, the cells before are run again without the one that broke it, and the rest is graded.
"""

import contextlib
import dataclasses
import json
import os
import socket
import sys
import time
import types
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gradekit import device
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.subject import Subject, references_run_on
from gradekit.grade import lease
from gradekit.grade.beside import TAKEN
from gradekit.grade.result import CaseResult
from gradekit.grade.test_file import read_test_file, run_test_case
from gradekit.sandbox.client import Connection
from gradekit.sandbox.jail import LEVELS
from gradekit.sandbox.subject import HandedIn, Transport, Worker, WorkerLost, WorkerSubject

__all__ = ["Task", "judge", "short_of"]

MOST_WORKERS = 40
"""Workers for one submission: whoever breaks more than that has broken enough."""

STARTS = 3
"""Times that a worker is started until it has."""

TRIES = 4
"""Times that a cell or a test case is run, as long as a process that it needs is killed (SIGKILL: by the system, or by
a person). Whoever kills itself gains no more than that, on inputs that are the same."""

SECOND_CHANCES = 8
"""Times that something is run once more, for one submission."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a judge is told. Paths are strings, since it crosses as JSON.

    script: a file with the seed, the cells (see `cells.Script`) and what became of each file that may be handed in
    beside the notebook (see `beside.take_beside`); beside: the folder with those files; scratch: one for workers;
    questions: those to
    be tested; question_s: seconds that the cells and tests of one question may take, together; require: the least
    isolation, of `jail.LEVELS`; leases: the folder of what is locked while something is timed, see `lease`; enough,
    skip: see `engine.Terms`.
    """

    tests: str
    files: str
    script: str
    beside: str
    scratch: str
    questions: list[str]
    question_s: float
    require: str
    leases: str
    memory_bytes: int
    enough: dict[str, list[str]]
    skip: dict[str, list[str]]


def judge(task: dict[str, Any], stream: socket.socket, spawner: socket.socket) -> None:
    """Grade, and write a line of JSON for every test case as soon as it is known; `{"done": true}` at the end."""
    told = Task(**task)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.addaudithook(refuse)
    sys.path.insert(0, told.files)  # `reference`
    with stream.makefile("w", encoding="utf-8") as lines:

        def emit(record: dict[str, Any]) -> None:
            lines.write(json.dumps(record) + "\n")
            lines.flush()

        try:
            script = json.loads(Path(told.script).read_text(encoding="utf-8"))
            os.environ["GRADEKIT_SEED"] = str(script["seed"])
            handed_in = _read_handed_in(Path(told.beside), script["beside"])
            _Judge(told, script["cells"], handed_in, Connection(spawner), emit).grade()
        except Exception as error:
            emit({"stopped": f"{type(error).__name__}: {error}"[:500]})


def _read_handed_in(folder: Path, beside: dict[str, str]) -> HandedIn:
    """Read before anything of the submission runs: what happens to the folder later is of no account."""
    files = {name: (folder / name).read_bytes() for name, why_not in beside.items() if why_not == TAKEN}
    return HandedIn(files, {name: why_not for name, why_not in beside.items() if name not in files})


FORBIDDEN = frozenset({"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"})
"""What a judge never does, whatever data it is given (see Python's table of audit events)."""


def refuse(event: str, arguments: Any) -> None:
    """An audit hook, which cannot be taken off again: no unpickling, and no other programs, in this process."""
    if event in FORBIDDEN:
        raise RuntimeError(f"a judge does no {event}")


def short_of(level: str, layers: dict[str, str], required: str) -> str:
    """What is missing to the isolation that is required; "" if nothing is."""
    if LEVELS.index(level) >= LEVELS.index(required):
        return ""
    why = "; ".join(f"{layer}: {state}" for layer, state in layers.items() if state != "on")
    return f"isolation is {level!r} here, {required!r} is required ({why})"


class _Judge:
    def __init__(
        self, task: Task, cells: list[dict[str, Any]], handed_in: HandedIn, connection: Connection, emit: Any
    ) -> None:
        self._task, self._cells, self._connection, self._emit = task, cells, connection, emit
        self._handed_in = handed_in
        paths = {path.stem: path for path in sorted(Path(task.tests).glob("*.py"))}
        self._tests = {name: paths[name] for name in task.questions if name in paths}
        self._left = dict.fromkeys(["", *task.questions], task.question_s)  # seconds, by question; "": cells of none
        self._workers = 0
        self._ran: list[int] = []  # cells that make up the namespace, in order
        self._broken: dict[int, str] = {}  # cells that broke a worker, and how
        self._expert: Worker | None = None
        self._expert_folder = Path()
        self._experts: dict[str, WorkerSubject] = {}
        self._transport = Transport(self._reference_worker)
        self._lease: int | None = None
        self._waited = 0.0  # seconds, for the lease
        self._chances = SECOND_CHANCES
        self._subject = WorkerSubject(self._fork(), self._transport, handed_in)

    def grade(self) -> None:
        level, layers = self._subject.worker.level, self._subject.worker.layers
        self._emit({"isolation": {"level": level, "layers": layers}})
        if short := short_of(level, layers, self._task.require):
            raise RuntimeError(short)
        checked: list[str] = []
        for index, cell in enumerate(self._cells):
            if len(checked) == len(self._tests):  # nothing is left that the cells from here on could matter to
                break
            if cell["kind"] == "check":
                if cell["question"] in self._tests and cell["question"] not in checked:
                    checked.append(cell["question"])
                    self._check(cell["question"])
            else:
                self._run_cell(index)
        for question in self._tests:
            if question not in checked:
                self._check(question)
        self._emit({"done": True, "round_trip_s": self._transport.round_trip_s() if self._expert else 0.0})

    def _run_cell(self, index: int) -> None:
        cell = self._cells[index]
        with self._time_of(cell["question"] or "") as given:
            if given <= 0:
                self._broken[index] = "no time was left for it"
                return
            try:
                self._execute_surely(cell)
                self._ran.append(index)
            except WorkerLost as lost:
                self._broken[index] = str(lost)
                self._emit({"broke": cell["question"] or "", "cell": cell["id"], "how": str(lost)})
        self._subject.generation = object()
        if self._subject.worker.lost:
            self._revive()

    def _execute_surely(self, cell: dict[str, Any]) -> None:
        """Again, up to TRIES times, as long as the worker is killed."""
        for attempt in range(TRIES):
            try:
                self._execute(cell)
                return
            except WorkerLost:
                if attempt == TRIES - 1 or not self._again():
                    raise
                deadline = self._subject.worker.deadline
                self._revive()
                self._subject.worker.deadline = deadline

    def _again(self) -> bool:
        """Whether a process was killed, and what it did should be done once more. A killed reference has another."""
        killed = self._subject.worker.killed
        if self._expert is not None and self._expert.lost:
            killed, self._expert = True, None
            for name, subject in self._experts.items():
                subject.worker = self._reference_worker()
                self._load(name)
        self._chances -= killed
        return killed and self._chances >= 0

    def _execute(self, cell: dict[str, Any]) -> None:
        """An error in a cell is noted by the worker, and the next cell runs; a worker may say what it likes of it."""
        worker = self._subject.worker
        for request in ({"ask": "cell", "source": cell["source"]}, {"ask": "hold", "outputs": None}):
            try:  # the second: or it has answered, and then ended
                worker.ask(request)
            except WorkerLost:
                raise
            except (CheckFailed, AuthoringError):
                continue

    def _check(self, question: str) -> None:
        skipped = self._task.skip.get(question, ())
        cases = [case for case in read_test_file(self._tests[question]).test_cases if case.name not in skipped]
        failed: list[str] = []
        for number, case in enumerate(cases):
            result, tries = self._run_case(case, question), 1
            while self._again() and tries < TRIES:
                if self._subject.worker.lost:
                    self._revive()
                result, tries = self._run_case(case, question), tries + 1
            lost = self._subject.worker.lost
            self._emit({"question": question, "case": dataclasses.asdict(result), "broke": lost})
            if lost:
                self._revive()
            failed += [] if result.passed else [result.name]
            if self._enough(question, failed, [str(later.name) for later in cases[number + 1 :]]):
                break

    def _enough(self, question: str, failed: list[str], left: list[str]) -> bool:
        patterns = self._task.enough.get(question)
        return (
            patterns is not None
            and all(any(fnmatchcase(name, pattern) for name in failed) for pattern in patterns)
            and all(any(fnmatchcase(name, pattern) for pattern in patterns) for name in left)
        )

    def _run_case(self, case: Any, question: str) -> CaseResult:
        try:
            with self._time_of(question) as given:
                if given <= 0:
                    message = f"the {self._task.question_s:g} s that {question} has were used up before this test"
                    return CaseResult(str(case.name), float(case.points or 0), bool(case.hidden), False, message, 0.0)
                with references_run_on(self._expert_for):
                    return run_test_case(case, self._subject)
        finally:
            self._release()

    @contextlib.contextmanager
    def _time_of(self, question: str) -> Iterator[float]:
        """What happens inside is on this question's time; gives the seconds that are left."""
        started, left = time.monotonic() - self._waited, self._left.setdefault(question, self._task.question_s)
        self._subject.worker.deadline = time.monotonic() + left
        try:
            yield left
        finally:
            self._left[question] = left - (time.monotonic() - self._waited - started)

    def _fork(self) -> Worker:
        self._workers += 1
        if self._workers > MOST_WORKERS:
            raise RuntimeError(f"it broke {MOST_WORKERS} workers")
        return self._started(trusted=False)

    def _started(self, *, trusted: bool) -> Worker:
        """A worker that has started. One that is killed before it has is no matter of the submission's."""
        for attempt in range(STARTS):
            folder = Path(self._task.scratch) / f"{self._workers}-{attempt}{'-reference' if trusted else ''}"
            try:
                worker = Worker(
                    self._connection,
                    folder,
                    Path(self._task.files),
                    trusted=trusted,
                    memory_bytes=self._task.memory_bytes,
                    accelerator=device.current().kind == "cuda",
                    beside=None if trusted else self._handed_in.files,
                )
            except RuntimeError:
                if attempt == STARTS - 1:
                    raise
                continue
            if trusted:
                self._expert_folder = folder
            return worker
        raise AssertionError("unreachable")

    def _revive(self) -> None:
        """Another worker, brought to where the last one was."""
        while self._subject.worker.lost:
            self._subject.worker = self._fork()
            self._subject.worker.deadline = time.monotonic() + self._task.question_s
            for index in list(self._ran):
                try:
                    self._execute(self._cells[index])
                except WorkerLost as lost:  # it went well before: once is enough
                    if self._again():
                        break
                    self._ran.remove(index)
                    self._broken[index] = str(lost)
                    break
        self._subject.generation = object()

    def _expert_for(self, reference: types.ModuleType) -> Subject:
        """A timed reference runs in a worker like the student's. From here to the end of the test case nothing else is
        timed on this device, by whichever command (see `lease`); the time that waiting for that takes is nobody's.
        """
        if self._lease is None:
            started = time.monotonic()
            self._emit({"waits": True})
            self._lease = lease.take(Path(self._task.leases), device.current().kind)
            self._emit({"waits": False})
            waited = time.monotonic() - started
            self._subject.worker.deadline += waited
            self._waited += waited
        name = reference.__name__
        if name not in self._experts:
            self._experts[name] = WorkerSubject(self._reference_worker(), self._transport)
            self._load(name)
        return self._experts[name]

    def _load(self, name: str) -> None:
        """Let the worker of a reference import it."""
        worker = self._experts[name].worker
        worker.ask({"ask": "module", "folder": str(self._expert_folder), "name": name})

    def _release(self) -> None:
        if self._lease is not None:
            os.close(self._lease)
            self._lease = None

    def _reference_worker(self) -> Worker:
        if self._expert is None:
            self._workers += 1
            self._expert = self._started(trusted=True)
        return self._expert
