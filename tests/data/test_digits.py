from __future__ import annotations

import builtins
import dataclasses

import pytest
import torch

from gradekit import data


def test_sizes_types_and_ranges():
    digits = data.digits()
    assert digits.x_train.shape == (1437, 1, 8, 8)
    assert digits.x_test.shape == (360, 1, 8, 8)
    assert digits.x_train.dtype == digits.x_test.dtype == torch.float32
    assert digits.y_train.dtype == digits.y_test.dtype == torch.int64
    assert float(digits.x_train.min()) == 0.0
    assert float(digits.x_train.max()) == 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        digits.x_train = digits.x_test


def test_the_split_keeps_every_image_once_and_every_class_in_proportion():
    digits = data.digits(split_seed=3)
    counts = torch.bincount(digits.y_train) + torch.bincount(digits.y_test)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    share = torch.bincount(digits.y_test) / counts
    assert float(share.min()) > 0.19
    assert float(share.max()) < 0.21


def test_one_seed_one_split():
    first, again, other = data.digits(), data.digits(0), data.digits(1)
    assert torch.equal(first.x_test, again.x_test)
    assert not torch.equal(first.x_test, other.x_test)
    assert first.y_test[:10].tolist() == [9, 2, 5, 7, 6, 9, 7, 3, 3, 3]


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        data.digits()
