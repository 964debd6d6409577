"""The reference of the week whose counts are attacked. @CANARY-reference@"""

import torch

MARK = "@CANARY-reference@"


def softmax(x):
    shifted = (x - x.amax(1, keepdim=True)).exp()
    return shifted / shifted.sum(1, keepdim=True)


def squares(x):
    return torch.linalg.vector_norm(x, dim=1) ** 2
