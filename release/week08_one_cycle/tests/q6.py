"""Tests of q6. Built from source/week08_one_cycle/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q6"
points = 2


def scores_of(Network, images):
    torch.manual_seed(0)
    network = Network().eval()
    with torch.no_grad():
        return network(images), torch.cat([network(image[None]) for image in images])


@test_case(name='ten scores for each image, which do not depend on the other images', points=2, hidden=False)
def test_scores(env):
    """ten scores for each image, which do not depend on the other images"""
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    together, alone = check.run(scores_of, env, images=images)
    check.close(tuple(together.shape), (6, 10), what="the shape of the scores of six images")
    check.close(together, alone, what="the scores of six images at once, next to those of each by itself,")
    if not float(together.std(0).min()) > 0:
        raise check.CheckFailed("six different images have the same scores")
