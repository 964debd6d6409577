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
# name: week02_costs
# files: [notes]

# %% [markdown]
# # Costs
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
# ## q1 · Gram
# *3 points · about 5 minutes · difficulty 1 of 5*
#
# Return the products of all pairs of rows of `x`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def gram(x):
    """The products of all pairs of rows."""
    return torch.mm(x, x.T)  # SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0
""" # END TEST CONFIG
def apply_gram(gram, x):
    return gram(x)


def test_gram_runs(env):
    """runs"""
    check.run(apply_gram, env, x=torch.ones(2, 2))

# %%
""" # BEGIN TEST CONFIG
hidden: true
""" # END TEST CONFIG
from reference import week02_costs as reference

MARK = "@CANARY-test@"


def gram_inputs(rng, device):
    return {"x": check.normal(rng, 384, 256, device=device)}

# %%
""" # BEGIN TEST CONFIG
points: 1
hidden: true
""" # END TEST CONFIG
def test_gram(env):
    """agrees with the reference"""
    check.accuracy(apply_gram, env, reference, gram_inputs)

# %%
""" # BEGIN TEST CONFIG
points: 2
hidden: true
""" # END TEST CONFIG
def test_gram_fast(env):
    """takes at most twice the time of the reference"""
    check.speed(apply_gram, env, reference, gram_inputs, at_most=2.0)

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

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
