"""Tests of q3. Built from source/week05_conv/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q3"
points = 4


def pool(max_pool2d, x, size, stride):
    return max_pool2d(x, size, stride)


def unpool(max_pool2d_backward, dout, x, size, stride):
    return max_pool2d_backward(dout, x, size, stride)


def draw(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@test_case(name='a 4 x 4 image gives what one works out by hand', points=1, hidden=False)
def test_pool_by_hand(env):
    """a 4 x 4 image gives what one works out by hand"""
    x = torch.tensor([[[[1.0, 3.0, 2.0, 4.0], [5.0, 6.0, 7.0, 8.0], [-3.0, -2.0, -1.0, -9.0], [-1.0, -2.0, -3.0, -4.0]]]])
    check.close(check.run(pool, env, x=x, size=2, stride=2), torch.tensor([[[[6.0, 8.0], [-1.0, -1.0]]]]), what="blocks")
    check.close(check.run(pool, env, x=x, size=3, stride=1), torch.tensor([[[[7.0, 8.0], [7.0, 8.0]]]]), what="overlapping")


@test_case(name='the first of equal values gets the gradient, and a pixel that wins twice gets both', points=1, hidden=False)
def test_unpool_by_hand(env):
    """the first of equal values gets the gradient, and a pixel that wins twice gets both"""
    x = torch.tensor([[[[1.0, 5.0], [5.0, 5.0]]]])
    dx = check.run(unpool, env, dout=torch.tensor([[[[3.0]]]]), x=x, size=2, stride=2)
    check.close(dx, torch.tensor([[[[0.0, 3.0], [0.0, 0.0]]]]), what="dx in the window of the text")
    x = torch.tensor([[[[1.0, 6.0, 2.0], [3.0, 5.0, 4.0]]]])
    dx = check.run(unpool, env, dout=torch.tensor([[[[10.0, 1.0]]]]), x=x, size=2, stride=1)
    check.close(dx, torch.tensor([[[[0.0, 11.0, 0.0], [0.0, 0.0, 0.0]]]]), what="dx for two windows that overlap")


@test_case(name='sizes are rounded down, and dtypes are kept', points=1, hidden=False)
def test_pool_shapes(env):
    """sizes are rounded down, and dtypes are kept"""
    for dtype in (torch.float32, torch.float64):
        for x, size, stride, out in (((2, 3, 8, 6), 2, 2, (4, 3)), ((1, 2, 10, 8), 3, 2, (4, 3)), ((1, 1, 5, 8), 2, 3, (2, 3))):
            x = draw(1, *x, dtype=dtype)
            got = check.run(pool, env, x=x, size=size, stride=stride)
            check.close(tuple(got.shape), (*x.shape[:2], *out), what=f"the shape for {size=}, {stride=}")
            check.close(str(got.dtype), str(dtype), what="the dtype")
            dx = check.run(unpool, env, dout=draw(2, *got.shape, dtype=dtype), x=x, size=size, stride=stride)
            check.close(tuple(dx.shape), tuple(x.shape), what="the shape of dx")
            check.close(str(dx.dtype), str(dtype), what="the dtype of dx")


@test_case(name='the sum of the gradient is the sum of dout, image by image', points=1, hidden=False)
def test_nothing_is_lost(env):
    """the sum of the gradient is the sum of dout, image by image"""
    for size, stride, out in ((2, 2, (4, 3)), (3, 2, (3, 3)), (3, 1, (6, 5)), (2, 3, (3, 2))):
        x = draw(3, 2, 3, 8, 7).round()  # so that there are ties
        dout = draw(4, 2, 3, *out)
        dx = check.run(unpool, env, dout=dout, x=x, size=size, stride=stride)
        check.close(dx.sum((2, 3)), dout.sum((2, 3)), what=f"the sums of dx for {size=}, {stride=}", ulps=4096)
