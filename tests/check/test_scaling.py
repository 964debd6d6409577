"""Growth of the cost: counted for torch and for plain Python, and measured as time (invented, but for one test)."""

from __future__ import annotations

import contextlib
import json
import math
import sys

import numpy as np
import pytest
import torch

from gradekit import check
from gradekit.check import AuthoringError, CheckFailed, LocalSubject, Outcome
from gradekit.check.meter import as_metered
from gradekit.check.operations import Operations
from gradekit.check.scaling import scaling

SIZES = (64, 128, 256, 512, 1024)


def solve(solution, x):
    return solution(x)


def tensors(rng, device, size):
    return {"x": check.normal(rng, size, device=device)}


def lists(rng, device, size):
    return {"x": rng.integers(0, 10 * size, size).tolist()}


def evidence_of(env, inputs, **options):
    options = {"sizes": SIZES, "at_most_exponent": 1.5} | options
    with check.evidence.collect() as found, contextlib.suppress(CheckFailed):
        scaling(solve, env, inputs, **options)
    return found[0]


TORCH = {
    "x.sum()": 1.0,
    "x.cumsum(0)": 1.0,
    "(x[:, None] * x).sum(1)": 2.0,
    "x[:, None].expand(-1, len(x)).sum()": 2.0,
    "torch.outer(x, x) @ torch.outer(x, x)": 3.0,
    "torch.stack([v * 2 for v in x])": 1.0,
    "torch.stack([x[:i + 1].sum() for i in range(len(x))])": 2.0,
    "[x[torch.tensor([i])] for i in range(len(x))][0]": 1.0,
    "[float(x[i]) for i in range(len(x))]": 1.0,
    "torch.nn.functional.scaled_dot_product_attention(*[x.view(1, 1, -1, 1)] * 3)": 2.0,
    "torch.nn.functional.conv1d(x.view(1, 1, -1), torch.ones(1, 1, 3))": 1.0,
}


@pytest.mark.parametrize("body", TORCH)
def test_torch_operations_are_counted(answer, body):
    found = evidence_of(answer(f"def solution(x): return {body}"), tensors, sizes=(64, 128, 256, 512))
    assert found.data["exponent"] == pytest.approx(TORCH[body], abs=0.06)
    assert found.verdict == ("pass" if TORCH[body] < 1.5 else "fail")
    json.dumps(found.as_dict())


PYTHON = {
    "linear": ("total = 0\n    for v in x:\n        total += v\n    return total", 1.0),
    "one line": ("return [v + 1 for v in x]", 1.0),
    "generator": ("return sum(v * v for v in x)", 1.0),
    "while": ("i = 0\n    while i < len(x): i += 1\n    return i", 1.0),
    "pairs": ("return sum([v < w for v in x for w in x])", 2.0),
    "triples": ("return sum(1 for v in x[:8] for w in x for u in x)", 2.0),
    "bubble": (
        "x = list(x)\n    for i in range(len(x)):\n        for j in range(len(x) - 1 - i):\n"
        "            if x[j] > x[j + 1]:\n                x[j], x[j + 1] = x[j + 1], x[j]\n    return x",
        2.0,
    ),
    "halving": (
        "lo, hi = 0, len(x)\n    while lo < hi:\n        mid = (lo + hi) // 2\n        if x[mid] < 0:\n"
        "            lo = mid + 1\n        else:\n            hi = mid\n    return lo",
        0.1,
    ),
    "called": ("import heapq\n    h = []\n    for v in x: one(h, v)\n    return h", 1.0),
    "library": ("import statistics\n    return [statistics._sum(x)[2] for v in x][0]", 2.0),
    "thread": (
        "import threading\n    t = threading.Thread(target=pairs, args=(x,))\n    t.start(); t.join()\n    return 1",
        2.0,
    ),
}


@pytest.mark.parametrize("name", PYTHON)
def test_lines_of_python_are_counted(answer, name):
    body, exponent = PYTHON[name]
    source = "def one(h, v):\n    h.append(v)\ndef pairs(x):\n    for v in x:\n        for w in x: pass\n"
    env = answer(source + f"def solution(x):\n    {body}\n")
    tracer = sys.gettrace()
    found = evidence_of(env, lists, sizes=(32, 64, 128, 256))
    assert found.data.get("exponent") == pytest.approx(exponent, abs=0.15), found.message
    assert sys.gettrace() is tracer


MERGE = """
def solution(x):
    if len(x) < 2:
        return x
    a, b = solution(x[: len(x) // 2]), solution(x[len(x) // 2 :])
    out, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] <= b[j]:
            out.append(a[i])
            i += 1
        else:
            out.append(b[j])
            j += 1
    return out + a[i:] + b[j:]
"""


def test_n_log_n_lies_a_little_above_n(answer):
    """That little is all there is to tell them by."""
    found = evidence_of(answer(MERGE), lists)
    assert 1.05 < found.data["exponent"] < 1.25
    assert found.verdict == "pass"


def test_a_count_is_the_same_every_time(answer):
    env = answer("def solution(x): return torch.stack([v.exp() for v in x]).sort().values")
    first, second = (evidence_of(env, tensors) for _ in range(2))
    assert first.data == second.data


def test_terms_of_lower_order_do_not_hide_the_square(answer):
    env = answer("def solution(x):\n    for _ in range(500): x = x + 1\n    return x[:, None] - x")
    found = evidence_of(env, tensors)
    assert found.verdict == "fail"
    assert 1.5 < found.data["exponent"] < 2


def test_the_message_says_how_fast_it_grows_and_where(answer):
    with pytest.raises(CheckFailed) as failure:
        scaling(
            solve,
            answer("def solution(x):\n    y = x * 2\n    return (y[:, None] - y).abs().sum()"),
            tensors,
            sizes=SIZES,
            at_most_exponent=1.2,
        )
    assert str(failure.value).startswith("the number of operations grows as size^")
    assert "; at most size^1.2 is asked for: 16 times the size costs 25" in str(failure.value)
    assert str(failure.value).endswith("Most of it is aten::sum in line 3 of solution")
    with pytest.raises(CheckFailed, match="Most of it is line 4 of solution"):
        scaling(
            solve,
            answer("def solution(x):\n    n = 0\n    for v in x:\n        for w in x: n += 1\n    return n"),
            lists,
            sizes=(16, 32, 64, 128),
            at_most_exponent=1.2,
        )


def test_what_is_not_counted_is_refused_or_measured_as_time(answer):
    def arrays(rng, device, size):
        return {"x": rng.normal(size=size)}

    with pytest.raises(AuthoringError, match="inside NumPy are not counted: use of='time'"):
        scaling(solve, answer("def solution(x): return x + 1"), arrays, sizes=SIZES, at_most_exponent=1.5)
    for body in ("np.sort(x)", "list(np.asarray(x) + 1)", "float(np.outer(x, x).sum())"):
        for drawn in (tensors, lists):
            found = evidence_of(answer(f"def solution(x): return {body}.__class__.__name__"), drawn)
            assert found.verdict == "fail", body
            assert "what NumPy does is not counted here" in found.message, body


def test_a_blank_or_forbidden_answer_fails(answer):
    with pytest.raises(CheckFailed, match="solution returned None"):
        scaling(solve, answer("def solution(x): ..."), lists, sizes=SIZES, at_most_exponent=1)
    with pytest.raises(CheckFailed, match="cumsum, which this question forbids"):
        scaling(
            solve,
            answer("def solution(x): return x.cumsum(0)"),
            tensors,
            sizes=SIZES,
            at_most_exponent=2,
            forbid=("torch.Tensor.cumsum",),
        )


@pytest.mark.parametrize("sizes", [(1, 2, 4), (8, 16, 16, 64), (10, 20, 40, 70), (0, 10, 20, 80)])
def test_too_few_or_too_narrow_sizes_are_an_authors_mistake(answer, sizes):
    with pytest.raises(AuthoringError, match="at least four different sizes"):
        scaling(solve, answer("def solution(x): return 1"), lists, sizes=sizes, at_most_exponent=1)


def test_bad_options_are_an_authors_mistake(answer):
    with pytest.raises(AuthoringError, match="of='operations' or of='time'"):
        scaling(solve, answer(""), lists, sizes=SIZES, at_most_exponent=1, of="luck")
    with pytest.raises(AuthoringError, match="above 0"):
        scaling(solve, answer(""), lists, sizes=SIZES, at_most_exponent=0)


class Clock:
    """A real subject with invented times: size ** exponent with log-normal noise."""

    def __init__(self, exponent: float, noise: float, overhead: float = 0.0) -> None:
        self.local = LocalSubject({"solution": len})
        self.exponent, self.noise, self.overhead = exponent, noise, overhead
        self.rng, self.order = np.random.default_rng(1), []

    def call(self, experiment, inputs, *, timed=False, record=False, watch=False, seed=0):
        if not timed:
            return self.local.call(experiment, inputs, record=record)
        size = len(inputs["x"])
        self.order.append(size)
        seconds = 1e-6 * (self.overhead + size**self.exponent) * math.exp(self.rng.normal(0, self.noise))
        return Outcome(size, seconds)

    def identity(self, experiment, inputs):
        return ()


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_time_tells_n_from_its_square_surely(noise):
    found = evidence_of(Clock(1.0, noise), lists, of="time")
    assert found.verdict == "pass"
    assert found.data["low"] <= 1.0 <= found.data["high"] < 1.5
    found = evidence_of(Clock(2.0, noise), lists, of="time")
    assert found.verdict == "fail"
    assert found.data["low"] <= 2.0 <= found.data["high"]
    assert found.message.startswith("the time grows as size^2.0")
    assert len(found.data["cost"]) == len(SIZES)


def test_time_near_the_limit_is_undecided_and_passes_with_a_flag():
    found = evidence_of(Clock(1.5, 0.3), lists, of="time")
    assert (found.verdict, found.data["flag"]) == ("undecided", "undecided")
    assert "too near it to tell" in found.message


def test_the_sizes_take_turns_in_an_order_drawn_by_lot():
    clock = Clock(1.0, 0.1)
    evidence_of(clock, lists, of="time")
    rounds = [tuple(clock.order[i : i + 5]) for i in range(4, len(clock.order), 5)]
    assert all(sorted(order) == list(SIZES) for order in rounds)
    assert len(set(rounds)) > 5


def test_real_clocks_tell_a_line_from_a_square(answer):
    """The only test with real times: work in Python's built-ins, which no count sees, far from the limit."""
    sizes = (250, 500, 1000, 2000)
    loop = "    for v in x:\n        if v not in seen: seen.append(v)\n"
    hidden = answer(f"def solution(x):\n    seen = []\n{loop}    return len(seen)")
    assert evidence_of(hidden, lists, sizes=(64, 128, 256, 512)).verdict == "pass"
    assert evidence_of(hidden, lists, sizes=sizes, of="time").verdict == "fail"
    linear = answer("def solution(x):\n    n = 0\n    for v in x: n += v\n    return n")
    assert evidence_of(linear, lists, sizes=sizes, of="time").verdict == "pass"


def test_operations_are_counted_per_operator(answer):
    meter = Operations()
    as_metered(answer("def solution(x): return (x @ x.T).relu_()")).metered(solve, {"x": torch.ones(4, 8)}, meter)
    assert meter.total == 2 * 4 * 8 * 4 + 1 + 4 * 4 + 1  # the product, its transposed view, relu, one line
