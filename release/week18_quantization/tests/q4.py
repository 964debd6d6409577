"""Tests of q4. Built from source/week18_quantization/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q4"
points = 3


def ranges_by_hand(calibrate, first, second):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    return calibrate(model, [first, second], lambda x: (x.min(), x.max()))


@test_case(name='the ranges of two layers over two batches, by hand', points=1, hidden=False)
def test_ranges_by_hand(env):
    """the ranges of two layers over two batches, by hand"""
    first, second = torch.tensor([[1.0, 2.0], [0.0, -5.0]]), torch.tensor([[4.0, 3.0]])
    # behind the first layer and the ReLU: 3 0, 0 5, 7 1
    found = check.run(ranges_by_hand, env, first=first, second=second)
    check.close(found, {"0": (-5.0, 4.0), "2": (0.0, 7.0)}, what="the ranges")


def exchanged(quantize_model, ranges):
    from torch import nn

    inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    model = nn.Sequential(nn.Linear(8, 8), inner, nn.Linear(8, 8), nn.Dropout())
    before = [p.detach().clone() for p in model.parameters()]
    quantized = quantize_model(model, ranges)
    x = torch.randn(32, 8)
    with torch.no_grad():
        y = quantized(x)
    return {
        "children": [name for name, _ in quantized.named_children()],
        "kinds": {name: type(module).__name__ for name, module in quantized.named_modules() if not list(module.children())},
        "ranges": {name: (m.scale, m.zero_point) for name, m in quantized.named_modules() if hasattr(m, "zero_point")},
        "shape": tuple(y.shape),
        "evaluates": not quantized.training,
        "own kinds": [type(module).__name__ for module in model],
        "inner kinds": [type(module).__name__ for module in model[1]],
        "own weights": all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)),
        "own mode": model.training,
    }


@test_case(name='every layer that is named is exchanged, nested ones too, for the parameters of its range, and no other is', points=1, hidden=False)
def test_exchanged(env):
    """every layer that is named is exchanged, nested ones too, for the parameters of its range, and no other is"""
    found = check.run(exchanged, env, ranges={"0": (-1.0, 1.55), "1.0": (0.5, 5.1)})
    check.close(found["children"], ["0", "1", "2", "3"], what="the list of children")
    check.close(found["kinds"], {"0": "Int8Linear", "1.0": "Int8Linear", "1.1": "ReLU", "2": "Linear", "3": "Dropout"}, what="the dict of layers")
    check.close({name: zero for name, (_, zero) in found["ranges"].items()}, {"0": -28, "1.0": -128}, what="the zero points")
    scales = torch.tensor([scale for scale, _ in found["ranges"].values()])
    check.close(scales, torch.tensor([0.01, 0.02]), what="the scales")
    check.close(found["shape"], (32, 8), what="the shape of the output")
    check.close(found["evaluates"], True, what="whether the quantised model is in eval mode")


@test_case(name='the model that was given keeps its layers, its weights and its mode', points=1, hidden=False)
def test_a_copy(env):
    """the model that was given keeps its layers, its weights and its mode"""
    found = check.run(exchanged, env, ranges={"0": (-1.0, 1.55), "1.0": (0.5, 5.1)})
    check.close(found["own kinds"], ["Linear", "Sequential", "Linear", "Dropout"], what="its own layers")
    check.close(found["inner kinds"], ["Linear", "ReLU"], what="the layers within")
    check.close((found["own weights"], found["own mode"]), (True, True), what="whether its weights and its mode are kept")
