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
# name: week03_counts
# files: [notes]

# %% [markdown]
# # Counts
#
# A week of the attack suite.

# %%
import colorsys  # makes this course's fork server another than that of other tests
import torch

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: 1

# %% [markdown]
# ## q2 · Halve
# *1 points · about 5 minutes · difficulty 1 of 5*
#
# Return half of `x`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def halve(x):
    """Half of x."""
    return x * 0.5  # SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0
""" # END TEST CONFIG
def apply_halve(halve, x):
    return halve(x)


def test_halve_two(env):
    """halves two"""
    check.close(check.run(apply_halve, env, x=torch.tensor([2.0])), torch.tensor([1.0]))

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_halve(env):
    """halves a tensor of four numbers"""
    check.close(check.run(apply_halve, env, x=torch.arange(4.0)), torch.tensor([0.0, 0.5, 1.0, 1.5]))

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: 1

# %% [markdown]
# ## q3 · Softmax
# *1 points · about 5 minutes · difficulty 1 of 5*
#
# The softmax of each row, without `torch.softmax`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def softmax(x):
    """The softmax of each row."""
    return x.exp() / x.exp().sum(1, keepdim=True)  # SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0
""" # END TEST CONFIG
def apply_softmax(softmax, x):
    return softmax(x)


def test_softmax_runs(env):
    """runs"""
    check.run(apply_softmax, env, x=torch.ones(2, 2))

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
from reference import week03_counts as reference


def softmax_inputs(rng, device):
    return {"x": check.normal(rng, 5, 7, device=device)}


def test_softmax(env):
    """agrees with the reference and does not call the built-in one"""
    check.accuracy(apply_softmax, env, reference, softmax_inputs, forbid=("*softmax*",))

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: 1

# %% [markdown]
# ## q4 · Squares
# *1 points · about 5 minutes · difficulty 1 of 5*
#
# The sum of squares of each row, without a large intermediate result.

# %% [raw]
# # BEGIN SOLUTION

# %%
def squares(x):
    """The sum of squares of each row."""
    return torch.linalg.vector_norm(x, dim=1) ** 2  # SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0
""" # END TEST CONFIG
def apply_squares(squares, x):
    return squares(x)


def test_squares_runs(env):
    """runs"""
    check.run(apply_squares, env, x=torch.ones(2, 2))

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
from reference import week03_counts as reference


def squares_inputs(rng, device):
    return {"x": check.normal(rng, 600, 300, device=device)}


def test_squares(env):
    """needs at most three times the memory of the reference"""
    check.memory(apply_squares, env, reference, squares_inputs, at_most=3.0)

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: 1

# %% [markdown]
# ## q5 · Classify
# *1 points · about 5 minutes · difficulty 1 of 5*
#
# Return a class, 0 or 1, for each row of `x_test`, learnt from `x` and `y`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def classify(x, y, x_test):
    """The class of the nearer mean."""
    return ((x_test - x[y == 1].mean(0)).norm(dim=1) < (x_test - x[y == 0].mean(0)).norm(dim=1)).long()  # SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0
""" # END TEST CONFIG
def apply_classify(classify, x, y, x_test):
    return classify(x, y, x_test)


def test_classify_runs(env):
    """runs"""
    check.run(apply_classify, env, x=torch.tensor([[0.0], [1.0]]), y=torch.tensor([0, 1]), x_test=torch.tensor([[1.0]]))

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def classes(rng, device):
    y = torch.from_numpy(rng.integers(0, 2, 200))
    x = check.normal(rng, 200, 2, device=device) + 3 * y[:, None]
    return {"x": x[:100], "y": y[:100], "x_test": x[100:], "y_test": y[100:]}


def share(outputs, inputs):
    return float((outputs == inputs["y_test"]).float().mean())


def test_classify(env):
    """nine of ten are right"""
    check.outcome(apply_classify, env, classes, score=share, at_least=0.9, seconds=5.0)

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION
