"""Grade a class into a store: what is there already is left out, and the rest is there the moment it is known."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gradekit import __version__
from gradekit.grade.batch import default_jobs, grade_each
from gradekit.grade.beside import digest_beside
from gradekit.grade.bundle import Bundle
from gradekit.grade.engine import Terms
from gradekit.grade.result import Result, merge
from gradekit.grade.store import Key, Store
from gradekit.grade.submission import InvalidSubmission, Submission, read_notebook

__all__ = ["grade_into"]


def grade_into(
    store: Store,
    bundle: Bundle,
    submissions: Sequence[Submission],
    terms: Terms,
    *,
    jobs: int = 0,
    resume: bool = False,
    on_result: Callable[[Result], None] = lambda result: None,
) -> int:
    """Grade `submissions` and put every result.

    With `terms.questions` these alone are graded of what was graded before, and the others keep their points. What was
    never graded, or was handed in anew since, is graded whole: a result is always of one notebook.

    resume: a submission that was graded in full with the same contents, bundle, kit and device class is left out, and
    one of the same contents under another name has the same result. Longest expected first, by the last time, so that
    the end does not wait for one. Returns how many were graded. A result that was disturbed from outside (a process of
    the kit was killed) is not put where an undisturbed one is there, and never counts as done.
    """
    keys = {submission.name: _key(submission, bundle) for submission in submissions}
    before = {result.submission: result for result in store.current(list(keys))}
    same = {name for name in before if store.contents(name) == keys[name].submission}
    todo = []
    for submission in submissions:
        known = _known(store, keys[submission.name], submission.name) if resume else None
        if known is None:
            todo.append(submission)
        else:
            store.put(keys[submission.name], known)  # the latest, whatever was handed in in between
            on_result(known)
    todo.sort(key=lambda s: -before[s.name].seconds if s.name in before else -float("inf"))

    def put(result: Result) -> None:
        old = before.get(result.submission)
        if terms.questions is not None and result.submission in same and result.machine.get("complete", True):
            result = merge(before[result.submission], result, terms.questions)
        if result.machine.get("complete", True) or old is None:
            store.put(keys[result.submission], result)
        on_result(result)

    of_each = [terms if submission.name in same else replace(terms, questions=None) for submission in todo]
    for _, result in grade_each(bundle, todo, jobs=jobs or default_jobs(), terms=of_each):
        put(result)
    return len(todo)


def _known(store: Store, key: Key, name: str) -> Result | None:
    found = store.get(key, name) or store.get_same_content(key, name)
    return found if found is not None and found.machine.get("complete", True) else None


def _key(submission: Submission, bundle: Bundle) -> Key:
    try:
        contents = hashlib.sha256(read_notebook(submission, bundle.assignment)).hexdigest()
        if bundle.hand_in:
            contents += f" {digest_beside(submission, bundle.hand_in)}"
    except InvalidSubmission as reason:  # it costs nothing to find out again
        contents = f"invalid: {reason}"
    return Key(contents, bundle.digest, __version__, _device_class())


def _device_class() -> str:
    """What grades here, without importing torch: as `device.current` decides, but for a GPU that torch cannot use."""
    wanted = os.environ.get("GRADEKIT_DEVICE", "").strip().lower()
    if wanted:
        return wanted
    if Path("/dev/nvidiactl").exists():
        return "cuda"
    return "mps" if sys.platform == "darwin" else "cpu"
