"""Run a notebook and its tests together in one process, within a time limit: for a student's own check.

There is nobody to be kept apart: the notebook, its files and the tests are the student's. Grading is `engine`'s.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, BinaryIO

from gradekit.grade.bundle import Bundle
from gradekit.grade.result import CaseResult, QuestionResult, Result, Status
from gradekit.grade.submission import InvalidSubmission, Submission, read_notebook
from gradekit.grade.task import Task, work

__all__ = ["run_notebook"]

_NO_FORK_SERVER = 255  # multiprocessing's word for a process whose end the fork server could not report
_ORPHANED = "the process that starts the gradings was killed"
_LARGEST_RECORD = 64 * 2**20


def run_notebook(bundle: Bundle, submission: Submission, *, seconds: float, threads: int = 1) -> Result:
    """Execute and test one notebook. Never raises for anything that it holds or does.

    `seconds` bounds the whole of it; `threads` is what its numerical libraries may use. What was graded before a
    crash or the end of the time counts.
    """
    started = time.monotonic()
    try:
        notebook = read_notebook(submission, bundle.assignment)
    except InvalidSubmission as reason:
        return Result(submission.name, "invalid", _questions(bundle, {}), str(reason))
    scratch = Path(tempfile.mkdtemp(prefix="gradekit-"))
    try:
        status, note, records = _execute(bundle, notebook, scratch / "1", seconds, threads)
        if note == _ORPHANED:  # by a neighbour, perhaps: once more
            status, note, records = _execute(bundle, notebook, scratch / "2", seconds, threads)
    finally:
        with contextlib.suppress(RecursionError):  # a submission may nest folders deeper than Python can follow
            shutil.rmtree(scratch, ignore_errors=True)
    return Result(submission.name, status, _questions(bundle, records), note, time.monotonic() - started, _machine())


def _execute(
    bundle: Bundle, notebook: bytes, scratch: Path, seconds: float, threads: int
) -> tuple[Status, str, dict[str, Any]]:
    task = Task(
        tests=scratch / "tests",  # its own copy: what it does to them touches nobody else
        notebook=scratch / "submission.ipynb",
        results=scratch / "results.jsonl",
        log=scratch / "log",
        work=scratch / "work",
        home=scratch / "home",
        threads=threads,
        # the inputs that the checks draw: the same for every run of a bundle, unknown to who has not seen it
        seed=int(bundle.digest[:15], 16),
    )
    scratch.mkdir()
    shutil.copytree(bundle.tests, task.tests)
    shutil.copytree(bundle.files, task.work)
    task.home.mkdir()
    task.notebook.write_bytes(notebook)
    # Opened before it starts: whatever it puts in their place afterwards is not what is read.
    with task.results.open("w+b") as results, task.log.open("w+b") as log:
        process = _warm().Process(target=work, args=(task,))
        process.start()
        try:
            process.join(seconds)
            late = process.is_alive()
        finally:
            _end(process)
        records, done = _read(results, set(bundle.points))
        said = _tail(log)
    if done:
        return "graded", "", records
    if late:
        return "timeout", f"did not finish within {seconds:g} s", records
    if process.exitcode == _NO_FORK_SERVER:
        return "crashed", _ORPHANED, records
    return "crashed", _why(process.exitcode or 0, said, records), records


def _end(process: BaseProcess) -> None:
    """Kill the worker, if it still runs, and what it started that has not left its session."""
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _warm() -> ForkServerContext:
    """Processes that are forked from one that has torch, IPython and Otter loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gradekit.grade.worker"])
    return context


def _read(results: BinaryIO, questions: set[str]) -> tuple[dict[str, Any], bool]:
    """Question -> its last record, and whether the worker came to its end.

    A line that is no record (cut short by a kill, or written by somebody else) is left out.
    """
    records: dict[str, Any] = {}
    done = False
    results.seek(0)
    for line in results.read(_LARGEST_RECORD).decode("utf-8", "replace").splitlines():
        try:
            record = json.loads(line)
            if record.get("done"):
                done = True
            elif record["question"] in questions:
                records[record["question"]] = [_case(case) for case in record["cases"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return records, done


def _case(record: dict[str, Any]) -> CaseResult:
    return CaseResult(
        name=str(record["name"]),
        points=float(record["points"]),
        hidden=bool(record["hidden"]),
        passed=record["passed"] is True,
        message=str(record["message"]),
        seconds=float(record["seconds"]),
        evidence=tuple(item for item in record["evidence"] if isinstance(item, dict)),
    )


def _tail(log: BinaryIO) -> str:
    """The last 4 KiB of what the process wrote below Python."""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - 4096))
    return log.read(4096).decode("utf-8", "replace").strip()


def _why(code: int, said: str, records: dict[str, Any]) -> str:
    after = f", after {list(records)[-1]}" if records else ", before any test"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the process was ended by {signal.Signals(-code).name}{after}"
    last = f": {said.splitlines()[-1][:200]}" if said and code else ""
    return f"the process ended by itself with exit code {code}{after}{last}"


def _questions(bundle: Bundle, records: dict[str, Any]) -> tuple[QuestionResult, ...]:
    return tuple(
        QuestionResult(name, possible, tuple(records.get(name, ()))) for name, possible in bundle.points.items()
    )


def _machine() -> dict[str, Any]:
    import platform

    from gradekit import __version__

    return {"python": platform.python_version(), "system": platform.platform(terse=True), "gradekit": __version__}
