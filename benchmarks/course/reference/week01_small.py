"""The reference of week 1: as a student would write it, so that tests cost little."""

import torch


def softmax(x):
    return torch.softmax(x, dim=-1)


def squared_distances(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(-1)


def correlate(x, w):
    return x.unfold(-1, w.shape[-1], 1) @ w


def layer_norm(x, eps):
    mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(var + eps)
