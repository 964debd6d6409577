"""Tests of q1. Built from source/week08_one_cycle/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q1"
points = 3


def a_run(one_cycle, steps, arguments):
    pairs = [one_cycle(step, **arguments) for step in steps]
    rates, momenta = zip(*pairs, strict=True)
    return torch.tensor(rates, dtype=torch.float64), torch.tensor(momenta, dtype=torch.float64)


BY_HAND = {"max_lr": 1.0, "anneal_strategy": "linear", "div_factor": 10.0, "final_div_factor": 10.0}


@test_case(name='a linear cycle of ten steps is what one works out by hand', points=1, hidden=False)
def test_two_phases_by_hand(env):
    """a linear cycle of ten steps is what one works out by hand"""
    arguments = BY_HAND | {"total_steps": 10, "pct_start": 0.5}
    rates, momenta = check.run(a_run, env, steps=list(range(10)), arguments=arguments)
    want = [0.1, 0.325, 0.55, 0.775, 1.0, 0.802, 0.604, 0.406, 0.208, 0.01]
    check.close(rates, torch.tensor(want, dtype=torch.float64), what="the list of learning rates")
    want = [0.95, 0.925, 0.9, 0.875, 0.85, 0.87, 0.89, 0.91, 0.93, 0.95]
    check.close(momenta, torch.tensor(want, dtype=torch.float64), what="the list of momenta")


@test_case(name='a linear cycle of three phases comes down as it went up, and goes on from there', points=1, hidden=False)
def test_three_phases_by_hand(env):
    """a linear cycle of three phases comes down as it went up, and goes on from there"""
    arguments = BY_HAND | {"total_steps": 10, "pct_start": 0.3, "three_phase": True}
    rates, momenta = check.run(a_run, env, steps=list(range(10)), arguments=arguments)
    want = [0.1, 0.55, 1.0, 0.55, 0.1, 0.082, 0.064, 0.046, 0.028, 0.01]
    check.close(rates, torch.tensor(want, dtype=torch.float64), what="the list of learning rates")
    want = [0.95, 0.9, 0.85, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95]
    check.close(momenta, torch.tensor(want, dtype=torch.float64), what="the list of momenta")


@test_case(name='cosine and linear meet at the ends and in the middle of each phase, and nowhere else', points=1, hidden=False)
def test_cosine_meets_linear(env):
    """cosine and linear meet at the ends and in the middle of each phase, and nowhere else"""
    runs = []
    for strategy in ("linear", "cos"):
        arguments = {"total_steps": 25, "max_lr": 0.5, "pct_start": 0.36, "anneal_strategy": strategy}  # the peak is at 8
        runs.append(check.run(a_run, env, steps=[0, 4, 8, 16, 24, 2, 6, 12, 20], arguments=arguments))
    for name, linear, cosine in zip(("learning rate", "momentum"), *runs, strict=True):
        check.close(cosine[:5], linear[:5], what=f"the {name} at steps 0, 4, 8, 16 and 24 of a cosine cycle")
        if float((cosine - linear)[5:].abs().min()) < 1e-3:
            raise check.CheckFailed(f"the {name} of a cosine cycle is that of a linear one between these steps")
        if bool(((cosine - linear)[5:].sign() * linear.new_tensor([-1, 1, 1, -1]) * (1 if name[0] == "l" else -1) < 0).any()):
            raise check.CheckFailed(f"a cosine cycle leaves and reaches its {name} slowly: here it does so faster than a linear one")
