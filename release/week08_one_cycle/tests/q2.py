"""Tests of q2. Built from source/week08_one_cycle/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q2"
points = 4


import math


def clip(clip_grad_norm_, gradients, max_norm, norm_type):
    parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    held = [parameter.grad for parameter in parameters]
    norm = clip_grad_norm_(parameters, max_norm, norm_type)
    same = all(parameter.grad is gradient for parameter, gradient in zip(parameters, held, strict=True))
    moved = any(bool(p.detach().any()) for p in parameters)
    return norm, [gradient for gradient in held if gradient.numel()], same, moved


@test_case(name='gradients of 3 and 4 have a norm of 5, and are shortened together', points=1, hidden=False)
def test_three_and_four(env):
    """gradients of 3 and 4 have a norm of 5, and are shortened together"""
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    norm, clipped, same, moved = check.run(clip, env, gradients=gradients, max_norm=1.0, norm_type=2.0)
    check.close(norm, torch.tensor(5.0), what="the norm")
    check.close(clipped, [torch.tensor([0.6, 0.0]), torch.tensor([[0.8]])], what="the list of gradients")
    check.close((same, moved), (True, False), what="whether p.grad is the same tensor, and the parameters moved: this")


@test_case(name='with a norm_type of infinity the largest value counts', points=1, hidden=False)
def test_largest_value(env):
    """with a norm_type of infinity the largest value counts"""
    gradients = [torch.tensor([3.0, -8.0]), torch.tensor([[4.0]])]
    norm, clipped, *_ = check.run(clip, env, gradients=gradients, max_norm=2.0, norm_type=math.inf)
    check.close(norm, torch.tensor(8.0), what="the norm")
    check.close(clipped, [torch.tensor([0.75, -2.0]), torch.tensor([[1.0]])], what="the list of gradients")


@test_case(name='gradients that are short enough do not change by a single bit', points=1, hidden=False)
def test_short_enough(env):
    """gradients that are short enough do not change by a single bit"""
    gradients = [torch.tensor([0.1, -0.2, 0.3]), torch.tensor([0.7])]
    norm, clipped, *_ = check.run(clip, env, gradients=gradients, max_norm=10.0, norm_type=2.0)
    check.close(norm, torch.tensor(0.63).sqrt(), what="the norm")
    check.close([c.tolist() for c in clipped], [g.tolist() for g in gradients], what="the list of gradients", ulps=0)


def clip_some(clip_grad_norm_, gradient):
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    parameters[1].grad = gradient.clone()
    norm = clip_grad_norm_(parameters, 1.0)
    return norm, parameters[1].grad, [p.grad is None for p in parameters]


@test_case(name='parameters without a gradient are left out, and get none', points=1, hidden=False)
def test_missing(env):
    """parameters without a gradient are left out, and get none"""
    norm, gradient, missing = check.run(clip_some, env, gradient=torch.tensor([6.0, -8.0]))
    check.close(norm, torch.tensor(10.0), what="the norm")
    check.close(gradient, torch.tensor([0.6, -0.8]), what="the gradient that there is")
    check.close(missing, [True, False, True], what="which gradients are missing")
