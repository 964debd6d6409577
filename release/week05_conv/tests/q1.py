"""Tests of q1. Built from source/week05_conv/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q1"
points = 4


def convolve(conv2d, x, w, b, stride, padding):
    return conv2d(x, w, b, stride, padding)


def draw(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@test_case(name='a 3 x 3 image gives what one works out by hand', points=1, hidden=False)
def test_by_hand(env):
    """a 3 x 3 image gives what one works out by hand"""
    x = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    w = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
    got = check.run(convolve, env, x=x, w=w, b=None, stride=1, padding=0)
    check.close(got, torch.tensor([[[[0.0, 2.0], [6.0, 8.0]]]]), what="the result without padding")
    got = check.run(convolve, env, x=x, w=w, b=None, stride=2, padding=1)
    check.close(got, torch.tensor([[[[-1.0, -3.0], [1.0, 8.0]]]]), what="the result in the figure")
    got = check.run(convolve, env, x=x, w=w, b=torch.tensor([10.0]), stride=2, padding=1)
    check.close(got, torch.tensor([[[[9.0, 7.0], [11.0, 18.0]]]]), what="the result with a bias of 10")


@test_case(name='the output size is rounded down, and the dtype is that of the image', points=1, hidden=False)
def test_output_sizes(env):
    """the output size is rounded down, and the dtype is that of the image"""
    for x, w, stride, padding, size in (
        ((2, 3, 8, 6), (4, 3, 3, 3), 1, 0, (6, 4)),
        ((2, 3, 8, 6), (4, 3, 3, 3), 2, 1, (4, 3)),
        ((1, 1, 7, 9), (2, 1, 2, 4), 3, 0, (2, 2)),
        ((1, 2, 5, 5), (1, 2, 1, 1), 1, 2, (9, 9)),
    ):
        for dtype in (torch.float32, torch.float64):
            got = check.run(
                convolve, env, x=draw(1, *x, dtype=dtype), w=draw(2, *w, dtype=dtype), b=draw(3, w[0], dtype=dtype),
                stride=stride, padding=padding,
            )
            what = f"the output for x {x}, w {w}, {stride=}, {padding=}"
            check.close(tuple(got.shape), (x[0], w[0], *size), what=f"the shape of {what}")
            check.close(str(got.dtype), str(dtype), what=f"the dtype of {what}")


@test_case(name='twice one image minus three times another gives just that of their results', points=1, hidden=False)
def test_linear(env):
    """twice one image minus three times another gives just that of their results"""
    one, other, w = draw(4, 2, 3, 6, 7), draw(5, 2, 3, 6, 7), draw(6, 4, 3, 3, 2)
    results = [check.run(convolve, env, x=x, w=w, b=None, stride=1, padding=1) for x in (one, other, 2 * one - 3 * other)]
    check.close(results[2], 2 * results[0] - 3 * results[1], what="conv2d(2 * one - 3 * other)", ulps=4096)


@test_case(name='a pattern that moves across the image moves the result along', points=1, hidden=False)
def test_shift(env):
    """a pattern that moves across the image moves the result along"""
    pattern, w = draw(7, 1, 2, 3, 4), draw(8, 3, 2, 3, 3)
    here, there = torch.zeros(1, 2, 12, 13, dtype=torch.float64), torch.zeros(1, 2, 12, 13, dtype=torch.float64)
    here[:, :, 2:5, 3:7] = pattern
    there[:, :, 6:9, 5:9] = pattern  # four rows down, two columns right
    first, second = (check.run(convolve, env, x=x, w=w, b=None, stride=1, padding=0) for x in (here, there))
    if not bool(first.any()):
        raise check.CheckFailed("every value of the result is zero")
    check.close(second, first.roll((4, 2), (2, 3)), what="the result for the moved pattern", ulps=1024)
