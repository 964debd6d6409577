"""Tests of q2. Built from source/week18_quantization/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q2"
points = 4


def middle(percentile_range, x, percent):
    return percentile_range(x, percent)


def errors(mse_range, x, bits):
    """Mean squared error of the range that is found, and of the whole range."""
    qmax = 2 ** (bits - 1) - 1

    def round_trip(x, lo, hi):
        scale = float(torch.maximum(-lo, hi)) / qmax
        return torch.fake_quantize_per_tensor_affine(x, scale, 0, -qmax - 1, qmax)

    lo, hi = mse_range(x, round_trip)
    return [(round_trip(x, a, b) - x).double().square().mean().float() for a, b in ((lo, hi), (x.min(), x.max()))]


def with_outliers(seed, count, outliers, size):
    x = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    x[:outliers] *= size
    return x


@test_case(name='of 0, 1, ..., 100 the middle 90 % reach from 5 to 95', points=1, hidden=False)
def test_percentiles_by_hand(env):
    """of 0, 1, ..., 100 the middle 90 % reach from 5 to 95"""
    order = torch.randperm(101, generator=torch.Generator().manual_seed(0))
    x = torch.arange(101.0)[order]
    found = check.run(middle, env, x=x, percent=90.0)
    check.close(found, (torch.tensor(5.0), torch.tensor(95.0)), what="the range")
    found = check.run(middle, env, x=torch.tensor([0.0, 1.0, 4.0]), percent=50.0)
    check.close(found, (torch.tensor(0.5), torch.tensor(2.5)), what="the middle half of 0, 1, 4")


@test_case(name='100 % is the whole range, also of a matrix and of a single value', points=1, hidden=False)
def test_all_of_it(env):
    """100 % is the whole range, also of a matrix and of a single value"""
    x = with_outliers(1, 60, 3, 20).view(6, 10)
    check.close(check.run(middle, env, x=x, percent=100.0), (x.min(), x.max()), what="the range for 100 %")
    one = torch.tensor([2.5])
    check.close(check.run(middle, env, x=one, percent=99.0), (one[0], one[0]), what="the range of a single value")


@test_case(name='with outliers, cutting leaves at most a third of the error at 4 bits', points=1, hidden=False)
def test_outliers(env):
    """with outliers, cutting leaves at most a third of the error at 4 bits"""
    for seed in range(3):
        found, whole = check.run(errors, env, x=with_outliers(seed, 4096, 4, 8), bits=4)
        if not found <= whole / 3:
            raise check.CheckFailed(f"the error is {float(found / whole):.2f} of that of the whole range")


@test_case(name='no range is worse than the whole one, and on few bits it is better', points=1, hidden=False)
def test_never_worse(env):
    """no range is worse than the whole one, and on few bits it is better"""
    for bits in (2, 3, 8):
        x = with_outliers(bits, 2000, 0, 1)
        found, whole = check.run(errors, env, x=x, bits=bits)
        if not found <= whole * (1.0 if bits == 8 else 0.9):
            raise check.CheckFailed(f"the error at {bits} bits is {float(found / whole):.3f} of that of the whole range")
