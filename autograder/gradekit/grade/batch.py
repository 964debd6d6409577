"""Grade a class: many submissions in parallel processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from gradekit.grade.bundle import Bundle
from gradekit.grade.engine import end_all, grade_submission, unfinished
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
    pool = ThreadPoolExecutor(max_workers=max(1, jobs))
    futures = {
        pool.submit(grade_submission, bundle, submission, seconds=seconds, threads=threads): i
        for i, submission in enumerate(submissions)
    }
    try:
        for future in as_completed(futures):
            i = futures[future]
            try:
                results[i] = future.result()
            except Exception as error:  # whatever it was, it is this submission's alone
                results[i] = unfinished(bundle, submissions[i], f"could not be graded: {type(error).__name__}: {error}")
            on_result(results[i])
    except BaseException:  # Ctrl-C: what waits is dropped, what runs is ended
        pool.shutdown(wait=False, cancel_futures=True)
        end_all()
        raise
    pool.shutdown()
    return [results[i] for i in range(len(submissions))]
