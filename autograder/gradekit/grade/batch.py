"""Grade a class: many submissions at once, each by a judge and a worker of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from gradekit.grade.bundle import Bundle
from gradekit.grade.engine import Terms, end_all, grade_submission, unfinished
from gradekit.grade.result import Result, stopped
from gradekit.grade.submission import Submission

__all__ = ["default_jobs", "grade_batch", "grade_each"]


def default_jobs() -> int:
    """As many as there are cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def grade_each(
    bundle: Bundle, submissions: Sequence[Submission], *, jobs: int, terms: Terms | Sequence[Terms]
) -> Iterator[tuple[int, Result]]:
    """(number of the submission, its result) as each is ready; no result is kept here once it was handed out.

    terms: the same for all, or those of each.
    """
    pool = ThreadPoolExecutor(max_workers=max(1, jobs))
    of_each = [terms] * len(submissions) if isinstance(terms, Terms) else terms
    futures = {
        pool.submit(grade_submission, bundle, submission, its): i
        for i, (submission, its) in enumerate(zip(submissions, of_each, strict=True))
    }
    try:
        for future in as_completed(tuple(futures)):
            i = futures.pop(future)
            try:
                result = future.result()
            except Exception as error:  # whatever it was, it is this submission's alone
                result = unfinished(bundle, submissions[i], stopped(f"{type(error).__name__}: {error}"))
            del future
            yield i, result
            del result
    except BaseException:  # Ctrl-C: what waits is dropped, what runs is ended
        pool.shutdown(wait=False, cancel_futures=True)
        end_all()
        raise
    pool.shutdown()


def grade_batch(
    bundle: Bundle,
    submissions: Sequence[Submission],
    *,
    jobs: int,
    terms: Terms | Sequence[Terms],
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Results in the order of `submissions`; `on_result` is called for each as it is ready, in this thread."""
    results: dict[int, Result] = {}
    for i, result in grade_each(bundle, submissions, jobs=jobs, terms=terms):
        results[i] = result
        on_result(result)
    return [results[i] for i in range(len(submissions))]
