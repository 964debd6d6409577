"""Tests of q3. Built from source/week14_tokenizers/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q3"
points = 3


import math


def losses(skipgram_loss, w_in, w_out, centres, contexts, negatives):
    return skipgram_loss(w_in, w_out, centres, contexts, negatives)


def gradients(skipgram_gradients, dout, w_in, w_out, centres, contexts, negatives):
    return skipgram_gradients(dout, w_in, w_out, centres, contexts, negatives)


LN3 = math.log(3.0)  # sigmoid(ln 3) = 3/4
BY_HAND = {
    "w_in": torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]),
    "w_out": torch.tensor([[LN3, 0.0], [0.0, LN3], [-LN3, 1.0]]),
    "centres": torch.tensor([1, 0]),
    "contexts": torch.tensor([0, 2]),
    "negatives": torch.tensor([[1, 2], [1, 1]]),
}


@test_case(name='two examples lose what one works out by hand', points=1, hidden=False)
def test_loss_by_hand(env):
    """two examples lose what one works out by hand"""
    # scores ln 3, 0, -ln 3: log(4/3) + log 2 + log(4/3); all scores 0: 3 log 2
    want = torch.tensor([2 * math.log(4 / 3) + math.log(2), 3 * math.log(2)])
    check.close(check.run(losses, env, **BY_HAND), want, what="the losses")


@test_case(name='two examples have the gradients that one works out by hand', points=1, hidden=False)
def test_gradients_by_hand(env):
    """two examples have the gradients that one works out by hand"""
    dw_in, dw_out = check.run(gradients, env, dout=torch.tensor([4.0, 2.0]), **BY_HAND)
    want = torch.tensor([[LN3, 2 * LN3 - 1.0], [-2 * LN3, 2 * LN3 + 1.0], [0.0, 0.0]])
    check.close(dw_in, want, what="dw_in")
    check.close(dw_out, torch.tensor([[-1.0, 0.0], [2.0, 0.0], [1.0, 0.0]]), what="dw_out")


def step_down(skipgram_loss, skipgram_gradients, w_in, w_out, centres, contexts, negatives, step):
    ones = torch.ones(len(centres), dtype=w_in.dtype)
    dw_in, dw_out = skipgram_gradients(ones, w_in, w_out, centres, contexts, negatives)
    there = skipgram_loss(w_in - step * dw_in, w_out - step * dw_out, centres, contexts, negatives).sum()
    back = skipgram_loss(w_in + step * dw_in, w_out + step * dw_out, centres, contexts, negatives).sum()
    return (back - there) / (2 * step), (dw_in**2).sum() + (dw_out**2).sum()


@test_case(name='a small step against the gradient lowers the loss by as much as the gradient says', points=1, hidden=False)
def test_step_down(env):
    """a small step against the gradient lowers the loss by as much as the gradient says"""
    g = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(9, 5, generator=g, dtype=torch.float64) for name in ("w_in", "w_out")}
    inputs |= {name: torch.randint(9, (20,), generator=g) for name in ("centres", "contexts")}
    fall, slope = check.run(step_down, env, **inputs, negatives=torch.randint(9, (20, 3), generator=g), step=1e-6)
    if not float(slope) > 0:
        raise check.CheckFailed("the gradients are zero")
    # a difference of two losses keeps the digits of a float32
    check.close(fall.float(), slope.float(), what="the fall of the loss along the gradient (some words occur several times in this batch)")
