from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gradekit import check
from gradekit.check import CheckFailed

WANT = torch.tensor([[1.0, -2.0, 3.0], [4.0, 0.5, -6.0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: 0 * x,
        lambda x: -x,
        lambda x: 1.05 * x,
        lambda x: 0.95 * x,
        lambda x: x.roll(1, -1),
        lambda x: x.index_fill(1, torch.tensor([1]), math.nan),
        lambda x: x + math.inf,
    ],
)
def test_wrong_values_are_refused_in_every_dtype(dtype, wrong):
    want = WANT.to(dtype)
    check.close(want.clone(), want)
    with pytest.raises(CheckFailed):
        check.close(wrong(want), want)


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        (WANT.double(), WANT, "dtype torch.float64: expected torch.float32"),
        (WANT.numpy(), WANT, r"a NumPy array of shape \(2, 3\): expected a tensor of shape \(2, 3\)"),
        (WANT.t(), WANT, r"shape \(3, 2\): expected \(2, 3\): are two dimensions swapped"),
        (WANT[:, :2], WANT, "one short"),
        (WANT[None], WANT, "dimension of size 1"),
        (1.0, WANT, r"a float: expected a tensor of shape \(2, 3\)"),
        (None, WANT, "is None: expected a tensor"),
        ((WANT, WANT), WANT, "a tuple of 2"),
        (WANT, (WANT, WANT), "expected a tuple of 2"),
        ((WANT,), (WANT, WANT), "has 1 parts: expected 2"),
        ({"a": 1}, {"b": 1}, "has the keys 'a': expected 'b'"),
        (True, 1, "a bool: expected an int"),
        (True, 1.0, "a bool: expected a number"),
        ("cat", "dog", "is 'cat': expected 'dog'"),
        (torch.tensor([1, 2, 4]), torch.tensor([1, 2, 3]), "wrong at index 2: got 4, expected 3"),
        (np.array(["a"]), np.array(["b"]), "differs"),
        ([1, [2, 3]], [1, [2, 4]], r"\[1\]\[1\] is 3: expected 4"),
    ],
)
def test_the_message_says_what_came_and_what_was_expected(got, want, said):
    with pytest.raises(CheckFailed, match=f"^x.*{said}"):
        check.close(got, want, what="x")


def test_the_first_wrong_index_is_named_with_both_values():
    got = WANT.clone()
    got[1, 1] = 7
    with pytest.raises(CheckFailed, match=r"wrong at index \(1, 1\): got 7, expected 0\.5 \(1 of 6 values are wrong\)"):
        check.close(got, WANT)


def test_nan_and_infinities_must_stand_where_they_are_expected():
    want = torch.tensor([1.0, math.nan, math.inf, -math.inf])
    check.close(want.clone(), want)
    for index, value, said in ((0, math.nan, "is NaN at"), (1, 1.0, "is finite at"), (2, -math.inf, "at index 2")):
        got = want.clone()
        got[index] = value
        with pytest.raises(CheckFailed, match=said):
            check.close(got, want)
    with pytest.raises(CheckFailed, match="infinite"):
        check.close(torch.tensor([math.inf]), torch.tensor([1.0]))


def test_rounding_and_logic_are_told_apart():
    with pytest.raises(CheckFailed, match=r"Rounding: .*look for a lower precision"):
        check.close(WANT.bfloat16().float() * 1.0001, WANT)
    with pytest.raises(CheckFailed, match="Logic, not rounding"):
        check.close(WANT + torch.eye(3)[:2], WANT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: 0 * x, "every value is zero"),
        (lambda x: -x, "the sign is flipped"),
        (lambda x: 1.05 * x, "every value is 1.05 times the expected one"),
        (lambda x: x + 3, r"every value is \+3 off"),
        (lambda x: x.transpose(-1, -2), "the last two dimensions are swapped"),
        (lambda x: x.flip(-1), "in reverse order along dimension 3"),
        (lambda x: x.flip(-1, -2), "the last two dimensions are both reversed"),
        (lambda x: x.roll(1, 2), "shifted by one along dimension 2"),
        (lambda x: torch.nn.functional.pad(x[..., 1:-1, 1:-1], (1, 1, 1, 1)), "only the border is wrong"),
        (lambda x: torch.cat([x[:1], x[:1]]), "the first item along dimension 0 is right"),
    ],
)
def test_a_cause_is_named_where_the_numbers_show_it(change, said):
    x = check.normal(np.random.default_rng(0), 2, 3, 6, 6)
    with pytest.raises(CheckFailed, match=said):
        check.close(change(x), x)


def test_no_cause_is_made_up():
    x = check.normal(np.random.default_rng(0), 2, 3, 6, 6)
    with pytest.raises(CheckFailed, match=r"of it is allowed$"):
        check.close(check.normal(np.random.default_rng(1), 2, 3, 6, 6), x)


def test_rounding_within_the_given_ulps_passes():
    eps = torch.finfo(torch.float32).eps
    check.close(WANT + 40 * eps * 6, WANT)
    check.close(WANT + 3 * eps * 6, WANT, ulps=4)
    with pytest.raises(CheckFailed, match="Rounding"):
        check.close(WANT + 9 * eps * 6, WANT, ulps=4)
    check.close(0.1 + 0.2, 0.3)
    check.close(2, 2.0)
    check.close([1, (2.0,)], (1, [2.0]))


def test_float32_inside_float64_is_recognised():
    x = check.normal(np.random.default_rng(0), 50, dtype=torch.float64)
    with pytest.raises(CheckFailed, match="a part that is computed in float32"):
        check.close(x.float().double(), x)


def test_empty_complex_and_scalar_tensors():
    check.close(torch.zeros(0, 3), torch.zeros(0, 3))
    z = torch.tensor([1 + 2j, 3 - 1j])
    check.close(z.clone(), z)
    with pytest.raises(CheckFailed, match="Logic"):
        check.close(z.conj().resolve_conj(), z)
    with pytest.raises(CheckFailed, match="wrong at its only value: got 2, expected 1"):
        check.close(torch.tensor(2.0), torch.tensor(1.0))
