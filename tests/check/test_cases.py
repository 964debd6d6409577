from __future__ import annotations

import numpy as np
import pytest
import torch

from gradekit import check
from gradekit.check import AuthoringError, cases


def one(rng, device):
    return {"x": rng.random(), "device": device}


def several(rng, device):
    for n in (1, 2):
        yield {"x": rng.random(), "n": n}


def test_a_draw_depends_on_seed_name_and_number_only(monkeypatch):
    def x(name="a", draw=0):
        return next(cases.cases(one, name, "cpu", draw=draw))["x"]

    first = x()
    assert first == x()
    assert len({first, x("b"), x(draw=1)}) == 3
    monkeypatch.setenv("GRADEKIT_SEED", "17")
    assert x() != first
    monkeypatch.setenv("GRADEKIT_SEED", "a secret")
    with pytest.raises(ValueError, match="expected a whole number"):
        x()


def test_one_case_or_as_many_as_are_yielded():
    assert [case["device"] for case in cases.cases(one, "a", "cpu")] == ["cpu"]
    assert [case["n"] for case in cases.cases(several, "a", "cpu")] == [1, 2]
    with pytest.raises(AuthoringError, match="several yields 2"):
        cases.only(several, "a", "cpu", draw=0, check="speed")
    with pytest.raises(AuthoringError, match="yields no case"):
        list(cases.cases(lambda rng, device: (_ for _ in ()), "a", "cpu"))
    with pytest.raises(AuthoringError, match="gave list: expected a dict"):
        list(cases.cases(lambda rng, device: [1], "a", "cpu"))


def test_a_case_is_described_by_its_shapes():
    case = {
        "x": torch.zeros(2, 3),
        "y": torch.zeros(2, 3, dtype=torch.float64).t(),
        "labels": torch.zeros(4, dtype=torch.int64),
        "a": np.zeros(5),
        "stride": 2,
        "words": ["word"] * 30,
        "hidden": 1,
    }
    described = cases.describe(case, ("x", "y", "labels", "a", "stride", "words", "absent"))
    assert described == (
        "x (2, 3), y (3, 2) float64 non-contiguous, labels (4,), a (5,) float64 array, stride=2, words (list of 30)"
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_normal_numbers_are_normal_in_every_dtype(dtype):
    x = check.normal(np.random.default_rng(0), 100, 50, dtype=dtype)
    assert x.dtype == dtype
    assert x.shape == (100, 50)
    assert abs(float(x.double().mean())) < 0.05
    assert abs(float(x.double().std()) - 1) < 0.05
    assert check.normal(np.random.default_rng(0)).shape == ()
    with pytest.raises(TypeError, match=r"torch\.int64"):
        check.normal(np.random.default_rng(0), 2, dtype=torch.int64)
