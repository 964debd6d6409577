"""Grade a class: many submissions in parallel processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from gradekit.grade.bundle import Bundle
from gradekit.grade.engine import grade_submission
from gradekit.grade.result import Result
from gradekit.grade.submission import Submission

__all__ = ["default_jobs", "grade_batch"]


def default_jobs() -> int:
    """As many as there are cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def grade_batch(
    bundle: Bundle,
    submissions: Sequence[Submission],
    *,
    jobs: int,
    seconds: float,
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Results in the order of `submissions`; `on_result` is called for each as it is ready, in this thread."""
    threads = max(1, default_jobs() // max(1, jobs))
    results: dict[int, Result] = {}
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        futures = {
            pool.submit(grade_submission, bundle, submission, seconds=seconds, threads=threads): i
            for i, submission in enumerate(submissions)
        }
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            on_result(results[futures[future]])
    return [results[i] for i in range(len(submissions))]
