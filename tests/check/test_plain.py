from __future__ import annotations

import collections
import enum

import numpy as np
import pytest
import torch

from gradekit.check import AuthoringError, CheckFailed, plain


class Colour(enum.IntEnum):
    RED = 1


class Liar(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__


class Lying:
    __class__ = torch.Tensor  # isinstance believes it


class Subclass(torch.Tensor):
    pass


def test_a_snapshot_is_detached_contiguous_and_of_its_own_memory():
    x = torch.ones(2, 3, requires_grad=True)
    copy = plain.snapshot(x.t())
    assert type(copy) is torch.Tensor
    assert not copy.requires_grad
    assert copy.is_contiguous()
    assert copy.data_ptr() != x.data_ptr()


def test_containers_and_numbers_become_the_plain_ones():
    point = collections.namedtuple("point", "x y")
    value = point([Colour.RED, np.float32(0.5)], collections.OrderedDict(a=Liar(2.0), b=None))
    copy = plain.snapshot(value)
    assert copy == ([1, 0.5], {"a": 2.0, "b": None})
    assert [type(copy), type(copy[0][0]), type(copy[0][1]), type(copy[1]["a"])] == [tuple, int, float, float]
    assert plain.snapshot(torch.ones(2, 2).max(dim=0))[1].dtype == torch.int64


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.ones(2).as_subclass(Subclass), "Subclass, not a plain torch.Tensor"),
        (torch.nn.Parameter(torch.ones(2)), "Parameter, not a plain torch.Tensor: return .detach()"),
        (Lying(), "is a .*Lying: expected plain data"),
        (np.array([object()]), "Python objects"),
        (torch.ones(2, 2).to_sparse(), "layout"),
        (torch.ones(2, device="meta"), "meta device"),
        ({(1, 2): {Lying: 1}}, "has a key of type"),
        (lambda: 1, "function: expected plain data"),
    ],
)
def test_what_is_not_plain_is_refused_and_named(value, said):
    with pytest.raises(CheckFailed, match=rf"the output\[1\].*{said}"):
        plain.snapshot((0, value))


def test_a_list_that_holds_itself_is_refused():
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(CheckFailed, match="nested more than"):
        plain.snapshot(endless)


@pytest.mark.parametrize(
    "x",
    [
        torch.arange(24.0).reshape(4, 6).t(),
        torch.arange(24.0).reshape(4, 6)[1:, ::2],
        torch.arange(4.0).expand(3, 4),
        torch.zeros(0, 3),
        torch.tensor(2.0, requires_grad=True),
    ],
)
def test_copies_of_inputs_keep_strides_offset_and_values(x):
    copy = plain.duplicate(x)
    assert copy.stride() == x.stride()
    assert copy.storage_offset() == x.storage_offset()
    assert copy.requires_grad == x.requires_grad
    assert torch.equal(copy, x)
    assert plain.unchanged(copy, x)


def test_inputs_must_be_plain():
    with pytest.raises(AuthoringError, match=r"input\[0\] is a .*Generator"):
        plain.duplicate([torch.Generator()])


def test_a_refill_keeps_identity_and_address_and_takes_the_new_contents():
    held = plain.duplicate({"x": torch.zeros(3), "a": np.zeros(2), "n": 1, "l": [torch.zeros(1)]})
    fresh = {"x": torch.ones(3), "a": np.ones(2), "n": 2, "l": [torch.ones(1)]}
    again = plain.refill(held, fresh)
    assert again["x"] is held["x"]
    assert again["a"] is held["a"]
    assert again["l"][0] is held["l"][0]
    assert again["n"] == 2
    assert all(bool((part == 1).all()) for part in (again["x"], again["a"], again["l"][0]))
    other = plain.refill(held["x"], torch.ones(4))
    assert other is not held["x"]


def test_damage_is_seen_bit_by_bit():
    original = torch.tensor([1.0, float("nan"), -0.0])
    held = plain.duplicate(original)
    assert plain.unchanged(held, original)
    held[2] = 0.0
    assert not plain.unchanged(held, original)
    array = np.arange(3)
    assert not plain.unchanged(np.array([0, 1, 3]), array)
    assert not plain.unchanged([1, 2], [1])


def test_spans_find_shared_memory_across_torch_and_numpy():
    x = torch.zeros(8)
    (_, low, high), (_, low_view, high_view) = [*plain.spans(x, "x"), *plain.spans(x.numpy()[2:4], "view")]
    assert low < low_view < high_view < high
