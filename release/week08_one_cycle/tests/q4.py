"""Tests of q4. Built from source/week08_one_cycle/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q4"
points = 2


def train_counted(train, images, labels, epochs):
    class Counted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(images[0].numel(), 10)
            self.seen = 0

        def forward(self, x):
            self.seen += len(x) if torch.is_grad_enabled() else 0
            return self.linear(x.flatten(1))

    model = Counted().to(images.device)
    before = model.linear.weight.detach().clone()
    history = train(model, images, labels, epochs)
    return {
        "keys": sorted(history),
        "floats": all(isinstance(value, float) for values in history.values() for value in values),
        "losses": [float(value) for value in history["loss"]],
        "rates": [float(value) for value in history["lr"]],
        "seen": model.seen,
        "moved": float((model.linear.weight.detach() - before).abs().max()),
    }


def easy(images):
    """Ten classes that a linear model can tell apart: of ten stripes, the brightest."""
    numbers = torch.Generator().manual_seed(images)
    labels = torch.randint(10, (images,), generator=numbers)
    x = 0.3 * torch.rand(images, 3, 10, 10, generator=numbers)
    x[torch.arange(images), :, labels] += 0.7
    return x, labels


@test_case(name='on an easy problem the loss falls, and loss and rate of every step are returned', points=2, hidden=False)
def test_easy(env):
    """on an easy problem the loss falls, and loss and rate of every step are returned"""
    x, labels = easy(600)
    got = check.run(train_counted, env, images=x, labels=labels, epochs=4)
    check.close(got["keys"], ["loss", "lr"], what="the list of keys that train returns")
    check.close(got["floats"], True, what="whether losses and rates are floats, which")
    check.close(len(got["losses"]), len(got["rates"]), what="the number of losses, next to that of rates,")
    if len(got["losses"]) < 4:
        raise check.CheckFailed(f"{len(got['losses'])} losses came back: expected one for every step")
    if not got["moved"] > 0:
        raise check.CheckFailed("the weights of the model that was handed over are as they were before")
    quarter = max(len(got["losses"]) // 4, 1)
    first, last = (sum(part) / quarter for part in (got["losses"][:quarter], got["losses"][-quarter:]))
    if not last < 0.8 * first:
        raise check.CheckFailed(f"the loss was {first:.3f} in the first quarter and is {last:.3f} in the last")
