from __future__ import annotations

import math

import numpy as np
import pytest

from gradekit.check.median import ALPHA, LOOKS, decide, interval


def test_the_interval_is_the_exact_one_between_order_statistics():
    # P(at most 2 of 21 coins show heads) = 232 / 2^21 = 0.00011 <= 0.00025 < P(at most 3) = 0.00074: ranks 3 and 19
    assert interval(range(1, 22), 0.0005) == (3, 19)
    assert interval(range(1, 13), 0.0005) == (1, 12)  # 2 / 2^12 = 0.00049
    assert interval(range(1, 12), 0.0005) == (-math.inf, math.inf)
    assert interval(range(1, 190), 0.0005) == (71, 119)


@pytest.mark.parametrize(("ratio", "verdict", "pairs"), [(1.5, "pass", 21), (4.5, "fail", 16), (2.9, "pass", 21)])
def test_without_noise_it_is_decided_at_once(ratio, verdict, pairs):
    found = decide([math.log(ratio)] * pairs, 3.0)
    assert found is not None or pairs < 21
    found = decide([math.log(ratio)] * 21, 3.0)
    assert found.verdict == verdict
    assert found.ratio == pytest.approx(ratio)


def test_a_hundredfold_is_decided_after_two_pairs_and_never_after_one():
    assert decide([math.log(1e9)], 3.0) is None
    for ratio, pairs in ((1e9, 2), (300, 2), (100, 3), (30, 5), (15, 8)):
        samples = [math.log(ratio)] * 21
        found = decide(samples, 3.0)
        assert (found.verdict, found.pairs, found.early) == ("fail", pairs, True), ratio
    found = decide([math.log(0.01)] * 21, 3.0)
    assert (found.verdict, found.pairs) == ("pass", 2)


def test_more_is_asked_for_up_to_the_last_look_and_then_it_is_undecided():
    samples = [math.log(3.0) + 0.1 * (-1) ** i for i in range(LOOKS[-1])]
    assert decide(samples[:100], 3.0) is None
    found = decide(samples, 3.0)
    assert (found.verdict, found.pairs) == ("undecided", 189)
    assert found.low < 3.0 < found.high


def test_when_time_is_up_the_last_look_is_taken_where_the_samples_end():
    assert decide([math.log(4)] * 12, 3.0) is None
    assert decide([math.log(4)] * 12, 3.0, final=True).verdict == "fail"
    assert decide([math.log(4)] * 8, 3.0, final=True).verdict == "undecided"
    assert decide([], 3.0, final=True).verdict == "undecided"


def test_a_verdict_does_not_change_when_more_samples_follow():
    rng = np.random.default_rng(0)
    samples = list(rng.normal(math.log(2.5), 0.3, 189))
    first = decide(samples, 3.0)
    assert decide(samples[: first.pairs], 3.0) == first


@pytest.mark.parametrize("noise", ["normal", "skewed", "two humps"])
def test_at_the_limit_itself_wrong_verdicts_are_as_rare_as_promised(noise):
    rng = np.random.default_rng(1)
    trials = 2_000

    def draw():
        if noise == "normal":
            return rng.normal(0, 0.3, 189)
        if noise == "skewed":
            return rng.exponential(0.5, 189) - 0.5 * math.log(2)
        return np.where(rng.random(189) < 0.5, rng.normal(-0.4, 0.05, 189), rng.normal(0.4, 0.05, 189))

    wrong = 0
    for _ in range(trials):
        samples = draw().tolist()
        found = decide(samples, 1.0)
        wrong += found.verdict != "undecided"  # either verdict: ALPHA on each side
    assert wrong <= 2 * ALPHA * trials + 4 * math.sqrt(2 * ALPHA * trials)


@pytest.mark.parametrize(("true", "verdict"), [(0.8, "pass"), (1.25, "fail")])
def test_a_fifth_from_the_limit_in_heavy_noise_is_decided_rightly(true, verdict):
    rng = np.random.default_rng(2)
    verdicts = []
    for _ in range(300):
        samples = math.log(true) + np.where(rng.random(189) < 0.3, rng.normal(0, 1.0, 189), rng.normal(0, 0.1, 189))
        verdicts.append(decide(samples.tolist(), 1.0).verdict)
    wrong = {"pass": "fail", "fail": "pass"}[verdict]
    assert wrong not in verdicts
    assert verdicts.count("undecided") <= 3
