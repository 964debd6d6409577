"""Tests of q5. Built from source/week05_conv/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q5"
points = 2


def maps_by_hand(feature_maps, x):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False), torch.nn.ReLU())
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, -1.0]]))
    return feature_maps(model, x)


@test_case(name='the maps of three layers are what one works out by hand', points=1, hidden=False)
def test_maps_by_hand(env):
    """the maps of three layers are what one works out by hand"""
    maps = check.run(maps_by_hand, env, x=torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    want = {"0": torch.tensor([[1.0, 2.0, 3.0, 4.0]]), "1": torch.tensor([[10.0, -3.0]]), "2": torch.tensor([[10.0, 0.0]])}
    check.close(maps, want, what="the dict of maps")


def gradient_by_hand(input_gradient, x, label):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, -1.0]]))
    return input_gradient(model, x, label)


@test_case(name='of a linear model the input gradient is a row of its weights', points=1, hidden=False)
def test_gradient_by_hand(env):
    """of a linear model the input gradient is a row of its weights"""
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 1.0], [0.0, 1.0]]]])
    row = torch.tensor([[[[1.0, 0.0], [0.0, -1.0]]]])
    check.close(check.run(gradient_by_hand, env, x=x, label=1), torch.cat([row, row]), what="the gradient for class 1")
