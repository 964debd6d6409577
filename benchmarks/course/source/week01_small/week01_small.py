# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [raw]
# # ASSIGNMENT CONFIG
# name: week01_small

# %% [markdown]
# # Four small functions
#
# The benchmark `throughput.py` grades this week. Its functions cost little, so that what remains is the grader.

# %%
import torch

torch.set_num_threads(1)

# %%
# Some work of the student's own: the largest eigenvalue of a matrix, by power iteration.
matrix = torch.randn(200, 200, generator=torch.Generator().manual_seed(0)).abs()
vector = torch.ones(200)
for _ in range(3000):
    vector = matrix @ vector
    vector = vector / vector.norm()
largest = vector @ matrix @ vector

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: 3

# %% [markdown]
# ## q1 · Softmax
# *3 points · about 5 minutes · difficulty 1 of 5*
#
# Return the softmax of `x` over its last axis, without overflow.

# %% [raw]
# # BEGIN SOLUTION

# %%
def softmax(x):
    """exp(x) over its sum along the last axis."""
    # BEGIN SOLUTION
    shifted = torch.exp(x - x.amax(-1, keepdim=True))
    return shifted / shifted.sum(-1, keepdim=True)
    # END SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
""" # END TEST CONFIG
def apply_softmax(softmax, x):
    return softmax(x)


def test_equal(env):
    """equal scores give equal probabilities"""
    check.close(check.run(apply_softmax, env, x=torch.zeros(2, 4)), torch.full((2, 4), 0.25))

# %%
""" # BEGIN TEST CONFIG
hidden: true
""" # END TEST CONFIG
from reference import week01_small as reference


def scores_to_softmax(rng, device):
    for shape, scale in (((5, 7), 1.0), ((3, 4, 11), 200.0), ((64, 64), 10.0)):
        yield {"x": scale * check.normal(rng, *shape, device=device)}

# %%
""" # BEGIN TEST CONFIG
points: 2
hidden: true
""" # END TEST CONFIG
def test_softmax(env):
    """agrees with the reference, large scores included"""
    check.accuracy(apply_softmax, env, reference, scores_to_softmax)

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: 3

# %% [markdown]
# ## q2 · Squared distances
# *3 points · about 5 minutes · difficulty 2 of 5*
#
# Return the squared distance of every row of `a` to every row of `b`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def squared_distances(a, b):
    """Squared Euclidean distances, shape (len(a), len(b))."""
    # BEGIN SOLUTION
    return ((a[:, None] - b[None]) ** 2).sum(-1)
    # END SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
""" # END TEST CONFIG
def apply_distances(squared_distances, a, b):
    return squared_distances(a, b)


def test_corners(env):
    """the corners of a square"""
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    want = torch.tensor([[0.0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 1], [2, 1, 1, 0]])
    check.close(check.run(apply_distances, env, a=corners, b=corners.clone()), want)

# %%
""" # BEGIN TEST CONFIG
hidden: true
""" # END TEST CONFIG
from reference import week01_small as reference


def rows(rng, device):
    for n, m, d in ((5, 8, 3), (1, 6, 2), (24, 17, 16)):
        yield {"a": check.normal(rng, n, d, device=device), "b": check.normal(rng, m, d, device=device)}

# %%
""" # BEGIN TEST CONFIG
points: 2
hidden: true
""" # END TEST CONFIG
def test_distances(env):
    """agrees with the reference, for as many rows in a as in b or not"""
    check.accuracy(apply_distances, env, reference, rows)

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: 4

# %% [markdown]
# ## q3 · Cross-correlation in one dimension
# *4 points · about 10 minutes · difficulty 2 of 5*
#
# Slide `w` along the last axis of `x`, without padding.

# %% [raw]
# # BEGIN SOLUTION

# %%
def correlate(x, w):
    """out[..., i] = sum over j of x[..., i + j] * w[j]"""
    # BEGIN SOLUTION
    size = x.shape[-1] - w.shape[0] + 1
    return torch.stack([(x[..., i : i + w.shape[0]] * w).sum(-1) for i in range(size)], dim=-1)
    # END SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
""" # END TEST CONFIG
def apply_correlate(correlate, x, w):
    return correlate(x, w)


def test_symmetric(env):
    """a symmetric kernel"""
    got = check.run(apply_correlate, env, x=torch.tensor([0.0, 1.0, 0.0, 2.0]), w=torch.tensor([1.0, 3.0, 1.0]))
    check.close(got, torch.tensor([3.0, 3.0]))

# %%
""" # BEGIN TEST CONFIG
points: 1
""" # END TEST CONFIG
def test_size(env):
    """as many values as places for the kernel"""
    got = check.run(apply_correlate, env, x=torch.ones(2, 9), w=torch.ones(4))
    check.close(got, torch.full((2, 6), 4.0))

# %%
""" # BEGIN TEST CONFIG
hidden: true
""" # END TEST CONFIG
from reference import week01_small as reference


def signals(rng, device):
    for shape, size in (((20,), 3), ((4, 33), 5), ((2, 3, 101), 8)):
        yield {"x": check.normal(rng, *shape, device=device), "w": check.normal(rng, size, device=device)}

# %%
""" # BEGIN TEST CONFIG
points: 2
hidden: true
""" # END TEST CONFIG
def test_correlate(env):
    """agrees with the reference"""
    check.accuracy(apply_correlate, env, reference, signals)

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: 2

# %% [markdown]
# ## q4 · Layer normalisation
# *2 points · about 5 minutes · difficulty 1 of 5*
#
# Normalise `x` along its last axis; the variance is that of the values themselves (divided by their number).

# %% [raw]
# # BEGIN SOLUTION

# %%
def layer_norm(x, eps):
    """(x - mean) / sqrt(var + eps) along the last axis."""
    # BEGIN SOLUTION
    mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(var + eps)
    # END SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
""" # END TEST CONFIG
def apply_layer_norm(layer_norm, x, eps):
    return layer_norm(x, eps)


def test_constant(env):
    """equal values become zeros"""
    check.close(check.run(apply_layer_norm, env, x=torch.full((2, 3), 5.0), eps=1e-5), torch.zeros(2, 3))

# %%
""" # BEGIN TEST CONFIG
hidden: true
""" # END TEST CONFIG
from reference import week01_small as reference


def activations(rng, device):
    for shape in ((4, 6), (2, 5, 32), (1, 3)):
        yield {"x": check.normal(rng, *shape, device=device), "eps": 1e-5}

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_layer_norm(env):
    """agrees with the reference"""
    check.accuracy(apply_layer_norm, env, reference, activations)

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION
