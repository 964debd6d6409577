"""Grade one submission: a judge in a process of its own, and the submission's code in a jailed one.

This is the seam: `grade_submission` is all that the rest of the kit knows of how a submission is executed.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gradekit.grade import lease, warm
from gradekit.grade.beside import take_beside
from gradekit.grade.bundle import Bundle
from gradekit.grade.cells import script
from gradekit.grade.result import CaseResult, QuestionResult, Result, Status, stopped
from gradekit.grade.submission import InvalidSubmission, Submission, read_cells
from gradekit.sandbox.client import Server, ServerLost
from gradekit.sandbox.scratch import hold, remove

__all__ = ["Terms", "end_all", "grade_submission", "start", "unfinished"]

_ENTRY = "gradekit.grade.judge:judge"
_LARGEST_RECORDS = 256 * 2**20
_MEMORY = 8 * 2**30

_servers: dict[tuple[str, ...], Server] = {}
_modules: dict[str, tuple[str, ...]] = {}  # by the digest of the bundle
_starting = threading.Lock()


@dataclasses.dataclass
class _Heard:
    """What a judge has said so far."""

    cases: dict[str, list[CaseResult]] = dataclasses.field(default_factory=dict)
    broke: dict[str, str] = dataclasses.field(default_factory=dict)  # question -> how its code ended a worker
    isolation: dict[str, Any] = dataclasses.field(default_factory=dict)
    round_trip_s: float = 0.0
    stopped: str = ""
    waits: bool = False  # until nobody else is timed
    done: bool = False


@dataclasses.dataclass(frozen=True)
class Terms:
    """On what terms a submission is graded.

    seconds: for the whole of it; question_s: for the cells and tests of one question; questions: only these, all of
    them if None; require: the least isolation (of `jail.LEVELS`) with which student code may run; enough: for some
    questions, patterns of names of test cases (as in fnmatch). The rest of such a question is not tested once a failed
    case was seen for each of its patterns and all that are left match one, so that they have no more to say. skip:
    names of test cases, by question, that are not run at all.
    """

    seconds: float = 600.0
    question_s: float = 300.0
    questions: frozenset[str] | None = None
    require: str = "none"
    enough: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    skip: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


def grade_submission(bundle: Bundle, submission: Submission, terms: Terms) -> Result:
    """Execute and test one submission. Never raises for anything that a submission holds or does.

    What was graded before a crash or the end of the time counts. `machine["complete"]` is False where the grading was
    disturbed from outside (a process of the kit was killed): it should be done again.
    """
    started = time.monotonic()
    try:
        told = script(bundle.cells, read_cells(submission, bundle.assignment))
    except InvalidSubmission as reason:
        return _result(bundle, submission, "invalid", {}, str(reason))
    for _ in range(3):  # a judge or a fork server that somebody killed: once more from the beginning
        heard, late = _judge(bundle, submission, told.cells, terms, terms.seconds - (time.monotonic() - started))
        if heard.done or late or heard.stopped:
            break
    status, note = _said(heard, late, terms.seconds)
    if not note and told.notes:
        note = "; ".join(told.notes)[:300]
    machine = _machine() | {
        "complete": heard.done or late or bool(heard.stopped),
        "isolation": heard.isolation,
        "round_trip_us": round(heard.round_trip_s * 1e6, 1),
    }
    return _result(bundle, submission, status, heard.cases, note, time.monotonic() - started, machine)


def unfinished(bundle: Bundle, submission: Submission, note: str) -> Result:
    """The result of a submission that the kit itself failed on."""
    return _result(bundle, submission, "crashed", {}, note[:300], 0.0, _machine() | {"complete": False})


def start(bundle: Bundle) -> None:
    """Start what grading by this bundle takes, and do not wait for it: it loads while the submissions are found."""
    _server(bundle)


def end_all() -> None:
    """End the fork servers and everything that was forked from them; gradings that run come out as crashed."""
    with _starting:
        for server in _servers.values():
            server.close()
        _servers.clear()


atexit.register(end_all)


def _judge(
    bundle: Bundle, submission: Submission, cells: Sequence[Any], terms: Terms, seconds: float
) -> tuple[_Heard, bool]:
    """Let a judge grade; what it said, and whether its time ran out."""
    heard = _Heard()
    scratch, held = hold("scratch")
    try:
        scratch.chmod(0o711)  # workers are other users, and pass through to their own folder
        beside = scratch / "beside"
        beside.mkdir(mode=0o700)  # the judge's alone
        contents = {
            # the inputs that the checks draw: the same for every run of a bundle, unknown to who has not seen it. Here
            # and not in the task, which passes through the fork server's memory, and so into that of each worker
            "seed": int(bundle.digest[:15], 16),
            "cells": [dataclasses.asdict(cell) for cell in cells],
            "beside": take_beside(submission, bundle.hand_in, beside),
        }
        (scratch / "script.json").touch(mode=0o600)
        (scratch / "script.json").write_text(json.dumps(contents), encoding="utf-8")
        task = {
            "tests": str(bundle.tests),
            "files": str(bundle.files),
            "script": str(scratch / "script.json"),
            "beside": str(beside),
            "scratch": str(scratch),
            "questions": [name for name in bundle.points if terms.questions is None or name in terms.questions],
            "question_s": min(seconds, terms.question_s),
            "require": terms.require,
            "leases": str(lease.folder()),
            "memory_bytes": _MEMORY,
            "enough": {question: list(patterns) for question, patterns in terms.enough.items()},
            "skip": {question: list(names) for question, names in terms.skip.items()},
        }
        with _server(bundle).connection.another() as connection:
            pid, stream = connection.run(_ENTRY, task)
            try:
                late = _listen(stream, heard, time.monotonic() + seconds)
            finally:
                stream.close()
                connection.end(pid)
        return heard, late
    except ServerLost:
        return heard, False
    finally:
        remove(scratch)
        os.close(held)


def _server(bundle: Bundle) -> Server:
    """A fork server that has loaded what this bundle's release imports."""
    with _starting:
        if bundle.digest not in _modules:
            _modules[bundle.digest] = warm.modules(bundle)
        modules = _modules[bundle.digest]
        server = _servers.get(modules)
        if server is None or not server.alive():
            server = _servers[modules] = Server.start(modules)
        return server


def _listen(stream: socket.socket, heard: _Heard, deadline: float) -> bool:
    """Take in what the judge says, until it is done or hangs up; True if the time is up before that.

    While it waits for others, who have a time of their own, no time passes.
    """
    rest, taken, since = b"", 0, 0.0
    while (left := deadline - time.monotonic()) > 0 or heard.waits:
        stream.settimeout(None if heard.waits else left)
        try:
            data = stream.recv(2**16)
        except TimeoutError:
            return True
        except OSError:
            return False
        taken += len(data)
        if not data or taken > _LARGEST_RECORDS:
            return False
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            waited = heard.waits
            _hear(json.loads(line), heard)
            if heard.waits and not waited:
                since = time.monotonic()
            elif waited and not heard.waits:
                deadline += time.monotonic() - since
        if heard.done:
            return False
    return True


def _hear(record: dict[str, Any], heard: _Heard) -> None:
    if "case" in record:
        case = record["case"] | {"evidence": tuple(record["case"]["evidence"])}
        heard.cases.setdefault(record["question"], []).append(CaseResult(**case))
        if record["broke"]:
            heard.broke.setdefault(record["question"], record["broke"])
    elif "how" in record:
        heard.broke.setdefault(record["broke"], record["how"])
    elif "isolation" in record:
        heard.isolation = record["isolation"]
    elif "waits" in record:
        heard.waits = record["waits"]
    elif "stopped" in record:
        heard.stopped = record["stopped"]
    elif "done" in record:
        heard.done, heard.round_trip_s = True, record["round_trip_s"]


def _said(heard: _Heard, late: bool, seconds: float) -> tuple[Status, str]:
    """Status and note: whether a person should look, though every question that could be graded was."""
    if late:
        return "timeout", f"did not finish within {seconds:g} s"
    how = "; ".join(f"{question or 'a cell of no question'}: {text}" for question, text in heard.broke.items())[:300]
    if heard.stopped:
        return "crashed", stopped(heard.stopped) + (f" ({how})" if how else "")
    if not heard.done:
        return "crashed", "the judge was killed, three times"
    if how:
        only_late = all("did not finish in time" in text for text in heard.broke.values())
        return ("timeout" if only_late else "crashed"), how
    return "graded", ""


def _machine() -> dict[str, Any]:
    import platform

    from gradekit import __version__

    return {"python": platform.python_version(), "system": platform.platform(terse=True), "gradekit": __version__}


def _result(
    bundle: Bundle,
    submission: Submission,
    status: Status,
    cases: Mapping[str, Sequence[CaseResult]],
    note: str,
    seconds: float = 0.0,
    machine: Mapping[str, Any] | None = None,
) -> Result:
    questions = tuple(
        QuestionResult(name, possible, tuple(cases.get(name, ()))) for name, possible in bundle.points.items()
    )
    facts = dict(machine or {})
    return Result(submission.name, status, questions, note, seconds, facts, bundle.by_hand, bundle.assignment)
