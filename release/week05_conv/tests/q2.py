"""Tests of q2. Built from source/week05_conv/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q2"
points = 4


def gradients(conv2d_backward, dout, x, w, stride, padding):
    return conv2d_backward(dout, x, w, stride, padding)


def draw(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@test_case(name='a 3 x 3 image gives what one works out by hand', points=1, hidden=False)
def test_by_hand(env):
    """a 3 x 3 image gives what one works out by hand"""
    x = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    w = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
    dout = torch.tensor([[[[1.0, 0.0], [0.0, 2.0]]]])
    dx, dw, db = check.run(gradients, env, dout=dout, x=x, w=w, stride=1, padding=0)
    check.close(dx, torch.tensor([[[[1.0, 2.0, 0.0], [0.0, 1.0, 4.0], [0.0, 0.0, -2.0]]]]), what="dx")
    check.close(dw, torch.tensor([[[[11.0, 14.0], [20.0, 23.0]]]]), what="dw")
    check.close(db, torch.tensor([3.0]), what="db")
    dx, dw, db = check.run(gradients, env, dout=dout, x=x, w=w, stride=2, padding=1)
    check.close(dx, torch.tensor([[[[-1.0, 0.0, 0.0], [0.0, 2.0, 4.0], [0.0, 0.0, -2.0]]]]), what="dx in the figure")
    check.close(dw, torch.tensor([[[[10.0, 12.0], [16.0, 19.0]]]]), what="dw in the figure")


@test_case(name='each gradient has the shape and the dtype of what it belongs to', points=1, hidden=False)
def test_shapes(env):
    """each gradient has the shape and the dtype of what it belongs to"""
    for dtype in (torch.float32, torch.float64):
        x, w = draw(1, 2, 3, 8, 6, dtype=dtype), draw(2, 4, 3, 3, 2, dtype=dtype)
        for dout, stride, padding in ((draw(3, 2, 4, 6, 5, dtype=dtype), 1, 0), (draw(4, 2, 4, 4, 4, dtype=dtype), 2, 1)):
            got = check.run(gradients, env, dout=dout, x=x, w=w, stride=stride, padding=padding)
            check.close(len(got), 3, what="the number of gradients")
            for name, value, shape in zip(("dx", "dw", "db"), got, (x.shape, w.shape, w.shape[:1]), strict=True):
                check.close(tuple(value.shape), tuple(shape), what=f"the shape of {name} for {stride=}, {padding=}")
                check.close(str(value.dtype), str(dtype), what=f"the dtype of {name}")


ADJOINT = [
    # x, w, stride, padding
    ((2, 3, 6, 7), (4, 3, 3, 3), 1, 1),
    ((2, 3, 9, 8), (4, 3, 3, 2), 2, 0),
    ((1, 2, 7, 7), (3, 2, 4, 2), 3, 2),
]


def inner(one, other):
    return (one * other).sum()


@test_case(name='dx is the transpose of the convolution: <conv(x), y> = <x, dx(y)>', points=1, hidden=False)
def test_adjoint_of_the_image(env):
    """dx is the transpose of the convolution: <conv(x), y> = <x, dx(y)>"""
    for number, (x, w, stride, padding) in enumerate(ADJOINT):
        x, w = draw(10 + number, *x), draw(20 + number, *w)
        result = torch.nn.functional.conv2d(x, w, None, stride, padding)
        y = draw(30 + number, *result.shape)
        dx, _, _ = check.run(gradients, env, dout=y, x=x, w=w, stride=stride, padding=padding)
        check.close(dx.shape == x.shape, True, what="dx has the shape of x")
        check.close(inner(x, dx), inner(result, y), what=f"<x, dx> for {stride=}, {padding=}", ulps=2**16)


@test_case(name='dw is the transpose of it in the filters: <conv(x, v), y> = <v, dw(y)>', points=1, hidden=False)
def test_adjoint_of_the_filters(env):
    """dw is the transpose of it in the filters: <conv(x, v), y> = <v, dw(y)>"""
    for number, (x, v, stride, padding) in enumerate(ADJOINT):
        x, v = draw(40 + number, *x), draw(50 + number, *v)
        result = torch.nn.functional.conv2d(x, v, None, stride, padding)
        y = draw(60 + number, *result.shape)
        _, dw, _ = check.run(gradients, env, dout=y, x=x, w=v, stride=stride, padding=padding)
        check.close(dw.shape == v.shape, True, what="dw has the shape of w")
        check.close(inner(v, dw), inner(result, y), what=f"<v, dw> for {stride=}, {padding=}", ulps=2**16)
