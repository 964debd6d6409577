"""Tests of q6. Built from source/week18_quantization/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q6"
points = 2


import math


def distilled(distillation_loss, logits, teacher_logits, labels, temperature, alpha):
    return distillation_loss(logits, teacher_logits, labels, temperature, alpha)


@test_case(name='two classes and temperature 2, by hand', points=1, hidden=False)
def test_distilled_by_hand(env):
    """two classes and temperature 2, by hand"""
    third = math.log(3.0)
    logits = torch.tensor([[0.0, 0.0], [2 * third, 0.0]], dtype=torch.float64)  # at T = 2: 1/2 1/2, and 3/4 1/4
    teacher = torch.tensor([[2 * third, 0.0], [-2 * third, 0.0]], dtype=torch.float64)  # 3/4 1/4, and 1/4 3/4
    first = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    second = 0.25 * math.log(1 / 3) + 0.75 * math.log(3)
    soft = 4 * (first + second) / 2
    hard = (math.log(2) + math.log(10)) / 2  # at T = 1 the second row is 9/10 1/10
    inputs = {"logits": logits, "teacher_logits": teacher, "labels": torch.tensor([0, 1]), "temperature": 2.0}
    for alpha in (1.0, 0.25):
        got = check.run(distilled, env, **inputs, alpha=alpha)
        check.close(float(got), alpha * soft + (1 - alpha) * hard, what=f"the loss for {alpha=}")


@test_case(name='without a teacher it is the cross-entropy, and nothing is to be learned from a teacher that one agrees with', points=1, hidden=False)
def test_ends(env):
    """without a teacher it is the cross-entropy, and nothing is to be learned from a teacher that one agrees with"""
    numbers = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 5, generator=numbers, dtype=torch.float64)
    teacher = torch.randn(8, 5, generator=numbers, dtype=torch.float64)
    labels = torch.randint(5, (8,), generator=numbers)
    got = check.run(distilled, env, logits=logits, teacher_logits=teacher, labels=labels, temperature=3.0, alpha=0.0)
    check.close(got, torch.nn.functional.cross_entropy(logits, labels), what="the loss for alpha = 0")
    got = check.run(distilled, env, logits=logits, teacher_logits=logits + 7, labels=labels, temperature=3.0, alpha=1.0)
    if not abs(float(got)) < 1e-12:
        raise check.CheckFailed(f"for a teacher that agrees the loss is {float(got):.3g}, not 0")
