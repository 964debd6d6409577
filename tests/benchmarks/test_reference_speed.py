from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import reference_speed
from benchmarks.reference_speed import Comparison, counted_anew, measure, piece_by_piece
from reference import week14_tokenizers as week

SCRIPT = Path(reference_speed.__file__)


def test_the_plain_versions_do_the_same_work():
    text = "low lower lowest low, and the lower the better: aaaa aaa"
    merges = week.train_bpe(text, 300)
    assert counted_anew(text, 300) == merges
    assert piece_by_piece(merges, text) == week.Tokenizer(merges).encode(text)


def test_a_ratio_is_that_of_the_work():
    def work(n: int) -> int:
        return sum(range(n))

    sums = [functools.partial(work, n) for n in (200_000, 400_000, 800_000, 100_000)]
    figure = measure(Comparison("sums", sums[0], sums[1], 1.0, plain=sums[2], products=sums[3]), 15)
    assert figure.library == pytest.approx(0.5, rel=0.3)
    assert figure.plain == pytest.approx(4.0, rel=0.3)
    assert figure.products == pytest.approx(0.25, rel=0.3)


def test_it_prints_a_table():
    done = subprocess.run([sys.executable, SCRIPT, "--quick"], capture_output=True, text=True, timeout=120, check=True)
    rows = [line for line in done.stdout.splitlines() if line.startswith("| week ")]
    weeks = [row.split(":")[0] for row in rows]
    assert weeks == ["| week 5"] * 2 + ["| week 14"] * 2 + ["| week 18"]
    assert all("times as long" in row for row in rows)
