"""Tests of q3. Built from source/week08_one_cycle/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q3"
points = 4


def a_constant_loss(lr_range_test, steps):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    batches = [(torch.ones(3, 2), torch.zeros(3, 1))]
    return lr_range_test(
        model, optimizer, lambda output, y: 0 * output.sum() + 7.0, batches, lr_min=1e-4, lr_max=1.0, steps=steps, smoothing=0.9
    )


@test_case(name='each rate is ten times the one before, and a constant loss stays what it is', points=1, hidden=False)
def test_rates_and_constant_loss(env):
    """each rate is ten times the one before, and a constant loss stays what it is"""
    rates, losses = check.run(a_constant_loss, env, steps=5)
    check.close(torch.tensor(rates), torch.tensor([1e-4, 1e-3, 1e-2, 1e-1, 1.0]), what="the list of rates")
    check.close(torch.tensor(rates).log(), torch.tensor([1e-4, 1e-3, 1e-2, 1e-1, 1.0]).log(), what="the list of logarithms of the rates")
    check.close(torch.tensor(losses), torch.full((5,), 7.0), what="the list of losses")


def suggest(suggest_lr, rates, losses):
    return suggest_lr(rates, losses)


@test_case(name='the suggestion is where the curve is steepest', points=2, hidden=False)
def test_steepest(env):
    """the suggestion is where the curve is steepest"""
    rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
    check.close(check.run(suggest, env, rates=rates, losses=[5.0, 4.9, 4.0, 2.0, 1.5, 9.0]), 1e-2, what="the suggestion")
    check.close(check.run(suggest, env, rates=rates, losses=[5.0, 4.9, 4.8, 2.9, 2.6, 0.9]), 1e-1, what="the suggestion")


def before_and_after(lr_range_test, x, y):
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.125)
    before = model.weight.detach().clone()
    rates, _ = lr_range_test(model, optimizer, torch.nn.functional.mse_loss, [(x, y)], steps=20)
    return len(rates) > 5, float((model.weight.detach() - before).abs().max()), optimizer.param_groups[0]["lr"]


@test_case(name='weights and learning rate are as before', points=1, hidden=False)
def test_as_before(env):
    """weights and learning rate are as before"""
    numbers = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 3, generator=numbers), torch.randn(20, 1, generator=numbers)
    got = check.run(before_and_after, env, x=x, y=y)
    check.close(got, (True, 0.0, 0.125), what="(more than 5 steps?, how far the weights moved, the rate)")
