"""Tests of q3. Built from source/week18_quantization/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q3"
points = 4


def prepared(prepare, weight, bias, scale, zero_point):
    return prepare(weight, bias, scale, zero_point)


def layer(int8_linear, x, q_weight, multiplier, offset, scale, zero_point):
    return int8_linear(x, q_weight, multiplier, offset, scale, zero_point)


BY_HAND = {
    "q_weight": torch.tensor([[127, 0, -2], [1, -127, 5]], dtype=torch.int8),
    "multiplier": torch.tensor([0.25, 0.5]),
    "offset": torch.tensor([-61.5, 242.0]),
    "scale": 0.5,
    "zero_point": 4,
}


@test_case(name='integer weights, multiplier and offset by hand', points=1, hidden=False)
def test_prepare_by_hand(env):
    """integer weights, multiplier and offset by hand"""
    weight = torch.tensor([[63.5, 0.0, -1.0], [1.0, -127.0, 5.0]])
    v, multiplier, offset = check.run(prepared, env, weight=weight, bias=torch.tensor([1.0, 0.0]), scale=0.5, zero_point=4)
    check.close(v, BY_HAND["q_weight"], what="the integers")
    check.close(multiplier, torch.tensor([0.25, 0.5]), what="the multiplier")
    # 1 - 0.25 * 4 * 125 and 0 - 0.5 * 4 * (-121)
    check.close(offset, torch.tensor([-124.0, 242.0]), what="the offset")


@test_case(name='two rows through a layer of 3 inputs and 2 outputs, by hand', points=1, hidden=False)
def test_layer_by_hand(env):
    """two rows through a layer of 3 inputs and 2 outputs, by hand"""
    x = torch.tensor([[0.5, -1.0, 0.0], [0.8, 0.2, -2.2]])  # the integers 5 2 4 and 6 4 0
    want = torch.tensor([[0.25 * 627 - 61.5, 0.5 * -229 + 242.0], [0.25 * 762 - 61.5, 0.5 * -502 + 242.0]])
    check.close(check.run(layer, env, x=x, **BY_HAND), want, what="the output")


@test_case(name='an input may have any number of dimensions, and the dtype is kept', points=1, hidden=False)
def test_leading_dimensions(env):
    """an input may have any number of dimensions, and the dtype is kept"""
    x = torch.tensor([[0.5, -1.0, 0.0], [0.8, 0.2, -2.2]])
    want = torch.tensor([[0.25 * 627 - 61.5, 0.5 * -229 + 242.0], [0.25 * 762 - 61.5, 0.5 * -502 + 242.0]])
    for shape in ((1, 2), (2, 1), (2, 1, 1)):
        got = check.run(layer, env, x=x.view(*shape, 3), **BY_HAND)
        check.close(got, want.view(*shape, 2), what=f"the output for x of shape {(*shape, 3)}")
    check.close(check.run(layer, env, x=x[0], **BY_HAND), want[0], what="the output for x of shape (3,)")


@test_case(name='what lies out of the range is cut off, and does not wrap around', points=1, hidden=False)
def test_cut_off(env):
    """what lies out of the range is cut off, and does not wrap around"""
    edge = torch.tensor([[61.5, -66.0, 61.5]])  # the integers 127, -128, 127
    far = torch.tensor([[1e4, -1e6, 70.0]])
    want = torch.tensor([[0.25 * (127 * 127 - 2 * 127) - 61.5, 0.5 * (127 + 127 * 128 + 5 * 127) + 242.0]])
    check.close(check.run(layer, env, x=edge, **BY_HAND), want, what="the output at the ends of the range")
    check.close(check.run(layer, env, x=far, **BY_HAND), want, what="the output far out of the range")
