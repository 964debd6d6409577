"""How long does the report of a large class take, and how large is it?

    python benchmarks/report.py RESULTS --students 1000

RESULTS is the --output of `gradekit grade`: the class is mixed of its results, question by question. See README.md for
how to read it.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import throughput

from gradekit.grade.result import Result
from gradekit.grade.store import Store
from gradekit.report.feedback import write_feedback
from gradekit.report.page import write_report

MOST_S, MOST_BYTES = 5.0, 5 * 2**20


def mixed(results: Sequence[Result], students: int, seed: int = 0) -> list[Result]:
    """As many submissions, each question of each taken from one of `results`."""
    rng = random.Random(seed)
    whole = [result for result in results if result.status == "graded"] or list(results)
    places = range(len(whole[0].questions))
    made = []
    for number in range(students):
        questions = tuple(rng.choice(whole).questions[place] for place in places)
        like = rng.choice(results)
        made.append(dataclasses.replace(like, submission=f"student{number:05}", questions=questions))
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How long does the report of a large class take?")
    parser.add_argument("results", type=Path)
    parser.add_argument("--students", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="a folder for what is written")
    options = parser.parse_args(arguments)
    with Store.open(options.results) as store:
        results = mixed(store.current(), options.students)
    with tempfile.TemporaryDirectory() as folder:
        place = options.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        path = write_report(place, results, title="a large class")
        report_s = time.perf_counter() - started
        size = path.stat().st_size
        write_feedback(place, results, title="a large class")
        feedback_s = time.perf_counter() - started - report_s
    rows = [
        ["class report", f"{report_s:.2f} s", f"{MOST_S:g} s: {throughput.mark(report_s <= MOST_S)}"],
        ["its size", f"{size / 2**20:.2f} MiB", f"{MOST_BYTES / 2**20:g} MiB: {throughput.mark(size <= MOST_BYTES)}"],
        ["feedback for each student", f"{feedback_s:.2f} s", ""],
    ]
    print(f"## The report of {options.students} submissions\n\n{throughput.head()}.\n")
    print("\n".join(throughput.table(["", "measured", "at most"], rows)))
    return 0 if report_s <= MOST_S and size <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
