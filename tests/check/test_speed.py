"""The statistics run on invented times, so that no test here depends on a clock."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from gradekit import check
from gradekit.check import CheckFailed, LocalSubject, Outcome
from gradekit.check.speed import SECONDS, limit_for
from gradekit.device import Rates


class Timed:
    """A real local subject whose seconds are invented."""

    def __init__(self, namespace: dict[str, Any], seconds: Callable[[], float]) -> None:
        self.local = LocalSubject(namespace)
        self.seconds = seconds
        self.calls: list[dict[str, Any]] = []

    def call(self, experiment, inputs, *, timed=False, record=False, watch=False, seed=0, **more) -> Outcome:
        outcome = self.local.call(experiment, inputs, timed=timed, record=record, watch=watch, seed=seed, **more)
        if timed:
            self.calls.append({key: value.clone() for key, value in inputs.items()})
        return Outcome(outcome.outputs, self.seconds() if timed else 0.0, outcome.recorded, outcome.operations)

    def identity(self, experiment, inputs) -> tuple[object, ...]:
        return self.local.identity(experiment, inputs)


class Bench:
    """A student and a reference, both `lambda x: 2 * x`, a times ratio between them, and a fresh experiment."""

    def __init__(self, source: str = "def double(x): return x + x") -> None:
        self.env: dict[str, Any] = {"__name__": "__main__", "torch": torch}
        exec(source, self.env)
        self.order: list[str] = []
        self.ratio: Iterator[float] = itertools.repeat(1.0)

        def reference_seconds() -> float:
            self.order.append("r")
            return 0.002

        def student_seconds() -> float:
            self.order.append("s")
            return 0.002 * next(self.ratio)

        self.student = Timed(self.env, student_seconds)
        self.reference = Timed({"double": lambda x: 2 * x}, reference_seconds)

        def doubled(double, x):
            return double(x)

        self.experiment = doubled

    def run(self, ratio: float | Iterator[float], at_most: Any = 3.0, **options: Any) -> check.Evidence:
        """The evidence of one check; a failure is in it."""
        self.ratio = itertools.repeat(ratio) if isinstance(ratio, int | float) else ratio
        with check.evidence.collect() as found, contextlib.suppress(CheckFailed):
            check.speed(self.experiment, self.student, self.reference, inputs, at_most=at_most, **options)
        return found[0]


def inputs(rng, device):
    return {"x": check.normal(rng, 8, device=device)}


def noisy(true: float, spread: float, seed: int = 0) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    return (true * math.exp(rng.normal(0, spread)) for _ in itertools.count())


def test_below_the_limit_passes_and_above_it_fails_with_the_interval():
    found = Bench().run(noisy(1.5, 0.1))
    assert found.verdict == "pass"
    assert found.message.startswith("1.5 times the reference (1.3 to 1.7); the limit is 3.0 on a cpu")
    found = Bench().run(noisy(5.1, 0.02))
    assert found.verdict == "fail"
    assert found.message.startswith("5.1 times the reference (5.0 to 5.2); full points need 3.0 on a cpu.")


def test_near_the_limit_it_measures_on_and_then_passes_undecided_with_a_flag():
    found = Bench().run(noisy(3.0, 0.3))
    assert found.verdict == "undecided"
    assert found.data["pairs"] == 189
    assert found.data["flag"] == "undecided"
    assert "too near the limit of 3.0 on a cpu to tell" in found.message
    assert Bench().run(noisy(2.7, 0.3)).data["pairs"] in (63, 189)


def test_a_python_loop_is_decided_after_few_calls():
    bench = Bench()
    found = bench.run(noisy(400, 0.5))
    assert found.verdict == "fail"
    assert found.data["early"]
    assert len(bench.student.calls) <= 5


def test_a_slow_student_is_measured_on_past_the_time_while_all_pairs_agree(monkeypatch):
    ticks = itertools.count(step=2 * SECONDS / 30)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))  # a pair takes 1.3 s
    assert Bench().run(4.0).verdict == "fail"
    found = Bench().run(itertools.cycle([2.5, 3.5]))
    assert found.verdict == "undecided"
    assert found.data["pairs"] == 16


def test_the_order_is_drawn_by_lot_and_mirrored():
    bench = Bench()
    bench.run(itertools.cycle([2.5, 3.5]))
    order = "".join(bench.order[-2 * 189 :])
    blocks = [order[i : i + 4] for i in range(0, 188 * 2, 4)]
    assert set(blocks) == {"srrs", "rssr"}
    assert 25 <= blocks.count("srrs") <= 69


def test_every_pair_has_fresh_inputs_which_both_sides_share():
    bench = Bench()
    bench.run(2.0)
    drawn = [call["x"] for call in bench.student.calls]
    assert len(drawn) >= 17
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))
    pairs = zip(drawn[-15:], bench.reference.calls[-15:], strict=True)
    assert all(torch.equal(x, call["x"]) for x, call in pairs)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 2.1 * x", "before it can be timed it must be right: .*1.05 times"),
        ("...", "double returned None: is the body still the placeholder"),
        ("return seen.setdefault(id(x), 2 * x).clone()", "in a timed call .*is a result remembered"),
        ("return seen.setdefault(x.shape, 2 * x).clone()", "in a timed call .*is a result remembered"),
        ("n = len(seen); seen[n] = 1; return 2 * x if n < 8 else 0 * x", "in a timed call .*every value is zero"),
        ("n = len(seen); seen[n] = 1; return 2 * x if n != 8 else x * float('nan')", "in a timed call .*NaN"),
        ("return (2 * x).double()", "dtype"),
        ("return (2 * x).half().float()", "Rounding"),
    ],
)
def test_the_output_that_was_timed_is_the_one_that_must_be_right(body, said):
    bench = Bench(f"seen = {{}}\ndef double(x):\n    {body}")
    for _ in range(2):  # a second tier does not get another chance
        with pytest.raises(CheckFailed, match=said):
            check.speed(bench.experiment, bench.student, bench.reference, inputs, at_most=3.0)


def test_tiers_share_one_measurement_and_extend_it():
    bench = Bench()
    assert bench.run(noisy(2.0, 0.2), at_most=6.0).verdict == "pass"
    first = len(bench.student.calls)
    assert bench.run(noisy(2.0, 0.2), at_most=6.0).verdict == "pass"
    assert len(bench.student.calls) == first
    assert bench.run(noisy(2.0, 0.2, seed=1), at_most=2.1).data["pairs"] > 21
    more = len(bench.student.calls)
    assert more > first
    assert bench.run(1.0, at_most=0.5).verdict == "fail"
    assert len(bench.student.calls) == more


def test_a_name_that_is_bound_anew_is_measured_anew():
    bench = Bench()
    assert bench.run(5.0).verdict == "fail"
    bench.env["double"] = lambda x: x * 2
    assert bench.run(1.0).verdict == "pass"


def test_a_limit_for_another_device_class_is_not_assessed_but_the_output_is():
    bench = Bench()
    found = bench.run(100.0, at_most={"cuda": 1.5})
    assert found.verdict == "not assessed"
    assert found.message == "not assessed on a cpu: there is a limit for cuda only"
    found = Bench("def double(x): ...").run(1.0, at_most={"cuda": 1.5})
    assert found.verdict == "fail"
    assert limit_for({"cpu": 3.0, "cuda": 1.5}, "cpu") == 3.0


def test_far_faster_than_the_reference_is_flagged_and_passes():
    found = Bench().run(0.01)
    assert found.verdict == "pass"
    assert found.data["flag"] == "100 times faster than the reference: is the work done?"
    assert "flag" not in Bench().run(0.1).data


def test_faster_than_memory_delivers_the_inputs_is_flagged(monkeypatch):
    slow = Rates({"float32": 1e9}, bandwidth=1e3, cache_bandwidth=4e4, launch_s=1e-6)  # 32 bytes take 0.8 ms
    monkeypatch.setattr("gradekit.device.rates", lambda: slow)
    found = Bench().run(0.3)  # 0.6 ms
    assert found.verdict == "pass"
    assert found.data["flag"] == "600 µs are less than the 800 µs that its inputs take to be read: is the work done?"
    assert "flag" not in Bench().run(0.45).data  # 0.9 ms
    assert "flag" not in Bench().run(0.6).data  # not suspicious: it is not looked at


def test_the_clock_stands_in_the_evidence_where_it_can_be_read(monkeypatch):
    ticks = iter((1980.0, 1410.0))
    monkeypatch.setattr("gradekit.device.clock_mhz", lambda device: next(ticks))
    assert Bench().run(1.0).data["clock_mhz"] == [1980.0, 1410.0]


def test_a_forbidden_function_costs_these_points_too():
    bench = Bench("def double(x): return torch.add(x, x)")
    found = bench.run(1.0, forbid=("torch.add",))
    assert found.verdict == "fail"
    assert "double, line 1 uses torch.add, which this question forbids" in found.message
    assert Bench().run(1.0, forbid=("torch.add",)).verdict == "pass"


def test_a_python_loop_is_named_from_the_count_of_operations():
    bench = Bench("def double(x):\n    return torch.stack([2 * v for v in x for _ in range(20)])[::20].clone()")
    found = bench.run(50.0)
    assert "It runs 164 tensor operations where the reference runs 1: usually a Python loop" in found.message
    assert "tensor operations" not in Bench().run(50.0).message


def test_the_count_of_operations_ends_early():
    bench = Bench("""
count = []
def double(x):
    for i in range(10_000):
        x = x + 0
        count.append(i)
    return 2 * x
""")
    found = bench.run(50.0)
    assert "It runs over 2,000 tensor operations where the reference runs 1:" in found.message
    assert len(bench.env["count"]) % 10_000 == 1_999


def test_evidence_holds_the_samples_and_is_json():
    found = Bench().run(2.0)
    data = json.loads(json.dumps(found.as_dict()))["data"]
    assert len(data["student_s"]) == len(data["reference_s"]) == data["pairs"]
    assert data["ratio"] == pytest.approx(2.0)
    assert data["low"] <= data["ratio"] <= data["high"]


def test_several_cases_are_an_authors_mistake():
    def several(rng, device):
        yield {"x": torch.ones(1)}
        yield {"x": torch.ones(2)}

    bench = Bench()
    with pytest.raises(check.AuthoringError, match=r"check\.speed takes one case; several yields 2"):
        check.speed(bench.experiment, bench.student, bench.reference, several, at_most=3.0)


def test_real_clocks_tell_a_hundredfold_from_the_same(answer, reference):
    """The only test with real times: the ratios are so far from the limits that no load can turn them."""

    def doubled(double, x):
        return double(x)

    def many(rng, device):
        return {"x": check.normal(rng, 2000, device=device)}

    threads = torch.get_num_threads()
    check.speed(doubled, answer("def double(x): return x + x"), reference, many, at_most=40.0)
    loop = answer("def double(x): return torch.stack([2 * v for v in x])")
    with pytest.raises(CheckFailed, match="times the reference"):
        check.speed(doubled, loop, reference, many, at_most=3.0)
    assert torch.get_num_threads() == threads
