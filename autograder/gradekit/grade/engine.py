"""Grade one submission in a process of its own, within a time limit.

This is the seam: `grade_submission` is all that the rest of the kit knows of how a submission is executed.
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
from typing import Any

from gradekit.grade.bundle import Bundle
from gradekit.grade.result import CaseResult, QuestionResult, Result, Status
from gradekit.grade.submission import InvalidSubmission, Submission, read_notebook
from gradekit.grade.task import Task, work

__all__ = ["grade_submission"]


def grade_submission(bundle: Bundle, submission: Submission, *, seconds: float, threads: int = 1) -> Result:
    """Execute and test one submission. Never raises for anything that a submission holds or does.

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
        status, note, records = _execute(bundle, notebook, scratch, seconds, threads)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Result(submission.name, status, _questions(bundle, records), note, time.monotonic() - started, _machine())


def _execute(
    bundle: Bundle, notebook: bytes, scratch: Path, seconds: float, threads: int
) -> tuple[Status, str, dict[str, Any]]:
    task = Task(
        tests=bundle.tests,
        notebook=scratch / "submission.ipynb",
        results=scratch / "results.jsonl",
        log=scratch / "log",
        work=scratch / "work",
        home=scratch / "home",
        threads=threads,
        # the inputs that the checks draw: the same for every run of a bundle, unknown to who has not seen it
        seed=int(bundle.digest[:15], 16),
    )
    shutil.copytree(bundle.files, task.work)
    task.home.mkdir()
    task.notebook.write_bytes(notebook)
    process = _warm().Process(target=work, args=(task,), daemon=True)
    process.start()
    process.join(seconds)
    late = process.is_alive()
    _end(process)
    records, done = _read(task.results)
    if done:
        return "graded", "", records
    if late:
        return "timeout", f"did not finish within {seconds:g} s", records
    return "crashed", _why(process.exitcode or 0, task.log, records), records


def _end(process: BaseProcess) -> None:
    """Kill the worker, if it still runs, and whatever it started: it leads a session of its own."""
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


def _read(results: Path) -> tuple[dict[str, Any], bool]:
    """Question -> its last record, and whether the worker came to its end. A line cut short by a kill is left out."""
    records: dict[str, Any] = {}
    done = False
    if results.exists():
        for line in results.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record.get("done"):
                done = True
            else:
                records[record["question"]] = record["cases"]
    return records, done


def _why(code: int, log: Path, records: dict[str, Any]) -> str:
    after = f", after {list(records)[-1]}" if records else ", before any test"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the process was ended by {signal.Signals(-code).name}{after}"
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = f": {tail[-1][:200]}" if tail and code else ""
    return f"the process ended by itself with exit code {code}{after}{last}"


def _questions(bundle: Bundle, records: dict[str, Any]) -> tuple[QuestionResult, ...]:
    return tuple(
        QuestionResult(
            name,
            possible,
            tuple(CaseResult(**(case | {"evidence": tuple(case["evidence"])})) for case in records.get(name, ())),
        )
        for name, possible in bundle.points.items()
    )


def _machine() -> dict[str, Any]:
    import platform

    from gradekit import __version__

    return {"python": platform.python_version(), "system": platform.platform(terse=True), "gradekit": __version__}
