"""The arithmetic of the benchmark, and that the load it makes never stays behind."""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
verdicts = importlib.import_module("verdicts")
load = importlib.import_module("gradekit.verify.busy")

Cell, Rate, Trial = verdicts.Cell, verdicts.Rate, verdicts.Trial
HARD = Cell(2.0, 1.25, 2)


@pytest.fixture(autouse=True)
def as_in_a_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, the CPU, and a seed that is put back."""
    monkeypatch.setenv("GRADEKIT_SEED", "0")
    monkeypatch.setenv("GRADEKIT_DEVICE", "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def said(verdict: str, cell: Cell = HARD, method: str = "gradekit", seconds: float = 0.5) -> Trial:
    return Trial(cell, method, verdict, 1.25, seconds)


# ------------------------------------------------------------------------------------------------------ rates


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 1000, 0.0, 1 - 0.025 ** (1 / 1000)),  # in closed form at either end
        (20, 20, 0.025 ** (1 / 20), 1.0),
        (5, 50, 0.0332751, 0.2181354),  # as R's binom.test(5, 50) has it
    ],
)
def test_the_interval_of_a_rate_is_clopper_and_pearsons(count: int, of: int, low: float, high: float) -> None:
    assert Rate(count, of).interval() == pytest.approx((low, high), abs=1e-7)


def test_no_trials_say_nothing() -> None:
    assert math.isnan(Rate(0, 0).value)
    assert Rate(0, 0).interval() == (0.0, 1.0)
    assert str(Rate(0, 0)) == "–"


def test_undecided_is_not_wrong_but_is_not_right_either() -> None:
    found = [said("fail"), said("undecided"), said("pass"), said("fail")]
    assert verdicts.wrong(found) == Rate(1, 4)
    assert verdicts.undecided(found) == Rate(1, 4)
    assert verdicts.not_right(found) == Rate(2, 4)


def test_what_is_right_depends_on_the_ratio_and_the_limit() -> None:
    assert [Cell(2.0, ratio, 0).right for ratio in verdicts.RATIOS] == ["pass", "pass", "fail", "fail"]
    assert verdicts.SAME.right == "pass"


def test_a_peer_is_better_only_where_its_rate_is_lower() -> None:
    assert verdicts.better(Rate(0, 10), Rate(0, 10)) is None
    assert verdicts.better(Rate(1, 10), Rate(5, 10)) is None
    assert verdicts.better(Rate(1, 10), Rate(0, 0)) is None
    assert verdicts.better(Rate(10, 10), Rate(0, 10)) == pytest.approx(1 / math.comb(20, 10))


def test_the_balanced_median_does_not_care_how_many_trials_a_cell_has() -> None:
    quick, slow = Cell(2.0, 0.5, 0), Cell(2.0, 0.5, 2)
    few = [said("pass", quick, seconds=0.1), said("pass", slow, seconds=3.0)]
    many = [*few, *(said("pass", slow, seconds=3.0) for _ in range(50))]
    assert verdicts.balanced_median(few) == verdicts.balanced_median(many) == 0.1
    assert math.isnan(verdicts.balanced_median([]))


# ------------------------------------------------------------------------------------- the peers' decision rules


def test_peers_pass_up_to_the_limit() -> None:
    assert verdicts.decide(2.0, 2.0, 1.0) == ("pass", 1.0)
    assert verdicts.decide(2.1, 2.0, 1.0) == ("fail", 1.05)
    assert verdicts.decide(2.5, 2.0, 1.3)[0] == "pass"


def test_one_slow_call_turns_the_mean_and_not_the_min() -> None:
    student, reference = [0.0016] * 19 + [0.02], [0.002] * 20
    assert verdicts.by_twenty(student, reference, 1.0) == {
        "mean of 20": ("fail", pytest.approx(1.26)),
        "min of 20": ("pass", pytest.approx(0.8)),
    }


def test_one_fast_call_turns_the_min_and_not_the_mean() -> None:
    found = verdicts.by_twenty([0.0019] + [0.0025] * 19, [0.002] * 20, 1.0)
    assert [verdict for verdict, _ in found.values()] == ["fail", "pass"]


def test_do_bench_is_the_median_of_calls_for_a_tenth_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def invented(function: object, case: object, count: int) -> list[float]:
        asked.append(count)
        return [0.01, 0.002, 0.002][:count] + [0.002] * (count - 3)

    monkeypatch.setattr(verdicts, "calls", invented)
    assert verdicts.do_bench(lambda: torch.zeros(1), {}) == 0.002
    assert asked == [5, 6, 27]  # the estimate is 3.6 ms


# ------------------------------------------------------------------------------------- the work and its true ratio


@pytest.mark.parametrize("ratio", verdicts.RATIOS)
@pytest.mark.parametrize("ms", verdicts.SIZES)
def test_the_true_ratio_is_exact_by_construction(ms: float, ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "repeated", lambda times: times)
    student, reference = verdicts.work(ms, ratio, 200_000)
    assert student / reference == ratio
    assert reference / 200_000 == pytest.approx(ms / 1e3, rel=0.1)


def test_the_output_does_not_depend_on_how_often_the_work_is_done() -> None:
    case = verdicts.operands(np.random.default_rng(0))
    assert torch.equal(verdicts.repeated(1)(**case), verdicts.repeated(7)(**case))


@pytest.mark.parametrize(("ratio", "verdict"), [(0.1, "pass"), (10.0, "fail")])
def test_gradekits_verdict_is_that_of_the_check(ratio: float, verdict: str) -> None:
    (found,) = verdicts.trials(Cell(0.3, ratio, 0), "gradekit", 100_000.0, 1)
    assert found.verdict == verdict  # so far from the limit that a busy machine does not matter
    assert found.pairs > 0
    assert found.seconds > 0


def test_a_wrong_output_is_no_verdict_on_speed() -> None:
    with pytest.raises(RuntimeError, match="no ratio"):
        verdicts.ask_gradekit(lambda x, w: x, lambda x, w: w, 1.0, 1)


@pytest.mark.parametrize(
    ("method", "names"),
    [("mean of 20", ["mean of 20", "min of 20"]), ("torch Timer", ["torch Timer"]), ("do_bench", ["do_bench"])],
)
def test_peers_always_decide(method: str, names: list[str]) -> None:
    found = verdicts.trials(Cell(0.3, 0.5, 0), method, 100_000.0, 1)
    assert [trial.method for trial in found] == names
    for trial in found:
        assert trial.verdict == ("pass" if trial.estimate <= 1 else "fail")


# ------------------------------------------------------------------------------------------------- plan and report


def test_rounds_are_the_same_every_time_and_give_every_cell_its_share() -> None:
    rounds = [verdicts.Plan().round(number) for number in range(8)]
    assert rounds == [verdicts.Plan().round(number) for number in range(8)]
    assert rounds[0] != rounds[1]
    flat = [asked for blocks in rounds for _, block in blocks for asked in block]
    for asked in [*verdicts.ASKED, (verdicts.SAME, "gradekit")]:
        assert flat.count(asked) == pytest.approx(8 * verdicts.per_round(*asked), abs=1)
    assert all(asked[0].load == per_core for blocks in rounds for per_core, block in blocks for asked in block)


def test_most_trials_are_where_it_is_hard() -> None:
    often = {asked: verdicts.per_round(*asked) for asked in verdicts.ASKED}
    most = max(often.values())
    assert {asked for asked, count in often.items() if count == most} == {
        (Cell(2.0, ratio, 2), "gradekit") for ratio in (0.8, 1.25)
    }


def test_a_torn_file_is_summarised_as_far_as_it_goes(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    records = [
        {"header": verdicts.header(1.0), "load_average": 0.1, "realised": {"2 ms, 0.8": 0.808}},
        *(verdicts.as_record(said("fail")) for _ in range(3)),
        verdicts.as_record(said("pass", method="mean of 20")),
        verdicts.as_record(said("pass", verdicts.SAME)),
    ]
    output.write_text("\n".join(json.dumps(record) for record in records) + '\n{"ms": 2.0, "rat')
    text = verdicts.summarise(output)
    assert "Interrupted" in text
    assert "within 1.0% of the true ones" in text
    assert "| 2 ms | 2 | 0/3 = 0 % (0–71) | 1/1 = 100 % (2.5–100) |" in text
    assert "| **not shown** | fails 0/1" in text


def marks(found: list[Trial], minutes: float | None = 38.0) -> dict[str, str]:
    return {target.text: target.mark for target in verdicts.targets(verdicts.Results(found), minutes)}


def test_targets_are_met_missed_or_not_shown() -> None:
    nothing = marks([], None)
    assert set(nothing.values()) == {"not shown"}
    good = [
        said("pass" if cell.ratio < 1 else "fail", cell, method)
        for cell in verdicts.CELLS
        for method in verdicts.METHODS
    ]
    same = [said("pass", verdicts.SAME)] * verdicts.SAME_TRIALS
    assert set(marks(good + same).values()) == {"met"}
    bad = [
        said("pass"),
        *[said("undecided")] * 2,
        said("fail", verdicts.SAME),
        said("pass", Cell(2.0, 0.5, 2), seconds=9.0),
    ]
    missed = [text for text, mark in marks(good + bad, 41.0).items() if mark == "missed"]
    assert len(missed) == 6
    assert not any("median" in text for text in missed)


# --------------------------------------------------------------------------------------------------- the load


def gone(pid: int, within_s: float = 10.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True  # dead, and waiting for whoever adopted it
        time.sleep(0.02)
    return False


def test_busy_processes_run_inside_the_block_and_are_reaped_after_an_exception() -> None:
    seen: list[int] = []

    def interrupted() -> None:
        with load.busy(2) as pids:
            seen.extend(pids)
            assert not any(gone(pid, 0.1) for pid in pids)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(seen) == 2
    for pid in seen:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_busy_process_that_ended_early_is_reported() -> None:
    with pytest.raises(RuntimeError, match="ended too early"), load.busy(1, lifetime_s=0.0) as pids:
        assert gone(pids[0])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_busy_processes_do_not_outlive_a_parent_that_is_killed(how: signal.Signals) -> None:
    code = "import time\nfrom gradekit.verify.busy import busy\n"
    code += "with busy(2) as pids:\n    print(*pids, flush=True)\n    time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=BENCHMARKS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    with parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(how)
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
