"""Tests of q1. Built from source/week18_quantization/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q1"
points = 5


def as_integers(quantize, x, scale, zero_point, bits, axis):
    return quantize(x, scale, zero_point, bits, axis)


def as_numbers(dequantize, q, scale, zero_point, axis):
    return dequantize(q, scale, zero_point, axis)


def parameters(qparams, lo, hi, bits, symmetric):
    return qparams(lo, hi, bits, symmetric)


def there_and_back(find_range, qparams, quantize, dequantize, x, bits, symmetric, axis):
    scale, zero_point = qparams(*find_range(x, axis), bits, symmetric)
    q = quantize(x, scale, zero_point, bits, axis)
    return q, dequantize(q, scale, zero_point, axis), scale, zero_point


def ints(*values, dtype=torch.int32):
    return torch.tensor(values, dtype=dtype)


@test_case(name='the ruler of the figure, by hand', points=1, hidden=False)
def test_affine_by_hand(env):
    """the ruler of the figure, by hand"""
    lo, hi = torch.tensor(-1.0), torch.tensor(2.75)
    scale, zero_point = check.run(parameters, env, lo=lo, hi=hi, bits=4, symmetric=False)
    check.close(scale, torch.tensor(0.25), what="the scale")
    check.close(zero_point, torch.tensor(-4, dtype=torch.int32), what="the zero point")
    x = torch.tensor([-1.0, 0.0, 0.3, 0.375, 0.625, 2.75, 5.0, -40.0])
    q = check.run(as_integers, env, x=x, scale=scale, zero_point=zero_point, bits=4, axis=None)
    check.close(q, ints(-8, -4, -3, -2, -2, 7, 7, -8, dtype=torch.int8), what="what quantize gives")
    back = check.run(as_numbers, env, q=q, scale=scale, zero_point=zero_point, axis=None)
    check.close(back, torch.tensor([-1.0, 0.0, 0.25, 0.5, 0.5, 2.75, 2.75, -1.0]), what="what dequantize gives")


@test_case(name='a symmetric ruler for each row, by hand', points=1, hidden=False)
def test_rows_by_hand(env):
    """a symmetric ruler for each row, by hand"""
    x = torch.tensor([[8.0, -31.75, 0.0], [0.5, 63.5, -63.5]])
    q, back, scale, zero_point = check.run(there_and_back, env, x=x, bits=8, symmetric=True, axis=0)
    check.close(scale, torch.tensor([0.25, 0.5]), what="the tensor of scales")
    check.close(zero_point, ints(0, 0), what="the tensor of zero points")
    check.close(q, torch.tensor([[32, -127, 0], [1, 127, -127]], dtype=torch.int8), what="what quantize gives")
    check.close(back, x, what="what dequantize gives")


@test_case(name='zero is met exactly, wherever the range lies', points=1, hidden=False)
def test_zero_is_exact(env):
    """zero is met exactly, wherever the range lies"""
    for lo, hi in ((-1.0, 2.0), (-0.3, 7.1), (0.4, 3.0), (-5.0, -2.0), (-0.001, 100.0)):
        for bits in (2, 4, 8):
            x = torch.tensor([lo, 0.0, hi])
            low, high = torch.tensor([lo]), torch.tensor([hi])
            scale, zero_point = check.run(parameters, env, lo=low, hi=high, bits=bits, symmetric=False)
            q = check.run(as_integers, env, x=x, scale=scale[0], zero_point=zero_point[0], bits=bits, axis=None)
            back = check.run(as_numbers, env, q=q, scale=scale[0], zero_point=zero_point[0], axis=None)
            check.close(float(back[1]), 0.0, what=f"what comes back for zero in a range from {lo} to {hi}, {bits=}")
            if not -(2 ** (bits - 1)) <= int(zero_point) < 2 ** (bits - 1):
                raise check.CheckFailed(f"a zero point of {int(zero_point)} is no integer of {bits} bits")


@test_case(name='no value within the range is off by more than half a step, and the whole ruler is used', points=1, hidden=False)
def test_half_a_step(env):
    """no value within the range is off by more than half a step, and the whole ruler is used"""
    for bits in (2, 3, 5, 8):
        for symmetric in (False, True):
            x = torch.linspace(-3.0, 3.0 if symmetric else 2.95, 2001).view(3, 667)
            q, back, scale, _ = check.run(there_and_back, env, x=x, bits=bits, symmetric=symmetric, axis=None)
            what = f"{bits=}, {symmetric=}"
            marks = 2**bits - 1 if symmetric else 2**bits
            check.close(len(set(q.flatten().tolist())), marks, what=f"how many different integers there are, {what}")
            steps = float((back - x).abs().max() / scale)
            if steps > 0.501:
                raise check.CheckFailed(f"a value is off by {steps:.2f} steps, {what}")


@test_case(name='a tensor of zeros stays one, and so does a channel of zeros', points=1, hidden=False)
def test_zeros(env):
    """a tensor of zeros stays one, and so does a channel of zeros"""
    x = torch.zeros(3, 4)
    for symmetric in (False, True):
        for axis in (None, 0):
            _, back, scale, _ = check.run(there_and_back, env, x=x, bits=8, symmetric=symmetric, axis=axis)
            check.close(back, x, what=f"what comes back, {symmetric=}, {axis=}")
            check.close(scale, torch.ones(() if axis is None else (3,)), what=f"the scale, {symmetric=}, {axis=}")
    x[1] = torch.tensor([1.0, 2.0, -3.0, 0.5])
    _, back, _, _ = check.run(there_and_back, env, x=x, bits=8, symmetric=True, axis=0)
    check.close(back[::2], torch.zeros(2, 4), what="the rows of zeros beside another row")
    if not bool(back[1].any()):
        raise check.CheckFailed("the row that is not zero comes back as zeros")
