"""Is a median ratio below or above a limit? An exact answer from as few pairs as possible.

Samples are logarithms of paired ratios. Nothing is assumed about their distribution for the interval: it is the exact,
distribution-free one between two order statistics, whose coverage is binomial (Conover, Practical Nonparametric
Statistics, 3rd ed., section 3.2). It is looked at three times, after 21, 63 and 189 pairs, and each look is entitled to
a third of the looks' error (Bonferroni), so that looking again does not add wrong verdicts.

A submission that is slower by orders of magnitude shall not take minutes. For it a test runs alongside that may stop
after any pair: the product of ratio / (SLACK * limit) over the pairs. As long as the mean ratio is at most
SLACK * limit, this product is a supermartingale and reaches 1 / alpha with a probability of at most alpha, however
often it is looked at (Ville's inequality; Ramdas et al. 2023, Statistical Science 38:576). What it assumes is that
noise makes the mean ratio at most SLACK = 2 times the median. The same with ratios inverted finds those far below.

For a function exactly at the limit a wrong verdict has a probability of at most ALPHA in all; away from it, less.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Literal

LOOKS = (21, 63, 189)
ALPHA = 0.002
_ALPHA_LOOK = 0.0005  # two-sided, each: 3 * 0.00025 on either side
_ALPHA_EARLY = ALPHA - len(LOOKS) * _ALPHA_LOOK / 2
SLACK = 2.0
_MOST = math.log(40.0)  # one pair counts for no more, so that no single one decides


@dataclasses.dataclass(frozen=True)
class Decision:
    """ratio: the median; low, high: its interval at the deciding look, or the range of all pairs if it was early."""

    verdict: Literal["pass", "fail", "undecided"]
    ratio: float
    low: float
    high: float
    pairs: int
    early: bool


def decide(samples: Sequence[float], limit: float, *, final: bool = False) -> Decision | None:
    """The verdict on `median ratio <= limit` from the log-ratios taken so far, None if more are needed.

    It depends on the order of the samples and on nothing after the one that decides, so that several limits can share
    one sequence of samples. final: no more samples will come (time is up); the last look is taken where they end.
    """
    border, slow, fast = math.log(limit), 0.0, 0.0
    for n, sample in enumerate(samples, start=1):
        slow += min(sample - border - math.log(SLACK), _MOST)
        fast += min(border - math.log(SLACK) - sample, _MOST)
        if slow >= -math.log(_ALPHA_EARLY):
            return _decision("fail", samples[:n], early=True)
        if fast >= -math.log(_ALPHA_EARLY):
            return _decision("pass", samples[:n], early=True)
        last = n == LOOKS[-1] or (final and n == len(samples))
        if n in LOOKS or last:
            low, high = interval(samples[:n], _ALPHA_LOOK)
            if high <= border:
                return _decision("pass", samples[:n], early=False)
            if low > border:
                return _decision("fail", samples[:n], early=False)
            if last:
                return _decision("undecided", samples[:n], early=False)
    return _decision("undecided", samples, early=False) if final else None


def interval(samples: Sequence[float], alpha: float) -> tuple[float, float]:
    """The exact confidence interval of the median, of level at least 1 - alpha; infinite for too few samples."""
    ordered, rank = sorted(samples), _rank(len(samples), alpha)
    if rank == 0:
        return -math.inf, math.inf
    return ordered[rank - 1], ordered[len(ordered) - rank]


@functools.cache
def _rank(n: int, alpha: float) -> int:
    """The largest r with P(fewer than r of n fair coins show heads) <= alpha / 2."""
    below, rank = 0, 0
    while rank < n:
        below += math.comb(n, rank)
        if below > alpha / 2 * 2**n:
            return rank
        rank += 1
    return rank


def _decision(verdict: Literal["pass", "fail", "undecided"], samples: Sequence[float], *, early: bool) -> Decision:
    n = len(samples)
    if n == 0:
        return Decision(verdict, math.nan, 0.0, math.inf, 0, early)
    ordered = sorted(samples)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    low, high = (ordered[0], ordered[-1]) if early else interval(samples, _ALPHA_LOOK)
    return Decision(verdict, math.exp(middle), math.exp(low), math.exp(high), n, early)
