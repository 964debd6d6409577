"""What many tests need: the tests' own small course, fresh or built."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gradekit.build.make import build_week
from gradekit.course import Course, Week

HERE = Path(__file__).parent

MANUAL = """
# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: 2
# manual: true
# rubric:
#   - 1: says that each undoes the other
#   - 1: says where they do not

# %% [markdown]
# ## q3 · Say why
# *2 points · about 5 minutes · difficulty 1 of 5*
#
# Do doubling and halving undo each other?

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# They do, as long as no double is larger than the largest number of the dtype.

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION
"""

WEIGHTS = """
# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: 3

# %% [markdown]
# ## q3 · Which is larger
# *3 points · about 5 minutes · difficulty 1 of 5*
#
# Write a network that says which of two numbers is larger, train it, and hand in its weights as network.safetensors.

# %% [raw]
# # BEGIN SOLUTION

# %%
class Network(torch.nn.Module):
    # BEGIN SOLUTION
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(2, 1)

    def forward(self, pairs):
        return self.line(pairs)[:, 0]
    # END SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
\"\"\" # BEGIN TEST CONFIG
points: 1
\"\"\" # END TEST CONFIG
def first_is_larger(Network, weights, pairs):
    model = Network()
    model.load_state_dict(weights)
    return model(pairs) > 0


def some_pairs(rng, device, count=20):
    pairs = check.normal(rng, count, 2, device=device)
    return {"pairs": pairs, "labels": pairs[:, 0] > pairs[:, 1]}


def share_of_right(outputs, inputs):
    return (outputs == inputs["labels"]).double().mean()


def test_a_few_pairs(env):
    \"\"\"the weights load, and tell more than half of twenty pairs\"\"\"
    check.checkpoint(
        first_is_larger, env, "network.safetensors", some_pairs,
        score=share_of_right, at_least=0.6, seconds=20, most_bytes=10_000,
    )

# %%
\"\"\" # BEGIN TEST CONFIG
points: 2
hidden: true
\"\"\" # END TEST CONFIG
def hidden_pairs(rng, device):
    return some_pairs(rng, device, count=500)


def test_hidden_pairs(env):
    \"\"\"the weights tell nearly all of hidden pairs\"\"\"
    check.checkpoint(
        first_is_larger, env, "network.safetensors", hidden_pairs,
        score=share_of_right, at_least=0.95, seconds=20, most_bytes=10_000,
    )

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION
"""
WEIGHTS_MUTANTS = """
MUTANTS.append(
    Mutant("the other way", question="q3", fails={"q3": "*"}, why="a sign", replace={"[:, 0]": "[:, 0].neg()"})
)
ALTERNATES.append(Alternate("squeezed", question="q3", why="as short", replace={"[:, 0]": ".squeeze(1)"}))
"""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A copy of tests/course: one week, of which nothing is built yet."""
    return Course(Path(shutil.copytree(HERE / "course", tmp_path / "course")))


@pytest.fixture
def week(course: Course) -> Week:
    return course.week("1")


@pytest.fixture(scope="session")
def built_week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    """The same week, built once for all tests: not to be changed."""
    root = Path(shutil.copytree(HERE / "course", tmp_path_factory.mktemp("built") / "course"))
    week = Course(root).week("1")
    build_week(week)
    return week


@pytest.fixture
def manual_week(week: Week) -> Week:
    """The same week with a third question, which a person marks; nothing is built yet."""
    week.source.write_text(week.source.read_text() + MANUAL)
    return week


@pytest.fixture(scope="session")
def built_manual_week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    """That one built, once for all tests: not to be changed."""
    root = Path(shutil.copytree(HERE / "course", tmp_path_factory.mktemp("manual") / "course"))
    week = Course(root).week("1")
    week.source.write_text(week.source.read_text() + MANUAL)
    build_week(week)
    return week


def add_weights(week: Week) -> Week:
    """With a third question, whose answer is handed in as weights beside the notebook."""
    source = week.source.read_text()
    named = source.replace("# files: [notes]\n", "# files: [notes]\n# hand_in: [network.safetensors]\n")
    week.source.write_text(named + WEIGHTS)
    week.mutants.write_text(week.mutants.read_text() + WEIGHTS_MUTANTS)
    week.hand_in.mkdir()
    right = {"line.weight": torch.tensor([[3.0, -3.0]]), "line.bias": torch.zeros(1)}
    save_file(right, week.hand_in / "network.safetensors")
    return week


@pytest.fixture
def weights_week(week: Week) -> Week:
    """The same week with a question whose answer is weights; nothing is built yet."""
    return add_weights(week)


@pytest.fixture(scope="session")
def built_weights_week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    """That one built, once for all tests: not to be changed."""
    root = Path(shutil.copytree(HERE / "course", tmp_path_factory.mktemp("weights") / "course"))
    week = add_weights(Course(root).week("1"))
    build_week(week)
    return week
