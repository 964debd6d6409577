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
# name: week01_plain
# files: [notes]

# %% [markdown]
# # Plain
#
# A week of the attack suite.

# %%
import colorsys  # makes this course's fork server another than that of other tests
import torch

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: 3

# %% [markdown]
# ## q1 · Double
# *3 points · about 5 minutes · difficulty 1 of 5*
#
# Return twice `x`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def double(x):
    """Twice x."""
    return x + x  # SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
""" # END TEST CONFIG
def apply_double(double, x):
    return double(x)


def test_small(env):
    """doubles a small tensor"""
    check.close(check.run(apply_double, env, x=torch.ones(2)), torch.full((2,), 2.0))

# %%
""" # BEGIN TEST CONFIG
hidden: true
""" # END TEST CONFIG
from reference import week01_plain as reference

MARK = "@CANARY-test@"


def secret_inputs(rng, device):
    for rows in (5, 3):
        yield {"x": check.normal(rng, rows, 3, device=device)}

# %%
""" # BEGIN TEST CONFIG
points: 2
hidden: true
""" # END TEST CONFIG
def test_hidden(env):
    """agrees with the reference on random tensors"""
    check.accuracy(apply_double, env, reference, secret_inputs)

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: 2

# %% [markdown]
# ## q2 · Halve
# *2 points · about 5 minutes · difficulty 1 of 5*
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
points: 1
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
