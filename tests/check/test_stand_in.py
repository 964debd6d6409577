"""A reference that is timed in another process: what the way there costs is known, and small."""

from __future__ import annotations

import types

import pytest
import torch

from gradekit import check
from gradekit.check import LocalSubject, Outcome, evidence
from gradekit.check.subject import as_timed, references_run_on


class Far:
    """A subject whose calls take 1 ms, of which the way there and back is so much."""

    def __init__(self, namespace, trip):
        self.local, self.trip = LocalSubject(namespace), trip

    def call(self, experiment, inputs, *, timed=False, **options):
        outcome = self.local.call(experiment, inputs, timed=timed, **options)
        return Outcome(outcome.outputs, 1e-3, round_trip_s=self.trip)

    def identity(self, experiment, inputs):
        return (self,)


@pytest.fixture
def reference():
    module = types.ModuleType("reference_of_this_test")
    module.double = lambda x: 2 * x
    return module


def measure(reference, trip):
    def experiment(double, x):
        return double(x)

    student = Far({"double": lambda x: x + x}, trip)
    with references_run_on(lambda module: Far(vars(module), trip)), evidence.collect() as found:
        check.speed(experiment, student, reference, lambda rng, on: {"x": check.normal(rng, 8)}, at_most=2.0)
    return found[0].data


def test_the_way_there_and_back_stands_in_the_evidence(reference):
    assert measure(reference, 15e-6)["round_trip_s"] == 15e-6
    assert "round_trip_s" not in measure(reference, 0.0)


def test_only_modules_have_a_stand_in_and_only_inside(reference):
    far = Far(vars(reference), 0.0)
    assert isinstance(as_timed(reference), LocalSubject)
    with references_run_on(lambda module: far):
        assert as_timed(reference) is far
        assert as_timed(far) is far
        assert isinstance(as_timed({"double": torch.sin}), LocalSubject)
    assert isinstance(as_timed(reference), LocalSubject)
