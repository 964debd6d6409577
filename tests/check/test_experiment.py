from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gradekit.check import AuthoringError, run
from gradekit.check.experiment import guard, parameters, transplant

OUTSIDE = 3


def forward(conv2d, x, w, *, stride):
    return conv2d(x, w, stride=stride)


def uses_everything_given(f, x):
    import collections

    class Local:
        size = len(x)

    def inner(value):
        return np.float64(math.sqrt(value)) + torch.ones(1).sum().item()

    return collections.Counter([f(inner(v)) for v in x]), Local.size


def uses_a_global(f, x):
    return f(x) + OUTSIDE


def uses_a_global_deep_inside(f, x):
    def inner():
        return [pytest.approx(OUTSIDE) for _ in range(3)]

    return f(x), inner()


def writes_a_global(f, x):
    global WRITTEN
    WRITTEN = f(x)


def test_keys_of_the_inputs_are_inputs_and_all_other_parameters_are_names_under_test():
    split = parameters(forward, {"x": 0, "w": 0, "stride": 0, "label": 0})
    assert split.names == ("conv2d",)
    assert split.inputs == ("x", "w", "stride")
    assert split.order == ("conv2d", "x", "w", "stride")


def test_builtins_torch_np_math_and_own_imports_are_allowed():
    guard(uses_everything_given)
    counted, size = transplant(uses_everything_given)(lambda value: round(value), [4.0, 9.0])
    assert (dict(counted), size) == ({3: 1, 4: 1}, 2)


@pytest.mark.parametrize(
    ("experiment", "named"),
    [(uses_a_global, "OUTSIDE"), (uses_a_global_deep_inside, "pytest, OUTSIDE"), (writes_a_global, "WRITTEN")],
)
def test_other_globals_are_refused_by_name(experiment, named):
    with pytest.raises(AuthoringError, match=f"{experiment.__name__} uses {named} from outside"):
        guard(experiment)


def test_closures_are_refused_by_name():
    expected = 7

    def experiment(f, x):
        return f(x) == expected

    with pytest.raises(AuthoringError, match="uses expected from outside"):
        guard(experiment)


def test_defaults_stars_generators_and_objects_are_refused():
    with pytest.raises(AuthoringError, match="stride has a default"):
        parameters(lambda conv2d, x, stride=1: conv2d(x), {"x": 0})
    with pytest.raises(AuthoringError, match=r"write each parameter out, not \*x"):
        parameters(lambda conv2d, *x: conv2d(*x), {"x": 0})
    with pytest.raises(AuthoringError, match="plain function"):
        guard(torch.sin)

    def yields(f):
        yield f()

    with pytest.raises(AuthoringError, match="not yield"):
        guard(yields)


def test_an_experiment_sees_nothing_of_the_test_file():
    def spy(f):
        import sys

        return sorted(name for name in sys._getframe().f_globals if not name.startswith("__"))

    assert run(spy, {"f": 1}) == ["math", "np", "torch"]
