"""Tests of q4. Built from source/week05_conv/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q4"
points = 5


def scores_and_shapes(SmallCNN, images, few):
    model = SmallCNN()
    with torch.no_grad():
        return model(images), model(few), [tuple(p.shape) for p in model.parameters() if p.requires_grad]


@test_case(name='ten scores for each image, whatever the size of the batch', points=1, hidden=False)
def test_scores(env):
    """ten scores for each image, whatever the size of the batch"""
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    many, one, shapes = check.run(scores_and_shapes, env, images=images, few=images[2:3])
    check.close(tuple(many.shape), (7, 10), what="the shape of the scores of 7 images")
    check.close(tuple(one.shape), (1, 10), what="the shape of the scores of 1 image")
    check.close(one, many[2:3], what="the scores of an image on its own", ulps=4096)
    if sum(len(shape) == 4 for shape in shapes) < 2:
        raise check.CheckFailed(f"expected the filters of two Conv layers among the parameters, found {shapes}")


def slope_and_difference(SmallCNN, images, labels):
    model = SmallCNN().double().eval()
    parameters = [p for p in model.parameters() if p.requires_grad]
    direction = [torch.randn_like(p) for p in parameters]

    def loss():
        return torch.nn.functional.cross_entropy(model(images), labels)

    gradients = torch.autograd.grad(loss(), parameters)
    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
    with torch.no_grad():
        ends, step = [], 1e-7
        for sign in (1, -1):
            for p, d in zip(parameters, direction, strict=True):
                p += sign * step * d
            ends.append(loss())
            for p, d in zip(parameters, direction, strict=True):
                p -= sign * step * d
    return slope, (ends[0] - ends[1]) / (2 * step)


@test_case(name='the gradient of the loss agrees with differences of the loss', points=2, hidden=False)
def test_slope(env):
    """the gradient of the loss agrees with differences of the loss"""
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope, difference = check.run(slope_and_difference, env, images=images, labels=torch.tensor([3, 1, 4]))
    # a difference of two losses keeps the digits of a float32
    check.close(slope.float(), difference.float(), what="the slope of the loss along a random direction")


def train_briefly(SmallCNN, train, images, labels):
    model = SmallCNN()

    def loss():
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(model(images), labels))

    before = loss()
    losses = [float(value) for value in train(model, (images, labels), epochs=3)]
    return before, loss(), losses


@test_case(name='training lowers the loss, and train returns the loss of each epoch', points=2, hidden=False)
def test_training(env):
    """training lowers the loss, and train returns the loss of each epoch"""
    from gradekit import data

    numbers = data.digits()
    before, after, losses = check.run(train_briefly, env, images=numbers.x_train, labels=numbers.y_train)
    check.close(len(losses), 3, what="the number of losses that train returns for epochs=3")
    if not after < 0.8 * before:
        raise check.CheckFailed(f"the loss was {before:.3f} before training and is {after:.3f} after three epochs")
    if not losses[0] > losses[-1] > 0:
        raise check.CheckFailed(f"train returned the losses {losses}, which do not fall")
